"""Interstitial sites of a crystal: the points that are, around them, farthest from the nearest atoms.

Every local maximum of the distance to the nearest atom is a vertex of the Voronoi diagram, and a vertex is a maximum when the
atoms it touches surround it: when it lies in their convex hull. Rock salt has one such site (¼¼¼), antifluorite one (½½½),
face-centred cubic the octahedral and the tetrahedral one. Maxima are taken in place of all vertices because an ion put beside a
maximum slides into it. Distances are not weighted by the species: sites of high symmetry do not depend on weights, and
from others an ion relaxes. Whether an ion fits is asked of each species around a site by itself.

Voids from Voronoi vertices: Willems et al., Microporous Mesoporous Mater. 149, 134 (2012).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.structures.space_group import operations
from seiflow.structures.units import shortest_contacts

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.structures.space_group import Operations

MERGED = 0.6
"""Å; sites closer than this are one site."""

LEAST_ROOM = 0.6
"""Least distance to each species around, as a fraction of the shortest distance to that species in the crystal. The tetrahedral
site of a face-centred metal (0.612) and that of a body-centred one (0.645) are allowed."""

REACH = 8.0
"""Å; periodic images of atoms are taken as far as this around the cell. No crystal has a void with half this radius; what has is
vacuum."""

TOUCHING = 0.05
"""Å; atoms that are farther than the nearest one by less than this count as touched."""

SURROUNDED = 0.05
"""How far the nearest mean of unit vectors towards the touched atoms may be from zero for these to surround the site."""

SAME_PLACE = 0.01
"""Å; places that agree within it are one."""


@dataclass(frozen=True)
class Interstitial:
    """Symmetry-equivalent interstitial sites.

    Attributes:
        name: By radius, the largest first.
        species: Symbol of the ion that is to sit there.
        radius_angstrom: Distance to the nearest atom.
        room: The least distance to a species around, divided by the shortest distance to that species in the crystal.
        multiplicity: Sites in the cell that was given.
        places: Fractional coordinates of all of them in that cell, multiplicity × 3; the first stands for them.
    """

    name: str
    species: str
    radius_angstrom: float
    room: float
    multiplicity: int
    places: "NDArray[np.float64]"


@dataclass(frozen=True)
class _Void:
    radius: float
    room: float
    shells: tuple[float, ...]
    places: "NDArray[np.float64]"


def interstitials(crystal: "Atoms", species: str, symmetry: "Operations | None" = None) -> tuple[Interstitial, ...]:
    """Return the interstitial sites of a crystal that have room for an ion of a species it holds.

    Args:
        crystal: In any cell; the sites do not depend on it, but for the multiplicities.
        species: Symbol of the ion.
        symmetry: Operations that make sites equal, a group; by default the space group.

    Returns:
        One for each orbit, by descending radius. None if no void has room.

    Raises:
        InputError: if the crystal does not hold the species.
        StructureError: if no space group is found.
    """
    if species not in crystal.get_chemical_symbols():
        message = f"no {species!r} in {crystal.get_chemical_formula()}; there are {', '.join(sorted(set(crystal.symbols)))}"
        raise InputError(message)
    surroundings = _Surroundings(crystal, species)
    symmetry = operations(crystal) if symmetry is None else symmetry
    cell = np.asarray(crystal.cell)
    voids: list[_Void] = []
    for vertex in surroundings.vertices():
        # the many vertices of an atom's symmetric neighbourhood lie in few orbits
        if any(_apart(vertex, void.places, cell).min() < SAME_PLACE for void in voids):
            continue
        places = _orbit(_symmetrised(vertex, symmetry, cell), symmetry, cell)
        if any(_apart(places[0], void.places, cell).min() < MERGED for void in voids):
            continue
        void = surroundings.void(places)
        if void is not None:
            voids.append(void)
    return tuple(
        Interstitial(f"interstitial_{number}", species, void.radius, void.room, len(void.places), void.places)
        for number, void in enumerate(sorted(voids, key=lambda void: (-round(void.radius, 3), void.shells)), start=1)
    )


class _Surroundings:
    """The atoms of a crystal and of its images nearby."""

    def __init__(self, crystal: "Atoms", species: str) -> None:
        from scipy.spatial import KDTree

        self._cell = np.asarray(crystal.cell)
        heights = 1 / np.linalg.norm(np.linalg.inv(self._cell), axis=0)
        ranges = [np.arange(-count, count + 1) for count in np.ceil(REACH / heights).astype(int)]
        shifts = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, 3)
        places = crystal.get_scaled_positions()[None] + shifts[:, None]
        margin = REACH / heights
        near = ((places > -margin) & (places < 1 + margin)).all(axis=-1)
        self._atoms = places[near] @ self._cell
        self._symbols = np.broadcast_to(np.array(crystal.get_chemical_symbols()), near.shape)[near]
        self._tree = KDTree(self._atoms)
        contacts = shortest_contacts(crystal, ())
        self._contacts = {symbol: contacts.get((min(symbol, species), max(symbol, species))) for symbol in set(crystal.symbols)}

    def vertices(self) -> "NDArray[np.float64]":
        """Return the Voronoi vertices in the cell, in fractions, the farthest from all atoms first."""
        from scipy.spatial import Voronoi

        fractions = np.linalg.solve(self._cell.T, Voronoi(self._atoms).vertices.T).T
        inside = fractions[((fractions > -TOUCHING) & (fractions < 1 + TOUCHING)).all(axis=1)]
        radii = self._tree.query(inside @ self._cell)[0]
        order = np.lexsort((*np.round(inside, 4).T[::-1], -np.round(radii, 3)))
        return np.asarray(inside[order])

    def void(self, places: "NDArray[np.float64]") -> _Void | None:
        """Return the void around equivalent places, or None if it is no maximum or has no room."""
        centre = places[0] @ self._cell
        touched = self._tree.query_ball_point(centre, self._tree.query(centre)[0] + TOUCHING)
        if not _surrounded(self._atoms[touched] - centre):
            return None
        around = self._tree.query_ball_point(centre, REACH / 2)
        if not around:
            return None
        distances = np.linalg.norm(self._atoms[around] - centre, axis=1)
        symbols = self._symbols[around]
        room = min(
            float(distances[symbols == symbol].min()) / contact
            for symbol, contact in self._contacts.items()
            if contact is not None and (symbols == symbol).any()
        )
        shells = tuple(np.round(np.sort(distances), 2).tolist())
        return _Void(float(distances.min()), room, shells, places) if room >= LEAST_ROOM else None


def _surrounded(vectors: "NDArray[np.float64]") -> bool:
    """Tell whether zero lies in the convex hull of the directions of vectors (n × 3)."""
    from scipy.optimize import nnls

    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    system = np.vstack([directions.T, np.ones(len(directions))])
    return bool(nnls(system, np.array([0.0, 0.0, 0.0, 1.0]))[1] < SURROUNDED)


def _symmetrised(place: "NDArray[np.float64]", symmetry: "Operations", cell: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the mean of the images of a place that are one site with it."""
    gaps = _gaps(_images(place, symmetry), place)
    near = np.linalg.norm(gaps @ cell, axis=1) < MERGED
    return np.asarray(place + gaps[near].mean(axis=0))


def _orbit(place: "NDArray[np.float64]", symmetry: "Operations", cell: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return all places that the space group takes a place to, in [0, 1) and sorted."""
    images = np.round(_images(place, symmetry), 6) % 1.0
    images = images[np.lexsort(np.round(images, 4).T[::-1])]
    kept: list[NDArray[np.float64]] = []
    for image in images:
        if not kept or _apart(image, np.array(kept), cell).min() > SAME_PLACE:
            kept.append(image)
    return np.array(kept)


def _images(place: "NDArray[np.float64]", symmetry: "Operations") -> "NDArray[np.float64]":
    return np.asarray(symmetry.rotations @ place + symmetry.translations)


def _gaps(places: "NDArray[np.float64]", place: "NDArray[np.float64]") -> "NDArray[np.float64]":
    gaps = places - place
    return np.asarray(gaps - np.rint(gaps))


def _apart(place: "NDArray[np.float64]", places: "NDArray[np.float64]", cell: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the distances of places (n × 3) from one, the shortest ones as long as they are far below the cell's width, Å."""
    return np.asarray(np.linalg.norm(_gaps(places, place) @ cell, axis=1))
