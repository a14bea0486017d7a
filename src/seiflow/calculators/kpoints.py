"""Meshes of k-points that follow the size of the cell: cells of one crystal have the same k-points if their sizes divide."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

Mesh = tuple[int, int, int]
"""Number of k-points along each reciprocal vector, Γ among them."""


def mesh(atoms: "Atoms", length: float) -> Mesh:
    """Return the mesh of a cell.

    Args:
        atoms: Along a cell vector in which it does not repeat there is one k-point.
        length: The mesh along a reciprocal vector has this length over the distance of the lattice planes as its number of
            points, rounded, at least one; Å.
    """
    spacings = 1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)
    first, second, third = np.where(atoms.pbc, np.maximum(1, np.rint(length / spacings)), 1).astype(int).tolist()
    return first, second, third
