"""The optimiser, chosen by counting force evaluations.

ASE's trust-region quasi-Newton (GoodOldQuasiNewton), which was the best of ASE's optimisers or near it for vacancies and
saddles in LiF, Li2O and Li2CO3 (docs/methods.md), with changes: its Hessian starts from a model of the structure,
a cell has a tolerance of its own and is not strained by more than a tenth in a step, and the update of the Hessian is a matrix
expression instead of a double loop. Plane waves that enter and leave the basis as a crystal is strained make its energy jump;
where energy and stress contradict each other, the stress is believed, which is that of a fixed cut-off.
"""

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.optimize import GoodOldQuasiNewton

from seiflow.cell_filters import CellFilter, CrystalFilter
from seiflow.model_hessian import model_hessian

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_STRAIN = 0.1
"""The largest step of a cell, as a strain."""

NOISE = 1e-4
"""eV; energies of a calculator are not trusted further. ASE also takes a step back only if it goes up by more."""

JUMP, SHARE = 2e-3, 0.3
"""eV, and of the work of the stress in a step: an energy that differs from this work by more has jumped."""

SMALLEST = 1e-12
"""eV; curvature along a step that is still used."""


class QuasiNewton(GoodOldQuasiNewton):  # type: ignore[misc] # the base class is untyped
    """Trust-region quasi-Newton with a model Hessian."""

    oldenergy: float

    def __init__(self, moving: Atoms | CellFilter) -> None:
        """Start from the model Hessian."""
        self._moving = moving
        if isinstance(moving, CellFilter):
            super().__init__(moving, logfile=None, maxradius=LARGEST_STRAIN * moving.length)
            self.hessian = moving.hessian
        else:
            super().__init__(moving, logfile=None)
            self.hessian = model_hessian(moving)
        self.eps = NOISE  # by which ASE decides whether a predicted change of the energy says anything about the trust radius

    def gradient_converged(self, gradient: "NDArray[np.float64]") -> bool:
        """Tell whether forces, and the stress if the cell moves, are within their tolerances."""
        if isinstance(self._moving, CellFilter):
            return self._moving.within(gradient.reshape(-1, 3), self.fmax)
        return bool(super().gradient_converged(gradient))

    def step(self, forces: "NDArray[np.float64] | None" = None) -> None:
        """Do one step; whether the last one was good is told by the work of the stress where the energy has jumped."""
        if isinstance(self._moving, CrystalFilter) and hasattr(self, "oldenergy"):
            moved = self.optimizable.get_x() - self.oldpos
            work = float((self._get_gradient(forces) + self.oldG) @ moved) / 2
            energy = self.optimizable.get_value()
            if abs(energy - self.oldenergy - work) > max(JUMP, SHARE * abs(work)):
                self.oldenergy = energy - work
        super().step(forces)

    def update_hessian_bfgs(self, pos: "NDArray[np.float64]", G: "NDArray[np.float64]") -> None:  # noqa: N803 - ASE's name
        """Broyden-Fletcher-Goldfarb-Shanno update of the Hessian."""
        gradient, step = G - self.oldG, pos - self.oldpos
        bent = step @ self.hessian
        curvature, expected = gradient @ step, bent @ step
        if abs(curvature) > SMALLEST and abs(expected) > SMALLEST:
            self.hessian = self.hessian + np.outer(gradient, gradient) / curvature - np.outer(bent, bent) / expected
