"""Lowest vibrational modes at a stationary point, from forces alone.

A saddle of a reaction has exactly one negative curvature. Products of the Hessian with a vector are differences of
forces; the lowest eigenpairs come from a Rayleigh-Ritz search in a subspace grown by residuals, which a model of the
Hessian turns into corrections (block Davidson). It starts from the three displacements of the moving ion, the soft modes
of the model, and a random one, so that a mode orthogonal to the path is found too.
A Ritz value is never below the eigenvalue of the same rank, so a negative one proves a negative mode; that there is no
further one rests on the residual of the next Ritz value: some eigenvalue lies within that norm of it. A mode that the start
does not contain would be missed; the random start makes that unlikely, not impossible.

Sources: B. N. Parlett, The Symmetric Eigenvalue Problem, SIAM (1998), chapters 11 and 13; E. R. Davidson, J. Comput. Phys. 17,
87 (1975).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

STEP = 0.03
"""Å; length of the displacement (over all atoms) in a forward difference of forces. ML potentials have kinks: over 0.01 Å the
curvature of CHGNet at one saddle of Li2CO3 went from -0.4 to +0.5 eV/Å², so a longer step measures what an ion feels."""

SMALLEST_GAP = 1.0
"""eV/Å²; a mode of the model closer to a curvature than this is corrected as if it were this far."""

FEWEST_PRODUCTS = 16
MOST_PRODUCTS = 45
WANTED = 3


@dataclass(frozen=True)
class Modes:
    """Lowest modes of a structure.

    Attributes:
        curvatures: Ascending, eV/Å².
        residuals: Norms of the residuals, eV/Å²: an eigenvalue lies within this of each curvature.
        vectors: modes × atoms × 3, orthonormal.
        basis: vectors × 3n, orthonormal: the directions in which the Hessian was measured.
        products: vectors × 3n, the Hessian times each of them, eV/Å².
        negative: How many curvatures are negative: the lowest if below zero, the others if below minus the tolerance.
        certain: Whether the two lowest curvatures are negative or above the tolerance by more than their residuals.
    """

    curvatures: "NDArray[np.float64]"
    residuals: "NDArray[np.float64]"
    vectors: "NDArray[np.float64]"
    basis: "NDArray[np.float64]"
    products: "NDArray[np.float64]"
    negative: int
    certain: bool


def lowest_modes(
    atoms: "Atoms",
    mover: int,
    engine: Engine,
    tolerance: float,
    model: "NDArray[np.float64]",
    most: int = MOST_PRODUCTS,
) -> Modes:
    """Return the lowest modes of a structure.

    Args:
        atoms: A stationary point.
        mover: Index of the ion that migrates.
        engine: Evaluates forces.
        tolerance: Curvatures but the lowest count as negative when below minus this, eV/Å².
        model: Approximate Hessian, 3n × 3n, eV/Å²: it guides the search, and the result does not rest on it.
        most: Products of the Hessian with a vector allowed, one force evaluation each.
    """
    subspace = _Subspace(atoms, engine, model)
    for axis in range(3):
        seed = np.zeros((len(atoms), 3))
        seed[mover, axis] = 1.0
        subspace.grow(seed.ravel())
    for vector in subspace.softest():
        subspace.grow(vector)
    subspace.grow(np.random.default_rng(0).normal(size=3 * len(atoms)))
    while True:
        values, vectors, residuals = subspace.ritz()
        norms = np.linalg.norm(residuals, axis=0)
        negative = values < -tolerance
        negative[0] = values[0] < 0
        decided = negative | (values - norms > -tolerance)
        enough = negative.sum() > 1 or (decided[:2].all() and subspace.size >= FEWEST_PRODUCTS)
        engine.report(f"modes: {subspace.size} products, lowest curvatures {np.round(values, 2).tolist()} eV/Å²")
        if enough or subspace.size >= most or not subspace.grow_by(residuals, values, np.flatnonzero(~decided[:2])):
            shaped = vectors.T.reshape(-1, len(atoms), 3)
            basis, products = subspace.measured()
            return Modes(values, norms, shaped, basis, products, int(negative.sum()), bool(enough))


class _Subspace:
    def __init__(self, atoms: "Atoms", engine: Engine, model: "NDArray[np.float64]") -> None:
        self._atoms = atoms
        self._engine = engine
        self._values, self._modes = np.linalg.eigh(model)
        translations = np.tile(np.eye(3), len(atoms)) / np.sqrt(len(atoms))
        self._drift = translations
        self._forces = engine.evaluate(atoms).forces
        self._vectors: list[NDArray[np.float64]] = []
        self._products: list[NDArray[np.float64]] = []

    @property
    def size(self) -> int:
        return len(self._vectors)

    def measured(self) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
        return np.array(self._vectors), np.array(self._products)

    def grow(self, vector: "NDArray[np.float64]") -> bool:
        vector = self._without_drift(vector)
        for _ in range(2):
            for known in self._vectors:
                vector = vector - known * (known @ vector)
        norm = float(np.linalg.norm(vector))
        if norm < 1e-6:  # noqa: PLR2004 - nothing new in this direction
            return False
        self._vectors.append(vector / norm)
        self._products.append(self._without_drift(self._product(vector / norm)))
        return True

    def softest(self) -> "NDArray[np.float64]":
        """Those of the two lowest modes of the approximate Hessian that are softer than it holds atoms in their places."""
        return np.asarray(self._modes[:, :2].T[self._values[:2] < SMALLEST_GAP])

    def grow_by(self, residuals: "NDArray[np.float64]", values: "NDArray[np.float64]", undecided: "NDArray[np.int64]") -> bool:
        chosen = undecided[:2] if len(undecided) else [1]
        return sum(self.grow(self._correction(residuals[:, index], float(values[index]))) for index in chosen) > 0

    def _correction(self, residual: "NDArray[np.float64]", value: float) -> "NDArray[np.float64]":
        gaps = np.maximum(np.abs(self._values - value), SMALLEST_GAP)
        return np.asarray(self._modes @ ((residual @ self._modes) / gaps))

    def ritz(self) -> tuple["NDArray[np.float64]", "NDArray[np.float64]", "NDArray[np.float64]"]:
        basis, products = np.array(self._vectors), np.array(self._products)
        projected = basis @ products.T
        values, mix = np.linalg.eigh((projected + projected.T) / 2)
        values, mix = values[:WANTED], mix[:, :WANTED]
        vectors = basis.T @ mix
        return values, vectors, products.T @ mix - vectors * values

    def _product(self, direction: "NDArray[np.float64]") -> "NDArray[np.float64]":
        displaced = self._atoms.copy()
        displaced.positions += STEP * direction.reshape(-1, 3)
        return np.asarray((self._forces - self._engine.evaluate(displaced).forces).ravel() / STEP)

    def _without_drift(self, vector: "NDArray[np.float64]") -> "NDArray[np.float64]":
        return np.asarray(vector - self._drift.T @ (self._drift @ vector))
