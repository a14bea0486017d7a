"""When a network of hops carries an ion to infinity.

Sites and hops form a periodic graph. Hops are added in the order of their level (a length, or the energy of a saddle);
every closed walk found on the way has a net translation, an integer combination of the cell vectors. The lowest level at
which a translation along a direction exists is the bottleneck of the best infinite path there (a minimax path).
Method: union-find in which every site knows its translation to the root of its cluster.
"""

import itertools
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Offset = tuple[int, int, int]


@dataclass(frozen=True)
class Edge:
    """A hop from site ``first`` of one cell to site ``second`` of the cell ``offset`` away, open from ``level`` on."""

    first: int
    second: int
    offset: Offset
    level: float


@dataclass(frozen=True)
class Thresholds:
    """Lowest levels at which a network percolates; infinite where it never does.

    Attributes:
        along: For each cell vector, the level at which a path with a net translation along it exists.
        dimensions: The levels at which paths exist in one, two and three dimensions.
    """

    along: tuple[float, float, float]
    dimensions: tuple[float, float, float]


@dataclass
class _Cluster:
    translations: list[Offset] = field(default_factory=list)


def thresholds(sites: Iterable[int], edges: Iterable[Edge]) -> Thresholds:
    """Return the percolation thresholds of a periodic network."""
    parent = {site: site for site in sites}
    to_parent = {site: np.zeros(3, dtype=int) for site in parent}
    clusters = {site: _Cluster() for site in parent}
    along = [np.inf] * 3
    dimensions = [np.inf] * 3

    def root(site: int) -> tuple[int, "np.ndarray"]:
        walked = np.zeros(3, dtype=int)
        while parent[site] != site:
            walked = walked + to_parent[site]
            site = parent[site]
        return site, walked

    for edge in sorted(edges, key=lambda item: item.level):
        (first, walk_first), (second, walk_second) = root(edge.first), root(edge.second)
        step = np.array(edge.offset) + walk_second - walk_first
        if first != second:
            parent[first], to_parent[first] = second, step
            clusters[second].translations += clusters[first].translations
        elif step.any():
            clusters[second].translations.append((int(step[0]), int(step[1]), int(step[2])))
        _lower(clusters[second].translations, edge.level, along, dimensions)
        if np.isfinite([*along, *dimensions]).all():
            break  # edges come in the order of their levels: none that follows can lower anything
    return Thresholds((along[0], along[1], along[2]), (dimensions[0], dimensions[1], dimensions[2]))


def _lower(translations: list[Offset], level: float, along: list[float], dimensions: list[float]) -> None:
    if not translations:
        return
    found = np.array(translations)
    for axis in np.flatnonzero(found.any(axis=0)):
        along[axis] = min(along[axis], level)
    for dimension in range(int(np.linalg.matrix_rank(found))):
        dimensions[dimension] = min(dimensions[dimension], level)
    if len(translations) > 3:  # noqa: PLR2004 - a lattice has three generators; keep those that span it
        translations[:] = _independent(translations)


def _independent(translations: list[Offset]) -> list[Offset]:
    kept: list[Offset] = []
    for translation in translations:
        if np.linalg.matrix_rank(np.array([*kept, translation])) > len(kept):
            kept.append(translation)
    axes = [next((item for item in translations if item[axis]), None) for axis in range(3)]
    return list(dict.fromkeys([*kept, *(item for item in axes if item)]))


@dataclass(frozen=True)
class Step:
    """One hop of a path: the number of its edge, and whether it is walked from the edge's first site to the second."""

    edge: int
    forward: bool


def best_path(edges: Sequence[Edge], axis: int, level: float, unknown: Container[int] = frozenset()) -> tuple[Step, ...]:
    """Return a closed walk with a net translation along one cell vector over edges that are open at a level.

    Among all of them one with the fewest unknown edges is returned, and of those one with the fewest edges. It is the shortest
    path from a site to one of its images in a block of cells, by Dijkstra's algorithm.

    Args:
        edges: The network.
        axis: Cell vector along which the walk must lead.
        level: Edges above it are closed.
        unknown: Numbers of the edges to be avoided.

    Raises:
        PhysicsError: if there is no such walk.
    """
    for reach in (1, 2, 4, 8):
        found = _Block(edges, level, unknown, reach).walk(axis)
        if found:
            return found
    message = f"no path leads along cell vector {'abc'[axis]} at this level"
    raise PhysicsError(message)


class _Block:
    """The open edges in a block of cells, ``reach`` cells to each side of the middle one."""

    COST_OF_UNKNOWN = 1000.0

    def __init__(self, edges: Sequence[Edge], level: float, unknown: Container[int], reach: int) -> None:
        self._offsets = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3)))
        self._numbers = {tuple(offset): number for number, offset in enumerate(self._offsets.tolist())}
        self._sites = sorted({site for edge in edges for site in (edge.first, edge.second)})
        self._places = {site: place for place, site in enumerate(self._sites)}
        self._steps: dict[tuple[int, int], tuple[float, Step]] = {}
        for number, edge in enumerate(edges):
            if edge.level <= level:
                self._add(number, edge, self.COST_OF_UNKNOWN if number in unknown else 1.0)

    def _node(self, site: int, cell: int) -> int:
        return cell * len(self._sites) + self._places[site]

    def _add(self, number: int, edge: Edge, cost: float) -> None:
        for cell, offset in enumerate(self._offsets):
            there = self._numbers.get(tuple((offset + edge.offset).tolist()))
            if there is None:
                continue
            start, end = self._node(edge.first, cell), self._node(edge.second, there)
            for way, forward in (((start, end), True), ((end, start), False)):
                if way not in self._steps or cost < self._steps[way][0]:
                    self._steps[way] = (cost, Step(number, forward))

    def walk(self, axis: int) -> tuple[Step, ...]:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import dijkstra

        if not self._steps:
            return ()
        size = len(self._sites) * len(self._offsets)
        starts, ends = np.array(list(self._steps)).T
        costs = np.array([cost for cost, _ in self._steps.values()])
        middle = self._numbers[0, 0, 0] * len(self._sites)
        origins = np.arange(middle, middle + len(self._sites))
        lengths, before = dijkstra(
            coo_array((costs, (starts, ends)), shape=(size, size)).tocsr(), indices=origins, return_predecessors=True
        )
        elsewhere = np.flatnonzero(self._offsets[:, axis])
        goals = elsewhere[None, :] * len(self._sites) + np.arange(len(self._sites))[:, None]
        reached = np.take_along_axis(lengths, goals, axis=1)
        best = np.unravel_index(int(reached.argmin()), reached.shape)
        if not np.isfinite(reached[best]):
            return ()
        return self._back(int(goals[best]), int(origins[best[0]]), before[best[0]])

    def _back(self, node: int, origin: int, before: "NDArray[np.int32]") -> tuple[Step, ...]:
        steps = []
        while node != origin:
            previous = int(before[node])
            steps.append(self._steps[previous, node][1])
            node = previous
        return tuple(reversed(steps))
