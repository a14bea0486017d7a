"""Saddles of vacancy hops, sought where they can be reached by minimisation, and proved afterwards.

*Symmetric hop.* An operation σ exchanges the two ends. The reaction coordinate is odd under σ, so on the manifold of
structures that σ leaves unchanged the saddle is a minimum: one relaxation finds it.

*Other hops.* A nudged elastic band, converged loosely, brings its highest image near the saddle; from there the structure
climbs along its lowest mode while everything else relaxes (:mod:`~seiflow.properties.migration.climb`).

Neither way proves anything about the directions it left out. :func:`find_saddle` therefore looks for the lowest modes,
pushes the structure along the softest one off the reaction path, relaxes again, and accepts only a stationary point with
exactly one negative curvature.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import PhysicsError
from seiflow.properties.migration.band import highest_image
from seiflow.properties.migration.climb import climb
from seiflow.properties.migration.modes import Modes, lowest_modes
from seiflow.properties.migration.states import Ends
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

MOST_PUSHES = 4
LOWER_BY = 0.001
"""eV; a pushed structure is another saddle only if it is lower by more."""

SYMMETRIC_PART = 0.5
"""Smallest norm of the part of a normalised mode that keeps the two ends of a hop images of each other."""

MOSTLY_EVEN = 0.9
"""Norm of that part above which a mode counts as even."""

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
        largest_force: On an atom, eV/Å.
        modes: Its lowest modes; the first one is the reaction coordinate.
        trials: Every stationary point met, the one on the symmetry line first, the saddle last.
        symmetric: Whether the saddle is its own image when the ends are exchanged.
    """

    atoms: "Atoms"
    energy: float
    largest_force: float
    modes: Modes
    trials: tuple[Trial, ...]
    symmetric: bool


@dataclass(frozen=True)
class Minimum:
    """An intermediate minimum: structure, energy (eV), and whether it is its own image when the ends are exchanged."""

    atoms: "Atoms"
    energy: float
    symmetric: bool


class IntermediateMinimumError(PhysicsError):
    """The hop passes an intermediate minimum, which is kept so that the hops to and from it can be looked at."""

    def __init__(self, minimum: Minimum, trials: tuple[Trial, ...] = ()) -> None:
        """Keep the minimum and the stationary points met before it."""
        super().__init__("the hop passes an intermediate minimum")
        self.minimum = minimum
        self.trials = trials


def find_saddle(ends: Ends, engine: Engine, settings: MigrationSettings) -> Saddle:
    """Return a first-order saddle between two states.

    Raises:
        IntermediateMinimumError: if a point without negative mode is met: the hop is two hops.
        PhysicsError: if no push leads to a first-order saddle.
        ConvergenceError: if a relaxation or the search along the hop does not converge.
    """
    symmetric = bool(ends.swaps)
    if symmetric:
        search = symmetric_search(engine, settings)
        start = ends.initial.copy()
        start.positions = (ends.initial.positions + ends.final.positions) / 2
    else:
        search = climbing_search(ends, engine, settings)
        start = highest_image(ends, engine, settings)
    found = search(start)
    best = judged(found, found.get_potential_energy(), (), ends, engine, settings, symmetric=symmetric)
    for attempt in range(1, MOST_PUSHES + 1):
        if best.modes.negative == 0:
            raise IntermediateMinimumError(Minimum(best.atoms, best.energy, best.symmetric), best.trials)
        direction = _off_path(best, ends)
        proved = best.modes.negative == 1 and not _leads_off_path(best, ends)
        if proved and (attempt > 1 or direction is None or not symmetric):
            return best
        if direction is None:
            symmetric, search = False, climbing_search(ends, engine, settings)
            direction = best.modes.vectors[1]
        pushed = search(_pushed(best, direction, engine, settings.push))
        energy = pushed.get_potential_energy()
        if proved and energy > best.energy - LOWER_BY:
            return best
        best = judged(pushed, energy, best.trials, ends, engine, settings, symmetric=symmetric)
    if best.modes.negative == 0:
        raise IntermediateMinimumError(Minimum(best.atoms, best.energy, best.symmetric), best.trials)
    if best.modes.negative == 1 and not _leads_off_path(best, ends):
        return best
    message = f"no first-order saddle after {MOST_PUSHES} pushes; negative modes left: {best.modes.negative}"
    raise PhysicsError(message)


def judged(
    atoms: "Atoms",
    energy: float,
    before: tuple[Trial, ...],
    ends: Ends,
    engine: Engine,
    settings: MigrationSettings,
    *,
    symmetric: bool,
) -> Saddle:
    """Return a stationary point with its lowest modes, added to the ones met before."""
    largest = float(np.linalg.norm(engine.evaluate(atoms).forces, axis=1).max())
    modes = lowest_modes(atoms, ends.mover, engine, settings.curvature_tolerance)
    trial = Trial(energy, modes.negative, tuple(modes.curvatures.tolist()))
    return Saddle(atoms, energy, largest, modes, (*before, trial), symmetric)


def symmetric_search(engine: Engine, settings: MigrationSettings) -> Search:
    """Return a search on the manifold of the symmetry that its start has."""

    def search(start: "Atoms") -> "Atoms":
        relaxed = engine.relax(
            start, fmax=settings.fmax, max_steps=settings.max_steps, symmetric=True, label="saddle on the symmetric manifold"
        )
        relaxed.set_constraint()
        return relaxed

    return search


def climbing_search(ends: Ends, engine: Engine, settings: MigrationSettings) -> Search:
    """Return a search that climbs along the lowest mode."""

    def search(start: "Atoms") -> "Atoms":
        return climb(start, ends.mover, engine, settings)

    return search


def _off_path(saddle: Saddle, ends: Ends) -> "NDArray[np.float64] | None":
    """Return the softest mode off the path, made even under the exchange of the ends if the saddle is symmetric.

    None if the mode breaks that symmetry.
    """
    mode: NDArray[np.float64] = saddle.modes.vectors[0 if _leads_off_path(saddle, ends) else 1]
    if not saddle.symmetric:
        return mode
    even = _even_part(mode, ends)
    return even if np.linalg.norm(even) > SYMMETRIC_PART else None


def _leads_off_path(saddle: Saddle, ends: Ends) -> bool:
    """Tell whether the lowest mode of a symmetric saddle keeps its symmetry, so that it is no reaction coordinate."""
    even = _even_part(saddle.modes.vectors[0], ends) if saddle.symmetric else np.zeros(1)
    return bool(np.linalg.norm(even) > MOSTLY_EVEN)


def _even_part(mode: "NDArray[np.float64]", ends: Ends) -> "NDArray[np.float64]":
    """Return the largest part of a mode that one of the exchanges of the ends leaves unchanged."""
    return max((swap.even(mode) for swap in ends.swaps), key=lambda part: round(float(np.linalg.norm(part)), 6))


def _pushed(saddle: Saddle, direction: "NDArray[np.float64]", engine: Engine, push: float) -> "Atoms":
    """Push the structure along a direction, to the side where the energy is lower."""
    step = push * direction / np.linalg.norm(direction, axis=1).max()
    sides = []
    for sign in (1, -1):
        side = saddle.atoms.copy()
        side.positions += sign * step
        sides.append((engine.evaluate(side).energy, -sign, side))
    return min(sides, key=lambda item: item[:2])[2]
