"""GPAW: forces are slopes of the energy, spin and dipoles do what they are for, and what does not converge is told."""

import gzip
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from seiflow.calculators.factory import make_calculator, making_problems
from seiflow.calculators.recipes import CalculatorRecipe, weight_file
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, ConvergenceError, StudyError, UnconvergedDensityError
from seiflow.journal import Journal
from seiflow.study import Study

COARSE = {"cutoff_ev": 300, "kpoint_length": 4.0, "density_tolerance": 1e-6}


def altered(recipe: CalculatorRecipe, remedies: list[dict[str, Any]] | None = None, **arguments: object) -> CalculatorRecipe:
    """Return a recipe with other arguments and remedies."""
    data = recipe.model_dump() | {"arguments": recipe.arguments | arguments, "remedies": remedies or []}
    return CalculatorRecipe.model_validate(data)


@pytest.fixture(scope="module")
def waves(installed: Callable[[str], CalculatorRecipe]) -> CalculatorRecipe:
    """GPAW with few plane waves."""
    return altered(installed("gpaw-pbe"), **COARSE)


@pytest.fixture(scope="module")
def orbitals(installed: Callable[[str], CalculatorRecipe]) -> CalculatorRecipe:
    """GPAW with atomic orbitals."""
    return altered(installed("gpaw-lcao-pbe"), kpoint_length=2.0, density_tolerance=1e-6, grid_angstrom=0.2)


def displaced() -> Atoms:
    """LiF, two atoms, lithium off its place."""
    atoms = bulk("LiF", "rocksalt", a=4.06)
    atoms.positions[0] += [0.3, -0.1, 0.1]
    return atoms


def test_setup_of_lithium_is_what_the_generator_of_gpaw_makes(waves: CalculatorRecipe, tmp_path: Path) -> None:
    """The setup with the 1s electrons of lithium, made anew as the documentation says, has the same numbers.

    Those of one kind of processor differ from those of another by up to 2e-6 in numbers of the size of one.
    """
    del waves
    kept = gzip.decompress(weight_file("seiflow/calculators/setups/Li.sc.PBE.gz").read_bytes()).decode()
    command = [
        sys.executable,
        "-m",
        "gpaw",
        "dataset",
        "Li",
        *("-f", "PBE"),
        *("-P", "1s,2s,2p,p,d"),
        *("-r", "1.5"),
        *("-t", "sc"),
        "-w",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    made = (tmp_path / "Li.sc.PBE").read_text(encoding="utf-8")
    expected, found = (np.array(re.findall(r"(?<=[\s>\"])-?\d+\.\d+(?:e[-+]\d+)?", text), dtype=float) for text in (kept, made))
    assert len(expected) > 10000
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def test_setup_that_is_not_there_is_refused_with_those_that_are(waves: CalculatorRecipe) -> None:
    """A setup that nobody has is refused before anything is computed; the message names what the element has."""
    with pytest.raises(CalculatorError, match=r"no setup Li\.hard\.PBE; for Li there is sc\."):
        make_calculator(altered(waves, setups={"Li": "hard"}))
    with pytest.raises(CalculatorError, match=r"no setup F\.sc\.PBE; .*Leave F out"):
        make_calculator(altered(waves, setups={"F": "sc"}))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"functional": "PBA"},
            r"functional: GPAW knows no 'PBA'; take .*LDA, PBE, RPBE, revPBE, or a name that GPAW or libxc has",
        ),
        ({"functional": ""}, r"functional: GPAW knows no ''; take "),
        ({"functional": "PBEsol"}, r"functional: there are no setups for PBEsol; take .*LDA, PBE, "),
        ({"basis": "dzq"}, r"basis: no atomic orbitals 'dzq'; there are dzp"),
        ({"mixer": {"name": "pulay", "bet": 0.1}}, r"mixer: .*'bet'\. Its name is pulay, msr1, "),
    ],
)
def test_mistakes_in_a_recipe_are_told_before_anything_is_computed(
    waves: CalculatorRecipe, arguments: dict[str, object], said: str
) -> None:
    """A wrong name is refused with what is allowed, when the calculator is made and when a study is checked."""
    wrong = altered(waves, **arguments)
    with pytest.raises(CalculatorError, match=said):
        make_calculator(wrong)
    (problem,) = making_problems(wrong)
    assert re.search(said, problem)
    (problem,) = making_problems(altered(waves, [{"name": "another", "arguments": arguments}]))
    assert problem.endswith("(remedy 'another')")


def test_functionals_without_setups_of_their_own_take_those_of_gpaw(waves: CalculatorRecipe) -> None:
    """A hybrid goes with the setups of PBE, that of lithium's 1s electrons among them; parts of orbitals go with the whole."""
    assert list(making_problems(altered(waves, functional="HSE06", setups={"Li": "sc"}))) == []
    assert list(making_problems(altered(waves, basis="szp(dzp)"))) == []


@pytest.mark.parametrize(
    ("atoms", "arguments", "said"),
    [
        (bulk("Np", "fcc", a=4.5), {}, r"no setup Np\.PBE among GPAW's files; Np has none \(arguments: functional, setups\)"),
        (
            bulk("LiF", "rocksalt", a=4.06),
            {"basis": "dzp", "setups": {"Li": "sc"}},
            r"no atomic orbitals Li\.sc\.dzp\.basis .*for Li there are Li\.dzp \(arguments: basis\)",
        ),
    ],
)
def test_missing_file_of_an_element_is_told_with_those_that_are_there(
    waves: CalculatorRecipe, atoms: Atoms, arguments: dict[str, object], said: str
) -> None:
    """The environment variable that GPAW would have one set is not read here, and not mentioned."""
    with pytest.raises(CalculatorError, match=said):
        Engine(make_calculator(altered(waves, **arguments))).evaluate(atoms)


def test_end_without_a_result_is_told_with_what_gpaw_said(waves: CalculatorRecipe) -> None:
    """Where GPAW refuses a structure, the message has its reason and the last lines of its output."""
    together = Atoms("LiF", positions=[[0, 0, 0], [0, 0, 0]], cell=[4, 4, 4], pbc=True)
    with pytest.raises(CalculatorError, match=r"(?s)FLi, charge \+0: GPAW ended .*too close.*It said.*convergence=") as caught:
        make_calculator(waves).calculate(together, ["energy"])
    assert len(str(caught.value).splitlines()) < 20


@pytest.mark.parametrize("kind", ["waves", "orbitals"])
def test_force_is_the_slope_of_the_energy(kind: str, request: pytest.FixtureRequest) -> None:
    """The force along a direction is a central difference of the energy, to 0.02 eV/Å."""
    engine = Engine(make_calculator(request.getfixturevalue(kind)))
    atoms, step = displaced(), 0.02
    direction = np.array([0.6, 0.0, 0.8])
    energies = []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[0] += sign * step * direction
        energies.append(engine.evaluate(moved).energy)
    force = float(engine.evaluate(atoms).forces[0] @ direction)
    assert abs(force) > 0.2
    assert force == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=0.02)


def test_orbitals_give_no_stress_and_a_study_knows(orbitals: CalculatorRecipe) -> None:
    """The recipe with atomic orbitals is refused where a stress is needed, before anything runs."""
    assert not orbitals.stress
    block = {"structures": ["LiF"], "calculators": ["gpaw-lcao-pbe"], "properties": ["elasticity"]}
    with pytest.raises(StudyError, match=r"elasticity: calculator gpaw-lcao-pbe gives no stress"):
        Study({"calculations": [block]})


def test_unconverged_density_is_told_and_remedied(waves: CalculatorRecipe) -> None:
    """With three iterations there is no energy; with a remedy it is that of a patient calculation, and the remedy is told."""
    with pytest.raises(UnconvergedDensityError, match=r"FLi, charge \+0: the density did not become self-consistent in 3 iter"):
        Engine(make_calculator(altered(waves, iterations=3))).evaluate(displaced())
    mixer = {"name": "pulay", "beta": 0.1, "nmaxold": 5, "weight": 50}
    remedies = [
        {"name": "four", "arguments": {"iterations": 4}},
        {"name": "mixing", "arguments": {"iterations": 90, "mixer": mixer}},
    ]
    engine = Engine(make_calculator(altered(waves, remedies, iterations=3)))
    patient = Engine(make_calculator(waves)).evaluate(displaced())
    assert engine.evaluate(displaced()).energy == pytest.approx(patient.energy, abs=1e-4)
    assert engine.notes == ("A density became self-consistent only with a remedy of the recipe: mixing, after four in vain.",)


def test_magnetic_moments_are_heeded(waves: CalculatorRecipe) -> None:
    """An oxygen atom with two unpaired electrons lies more than 1 eV below one without, as it does in nature (Hund's rule)."""
    engine = Engine(make_calculator(waves))
    atom = Atoms("O", cell=[5.0, 5.1, 5.2], pbc=True)
    paired = engine.evaluate(atom).energy
    atom.set_initial_magnetic_moments([2.0])
    assert engine.evaluate(atom).energy < paired - 1.0


def test_moments_of_the_recipe_magnetise_iron(waves: CalculatorRecipe) -> None:
    """Body-centred iron, told its moment by the recipe alone, keeps one and lies far below iron without."""
    iron = Atoms("Fe", cell=bulk("Fe", "bcc", a=2.83).cell, pbc=True)
    coarse = altered(waves, cutoff_ev=250, kpoint_length=6.0, smearing_ev=0.1, density_tolerance=1e-3)
    energies, found = [], []
    for recipe in (coarse, altered(coarse, moments={"Fe": 2.3, "Ni": 0.6})):
        calculator: Any = make_calculator(recipe)
        calculator.calculate(iron, ["energy"])
        energies.append(calculator.results["energy"])
        found.append(calculator._solver.results.get("magmom", 0.0))  # noqa: SLF001 - studies do not ask for it
    assert energies[1] < energies[0] - 0.2
    assert found[0] == 0.0
    assert 1.5 < found[1] < 3.5


def test_dipole_layer_makes_a_polar_slab_independent_of_its_vacuum(waves: CalculatorRecipe) -> None:
    """Upright LiH molecules in a layer: with the correction 4 Å more vacuum change the energy by less than a third."""
    changes = []
    for dipole in (False, True):
        energies = []
        for height in (10.0, 14.0):
            layer = Atoms("LiH", positions=[[0, 0, 4.0], [0, 0, 5.6]], cell=[3.6, 3.6, height], pbc=[True, True, False])
            energies.append(Engine(make_calculator(altered(waves, dipole=dipole))).evaluate(layer).energy)
        changes.append(abs(energies[1] - energies[0]))
    assert changes[1] < changes[0] / 3


def test_interrupted_relaxation_ends_at_the_same_energy(waves: CalculatorRecipe, tmp_path: Path) -> None:
    """Given up after two steps and begun again from its journal, a relaxation has the energy of an undisturbed one to 1 meV."""

    def relaxed(journal: Path, steps: int) -> tuple[float, int]:
        recorded = Journal(journal, "gpaw")
        atoms = Engine(make_calculator(waves), recorded).relax(displaced(), fmax=0.02, max_steps=steps)
        return atoms.get_potential_energy(), len(recorded)

    energy, _ = relaxed(tmp_path / "undisturbed", 40)
    with pytest.raises(ConvergenceError):
        relaxed(tmp_path / "interrupted", 2)
    again, found = relaxed(tmp_path / "interrupted", 40)
    assert found >= 2
    assert again == pytest.approx(energy, abs=1e-3)
