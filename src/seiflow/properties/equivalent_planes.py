"""What one of two equivalent boundaries of a cell has found, given to the other.

A periodic cell holds two boundaries, and in most bicrystals an operation of the structure as built takes one to the other.
Molecular dynamics breaks it: one of the two finds an arrangement before the other does. Structures in which both have that
arrangement are lower still if it was a good one, and what is computed from them is cheaper by the operation.
"""

from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import StructureError
from seiflow.structures.space_group import operations, permutation, symmetrised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

BOUNDARIES = 2

MIDDLE_ANGSTROM = 0.1
"""Atoms whose distances from the two planes differ by less are in the middle of a grain, and near both."""


def given_across(found: "Atoms", before: "Atoms", tolerances: "Sequence[float]") -> "tuple[Atoms, ...]":
    """Return a structure with both boundaries like the first of it, and one with both like the second.

    Args:
        found: The structure; heights of its two boundaries in ``info["planes"]``, in fractions of the third cell vector.
        before: What it came from by movements of ions, its atoms in the same order.
        tolerances: Within which symmetry of ``before`` is looked for, one after the other, Å.

    Returns:
        Nothing if no operation of ``before`` takes one boundary to the other.
    """
    if len(before.info.get("planes", ())) != BOUNDARIES:
        return ()
    for tolerance in tolerances:
        try:
            even = symmetrised(before, tolerance)
        except StructureError:
            continue
        nearness = _nearness(even)
        symmetry = operations(even)
        for rotation, shift in zip(symmetry.rotations, symmetry.translations, strict=True):
            order = permutation(even, rotation, shift)
            if np.array_equal(nearness[order], 1 - nearness):
                return tuple(_with_both(found, even, near, rotation, order) for near in (nearness, 1 - nearness))
    return ()


def _nearness(atoms: "Atoms") -> "NDArray[np.float64]":
    """Return 1 for atoms nearer to the first boundary, 0 for those nearer to the second, and a half for those in the middle."""
    heights = atoms.get_scaled_positions(wrap=False)[:, 2]
    offsets = heights[:, None] - np.asarray(atoms.info["planes"], dtype=float)
    first, second = np.abs(offsets - np.rint(offsets)).T * abs(atoms.cell[2, 2])
    return np.where(np.abs(first - second) < MIDDLE_ANGSTROM, 0.5, (first < second).astype(float))


def _with_both(
    found: "Atoms", even: "Atoms", near: "NDArray[np.float64]", rotation: "NDArray[np.int64]", order: "NDArray[np.int64]"
) -> "Atoms":
    """Move the atoms near one boundary as they are moved in what was found, and those near the other like their images."""
    places = even.get_scaled_positions(wrap=False)
    moved = found.get_scaled_positions(wrap=False) - places
    moved -= np.rint(moved)
    moved -= moved.mean(axis=0)
    images = np.empty_like(moved)
    images[order] = moved @ rotation.T
    both = found.copy()
    both.set_scaled_positions(places + near[:, None] * moved + (1 - near[:, None]) * images)
    return both
