"""When a network of hops carries an ion to infinity.

Sites and hops form a periodic graph. Hops are added in the order of their level (a length, or the energy of a saddle);
every closed walk found on the way has a net translation, an integer combination of the cell vectors. The lowest level at
which a translation along a direction exists is the bottleneck of the best infinite path there (a minimax path).
Method: union-find in which every site knows its translation to the root of its cluster.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

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
