"""Which strains determine a stiffness, and the stiffness they determine.

A stiffness is a combination of the tensors that the point group leaves as they are. This space is found by averaging over
the group, in whatever orientation the crystal has; no table by crystal system is needed. Matrices are in the Kelvin notation
of :mod:`seiflow.properties.stiffness`.
"""

import itertools
from typing import TYPE_CHECKING

import numpy as np

from seiflow.properties.stiffness import KELVIN, VOIGT_PAIRS, kelvin_rotation
from seiflow.structures.space_group import standard_cell
from seiflow.structures.supercell import fractional_rotations

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

LARGEST_CONDITION = 10.0
"""Condition number of the fit above which one more strain state is taken."""


def point_group(crystal: "Atoms") -> "NDArray[np.float64]":
    """Return the Cartesian rotations (n x 3 x 3, orthogonal) of a crystal in the orientation it has.

    They are found in a primitive cell, because a supercell can be less symmetric than the crystal it holds.
    """
    primitive = standard_cell(crystal, primitive=True, idealised=False)
    columns = primitive.cell.array.T
    fractional = fractional_rotations(primitive)
    cartesian = np.array([columns @ rotation @ np.linalg.inv(columns) for rotation in fractional])
    left, _, right = np.linalg.svd(cartesian)
    return np.asarray(left @ right)


def invariant_basis(rotations: "NDArray[np.float64]", *, symmetric: bool = True) -> "NDArray[np.float64]":
    """Return an orthonormal basis (k x 6 x 6, Kelvin) of the tensors that all rotations leave as they are.

    The space is the image of the group average of C → QCQᵀ, so every point group in every orientation is treated alike.

    Args:
        rotations: Cartesian point group, n x 3 x 3.
        symmetric: Whether to span the symmetric matrices (C_ij = C_ji), else the antisymmetric ones.
    """
    turns = [kelvin_rotation(rotation) for rotation in rotations]
    average = sum(np.kron(turn, turn) for turn in turns) / len(turns)
    swap = np.eye(36).reshape(6, 6, 36).transpose(1, 0, 2).reshape(36, 36)
    exchange = (np.eye(36) + (swap if symmetric else -swap)) / 2
    values, vectors = np.linalg.eigh(exchange @ average @ exchange)
    return np.asarray(vectors[:, values > 0.5].T.reshape(-1, 6, 6))  # noqa: PLR2004 - a projector has eigenvalues 0 and 1


def strain_states(rotations: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the fewest strain states that determine every independent constant well.

    Args:
        rotations: Cartesian point group, n x 3 x 3.

    Returns:
        m x 6 engineering Voigt strains with components -1, 0 and 1: one for cubic crystals, six for triclinic ones.
    """
    basis = invariant_basis(rotations)
    candidates = _candidates()
    blocks = _equations(basis, candidates)
    blocks = blocks / np.linalg.norm(candidates / KELVIN, axis=1)[:, None, None]
    information = np.einsum("cik,cil->ckl", blocks, blocks)
    for number in range(_fewest(basis), len(VOIGT_PAIRS) + 1):
        chosen = _exchange(information, number)
        eigenvalues = np.linalg.eigvalsh(information[chosen].sum(axis=0))
        if np.sqrt(eigenvalues[-1]) < LARGEST_CONDITION * np.sqrt(max(eigenvalues[0], 0)):
            return candidates[chosen]
    return np.eye(len(VOIGT_PAIRS))


def strained(crystal: "Atoms", strain: "NDArray[np.float64]") -> "Atoms":
    """Return a copy whose cell is deformed by I + ε, positions with it; ``strain`` is engineering Voigt, xx yy zz yz xz xy."""
    tensor = np.zeros((3, 3))
    for value, (i, j) in zip(strain, VOIGT_PAIRS, strict=True):
        tensor[i, j] = tensor[j, i] = value if i == j else value / 2
    copy = crystal.copy()
    copy.set_constraint()
    copy.set_cell(crystal.cell.array @ (np.eye(3) + tensor), scale_atoms=True)
    return copy


def fit(
    rotations: "NDArray[np.float64]", states: "NDArray[np.float64]", slopes: "NDArray[np.float64]"
) -> "tuple[NDArray[np.float64], float, float]":
    """Return the invariant stiffness (6 x 6 Voigt), the rms residual and the asymmetry, all in the unit of ``slopes``.

    Args:
        rotations: Cartesian point group, n x 3 x 3.
        states: Engineering Voigt strains, m x 6.
        slopes: Stress of each state per strain, Voigt, m x 6.
    """
    basis, skew = invariant_basis(rotations), invariant_basis(rotations, symmetric=False)
    target = (slopes * KELVIN).ravel()
    design = _equations(basis, states).reshape(target.size, -1)
    constants = np.linalg.lstsq(design, target, rcond=None)[0]
    misfit = target - design @ constants
    kelvin = np.tensordot(constants, basis, axes=1)
    # An antisymmetric tensor can only explain what no symmetric one does, hence the projection before its fit.
    extra = _equations(skew, states).reshape(target.size, -1)
    extra -= design @ np.linalg.pinv(design) @ extra
    antisymmetric = np.tensordot(np.linalg.pinv(extra, rcond=1e-8) @ misfit, skew, axes=1)
    scale = np.outer(KELVIN, KELVIN)
    asymmetry = 2 * float(np.abs(antisymmetric / scale).max())
    return (kelvin + kelvin.T) / (2 * scale), float(np.sqrt(np.mean(misfit**2))), asymmetry


def _candidates() -> "NDArray[np.float64]":
    """Return simple strains (engineering Voigt, components -1, 0, 1; at most three of them not 0), the simplest first."""
    signed = [v for v in itertools.product((0, 1, -1), repeat=6) if 1 <= np.count_nonzero(v) <= 3]  # noqa: PLR2004
    unsigned = [v for v in signed if v[np.flatnonzero(v)[0]] > 0]
    return np.array(sorted(unsigned, key=lambda v: (np.count_nonzero(v), v.count(-1), tuple(-abs(c) for c in v), v)), dtype=float)


def _equations(basis: "NDArray[np.float64]", strains: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the Kelvin stress (m x 6 x k) that each basis tensor (k) answers to each engineering Voigt strain (m) with."""
    return np.asarray(np.einsum("kij,cj->cik", basis, strains / KELVIN))


def _fewest(basis: "NDArray[np.float64]") -> int:
    """Return how many strain states determine all constants: the rank that as many strains without any symmetry reach."""
    generic = np.random.default_rng(0).normal(size=(6, 6))
    ranks = [np.linalg.matrix_rank(_equations(basis, generic[:m]).reshape(6 * m, -1), tol=1e-6) for m in range(1, 7)]
    return ranks.index(len(basis)) + 1


def _exchange(information: "NDArray[np.float64]", number: int) -> list[int]:
    """Choose ``number`` candidates with the largest determinant of their summed information, by greedy choice and exchange."""

    def best(others: list[int]) -> int:
        total = information[others].sum(axis=0) + information
        merit = np.log(np.maximum(np.linalg.eigvalsh(total), 0) + 1e-6).sum(axis=1)
        return int(np.flatnonzero(merit > merit.max() - 1e-6)[0])

    chosen: list[int] = []
    for _ in range(number):
        chosen.append(best(chosen))
    while True:
        before = list(chosen)
        for place in range(number):
            chosen[place] = best(chosen[:place] + chosen[place + 1 :])
        if chosen == before:
            return sorted(chosen)
