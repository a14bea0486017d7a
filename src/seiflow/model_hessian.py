"""A model of the Hessian from distances alone: what relaxations and searches for saddles start from.

Neighbours are joined by springs that get softer with the distance, mostly along the line between them. A weak spring holds each
atom in its place. Collective motion is then as soft, and atoms that move against their neighbours as stiff, as they are. A
molecular ion is an order of magnitude stiffer: springs along its bonds, across them, and between atoms bonded to the same one;
the values are about those of CHGNet in Li2CO3.

Sources of the idea: Lindh et al., Chem. Phys. Lett. 241, 423 (1995); Packwood et al., J. Chem. Phys. 144, 164109 (2016).
"""

from typing import TYPE_CHECKING

import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

IN_PLACE = 1.0
"""eV/Å²."""

CELL_IN_PLACE = 0.06
"""eV/Å³, about 10 GPa: what the cell resists where springs do not."""

NEIGHBOURS, DECAY = 2.0, 3.0
"""Stiffness along the line between nearest neighbours, eV/Å², and the exponent with which it decays over their distance."""

SIDEWAYS = 0.1
"""Stiffness across that line, as a fraction."""

FARTHEST, NEAREST = 1.6, 0.8
"""In distances of nearest neighbours: where springs end, and below which they are not stiffer."""

LARGEST_ION = 3.2
"""Å; nearest neighbours farther apart are treated as if they were at this distance."""

ALONG_BOND, ACROSS_BOND, BETWEEN_BONDED = 30.0, 5.0, 9.0
"""eV/Å²; along a bond of a molecular ion, across it, and between two atoms bonded to a third."""

BONDED = 0.97
"""Atoms closer than this fraction of the sum of their covalent radii are taken as bonded."""

_NONMETALS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53)


def model_hessian(atoms: "Atoms") -> "NDArray[np.float64]":
    """Return the model, 3n × 3n, eV/Å²."""
    size = len(atoms)
    hessian = np.zeros((size, size, 3, 3))
    for first, second, _, stiffness in springs(atoms):
        np.add.at(hessian, (first, first), stiffness)
        np.add.at(hessian, (first, second), -stiffness)
    return np.asarray(hessian.transpose(0, 2, 1, 3).reshape(3 * size, 3 * size) + IN_PLACE * np.eye(3 * size))


def model_hessian_with_cell(atoms: "Atoms") -> "NDArray[np.float64]":
    """Return the model of ions and cell, (3n + 9) × (3n + 9).

    The last nine rows are the displacement gradient, row by row: it moves an atom at r by e r, on top of which the atom has a
    displacement of its own. In eV/Å² among ions, eV/Å between ions and cell, eV for the cell.
    """
    ions = 3 * len(atoms)
    coupling = np.zeros((len(atoms), 3, 3, 3))
    cell = np.zeros((3, 3, 3, 3))
    for first, _, vectors, stiffness in springs(atoms):
        np.subtract.at(coupling, first, np.einsum("sac,sb->sacb", stiffness, vectors))
        cell += np.einsum("sac,sb,sd->abcd", stiffness, vectors, vectors) / 2
    hessian = np.zeros((ions + 9, ions + 9))
    hessian[:ions, :ions] = model_hessian(atoms)
    hessian[:ions, ions:] = coupling.reshape(ions, 9)
    hessian[ions:, :ions] = hessian[:ions, ions:].T
    hessian[ions:, ions:] = cell.reshape(9, 9) + CELL_IN_PLACE * atoms.get_volume() * np.eye(9)
    return hessian


def bonds(atoms: "Atoms") -> tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]"]:
    """Return the covalent bonds of a structure, each in both directions: first atom, second atom, vector between them (Å)."""
    radii = covalent_radii[atoms.numbers]
    first, second, distances, vectors = neighbor_list("ijdD", atoms, 2 * BONDED * float(radii.max()))
    bonded = distances < BONDED * (radii[first] + radii[second])
    bonded &= np.isin(atoms.numbers[first], _NONMETALS) & np.isin(atoms.numbers[second], _NONMETALS)
    return first[bonded], second[bonded], vectors[bonded]


Springs = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]", "NDArray[np.float64]"]
"""Springs, each in both directions: first atom, second atom, vector between them (Å), stiffness (3 × 3, eV/Å²)."""


def springs(atoms: "Atoms") -> tuple[Springs, Springs, Springs]:
    """Return the springs between neighbours, along and across bonds, and between atoms bonded to a third."""
    first, second, vectors = bonds(atoms)
    return (
        _between_neighbours(atoms),
        (first, second, vectors, _stiffness(vectors, np.full(len(first), ALONG_BOND), np.full(len(first), ACROSS_BOND))),
        _between_bonded(first, second, vectors),
    )


def _between_neighbours(atoms: "Atoms") -> Springs:
    first, second, distances, vectors = neighbor_list("ijdD", atoms, FARTHEST * LARGEST_ION)
    nearest = np.full(len(atoms), LARGEST_ION)
    np.minimum.at(nearest, first, distances)
    ratio = distances / np.maximum(nearest[first], nearest[second])
    near = ratio < FARTHEST
    along = NEIGHBOURS * np.exp(DECAY * (1 - np.maximum(ratio[near], NEAREST)))
    return first[near], second[near], vectors[near], _stiffness(vectors[near], along, SIDEWAYS * along)


def _between_bonded(first: "NDArray[np.int64]", second: "NDArray[np.int64]", vectors: "NDArray[np.float64]") -> Springs:
    one, other = np.nonzero((first[:, None] == first[None]) & ~np.eye(len(first), dtype=bool))
    gaps = vectors[other] - vectors[one]
    return second[one], second[other], gaps, _stiffness(gaps, np.full(len(one), BETWEEN_BONDED), np.zeros(len(one)))


def _stiffness(
    vectors: "NDArray[np.float64]", along: "NDArray[np.float64]", across: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    units = vectors / np.linalg.norm(vectors, axis=1)[:, None]
    lines = units[:, :, None] * units[:, None, :]
    return np.asarray(across[:, None, None] * (np.eye(3) - lines) + along[:, None, None] * lines)
