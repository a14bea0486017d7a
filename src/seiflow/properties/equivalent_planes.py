"""What one of two equivalent boundaries of a cell has found, given to the other.

A periodic cell holds two boundaries, and in most bicrystals an operation of the structure as built takes one to the other.
Molecular dynamics breaks it: one of the two finds an arrangement before the other does. Structures in which both have that
arrangement are lower still if it was a good one, and what is computed from them is cheaper by the operation.

A boundary may have let its grains slide on each other, or opened. The movement of the grain above it against the one below is
kept: the other boundary gets its image, and the third cell vector grows by both, so that no grain is torn.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import StructureError
from seiflow.structures.space_group import operations, permutation, symmetrised

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms
    from numpy.typing import NDArray

BOUNDARIES = 2

MIDDLE = 0.1
"""Å; atoms whose distances from the two planes differ by less are in the middle of a grain, and move with it."""

UNMOVED = 0.05
"""Å; a boundary at which no atom has moved by more has found nothing."""


@dataclass(frozen=True)
class Exchange:
    """An operation that takes one boundary to the other and itself back; W of fractions, and the atom that each one goes to."""

    rotation: "NDArray[np.int64]"
    order: "NDArray[np.int64]"


def given_across(found: "Atoms", before: "Atoms", tolerances: "Sequence[float]") -> "list[Atoms]":
    """Return the structures in which both boundaries are like one of them; none of a boundary that has found nothing.

    Args:
        found: The structure; heights of its two boundaries in ``info["planes"]``, in fractions of the third cell vector.
        before: What it came from by movements of ions and the third cell vector, its atoms in the same order.
        tolerances: Within which symmetry of ``before`` is looked for, one after the other, Å.

    Returns:
        Nothing either if no operation of ``before`` takes one boundary to the other.
    """
    if len(before.info.get("planes", ())) != BOUNDARIES:
        return []
    for tolerance in tolerances:
        try:
            even = symmetrised(before, tolerance)
            exchange = next(_exchanges(even), None)
        except StructureError:
            continue
        if exchange is not None:
            both = (_with_both(found, even, exchange, plane) for plane in range(BOUNDARIES))
            return [atoms for atoms in both if atoms is not None]
    return []


def _exchanges(even: "Atoms") -> "Iterator[Exchange]":
    """Yield the operations that exchange the boundaries and are their own inverse but for a cell vector."""
    nearest = _nearest(even)
    symmetry = operations(even)
    for rotation, shift in zip(symmetry.rotations, symmetry.translations, strict=True):
        order = permutation(even, rotation, shift)
        itself = np.array_equal(rotation @ rotation, np.eye(3)) and np.array_equal(order[order], np.arange(len(even)))
        if itself and np.array_equal(nearest[order], -nearest):
            yield Exchange(rotation, order)


def _nearest(atoms: "Atoms") -> "NDArray[np.int64]":
    """Return 1 for atoms nearest to the first boundary, -1 for those nearest to the second, 0 for those in the middle."""
    first, second = (np.abs(_at(atoms, plane)[0]) * abs(atoms.cell[2, 2]) for plane in range(BOUNDARIES))
    return np.where(np.abs(first - second) < MIDDLE, 0, np.sign(second - first)).astype(np.int64)


def _at(atoms: "Atoms", plane: int) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return how far the image of each atom nearest to a boundary is above it, in parts of the third cell vector, and that image.

    The image is told by how many third cell vectors it is below the atom.
    """
    offsets = atoms.get_scaled_positions(wrap=False)[:, 2] - atoms.info["planes"][plane]
    return offsets - np.rint(offsets), np.rint(offsets)


def _with_both(found: "Atoms", even: "Atoms", exchange: Exchange, plane: int) -> "Atoms | None":
    """Move the atoms near a boundary as in what was found, and those near the other one like their images."""
    heights, images = _at(even, plane)
    nearest, above = _nearest(even) * (1 - 2 * plane), heights > 0
    near = nearest == 1
    if not (near & above).any() or not (near & ~above).any():
        return None
    cell = np.asarray(even.cell)
    places = even.positions - np.outer(images, cell[2])
    moved = _found_at(found, even, images) - places
    moved -= np.median(moved[near & ~above], axis=0)  # the grain below stays
    if np.linalg.norm(moved[near], axis=1).max() < UNMOVED:
        return None
    slide = np.median(moved[near & above], axis=0)
    turn = cell.T @ exchange.rotation @ np.linalg.inv(cell.T)
    flips = exchange.rotation[2, 2] < 0
    shift = slide - turn @ slide if flips else slide  # of the images, so that the grain between the boundaries is one
    grown = shift if flips else shift + turn @ slide  # of the third cell vector, so that the other grain is one
    movement = np.where(above[:, None], slide, 0.0)
    movement[near] = moved[near]
    movement[exchange.order[near]] = moved[near] @ turn.T + shift
    places[(nearest == -1) & ~above] += cell[2]  # above the other boundary
    both = found.copy()
    both.set_cell([cell[0], cell[1], cell[2] + grown])
    both.positions = places + movement
    return both


def _found_at(found: "Atoms", even: "Atoms", images: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return where some images of atoms are found, those next to the places they had."""
    steps = np.rint(found.get_scaled_positions(wrap=False) - even.get_scaled_positions(wrap=False))
    steps[:, 2] += images
    return np.asarray(found.positions - steps @ np.asarray(found.cell))
