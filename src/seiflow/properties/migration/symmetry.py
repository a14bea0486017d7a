"""The space group of a perfect supercell, acting on its sites and on displacements from them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import StructureError
from seiflow.structures.space_group import operations

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

MATCH_TOLERANCE = 0.05
"""Å; how far the image of a site may be from the site it falls on."""


@dataclass(frozen=True)
class SiteSymmetry:
    """Operations g of a supercell: a displacement u of site i becomes ``rotations[g] @ u`` of site ``permutations[g, i]``.

    Attributes:
        rotations: n × 3 × 3, Cartesian.
        permutations: n × sites.
    """

    rotations: "NDArray[np.float64]"
    permutations: "NDArray[np.int64]"

    def carry(self, operation: int, displacements: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the image of a displacement field (sites × 3) under one operation."""
        image = np.empty_like(displacements)
        image[self.permutations[operation]] = displacements @ self.rotations[operation].T
        return image

    def mapping(self, start: int, end: int) -> int:
        """Return an operation that maps one site onto another; the identity for a site onto itself."""
        found = np.flatnonzero(self.permutations[:, start] == end)
        if not len(found):
            message = f"no operation maps site {start} onto site {end}"
            raise StructureError(message)
        return int(found[0])

    def orbit(self, site: int) -> "NDArray[np.int64]":
        """Return the sites that are equivalent to one, itself included, in ascending order."""
        return np.unique(self.permutations[:, site])

    def orbits(self, sites: "NDArray[np.int64]") -> list["NDArray[np.int64]"]:
        """Return ``sites`` grouped into symmetry-equivalent ones."""
        label = self.permutations[:, sites].min(axis=0)
        return [sites[label == first] for first in np.unique(label)]


def site_symmetry(supercell: "Atoms") -> SiteSymmetry:
    """Return the operations of a perfect supercell, the identity first."""
    fractional = supercell.get_scaled_positions()
    group = operations(supercell)
    permutations = np.array(
        [_permutation(supercell, fractional @ W.T + w) for W, w in zip(group.rotations, group.translations, strict=True)]
    )
    cell = supercell.cell.array
    cartesian = np.einsum("ia,nab,bj->nij", cell.T, group.rotations, np.linalg.inv(cell).T)
    identity = np.flatnonzero((permutations == np.arange(len(supercell))).all(axis=1))
    order = np.concatenate([identity, np.setdiff1d(np.arange(len(permutations)), identity)])
    return SiteSymmetry(cartesian[order], permutations[order])


def _permutation(supercell: "Atoms", images: "NDArray[np.float64]") -> "NDArray[np.int64]":
    offsets = images[:, None] - supercell.get_scaled_positions()[None]
    offsets -= np.round(offsets)
    distances = np.linalg.norm(offsets @ supercell.cell.array, axis=-1)
    nearest = distances.argmin(axis=1)
    if distances[np.arange(len(images)), nearest].max() > MATCH_TOLERANCE:
        message = "a symmetry operation of the supercell does not map its sites onto each other"
        raise StructureError(message)
    return np.asarray(nearest, dtype=np.int64)
