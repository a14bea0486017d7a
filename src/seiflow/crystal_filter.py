"""A crystal as something an optimiser can move: the ions, and the whole cell."""

from typing import TYPE_CHECKING

import numpy as np
from ase.filters import FrechetCellFilter

from seiflow.model_hessian import model_hessian_with_cell

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray


class CrystalFilter(FrechetCellFilter):  # type: ignore[misc] # the base class is untyped
    """ASE's filter of ions and cell, with a model Hessian.

    Args:
        atoms: A crystal with a calculator that gives stress.
        length: Length in Å that the strain is multiplied by; it fixes which stress counts as much as which force.
    """

    def __init__(self, atoms: "Atoms", length: float) -> None:
        """Take the present cell as the unstrained one."""
        super().__init__(atoms, exp_cell_factor=length)
        self.length = length

    def model_hessian(self) -> "NDArray[np.float64]":
        """Return a guess at the second derivatives of the energy, (3n + 9) × (3n + 9), eV/Å².

        A rotation of the cell, which costs nothing, is as stiff as a strain.
        """
        ions = 3 * len(self.atoms)
        model = model_hessian_with_cell(self.atoms)
        stiffness = np.trace(model[ions:, ions:]) / 9
        transposed = np.eye(9)[[0, 3, 6, 1, 4, 7, 2, 5, 8]]
        strains = np.eye(ions + 9)
        strains[ions:, ions:] = (np.eye(9) + transposed) / 2
        model = strains @ model @ strains
        model[ions:, ions:] += stiffness * (np.eye(9) - transposed) / 2
        scale = np.concatenate([np.ones(ions), np.full(9, 1 / self.length)])
        return np.asarray(model * np.outer(scale, scale))
