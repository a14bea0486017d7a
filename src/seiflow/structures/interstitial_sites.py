"""Where an ion can be added in a structure with boundaries, beside the sites of :mod:`~seiflow.structures.defect_sites`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.geometry import get_distances

from seiflow.structures.defect_sites import SAME_DISTANCE, DefectSupercell, from_planes, keeps_lattice
from seiflow.structures.fingerprint import OFFSET, STEPS
from seiflow.structures.interstitials import Interstitial, interstitials
from seiflow.structures.space_group import Operations, operations

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

SAME_WIDTH = 0.1
"""Å; voids whose radii differ by less are equally wide."""

MIDDLE = 2 / 3
"""As a share of the largest distance from a boundary: what is farther off lies in the middle of its grain."""

EQUALLY_NEAR = 0.02
"""Å; atoms whose distances from a place differ by less are equally near: relaxed boundaries are symmetric to about 1e-2 Å."""


@dataclass(frozen=True)
class InterstitialSite:
    """Symmetry-equivalent interstitial sites, and the one that stands for them.

    Attributes:
        name: Species and number, by distance from the boundaries, of all sites there are: it tells the site whichever are chosen.
        species: Symbol of the ion that is to sit there.
        place: Fractional coordinates in the cell that was given.
        position_angstrom: In the supercell.
        radius_angstrom: Distance to the nearest atom.
        multiplicity: Sites in the cell that was given.
        grain: Of the nearest atom, the first grain where atoms of both are equally near; None if the structure has no array
            ``grain``.
        distance_angstrom: From the nearest boundary, along the normal; None without boundaries.
        plane: Number of that boundary.
    """

    name: str
    species: str
    place: tuple[float, float, float]
    position_angstrom: tuple[float, float, float]
    radius_angstrom: float
    multiplicity: int
    grain: int | None
    distance_angstrom: float | None
    plane: int | None


@dataclass(frozen=True)
class _Found:
    """The one of equivalent places that stands for them; its rank sorts it among others."""

    void: Interstitial
    place: "NDArray[np.float64]"
    grain: int | None
    distance: float | None
    plane: int | None
    rank: tuple[int, ...]


def interstitial_sites(atoms: "Atoms", cell: DefectSupercell, species: str, most: int) -> tuple[InterstitialSite, ...]:
    """Return the distinct interstitial sites of a boundary or interface in a supercell of it.

    Of the operations of its space group those count that keep the lattice of the supercell, as for vacancies. Vacuum is none.

    Args:
        atoms: The structure; ``info["planes"]`` holds the heights of its boundaries.
        cell: Its supercell.
        species: Symbol of the ion.
        most: How many to return at most: first the widest in the middle of each grain, which is to be compared with the crystal
            (of equally wide ones the farthest), then those with the largest radius.

    Raises:
        InputError: if the structure does not hold the species.
        StructureError: if no space group is found.
    """
    if not most:
        return ()
    found = operations(atoms)
    kept = np.array([keeps_lattice(rotation, cell.expansion) for rotation in found.rotations])
    voids = interstitials(atoms, species, Operations(found.rotations[kept], found.translations[kept]))
    inside = [void for void in voids if _inside(atoms, void.places[0])]
    ordered = sorted((_standing(atoms, void) for void in inside), key=lambda each: each.rank)
    chosen = {id(each) for each in _chosen(ordered, most)}
    return tuple(_site(f"{species}_i{n}", atoms, each) for n, each in enumerate(ordered, start=1) if id(each) in chosen)


def _inside(atoms: "Atoms", place: "NDArray[np.float64]") -> bool:
    """Tell whether a place is between atoms along each axis along which the structure does not repeat."""
    places = atoms.get_scaled_positions(wrap=False)[:, ~atoms.pbc]
    return bool(((places.min(axis=0) <= place[~atoms.pbc]) & (place[~atoms.pbc] <= places.max(axis=0))).all())


def _standing(atoms: "Atoms", void: Interstitial) -> _Found:
    distances, planes = from_planes(atoms, void.places, [float(plane) for plane in atoms.info.get("planes", [])])
    grains = _grains(atoms, void.places)
    zeros = np.zeros(len(void.places), dtype=np.int64)
    steps = np.floor(void.places * STEPS + OFFSET).astype(np.int64) % STEPS
    # equivalent places are equally far from a plane but for rounding, so the distance must not choose among them
    ranks = np.column_stack([zeros if grains is None else grains, zeros if planes is None else planes, steps]).tolist()
    first = min(range(len(ranks)), key=ranks.__getitem__)
    near = 0 if distances is None else int(np.floor(distances[first] / SAME_DISTANCE + OFFSET))
    return _Found(
        void=void,
        place=void.places[first],
        grain=None if grains is None else int(grains[first]),
        distance=None if distances is None else float(distances[first]),
        plane=None if planes is None else int(planes[first]),
        rank=(near, *ranks[first]),
    )


def _grains(atoms: "Atoms", places: "NDArray[np.float64]") -> "NDArray[np.int64] | None":
    if "grain" not in atoms.arrays:
        return None
    apart = get_distances(places @ np.asarray(atoms.cell), atoms.positions, cell=atoms.cell, pbc=atoms.pbc)[1]
    nearest = apart < apart.min(axis=1, keepdims=True) + EQUALLY_NEAR
    grains = np.asarray(atoms.arrays["grain"], dtype=np.int64)
    first: NDArray[np.int64] = np.where(nearest, grains[None], grains.max()).min(axis=1)
    return first


def _chosen(found: Sequence[_Found], most: int) -> list[_Found]:
    by_radius = sorted(found, key=lambda each: (-round(each.void.radius_angstrom, 3), each.rank))
    grains = sorted({each.grain or 0 for each in found})
    middles = [_middle([each for each in by_radius if (each.grain or 0) == grain]) for grain in grains]
    return [*middles, *(each for each in by_radius if all(each is not middle for middle in middles))][:most]


def _middle(of_grain: Sequence[_Found]) -> _Found:
    farthest = max(each.distance or 0.0 for each in of_grain)
    far = [each for each in of_grain if (each.distance or 0.0) >= MIDDLE * farthest]
    widest = max(each.void.radius_angstrom for each in far)
    wide = [each for each in far if each.void.radius_angstrom > widest - SAME_WIDTH]
    return max(wide, key=lambda each: round(each.distance or 0.0, 3))


def _site(name: str, atoms: "Atoms", found: _Found) -> InterstitialSite:
    a, b, c = found.place.tolist()
    x, y, z = (found.place @ np.asarray(atoms.cell)).tolist()
    return InterstitialSite(
        name=name,
        species=found.void.species,
        place=(a, b, c),
        position_angstrom=(x, y, z),
        radius_angstrom=found.void.radius_angstrom,
        multiplicity=found.void.multiplicity,
        grain=found.grain,
        distance_angstrom=found.distance,
        plane=found.plane,
    )
