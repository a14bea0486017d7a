"""Quantum ESPRESSO: forces and stress are slopes, one pw.x gives what many give, what fails is told and leaves nothing behind."""

import gc
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.espresso import Espresso, EspressoProfile
from ase.calculators.socketio import actualunixsocketname
from ase.spacegroup import crystal
from ase.units import Ry

from seiflow.calculators.espresso import EspressoCalculator
from seiflow.calculators.espresso import espresso as make_espresso
from seiflow.calculators.factory import calculator_versions, installation_problem, make_calculator
from seiflow.calculators.machine import VARIABLE
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf, weight_file
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, UnconvergedDensityError

COARSE = {"cutoff_ev": 480, "density_cutoff_ev": 1920, "kpoint_length": 5.0, "density_tolerance_ev": 1e-9}
"""Far too few plane waves for physics, enough for laws."""

GAMMA = COARSE | {"kpoint_length": 3.0}

WRAPPER = """\
#!/bin/sh
echo $$ >> {log}
exec {program} "$@"
"""
"""Writes the number of each process that is a pw.x."""

LONG = """\
import json, sys
from ase.build import bulk
from seiflow.calculators.espresso import espresso
calculator = espresso(**json.loads(sys.argv[1]))
calculator.calculate(bulk("Li", cubic=True, a=3.4) * 2, ["energy", "forces"])
"""
"""A program that takes minutes."""


def altered(recipe: CalculatorRecipe, remedies: list[dict[str, Any]] | None = None, **arguments: object) -> CalculatorRecipe:
    """Return a recipe with other arguments and remedies."""
    data = recipe.model_dump() | {"arguments": recipe.arguments | arguments, "remedies": remedies or []}
    return CalculatorRecipe.model_validate(data)


@pytest.fixture(scope="module")
def recipe(installed: Callable[[str], CalculatorRecipe]) -> CalculatorRecipe:
    """The fast recipe."""
    return installed("espresso-pbesol-fast")


Make = Callable[..., EspressoCalculator]


@pytest.fixture
def make(recipe: CalculatorRecipe) -> Iterator[Make]:
    """Return a function that makes calculators with few plane waves; all are closed in the end."""
    made = []

    def calculator(**arguments: object) -> EspressoCalculator:
        made.append(make_calculator(altered(recipe, **(COARSE | arguments))))
        assert isinstance(made[-1], EspressoCalculator)
        return made[-1]

    yield calculator
    for each in made:
        each.close()


def oxide(*, shift: float = 0.0) -> Atoms:
    """Li2O, three atoms, without symmetry if lithium is shifted."""
    sites = [(0.25, 0.25, 0.25), (0, 0, 0)]
    atoms: Atoms = crystal(["Li", "O"], sites, spacegroup=225, cellpar=[4.6] * 3 + [90] * 3, primitive_cell=True)
    atoms.positions[0] += np.array([0.3, -0.1, 0.2]) * shift
    return atoms


def strained(atoms: Atoms, strain: np.ndarray) -> Atoms:
    copy: Atoms = atoms.copy()
    copy.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return copy


def test_force_is_the_slope_of_the_energy(make: Make) -> None:
    """The force along a direction is a central difference of energies, of Γ alone and with more k-points; one pw.x serves all."""
    direction, step = np.array([0.6, 0.0, 0.8]), 0.02
    for length in (3.0, 5.0):
        calculator = make(kpoint_length=length)
        engine, atoms, energies = Engine(calculator), oxide(shift=1), []
        force = float(engine.evaluate(atoms).forces[0] @ direction)
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[0] += sign * step * direction
            energies.append(engine.evaluate(moved).energy)
        assert abs(force) > 0.1
        assert force == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=0.02)
        assert calculator.processes == 1


def test_stress_is_the_slope_of_the_energy_at_the_same_plane_waves(make: Make) -> None:
    """Where one pw.x keeps its plane waves, the stress is the slope of the energy by the strain, tension positive."""
    calculator = make(restart_strain=0.01)
    engine, atoms = Engine(calculator), oxide(shift=0.3)
    strain = np.array([[0.5, 0.3, 0.0], [0.3, -0.2, 0.1], [0.0, 0.1, 1.0]]) * 0.004
    voigt = engine.evaluate(atoms, stress=True).stress
    assert voigt is not None
    xx, yy, zz, yz, xz, xy = voigt
    expected = float(np.sum(np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) * strain)) * atoms.get_volume()
    plus, minus = (engine.evaluate(strained(atoms, sign * strain), stress=True).energy for sign in (1, -1))
    assert calculator.processes == 1
    assert abs(expected) > 0.001
    assert expected == pytest.approx((plus - minus) / 2, rel=0.02)


def test_moved_cell_has_the_energy_of_its_own_plane_waves(make: Make) -> None:
    """A cell grown in a running pw.x has the energy of a fresh one with the same plane waves; a cell far off gets a new pw.x."""
    calculator, growth = make(restart_strain=0.01), 1.008
    calculator.calculate(oxide(shift=0.3), ["energy", "forces", "stress"])
    grown = strained(oxide(shift=0.3), np.eye(3) * (growth - 1))
    calculator.calculate(grown, ["energy", "forces", "stress"])
    assert calculator.processes == 1
    cutoffs = {name: COARSE[name] / growth**2 for name in ("cutoff_ev", "density_cutoff_ev")}
    other = make(socket=False, **cutoffs)
    other.calculate(grown, ["energy", "forces", "stress"])
    assert calculator.results["energy"] == pytest.approx(other.results["energy"], abs=1e-5)
    assert calculator.results["forces"] == pytest.approx(other.results["forces"], abs=2e-3)
    assert calculator.results["stress"] == pytest.approx(other.results["stress"], abs=2e-4)
    calculator.calculate(strained(oxide(shift=0.3), np.eye(3) * -0.02), ["energy", "forces", "stress"])
    assert calculator.processes == 2


def test_relaxation_takes_fewer_iterations_through_the_socket(make: Make) -> None:
    """One pw.x relaxes ions to the energy that one for each step finds, with a fifth of the iterations less or more."""
    found = {}
    for socket in (True, False):
        calculator = make(socket=socket)
        engine = Engine(calculator)
        relaxed = engine.relax(oxide(shift=0.3), fmax=0.02)
        found[socket] = (
            relaxed.get_potential_energy(),
            calculator.scf_iterations,
            calculator.processes,
            engine.force_evaluations,
        )
    assert found[True][0] == pytest.approx(found[False][0], abs=1e-5)
    assert found[True][2] == 1
    assert found[False][2] == found[False][3] == found[True][3] > 3
    assert found[True][1] < found[False][1] * 4 / 5


def test_lost_symmetry_takes_another_process(make: Make) -> None:
    """pw.x would impose the symmetry it began with, so a structure with less has another one, and the same energy as alone."""
    served, alone = make(), make(socket=False)
    crystal_, moved = oxide(), oxide(shift=0.3)
    along = oxide()
    along.positions[0] += [0, 0, 0.05]
    processes = []
    for atoms in (crystal_, along, moved, crystal_):
        served.calculate(atoms, ["energy", "forces"])
        processes.append(served.processes)
        if atoms is not crystal_:
            alone.calculate(atoms, ["energy", "forces"])
            assert served.results["energy"] == pytest.approx(alone.results["energy"], abs=1e-5)
            assert served.results["forces"] == pytest.approx(alone.results["forces"], abs=2e-3)
    assert processes == [1, 2, 3, 3]
    assert np.abs(served.results["forces"]).max() < 2e-3


def plain(folder: Path, atoms: Atoms, recipe: CalculatorRecipe, **system: object) -> tuple[float, str]:
    """Return the energy of a structure, and what was printed, by ASE alone."""
    smearing = {"occupations": "smearing", "smearing": "gaussian", "degauss": 0.05 / Ry}
    cutoffs = {"ecutwfc": COARSE["cutoff_ev"] / Ry, "ecutrho": COARSE["density_cutoff_ev"] / Ry}
    files = recipe.arguments["pseudopotentials"]
    solver = Espresso(
        profile=EspressoProfile("pw.x", weight_file(recipe.weights[0]).parent),
        directory=folder,
        pseudopotentials=files,
        kpts=(2, 2, 2),
        input_data={"system": cutoffs | smearing | system, "electrons": {"conv_thr": 1e-9}},
    )
    solver.calculate(atoms, ["energy"], [])
    return solver.results["energy"], (folder / "espresso.pwo").read_text(encoding="utf-8")


def test_charge_and_odd_electron_are_those_asked_for(make: Make, recipe: CalculatorRecipe, tmp_path: Path) -> None:
    """Without a Li atom a cell of nine electrons has one unpaired, without the ion ten paired ones; as ASE alone finds."""
    atoms = oxide()
    del atoms[0]
    energy, printed = plain(tmp_path / "charged", atoms, recipe, tot_charge=-1)
    assert "number of electrons       =        10.00" in printed
    charged = make(charge=-1)
    charged.calculate(atoms, ["energy", "forces"])
    assert charged.results["energy"] == pytest.approx(energy, abs=1e-3)
    spin = {"nspin": 2, "tot_magnetization": 1, "starting_magnetization(1)": 0.1, "starting_magnetization(2)": 0.1}
    energy, printed = plain(tmp_path / "neutral", atoms, recipe, **spin)
    assert "number of electrons       =         9.00" in printed
    neutral = make()
    neutral.calculate(atoms, ["energy", "forces"])
    assert neutral.results["free_energy"] == pytest.approx(energy, abs=1e-3)


def test_dipole_layer_makes_a_polar_slab_independent_of_its_vacuum(make: Make) -> None:
    """A layer of O beside one of Li2: with the correction 3 Å more vacuum change the energy by less than a third."""
    changes = []
    for dipole in (False, True):
        energies = []
        for height in (11.0, 14.0):
            layer = Atoms("OLi2", cell=[3.27, 3.27, height], pbc=[True, True, False])
            layer.positions = [[0, 0, 3.0], [1.635, 0, 4.155], [0, 1.635, 4.155]]
            calculator = make(dipole=dipole, kpoint_length=5.0, density_tolerance_ev=1e-4)
            calculator.calculate(layer, ["energy", "forces"])
            energies.append(calculator.results["energy"])
            calculator.close()
        changes.append(abs(energies[1] - energies[0]))
    assert changes[1] < changes[0] / 3
    with pytest.raises(CalculatorError, match="no stress where it undoes the field"):
        calculator.calculate(layer, ["energy", "forces", "stress"])


@pytest.mark.parametrize("argument", ["mixing_mode", "diagonalization"])
def test_ways_to_a_density_that_are_unknown_are_refused(make: Make, argument: str) -> None:
    """A misspelt way is told with those that there are, before anything is computed."""
    with pytest.raises(CalculatorError, match=f"no {argument} 'foo'; take "):
        make(**{argument: "foo"})


def test_smeared_metal_has_the_energy_at_zero_width(make: Make) -> None:
    """The energy of a metal depends far less on the width than the free energy: half of the entropy's share is taken out."""
    atoms = bulk("Li", a=3.4)
    energies = []
    for width in (0.2, 0.4):
        calculator = make(metal_smearing_ev=width, metal_kpoint_length=25.0, cutoff_ev=300, density_cutoff_ev=1200)
        calculator.calculate(atoms, ["energy", "forces"])
        energies.append((calculator.results["energy"], calculator.results["free_energy"]))
    (narrow, free), (wide, freer) = energies
    assert abs(wide - narrow) < abs(freer - free) / 4
    with pytest.raises(CalculatorError, match=r"Li is a metal.*smearing_ev above 0"):
        make(metal_smearing_ev=0).calculate(atoms, ["energy"])
    with pytest.raises(CalculatorError, match=r"Li is a metal.*smearing_ev above 0"):
        make(metal_smearing_ev=None, smearing_ev=0).calculate(atoms, ["energy"])


def test_metal_may_have_a_smearing_of_its_own(make: Make) -> None:
    """A width of metals leaves an insulator's bands filled, and is that of all others unless the recipe says it."""
    free = []
    for widths in ({"smearing_ev": 0.3, "metal_smearing_ev": None}, {"smearing_ev": 0.0, "metal_smearing_ev": 0.3}):
        calculator = make(**widths, metal_kpoint_length=8.0, cutoff_ev=300, density_cutoff_ev=1200)
        calculator.calculate(bulk("Li", a=3.4), ["energy", "forces"])
        free.append(calculator.results["free_energy"])
    assert free[0] == pytest.approx(free[1], abs=1e-6)
    calculator.calculate(oxide(), ["energy", "forces"])
    assert calculator.results["energy"] == calculator.results["free_energy"]


def test_bands_of_an_insulator_may_be_filled_as_such(make: Make) -> None:
    """Without smearing an insulator has the energy that it has with it."""
    energies = []
    for width in (0.05, 0.0):
        calculator = make(smearing_ev=width)
        calculator.calculate(oxide(), ["energy", "forces"])
        energies.append(calculator.results["energy"])
    assert energies[0] == pytest.approx(energies[1], abs=1e-5)


def test_initial_moments_are_heeded(make: Make) -> None:
    """An oxygen atom told that it has two unpaired electrons lies at least 1 eV below one that is told nothing."""
    atoms = Atoms("O", cell=[4.5, 4.5, 4.5], pbc=True)
    calculator = make(kpoint_length=1.0, mixing_beta=0.3)
    energies = []
    for moment in (0.0, 2.0):
        atoms.set_initial_magnetic_moments([moment])
        calculator.calculate(atoms, ["energy", "forces"])
        energies.append(calculator.results["energy"])
    assert calculator.processes == 2
    assert energies[1] < energies[0] - 1


def test_moments_of_the_recipe_magnetise_nickel(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Face-centred nickel, told its moment by the recipe alone, keeps about it, below nickel without."""
    nickel = Atoms("Ni", cell=bulk("Ni", "fcc", a=3.46).cell, pbc=True)
    said: list[str] = []
    monkeypatch.setattr("seiflow.calculators.espresso.iterations", lambda printed: said.append(printed) or 1)
    file = {"pseudopotentials": {"Ni": "Ni.pbesol-n-kjpaw_psl.0.1.UPF"}, "cutoff_ev": 400, "density_cutoff_ev": 1600}
    rest = {"kpoint_length": 6.0, "smearing_ev": 0.15, "density_tolerance_ev": 1e-4}
    energies = []
    for moments in ({}, {"Ni": 0.6}):
        calculator = make(**file, **rest, moments=moments)
        calculator.calculate(nickel, ["energy", "forces"])
        energies.append(calculator.results["energy"])
    assert "total magnetization" not in said[0]
    assert energies[1] < energies[0] - 0.01
    assert 0.3 < float(re.findall(r"total magnetization += +(\S+) Bohr", said[1])[-1]) < 1.3


def test_other_versions_are_asked_as_the_protocol_has_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Energies, forces and stress are those of pw.x told what to compute, if it is not known to understand that."""
    told, asked = make(), make()
    for atoms in (oxide(shift=0.3), oxide(shift=0.25)):
        told.calculate(atoms, ["energy", "forces", "stress"])
        with monkeypatch.context() as context:
            context.setattr("seiflow.calculators.espresso.TELLING", "no version")
            asked.calculate(atoms, ["energy", "forces", "stress"])
        for name, tolerance in (("energy", 1e-5), ("forces", 2e-3), ("stress", 2e-4)):
            assert told.results[name] == pytest.approx(asked.results[name], abs=tolerance)
    assert (told.processes, asked.processes) == (1, 1)


@pytest.mark.parametrize("socket", [True, False])
def test_unconverged_density_is_told(make: Make, socket: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A density that did not become self-consistent is an error, never an energy."""
    with pytest.raises(UnconvergedDensityError, match=r"Li2O, charge \+0.*2 iterations of pw\.x"):
        make(socket=socket, iterations=2).calculate(oxide(), ["energy", "forces"])


def test_remedy_that_helped_is_noted(recipe: CalculatorRecipe) -> None:
    """Remedies are tried in their order, and the result tells which one helped."""
    remedies = [{"name": "three iterations", "arguments": {"iterations": 3}}]
    remedies += [{"name": "less mixing", "arguments": {"iterations": 60, "mixing_beta": 0.5, "mixing_mode": "local-TF"}}]
    calculator = make_calculator(altered(recipe, remedies, **GAMMA, iterations=2))
    engine = Engine(calculator)
    engine.evaluate(oxide())
    calculator.close()
    assert engine.notes == (
        "A density became self-consistent only with a remedy of the recipe: less mixing, after three iterations in vain.",
    )


def test_remedies_of_the_recipes_find_the_same_density(recipe: CalculatorRecipe) -> None:
    """Each remedy of the recipes changes how a density is sought and not its energy, and the three precisions share them."""
    names = ("espresso-pbesol-fast", "espresso-pbesol", "espresso-pbesol-precise")
    assert len({str(calculator_shelf().get(name).remedies) for name in names}) == 1
    energies = []
    for changes in ({}, *(remedy.arguments for remedy in recipe.remedies)):
        calculator = make_calculator(altered(recipe, **(GAMMA | changes)))
        energies.append(Engine(calculator).evaluate(oxide()).energy)
        calculator.close()
    assert energies == pytest.approx([energies[0]] * len(energies), abs=1e-5)


@pytest.mark.parametrize("socket", [True, False])
def test_crash_shows_what_pw_said(recipe: CalculatorRecipe, tmp_path: Path, socket: bool) -> None:  # noqa: FBT001 - as above
    """When pw.x stops at half a pseudopotential the error says of what structure, and quotes its last lines."""
    for entry in recipe.weights:
        shutil.copy(weight_file(entry), tmp_path)
    half = tmp_path / recipe.weights[1].partition(":")[2]
    half.write_bytes(half.read_bytes()[:200_000])
    arguments: dict[str, Any] = recipe.arguments | COARSE | {"socket": socket}
    calculator = make_espresso(command="pw.x", folder=str(tmp_path), **arguments)
    with pytest.raises(CalculatorError, match=r"Li2O, charge \+0: pw\.x stopped.*\n(.*\n)*.*End of file"):
        calculator.calculate(oxide(), ["energy", "forces"])


def test_what_is_missing_or_does_not_fit_is_said_beforehand(
    recipe: CalculatorRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program or pseudopotential that is not there is said before any job, one for another functional when it is made."""
    machine = tmp_path / "machine.yaml"
    monkeypatch.setenv(VARIABLE, str(machine))
    for text, said in (
        ("programs: {pw.x: no-such-pw.x}", "no-such-pw.x is not on the path; install it"),
        (f"folders: {{espresso: {tmp_path}}}", r"espresso:Li\.pbesol.*not found \(no file"),
    ):
        machine.write_text(text, encoding="utf-8")
        weight_file.cache_clear()
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(installation_problem(recipe))
    weight_file.cache_clear()
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(CalculatorError, match="was made for SLA PW PSX PSC, the recipe says functional: PBE;"):
        make_calculator(altered(recipe, functional="PBE"))
    with pytest.raises(CalculatorError, match="no pseudopotential for C"):
        make_calculator(altered(recipe)).calculate(bulk("C"), ["energy"])


def test_version_is_known(recipe: CalculatorRecipe) -> None:
    """Results name the version of pw.x, and a command that is no pw.x is told."""
    assert calculator_versions(recipe)["pw.x"][0].isdigit()
    from seiflow.calculators.espresso import program_version

    with pytest.raises(CalculatorError, match=r"'echo hello' does not start pw\.x"):
        program_version("echo hello")


@pytest.fixture
def wrapped(recipe: CalculatorRecipe, tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """Return arguments of the factory, and the file to which each pw.x adds its number."""
    log, wrapper = tmp_path / "numbers", tmp_path / "pw"
    wrapper.write_text(WRAPPER.format(log=shlex.quote(str(log)), program=shutil.which("pw.x")), encoding="utf-8")
    wrapper.chmod(0o755)
    folder = str(weight_file(recipe.weights[0]).parent)
    return {"command": str(wrapper), "folder": folder, **recipe.arguments, **GAMMA}, log


def numbers(log: Path) -> list[int]:
    return [int(line) for line in log.read_text(encoding="utf-8").split()] if log.exists() else []


def runs(number: int) -> bool:
    """Tell whether a process is there and not a dead one that nobody asked for."""
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(number: int, seconds: float = 10) -> bool:
    until = time.monotonic() + seconds
    while runs(number) and time.monotonic() < until:
        time.sleep(0.05)
    return not runs(number)


def at_work(log: Path) -> bool:
    """Tell whether the last pw.x looks for a density."""
    started = numbers(log)
    if not started or not runs(started[-1]):
        return False
    outputs = Path(f"/proc/{started[-1]}/cwd").glob("*pw*")
    return any("iteration #  1" in path.read_text(encoding="utf-8") for path in outputs if path.suffix in {".out", ".pwo"})


def test_closed_or_forgotten_calculators_leave_nothing(wrapped: tuple[dict[str, Any], Path]) -> None:
    """pw.x and its folder go when the calculator is closed, and when nothing refers to it any more."""
    arguments, log = wrapped
    for end in ("close", "forget"):
        calculator = make_espresso(**arguments)
        calculator.calculate(oxide(), ["energy", "forces"])
        number = numbers(log)[-1]
        folder = Path(f"/proc/{number}/cwd").resolve()
        assert folder.name.startswith("seiflow-pw-")
        if end == "close":
            calculator.close()
        del calculator
        gc.collect()
        assert gone(number)
        assert not folder.exists()


def test_dead_program_is_replaced(wrapped: tuple[dict[str, Any], Path]) -> None:
    """A pw.x that died between two structures is started anew, with the same energy."""
    arguments, log = wrapped
    calculator = make_espresso(**arguments)
    energies = []
    for _ in range(2):
        calculator.calculate(oxide(), ["energy", "forces"])
        energies.append(calculator.results["energy"])
        os.kill(numbers(log)[-1], signal.SIGKILL)
        assert gone(numbers(log)[-1])
        time.sleep(0.5)
    calculator.close()
    assert calculator.processes == 2
    assert energies[0] == pytest.approx(energies[1], abs=1e-6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("socket", [True, False])
def test_killed_python_leaves_nothing(
    wrapped: tuple[dict[str, Any], Path],
    number: signal.Signals,
    socket: bool,  # noqa: FBT001 - as above
) -> None:
    """pw.x and its folder go when Python is killed in the middle of a density, however that happens."""
    arguments, log = wrapped
    text = json.dumps(arguments | {"socket": socket})
    python = subprocess.Popen([sys.executable, "-c", LONG, text], start_new_session=True)
    until = time.monotonic() + 60
    while not at_work(log):
        assert time.monotonic() < until
        assert python.poll() is None
        time.sleep(0.1)
    program = numbers(log)[-1]
    folder = Path(f"/proc/{program}/cwd").readlink()
    os.killpg(python.pid, number)
    assert python.wait() == -number
    assert gone(program)
    until = time.monotonic() + 10
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()
    assert not list(Path(actualunixsocketname("x")).parent.glob(f"ipi_seiflow_{python.pid}_*"))
