"""Supercells in which the periodic images of a defect or of a displaced atom stay a given distance apart.

The distance between images is the length of the shortest vector of the superlattice. It is read off the Minkowski-reduced
basis, because the edges of a skewed cell may all be longer than it (P. Q. Nguyen and D. Stehle, ACM Trans. Algorithms 5,
46 (2009); implemented in ASE).
"""

import itertools
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce

from seiflow.errors import InputError, StructureError, UnsuitedError
from seiflow.structures.space_group import operations

if TYPE_CHECKING:
    from ase.cell import Cell
    from numpy.typing import NDArray

LENGTH_TOLERANCE = 1e-6
"""Å; a superlattice vector that is too short by less than this is long enough."""


def image_distance(cell: "Cell | NDArray[np.float64]") -> float:
    """Return the distance between an atom and its nearest periodic image, Å; rows of ``cell`` are the lattice vectors."""
    reduced, _ = minkowski_reduce(np.asarray(cell, dtype=float))
    return float(np.linalg.norm(reduced, axis=1).min())


def refuse_shared_neighbours(name: str, apart: float, contact: float, setting: str) -> None:
    """Refuse a supercell in which an atom can touch a defect and one of its images.

    Args:
        name: Of the structure, for the message.
        apart: Distance between images of the defect, Å.
        contact: Shortest distance between atoms of different units, Å.
        setting: Name of the setting that makes the supercell larger.

    Raises:
        UnsuitedError: saying how large a supercell has to be.
    """
    needed = 2 * contact
    if apart < needed - LENGTH_TOLERANCE:
        message = (
            f"{name}: images of a defect would be {apart:.2f} Å apart and share neighbours; they must be at least {needed:.2f} Å "
            f"apart (settings: {setting}: {np.ceil(needed * 10) / 10:.1f})"
        )
        raise UnsuitedError(message)


def supercell_matrix(
    crystal: Atoms,
    image_distance: float,
    maximum_atoms: int | None = None,
    *,
    rotations: "NDArray[np.int64] | None" = None,
) -> "NDArray[np.int64]":
    """Return the smallest diagonal expansion of a cell whose images are at least ``image_distance`` apart.

    Only expansions that every rotation of the crystal maps onto themselves are considered, so the supercell has the point
    group of the crystal. Of two expansions of equal volume the one with the longer image distance is taken.

    Args:
        crystal: The crystal; its cell is the one expanded (the conventional cell gives the roundest supercells).
        image_distance: Smallest distance between images, Å.
        maximum_atoms: Refuse a larger supercell.
        rotations: What to keep (n x 3 x 3, fractional); by default all rotations of the crystal.

    Returns:
        3 x 3 matrix P with the supercell's lattice vectors as rows of P @ cell (the convention of ``ase.build.make_supercell``).

    Raises:
        InputError: if the supercell would hold more than ``maximum_atoms``.
    """
    kept = fractional_rotations(crystal) if rotations is None else rotations
    expansion = _smallest_expansion(np.asarray(crystal.cell), kept, image_distance)
    atoms = len(crystal) * int(np.prod(expansion))
    if maximum_atoms is not None and atoms > maximum_atoms:
        message = (
            f"{crystal.get_chemical_formula()}: an image distance of {image_distance:g} Å needs a supercell of {atoms} atoms, "
            f"above the limit of {maximum_atoms}. Raise the limit or lower the image distance."
        )
        raise InputError(message)
    return np.diag(expansion)


def fractional_rotations(crystal: Atoms) -> "NDArray[np.int64]":
    """Return the rotation parts W (n x 3 x 3) of the space group; a fractional coordinate x of the cell goes to W @ x."""
    return np.unique(operations(crystal).rotations, axis=0)


def _smallest_expansion(cell: "NDArray[np.float64]", rotations: "NDArray[np.int64]", distance: float) -> "NDArray[np.int64]":
    """Search diagonal expansions by volume; the largest uniform one tried always suffices and always keeps the symmetry."""
    spacings = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    most = int(np.ceil(distance / spacings.min()))
    candidates = sorted(itertools.product(range(1, most + 1), repeat=3), key=lambda item: (int(np.prod(item)), item))
    for _, group in itertools.groupby(candidates, key=lambda item: int(np.prod(item))):
        lengths = {item: image_distance(np.diag(item) @ cell) for item in group if _keeps_symmetry(np.array(item), rotations)}
        best = max(lengths, key=lambda item: lengths[item], default=None)
        if best is not None and lengths[best] >= distance - LENGTH_TOLERANCE:
            return np.array(best, dtype=np.int64)
    message = "the largest uniform expansion did not suffice: a lattice vector is not finite"
    raise StructureError(message)


def _keeps_symmetry(expansion: "NDArray[np.int64]", rotations: "NDArray[np.int64]") -> bool:
    """Tell whether inv(M) W M is integer for every rotation W, with M = diag(expansion)."""
    mapped = rotations * expansion[None, None, :]
    return bool((mapped % expansion[None, :, None] == 0).all())
