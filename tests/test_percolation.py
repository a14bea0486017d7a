"""Percolation of periodic networks, against hand-made graphs and against connectivity counted on a torus."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seiflow.properties.migration.percolation import Edge, thresholds

PRIMES = (5, 7, 11)
X, Y, Z = (1, 0, 0), (0, 1, 0), (0, 0, 1)
OFFSETS = [*itertools.product((-1, 0, 1), repeat=3), (2, 0, 0), (0, -2, 1)]


def labels_on_torus(sites: int, edges: list[Edge], size: int) -> np.ndarray:
    """Cluster of every copy of every site in a block of ``size`` cells a side, periodic: sites × size × size × size."""
    cells = np.array(list(itertools.product(range(size), repeat=3)))
    numbers = np.arange(sites * size**3).reshape(sites, size, size, size)
    ends = [[numbers[edge.first][*cells.T], numbers[edge.second][*((cells + edge.offset) % size).T]] for edge in edges]
    first, second = np.concatenate(ends, axis=1) if edges else np.empty((2, 0), dtype=int)
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(numbers.size, numbers.size))
    return connected_components(graph, directed=False)[1].reshape(numbers.shape)


def reached(sites: int, edges: list[Edge]) -> tuple[int, np.ndarray]:
    """Largest dimension that a cluster extends in, and along which cell vectors some cluster reaches another cell.

    A cluster whose translations span a lattice of rank r meets a fraction of the copies of its site on a torus of prime
    side p that is p^r / p^3, unless p divides the determinants of the lattice: hence several primes.
    """
    dimension, along = 0, np.zeros(3, dtype=bool)
    for prime in PRIMES:
        for copies in labels_on_torus(sites, edges, prime):
            met = np.argwhere(copies == copies[0, 0, 0])
            dimension = max(dimension, round(math.log(len(met), prime)))
            along |= met.any(axis=0)
    return dimension, along


def by_counting(sites: int, edges: list[Edge]) -> tuple[list[float], list[float]]:
    along, dimensions = [math.inf] * 3, [math.inf] * 3
    for level in sorted({edge.level for edge in edges}, reverse=True):
        dimension, axes = reached(sites, [edge for edge in edges if edge.level <= level])
        along = [level if axes[axis] else along[axis] for axis in range(3)]
        dimensions = [level if dimension > rank else dimensions[rank] for rank in range(3)]
    return along, dimensions


def test_simple_cubic_network_percolates_everywhere_at_once() -> None:
    """One site hopping to its six images at one level conducts in all directions at that level."""
    found = thresholds([0], [Edge(0, 0, offset, 0.3) for offset in (X, Y, Z)])
    assert found.along == found.dimensions == (0.3, 0.3, 0.3)


def test_layers_percolate_in_their_plane_only() -> None:
    """Layers without hops between them never conduct along their normal, nor in three dimensions."""
    found = thresholds([0, 1], [Edge(0, 1, (0, 0, 0), 0.2), Edge(1, 0, X, 0.4), Edge(0, 1, Y, 0.5)])
    assert found.along == (0.4, 0.5, math.inf)
    assert found.dimensions == (0.4, 0.5, math.inf)


def test_chain_percolates_along_itself_only() -> None:
    """A zigzag chain conducts along one cell vector, at the level of its harder hop."""
    found = thresholds([0, 1], [Edge(0, 1, (0, 0, 0), 0.2), Edge(1, 0, Z, 0.6)])
    assert found.along == (math.inf, math.inf, 0.6)
    assert found.dimensions == (0.6, math.inf, math.inf)


def test_oblique_chain_advances_along_both_cell_vectors() -> None:
    """A chain along a + b is one-dimensional, yet a path on it has a net translation along a and along b."""
    found = thresholds([0], [Edge(0, 0, (1, 1, 0), 0.4)])
    assert found.along == (0.4, 0.4, math.inf)
    assert found.dimensions == (0.4, math.inf, math.inf)


def test_hops_without_a_way_out_do_not_percolate() -> None:
    """Isolated pairs and rings inside a cell carry nothing anywhere, however low their barriers."""
    ring = [Edge(0, 1, (0, 0, 0), 0.1), Edge(1, 2, Y, 0.1), Edge(2, 0, (0, -1, 0), 0.1), Edge(3, 4, X, 0.1)]
    found = thresholds(range(6), ring)
    assert found.along == found.dimensions == (math.inf,) * 3


def test_crossing_chains_that_never_meet_are_not_two_dimensional() -> None:
    """Two chains along a and b on different sites make a plane only when a hop connects them."""
    chains = [Edge(0, 0, X, 0.1), Edge(1, 1, Y, 0.2)]
    assert thresholds([0, 1], chains).dimensions == (0.1, math.inf, math.inf)
    assert thresholds([0, 1], [*chains, Edge(0, 1, Z, 0.7)]).dimensions == (0.1, 0.7, math.inf)


def test_easy_detour_sets_the_bottleneck() -> None:
    """A direct hop over 0.9 does not matter where two hops over 0.5 and 0.3 lead to the same place."""
    found = thresholds([0, 1], [Edge(0, 0, X, 0.9), Edge(0, 1, (0, 0, 0), 0.3), Edge(1, 0, X, 0.5)])
    assert found.along[0] == 0.5


@st.composite
def networks(draw: st.DrawFn) -> tuple[int, list[Edge]]:
    sites = draw(st.integers(1, 4))
    site = st.integers(0, sites - 1)
    edge = st.builds(Edge, site, site, st.sampled_from(OFFSETS), st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]))
    return sites, draw(st.lists(edge, max_size=9))


@given(networks())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_thresholds_are_those_counted_on_a_torus(network: tuple[int, list[Edge]]) -> None:
    """The levels equal those at which the copies of a site in a large periodic block become connected."""
    sites, edges = network
    along, dimensions = by_counting(sites, edges)
    found = thresholds(range(sites), edges)
    assert list(found.along) == along
    assert list(found.dimensions) == dimensions


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_do_not_depend_on_order_orientation_or_cell(seed: int) -> None:
    """Shuffling the hops, reversing them and moving sites to other cells changes nothing; nor does a larger cell."""
    rng = np.random.default_rng(seed)
    edges = [
        Edge(int(i), int(j), (int(s[0]), int(s[1]), int(s[2])), float(level))
        for i, j, s, level in zip(
            rng.integers(6, size=14), rng.integers(6, size=14), rng.integers(-1, 2, (14, 3)), rng.random(14), strict=True
        )
    ]
    home = rng.integers(-3, 4, (6, 3))
    other = []
    for number in rng.permutation(len(edges)):
        edge = edges[number]
        step = np.array(edge.offset) + home[edge.first] - home[edge.second]
        if rng.random() < 0.5:
            other.append(Edge(edge.second, edge.first, tuple((-step).tolist()), edge.level))
        else:
            other.append(Edge(edge.first, edge.second, tuple(step.tolist()), edge.level))
    assert thresholds(range(6), other) == thresholds(range(6), edges)
    assert thresholds(range(12), doubled(edges)) == thresholds(range(6), edges)


def doubled(edges: list[Edge]) -> list[Edge]:
    """The same network in a cell twice as long along a; sites 6 to 11 are in the second half."""
    twice = []
    for edge in edges:
        for half in (0, 1):
            cell, into = divmod(half + edge.offset[0], 2)
            twice.append(Edge(edge.first + 6 * half, edge.second + 6 * into, (cell, *edge.offset[1:]), edge.level))
    return twice
