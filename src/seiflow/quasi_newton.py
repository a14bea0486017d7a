"""The optimiser for ions at fixed cell, chosen by counting force evaluations.

ASE's trust-region quasi-Newton (GoodOldQuasiNewton), which was the best of ASE's optimisers or near it for vacancies and
saddles in LiF, Li2O and Li2CO3 (docs/methods.md), with two changes: its Hessian starts from a model of the structure,
and the update of the Hessian is a matrix expression instead of a double loop.
"""

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.optimize import GoodOldQuasiNewton

from seiflow.model_hessian import model_hessian
from seiflow.normal_filter import NormalFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
