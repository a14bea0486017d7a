"""Ions and cell as one thing that an optimiser can move: all of the cell of a crystal, or its vector out of a boundary's plane.

Both multiply the strain by a length that makes the cell about as stiff as the ions, so that steps are alike. Forces and stress
have a tolerance each.
"""

from typing import TYPE_CHECKING

import numpy as np
from ase.filters import Filter, FrechetCellFilter

from seiflow.model_hessian import model_hessian_with_cell

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

STIFFNESS = 4.0
"""eV/Å², of a strain once it is multiplied by the length; from 4 to 10 the number of evaluations hardly changes."""


class CellFilter(Filter):  # type: ignore[misc] # the base class is untyped
    """What the two kinds have in common; the rows of the cell come after those of the ions.

    Attributes:
        atoms: The structure that is moved.
        length: Å; what the strain is multiplied by.
        hessian: A guess at the second derivatives of the energy, eV/Å².
        allowed_stress: Largest component allowed in the end, eV/Å³.
    """

    atoms: "Atoms"
    length: float
    hessian: "NDArray[np.float64]"
    allowed_stress: float

    def within(self, forces: "NDArray[np.float64]", fmax: float) -> bool:
        """Tell whether forces (rows of three, eV/Å) are at most ``fmax`` on each ion, and the stress what is allowed."""
        ions = np.linalg.norm(forces[: len(self.atoms)], axis=1).max()
        return bool(ions <= fmax and self._largest_stress(forces) <= self.allowed_stress)

    def largest_stress(self) -> float:
        """Return the largest stress on a face of the cell, or on the plane, eV/Å³; no component of it is larger."""
        return self._largest_stress(self.get_forces())

    def _largest_stress(self, forces: "NDArray[np.float64]") -> float:
        rows = np.linalg.norm(forces[len(self.atoms) :], axis=1)
        return float(rows.max() * self.length / self.atoms.get_volume())

    def _scale(self, model: "NDArray[np.float64]") -> None:
        """Take the length and the Hessian from a model of ions and strains."""
        ions = 3 * len(self.atoms)
        self.length = float(np.sqrt(np.diag(model)[ions:].mean() / STIFFNESS))
        scale = np.concatenate([np.ones(ions), np.full(len(model) - ions, 1 / self.length)])
        self.hessian = model * np.outer(scale, scale)


class CrystalFilter(CellFilter, FrechetCellFilter):  # type: ignore[misc] # the base class is untyped
    """Ions and the whole cell, which enters through the logarithm of its deformation gradient (ASE's filter).

    Args:
        atoms: A crystal with a calculator that gives stress.
        stress: Largest component allowed in the end, eV/Å³.
    """

    def __init__(self, atoms: "Atoms", stress: float) -> None:
        """Take the present cell as the unstrained one."""
        self.atoms, self.allowed_stress = atoms, stress
        self._scale(_model_of_strains(atoms))
        FrechetCellFilter.__init__(self, atoms, exp_cell_factor=self.length)


class NormalFilter(CellFilter):
    """Ions and the third cell vector, which may stretch and lean; the strain is the last row of the positions.

    The first two vectors are the net of the crystal and stay. The third one lets the grains move apart and slide on each other.
    With it strained by e (three numbers), an atom at height z moves by z e; the force on e is minus the derivative of the energy,
    the traction on the plane times the volume.

    Args:
        atoms: A cell whose first two vectors lie in the xy plane, with a calculator that gives stress.
        stress: Largest traction on the plane allowed in the end, eV/Å³.
    """

    def __init__(self, atoms: "Atoms", stress: float) -> None:
        """Take the present cell as the unstrained one."""
        super().__init__(atoms, indices=range(len(atoms)))
        self.allowed_stress = stress
        self._vector = np.asarray(atoms.cell)[2].copy()
        self._strain = np.zeros(3)
        ions = 3 * len(atoms)
        kept = [*range(ions), ions + 2, ions + 5, ions + 8]
        self._scale(model_hessian_with_cell(atoms)[np.ix_(kept, kept)])

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


def _model_of_strains(atoms: "Atoms") -> "NDArray[np.float64]":
    """Return the model of ions and cell without rotations, which cost nothing: each is as stiff as a strain instead."""
    ions = 3 * len(atoms)
    model = model_hessian_with_cell(atoms)
    stiffness = np.trace(model[ions:, ions:]) / 9
    transposed = np.eye(9)[[0, 3, 6, 1, 4, 7, 2, 5, 8]]
    strains = np.eye(ions + 9)
    strains[ions:, ions:] = (np.eye(9) + transposed) / 2
    model = strains @ model @ strains
    model[ions:, ions:] += stiffness * (np.eye(9) - transposed) / 2
    return np.asarray(model)
