"""Evaluations: counted, checked, kept for a resume; relaxations: converged or refused."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.spacegroup import crystal
from ase.units import GPa

from seiflow.cell_filters import CrystalFilter, NormalFilter
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, ConvergenceError
from seiflow.journal import Journal
from seiflow.model_hessian import CELL_IN_PLACE, IN_PLACE, model_hessian, model_hessian_with_cell, springs
from seiflow.properties.migration.hop import hop_barrier
from seiflow.properties.migration.network import hop_network, make_supercell
from seiflow.properties.migration.states import relax_vacancy
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.recording import LARGEST_SANE_FORCE
from seiflow.settings import MigrationSettings
from seiflow.structures.space_group import space_group

Job = Callable[[Engine], list[np.ndarray]]


class Metals(Calculator):
    """EMT without memory of earlier structures; counts, and is interrupted at a given evaluation."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]

    def __init__(self, killed_at: int | None = None) -> None:
        """Start counting."""
        super().__init__()
        self._killed_at = killed_at
        self.evaluations = 0
        self.stresses = 0
        self.cells: list[np.ndarray] = []

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.evaluations + 1 == self._killed_at:
            raise KeyboardInterrupt
        self.evaluations += 1
        self.cells.append(self.atoms.cell.array)
        self.stresses += "stress" in (properties or [])
        fresh = EMT()
        fresh.calculate(self.atoms, properties, all_changes)
        self.results = fresh.results


class Broken(Metals):
    """Right until the third evaluation, whose forces are spoilt."""

    def __init__(self, value: float) -> None:
        """Take what one component of the forces becomes."""
        super().__init__()
        self._value = value

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.evaluations == 3:
            self.results["forces"][1, 2] = self._value


class Rounded(Metals):
    """EMT whose energies have the digits of single precision of a larger cell."""

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        noise = np.sin(1e7 * self.results["energy"]) * 4e-5
        self.results["energy"] += noise


def rattled(cells: int = 1) -> Atoms:
    atoms = bulk("Cu", cubic=True).repeat(cells)
    atoms.rattle(0.15, seed=1)
    return atoms


def tetragonal() -> Atoms:
    """Ordered CuAu far from its equilibrium."""
    return Atoms("CuAu", scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=[2.9, 2.9, 3.4], pbc=True)


def monoclinic() -> Atoms:
    """Alloy of low symmetry far from its equilibrium, five atoms in C2/m."""
    places = [(0, 0, 0), (0.28, 0.5, 0.2), (0.15, 0, 0.6)]
    cell = [7.6, 2.9, 5.4, 90, 105, 90]
    return crystal(["Cu", "Au", "Ni"], places, spacegroup=12, cellpar=cell, primitive_cell=True)


def carbonate() -> Atoms:
    """Carbonate ion and lithium."""
    places = [(3, 3, 3), (4.29, 3, 3), (2.355, 4.117, 3), (2.355, 1.883, 3), (3, 3, 5)]
    return Atoms("COOOLi", positions=places, cell=[6, 6, 5.5], pbc=True)


def vacancy() -> Atoms:
    atoms = bulk("Cu", cubic=True).repeat(2)
    del atoms[0]
    return atoms


# Evaluations


def test_every_evaluation_is_counted_once() -> None:
    """The count is that of the calculator's own calls; asking again for the same structure on the same atoms is free."""
    metals = Metals()
    engine = Engine(metals)
    atoms = engine.attach(rattled())
    atoms.get_potential_energy()
    atoms.get_forces()
    assert engine.force_evaluations == metals.evaluations == 1
    relaxed = engine.relax(rattled(), fmax=0.05)
    relaxed.get_forces()
    assert engine.force_evaluations == metals.evaluations > 2


def test_stress_is_computed_only_where_it_is_asked_for() -> None:
    """Relaxing ions never asks for the stress; an evaluation with stress does once."""
    metals = Metals()
    engine = Engine(metals)
    engine.relax(rattled(), fmax=0.05)
    assert engine.evaluate(rattled()).stress is None
    assert metals.stresses == 0
    stress = engine.evaluate(rattled(), stress=True).stress
    reference = rattled()
    reference.calc = EMT()
    assert stress == pytest.approx(reference.get_stress())
    assert metals.stresses == 1


def test_evaluation_ignores_constraints() -> None:
    """Forces handed out are those of the calculator, with a constraint on the atoms or without."""
    held = Engine(EMT()).relax(tetragonal(), fmax=0.05, symmetric=True)
    free = held.copy()
    free.set_constraint()
    free.positions[0] += 0.1
    held.set_constraint(held.constraints)
    held.positions[:] = free.positions
    assert np.array_equal(Engine(EMT()).evaluate(held).forces, Engine(EMT()).evaluate(free).forces)


@pytest.mark.parametrize("value", [np.nan, np.inf, -2 * LARGEST_SANE_FORCE])
def test_nonsense_forces_are_refused(value: float) -> None:
    """NaN, infinity and forces that no solid has stop a relaxation at the evaluation that made them, which the message names."""
    with pytest.raises(CalculatorError, match="evaluation 3 of Cu4"):
        Engine(Broken(value)).relax(rattled(), fmax=0.001)


def test_nonsense_is_not_kept(tmp_path: Path) -> None:
    """A refused evaluation does not get into the journal, so that a repaired calculator is asked again."""
    path = tmp_path / "journal"
    with pytest.raises(CalculatorError):
        Engine(Broken(np.nan), Journal(path)).relax(rattled(), fmax=0.001)
    assert len(Journal(path)) == 2


def test_overlapping_atoms_are_refused() -> None:
    """Two atoms on top of each other make forces that are an error, not a result."""
    atoms = Atoms("Ar2", positions=[(0, 0, 0), (0.3, 0, 0)], cell=[9, 9, 9], pbc=True)
    with pytest.raises(CalculatorError, match="above 1000"):
        Engine(LennardJones()).relax(atoms, fmax=0.01)


# Journal


def relax_job(engine: Engine) -> list[np.ndarray]:
    relaxed = engine.relax(rattled(), fmax=0.001)
    return [relaxed.positions, relaxed.get_forces()]


def crystal_job(engine: Engine) -> list[np.ndarray]:
    relaxed = engine.relax_crystal(tetragonal(), fmax=0.001, stress_gpa=0.005)
    return [relaxed.positions, relaxed.cell.array, relaxed.get_forces(), relaxed.get_stress()]


def hop_job(engine: Engine) -> list[np.ndarray]:
    settings = MigrationSettings(image_distance=5.0, fmax=0.05)
    crystal = bulk("Cu", a=3.59)
    network = hop_network(crystal, "Cu", settings)
    supercell = make_supercell(crystal, network.supercell)
    vacancies = {site.site: relax_vacancy(supercell, site, engine, settings) for site in network.sites}
    barrier, frames = hop_barrier(supercell, network.hops[0], vacancies, site_symmetry(supercell), engine, settings)
    numbers = [barrier.barrier_forward_ev, barrier.barrier_backward_ev, *barrier.path.energy_ev]
    return [np.array(numbers), barrier.curvatures_ev_per_angstrom2, frames.saddle.positions]


KILLS = [
    (job, float(fraction))
    for job, kills in ((relax_job, 8), (crystal_job, 8), (hop_job, 4))
    for fraction in np.random.default_rng(kills).random(kills)
]


@pytest.fixture(scope="module")
def undisturbed() -> dict[Job, tuple[list[np.ndarray], int, int]]:
    """Result, count and calls of the calculator of each job, run without a kill."""
    found = {}
    for job in (relax_job, crystal_job, hop_job):
        metals = Metals()
        engine = Engine(metals)
        found[job] = (job(engine), engine.force_evaluations, metals.evaluations)
    return found


@pytest.mark.parametrize(("job", "fraction"), KILLS)
def test_killed_job_resumes_to_the_same_bits(
    job: Job, fraction: float, undisturbed: dict[Job, tuple[list[np.ndarray], int, int]], tmp_path: Path
) -> None:
    """Killed anywhere and run again, a job gives the bits and the count of an undisturbed run and computes only the rest."""
    expected, evaluations, calls = undisturbed[job]
    killed_at = 1 + int(fraction * calls)
    path = tmp_path / "journal"
    with pytest.raises(KeyboardInterrupt):
        job(Engine(Metals(killed_at), Journal(path, "emt")))
    rest = Metals()
    engine = Engine(rest, Journal(path, "emt"))
    for value, wanted in zip(job(engine), expected, strict=True):
        assert np.array_equal(value, wanted)
    assert engine.force_evaluations == evaluations
    assert rest.evaluations <= calls - (killed_at - 1)


def test_job_killed_again_and_again_resumes(undisturbed: dict[Job, tuple[list[np.ndarray], int, int]], tmp_path: Path) -> None:
    """A job killed after every third evaluation still arrives at the result of an undisturbed run."""
    path = tmp_path / "journal"
    kills = 0
    while True:
        try:
            result = crystal_job(Engine(Metals(killed_at=4), Journal(path)))
        except KeyboardInterrupt:
            kills += 1
        else:
            break
    assert kills > 1
    assert all(np.array_equal(value, wanted) for value, wanted in zip(result, undisturbed[crystal_job][0], strict=True))


def test_finished_journal_answers_everything(tmp_path: Path) -> None:
    """Run again with a whole journal, a job asks the calculator for nothing; with the journal removed, for everything."""
    path = tmp_path / "journal"
    journal = Journal(path)
    first = Metals()
    crystal_job(Engine(first, journal))
    again = Metals()
    crystal_job(Engine(again, Journal(path)))
    assert again.evaluations == 0
    journal.remove()
    assert not path.exists()
    crystal_job(Engine(again, Journal(path)))
    assert again.evaluations == first.evaluations


@pytest.mark.parametrize("kept", [1, 20, 200])
def test_cut_off_last_line_is_dropped(kept: int, tmp_path: Path) -> None:
    """A line that a kill cut off, at whatever byte, costs that evaluation only and does not spoil what is appended."""
    path = tmp_path / "journal"
    expected = relax_job(Engine(Metals(), Journal(path)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:kept])
    assert len(Journal(path)) == 3
    rest = Metals()
    found = relax_job(Engine(rest, Journal(path)))
    assert all(np.array_equal(value, wanted) for value, wanted in zip(found, expected, strict=True))
    assert rest.evaluations == len(lines) - 3
    assert path.read_bytes() == b"".join(lines)


def test_damaged_line_is_computed_again(tmp_path: Path) -> None:
    """Garbage in the middle costs the evaluation it stood for, not the others."""
    path = tmp_path / "journal"
    relax_job(Engine(Metals(), Journal(path)))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:1], b"\x00\xff{]\n", *lines[2:]]))
    rest = Metals()
    relax_job(Engine(rest, Journal(path)))
    assert rest.evaluations == 1


@pytest.mark.parametrize("context", ["", "emt 2", "EMT"])
def test_other_calculator_does_not_read_it(context: str, tmp_path: Path) -> None:
    """Evaluations belong to the calculator, weights and versions that made them."""
    path = tmp_path / "journal"
    Engine(Metals(), Journal(path, "emt")).evaluate(rattled())
    other, same = Metals(), Metals()
    Engine(other, Journal(path, context)).evaluate(rattled())
    Engine(same, Journal(path, "emt")).evaluate(rattled())
    assert (other.evaluations, same.evaluations) == (1, 0)


def test_journal_knows_structure_and_question_to_the_last_bit(tmp_path: Path) -> None:
    """The next representable position, a permuted element, another cell or a stress not yet computed are all new."""
    path = tmp_path / "journal"
    atoms = tetragonal()
    Engine(Metals(), Journal(path)).evaluate(atoms)
    moved, exchanged, squeezed = atoms.copy(), atoms.copy(), atoms.copy()
    moved.positions[1, 0] = np.nextafter(moved.positions[1, 0], 9)
    exchanged.symbols = "AuCu"
    squeezed.cell[2, 2] = np.nextafter(squeezed.cell[2, 2], 9)
    metals = Metals()
    for other in (moved, exchanged, squeezed):
        Engine(metals, Journal(path)).evaluate(other)
    assert metals.evaluations == 3
    Engine(metals, Journal(path)).evaluate(atoms, stress=True)
    assert metals.evaluations == 4
    Engine(metals, Journal(path)).evaluate(atoms)
    assert metals.evaluations == 4


def test_two_engines_do_not_mix(tmp_path: Path) -> None:
    """Jobs side by side each have their own journal and count."""
    first, second = Metals(), Metals()
    here, there = Engine(first, Journal(tmp_path / "a")), Engine(second, Journal(tmp_path / "b"))
    here.evaluate(rattled())
    there.evaluate(rattled())
    there.evaluate(tetragonal())
    assert (here.force_evaluations, there.force_evaluations) == (1, 2)
    assert (first.evaluations, second.evaluations) == (1, 2)
    assert (len(Journal(tmp_path / "a")), len(Journal(tmp_path / "b"))) == (1, 2)


# Relaxations


def test_unconverged_relaxation_is_refused_with_what_it_reached() -> None:
    """Too few steps end in an error that names the largest force, its limit and the setting; no structure comes out."""
    with pytest.raises(ConvergenceError, match=r"largest force \d\S* eV/Å after 2 steps, wanted 0\.001.*max_steps"):
        Engine(EMT()).relax(rattled(), fmax=0.001, max_steps=2)
    with pytest.raises(ConvergenceError, match="after 3 steps"):
        Engine(EMT()).relax_crystal(tetragonal(), fmax=0.001, stress_gpa=0.01, max_steps=3)


@pytest.mark.parametrize("fmax", [0.1, 0.01, 0.001])
def test_relaxation_reaches_its_tolerance_and_leaves_the_start_alone(fmax: float) -> None:
    """No force is above the limit, the cell and the start are what they were."""
    start = rattled(2)
    before = start.copy()
    relaxed = Engine(EMT()).relax(start, fmax=fmax)
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() <= fmax
    assert start == before
    assert np.array_equal(relaxed.cell.array, start.cell.array)


def test_symmetric_relaxation_keeps_the_space_group() -> None:
    """Within the symmetry of the start the structure of a vacancy has the same energy as without, and the same space group."""
    kept = Engine(EMT()).relax(vacancy(), fmax=0.005, symmetric=True)
    free = Engine(EMT()).relax(vacancy(), fmax=0.005)
    assert space_group(kept) == space_group(vacancy())
    assert kept.get_potential_energy() == pytest.approx(free.get_potential_energy(), abs=1e-4)


def test_crystal_keeps_its_space_group_and_reaches_both_tolerances() -> None:
    """A tetragonal alloy far from equilibrium stays tetragonal, with forces and stress below their limits."""
    start = tetragonal()
    relaxed = Engine(EMT()).relax_crystal(start, fmax=0.002, stress_gpa=0.01)
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() <= 0.002
    assert np.abs(relaxed.get_stress()).max() / GPa <= 0.01
    assert space_group(relaxed) == space_group(start)
    lengths = relaxed.cell.lengths()
    assert lengths[0] == pytest.approx(lengths[1], abs=1e-9)
    assert np.abs(lengths - start.cell.lengths()).max() > 0.05


def test_crystal_does_not_depend_on_where_it_starts() -> None:
    """Stretched or squeezed at the start, the crystal ends with the same lattice."""
    lattices = []
    for factor in (0.97, 1.04):
        start = tetragonal()
        start.set_cell(start.cell * factor, scale_atoms=True)
        lattices.append(Engine(EMT()).relax_crystal(start, fmax=0.002, stress_gpa=0.01).cell.lengths())
    assert lattices[0] == pytest.approx(lattices[1], abs=1e-3)


def test_monoclinic_crystal_takes_two_thirds_of_the_evaluations_of_bfgs() -> None:
    """With ions and four strains free to move, it takes at most two thirds of what ASE's BFGS with ASE's filter does.

    Both stop as soon as forces and stress are what they may be.
    """
    start = monoclinic()
    engine = Engine(EMT())
    relaxed = engine.relax_crystal(start, fmax=0.002, stress_gpa=0.01)
    other = start.copy()
    other.calc = EMT()
    other.set_constraint(FixSymmetry(other, symprec=1e-3))
    steps = BFGS(FrechetCellFilter(other), logfile=None).irun(fmax=1e-6, steps=300)
    evaluations = 1 + next(number for number, _ in enumerate(steps) if is_relaxed(other))
    assert space_group(relaxed) == space_group(start)
    assert relaxed.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-4)
    assert engine.force_evaluations <= 2 / 3 * evaluations


def is_relaxed(atoms: Atoms) -> bool:
    """Tell whether forces and stress are below the tolerances that relaxations have without being asked for others."""
    return bool(np.linalg.norm(atoms.get_forces(), axis=1).max() <= 0.002 and np.abs(atoms.get_stress()).max() <= 0.01 * GPa)


@pytest.mark.parametrize(("fmax", "stress_gpa"), [(0.002, 1e-4), (0.05, 0.01), (0.05, 0.001), (0.5, 0.01), (1e-4, 1.0)])
def test_crystal_takes_as_long_whatever_the_tolerances(fmax: float, stress_gpa: float) -> None:
    """How tight forces and stress are compared with each other changes neither that a crystal relaxes nor how fast by much."""
    usual, engine = Engine(EMT()), Engine(EMT())
    usual.relax_crystal(monoclinic(), fmax=0.002, stress_gpa=0.01)
    relaxed = engine.relax_crystal(monoclinic(), fmax=fmax, stress_gpa=stress_gpa)
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() <= fmax
    assert np.abs(relaxed.get_stress()).max() / GPa <= stress_gpa
    assert engine.force_evaluations <= 1.3 * usual.force_evaluations


def test_noise_of_the_energy_does_not_stop_a_crystal() -> None:
    """Energies of single precision, whose differences say nothing near the end, cost no more than a few evaluations."""
    exact, rounded = Engine(EMT()), Engine(Rounded())
    relaxed = exact.relax_crystal(monoclinic(), fmax=0.0005, stress_gpa=0.002)
    found = rounded.relax_crystal(monoclinic(), fmax=0.0005, stress_gpa=0.002)
    assert found.cell.array == pytest.approx(relaxed.cell.array, abs=1e-3)
    assert rounded.force_evaluations <= exact.force_evaluations + 6


class Jumping(EMT):  # type: ignore[misc] # the base class is untyped
    """EMT whose energy is that of a basis that loses a wave for each per cent of volume, as plane waves do; stress as ever."""

    def calculate(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - of the base class
        super().calculate(*arguments, **keywords)
        volumes = 100 * self.atoms.get_volume() / fcc().get_volume()
        self.results["energy"] += 0.02 * (volumes % 1.0)


def fcc(a: float = 3.5) -> Atoms:
    return bulk("Cu", a=a, cubic=True)


@pytest.mark.parametrize("a", [3.4, 3.53, 3.56, 3.66, 3.75])
def test_jumps_of_the_energy_do_not_stop_a_crystal(a: float) -> None:
    """Where energy and stress contradict each other the stress is believed: same cell, hardly more evaluations."""
    smooth, jumping = Engine(EMT()), Engine(Jumping())
    expected = smooth.relax_crystal(fcc(a), fmax=0.002, stress_gpa=0.01)
    found = jumping.relax_crystal(fcc(a), fmax=0.002, stress_gpa=0.01)
    assert found.cell.array == pytest.approx(expected.cell.array, abs=1e-3)
    assert jumping.force_evaluations <= smooth.force_evaluations + 3


def test_no_step_strains_a_crystal_by_more_than_a_tenth() -> None:
    """Squeezed to three quarters of its volume, a crystal comes back in steps that ASE can keep the symmetry in."""
    start = monoclinic()
    start.set_cell(start.cell * 0.91, scale_atoms=True)
    metals = Metals()
    relaxed = Engine(metals).relax_crystal(start, fmax=0.002, stress_gpa=0.01)
    strains = [np.linalg.norm(np.linalg.solve(before, after) - np.eye(3)) for before, after in itertools.pairwise(metals.cells)]
    assert max(strains) < 0.12
    assert np.abs(relaxed.get_stress()).max() / GPa <= 0.01


@pytest.mark.parametrize("atoms", [monoclinic(), bulk("Al"), carbonate()], ids=["alloy", "one atom", "molecular ion"])
def test_model_hessian_is_the_second_derivative_of_its_springs(atoms: Atoms) -> None:
    """Ions and cell that move in any two ways at once stretch springs; the model is what their energy says, by differences."""
    model = model_hessian_with_cell(atoms)
    for one, other in 1e-3 * np.random.default_rng(1).normal(size=(5, 2, len(model))):
        difference = (spring_energy(atoms, one + other) - spring_energy(atoms, one - other)) / 2
        assert one @ model @ other == pytest.approx(difference, rel=1e-6)
    assert np.allclose(model, model.T)
    assert np.linalg.eigvalsh(model).min() > 0
    assert np.array_equal(model[:-9, :-9], model_hessian(atoms))


def spring_energy(atoms: Atoms, move: np.ndarray) -> float:
    """Return the energy of springs along and across bonds, and of what holds ions and cell in place."""
    moved, gradient = move[:-9].reshape(-1, 3), move[-9:].reshape(3, 3)
    energy = IN_PLACE / 2 * (moved**2).sum() + CELL_IN_PLACE / 2 * atoms.get_volume() * (gradient**2).sum()
    for first, second, vectors, stiffness in springs(atoms):
        stretched = moved[second] - moved[first] + vectors @ gradient.T
        energy += np.einsum("sa,sab,sb", stretched, stiffness, stretched) / 4
    return float(energy)


@pytest.mark.parametrize("kind", [CrystalFilter, NormalFilter])
def test_hessian_of_a_cell_filter_is_that_of_its_variables(kind: type[CrystalFilter | NormalFilter]) -> None:
    """The Hessian of a filter is the model in the variables that it moves: strains without rotations, or the third vector."""
    atoms = monoclinic()
    moving = kind(atoms, 0.01 * GPa)
    ions = 3 * len(atoms)
    model = model_hessian_with_cell(atoms)
    start = moving.get_positions()
    for row, column in [(0, 1), (0, ions), (1, ions + 2), (ions, ions), (ions + 1, ions + 2), (ions + 2, ions + 2)]:
        changes = []
        for place in (row, column):
            atoms_then, cell_then = atoms.positions.copy(), atoms.cell.array.copy()
            there = start.copy()
            there.ravel()[place] += 1e-5
            moving.set_positions(there)
            gradient = np.linalg.solve(cell_then, atoms.cell.array).T - np.eye(3)
            gradient = (gradient + gradient.T) / 2 if kind is CrystalFilter else gradient
            change = np.concatenate([(atoms.positions - atoms_then @ (np.eye(3) + gradient).T).ravel(), gradient.ravel()]) / 1e-5
            changes.append(change)
            moving.set_positions(start)
        expected = changes[0] @ model @ changes[1]
        both_rotate = kind is CrystalFilter and row >= ions and row % 4 != 0
        if not both_rotate:
            assert moving.hessian[row, column] == pytest.approx(expected, rel=1e-3, abs=1e-3), (row, column)
    assert np.linalg.eigvalsh(moving.hessian).min() > 0


def test_quasi_newton_takes_no_more_evaluations_than_bfgs() -> None:
    """For a vacancy in Cu, tightly relaxed, the optimiser costs no more than ASE's BFGS and ends at the same energy."""
    engine = Engine(EMT())
    energy = engine.relax(vacancy(), fmax=0.01).get_potential_energy()
    metals = Metals()
    atoms = vacancy()
    atoms.calc = metals
    assert BFGS(atoms, logfile=None).run(fmax=0.01, steps=300)
    assert engine.force_evaluations <= metals.evaluations
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-3)


def test_progress_is_reported() -> None:
    """Each step tells its number, the largest force and the evaluations so far."""
    told: list[str] = []
    engine = Engine(EMT(), report=told.append)
    engine.relax(rattled(), fmax=0.05, label="test")
    assert len(told) > 1
    assert all(line.startswith("test: step ") for line in told)
    assert f"{engine.force_evaluations} evaluations" in told[-1]
