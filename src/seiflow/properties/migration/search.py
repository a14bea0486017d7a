"""Which hops of a network decide its percolation barriers, found by computing as few of them as possible.

The level of a hop is its highest energy. Before it is computed it has an optimistic bound, which no path over it can be below:
the higher of its two end energies, or, at the cost of one relaxation, the least energy of a plane that the ion must cross
(:mod:`~seiflow.properties.migration.dividing`). The best path of the network with these levels is looked for, and the bounds of
its hops are sharpened. What a hop costs matters only if it could be above the level of the path: one that is clearly below gets
a ceiling, the highest energy of some way over it, for three evaluations. Of those still open the highest is computed, and the
path looked for again. When no hop of the best path can be above its level, no other hop can lower the result, for that path is
the best even if all the others were at their bounds.

A hop that could not be computed counts at its ceiling, or at its bound for what the barrier could be at best; so does one whose
saddle is above a way that is known. Where the two differ the result is a range. Bounds of planes and ceilings are estimates, and
what is said to be proved is so within them; one that is disproved gives way, and stays in what is returned.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from seiflow.errors import CalculatorError, ConvergenceError, PhysicsError
from seiflow.properties.migration.percolation import Edge, Offset, Step, best_path, thresholds
from seiflow.properties.migration.routes import SAME_LEVEL, Bounded, Failed, Found, Known, Passage, Route

AXES = "abc"

WELL_BELOW = 0.06
FAR_BELOW = 0.4
"""eV; a hop whose bound is that much below the level of its path has its ceiling looked for before anything that costs more.

The first is for paths through the structure that gave the bound, the second for straight ones, where it is only that of the ends.
"""


class Way(Protocol):
    """A class of equivalent hops."""

    @property
    def hop(self) -> str:
        """Its name."""

    @property
    def distance_angstrom(self) -> float:
        """How far the ion is carried."""

    @property
    def edges(self) -> Sequence[tuple[int, int, Offset]]:
        """All of them, each once, as (place, place, cell offset)."""


H = TypeVar("H", bound=Way)
H_contra = TypeVar("H_contra", bound=Way, contravariant=True)


@dataclass(frozen=True)
class Ways(Generic[H]):
    """All hops of a network, and what is known of them beforehand.

    Attributes:
        hops: One for each class.
        floors: Energies of their higher ends, eV, by name.
        lowest: Energy of the most stable state, eV.
        bridges: Between two places of one state, open from its energy on.
    """

    hops: Sequence[H]
    floors: Mapping[str, float]
    lowest: float
    bridges: Sequence[Edge] = ()


class Costs(Protocol[H_contra]):
    """What hops cost, eV.

    A :class:`ConvergenceError`, :class:`CalculatorError` or :class:`PhysicsError` leaves a bound or a ceiling as it was;
    a hop that was to be computed is closed.
    """

    def bound(self, hop: H_contra) -> float:
        """Return what no path over a hop can be below; sharper than its end energies."""

    def ceiling(self, hop: H_contra) -> float:
        """Return the highest energy of some way over a hop, which its level is not above."""

    def level(self, hop: H_contra) -> float:
        """Return the highest energy of a hop."""


def search(ways: Ways[H], costs: Costs[H], go_on: Callable[[], bool] = lambda: True) -> Found:
    """Compute the hops that decide the percolation barriers.

    Args:
        ways: All hops.
        costs: Of single hops.
        go_on: Asked before anything is spent on a hop; once it says no, only ceilings of the best paths are still looked for, so
            that what is not settled is a range.
    """
    known = _Levels(ways, costs)
    waiting = [True]
    while any(waiting):
        waiting = [go_on() and known.advance(axis) for axis in range(3)]
    for axis in range(3):
        known.enclose(axis)
    return known.result()


class _Levels(Generic[H]):
    """What is known of the hops so far."""

    def __init__(self, ways: Ways[H], costs: Costs[H]) -> None:
        self._costs = costs
        self._lowest = ways.lowest
        self._hops = {hop.hop: hop for hop in ways.hops}
        self._bounds = dict(ways.floors)
        self._bridges = {f"bridge_{number}": edge.level for number, edge in enumerate(ways.bridges)}
        self._names = (*self._hops, *self._bridges)
        self._sharp: dict[str, bool] = {}
        self._ceilings: dict[str, float] = {}
        self._looked: set[tuple[str, bool]] = set()
        self._computed: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._edges = [(hop.hop, *edge) for hop in ways.hops for edge in hop.edges]
        self._edges += [
            (name, edge.first, edge.second, edge.offset) for name, edge in zip(self._bridges, ways.bridges, strict=True)
        ]
        self._sites = sorted({site for _, first, second, _ in self._edges for site in (first, second)})

    def advance(self, axis: int) -> bool:
        """Learn more of one hop of the best path along a cell vector; return whether there was any that matters."""
        level, undecided = self._undecided(axis)
        low = [hop for hop in undecided if self._may_have_ceiling_below(hop, level)]
        vague = [hop for hop in undecided if hop.hop not in self._sharp]
        if low:
            self._look_for_ceiling(low[0])
        elif vague:
            self._sharpen(vague[0])
        elif undecided:
            self._compute(undecided[0])
        return bool(undecided)

    def enclose(self, axis: int) -> None:
        """Look for ceilings of the hops of the best path along a cell vector that have none, to bound its level from above."""
        closed: set[str] = set()
        while True:
            least = {
                name: np.inf if name in closed else self._least(name) for name in self._hops if np.isinf(self._highest(name))
            }
            _, path = self._path(self._graph({name: self._highest(name) for name in self._names} | least), axis)
            unknown = {name for step in path if np.isinf(self._highest(name := self._edges[step.edge][0]))}
            if not unknown:
                return
            for name in sorted(unknown):
                self._look_for_ceiling(self._hops[name])
            closed |= {name for name in unknown if np.isinf(self._highest(name))}

    def _undecided(self, axis: int) -> tuple[float, list[H]]:
        """Return the level of the best path, and its hops that may be above it, the one that is probably highest first."""
        level, path = self._path(self._likely(), axis)
        names = {self._edges[step.edge][0] for step in path}
        hops = [self._hops[name] for name in names if self._highest(name) > level + SAME_LEVEL]
        return level, sorted(hops, key=lambda hop: (-self._bounds[hop.hop], -hop.distance_angstrom, hop.hop))

    def _may_have_ceiling_below(self, hop: H, level: float) -> bool:
        """Tell whether the ceiling of a hop may be below a level and was not looked for with what is known now."""
        sharp = self._sharp.get(hop.hop, False)
        margin = WELL_BELOW if sharp else FAR_BELOW
        return (hop.hop, sharp) not in self._looked and self._bounds[hop.hop] < level - margin

    def _sharpen(self, hop: H) -> None:
        """Raise the bound of a hop."""
        try:
            self._bounds[hop.hop] = max(self._costs.bound(hop), self._bounds[hop.hop])
            self._sharp[hop.hop] = True
        except (PhysicsError, ConvergenceError, CalculatorError):
            self._sharp[hop.hop] = False

    def _look_for_ceiling(self, hop: H) -> None:
        """Lower the ceiling of a hop."""
        self._looked.add((hop.hop, self._sharp.get(hop.hop, False)))
        with contextlib.suppress(PhysicsError, ConvergenceError, CalculatorError):
            self._ceilings[hop.hop] = min(self._costs.ceiling(hop), self._ceilings.get(hop.hop, np.inf))

    def _compute(self, hop: H) -> None:
        """Compute a hop; if that fails, its ceiling has to do."""
        try:
            self._computed[hop.hop] = self._costs.level(hop)
        except (PhysicsError, ConvergenceError, CalculatorError) as error:
            self._failed[hop.hop] = str(error)
            self._look_for_ceiling(hop)

    def result(self) -> Found:
        return Found(
            levels=self._computed,
            bounds=self._bounds,
            ceilings=self._ceilings,
            least={name: self._least(name) for name in self._hops},
            highest={name: most for name in self._hops if np.isfinite(most := self._highest(name))},
            routes=tuple(self._route(axis) for axis in range(3)),
            bounded=tuple(
                Bounded(name, self._bounds[name] - self._lowest, self._sharp.get(name, False))
                for name in self._hops
                if name not in self._computed and name not in self._failed
            ),
            failed=tuple(Failed(name, reason, self._bounds[name] - self._lowest) for name, reason in self._failed.items()),
        )

    def _highest(self, name: str) -> float:
        """Return what a hop costs at most."""
        if name in self._bridges:
            return self._bridges[name]
        return min(self._computed.get(name, np.inf), self._ceilings.get(name, np.inf))

    def _least(self, name: str) -> float:
        """Return what a hop costs at least."""
        highest = self._highest(name)
        return highest if self._is_level(name) else min(self._bounds[name], highest)

    def _is_level(self, name: str) -> bool:
        """Tell whether a hop was computed and no lower way over it is known."""
        if name in self._bridges:
            return True
        return name in self._computed and self._computed[name] <= self._ceilings.get(name, np.inf)

    def _likely(self) -> list[Edge]:
        """Return the network in which the search goes on: hops at their least, those that were tried at their most."""
        tried = self._computed.keys() | self._failed.keys()
        return self._graph({name: self._highest(name) if name in tried else self._least(name) for name in self._names})

    def _graph(self, levels: Mapping[str, float]) -> list[Edge]:
        return [Edge(first, second, offset, levels[name]) for name, first, second, offset in self._edges]

    def _path(self, edges: Sequence[Edge], axis: int) -> tuple[float, tuple[Step, ...]]:
        """Return the level of the best path along a cell vector, and the path, with as few open questions as there can be."""
        level = thresholds(self._sites, edges).along[axis]
        if not np.isfinite(level):
            return level, ()
        open_yet = {number for number, (name, *_) in enumerate(self._edges) if self._highest(name) > level + SAME_LEVEL}
        return level, best_path(edges, axis, level, open_yet)

    def _route(self, axis: int) -> Route:
        at_most, at_least = (self._graph({name: known(name) for name in self._names}) for known in (self._highest, self._least))
        upper, path = self._path(at_most, axis)
        lower, optimistic = self._path(at_least, axis)
        settled = bool(np.isfinite(upper))
        return Route(
            axis=AXES[axis],
            barrier_ev=upper - self._lowest if settled else None,
            lower_bound_ev=lower - self._lowest,
            passages=tuple(self._passage(step, at_most=settled) for step in (path if settled else optimistic)),
        )

    def _passage(self, step: Step, *, at_most: bool) -> Passage:
        name, first, second, offset = self._edges[step.edge]
        if not step.forward:
            first, second, offset = second, first, (-offset[0], -offset[1], -offset[2])
        level = self._highest(name) if at_most else self._least(name)
        return Passage(name, first, second, offset, level - self._lowest, self._known(name, at_most=at_most))

    def _known(self, name: str, *, at_most: bool) -> Known:
        if self._is_level(name):
            return "computed"
        return "at most" if at_most else "at least"
