"""Slabs: structures that are periodic along two cell vectors, with a vacuum along the third."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms


def vacuum_axis(atoms: "Atoms") -> int | None:
    """Return the number of the one cell vector along which a structure is not periodic; None if there is no such."""
    across = np.flatnonzero(~atoms.pbc)
    return int(across[0]) if len(across) == 1 else None


def vacuum_middle(atoms: "Atoms", axis: int) -> float:
    """Return the middle of the vacuum, the widest gap between atoms, along a cell vector, as a fraction from 0 to 1."""
    places = np.sort(atoms.get_scaled_positions(wrap=False)[:, axis] % 1.0)
    gaps = np.diff(places, append=places[0] + 1.0)
    widest = int(gaps.argmax())
    return float((places[widest] + gaps[widest] / 2) % 1.0)
