"""All symmetry-distinct interstitial hops between stable places of an added mobile ion.

Hops go from place to place (:mod:`~seiflow.properties.interstitial_migration.places`). Three mechanisms:

- *direct*: the ion goes from one void to another;
- *knock-off* (interstitialcy): the ion takes the place of a lattice ion, which goes on to another void;
- *shared site*: one ion goes to or from a lattice site that it shares with its ion. This is half of a knock-off if the other ion
  leaves afterwards, half of a direct hop if the same one does.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.properties.interstitial_migration.lattice import Lattice
from seiflow.properties.interstitial_migration.places import SAME_PLACE, Place, find_places, moves_of
from seiflow.properties.interstitial_migration.states import State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from seiflow.properties.migration.percolation import Offset

DIRECT = "direct"
KNOCK_OFF = "knock-off"
SHARED = "shared site"

SAME_VECTOR = 0.05
"""Å; far below any distance between places."""

DIGITS = 3
"""Of lengths, Å, by which hops are sorted."""

Bond = tuple[int, int, "Offset"]
"""First place, second place, cell offset."""


@dataclass(frozen=True)
class Hop:
    """Symmetry-equivalent hops, and the one that stands for them.

    Attributes:
        initial: Number of the place that the added ion starts from.
        final: Number of the place where an added ion ends.
        pushed: Index of the lattice ion that goes on to the final place; None if the added ion goes there itself.
        vector_angstrom: From the initial place to the final one.
        to_pushed_angstrom: From the initial place to the site of the lattice ion; zero without one.
        mechanism: See the head of this module.
        longest_step_angstrom: Of an ion, between its place and the next.
        edges: All of them, each in one direction.
        exchanging: Operations that exchange the two ends.
    """

    hop: str
    initial: int
    final: int
    pushed: int | None
    vector_angstrom: "NDArray[np.float64]"
    to_pushed_angstrom: "NDArray[np.float64]"
    mechanism: str
    longest_step_angstrom: float
    edges: tuple[Bond, ...]
    exchanging: tuple[int, ...]

    @property
    def distance_angstrom(self) -> float:
        """How far the interstitial is carried."""
        return float(np.linalg.norm(self.vector_angstrom))

    @property
    def multiplicity(self) -> int:
        """How many there are in the supercell, each counted in one direction."""
        return len(self.edges)


@dataclass(frozen=True)
class Network:
    """Places and hops of a supercell; ``bridges`` join the two places of each shared site."""

    lattice: Lattice
    states: tuple[State, ...]
    places: tuple[Place, ...]
    hops: tuple[Hop, ...]
    bridges: tuple[Bond, ...]


@dataclass(frozen=True)
class _Step:
    """A hop that has not been compared with others: numbers of place, site (or -1) and place, vectors between them."""

    first: int
    site: int
    last: int
    to_site: "NDArray[np.float64]"
    to_last: "NDArray[np.float64]"

    @property
    def length(self) -> float:
        parts = (self.to_last,) if self.site < 0 else (self.to_site, self.to_last - self.to_site)
        return max(float(np.linalg.norm(part)) for part in parts)


def hop_network(lattice: Lattice, states: tuple[State, ...], longest_step: float) -> Network:
    """Find the places of all states and the hops between them in which no ion goes farther than ``longest_step``, Å."""
    places = find_places(lattice, states)
    moves = moves_of(lattice, places)
    hops = _classes(lattice, places, moves, sorted(_steps(lattice, places, moves, longest_step), key=_order))
    bridges = [
        (place.number, place.partner[0], _offset(lattice, place.position, place.partner[1], places[place.partner[0]].position))
        for place in places
        if place.partner is not None
    ]
    return Network(lattice, states, places, tuple(hops), tuple(bridges))


def _order(step: _Step) -> tuple[float, int, int, int, tuple[float, ...]]:
    return round(step.length, DIGITS), step.first, step.site, step.last, tuple(np.round(step.to_last, DIGITS).tolist())


def _steps(lattice: Lattice, places: tuple[Place, ...], moves: "NDArray[np.int64]", longest: float) -> Iterator[_Step]:
    """Yield all hops from one place of each orbit."""
    positions = np.array([place.position for place in places])
    sites = lattice.atoms.positions[lattice.ions]
    representatives = np.unique(moves.min(axis=0)).tolist()
    for number in representatives:
        place = places[number]
        for last, step in lattice.around(positions, place.position, longest):
            known = _is(place.partner, last, step) or np.linalg.norm(step) < SAME_VECTOR
            if not known and not _passes(lattice, positions, place.position, step):
                yield _Step(number, -1, last, np.zeros(3), step)
        for ion, to_site in lattice.around(sites, place.position, longest):
            site = int(lattice.ions[ion])
            if _is(place.shared, site, to_site) or _passes(lattice, positions, place.position, to_site):
                continue
            for last, on in lattice.around(positions, lattice.atoms.positions[site], longest):
                known = _is(places[last].shared, site, -on) or np.linalg.norm(to_site + on) < SAME_PLACE
                if not known and not _passes(lattice, positions, lattice.atoms.positions[site], on):
                    yield _Step(number, site, last, to_site, to_site + on)


def _passes(
    lattice: Lattice, positions: "NDArray[np.float64]", start: "NDArray[np.float64]", step: "NDArray[np.float64]"
) -> bool:
    """Tell whether a place lies in the sphere about a step: the step is then two shorter ones (Gabriel's criterion)."""
    half = float(np.linalg.norm(step)) / 2
    distances = np.linalg.norm(lattice.gaps(positions, start + step / 2), axis=1)
    return bool((distances < half - SAME_VECTOR).any())


def _is(known: "tuple[int, NDArray[np.float64]] | None", number: int, vector: "NDArray[np.float64]") -> bool:
    return known is not None and known[0] == number and float(np.linalg.norm(known[1] - vector)) < SAME_VECTOR


def _classes(lattice: Lattice, places: tuple[Place, ...], moves: "NDArray[np.int64]", steps: Iterable[_Step]) -> list[Hop]:
    hops: list[Hop] = []
    seen: set[tuple[int, ...]] = set()
    for step in steps:
        if _key(lattice, places, step) in seen:
            continue
        forward = _images(lattice, places, moves, step)
        backward = {_reversed(key) for key in forward}
        seen |= forward | backward
        bonds = {min(key, _reversed(key)) for key in forward}
        pushed = None if step.site < 0 else step.site
        shared = places[step.first].shared or places[step.last].shared
        mechanism = KNOCK_OFF if pushed is not None else SHARED if shared else DIRECT
        hops.append(
            Hop(
                hop=f"hop_{len(hops) + 1}",
                initial=step.first,
                final=step.last,
                pushed=pushed,
                vector_angstrom=step.to_last,
                to_pushed_angstrom=step.to_site,
                mechanism=mechanism,
                longest_step_angstrom=step.length,
                edges=tuple(sorted((key[0], key[2], (key[6], key[7], key[8])) for key in bonds)),
                exchanging=tuple(_exchanging(lattice, moves, step)),
            )
        )
    return hops


def _key(lattice: Lattice, places: tuple[Place, ...], step: _Step) -> tuple[int, ...]:
    """Return a hop as whole numbers: place, site, place, and the cell offsets to the site and to the last place."""
    start = places[step.first].position
    site = (0, 0, 0) if step.site < 0 else _offset(lattice, start, step.to_site, lattice.atoms.positions[step.site])
    last = _offset(lattice, start, step.to_last, places[step.last].position)
    return (step.first, step.site, step.last, *site, *last)


def _images(lattice: Lattice, places: tuple[Place, ...], moves: "NDArray[np.int64]", step: _Step) -> set[tuple[int, ...]]:
    sites = np.full(len(moves), -1) if step.site < 0 else lattice.symmetry.permutations[:, step.site]
    firsts, lasts = moves[:, step.first], moves[:, step.last]
    positions = np.array([place.position for place in places])
    to_site, to_last = (lattice.symmetry.rotations @ vector for vector in (step.to_site, step.to_last))
    offsets = np.zeros((len(moves), 3), dtype=int)
    if step.site >= 0:
        offsets = _offsets(lattice, positions[firsts] + to_site - lattice.atoms.positions[sites])
    farther = _offsets(lattice, positions[firsts] + to_last - positions[lasts])
    return set(map(tuple, np.column_stack([firsts, sites, lasts, offsets, farther]).tolist()))


def _reversed(key: tuple[int, ...]) -> tuple[int, ...]:
    first, site, last, *offsets = key
    to_site, to_last = np.array(offsets[:3]), np.array(offsets[3:])
    back = to_site - to_last if site >= 0 else np.zeros(3, dtype=int)
    return (last, site, first, *back.tolist(), *(-to_last).tolist())


def _exchanging(lattice: Lattice, moves: "NDArray[np.int64]", step: _Step) -> list[int]:
    """Return the operations that exchange the two ends of a hop and keep the site of a lattice ion that is pushed on."""
    rotations = lattice.symmetry.rotations
    ends = (moves[:, step.first] == step.last) & (moves[:, step.last] == step.first)
    ends &= np.linalg.norm(rotations @ step.to_last + step.to_last, axis=1) < SAME_VECTOR
    if step.site >= 0:
        ends &= lattice.symmetry.permutations[:, step.site] == step.site
        ends &= np.linalg.norm(rotations @ step.to_site + step.to_last - step.to_site, axis=1) < SAME_VECTOR
    return np.flatnonzero(ends).tolist()


def _offset(
    lattice: Lattice, start: "NDArray[np.float64]", vector: "NDArray[np.float64]", end: "NDArray[np.float64]"
) -> "Offset":
    a, b, c = _offsets(lattice, (start + vector - end)[None])[0].tolist()
    return a, b, c


def _offsets(lattice: Lattice, gaps: "NDArray[np.float64]") -> "NDArray[np.int64]":
    return np.rint(np.linalg.solve(lattice.atoms.cell.array.T, gaps.T).T).astype(np.int64)
