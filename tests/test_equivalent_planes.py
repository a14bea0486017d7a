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


def bicrystal(planes: tuple[float, ...] = (0.25, 0.75)) -> Atoms:
    """Return ions in no order near one plane, their images under an inversion near the other, and one ion at its own image."""
    rng = np.random.default_rng(5)
    near = rng.random((6, 3)) * [1, 1, 0.3] + [0, 0, 0.1]
    places = np.concatenate([near, -near, [[0.5, 0.0, 0.0]]])
    atoms = Atoms("LiFLi2FLiLiFLi2FLiLi", scaled_positions=places, cell=[[6, 0, 0], [1, 7, 0], [0, 0, 20]], pbc=True)
    atoms.info["planes"] = list(planes)
    return atoms


def one_sided(before: Atoms, scale: float = 0.4) -> Atoms:
    """Move the ions near the first plane, by a movement without mean, and turn none of the others."""
    found = before.copy()
    moves = np.random.default_rng(6).normal(0, scale, (6, 3))
    found.positions[:6] += moves - moves.mean(axis=0)
    return found


def test_both_boundaries_become_like_either() -> None:
    """One structure has the movements and their images, the other has none; both have the inversion that was broken."""
    before = bicrystal()
    found = one_sided(before)
    assert len(operations(found).rotations) == 1
    first, second = given_across(found, before, TOLERANCES)
    moved = found.positions - before.positions
    assert np.allclose(first.positions - before.positions, np.concatenate([moved[:6], -moved[:6], [[0, 0, 0]]]), atol=1e-9)
    assert np.allclose(second.positions, before.positions, atol=1e-9)
    for atoms in (first, second):
        assert len(operations(atoms).rotations) == 2
        assert np.array_equal(atoms.numbers, before.numbers)


def test_nearly_symmetric_start_will_do() -> None:
    """A start that shaking left a little off its symmetry, and an origin that has drifted, change nothing but by as little."""
    exact = bicrystal()
    before, found = exact.copy(), one_sided(exact)
    before.positions += np.random.default_rng(7).normal(0, 0.01, before.positions.shape)
    found.positions += [0.3, -0.2, 0.5]
    found.wrap()
    (first, _), (wanted, _) = given_across(found, before, TOLERANCES), given_across(one_sided(exact), exact, TOLERANCES)
    gaps = first.get_scaled_positions() - wanted.get_scaled_positions()
    assert np.linalg.norm((gaps - np.rint(gaps)) @ exact.cell.array, axis=1).max() < 0.08
    assert len(operations(first).rotations) == 2


@pytest.mark.parametrize("planes", [(), (0.25,), (0.25, 0.7)])
def test_boundaries_that_no_operation_exchanges_stay(planes: tuple[float, ...]) -> None:
    """Without planes, with one, or with two that the inversion does not exchange, there is nothing to give."""
    before = bicrystal(planes)
    assert given_across(one_sided(before), before, TOLERANCES) == ()


def test_structure_without_symmetry_stays() -> None:
    before = one_sided(bicrystal())
    assert given_across(one_sided(before), before, TOLERANCES) == ()


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
        for ion, sign in ((0, 1), (6, -1)):
            x = moved[ion, 0]
            energies[ion, 0] = 0.15 * (x**2 - 1) ** 2 + 0.1 * sign * x
            forces[ion, 0] = -0.6 * x * (x**2 - 1) - 0.1 * sign
        self.results = {"energy": float(energies.sum()), "forces": forces, "stress": np.zeros(6)}


def in_wells(first: float, image: float) -> Atoms:
    atoms = bicrystal()
    atoms.positions[0, 0] += first
    atoms.positions[6, 0] += image
    return atoms


def test_annealing_gives_what_one_boundary_found_to_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trajectory in which one of two ions came to its lower well ends with both there, at twice the gain."""
    engine, settings = Engine(Wells()), PlanarSettings(fmax=0.005, anneal_kelvin=600, anneal_ps=0.2)
    upper = engine.relax(in_wells(0.9, -0.9), fmax=0.005)
    monkeypatch.setattr(settling, "snapshots", lambda *_, **__: [in_wells(-0.9, -0.9)])
    annealed = annealed_down(upper, engine, settings, label="test")
    (one,), (both, none) = annealed.energies, annealed.shared
    gain = upper.get_potential_energy() - one
    assert gain == pytest.approx(0.2, rel=0.1)
    assert both == pytest.approx(one - gain, abs=1e-3)
    assert none == pytest.approx(upper.get_potential_energy(), abs=1e-3)
    assert annealed.lowest.get_potential_energy() == both
    monkeypatch.setattr(settling, "snapshots", lambda *_, **__: [in_wells(0.9, -0.9)])
    lowest = engine.relax(in_wells(-1.0, 1.0), fmax=1e-6)
    again = annealed_down(lowest, engine, settings, label="test")
    assert again.lowest is lowest
    assert again.shared == ()
