"""What an ion is added to: the supercell of a crystal, or of a boundary or interface, and the voids where it starts."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.properties.defects.arrangements import interstitial
from seiflow.properties.defects.cells import defective, shaken
from seiflow.properties.defects.host import make_host
from seiflow.properties.interstitial_migration.lattice import Lattice
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.properties.segregation import refuse_near_images
from seiflow.properties.site_defects import interstitial_start
from seiflow.structures.defect_sites import defect_supercell, from_planes
from seiflow.structures.interstitial_sites import interstitial_sites
from seiflow.structures.supercell import refuse_shared_neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.properties.defects.host import Host
    from seiflow.settings import InterstitialMigrationSettings
    from seiflow.structures.recipes import PhaseRecipe

IMAGES = "interstitial_migration.image_distance"

ANY_NUMBER = 10_000
"""Of interstitial sites: all there are."""


@dataclass(frozen=True)
class Ground:
    """A perfect supercell to which one ion is added.

    Attributes:
        name: Of the structure.
        lattice: The supercell, its symmetry and its mobile ions.
        expansion: How often the cell is repeated along each of its vectors.
        image_distance_angstrom: Between images of the added ion.
        starts: Structures with an ion added, to be relaxed, by the name of the site.
        left_out: Names of the sites where none is.
        cell: The cell that was repeated; its planes, if it has any, are boundaries.
    """

    name: str
    lattice: Lattice
    expansion: tuple[int, int, int]
    image_distance_angstrom: float
    starts: "tuple[tuple[str, Atoms], ...]"
    left_out: tuple[str, ...]
    cell: "Atoms"

    @property
    def _planes(self) -> list[float]:
        return [float(plane) for plane in self.cell.info.get("planes", [])]

    @property
    def planar(self) -> bool:
        """Whether there are boundaries, along and across which paths lead."""
        return len(self._planes) > 0

    def from_boundary(self, position: "NDArray[np.float64]") -> float | None:
        """Return the distance of a position from the nearest boundary, Å; None in a crystal."""
        place = np.linalg.solve(np.asarray(self.cell.cell).T, position) % 1.0
        distances, _ = from_planes(self.cell, place[None], self._planes)
        return None if distances is None else float(distances[0])


def interstitial_host(crystal: "Atoms", recipe: "PhaseRecipe", settings: "InterstitialMigrationSettings") -> "Host":
    """Return the supercell of a crystal that ions are added to.

    Raises:
        UnsuitedError: if images of an ion added share neighbours.
    """
    host = make_host(crystal, recipe, settings.image_distance)
    refuse_shared_neighbours(recipe.name, host.image_distance_angstrom, host.contact_angstrom, IMAGES)
    return host


def in_crystal(crystal: "Atoms", recipe: "PhaseRecipe", settings: "InterstitialMigrationSettings") -> Ground:
    """Return the supercell of a relaxed crystal, with ions added at its widest voids.

    Raises:
        InputError: if the recipe names no mobile ion, or images of an ion added share neighbours.
    """
    if recipe.mobile is None:
        message = f"{recipe.name}: the recipe names no mobile species"
        raise InputError(message)
    host = interstitial_host(crystal, recipe, settings)
    arrangements = {place.site: interstitial(place) for place in host.largest(recipe.mobile, settings.sites)}
    starts = tuple((name, shaken(host, defective(host, each)[0], each)) for name, each in arrangements.items())
    return Ground(
        name=recipe.name,
        lattice=_lattice(host.atoms, recipe.mobile),
        expansion=host.expansion,
        image_distance_angstrom=host.image_distance_angstrom,
        starts=starts,
        left_out=tuple(site.name for site in host.sites(recipe.mobile)[settings.sites :]),
        cell=host.crystal,
    )


def in_boundary(
    relaxed: "Atoms", name: str, phases: "Sequence[PhaseRecipe]", species: str, settings: "InterstitialMigrationSettings"
) -> Ground:
    """Return the supercell of a relaxed boundary or interface, with ions added at voids of its grains and boundaries.

    Args:
        relaxed: The cell of the boundary.
        name: Of the structure.
        phases: What it is made of.
        species: The mobile ion.
        settings: Distance between images, and how many voids.

    Raises:
        InputError: if images of an ion added share neighbours.
    """
    refuse_near_images(name, relaxed, phases, settings.image_distance, IMAGES)
    cell = defect_supercell(relaxed, species=species, image_distance=settings.image_distance)
    cell.atoms.set_constraint()
    chosen = interstitial_sites(relaxed, cell, species, settings.sites)
    tried = {site.name for site in chosen}
    every = interstitial_sites(relaxed, cell, species, ANY_NUMBER)
    return Ground(
        name=name,
        lattice=_lattice(cell.atoms, species),
        expansion=cell.expansion,
        image_distance_angstrom=cell.image_distance_angstrom,
        starts=tuple((site.name, interstitial_start(cell, site)) for site in chosen),
        left_out=tuple(site.name for site in every if site.name not in tried),
        cell=relaxed,
    )


def _lattice(supercell: "Atoms", species: str) -> Lattice:
    return Lattice(supercell, site_symmetry(supercell), species, np.flatnonzero(supercell.symbols == species))
