"""The optimiser for ions at fixed cell, chosen by counting force evaluations.

ASE's trust-region quasi-Newton (GoodOldQuasiNewton), which took the fewest evaluations of ASE's optimisers for vacancies
and saddles in LiF, Li2O and Li2CO3 (docs/methods.md), with two changes: its Hessian starts with stiff springs along
covalent bonds, where a molecular ion is an order of magnitude stiffer than the crystal around it (73 evaluations become 38
for a vacancy in Li2CO3), and the update of the Hessian is a matrix expression instead of a double loop.
"""

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from ase.optimize import GoodOldQuasiNewton

from seiflow.normal_filter import NormalFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

BOND_STIFFNESS = 60.0
"""eV/Å²; typical of a single to double bond between light atoms."""

BONDED = 0.97
"""Atoms closer than this fraction of the sum of their covalent radii are taken as bonded."""


class QuasiNewton(GoodOldQuasiNewton):  # type: ignore[misc] # the base class is untyped
    """Trust-region quasi-Newton with a model Hessian."""

    def __init__(self, moving: Atoms | NormalFilter) -> None:
        """Start from the model Hessian."""
        super().__init__(moving, logfile=None)
        self.hessian = model_hessian(moving) if isinstance(moving, Atoms) else _with_cell(moving)

    def update_hessian_bfgs(self, pos: "NDArray[np.float64]", G: "NDArray[np.float64]") -> None:  # noqa: N803 - ASE's name
        """Broyden-Fletcher-Goldfarb-Shanno update of the Hessian."""
        gradient, step = G - self.oldG, pos - self.oldpos
        bent = step @ self.hessian
        curvature, expected = gradient @ step, bent @ step
        if abs(curvature) > self.eps and abs(expected) > self.eps:
            self.hessian = self.hessian + np.outer(gradient, gradient) / curvature - np.outer(bent, bent) / expected


def _with_cell(moving: NormalFilter) -> "NDArray[np.float64]":
    ions = model_hessian(moving.atoms)
    hessian = moving.model_stiffness() * np.eye(len(ions) + 3)
    hessian[:-3, :-3] = ions
    return hessian


def model_hessian(atoms: Atoms) -> "NDArray[np.float64]":
    """Return a diagonal Hessian plus springs along covalent bonds, 3n × 3n, eV/Å²."""
    first, second, vectors = bonds(atoms)
    size = len(atoms)
    hessian = np.zeros((size, 3, size, 3))
    for i, j, vector in zip(first, second, vectors, strict=True):
        along = vector / np.linalg.norm(vector)
        spring = BOND_STIFFNESS * np.outer(along, along)
        hessian[i, :, i, :] += spring
        hessian[i, :, j, :] -= spring
    diagonal = 10.0 if len(first) else 20.0
    return np.asarray(hessian.reshape(3 * size, 3 * size) + diagonal * np.eye(3 * size))


def bonds(atoms: Atoms) -> tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[np.float64]"]:
    """Return the covalent bonds of a structure, each in both directions: first atom, second atom, vector between them (Å)."""
    radii = covalent_radii[atoms.numbers]
    first, second, distances, vectors = neighbor_list("ijdD", atoms, 2 * BONDED * float(radii.max()))
    bonded = distances < BONDED * (radii[first] + radii[second])
    bonded &= np.isin(atoms.numbers[first], _NONMETALS) & np.isin(atoms.numbers[second], _NONMETALS)
    return first[bonded], second[bonded], vectors[bonded]


_NONMETALS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 34, 35, 53)
