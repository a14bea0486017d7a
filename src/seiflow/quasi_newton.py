"""The optimiser, chosen by counting force evaluations.

ASE's trust-region quasi-Newton (GoodOldQuasiNewton), which was the best of ASE's optimisers or near it for vacancies and
saddles in LiF, Li2O and Li2CO3 (docs/methods.md), with two changes: its Hessian starts from a model of the structure,
and the update of the Hessian is a matrix expression instead of a double loop.
"""

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.optimize import GoodOldQuasiNewton

from seiflow.crystal_filter import CrystalFilter
from seiflow.model_hessian import model_hessian
from seiflow.normal_filter import NormalFilter

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_STRAIN = 0.1
"""No step strains a cell by more."""


class QuasiNewton(GoodOldQuasiNewton):  # type: ignore[misc] # the base class is untyped
    """Trust-region quasi-Newton with a model Hessian."""

    def __init__(self, moving: Atoms | CrystalFilter | NormalFilter) -> None:
        """Start from the model Hessian."""
        if isinstance(moving, Atoms):
            super().__init__(moving, logfile=None)
            self.hessian = model_hessian(moving)
        else:
            super().__init__(moving, logfile=None, maxradius=LARGEST_STRAIN * moving.length)
            self.hessian = moving.model_hessian()

    def update_hessian_bfgs(self, pos: "NDArray[np.float64]", G: "NDArray[np.float64]") -> None:  # noqa: N803 - ASE's name
        """Broyden-Fletcher-Goldfarb-Shanno update of the Hessian."""
        gradient, step = G - self.oldG, pos - self.oldpos
        bent = step @ self.hessian
        curvature, expected = gradient @ step, bent @ step
        if abs(curvature) > self.eps and abs(expected) > self.eps:
            self.hessian = self.hessian + np.outer(gradient, gradient) / curvature - np.outer(bent, bent) / expected
