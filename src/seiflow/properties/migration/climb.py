"""Climbing to a saddle along one mode while relaxing all others: eigenvector following.

Source: Cerjan and Miller, J. Chem. Phys. 75, 2800 (1981); Hessian update of Bofill, J. Comput. Chem. 15, 1 (1994). The
Hessian starts from the model of :mod:`seiflow.quasi_newton`, made exact where the lowest modes were measured, and is measured
again every few steps.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError
from seiflow.properties.migration.modes import Modes, lowest_modes
from seiflow.quasi_newton import model_hessian
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

MOST_ROUNDS = 4
STEPS_A_ROUND = 15
PRODUCTS_A_ROUND = 14
SOFTEST = 0.5
"""eV/Å²; a curvature closer to zero is taken as this, so that a soft mode makes no wild step."""

LONGEST_STEP = 0.15
SHORTEST_STEP = 0.02
"""Å; bounds of the largest displacement of an atom in one step."""


def climb(start: "Atoms", mover: int, engine: Engine, settings: MigrationSettings) -> "Atoms":
    """Return the saddle that is reached by going up along the lowest mode and down along all others.

    Args:
        start: Near the saddle.
        mover: Index of the moving ion.
        engine: Evaluates forces.
        settings: Tolerances. The largest force at the saddle is ``fmax``, or that of a band, ``band_fmax``, where a
            potential that is not smooth allows no better.

    Raises:
        ConvergenceError: if the force stayed above ``band_fmax``.
    """
    atoms = start.copy()
    hessian = model_hessian(start)
    best = _Point(atoms, np.inf)
    for _ in range(MOST_ROUNDS):
        modes = lowest_modes(atoms, mover, engine, settings.curvature_tolerance, PRODUCTS_A_ROUND)
        hessian = _measured(hessian, modes)
        atoms, hessian, found = _round(atoms, hessian, modes.vectors[0].ravel(), engine, settings.fmax)
        best = min(best, found, key=lambda point: point.largest_force)
        if best.largest_force <= settings.fmax:
            break
    if best.largest_force <= settings.band_fmax:
        return _finished(best.atoms, engine)
    message = (
        f"climb to the saddle: largest force {best.largest_force:.3g} eV/Å at best in {MOST_ROUNDS * STEPS_A_ROUND} steps, "
        f"wanted {settings.fmax:g}, at most {settings.band_fmax:g}"
    )
    raise ConvergenceError(message)


@dataclass(frozen=True)
class _Point:
    atoms: "Atoms"
    largest_force: float


def _round(
    atoms: "Atoms", hessian: "NDArray[np.float64]", followed: "NDArray[np.float64]", engine: Engine, fmax: float
) -> tuple["Atoms", "NDArray[np.float64]", _Point]:
    """Take the steps between two measurements of the modes; return where they end, and the best point on the way."""
    atoms = atoms.copy()
    forces = engine.evaluate(atoms).forces
    largest = float(np.linalg.norm(forces, axis=1).max())
    best = _Point(atoms.copy(), largest)
    radius = 0.1
    for number in range(STEPS_A_ROUND):
        engine.report(f"climb: step {number}, largest force {largest:.4f} eV/Å, {engine.force_evaluations} evaluations")
        if largest <= fmax:
            break
        step, followed = _step(hessian, -forces.ravel(), followed, radius)
        atoms.positions += step.reshape(-1, 3)
        after = engine.evaluate(atoms).forces
        hessian = _bofill(hessian, step, (forces - after).ravel())
        now = float(np.linalg.norm(after, axis=1).max())
        radius = max(radius / 2, SHORTEST_STEP) if now > largest else min(radius * 1.2, LONGEST_STEP)
        forces, largest = after, now
        if largest < best.largest_force:
            best = _Point(atoms.copy(), largest)
    return atoms, hessian, best


def _finished(atoms: "Atoms", engine: Engine) -> "Atoms":
    """Attach energy and forces; the evaluation is the last one made, so it costs nothing."""
    attached = engine.attach(atoms)
    attached.get_potential_energy()
    return attached


def _measured(hessian: "NDArray[np.float64]", modes: Modes) -> "NDArray[np.float64]":
    """Return the Hessian made exact in the directions in which it was measured (symmetric block update)."""
    missed = modes.products - modes.basis @ hessian
    within = modes.basis.T @ missed
    inside = modes.basis.T @ (missed @ modes.basis.T) @ modes.basis
    return np.asarray(hessian + within + within.T - (inside + inside.T) / 2)


def _step(
    hessian: "NDArray[np.float64]", gradient: "NDArray[np.float64]", followed: "NDArray[np.float64]", radius: float
) -> tuple["NDArray[np.float64]", "NDArray[np.float64]"]:
    """Return the step, no atom moving by more than ``radius``, and the mode it followed."""
    values, vectors = np.linalg.eigh(hessian)
    up = int(np.abs(followed @ vectors).argmax())
    step = -(gradient @ vectors) / np.maximum(np.abs(values), SOFTEST)
    step[up] *= -1
    cartesian = vectors @ step
    longest = float(np.linalg.norm(cartesian.reshape(-1, 3), axis=1).max())
    return cartesian * min(1.0, radius / longest), vectors[:, up] * np.sign(followed @ vectors[:, up])


def _bofill(hessian: "NDArray[np.float64]", step: "NDArray[np.float64]", change: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the Hessian after a step over which the gradient changed by ``change``."""
    missed = change - hessian @ step
    overlap, missed2, step2 = float(missed @ step), float(missed @ missed), float(step @ step)
    if missed2 < 1e-16 or abs(overlap) < 1e-12:  # noqa: PLR2004 - nothing to learn from this step
        return hessian
    weight = overlap**2 / (missed2 * step2)
    symmetric_rank_one = np.outer(missed, missed) / overlap
    powell = (np.outer(missed, step) + np.outer(step, missed)) / step2 - overlap * np.outer(step, step) / step2**2
    return np.asarray(hessian + weight * symmetric_rank_one + (1 - weight) * powell)
