"""Vacancies near a boundary or interface: their energy against the distance from it, counted from that in the bulk.

For a site s of the mobile ion, in a supercell of the relaxed boundary and in one of the relaxed crystal that its grain is of,

    E_seg(s) = [E_vac(s) − E_boundary] − [E_vac(bulk) − E_bulk]

so the ion taken out goes to the same place in both, and no reservoir is needed. Negative: vacancies gather there. A neutral
vacancy leaves a hole behind, whose energy in a potential without charges depends on the size of the cell (0.6 eV between 64 and
216 atoms of LiF with CHGNet), so both cells have about as many atoms. Sites that the symmetry of the boundary makes equal are
computed once. Definition: A. P. Sutton and R. W. Balluffi, Interfaces in Crystalline Materials, Oxford University Press (1995).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError
from seiflow.structures.defect_sites import DefectSite, DefectSupercell, defect_supercell
from seiflow.structures.supercell import image_distance

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.settings import SegregationSettings

MOVED = 1.0
"""Å; an ion that leaves its site by more has hopped: the vacancy is no longer where it was made."""

SHAKE = 0.01
"""Å; standard deviation of the movements that break the symmetry of a start."""

BULK_LIKE_EV = 0.05
"""By how much the farthest site of a grain may differ from the bulk before that is told."""

NEARLY_AS_MANY = 0.15
"""By which share the number of atoms of two cells may differ."""

CHARGE_STATE = "neutral cell"


@dataclass(frozen=True)
class Sites:
    """The distinct sites of the mobile ion and the supercell they are emptied in.

    Attributes:
        species: The mobile ion.
        expansion: How often the cell is repeated along each vector.
        atoms: Of the perfect supercell.
        image_distance_angstrom: Between images of a vacancy.
        sites: By distance from the boundaries.
    """

    species: str
    expansion: tuple[int, int, int]
    atoms: int
    image_distance_angstrom: float
    sites: tuple[DefectSite, ...]


@dataclass(frozen=True)
class SiteVacancy:
    """A vacancy at one site, relaxed.

    Attributes:
        site: Its name.
        energy_ev: Of the supercell without the ion; null if the vacancy did not stay.
        stays: Whether the vacancy is still at its site.
        largest_displacement_angstrom: Of any atom.
        largest_force_ev_per_angstrom: Left on an atom.
    """

    site: str
    energy_ev: float | None
    stays: bool
    largest_displacement_angstrom: float
    largest_force_ev_per_angstrom: float


@dataclass(frozen=True)
class BulkVacancy:
    """The most stable vacancy of a phase: what taking the ion out of its perfect supercell costs, eV, and in how many atoms."""

    phase: str
    energy_ev: float
    atoms: int


@dataclass(frozen=True)
class ProfilePoint:
    """One site of the profile; the energy is null where the vacancy did not stay."""

    site: str
    phase: str
    grain: int
    distance_angstrom: float
    multiplicity: int
    energy_ev: float | None


@dataclass(frozen=True)
class Farthest:
    """The site of a grain farthest from any boundary: how bulk-like the middle of the grain is."""

    grain: int
    phase: str
    site: str
    distance_angstrom: float
    energy_ev: float | None


@dataclass(frozen=True)
class Segregation:
    """The profile.

    Attributes:
        species: The ion taken out.
        charge_state: What charge the calculator sees.
        image_distance_angstrom: Between images of a vacancy.
        lowest_energy_ev: Of all sites where the vacancy stays; null if there is none.
        bulk: The vacancies of the phases that energies are counted from.
        profile: By distance.
        farthest: One for each grain.
        warnings: Sentences on what may spoil the result.
    """

    species: str
    charge_state: str
    image_distance_angstrom: float
    lowest_energy_ev: float | None
    bulk: tuple[BulkVacancy, ...]
    profile: tuple[ProfilePoint, ...]
    farthest: tuple[Farthest, ...]
    warnings: tuple[str, ...]


def supercell_of(relaxed: "Atoms", species: str, settings: "SegregationSettings") -> DefectSupercell:
    """Return the supercell of a relaxed boundary or interface and its distinct sites."""
    return defect_supercell(relaxed, species=species, image_distance=settings.image_distance)


def sites(relaxed: "Atoms", species: str, settings: "SegregationSettings") -> Sites:
    """Return what :func:`supercell_of` found, without the structure."""
    found = supercell_of(relaxed, species, settings)
    return Sites(species, found.expansion, len(found.atoms), found.image_distance_angstrom, found.sites)


def site_vacancy(
    cell: DefectSupercell, site: DefectSite, engine: "Engine", settings: "SegregationSettings"
) -> "tuple[SiteVacancy, Atoms]":
    """Relax the vacancy at one site, ions only; return it with its structure.

    Raises:
        ConvergenceError: if the forces stayed above their tolerance.
    """
    start = cell.atoms.copy()
    del start[site.index]
    shaken = start.copy()
    shaken.rattle(SHAKE, seed=0)
    relaxed = engine.relax(shaken, fmax=settings.fmax, max_steps=settings.max_steps, label=f"vacancy {site.name}")
    farthest = float(np.linalg.norm(relaxed.positions - start.positions, axis=1).max())
    stays = farthest <= MOVED
    result = SiteVacancy(
        site=site.name,
        energy_ev=float(relaxed.get_potential_energy()) if stays else None,
        stays=stays,
        largest_displacement_angstrom=farthest,
        largest_force_ev_per_angstrom=float(np.linalg.norm(relaxed.get_forces(), axis=1).max()),
    )
    return result, relaxed


def bulk_vacancy(
    phase: str, crystal: "Atoms", species: str, atoms: int, engine: "Engine", settings: "SegregationSettings"
) -> BulkVacancy:
    """Return the most stable vacancy of a crystal, in a supercell of about so many atoms.

    Args:
        phase: Its name.
        crystal: Relaxed, with its energy.
        species: What is taken out.
        atoms: About how many the supercell holds.
        engine: Relaxes.
        settings: As for the sites of the boundary.

    Raises:
        PhysicsError: if no vacancy stays at its site.
    """
    expansion = expansion_near(crystal, atoms, settings.image_distance)
    sites_found = defect_supercell(crystal, species=species, image_distance=settings.image_distance).sites
    supercell = crystal.repeat(expansion)
    cell = DefectSupercell(supercell, expansion, image_distance(supercell.cell), sites_found)
    perfect = crystal.get_potential_energy() * len(supercell) / len(crystal)
    energies = [site_vacancy(cell, site, engine, settings)[0].energy_ev for site in sites_found]
    known = [energy for energy in energies if energy is not None]
    if not known:
        message = f"{phase}: no vacancy of {species} stays at its site in the crystal; there is nothing to count from"
        raise PhysicsError(message)
    return BulkVacancy(phase, min(known) - perfect, len(supercell))


def expansion_near(crystal: "Atoms", atoms: int, distance: float) -> tuple[int, int, int]:
    """Return how often to repeat a crystal for about so many atoms, images at least a distance (Å) apart and as far as can be."""
    side = max(distance, (atoms / len(crystal)) ** (1 / 3) * float(crystal.cell.lengths().max()))
    choices = []
    for a, b, c in itertools.product(*(range(1, int(np.ceil(2 * side / length)) + 1) for length in crystal.cell.lengths())):
        grown = np.diag((a, b, c)) @ np.asarray(crystal.cell)
        apart = image_distance(grown)
        off = abs(len(crystal) * a * b * c / atoms - 1)
        if apart >= distance:
            choices.append((max(off, NEARLY_AS_MANY), -round(apart, 3), round(float(np.linalg.norm(grown)), 3), (a, b, c)))
    return min(choices)[3]


def segregation(
    found: Sites, boundary_energy: float, vacancies: Mapping[str, SiteVacancy], bulk: Sequence[BulkVacancy]
) -> Segregation:
    """Return the profile.

    Args:
        found: The sites.
        boundary_energy: Of the perfect supercell, eV.
        vacancies: By name of the site.
        bulk: Of the phase of each grain; one serves both grains of a grain boundary.
    """
    points = []
    for site in found.sites:
        of_phase = bulk[min(site.grain or 0, len(bulk) - 1)]
        energy = vacancies[site.name].energy_ev
        value = None if energy is None else energy - boundary_energy - of_phase.energy_ev
        points.append(
            ProfilePoint(site.name, of_phase.phase, site.grain or 0, site.distance_angstrom or 0.0, site.multiplicity, value)
        )
    known = [point.energy_ev for point in points if point.energy_ev is not None]
    farthest = tuple(_farthest(points, grain) for grain in sorted({point.grain for point in points}))
    return Segregation(
        species=found.species,
        charge_state=CHARGE_STATE,
        image_distance_angstrom=found.image_distance_angstrom,
        lowest_energy_ev=min(known, default=None),
        bulk=tuple(bulk),
        profile=tuple(points),
        farthest=farthest,
        warnings=tuple(_warnings(points, farthest)),
    )


def _farthest(points: Sequence[ProfilePoint], grain: int) -> Farthest:
    point = max((point for point in points if point.grain == grain), key=lambda point: point.distance_angstrom)
    return Farthest(grain, point.phase, point.site, point.distance_angstrom, point.energy_ev)


def _warnings(points: Sequence[ProfilePoint], farthest: Sequence[Farthest]) -> list[str]:
    moved = [point.site for point in points if point.energy_ev is None]
    told = [f"The vacancy did not stay at {', '.join(moved)}: there is no energy for that."] if moved else []
    unlike = [point for point in farthest if point.energy_ev is not None and abs(point.energy_ev) > BULK_LIKE_EV]
    told += [
        f"The site of {point.phase} farthest from the boundaries ({point.distance_angstrom:.1f} Å) differs from the bulk by "
        f"{point.energy_ev:+.3f} eV: the grain is too thin or strained, or the calculator makes the energy of a neutral vacancy "
        "depend on the cell."
        for point in unlike
    ]
    return told
