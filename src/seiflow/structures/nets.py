"""Bases of lattices and nets in whole numbers."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

HALF = 0.5 - 1e-6
"""Ties of a rounding are broken the same way on every machine."""


def lattice_basis(generators: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return a basis, in Hermite normal form, of the lattice of all whole combinations of integer vectors (rows)."""
    rows = [np.array(row, dtype=np.int64) for row in generators]
    basis: list[NDArray[np.int64]] = []
    for column in range(generators.shape[1]):
        while True:
            alive = sorted((row for row in rows if row[column]), key=lambda row: abs(int(row[column])))
            if len(alive) <= 1:
                break
            rows = [row for row in rows if not row[column]] + [alive[0]]
            rows += [row - (row[column] // alive[0][column]) * alive[0] for row in alive[1:]]
        if alive:
            pivot = alive[0] * int(np.sign(alive[0][column]))
            rows = [row for row in rows if not row[column]]
            basis = [row - (row[column] // pivot[column]) * pivot for row in basis]
            basis.append(pivot)
    return np.array(basis)


def reduced_net(vectors: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """Return the 2 × 2 integer matrix that turns two vectors (rows, any dimension) into the shortest basis of their net."""
    steps = np.eye(2, dtype=np.int64)
    while True:
        a, b = steps @ vectors
        if a @ a > b @ b + 1e-6:
            steps = steps[::-1]
            continue
        times = int(np.ceil(a @ b / (a @ a) - HALF))
        if times == 0:
            return steps
        steps = np.array([steps[0], steps[1] - times * steps[0]])


def stacking(indices: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return a unimodular matrix whose first two rows lie in the plane of ``indices`` and whose third climbs by one."""
    steps = np.eye(3, dtype=np.int64)
    heights = indices.copy()
    while np.count_nonzero(heights) > 1:
        least = min(np.flatnonzero(heights), key=lambda item: (abs(int(heights[item])), item))
        times = heights // heights[least]
        times[least] = 0
        steps -= np.outer(times, steps[least])
        heights = steps @ indices
    last = int(np.flatnonzero(heights)[0])
    others = [item for item in range(3) if item != last]
    return np.array([steps[others[0]], steps[others[1]], steps[last] * heights[last]])
