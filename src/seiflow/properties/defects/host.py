"""The supercell that point defects are made in: what can be missing from it, and where an ion can be added.

What can be missing is a unit: a single ion, or a polyatomic group as a whole.
"""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from ase.geometry import get_distances

from seiflow.errors import UnsuitedError
from seiflow.structures.interstitials import Interstitial, interstitials
from seiflow.structures.space_group import operations, orbits
from seiflow.structures.supercell import LENGTH_TOLERANCE, image_distance, supercell_matrix
from seiflow.structures.units import find_units, shortest_contacts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.structures.recipes import PhaseRecipe

SAME_PLACE = 0.05
"""Å; how far the image of a place under the space group may be from the place it falls on."""

DIGITS = 3
"""Of distances, Å: those that agree belong to one shell."""


@dataclass(frozen=True)
class Unit:
    """Something that can be missing.

    Attributes:
        kind: Symbol of an ion, or name of a polyatomic group.
        charge: Formal, e.
        leader: Index of the ion, or of the group's central atom; it stands for the place of the unit.
        members: All atoms.
    """

    kind: str
    charge: int
    leader: int
    members: tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where an ion can be added, ``number`` counting the places in the supercell."""

    species: str
    site: str
    number: int
    position: "NDArray[np.float64]"


@dataclass(frozen=True)
class Host:
    """A perfect supercell.

    Attributes:
        atoms: The supercell.
        expansion: How often the crystal's cell is repeated along each of its vectors.
        image_distance_angstrom: Between the periodic images of a defect.
        formula_units: In the supercell.
        units: All units, in the order of their leaders.
        formula: How many units of each kind make up one formula unit.
        contact_angstrom: Shortest distance between atoms of different units.
        crystal: The cell that was repeated.
    """

    atoms: "Atoms"
    expansion: tuple[int, int, int]
    image_distance_angstrom: float
    formula_units: int
    units: tuple[Unit, ...]
    formula: "Mapping[str, int]"
    contact_angstrom: float
    crystal: "Atoms"

    def positions(self, units: "Iterable[Unit]") -> "NDArray[np.float64]":
        """Return the places of units, n × 3, Å."""
        return np.asarray(self.atoms.positions[[unit.leader for unit in units]])

    def distances(self, first: "NDArray[np.float64]", second: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the distances between positions (n × 3 and m × 3), n × m, of the nearest periodic images, Å."""
        return np.asarray(get_distances(first, second, cell=self.atoms.cell, pbc=True)[1])

    def of_kind(self, kind: str) -> tuple[Unit, ...]:
        """Return the units of a kind."""
        return tuple(unit for unit in self.units if unit.kind == kind)

    def distinct(self, kind: str) -> tuple[Unit, ...]:
        """Return the first unit of each set of symmetry-equivalent ones of a kind."""
        orbit_of = orbits(self.crystal).tolist()  # the supercell has the symmetry of the crystal, whose atoms it repeats in order
        found: dict[int, Unit] = {}
        for unit in self.of_kind(kind):
            found.setdefault(orbit_of[unit.leader % len(orbit_of)], unit)
        return tuple(found.values())

    def sites(self, species: str) -> tuple[Interstitial, ...]:
        """Return the distinct interstitial sites for an ion of a species."""
        if species not in self._known:
            self._known[species] = interstitials(self.crystal, species)
        return self._known[species]

    def places(self, species: str) -> tuple[Place, ...]:
        """Return all places in the supercell where an ion of a species can be added, site after site."""
        cell = np.asarray(self.crystal.cell)
        shifts = np.stack(np.meshgrid(*map(np.arange, self.expansion), indexing="ij"), axis=-1).reshape(-1, 1, 3)
        found: list[Place] = []
        for site in self.sites(species):
            positions = ((site.places + shifts) @ cell).reshape(-1, 3)
            found += [Place(species, site.name, number, where) for number, where in enumerate(positions, start=len(found))]
        return tuple(found)

    def largest(self, species: str, count: int) -> tuple[Place, ...]:
        """Return one place of each site for an ion of a species, up to ``count`` sites, those with the largest radius first."""
        places = self.places(species)
        return tuple(next(place for place in places if place.site == site.name) for site in self.sites(species)[:count])

    def shells(self, unit: Unit, places: "tuple[Place, ...]") -> list[tuple[Place, float]]:
        """Return one of each set of places that are equivalent as seen from a unit, with its distance, the nearest first."""
        origin = self.atoms.positions[unit.leader]
        positions = np.array([place.position for place in places])
        distances = np.round(self.distances(origin[None], positions)[0], DIGITS)
        staying = self._staying(origin)
        found: list[tuple[Place, float]] = []
        seen: set[int] = set()
        for number in np.lexsort((np.arange(len(places)), distances)).tolist():
            if number not in seen:
                found.append((places[number], float(distances[number])))
                images = self._images(positions[number], staying)
                seen |= set(self.distances(images, positions).argmin(axis=1).tolist())
        return found

    @cached_property
    def unit_distances(self) -> "NDArray[np.float64]":
        """Distances between all units, in their order, Å."""
        positions = self.positions(self.units)
        return self.distances(positions, positions)

    @cached_property
    def number_of(self) -> "Mapping[int, int]":
        """Number of a unit by its leader."""
        return {unit.leader: number for number, unit in enumerate(self.units)}

    @cached_property
    def _known(self) -> dict[str, tuple[Interstitial, ...]]:
        return {}

    @cached_property
    def _moves(self) -> "tuple[NDArray[np.int64], NDArray[np.float64]]":
        found = operations(self.atoms)
        return found.rotations, found.translations

    def _images(self, position: "NDArray[np.float64]", chosen: "Iterable[int]") -> "NDArray[np.float64]":
        cell = np.asarray(self.atoms.cell)
        rotations, translations = (part[list(chosen)] for part in self._moves)
        return np.asarray((rotations @ np.linalg.solve(cell.T, position) + translations) @ cell)

    def _staying(self, position: "NDArray[np.float64]") -> list[int]:
        """Return the operations that leave a position where it is."""
        images = self._images(position, range(len(self._moves[0])))
        return np.flatnonzero(self.distances(position[None], images)[0] < SAME_PLACE).tolist()


def make_host(crystal: "Atoms", recipe: "PhaseRecipe", distance: float) -> Host:
    """Return the supercell of a relaxed crystal in which images of a defect are at least ``distance`` apart, Å.

    Raises:
        UnsuitedError: if a polyatomic group is an endless network, or the crystal is no whole number of formula units.
    """
    cell = crystal.copy()
    cell.calc = None
    cell.set_constraint()
    cell.info.clear()
    diagonal = np.diag(supercell_matrix(cell, distance)).tolist()
    expansion = (int(diagonal[0]), int(diagonal[1]), int(diagonal[2]))
    supercell = cell.repeat(expansion)
    units = _units(supercell, recipe)
    formula_units, left = divmod(len(supercell), sum(recipe.composition.values()))
    counts = Counter(unit.kind for unit in units)
    if left or any(count % formula_units for count in counts.values()):
        message = f"{recipe.name}: {supercell.get_chemical_formula()} is no whole number of {recipe.formula} with whole groups"
        raise UnsuitedError(message)
    formula = {kind: count // formula_units for kind, count in sorted(counts.items())}
    contact = min(shortest_contacts(cell, recipe.polyatomic).values())
    distance = image_distance(supercell.cell)
    return Host(supercell, expansion, distance, formula_units, units, formula, contact, cell)


def refuse_small(host: Host, name: str, width: float) -> None:
    """Refuse a supercell in which a set of defects of a width (Å) is not told from its periodic images.

    Raises:
        UnsuitedError: saying how large a supercell has to be.
    """
    needed = width + 2 * host.contact_angstrom
    if host.image_distance_angstrom < needed - LENGTH_TOLERANCE:
        message = (
            f"{name}: the smallest set of defects is {width:.2f} Å wide and its images would be "
            f"{host.image_distance_angstrom:.2f} Å apart; the supercell must hold them at least {needed:.2f} Å apart "
            f"(settings: defects.image_distance: {np.ceil(needed * 10) / 10:.1f})"
        )
        raise UnsuitedError(message)


def _units(supercell: "Atoms", recipe: "PhaseRecipe") -> tuple[Unit, ...]:
    symbols = supercell.get_chemical_symbols()
    groups = {group.centre: group for group in recipe.polyatomic}
    found = find_units(supercell, recipe.polyatomic)
    if found.endless:
        message = f"{recipe.name}: its polyatomic groups form an endless network, from which no whole group can be taken out"
        raise UnsuitedError(message)
    units = []
    for label in np.unique(found.labels):
        members = np.flatnonzero(found.labels == label).tolist()
        leader = next((index for index in members if len(members) > 1 and symbols[index] in groups), members[0])
        kind = groups[symbols[leader]].name if len(members) > 1 else symbols[leader]
        charge = sum(recipe.charges[symbols[index]] for index in members)
        units.append(Unit(kind, charge, leader, tuple(members)))
    return tuple(sorted(units, key=lambda unit: unit.leader))
