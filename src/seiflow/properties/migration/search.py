"""Which hops of a network decide its percolation barriers, found by computing as few of them as possible.

The level of a hop is its highest energy. Before it is computed it has an optimistic bound, which no path over it can be below:
the higher of its two end energies, or, at the cost of one relaxation, the least energy of a plane that the ion must cross
(:mod:`~seiflow.properties.migration.dividing`). The best path of the network with these levels is looked for. As long as it
holds a hop that is only bounded, that hop's bound is sharpened, or the hop is computed, and the path looked for again. When
every hop of the best path has been computed, no other hop can lower the result, for that path is the best even if all the
others were at their bounds.

Hops that could not be computed are closed to the path, and open at their bound for what the barrier could be at best; where the
two differ the result is a range.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seiflow.errors import CalculatorError, ConvergenceError, PhysicsError
from seiflow.properties.migration.network import Hop, Network
from seiflow.properties.migration.percolation import Edge, Offset, Step, best_path, thresholds

AXES = "abc"

Compute = Callable[[Hop], float]
"""Returns an energy of a hop, eV: its highest one, or a bound of that."""


@dataclass(frozen=True)
class Passage:
    """One hop of a path: the ion's site, where it goes and in which cell that is, and the highest energy on the way.

    Attributes:
        level_ev: Above the most stable vacancy.
        computed: Whether the hop was computed; otherwise the level is its bound.
    """

    hop: str
    first: int
    second: int
    offset: Offset
    level_ev: float
    computed: bool


@dataclass(frozen=True)
class Route:
    """The best path along one cell vector.

    Attributes:
        axis: a, b or c.
        barrier_ev: Its highest level above the most stable vacancy, over computed hops only; None if they form no path.
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


SAME_LEVEL = 1e-6
"""eV; levels closer than this are one."""


@dataclass(frozen=True)
class Bounded:
    """A hop that was not computed.

    Attributes:
        bound_ev: No path over it is below this, counted from the most stable vacancy.
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
        routes: One for each cell vector.
        bounded: Hops that were not computed.
        failed: Hops that could not be computed.
    """

    levels: Mapping[str, float]
    bounds: Mapping[str, float]
    routes: tuple[Route, ...]
    bounded: tuple[Bounded, ...]
    failed: tuple[Failed, ...]


def search(
    network: Network, energies: Mapping[str, float], bound: Compute, compute: Compute, most_hops: int | None = None
) -> Found:
    """Compute the hops that decide the percolation barriers.

    Args:
        network: All hops.
        energies: Of the vacancy at each site, eV, by name.
        bound: Returns a bound sharper than the end energies. A :class:`ConvergenceError` or :class:`CalculatorError` leaves the
            hop with those.
        compute: Computes one hop. One of these errors, or a :class:`PhysicsError`, closes the hop.
        most_hops: Stop after so many were computed, even if the barriers are not settled.
    """
    known = _Levels(network, energies)
    for axis in range(3):
        while True:
            undecided = known.undecided(axis)
            vague = [hop for hop in undecided if not known.is_sharp(hop)]
            if vague:
                known.sharpen(vague[0], bound)
            elif undecided and (most_hops is None or known.tried < most_hops):
                known.try_out(undecided[0], compute)
            else:
                break
    return known.result()


class _Levels:
    """What is known of the hops so far."""

    def __init__(self, network: Network, energies: Mapping[str, float]) -> None:
        self._lowest = min(energies.values())
        self._hops = {hop.hop: hop for hop in network.hops}
        self._bounds = {hop.hop: max(energies[hop.site_initial], energies[hop.site_final]) for hop in network.hops}
        self._sharp: dict[str, bool] = {}
        self._computed: dict[str, float] = {}
        self._failed: dict[str, str] = {}
        self._edges = [(hop.hop, *edge) for hop in network.hops for edge in hop.edges]
        self._sites = sorted({site for _, first, second, _ in self._edges for site in (first, second)})

    @property
    def tried(self) -> int:
        return len(self._computed) + len(self._failed)

    def undecided(self, axis: int) -> list[Hop]:
        """Return the hops of the best path that were not computed, the one that is probably highest first."""
        path = self._path(self._graph(closed=self._failed), axis)
        names = {self._edges[step.edge][0] for step in path}
        hops = [self._hops[name] for name in names if name not in self._computed]
        return sorted(hops, key=lambda hop: (-self._bounds[hop.hop], -hop.distance_angstrom, hop.hop))

    def is_sharp(self, hop: Hop) -> bool:
        """Tell whether all was done for the bound of a hop."""
        return hop.hop in self._sharp

    def sharpen(self, hop: Hop, bound: Compute) -> None:
        """Raise the bound of a hop."""
        try:
            self._bounds[hop.hop] = max(bound(hop), self._bounds[hop.hop])
            self._sharp[hop.hop] = True
        except (ConvergenceError, CalculatorError):
            self._sharp[hop.hop] = False

    def try_out(self, hop: Hop, compute: Compute) -> None:
        """Compute a hop."""
        try:
            self._computed[hop.hop] = compute(hop)
        except (PhysicsError, ConvergenceError, CalculatorError) as error:
            self._failed[hop.hop] = str(error)

    def result(self) -> Found:
        return Found(
            levels=self._computed,
            bounds=self._bounds,
            routes=tuple(self._route(axis) for axis in range(3)),
            bounded=tuple(
                Bounded(name, self._bounds[name] - self._lowest, self._sharp.get(name, False))
                for name in self._hops
                if name not in self._computed and name not in self._failed
            ),
            failed=tuple(Failed(name, reason, self._bounds[name] - self._lowest) for name, reason in self._failed.items()),
        )

    def _graph(self, closed: "Mapping[str, object]") -> list[Edge]:
        levels = {name: np.inf if name in closed else self._computed.get(name, bound) for name, bound in self._bounds.items()}
        return [Edge(first, second, offset, levels[name]) for name, first, second, offset in self._edges]

    def _path(self, edges: Sequence[Edge], axis: int) -> tuple[Step, ...]:
        level = thresholds(self._sites, edges).along[axis]
        if not np.isfinite(level):
            return ()
        unknown = {number for number, (name, *_) in enumerate(self._edges) if name not in self._computed}
        return best_path(edges, axis, level, unknown)

    def _route(self, axis: int) -> Route:
        untried = {name: None for name in self._bounds if name not in self._computed}
        upper = thresholds(self._sites, self._graph(closed=untried)).along[axis]
        optimistic = self._graph(closed={})
        lower = thresholds(self._sites, optimistic).along[axis]
        settled = np.isfinite(upper)
        path = self._path(self._graph(closed=untried) if settled else optimistic, axis)
        return Route(
            axis=AXES[axis],
            barrier_ev=upper - self._lowest if settled else None,
            lower_bound_ev=lower - self._lowest,
            passages=tuple(self._passage(step) for step in path),
        )

    def _passage(self, step: Step) -> Passage:
        name, first, second, offset = self._edges[step.edge]
        if not step.forward:
            first, second, offset = second, first, (-offset[0], -offset[1], -offset[2])
        computed = name in self._computed
        level = self._computed[name] if computed else self._bounds[name]
        return Passage(name, first, second, offset, level - self._lowest, computed)
