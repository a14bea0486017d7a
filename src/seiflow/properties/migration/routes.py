"""What a search for the hops that decide has found: the best path along each cell vector, and what was left out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seiflow.properties.migration.percolation import Offset

SAME_LEVEL = 1e-6
"""eV; levels closer than this are one."""

BOUND_TOLERANCE = 0.005
"""eV; a hop found lower than its bound by more is told."""

Known = Literal["computed", "at most", "at least"]


@dataclass(frozen=True)
class Passage:
    """One hop of a path: the ion's place, where it goes and in which cell that is, and the highest energy on the way.

    Attributes:
        level_ev: Above the most stable state.
        known: Whether that is its level, or what this is at most or at least.
    """

    hop: str
    first: int
    second: int
    offset: Offset
    level_ev: float
    known: Known


@dataclass(frozen=True)
class Route:
    """The best path along one cell vector.

    Attributes:
        axis: a, b or c.
        barrier_ev: Its highest level above the most stable state, over hops computed or with a ceiling; None if they form no
            path.
        lower_bound_ev: Of any path, even if all hops that were not computed were at their bounds.
        passages: The hops of the path that has the barrier, or else the bound.
    """

    axis: str
    barrier_ev: float | None
    lower_bound_ev: float
    passages: tuple[Passage, ...]

    @property
    def proved(self) -> bool:
        """Whether no hop that was not computed can lower the barrier."""
        return self.barrier_ev is not None and self.barrier_ev <= self.lower_bound_ev + SAME_LEVEL


@dataclass(frozen=True)
class Bounded:
    """A hop that was not computed.

    Attributes:
        bound_ev: No path over it is below this, counted from the most stable state.
        relaxed: Whether the bound is that of a plane the ion must cross, and not only of its ends.
    """

    hop: str
    bound_ev: float
    relaxed: bool


@dataclass(frozen=True)
class Failed:
    """A hop that could not be computed, and why."""

    hop: str
    reason: str
    bound_ev: float


@dataclass(frozen=True)
class Found:
    """What the search found.

    Attributes:
        levels: Highest energies (eV) of the hops computed, by name.
        bounds: What each hop was taken to cost at least, eV, by name.
        ceilings: Highest energies of some way over hops, eV, by name, where one was looked at.
        least: What each hop costs at least with all that is known now, eV, by name.
        highest: What hops cost at most, likewise, where that is known.
        routes: One for each cell vector.
        bounded: Hops that were not computed.
        failed: Hops that could not be computed.
    """

    levels: Mapping[str, float]
    bounds: Mapping[str, float]
    ceilings: Mapping[str, float]
    least: Mapping[str, float]
    highest: Mapping[str, float]
    routes: tuple[Route, ...]
    bounded: tuple[Bounded, ...]
    failed: tuple[Failed, ...]


def estimates_disproved(found: Found) -> Iterator[str]:
    """Yield a sentence for each bound or ceiling that does not hold."""
    for hop, most in (*found.ceilings.items(), *found.levels.items()):
        if most < found.bounds[hop] - BOUND_TOLERANCE:
            cost = most - found.bounds[hop]
            yield f"{hop} costs {cost:+.3f} eV against its bound: the bounds of this structure do not hold."
    for hop, level in found.levels.items():
        if level > found.ceilings.get(hop, np.inf):
            yield f"{hop}: the saddle found is {level - found.ceilings[hop]:.3f} eV above a path over it; there is a lower one."


def ranges(found: Found) -> Iterator[str]:
    """Yield a sentence for each cell vector along which the barrier is not proved."""
    for route in found.routes:
        if np.isinf(route.lower_bound_ev):
            yield f"Along {route.axis} the hops form no path, whatever they cost."
        elif route.barrier_ev is None:
            yield f"Along {route.axis} no path is known; none is below {route.lower_bound_ev:.3f} eV."
        elif not route.proved:
            yield (
                f"Along {route.axis} the barrier is between {route.lower_bound_ev:.3f} and {route.barrier_ev:.3f} eV: "
                f"{len(found.bounded)} hops were not computed and {len(found.failed)} could not be."
            )
