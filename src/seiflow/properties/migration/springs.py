"""A model of the Hessian, good enough to start a walk from.

A molecular ion is stiff: springs along its bonds, across them, and between atoms bonded to the same one. Everything else holds an
atom in its place softly. The values are about those of CHGNet: in Li2CO3 28 to 35 eV/Å² along a C-O bond, 6 across it, 9 between
two O of a carbonate; 2 to 6 for a single ion in Li2CO3, Li2O and LiF.
"""

from typing import TYPE_CHECKING

import numpy as np

from seiflow.quasi_newton import bonds

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

ALONG_BOND = 30.0
ACROSS_BOND = 5.0
BETWEEN_NEIGHBOURS = 9.0
IN_PLACE = 3.0
"""eV/Å²."""


def spring_model(atoms: "Atoms") -> "NDArray[np.float64]":
    """Return the model, 3n × 3n, eV/Å²."""
    first, second, vectors = bonds(atoms)
    units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    along = units[:, :, None] * units[:, None, :]
    springs = list(zip(first, second, ACROSS_BOND * np.eye(3) + (ALONG_BOND - ACROSS_BOND) * along, strict=True))
    for one, other in np.argwhere((first[:, None] == first[None]) & ~np.eye(len(first), dtype=bool)):
        gap = vectors[other] - vectors[one]
        springs.append((second[one], second[other], BETWEEN_NEIGHBOURS * np.outer(gap, gap) / (gap @ gap)))
    size = len(atoms)
    hessian = np.zeros((size, 3, size, 3))
    for i, j, spring in springs:
        hessian[i, :, i, :] += spring
        hessian[i, :, j, :] -= spring
    return np.asarray(hessian.reshape(3 * size, 3 * size) + IN_PLACE * np.eye(3 * size))
