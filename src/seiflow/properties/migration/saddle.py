"""Saddles of vacancy hops, sought where they can be reached by minimisation, and proved afterwards.

*Symmetric hop.* An operation σ exchanges the two ends. The reaction coordinate is odd under σ, so on the manifold of
structures that σ leaves unchanged the saddle is a minimum: one relaxation finds it.

*Other hops.* From the highest point of an interpolated path the structure climbs along the path while everything else relaxes
(:mod:`~seiflow.properties.migration.climb`).

Neither way proves anything about the directions it left out. :func:`find_saddle` therefore looks for the lowest modes and
accepts only a stationary point with exactly one negative curvature. A point on the symmetry line, and any with further negative
modes, is pushed along the softest one off the reaction path and relaxed again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import PhysicsError
from seiflow.model_hessian import model_hessian
from seiflow.properties.migration.climb import InterpolatedPath, Point, climb, measured
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

NEARLY_EVEN = 0.05
"""Å; a start is made its own image if that moves no ion by more."""

MOSTLY_EVEN = 0.9
"""Norm of that part above which a mode counts as even."""

Search = Callable[[Point], Point]


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
        hessian: 3n × 3n, eV/Å²; exact where the modes were measured.
    """

    atoms: "Atoms"
    energy: float
    largest_force: float
    modes: Modes
    trials: tuple[Trial, ...]
    symmetric: bool
    hessian: "NDArray[np.float64]"


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


def find_saddle(ends: Ends, engine: Engine, settings: MigrationSettings, start: Point | None = None) -> Saddle:
    """Return a first-order saddle between two states.

    Args:
        ends: The two states.
        engine: Evaluates and relaxes.
        settings: Tolerances and limits.
        start: Where the search starts. By default that is half way if an operation exchanges the ends, otherwise the top of the
            interpolated path. A start that is its own image, like the middle, is kept so.

    Raises:
        IntermediateMinimumError: if a point without negative mode is met: the hop is two hops.
        PhysicsError: if no push leads to a first-order saddle.
        ConvergenceError: if a relaxation or the search along the hop does not converge.
    """
    even = _even(start, ends) if ends.swaps else None
    symmetric = even is not None
    if even is not None:
        search, start = symmetric_search(engine, settings), even
    else:
        search = climbing_search(ends, engine, settings)
        start = start or InterpolatedPath(ends, engine, settings.images).refined().top
    best = judged(search(start), (), ends, engine, settings, symmetric=symmetric)
    for attempt in range(1, MOST_PUSHES + 1):
        if best.modes.negative == 0:
            raise IntermediateMinimumError(Minimum(best.atoms, best.energy, best.symmetric), best.trials)
        direction = _off_path(best, ends)
        proved = best.modes.negative == 1 and not _leads_off_path(best, ends)
        if proved and (attempt > 1 or direction is None or not symmetric):
            return best
        if direction is None:
            symmetric, search = False, climbing_search(ends, engine, settings)
            direction = best.modes.vectors[1 - _reaction(best, ends)]
        pushed = search(_pushed(best, ends, direction, engine, settings.push))
        if proved and pushed.atoms.get_potential_energy() > best.energy - LOWER_BY:
            return best
        best = judged(pushed, best.trials, ends, engine, settings, symmetric=symmetric)
    if best.modes.negative == 0:
        raise IntermediateMinimumError(Minimum(best.atoms, best.energy, best.symmetric), best.trials)
    if best.modes.negative == 1 and not _leads_off_path(best, ends):
        return best
    message = f"no first-order saddle after {MOST_PUSHES} pushes; negative modes left: {best.modes.negative}"
    raise PhysicsError(message)


def judged(
    found: Point, before: tuple[Trial, ...], ends: Ends, engine: Engine, settings: MigrationSettings, *, symmetric: bool
) -> Saddle:
    """Return a stationary point with its lowest modes, added to the ones met before."""
    here = engine.evaluate(found.atoms)
    largest = float(np.linalg.norm(here.forces, axis=1).max())
    modes = lowest_modes(found.atoms, ends.mover, engine, settings.curvature_tolerance, found.hessian)
    trial = Trial(here.energy, modes.negative, tuple(modes.curvatures.tolist()))
    return Saddle(found.atoms, here.energy, largest, modes, (*before, trial), symmetric, measured(found.hessian, modes))


def middle(ends: Ends) -> Point:
    """Return the point half way between the two ends."""
    atoms = ends.initial.copy()
    atoms.positions = (ends.initial.positions + ends.final.positions) / 2
    return Point(atoms, (ends.final.positions - ends.initial.positions).ravel(), model_hessian(atoms))


def _even(start: Point | None, ends: Ends) -> Point | None:
    """Return a start made its own image under an exchange of the ends, the middle by default; None if it is far from any."""
    centre = middle(ends)
    if start is None:
        return centre
    step = start.atoms.positions - centre.atoms.positions
    parts = [swap.even(step) for swap in ends.swaps]
    nearest = min(parts, key=lambda part: float(np.linalg.norm(step - part)))
    if np.linalg.norm(step - nearest, axis=1).max() > NEARLY_EVEN:
        return None
    centre.atoms.positions += nearest
    return centre


def symmetric_search(engine: Engine, settings: MigrationSettings) -> Search:
    """Return a search on the manifold of the symmetry that its start has."""

    def search(start: Point) -> Point:
        relaxed = engine.relax(
            start.atoms,
            fmax=settings.fmax,
            max_steps=settings.max_steps,
            symmetric=True,
            label="saddle on the symmetric manifold",
        )
        relaxed.set_constraint()
        return Point(relaxed, start.uphill, model_hessian(relaxed))

    return search


def climbing_search(ends: Ends, engine: Engine, settings: MigrationSettings) -> Search:
    """Return a search that climbs along one mode."""

    def search(start: Point) -> Point:
        return climb(start, ends.mover, engine, settings)

    return search


def _off_path(saddle: Saddle, ends: Ends) -> "NDArray[np.float64] | None":
    """Return the softest mode off the path, made even under the exchange of the ends if the saddle is symmetric.

    None if the mode breaks that symmetry.
    """
    if not saddle.symmetric:
        return np.asarray(saddle.modes.vectors[1 - _reaction(saddle, ends)])
    mode: NDArray[np.float64] = saddle.modes.vectors[0 if _leads_off_path(saddle, ends) else 1]
    even = _even_part(mode, ends)
    return even if np.linalg.norm(even) > SYMMETRIC_PART else None


def _reaction(saddle: Saddle, ends: Ends) -> int:
    """Return which of the two lowest modes is more along the hop."""
    along = saddle.modes.vectors[:2, ends.mover] @ ends.chord
    return int(np.abs(along).argmax())


def _leads_off_path(saddle: Saddle, ends: Ends) -> bool:
    """Tell whether the lowest mode of a symmetric saddle keeps its symmetry, so that it is no reaction coordinate."""
    even = _even_part(saddle.modes.vectors[0], ends) if saddle.symmetric else np.zeros(1)
    return bool(np.linalg.norm(even) > MOSTLY_EVEN)


def _even_part(mode: "NDArray[np.float64]", ends: Ends) -> "NDArray[np.float64]":
    """Return the largest part of a mode that one of the exchanges of the ends leaves unchanged."""
    return max((swap.even(mode) for swap in ends.swaps), key=lambda part: round(float(np.linalg.norm(part)), 6))


def _pushed(saddle: Saddle, ends: Ends, direction: "NDArray[np.float64]", engine: Engine, push: float) -> Point:
    """Push the structure along a direction, to the side where the energy is lower."""
    step = push * direction / np.linalg.norm(direction, axis=1).max()
    sides = []
    for sign in (1, -1):
        side = saddle.atoms.copy()
        side.positions += sign * step
        sides.append((engine.evaluate(side).energy, -sign, side))
    lower = min(sides, key=lambda item: item[:2])[2]
    return Point(lower, saddle.modes.vectors[_reaction(saddle, ends)].ravel(), saddle.hessian)
