"""Where an added ion can be: its positions in all images of the stable states.

A state in which two ions share a lattice site has two places, for either ion may be called the added one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.properties.interstitial_migration.lattice import Configuration, Lattice
from seiflow.properties.interstitial_migration.states import State
from seiflow.properties.migration.descent import ARRIVED

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAME_PLACE = 0.5
"""Å; images of a place closer than this are one."""


@dataclass(frozen=True)
class Place:
    """A position of the added ion.

    Attributes:
        number: In the list of all places.
        state: Number of the state.
        configuration: Of the whole supercell, the ion at this place being the added one.
        partner: Number of the place of the other ion at a shared site, with the vector to it, Å; None in a void.
        shared: Index of that site, with the vector to it, Å.
    """

    number: int
    state: int
    configuration: Configuration
    partner: "tuple[int, NDArray[np.float64]] | None" = None
    shared: "tuple[int, NDArray[np.float64]] | None" = None

    @property
    def position(self) -> "NDArray[np.float64]":
        """Of the added ion, Å."""
        return self.configuration.position


def find_places(lattice: Lattice, states: tuple[State, ...]) -> tuple[Place, ...]:
    """Return the places of all states in the supercell."""
    found: list[Place] = []
    for number, state in enumerate(states):
        start = len(found)
        for view in _views(lattice, state):
            if not _is_among(lattice, view, [place.configuration for place in found[start:]]):
                found += [Place(len(found) + count, number, image) for count, image in enumerate(_orbit(lattice, view))]
        if state.shared is not None:
            found[start:] = [_paired(lattice, place, found[start:]) for place in found[start:]]
    return tuple(found)


def _views(lattice: Lattice, state: State) -> Iterator[Configuration]:
    """Yield a state with each of the ions that may be called the added one."""
    yield state.configuration
    if state.shared is not None:
        yield _swapped(lattice, state.configuration, state.shared)


def _swapped(lattice: Lattice, configuration: Configuration, site: int) -> Configuration:
    """Return a configuration in which the other ion at a shared site is called the added one."""
    centre = lattice.atoms.positions[site]
    displacements = configuration.displacements_angstrom.copy()
    displacements[site] = lattice.gaps(configuration.position, centre)
    return Configuration(displacements, centre + configuration.displacements_angstrom[site])


def _orbit(lattice: Lattice, configuration: Configuration) -> list[Configuration]:
    found: list[Configuration] = []
    for operation in range(len(lattice.symmetry.rotations)):
        image = lattice.carried(operation, configuration)
        if not _is_among(lattice, image, found):
            found.append(image)
    return found


def _is_among(lattice: Lattice, configuration: Configuration, known: list[Configuration]) -> bool:
    """Tell whether a configuration is one of those known: the added ion there, and all lattice ions in the same places."""
    if not known:
        return False
    gaps = lattice.gaps(np.array([item.position for item in known]), configuration.position)
    near = np.flatnonzero(np.linalg.norm(gaps, axis=1) < SAME_PLACE)
    return any(_alike(configuration, known[number]) for number in near)


def _alike(first: Configuration, second: Configuration) -> bool:
    """Tell whether no lattice ion is elsewhere in one configuration than in the other."""
    steps = first.displacements_angstrom - second.displacements_angstrom
    return bool(np.linalg.norm(steps, axis=1).max() < ARRIVED)


def _paired(lattice: Lattice, place: Place, family: list[Place]) -> Place:
    """Return a place at a shared site with the place of the other ion there."""
    site = lattice.shared_site(place.configuration)
    if site is None:
        return place
    to_site = lattice.gaps(lattice.atoms.positions[site], place.position)
    to_other = to_site + place.configuration.displacements_angstrom[site]
    partner = family[_most_like(lattice, [item.configuration for item in family], _swapped(lattice, place.configuration, site))]
    step = to_other + lattice.gaps(partner.position, place.position + to_other)
    return Place(place.number, place.state, place.configuration, (partner.number, step), (site, to_site))


def moves_of(lattice: Lattice, places: tuple[Place, ...]) -> "NDArray[np.int64]":
    """Return the place that each operation takes each place to, operations × places."""
    from scipy.spatial import KDTree

    def fractions(positions: "NDArray[np.float64]") -> "NDArray[np.float64]":
        return np.linalg.solve(lattice.atoms.cell.array.T, positions.T).T % 1.0 % 1.0

    states = np.array([place.state for place in places])
    moves = np.empty((len(lattice.symmetry.rotations), len(places)), dtype=np.int64)
    for state in np.unique(states):
        own = np.flatnonzero(states == state)
        positions = fractions(np.array([places[number].position for number in own]))
        tree = KDTree(positions, boxsize=1.0)
        crowded = _crowded(lattice, [places[number] for number in own])
        for number in own:
            moves[:, number] = own[tree.query(fractions(lattice.images(places[number].position)))[1]]
            for operation in range(len(moves)) if crowded else ():
                image = lattice.carried(operation, places[number].configuration)
                moves[operation, number] = own[_most_like(lattice, [places[item].configuration for item in own], image)]
    return moves


def _crowded(lattice: Lattice, places: list[Place]) -> bool:
    """Tell whether places that differ in other ions only lie on top of each other."""
    positions = np.array([place.position for place in places])
    distances = np.linalg.norm(lattice.gaps(positions[None], positions[:, None]), axis=-1)
    return bool((distances < SAME_PLACE).sum() > len(places))


def _most_like(lattice: Lattice, known: list[Configuration], wanted: Configuration) -> int:
    gaps = lattice.gaps(np.array([item.position for item in known]), wanted.position)
    off = np.array([np.abs(item.displacements_angstrom - wanted.displacements_angstrom).max() for item in known])
    return int((np.linalg.norm(gaps, axis=1) + off).argmin())
