"""Saddles of vacancy hops, sought where they can be reached by minimisation, and proved afterwards.

*Symmetric hop.* An operation σ exchanges the two ends. The reaction coordinate is odd under σ, so on the manifold of
structures that σ leaves unchanged the saddle is a minimum: one relaxation finds it.

*Other hops.* The moving ion is held in a plane normal to the hop, everything else and the ion in the plane relax; the
plane is moved until the force along the hop vanishes (regula falsi on that force). Consecutive relaxations share their Hessian.

Neither way proves anything about the directions it left out. :func:`find_saddle` therefore looks for the lowest modes,
pushes the structure along the softest one off the reaction path, relaxes again, and accepts only a stationary point with
exactly one negative curvature.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError, PhysicsError
from seiflow.properties.migration.modes import Modes, lowest_modes
from seiflow.properties.migration.states import Ends
from seiflow.quasi_newton import Memory
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

MOST_PUSHES = 4
LOWER_BY = 0.001
"""eV; a pushed structure is another saddle only if it is lower by more."""

MOST_PLANES = 20
SQRT2 = 2**0.5
"""Forces in and along the plane are each below fmax."""

BRACKET = (0.1, 0.9)
"""Fractions of the hop between which a saddle is sought."""

SYMMETRIC_PART = 0.5
"""Smallest norm of the part of a normalised mode that keeps the two ends of a hop images of each other."""

Search = Callable[["Atoms"], "Atoms"]


@dataclass(frozen=True)
class Trial:
    """A stationary point met on the way: energy (eV), lowest curvatures (eV/Å²) and how many of them are negative."""

    energy: float
    negative_modes: int
    curvatures: tuple[float, ...]


@dataclass(frozen=True)
class Saddle:
    """A proved first-order saddle.

    Attributes:
        atoms: The structure.
        energy: eV.
        modes: Its lowest modes; the first one is the reaction coordinate.
        trials: Every stationary point met, the one on the symmetry line first, the saddle last.
        symmetric: Whether the saddle is its own image when the ends are exchanged.
    """

    atoms: "Atoms"
    energy: float
    modes: Modes
    trials: tuple[Trial, ...]
    symmetric: bool


def find_saddle(ends: Ends, engine: Engine, settings: MigrationSettings) -> Saddle:
    """Return a first-order saddle between two states.

    Raises:
        PhysicsError: if a point without negative mode is met (an intermediate minimum), or no push leads to a saddle.
        ConvergenceError: if a relaxation or the search along the hop does not converge.
    """
    symmetric = bool(ends.swaps)
    search = symmetric_search(engine, settings) if symmetric else plane_search(ends, engine, settings)
    middle = ends.initial.copy()
    middle.positions = (ends.initial.positions + ends.final.positions) / 2
    best = _judged(search(middle), (), ends, engine, settings, symmetric=symmetric)
    for attempt in range(1, MOST_PUSHES + 1):
        if best.modes.negative == 0:
            message = "a minimum lies where the saddle was sought: the hop passes an intermediate site"
            raise PhysicsError(message)
        direction = _off_path(best, ends)
        if best.modes.negative == 1 and (attempt > 1 or direction is None):
            return best
        if direction is None:
            symmetric, search = False, plane_search(ends, engine, settings)
            direction = best.modes.vectors[1]
        pushed = search(_pushed(best, direction, engine, attempt * settings.push))
        if best.modes.negative == 1 and pushed.get_potential_energy() > best.energy - LOWER_BY:
            return best
        best = _judged(pushed, best.trials, ends, engine, settings, symmetric=symmetric)
    if best.modes.negative == 1:
        return best
    message = f"no first-order saddle after {MOST_PUSHES} pushes; negative modes left: {best.modes.negative}"
    raise PhysicsError(message)


def _judged(
    atoms: "Atoms", before: tuple[Trial, ...], ends: Ends, engine: Engine, settings: MigrationSettings, *, symmetric: bool
) -> Saddle:
    modes = lowest_modes(atoms, ends.mover, engine, settings.curvature_tolerance)
    energy = atoms.get_potential_energy()
    trial = Trial(energy, modes.negative, tuple(modes.curvatures.tolist()))
    return Saddle(atoms, energy, modes, (*before, trial), symmetric)


def symmetric_search(engine: Engine, settings: MigrationSettings) -> Search:
    """Return a search on the manifold of the symmetry that its start has."""

    def search(start: "Atoms") -> "Atoms":
        relaxed = engine.relax(
            start, fmax=settings.fmax, max_steps=settings.max_steps, symmetric=True, label="saddle on the symmetric manifold"
        )
        relaxed.set_constraint()
        return relaxed

    return search


class HeldAlong:
    """Constraint that holds one atom along a direction, relative to the mean of all others, so that the crystal cannot drift."""

    def __init__(self, atom: int, direction: "NDArray[np.float64]", atoms: int) -> None:
        """Hold ``atom`` of ``atoms`` along a unit vector."""
        normal = np.tile(-direction / (atoms - 1), (atoms, 1))
        normal[atom] = direction
        self._normal = normal / np.linalg.norm(normal)

    def adjust_positions(self, atoms: "Atoms", new: "NDArray[np.float64]") -> None:
        """Take the held motion out of a step."""
        step = new - atoms.positions
        new -= np.vdot(step, self._normal) * self._normal

    def adjust_forces(self, atoms: "Atoms", forces: "NDArray[np.float64]") -> None:
        """Take the held motion out of the forces."""
        del atoms
        forces -= np.vdot(forces, self._normal) * self._normal

    def get_removed_dof(self, atoms: "Atoms") -> int:
        """Return how many degrees of freedom are held."""
        del atoms
        return 1


def plane_search(ends: Ends, engine: Engine, settings: MigrationSettings) -> Search:
    """Return a search that moves a plane normal to the hop until the force along the hop vanishes."""
    chord = ends.final.positions[ends.mover] - ends.initial.positions[ends.mover]
    length = float(np.linalg.norm(chord))
    held = HeldAlong(ends.mover, chord / length, len(ends.initial))

    def search(start: "Atoms") -> "Atoms":
        memory = Memory()
        atoms = start.copy()
        low: tuple[float, float] | None = None
        high: tuple[float, float] | None = None
        step = atoms.positions[ends.mover] - ends.initial.positions[ends.mover]
        position = float(step @ chord) / length**2
        for _ in range(MOST_PLANES):
            atoms.set_constraint(held)
            label = f"plane at {position:.3f} of the hop"
            atoms = engine.relax(atoms, fmax=settings.fmax, max_steps=settings.max_steps, memory=memory, label=label)
            atoms.set_constraint()
            forces = atoms.get_forces()
            force = float(forces[ends.mover] @ chord) / length
            if np.linalg.norm(forces, axis=1).max() <= SQRT2 * settings.fmax:
                return atoms
            if force < 0:
                low = (position, force)
            else:
                high = (position, force)
            following = _next(low, high)
            atoms.positions[ends.mover] += (following - position) * chord
            position = following
        message = f"the force along the hop did not vanish in {MOST_PLANES} planes"
        raise ConvergenceError(message)

    return search


def _next(low: tuple[float, float] | None, high: tuple[float, float] | None) -> float:
    """Return the next plane: by regula falsi between two known ones, a step outwards before there are two."""
    if low and high:
        weight = float(np.clip(low[1] / (low[1] - high[1]), 0.1, 0.9))
        return low[0] + weight * (high[0] - low[0])
    known, step = (low, 0.12) if low else (high, -0.12)
    position = (known[0] if known else 0.5) + step
    if not BRACKET[0] <= position <= BRACKET[1]:
        message = "the energy has no maximum along the hop between its ends"
        raise PhysicsError(message)
    return position


def _off_path(saddle: Saddle, ends: Ends) -> "NDArray[np.float64] | None":
    """Return the softest mode off the path, made even under the exchange of the ends if the saddle is symmetric.

    None if the mode breaks that symmetry.
    """
    mode: NDArray[np.float64] = saddle.modes.vectors[1]
    if not saddle.symmetric:
        return mode
    even = max((swap.even(mode) for swap in ends.swaps), key=lambda part: round(float(np.linalg.norm(part)), 6))
    return even if np.linalg.norm(even) > SYMMETRIC_PART else None


def _pushed(saddle: Saddle, direction: "NDArray[np.float64]", engine: Engine, push: float) -> "Atoms":
    """Push the structure along a direction, to the side where the energy is lower."""
    step = push * direction / np.linalg.norm(direction, axis=1).max()
    sides = []
    for sign in (1, -1):
        side = saddle.atoms.copy()
        side.positions += sign * step
        sides.append((engine.evaluate(side).energy, -sign, side))
    return min(sides, key=lambda item: item[:2])[2]
