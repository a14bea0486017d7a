"""How the ions of a crystal answer to strain at fixed cell.

Strained crystals of one crystal share their force constants, so these are found once, from the displacements that the space group
leaves independent (phonopy), and every strained crystal then relaxes in a few Newton steps instead of tens of
quasi-Newton ones, soft modes included. Where that is too costly, or does not converge, the engine relaxes.
"""

import copy
import functools
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

DISPLACEMENT = 0.01
"""Å; of the atoms whose force constants are found."""

AIM = 0.1
"""Newton steps go on to this share of the tolerance of the forces: they are cheap, and soft modes need it."""

NEWTON_STEPS = 8
"""Newton steps after which the engine takes over."""

LARGEST_STEP = 0.1
"""Å; a Newton step that moves an atom further leaves the harmonic range and is not taken."""

SOFTEST = 1e-3
"""Share of the largest force constant below which a mode is left to the engine: translations, and modes near an instability."""

DISPLACEMENTS_PER_STATE = 10
"""Force constants are found only when they cost less than this number of evaluations for each strain state."""


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
        states: How many strain states are to come.
    """

    def __init__(self, crystal: "Atoms", engine: "Engine", settings: "ElasticitySettings", *, states: int) -> None:
        """Evaluate the unstrained crystal."""
        self._crystal = crystal.copy()
        self._crystal.set_constraint()
        self._engine = engine
        self._settings = settings
        self._affordable = DISPLACEMENTS_PER_STATE * states
        self.unstrained = self._evaluate(self._crystal)

    def relax(self, strain: "NDArray[np.float64]", moved: "NDArray[np.float64]", *, label: str) -> Strained:
        """Return the relaxed crystal at a strain (engineering Voigt), the ions starting from ``moved`` (n x 3, Å).

        Raises:
            ConvergenceError: if neither Newton steps nor the engine reached the tolerance.
        """
        found = self._newton(strain, self._evaluate(self._at(strain, moved)), label)
        if _largest(found.forces) <= self._settings.fmax:
            return found
        start = self._at(strain, found.moved)
        start.set_constraint(kept_symmetry(self._crystal, strain))
        end = self._engine.relax(start, fmax=self._settings.fmax, max_steps=self._settings.max_steps, label=label)
        return self._evaluate(end)

    def _newton(self, strain: "NDArray[np.float64]", start: Strained, label: str) -> Strained:
        """Return the best of a few Newton steps; the inverse Hessian learns from each (BFGS), as crystals are not harmonic."""
        best = found = start
        inverse = self.flexibility if _largest(start.forces) > AIM * self._settings.fmax else None
        for _ in range(NEWTON_STEPS):
            if inverse is None or _largest(best.forces) <= AIM * self._settings.fmax:
                break
            step = (inverse @ found.forces.ravel()).reshape(-1, 3)
            if _largest(step) > LARGEST_STEP:
                break
            following = self._evaluate(self._at(strain, found.moved + step))
            inverse = _updated(inverse, step.ravel(), (found.forces - following.forces).ravel())
            found = following
            best = min(best, found, key=lambda each: _largest(each.forces))
            self._engine.report(f"{label}: Newton step, largest force {_largest(found.forces):.5f} eV/Å")
        return best

    @functools.cached_property
    def flexibility(self) -> "NDArray[np.float64] | None":
        """Inverse force constants (3n x 3n, Å²/eV) of all but translations and the softest modes; None if too costly."""
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms

        crystal = self._crystal
        cell = PhonopyAtoms(numbers=crystal.numbers, cell=crystal.cell.array, scaled_positions=crystal.get_scaled_positions())
        model = Phonopy(cell, supercell_matrix=np.eye(3, dtype=int), primitive_matrix="P", symprec=SYMMETRY_TOLERANCE)
        model.generate_displacements(distance=DISPLACEMENT, is_plusminus=False)
        if len(model.displacements) > self._affordable:
            return None
        forces = []
        for number, (atom, *shift) in enumerate(model.displacements, start=1):
            self._engine.report(f"force constants: displacement {number} of {len(model.displacements)}")
            displaced = crystal.copy()
            displaced.positions[int(atom)] += shift
            forces.append(self._engine.evaluate(displaced).forces - self.unstrained.forces)
        model.forces = np.array(forces)
        model.produce_force_constants()
        model.symmetrize_force_constants()
        size = 3 * len(crystal)
        return _inverse(model.force_constants.transpose(0, 2, 1, 3).reshape(size, size))

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


def _inverse(force_constants: "NDArray[np.float64]") -> "NDArray[np.float64]":
    values, vectors = np.linalg.eigh((force_constants + force_constants.T) / 2)
    firm = values > SOFTEST * values[-1]
    return np.asarray((vectors[:, firm] / values[firm]) @ vectors[:, firm].T)


def _updated(inverse: "NDArray[np.float64]", step: "NDArray[np.float64]", change: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the BFGS update of an inverse Hessian by a step and the change of the gradient along it."""
    curvature = float(step @ change)
    if curvature <= 0:
        return inverse
    left = np.eye(len(step)) - np.outer(step, change) / curvature
    return np.asarray(left @ inverse @ left.T + np.outer(step, step) / curvature)


def _largest(vectors: "NDArray[np.float64]") -> float:
    return float(np.linalg.norm(vectors, axis=1).max())
