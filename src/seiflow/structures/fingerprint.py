"""When two structures are the same: a digest of content for identity, a comparison up to symmetry for duplicates."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from ase.neighborlist import neighbor_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

STEPS = 100_000
"""Of a fractional coordinate in a digest."""

OFFSET = 0.2718281828
"""Of a step: keeps simple fractions away from the edges of the steps, where the last bit would decide."""

REACH = 6.0
"""Å; distances that two equal structures must share."""

ALIKE = 1e-2
"""Å; by how much these may differ."""


def digest(atoms: "Atoms") -> str:
    """Return a sha256 of cell lengths, angles, species and fractional coordinates, the same in any order and orientation."""
    cell = np.floor(np.asarray(atoms.cell.cellpar()) * 1000 + OFFSET).astype(int)
    places = np.linalg.solve(np.asarray(atoms.cell).T, atoms.positions.T).T
    steps = np.floor(places * STEPS + OFFSET).astype(int) % STEPS
    rows = sorted((int(number), *row) for number, row in zip(atoms.numbers, steps.tolist(), strict=True))
    return hashlib.sha256(repr((cell.tolist(), atoms.pbc.tolist(), rows)).encode()).hexdigest()


def same_structure(one: "Atoms", other: "Atoms") -> bool:
    """Tell whether two structures are the same up to a motion of the whole, mirroring included, and the choice of cell.

    Structures whose distances differ are told apart at once; only the others are matched atom by atom.
    """
    if sorted(one.numbers.tolist()) != sorted(other.numbers.tolist()) or abs(one.get_volume() - other.get_volume()) > ALIKE * len(
        one
    ):
        return False
    first, second = _distances(one), _distances(other)
    if first.shape != second.shape or not np.allclose(first, second, rtol=0, atol=ALIKE):
        return False
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor

    matcher = StructureMatcher(primitive_cell=False, scale=False, ltol=0.01, stol=0.05, angle_tol=0.5)
    try:
        return bool(matcher.fit(AseAtomsAdaptor.get_structure(one), AseAtomsAdaptor.get_structure(other)))
    except ValueError:  # no Niggli cell, as happens with much vacuum: then equal distances have to do
        return True


def without_duplicates(structures: "Sequence[Atoms]") -> list[int]:
    """Return the indices of structures that no earlier one equals."""
    kept: list[int] = []
    for index, atoms in enumerate(structures):
        if not any(same_structure(structures[other], atoms) for other in kept):
            kept.append(index)
    return kept


def _distances(atoms: "Atoms") -> "NDArray[np.float64]":
    """Return the distances up to a horizon, sorted within each pair of species; those near the horizon are left out."""
    first, second, distances = neighbor_list("ijd", atoms, REACH)
    kinds = np.minimum(atoms.numbers[first], atoms.numbers[second]) * 1000 + np.maximum(
        atoms.numbers[first], atoms.numbers[second]
    )
    order = np.lexsort((distances, kinds))
    inner = order[distances[order] < REACH - 10 * ALIKE]
    return np.asarray(kinds[inner] * 100.0 + distances[inner])
