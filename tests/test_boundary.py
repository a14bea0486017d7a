"""Energies of boundaries and surfaces: against independent calculations, limits and identities."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import fcc111
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.optimize import BFGS
from ase.units import GPa

from seiflow.cell_filters import NormalFilter
from seiflow.engine import Engine
from seiflow.errors import ConvergenceError, PhysicsError
from seiflow.planar_settings import BoundarySettings, PlanarSettings, RegistrySettings
from seiflow.properties.boundary import CONVERGED_J_PER_M2, Boundary, Surroundings, boundary
from seiflow.properties.planar import grains_apart, planar_relaxation
from seiflow.properties.registry import registry
from seiflow.properties.settling import area_of, relax_planar
from seiflow.shelves import boundary_shelf, phase_shelf
from seiflow.structures.build import Ingredient, build_structure
from seiflow.structures.bulk import build_crystal
from seiflow.structures.checks import formula_units
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, PlanarRecipe, SlabRecipe
from seiflow.structures.registry import J_PER_M2

TIGHT = PlanarSettings(fmax=0.002, stress_gpa=0.005)
LOOSE = PlanarSettings()


@cache
def copper() -> Ingredient:
    """Return copper relaxed with EMT."""
    phase = phase_shelf().get("Cu")
    return Ingredient(phase, Engine(EMT()).relax_crystal(build_crystal(phase), fmax=1e-4, stress_gpa=1e-3))


def tilt(plane: tuple[int, int, int], **changes: object) -> GrainBoundaryRecipe:
    data = {"kind": "grain_boundary", "name": "tilt", "summary": "a test", "phase": "Cu", "plane": plane, "type": "mirror"}
    return GrainBoundaryRecipe.model_validate(data | {"thickness_angstrom": 8} | changes)


def slab(plane: tuple[int, int, int], thickness: float = 12) -> SlabRecipe:
    data = {"kind": "slab", "name": "slab", "summary": "a test", "phase": "Cu", "plane": plane}
    return SlabRecipe.model_validate(data | {"thickness_angstrom": thickness, "vacuum_angstrom": 10})


def energies(recipe: PlanarRecipe, settings: BoundarySettings | None = None, planar: PlanarSettings = TIGHT) -> Boundary:
    engine = Engine(EMT())
    built = build_structure(recipe, {"Cu": copper()})
    relaxed, _ = planar_relaxation(built.atoms, [copper().recipe], engine, planar, name=recipe.name)
    return boundary(relaxed, Surroundings(recipe, [copper()], engine, settings or BoundarySettings(), planar))


def test_forces_on_the_cell_are_derivatives_of_the_energy() -> None:
    """What drives ions and cell is the negative derivative of the energy, at a strained cell too."""
    atoms = build_structure(tilt((3, 1, 0)), {"Cu": copper()}).atoms
    atoms.rattle(0.05, seed=1)
    atoms.calc = EMT()
    moving = NormalFilter(atoms, 0.001)
    start = moving.get_positions()
    start[-1] = [0.3, -0.2, 0.4]
    moving.set_positions(start)
    assert np.allclose(moving.get_positions(), start)
    forces = moving.get_forces()
    for place in [(0, 0), (3, 2), (5, 1), (-1, 0), (-1, 1), (-1, 2)]:
        found = []
        for step in (1e-4, -1e-4):
            moved = start.copy()
            moved[place] += step
            moving.set_positions(moved)
            found.append(atoms.get_potential_energy())
        assert forces[place] == pytest.approx(-(found[0] - found[1]) / 2e-4, abs=1e-5)


def test_net_stays_and_traction_goes() -> None:
    """Relaxation leaves the net of the plane to the last digit, and no traction on the plane above its tolerance."""
    built = build_structure(tilt((3, 1, 0)), {"Cu": copper()}).atoms
    relaxed = relax_planar(built, Engine(EMT()), TIGHT, label="test")
    assert np.array_equal(np.asarray(relaxed.cell)[:2], np.asarray(built.cell)[:2])
    assert np.abs(relaxed.get_stress(voigt=False)[2]).max() / GPa <= TIGHT.stress_gpa
    assert np.linalg.norm(relaxed.get_forces(), axis=1).max() <= TIGHT.fmax


@pytest.mark.parametrize("plane", [(2, 1, 0), (3, 1, 0)])
def test_energy_is_a_minimum_for_another_optimiser_too(plane: tuple[int, int, int]) -> None:
    """ASE's own cell filter and BFGS, started off the relaxed boundary, come back to its energy to 1 mJ/m²."""
    recipe = tilt(plane)
    found = energies(recipe)
    atoms = relax_planar(build_structure(recipe, {"Cu": copper()}).atoms, Engine(EMT()), TIGHT, label="test")
    atoms.rattle(0.02, seed=5)
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms, mask=[0, 0, 1, 1, 1, 0]), logfile=None).run(fmax=0.002, steps=500)
    per_atom = copper().crystal.get_potential_energy() / len(copper().crystal)
    expected = (atoms.get_potential_energy() - len(atoms) * per_atom) / (2 * area_of(atoms)) * J_PER_M2
    assert found.energy_j_per_m2 == pytest.approx(expected, abs=1e-3)


def test_surface_energy_agrees_with_a_slab_built_by_ase() -> None:
    """The surface energy of copper (111) is that of ASE's own slab with as many layers."""
    found = energies(slab((1, 1, 1)))
    layers = found.formula_units["Cu"]
    other = fcc111("Cu", (1, 1, layers), a=copper().crystal.cell.lengths()[0], vacuum=10)
    other.calc = EMT()
    BFGS(other, logfile=None).run(fmax=0.002)
    per_atom = copper().crystal.get_potential_energy() / len(copper().crystal)
    expected = (other.get_potential_energy() - layers * per_atom) / (2 * area_of(other)) * J_PER_M2
    assert found.energy_j_per_m2 == pytest.approx(expected, abs=1e-3)
    assert found.boundaries == 2
    assert found.work_of_adhesion_j_per_m2 is None


def test_boundary_costs_less_than_two_surfaces() -> None:
    """A boundary has an energy between nothing and that of the two surfaces, and adhesion makes up the difference."""
    found = energies(tilt((3, 1, 0)))
    assert found.cleavage_energy_j_per_m2 is not None
    assert found.work_of_adhesion_j_per_m2 is not None
    assert 0 < found.energy_j_per_m2 < found.cleavage_energy_j_per_m2
    assert found.energy_j_per_m2 + found.work_of_adhesion_j_per_m2 == pytest.approx(found.cleavage_energy_j_per_m2)
    assert found.excess_volume_angstrom is not None
    assert found.excess_volume_angstrom > 0
    alone = energies(slab((3, 1, 0), 8))
    assert found.surfaces[0].energy_j_per_m2 == pytest.approx(alone.energy_j_per_m2, abs=5e-3)


def test_pitted_grains_are_both_counted() -> None:
    """Where units were taken out the two grains may differ: both are relaxed alone, and there is no cleavage energy."""
    found = energies(tilt((3, 1, 0), removed=2), planar=LOOSE)
    assert found.cleavage_energy_j_per_m2 is None
    assert len(found.surfaces) == 2
    assert sum(surface.atoms for surface in found.surfaces) == found.formula_units["Cu"]
    assert found.work_of_adhesion_j_per_m2 is not None
    faces = sum(surface.energy_j_per_m2 for surface in found.surfaces)
    assert found.energy_j_per_m2 + found.work_of_adhesion_j_per_m2 == pytest.approx(faces)


def test_coherent_twin_costs_little() -> None:
    """Copper's coherent twin, (111), has an energy far below that of a general boundary."""
    assert energies(tilt((1, 1, 1))).energy_j_per_m2 < 0.1 * energies(tilt((3, 1, 0))).energy_j_per_m2


def test_thicker_grains_leave_the_energy() -> None:
    """One repeat more leaves the energy of a converged boundary, and its area."""
    found = energies(tilt((3, 1, 0), thickness_angstrom=12), BoundarySettings(thicker_by=1), LOOSE)
    assert found.thicker is not None
    assert found.thicker.atoms > sum(found.formula_units.values())
    assert abs(found.thicker.change_j_per_m2) < CONVERGED_J_PER_M2
    assert not found.warnings


def test_thin_grains_are_told() -> None:
    """Where a repeat more changes the energy by more than 0.02 J/m², the result says so."""
    found = energies(tilt((3, 1, 0), thickness_angstrom=6), BoundarySettings(thicker_by=1), LOOSE)
    assert found.thicker is not None
    assert abs(found.thicker.change_j_per_m2) > CONVERGED_J_PER_M2
    assert any("Thicker grains" in warning for warning in found.warnings)


def test_search_never_ends_above_the_recipes_own_registry() -> None:
    """The registry kept has the lowest energy of all that were tried, the recipe's own among them."""
    recipe = tilt((2, 1, 0), translation=[0.3, 0.1])
    _, found = registry(recipe, [copper()], Engine(EMT()), RegistrySettings(candidates=3, fmax=0.05))
    tried = [each.energy_j_per_m2 for each in found.tried if each.energy_j_per_m2 is not None]
    own = next(each for each in found.tried if not each.recipe)
    assert tried == sorted(tried)
    assert own.energy_j_per_m2 is not None
    assert tried[0] <= own.energy_j_per_m2
    assert {key for each in found.tried for key in each.recipe} <= {"termination", "faces", "translation", "gap_angstrom"}


def test_chosen_registry_builds_the_chosen_structure() -> None:
    """The recipe kept with a search rebuilds the structure that the search returns."""
    built, found = registry(tilt((2, 1, 0)), [copper()], Engine(EMT()), RegistrySettings(candidates=2))
    again = build_structure(GrainBoundaryRecipe.model_validate(found.recipe | {"summary": "again"}), {"Cu": copper()})
    assert np.allclose(again.atoms.positions, built.atoms.positions)
    assert np.allclose(np.asarray(again.atoms.cell), np.asarray(built.atoms.cell))


def test_no_search_takes_the_recipes_registry() -> None:
    """Without candidates nothing is computed."""
    engine = Engine(EMT())
    _, found = registry(tilt((2, 1, 0)), [copper()], engine, RegistrySettings(candidates=0))
    assert engine.force_evaluations == 0
    assert len(found.tried) == 1


def test_registries_that_do_not_relax_are_told() -> None:
    """Where no registry relaxes within its steps, the error says how many were tried and what to do."""
    with pytest.raises(ConvergenceError, match=r"none of \d+ registries relaxed"):
        registry(tilt((2, 1, 0)), [copper()], Engine(EMT()), RegistrySettings(candidates=1, fmax=1e-6, max_steps=2))


def test_grains_that_grow_together_are_refused() -> None:
    """A cell that relaxes into the perfect crystal is no boundary, whatever its atoms are labelled."""
    crystal = copper().crystal.copy()
    crystal.set_constraint()
    crystal = crystal.repeat((1, 1, 6))
    crystal.set_array("grain", np.repeat([0, 1], len(crystal) // 2))
    crystal.info["planes"] = [0.5, 1.0]
    with pytest.raises(PhysicsError, match="grown together"):
        planar_relaxation(crystal, [copper().recipe], Engine(EMT()), LOOSE, name="none")


@pytest.mark.parametrize("name", ["LiF-310-mirror", "Li2O-001-twist-5", "Li2CO3-110-mirror", "LiF-320-mirror"])
def test_grains_alone_are_whole(name: str) -> None:
    """A grain taken out of its boundary is a slab of whole formula units, as thick as the grain, groups unbroken."""
    recipe = boundary_shelf().get(name)
    phase = phase_shelf().get(recipe.phase)
    built = build_structure(recipe, {recipe.phase: Ingredient(phase, build_crystal(phase))})
    slabs = grains_apart(built.atoms, 12.0)
    assert sum(map(len, slabs)) == len(built.atoms)
    for each in slabs:
        assert formula_units(each, [phase])
        thickness = float(np.ptp(each.positions[:, 2]))
        assert thickness < recipe.thickness_angstrom + 6
        assert each.cell[2, 2] - thickness == pytest.approx(12.0)
        for group in phase.polyatomic:
            whole = [each.get_distances(atom, each.symbols == group.ligand, mic=True) for atom in _centres(each, group.centre)]
            assert all((distances < group.bond_max).sum() == group.count for distances in whole)


def _centres(atoms: Atoms, symbol: str) -> list[int]:
    return [atom.index for atom in atoms if atom.symbol == symbol]


def test_planes_survive_a_file(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Planes and grains written with a structure are read back as they were."""
    atoms = build_structure(tilt((2, 1, 0)), {"Cu": copper()}).atoms
    path = tmp_path_factory.mktemp("files") / "built.extxyz"
    write(path, atoms)
    again = read(path)
    assert list(again.info["planes"]) == list(atoms.info["planes"])
    assert [len(each) for each in grains_apart(again, 10)] == [len(each) for each in grains_apart(atoms, 10)]


@pytest.fixture
def potential() -> Callable[[], Engine]:
    """Return a maker of engines with the universal potential of the first study."""
    dynamics = pytest.importorskip("chgnet.model.dynamics")
    return lambda: Engine(dynamics.CHGNetCalculator(use_device="cpu", stress_weight=GPa))


@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_ionic_boundary_is_below_its_cleavage(potential: Callable[[], Engine]) -> None:
    """A boundary of an ionic crystal with a real potential: positive, below the cleavage energy, excess volume above zero."""
    recipe = boundary_shelf().get("LiF-210-mirror").model_copy(update={"thickness_angstrom": 6.0})
    quick = PlanarSettings(fmax=0.05, shakes=0)
    phase = phase_shelf().get("LiF")
    engine = potential()
    part = Ingredient(phase, engine.relax_crystal(build_crystal(phase), fmax=0.005, stress_gpa=0.02))
    built = build_structure(recipe, {"LiF": part})
    relaxed, record = planar_relaxation(built.atoms, [phase], engine, quick, name=recipe.name)
    found = boundary(relaxed, Surroundings(recipe, [part], engine, BoundarySettings(), quick))
    assert not record.certificate.problems
    assert found.cleavage_energy_j_per_m2 is not None
    assert 0 < found.energy_j_per_m2 < found.cleavage_energy_j_per_m2
