"""What spglib says of a structure, with one tolerance and its several ways of saying no made one error.

Source: Togo, Shinohara, Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024).
"""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from ase import Atoms
from ase.utils import OldSpglibError, spglib_new_errorhandling

from seiflow.errors import StructureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from spglib import SpglibDataset

Answer = TypeVar("Answer")

SYMMETRY_TOLERANCE = 1e-3
"""Å; how far atoms may be from their symmetric places."""


@dataclass(frozen=True)
class Operations:
    """Operations of a space group: a fractional coordinate x of the cell goes to W @ x + w.

    Attributes:
        rotations: W, n × 3 × 3.
        translations: w, n × 3.
    """

    rotations: "NDArray[np.int64]"
    translations: "NDArray[np.float64]"


def operations(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> Operations:
    """Return the operations that leave a structure and its cell as they are, within a tolerance in Å."""
    found = _ask(_dataset, atoms, tolerance)
    return Operations(np.array(found.rotations, dtype=np.int64), np.array(found.translations, dtype=float))


def permutation(atoms: Atoms, rotation: "NDArray[np.int64]", translation: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """Return the index of the atom of the same species nearest to where an operation takes each atom."""
    places = np.linalg.solve(np.asarray(atoms.cell).T, atoms.positions.T).T
    images = places @ rotation.T + translation
    offsets = images[:, None] - places[None]
    distances = np.linalg.norm((offsets - np.rint(offsets)) @ np.asarray(atoms.cell), axis=-1)
    distances[atoms.numbers[:, None] != atoms.numbers[None]] = np.inf
    return np.asarray(distances.argmin(axis=1), dtype=np.int64)


def space_group(atoms: Atoms) -> tuple[str, int]:
    """Return the space group's Hermann-Mauguin symbol and its number in the International Tables."""
    found = _ask(_dataset, atoms)
    return str(found.international), int(found.number)


def standard_cell(atoms: Atoms, *, primitive: bool = False, idealised: bool = True) -> Atoms:
    """Return the crystal in spglib's standard cell.

    Args:
        atoms: The crystal, in any cell.
        primitive: Whether to return the primitive cell instead of the conventional one.
        idealised: Whether to put atoms exactly on their sites and turn the cell into the standard orientation.
    """
    import spglib

    def standardise(cell: object, symprec: float) -> tuple[object, object, object]:
        found: tuple[object, object, object] = spglib.standardize_cell(
            cell, to_primitive=primitive, no_idealize=not idealised, symprec=symprec
        )
        return found

    lattice, positions, numbers = _ask(standardise, atoms)
    return Atoms(numbers=numbers, scaled_positions=positions, cell=lattice, pbc=True)


def symmetrised(atoms: Atoms, tolerance: float) -> Atoms:
    """Return a structure moved onto the symmetry that it has within a tolerance (Å): atoms and third cell vector.

    The first two cell vectors must not change under the symmetry's average; they are kept.
    """
    found = operations(atoms, tolerance)
    places = np.linalg.solve(np.asarray(atoms.cell).T, atoms.positions.T).T
    mean = np.zeros_like(places)
    metric = np.zeros((3, 3))
    for rotation, shift in zip(found.rotations, found.translations, strict=True):
        images = places @ rotation.T + shift
        order = permutation(atoms, rotation, shift)
        mean[order] += images - np.rint(images - places[order])
        metric += rotation.T @ np.asarray(atoms.cell @ atoms.cell.T) @ rotation
    number = len(found.rotations)
    first, second, _ = np.asarray(atoms.cell)
    along = np.linalg.solve(np.array([first[:2], second[:2]]), metric[2, :2] / number)
    height = np.sqrt(metric[2, 2] / number - along @ along)
    exact = atoms.copy()
    exact.set_cell([first, second, [*along, np.copysign(height, atoms.cell[2, 2])]])
    exact.set_scaled_positions(mean / number)
    return exact


def primitive_count(atoms: Atoms, tolerance: float) -> int:
    """Return the number of atoms in the primitive cell, places that agree within a tolerance (Å) taken as equal."""
    import spglib

    return len(_ask(spglib.find_primitive, atoms, tolerance)[2])


def orbits(atoms: Atoms) -> "NDArray[np.int64]":
    """Return a number for each atom, the same for atoms that the space group maps onto each other."""
    return np.array(_ask(_dataset, atoms).crystallographic_orbits, dtype=np.int64)


def asymmetric_unit(atoms: Atoms) -> "NDArray[np.int64]":
    """Return the index of one atom of each set of atoms that the space group maps onto each other."""
    return np.unique(orbits(atoms), return_index=True)[1]


def _dataset(cell: "tuple[NDArray[np.float64], ...]", symprec: float) -> "SpglibDataset":
    """Return all that spglib says of a cell; the last few answers are remembered, because the same cell is asked for often."""
    vectors, places, numbers = (np.ascontiguousarray(part).tobytes() for part in cell)
    return _remembered(vectors, places, numbers, symprec)


@functools.lru_cache(maxsize=16)
def _remembered(vectors: bytes, places: bytes, numbers: bytes, symprec: float) -> "SpglibDataset":
    import spglib

    cell = (np.frombuffer(vectors).reshape(3, 3), np.frombuffer(places).reshape(-1, 3), np.frombuffer(numbers, dtype=np.int64))
    return spglib.get_symmetry_dataset(cell, symprec=symprec)


def _ask(question: "Callable[..., Answer]", atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> "Answer":
    import spglib

    cell = (np.asarray(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)
    answer: Answer
    try:
        answer = spglib_new_errorhandling(question)(cell, symprec=tolerance)
    except (spglib.SpglibError, OldSpglibError) as error:
        message = (
            f"{atoms.get_chemical_formula()}: no space group was found within {tolerance:g} Å. "
            "Look for overlapping atoms and for a cell without volume."
        )
        raise StructureError(message) from error
    return answer
