"""How the ions of a crystal answer to strain at fixed cell."""

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.constraints import FixSymmetry
from ase.units import GPa

from seiflow.properties.stiffness import KELVIN, kelvin_rotation
from seiflow.properties.strains import strained
from seiflow.structures.space_group import SYMMETRY_TOLERANCE

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.engine import Engine
    from seiflow.settings import ElasticitySettings


@dataclass(frozen=True)
class Strained:
    """A strained crystal: stress (Voigt, GPa), forces left (n x 3, eV/Å), and how far its ions moved (n x 3, Å).

    Movements are those beyond the strain of the cell, expressed in the unstrained cell.
    """

    stress: "NDArray[np.float64]"
    forces: "NDArray[np.float64]"
    moved: "NDArray[np.float64]"


class IonRelaxer:
    """Relaxes the ions of one crystal under different strains.

    Args:
        crystal: The unstrained crystal.
        engine: Evaluates and relaxes.
        settings: Tolerance of the forces and number of steps.
    """

    def __init__(self, crystal: "Atoms", engine: "Engine", settings: "ElasticitySettings") -> None:
        """Evaluate the unstrained crystal."""
        self._crystal = crystal.copy()
        self._crystal.set_constraint()
        self._engine = engine
        self._settings = settings
        self.unstrained = self._evaluate(self._crystal)

    def relax(self, strain: "NDArray[np.float64]", moved: "NDArray[np.float64]", *, label: str) -> Strained:
        """Return the relaxed crystal at a strain (engineering Voigt), the ions starting from ``moved`` (n x 3, Å).

        Raises:
            ConvergenceError: if the ions did not reach the tolerance.
        """
        start = self._at(strain, moved)
        start.set_constraint(kept_symmetry(self._crystal, strain))
        end = self._engine.relax(start, fmax=self._settings.fmax, max_steps=self._settings.max_steps, label=label)
        return self._evaluate(end)

    def _at(self, strain: "NDArray[np.float64]", moved: "NDArray[np.float64]") -> "Atoms":
        start = self._crystal.copy()
        start.positions += moved
        return strained(start, strain)

    def _evaluate(self, atoms: "Atoms") -> Strained:
        found = self._engine.evaluate(atoms, stress=True)
        cell = self._crystal.cell
        scaled = atoms.cell.scaled_positions(atoms.positions) - cell.scaled_positions(self._crystal.positions)
        return Strained(np.asarray(found.stress) / GPa, found.forces, cell.cartesian_positions(scaled))


def ionic_response(crystal: "Atoms", strains: "NDArray[np.float64]", movements: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return how far each ion moves per strain, n x 3 x 6 (Å, engineering Voigt), fitted to all images of the data.

    Args:
        crystal: The unstrained crystal of n atoms.
        strains: Engineering Voigt strains, m x 6.
        movements: What the ions did at each, m x n x 3, Å.
    """
    group = operations(crystal)
    columns = crystal.cell.array.T
    known, answers = [], []
    for fractional, image in zip(group.rotations, group.symm_map, strict=True):
        rotation = columns @ fractional @ np.linalg.inv(columns)
        turned = np.empty_like(movements)
        turned[:, image] = movements @ rotation.T
        known.append((strains / KELVIN) @ kelvin_rotation(rotation).T * KELVIN)
        answers.append(turned.reshape(len(strains), -1))
    solution = np.linalg.pinv(np.concatenate(known), rcond=1e-6) @ np.concatenate(answers)
    return np.asarray(solution.T.reshape(len(crystal), 3, 6))


def operations(crystal: "Atoms") -> FixSymmetry:
    """Return the constraint to the space group of a crystal, which holds its operations and what they do to the atoms."""
    refined = crystal.copy()
    refined.set_constraint()
    return FixSymmetry(refined, symprec=SYMMETRY_TOLERANCE)


def kept_symmetry(crystal: "Atoms", strain: "NDArray[np.float64]") -> FixSymmetry:
    """Return the constraint to those operations of a crystal that a strain leaves.

    They are picked from the operations of the unstrained crystal: looked for in the strained one, the full group would be found
    again when the strain is below the tolerance, and refining the cell would undo the strain.
    """
    kept = copy.copy(operations(crystal))
    deformed = strained(crystal, strain).cell.array
    metric = deformed @ deformed.T
    moved = np.array([rotation.T @ metric @ rotation for rotation in kept.rotations])
    chosen = np.flatnonzero(np.abs(moved - metric).max(axis=(1, 2)) < 1e-3 * np.abs(strain).max() * metric.max())
    kept.rotations = [kept.rotations[index] for index in chosen]
    kept.translations = [kept.translations[index] for index in chosen]
    kept.symm_map = [kept.symm_map[index] for index in chosen]
    return kept
