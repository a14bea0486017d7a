"""What one of two equivalent boundaries has found is given to the other, where an operation takes one to the other."""

from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from seiflow.engine import Engine
from seiflow.planar_settings import PlanarSettings
from seiflow.properties import settling
from seiflow.properties.equivalent_planes import given_across
from seiflow.properties.settling import annealed_down
from seiflow.structures.space_group import operations

TOLERANCES = (0.01, 0.1)
PLANES = (0.25, 0.75)
NEAR = 8
"""Ions near either boundary: the first half of them below it."""

INVERSION = -np.eye(3, dtype=int)
AXIS_IN_PLANE = np.diag([1, -1, -1])
AXIS_UP = np.diag([-1, -1, 1])
OPERATIONS = {"inversion": (INVERSION, 0.0), "axis in the plane": (AXIS_IN_PLANE, 0.0), "screw along the normal": (AXIS_UP, 0.5)}


def bicrystal(rotation: np.ndarray = INVERSION, rise: float = 0.0, tilt: float = 0.0) -> Atoms:
    """Return ions in no order near one plane, below and above it, and their images under an operation near the other one.

    The third cell vector is tilted only where the operation is the inversion, which any cell has.
    """
    rng = np.random.default_rng(5)
    near = rng.random((NEAR, 3)) * [1, 1, 0.12]
    near[:, 2] += np.repeat([0.12, 0.26], NEAR // 2)
    places = np.concatenate([near, near @ rotation.T + [0, 0, rise]])
    atoms = Atoms("LiFLi2FLiLi2" * 2, scaled_positions=places, cell=[[6, 0, 0], [0, 7, 0], [tilt, -tilt, 20]], pbc=True)
    atoms.wrap()
    atoms.info["planes"] = list(PLANES)
    return atoms


def one_sided(before: Atoms, slide: tuple[float, float, float] = (0, 0, 0), scale: float = 0.3) -> Atoms:
    """Return what one boundary may find: ions near it moved, the grain above it slid and lifted, the cell grown as much."""
    found = before.copy()
    moves = np.random.default_rng(6).normal(0, scale, (NEAR, 3))
    moves -= np.repeat([np.median(moves[: NEAR // 2], axis=0), np.median(moves[NEAR // 2 :], axis=0)], NEAR // 2, axis=0)
    found.positions[:NEAR] += moves
    heights = before.get_scaled_positions()[:, 2]
    found.positions += np.outer(heights > PLANES[0], slide)
    found.cell[2] += slide
    return found


def gaps(first: Atoms, second: Atoms) -> np.ndarray:
    """Return how far apart the atoms of two structures are, whatever their origins, Å."""
    steps = first.get_scaled_positions() - second.get_scaled_positions()
    steps -= steps[0]
    return np.asarray(np.linalg.norm((steps - np.rint(steps)) @ second.cell.array, axis=1))


@pytest.mark.parametrize("slide", [(0, 0, 0), (1.1, -0.6, 0), (0.8, 0.3, 0.4)])
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_the_other_boundary_becomes_like_it(name: str, slide: tuple[float, float, float]) -> None:
    """The movements near it are kept, grains stay whole, and the operation that was broken is there again."""
    rotation, rise = OPERATIONS[name]
    before = bicrystal(rotation, rise, tilt=1.5 if name == "inversion" else 0.0)
    found = one_sided(before, slide)
    assert len(operations(found).rotations) == 1
    (both,) = given_across(found, before, TOLERANCES)
    assert len(operations(both).rotations) == 2
    assert np.array_equal(both.numbers, before.numbers)
    for atoms in (found, both):  # ions near the boundary, each to each, whatever the cell
        atoms.positions -= atoms.positions[0] - before.positions[0]
    assert np.allclose(both.get_distances(0, range(1, NEAR)), found.get_distances(0, range(1, NEAR)), atol=1e-6)
    assert np.allclose(both.cell.array[:2], before.cell.array[:2])
    turned = -np.array(slide) if name == "inversion" else rotation @ np.array(slide)
    grown = slide - turned if rotation[2, 2] < 0 else slide + turned
    assert np.allclose(both.cell.array[2], before.cell.array[2] + grown, atol=1e-6)


def test_both_sides_are_tried() -> None:
    """Where both boundaries have found something there are two structures, one for each."""
    before = bicrystal()
    found = one_sided(before, (0.5, 0.2, 0))
    found.positions[NEAR:] += np.random.default_rng(8).normal(0, 0.2, (NEAR, 3))
    first, second = given_across(found, before, TOLERANCES)
    assert len(operations(first).rotations) == len(operations(second).rotations) == 2
    assert gaps(first, second).max() > 0.1


def test_nearly_symmetric_start_will_do() -> None:
    """A start that shaking left a little off its symmetry, and an origin that has drifted, change the result by as little."""
    exact = bicrystal()
    before, found = exact.copy(), one_sided(exact)
    before.positions += np.random.default_rng(7).normal(0, 0.005, before.positions.shape)
    found.positions += [0.3, -0.2, 0.5]
    found.wrap()
    (both, *_), (wanted,) = given_across(found, before, TOLERANCES), given_across(one_sided(exact), exact, TOLERANCES)
    assert gaps(both, wanted).max() < 0.08
    assert len(operations(both).rotations) == 2


@pytest.mark.parametrize("planes", [(), (0.25,), (0.25, 0.45)])
def test_boundaries_that_no_operation_exchanges_stay(planes: tuple[float, ...]) -> None:
    """Without planes, with one, or with two that the inversion does not exchange, there is nothing to give."""
    before = bicrystal()
    before.info["planes"] = list(planes)
    assert given_across(one_sided(before), before, TOLERANCES) == []


def test_structure_without_symmetry_stays() -> None:
    before = one_sided(bicrystal())
    assert given_across(one_sided(before), before, TOLERANCES) == []


class Wells(Calculator):  # type: ignore[misc] # the base class is untyped
    """Springs of 3 eV/Å² at the places of a bicrystal; the first ion and its image each between two wells along x, 0.2 eV apart.

    The energy of the first is 0.15 (x² - 1)² + 0.1 x, that of its image the same of -x.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "forces", "stress"]
    places = bicrystal().positions

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        moved = self.atoms.positions - self.places
        energies, forces = 1.5 * moved**2, -3 * moved
        for ion, sign in ((0, 1), (NEAR, -1)):
            x = moved[ion, 0]
            energies[ion, 0] = 0.15 * (x**2 - 1) ** 2 + 0.1 * sign * x
            forces[ion, 0] = -0.6 * x * (x**2 - 1) - 0.1 * sign
        self.results = {"energy": float(energies.sum()), "forces": forces, "stress": np.zeros(6)}


def in_wells(first: float, image: float) -> Atoms:
    atoms = bicrystal()
    atoms.positions[0, 0] += first
    atoms.positions[NEAR, 0] += image
    return atoms


def test_annealing_gives_what_one_boundary_found_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trajectory in which one of two ions came to its lower well ends with both there, at twice the gain."""
    engine, settings = Engine(Wells()), PlanarSettings(fmax=0.005, anneal_kelvin=600, anneal_ps=0.2)
    upper = engine.relax(in_wells(0.9, -0.9), fmax=0.005)
    monkeypatch.setattr(settling, "snapshots", lambda *_, **__: [in_wells(-0.9, -0.9)])
    annealed = annealed_down(upper, engine, settings, label="test")
    (one,), (both,) = annealed.energies, annealed.shared
    gain = upper.get_potential_energy() - one
    assert gain == pytest.approx(0.2, rel=0.1)
    assert both == pytest.approx(one - gain, abs=1e-3)
    assert annealed.lowest.get_potential_energy() == both
    monkeypatch.setattr(settling, "snapshots", lambda *_, **__: [in_wells(0.9, -0.9)])
    lowest = engine.relax(in_wells(-1.0, 1.0), fmax=1e-6)
    again = annealed_down(lowest, engine, settings, label="test")
    assert again.lowest is lowest
    assert again.shared == ()
