"""Densities that outlive a job: a resumed one begins with what an earlier one left; what cannot be kept or read does no harm."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.spacegroup import crystal
from conftest import PROGRAMS

from seiflow import kept_density
from seiflow.calculators.densities import Continuing, is_of, write_of
from seiflow.calculators.factory import make_calculator
from seiflow.calculators.recipes import CalculatorRecipe, Remedy
from seiflow.calculators.remedies import Persevering
from seiflow.engine import Engine, Evaluation
from seiflow.errors import UnconvergedDensityError
from seiflow.journal import Journal, density_folders

GPAW = {"cutoff_ev": 250, "kpoint_length": 4.0}
ESPRESSO = {"cutoff_ev": 480, "density_cutoff_ev": 1920, "kpoint_length": 5.0}
CP2K = {
    "basis": {"H": "DZVP-GTH-PADE"},
    "basis_files": ["BASIS_SET"],
    "potential": {"H": "GTH-PBE-q1"},
    "cutoff_ev": 3000,
    "relative_cutoff_ev": 600,
}
"""What makes recipes cheap: far too coarse for physics, enough for laws."""

Walk = list[Atoms]


class Dreaming(Calculator):  # type: ignore[misc] # the base class is untyped
    """EMT whose density is the number of structures evaluated, and which may fail to write, to read it, or with it."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, *, fails: bool = False, distrusts: int = 0) -> None:
        """Begin without any."""
        super().__init__()
        self.density = 0
        self.fails, self.distrusts = fails, distrusts

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.distrusts:
            self.distrusts -= 1
            raise UnconvergedDensityError
        fresh = EMT()
        fresh.calculate(self.atoms, properties, all_changes)
        self.results = fresh.results
        self.density += 1

    def keep_density(self, folder: Path) -> None:
        """Write it."""
        (folder / "density").write_text(str(self.density), encoding="utf-8")
        if self.fails:
            raise OSError

    def take_density(self, folder: Path) -> None:
        """Read it."""
        if self.fails:
            raise ValueError
        self.density = int((folder / "density").read_text(encoding="utf-8"))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every density be written, however long that takes."""
    monkeypatch.setattr(kept_density, "SHARE", 0)


def copper(displaced: float) -> Atoms:
    """Copper with its atom off its place."""
    atoms = bulk("Cu", a=3.6)
    atoms.positions[0, 0] = displaced
    return atoms


@pytest.mark.usefixtures("always")
def test_density_goes_from_one_run_to_the_next_and_goes_with_the_journal(tmp_path: Path) -> None:
    """A run begins with the density of the structure evaluated last, and takes it once; calculators of other contexts do not."""
    path = tmp_path / "journal"
    first, second, other = Dreaming(), Dreaming(), Dreaming()
    for displaced in (0.1, 0.2):
        Engine(first, Journal(path, "one")).evaluate(copper(displaced))
    journal = Journal(path, "one")
    engine = Engine(second, journal)
    engine.evaluate(copper(0.1))
    assert second.density == 0, "nothing is asked of a calculator for what is read back"
    for displaced in (0.3, 0.4):
        engine.evaluate(copper(displaced))
    assert second.density == 4
    Engine(other, Journal(path, "another")).evaluate(copper(0.1))
    assert other.density == 1
    assert len(list(density_folders(path).iterdir())) == 2
    journal.remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("always")
def test_density_that_cannot_be_kept_or_read_does_no_harm(tmp_path: Path) -> None:
    """A job goes on where writing or reading fails; it leaves no half of a density, and one that it could not read."""
    path = tmp_path / "journal"
    unable = Dreaming(fails=True)
    engine = Engine(unable, Journal(path, "c"))
    engine.evaluate(copper(0.1))
    assert not list(density_folders(path).iterdir())
    unable.fails = False
    engine.evaluate(copper(0.2))
    assert not list(density_folders(path).iterdir()), "what failed once is not tried again in a job"
    Engine(Dreaming(), Journal(path, "c")).evaluate(copper(0.3))
    broken = Dreaming(fails=True)
    Engine(broken, Journal(path, "c")).evaluate(copper(0.4))
    assert broken.density == 1
    assert [each.name for each in next(density_folders(path).iterdir()).iterdir()] == ["density"]


@pytest.mark.usefixtures("always")
def test_first_structure_begins_with_atoms_where_a_density_leads_nowhere(tmp_path: Path) -> None:
    """An evaluation that fails is tried once more without what an earlier run left; another failure is that of the structure."""
    path = tmp_path / "journal"
    Engine(Dreaming(), Journal(path, "c")).evaluate(copper(0.1))
    doubtful = Dreaming(distrusts=1)
    engine = Engine(doubtful, Journal(path, "c"))
    engine.evaluate(copper(0.2))
    doubtful.distrusts = 2
    with pytest.raises(UnconvergedDensityError):
        engine.evaluate(copper(0.3))
    with pytest.raises(UnconvergedDensityError):
        Engine(Dreaming(distrusts=2), Journal(path, "c")).evaluate(copper(0.4))


def test_interrupt_leaves_no_half_of_a_density(tmp_path: Path) -> None:
    """Ctrl-C while a density is written ends the job, which leaves the journal alone."""

    class Interrupted(Dreaming):
        def keep_density(self, folder: Path) -> None:
            super().keep_density(folder)
            raise KeyboardInterrupt

    path = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt):
        Engine(Interrupted(), Journal(path, "c")).evaluate(copper(0.1))
    assert not list(density_folders(path).iterdir())
    assert len(Journal(path, "c")) == 1


def test_densities_take_little_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After one that took a second none is written for twenty; without a journal none is written at all."""
    now = 100.0

    class Slow(Dreaming):
        def keep_density(self, folder: Path) -> None:
            nonlocal now
            now += 1.0
            super().keep_density(folder)

    monkeypatch.setattr("seiflow.kept_density.monotonic", lambda: now)
    calculator = Slow()
    engine = Engine(calculator, Journal(tmp_path / "journal", "c"))
    written = []
    for displaced in range(1, 51):
        before = now
        engine.evaluate(copper(0.01 * displaced))
        written.append(now > before)
        now += 1.0
    assert written[:2] == [True, False]
    assert sum(written) == 3
    Engine(Slow()).evaluate(copper(0.1))
    assert len(list(tmp_path.iterdir())) == 2


def test_what_a_density_is_of_is_compared_whole(tmp_path: Path) -> None:
    """Numbers count to the last bit, and an empty folder is of nothing."""
    assert not is_of(tmp_path, None)
    write_of(tmp_path, ((0.1 + 0.2,), "a"))
    assert is_of(tmp_path, ((0.1 + 0.2,), "a"))
    assert not is_of(tmp_path, ((0.3,), "a"))


def test_calculator_with_remedies_keeps_the_density_of_the_one_at_work(tmp_path: Path) -> None:
    """What tries remedies hands on what its calculator keeps, and keeps nothing where that one does not."""
    dreaming = Dreaming()
    persevering = Persevering(lambda _: dreaming, [])
    assert isinstance(persevering, Continuing)
    persevering.calculate(copper(0.1), ["energy"])
    persevering.keep_density(tmp_path)
    persevering.calculate(copper(0.2), ["energy"])
    persevering.take_density(tmp_path)
    assert dreaming.density == 1
    (tmp_path / "density").unlink()
    plain = Persevering(lambda _: EMT(), [])
    plain.keep_density(tmp_path)
    plain.take_density(tmp_path)
    assert not list(tmp_path.iterdir())


def test_density_found_with_a_remedy_goes_to_that_remedy(tmp_path: Path) -> None:
    """A calculator as the recipe says may not want it; the one with the remedy gets it, and later ones do not."""
    made: list[Dreaming] = []

    def make(remedy: Remedy | None) -> Dreaming:
        made.append(Dreaming(distrusts=0 if remedy else 1))
        return made[-1]

    (tmp_path / "density").write_text("7", encoding="utf-8")
    persevering = Persevering(make, [Remedy(name="patience", arguments={"iterations": 9})])
    persevering.take_density(tmp_path)
    persevering.calculate(copper(0.1), ["energy"])
    assert [each.density for each in made] == [7, 8]
    made[-1].distrusts = 1
    with pytest.raises(UnconvergedDensityError):
        persevering.calculate(copper(0.2), ["energy"])
    assert made[-1].density == 0


def coarse(recipe: CalculatorRecipe, **arguments: object) -> CalculatorRecipe:
    """Return a recipe with other arguments and without remedies."""
    return recipe.model_copy(update={"arguments": recipe.arguments | arguments, "remedies": []})


def walked(atoms: Atoms) -> Walk:
    """Return three structures without symmetry, one a step after the other."""
    random = np.random.default_rng(1)
    atoms.positions[0] += [0.06, 0.02, -0.04]
    steps = [atoms]
    while len(steps) < 3:
        steps.append(steps[-1].copy())
        steps[-1].positions += random.normal(0, 0.02, (len(atoms), 3))
    return steps


def evaluations(recipe: CalculatorRecipe, walk: Walk, journal: Journal) -> Iterator[Evaluation]:
    """Evaluate structures by one calculator, which is closed thereafter."""
    calculator = make_calculator(recipe)
    with closing(calculator) if hasattr(calculator, "close") else nullcontext():
        yield from map(Engine(calculator, journal).evaluate, walk)


@pytest.mark.usefixtures("always")
def test_resumed_gpaw_goes_on_with_the_wave_functions(
    installed: Callable[[str], CalculatorRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GPAW takes as many iterations as in an undisturbed job, fewer than from atoms; so it does in a program of its own."""
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    recipe = coarse(installed("gpaw-pbe"), **GPAW)
    walk, path = walked(bulk("LiF", "rocksalt", a=4.06)), tmp_path / "journal"
    list(evaluations(recipe, walk[:2], Journal(path)))
    shutil.copytree(density_folders(path), density_folders(tmp_path / "another"))
    found = []
    for steps, journal in ((walk, Journal()), (walk[2:], Journal(path)), (walk[2:], Journal())):
        calculator = make_calculator(recipe)
        engine = Engine(calculator, journal)
        for step in steps:
            before = calculator.scf_iterations
            evaluation = engine.evaluate(step)
        found.append((evaluation, calculator.scf_iterations - before))
    (undisturbed, few), (resumed, again), (afresh, many) = found
    assert again <= few + 1 < many
    assert resumed.energy == pytest.approx(undisturbed.energy, abs=1e-6)
    (apart,) = evaluations(recipe.model_copy(update={"program": "gpaw"}), walk[2:], Journal(tmp_path / "another"))
    assert apart.forces == pytest.approx(resumed.forces, abs=1e-9)
    assert np.abs(afresh.forces - resumed.forces).max() > 1e-7


@pytest.mark.usefixtures("always")
def test_gpaw_takes_a_density_of_its_own_settings_alone(installed: Callable[[str], CalculatorRecipe], tmp_path: Path) -> None:
    """With more plane waves the result is that of a first evaluation; one that is read holds no file open."""
    walk, path = walked(bulk("LiF", "rocksalt", a=4.06)), tmp_path / "journal"
    recipe = coarse(installed("gpaw-pbe"), **GPAW)
    list(evaluations(recipe, walk[:1], Journal(path)))
    finer = coarse(recipe, cutoff_ev=280)
    *_, afresh = evaluations(finer, walk[2:], Journal())
    *_, resumed = evaluations(finer, walk[2:], Journal(path))
    assert resumed.forces == pytest.approx(afresh.forces, abs=1e-9)
    calculator = make_calculator(recipe)
    assert isinstance(calculator, Continuing)
    calculator.take_density(next(density_folders(path).iterdir()))
    assert not any(".gpw" in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


@pytest.mark.usefixtures("always")
def test_resumed_espresso_begins_with_the_density(
    installed: Callable[[str], CalculatorRecipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pw.x reads the density of the same cell alone, for the same energy in no more iterations; a damaged one does no harm."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    recipe = coarse(installed("espresso-pbesol-fast"), **ESPRESSO)
    oxide = crystal(
        ["Li", "O"], [(0.25, 0.25, 0.25), (0, 0, 0)], spacegroup=225, cellpar=[4.6] * 3 + [90] * 3, primitive_cell=True
    )
    walk, path = walked(oxide), tmp_path / "journal"
    longer = walk[2].copy()
    longer.set_cell(longer.cell.array * 1.02, scale_atoms=True)
    for last, kind in ((walk[2], "same cell"), (longer, "another cell"), (walk[2], "damaged")):
        Journal(path).remove()
        list(evaluations(recipe, walk[:2], Journal(path)))
        if kind == "damaged":
            for file in density_folders(path).glob("*/paw.txt"):
                file.write_text("", encoding="utf-8")
        found = []
        for journal in (Journal(path), Journal()):
            calculator = make_calculator(recipe)
            with closing(calculator):
                energy = Engine(calculator, journal).evaluate(last).energy
                (output,) = tmp_path.glob("seiflow-pw-*/pw.out")
                read = "density is read from file" in output.read_text(encoding="utf-8")
                found.append((energy, calculator.scf_iterations, read))
        (energy, iterations, read), (expected, many, of_atoms) = found
        assert energy == pytest.approx(expected, abs=1e-5)
        assert (read, of_atoms) == (kind == "same cell", False)
        assert iterations <= many


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("length", [1.0, 6.0], ids=["Γ alone", "more k-points"])
def test_resumed_cp2k_begins_with_the_density(
    installed: Callable[[str], CalculatorRecipe], length: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CP2K takes fewer iterations than from atoms, for the same energy, by orbital transformation or by diagonalisation."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    recipe = coarse(installed("cp2k-pbe-fast"), **CP2K, kpoint_length=length)
    cell = [[2.4, 0, 0], [0.3, 2.5, 0], [-0.2, 0.4, 2.6]]
    walk = walked(Atoms("H2", positions=[[0.1, 0.2, 0.3], [0.5, 0.7, 0.8]], cell=cell, pbc=True))
    path = tmp_path / "journal"
    list(evaluations(recipe, walk[:2], Journal(path)))
    found = []
    for journal in (Journal(path), Journal()):
        for evaluation in evaluations(recipe, walk[2:], journal):
            said = next(tmp_path.glob("seiflow-cp2k-*/cp2k.out")).read_text(encoding="utf-8")
            steps = re.findall(r"SCF run converged in\s+(\d+)\s+steps", said)
            found.append((evaluation.energy, sum(map(int, steps))))
    (energy, iterations), (expected, many) = found
    assert energy == pytest.approx(expected, abs=1e-5)
    assert iterations < many
