"""Displaced copies of a crystal, near its minimum and far off it, whose forces two calculators are compared by.

Ions are moved as wholes: a single ion is shifted, a polyatomic one is shifted and turned. Its bonds stay as they are, because
barriers and moduli depend on how ions move against each other, and forces along the stiff bonds of a carbonate would drown that.
One ion of the mobile species is also pushed towards a neighbouring site and towards an interstitial one, where interatomic
potentials that learnt from relaxations have seen little (Deng et al., npj Comput. Mater. 11, 9, 2025).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list

from seiflow.structures.interstitials import interstitials
from seiflow.structures.space_group import standard_cell
from seiflow.structures.units import find_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.structures.recipes import PhaseRecipe

AMPLITUDES = (0.05, 0.1, 0.2)
"""Å; how far every ion is shifted, in a direction of its own."""

COPIES = 2
"""Of each amplitude."""

PUSH = 0.7
"""Å; how far one mobile ion is pushed, while all others are shifted by the least amplitude."""

LARGEST_CELL = 16
"""Atoms; a crystal whose conventional cell holds more is taken in its primitive cell."""

TYPICAL = 1 + COPIES * len(AMPLITUDES) + 2
"""Structures of one crystal: at rest, displaced, pushed."""

HORIZON = 6.0
"""Å; the nearest site of the mobile species is sought as far as this."""

DIGITS = 3
"""To which vectors are compared (Å), so that noise in a relaxed cell does not choose among equivalent ones."""


@dataclass(frozen=True)
class Displaced:
    """A displaced crystal, and how it was displaced in words."""

    atoms: "Atoms"
    how: str


def small_cell(crystal: "Atoms") -> "Atoms":
    """Return the crystal as it is given, or in its primitive cell where that is too large to be computed often."""
    return crystal if len(crystal) <= LARGEST_CELL else standard_cell(crystal, primitive=True)


def displaced(crystal: "Atoms", recipe: "PhaseRecipe", seed: int) -> list[Displaced]:
    """Return the displaced copies of a crystal at rest; equal seeds give equal copies."""
    random = np.random.default_rng(seed)
    found = [
        Displaced(shaken(crystal, recipe, amplitude, random), f"all ions by {amplitude:g} Å, {copy}")
        for amplitude in AMPLITUDES
        for copy in range(1, COPIES + 1)
    ]
    for goal, direction in _goals(crystal, recipe):
        atoms = shaken(crystal, recipe, AMPLITUDES[0], random)
        index = _mobile_ions(crystal, recipe)[0]
        atoms.positions[index] = crystal.positions[index] + PUSH * direction
        found.append(Displaced(atoms, f"{recipe.mobile} by {PUSH:g} Å towards {goal}, all others by {AMPLITUDES[0]:g} Å"))
    return found


def shaken(crystal: "Atoms", recipe: "PhaseRecipe", amplitude: float, random: np.random.Generator) -> "Atoms":
    """Return a crystal with every ion shifted by an amplitude (Å) in a random direction.

    A polyatomic ion is also turned about a random axis, by the angle that moves its atoms by the amplitude on average.
    """
    units = find_units(crystal, recipe.polyatomic)
    cell = np.asarray(crystal.cell)
    whole = crystal.positions + units.offsets @ cell
    moved = crystal.copy()
    for label in np.unique(units.labels):
        members = np.flatnonzero(units.labels == label)
        middle = whole[members].mean(axis=0)
        arms = whole[members] - middle
        reach = float(np.sqrt((arms**2).sum(axis=1).mean()))
        shift, axis = _direction(random), _direction(random)
        turned = arms @ _rotation(axis, amplitude / reach).T if len(members) > 1 else arms
        moved.positions[members] = middle + turned + amplitude * shift - units.offsets[members] @ cell
    return moved


def _direction(random: np.random.Generator) -> "NDArray[np.float64]":
    vector = random.standard_normal(3)
    return np.asarray(vector / np.linalg.norm(vector))


def _rotation(axis: "NDArray[np.float64]", angle: float) -> "NDArray[np.float64]":
    """Return the matrix of a turn about an axis of unit length by an angle in radians (Rodrigues)."""
    cross = np.cross(np.eye(3), axis)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _mobile_ions(crystal: "Atoms", recipe: "PhaseRecipe") -> "NDArray[np.int64]":
    return np.flatnonzero(np.array(crystal.get_chemical_symbols()) == recipe.mobile)


def _goals(crystal: "Atoms", recipe: "PhaseRecipe") -> "Iterator[tuple[str, NDArray[np.float64]]]":
    """Yield what the first mobile ion is pushed towards, and the unit vector that points there."""
    ions = _mobile_ions(crystal, recipe)
    if recipe.mobile is None or not len(ions):
        return
    first, second, vectors = neighbor_list("ijD", crystal, HORIZON)
    chosen = vectors[(first == ions[0]) & np.isin(second, ions)]
    if len(chosen):
        yield f"the next {recipe.mobile}", _nearest(chosen)
    places = [site.places @ np.asarray(crystal.cell) for site in interstitials(crystal, recipe.mobile)]
    if places:
        towards, _ = get_distances(crystal.positions[ions[0]], np.concatenate(places), cell=crystal.cell, pbc=True)
        yield "the next interstitial site", _nearest(towards[0])


def _nearest(vectors: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the direction of the shortest of several vectors (n × 3); among equal ones always the same."""
    lengths = np.linalg.norm(vectors, axis=1)
    keys = np.round(np.column_stack([vectors[:, ::-1], lengths]), DIGITS) + 0.0
    best = np.lexsort(keys.T)[0]
    return np.asarray(vectors[best] / lengths[best])
