"""Slabs: structures that are periodic along two cell vectors, with a vacuum along the third."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray


def vacuum_axis(atoms: "Atoms") -> int | None:
    """Return the number of the one cell vector along which a structure is not periodic; None if there is no such."""
    across = np.flatnonzero(~atoms.pbc)
    return int(across[0]) if len(across) == 1 else None


def centre(atoms: "Atoms") -> "NDArray[np.float64]":
    """Return the centre of mass as fractions of the cell, from 0 to 1."""
    return np.asarray(np.linalg.solve(atoms.cell.array.T, atoms.get_center_of_mass()) % 1.0)
