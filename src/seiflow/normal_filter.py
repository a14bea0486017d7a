"""The cell of a boundary as something an optimiser can move: the ions, and the vector that leads out of the plane.

The first two vectors of the cell are the net of the crystal and stay. The third may stretch and lean, which lets the grains move
apart and slide on each other. With the third vector strained by e (three numbers), an atom at height z moves by z e; the force
on e is minus the derivative of the energy, the traction on the plane times the volume.
"""

from typing import TYPE_CHECKING

import numpy as np
from ase.filters import Filter

from seiflow.model_hessian import model_hessian_with_cell

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray


class NormalFilter(Filter):  # type: ignore[misc] # the base class is untyped
    """Ions and the third cell vector; the strain is the last row of the positions.

    Args:
        atoms: A cell whose first two vectors lie in the xy plane, with a calculator that gives stress.
        length: Length in Å that the strain is multiplied by; it fixes which traction counts as much as which force.
    """

    def __init__(self, atoms: "Atoms", length: float) -> None:
        """Take the present cell as the unstrained one."""
        super().__init__(atoms, indices=range(len(atoms)))
        self.length = length
        self._vector = np.asarray(atoms.cell)[2].copy()
        self._strain = np.zeros(3)

    def __len__(self) -> int:
        """Return the rows of the positions."""
        return len(self.atoms) + 1

    def get_positions(self) -> "NDArray[np.float64]":
        """Return the positions in the unstrained cell and the strain times the length, (n + 1) × 3, Å."""
        positions = self.atoms.get_positions()
        heights = positions[:, 2] / (1 + self._strain[2])
        return np.vstack([positions - np.outer(heights, self._strain), self._strain * self.length])

    def set_positions(self, new: "NDArray[np.float64]") -> None:
        """Move ions and cell."""
        self._strain = new[-1] / self.length
        cell = np.array(self.atoms.cell)
        cell[2] = self._vector + self._vector[2] * self._strain
        self.atoms.set_cell(cell)
        self.atoms.set_positions(new[:-1] + np.outer(new[:-1, 2], self._strain))

    def get_forces(self) -> "NDArray[np.float64]":
        """Return what drives each row of the positions, (n + 1) × 3, eV/Å."""
        gradient = np.eye(3)
        gradient[:, 2] += self._strain
        virial = -self.atoms.get_volume() * self.atoms.get_stress(voigt=False)
        driving = (virial @ np.linalg.inv(gradient).T)[:, 2]
        return np.vstack([self.atoms.get_forces() @ gradient, driving / self.length])

    def model_hessian(self) -> "NDArray[np.float64]":
        """Return a guess at the second derivatives of the energy, (3n + 3) × (3n + 3), eV/Å²."""
        ions = 3 * len(self.atoms)
        kept = [*range(ions), ions + 2, ions + 5, ions + 8]
        scale = np.concatenate([np.ones(ions), np.full(3, 1 / self.length)])
        return model_hessian_with_cell(self.atoms)[np.ix_(kept, kept)] * np.outer(scale, scale)
