"""A structure from one cell put into another one of the same crystal, as a start there."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

FARTHEST = 4.0
"""Å; an ion farther than this from its place is no ion of the same structure."""


def transferred(atoms: "Atoms", like: "Atoms") -> "Atoms | None":
    """Return a structure with the fractional coordinates of one and the cell of another one.

    Args:
        atoms: The structure.
        like: The same ions, in the same order, in the other cell; each ion is put at its image nearest to its place here.

    Returns:
        A copy of ``like`` with the new positions; None if the two are not the same ions or one is far from its place.
    """
    if len(atoms) != len(like) or not np.array_equal(atoms.numbers, like.numbers):
        return None
    gaps = atoms.get_scaled_positions(wrap=False) - like.get_scaled_positions(wrap=False)
    steps = (gaps - np.rint(gaps)) @ like.cell.array
    if np.linalg.norm(steps, axis=1).max() > FARTHEST:
        return None
    moved: Atoms = like.copy()
    moved.positions += steps
    return moved
