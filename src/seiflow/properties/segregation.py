"""Vacancies and interstitials near a boundary or interface: their energy against the distance, counted from that in the bulk.

For a site s of the mobile ion, in a supercell of the relaxed boundary and in one of the relaxed crystal that its grain is of,

    E_seg(s) = [E_vac(s) − E_boundary] − [E_vac(bulk) − E_bulk]

so the ion taken out goes to the same place in both, and no reservoir is needed. For an interstitial likewise: the ion added comes
from the same place in both. Negative: the defects gather there. A neutral vacancy leaves a hole behind, whose energy
in a potential without charges depends on the size of the cell (0.6 eV between 64 and 216 atoms of LiF with CHGNet), so both
cells have about as many atoms. Sites that the symmetry of the boundary makes equal are computed once.
Definition: A. P. Sutton and R. W. Balluffi, Interfaces in Crystalline Materials, Oxford University Press (1995).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seiflow.properties.site_defects import BulkInterstitial, BulkVacancy, SiteDefect
from seiflow.structures.defect_sites import DefectSite, DefectSupercell, defect_supercell
from seiflow.structures.interstitial_sites import MIDDLE, InterstitialSite, interstitial_sites
from seiflow.structures.supercell import refuse_shared_neighbours
from seiflow.structures.units import groups_of, shortest_contacts

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.planar_settings import SegregationSettings
    from seiflow.structures.recipes import PhaseRecipe

BULK_LIKE_EV = 0.05
"""By how much the farthest site of a grain may differ from the bulk before that is told."""

MANY = 0.25
"""Of all sites; where more do not hold their defect, the structure itself is doubted."""

ANNEAL = "With so many, the structure may lie in a poor minimum: anneal it (settings: planar, anneal_kelvin)."

CHARGE_STATE = "neutral cell"


@dataclass(frozen=True)
class Sites:
    """The distinct sites of the mobile ion, and the supercell they are emptied or filled in.

    Attributes:
        species: The mobile ion.
        expansion: How often the cell is repeated along each vector.
        atoms: Of the perfect supercell.
        image_distance_angstrom: Between images of a defect.
        sites: By distance from the boundaries.
        interstitials: Where an ion can be added, likewise; empty if that is not asked for.
    """

    species: str
    expansion: tuple[int, int, int]
    atoms: int
    image_distance_angstrom: float
    sites: tuple[DefectSite, ...]
    interstitials: tuple[InterstitialSite, ...] = ()


@dataclass(frozen=True)
class ProfilePoint:
    """One site of the profile; the energy is null where the defect did not stay or relax, or the bulk has none to count from."""

    site: str
    phase: str
    grain: int
    distance_angstrom: float
    multiplicity: int
    energy_ev: float | None


@dataclass(frozen=True)
class Farthest:
    """How bulk-like the middle of a grain is.

    For vacancies that tells the site farthest from any boundary where one stays. An ion can be added at voids of several kinds,
    of which the most stable one is compared with that of the bulk: of the sites in the middle of the grain the one of lowest
    energy.
    """

    grain: int
    phase: str
    site: str
    distance_angstrom: float
    energy_ev: float | None


@dataclass(frozen=True)
class Segregation:
    """The profiles. Those of interstitials are empty if these are not asked for.

    Attributes:
        species: The ion taken out or added.
        charge_state: What charge the calculator sees.
        image_distance_angstrom: Between images of a defect.
        lowest_energy_ev: Of all sites where the vacancy stays; null if there is none.
        bulk: The vacancies of the phases that energies are counted from.
        profile: By distance.
        farthest: One for each grain.
        lowest_interstitial_energy_ev: Of all interstitials that have an energy; null if there is none.
        bulk_interstitial: The interstitials of the phases that energies are counted from.
        interstitial_profile: By distance.
        farthest_interstitial: One for each grain that has a site tried.
        warnings: Sentences on what may spoil the result.
    """

    species: str
    charge_state: str
    image_distance_angstrom: float
    lowest_energy_ev: float | None
    bulk: tuple[BulkVacancy, ...]
    profile: tuple[ProfilePoint, ...]
    farthest: tuple[Farthest, ...]
    lowest_interstitial_energy_ev: float | None
    bulk_interstitial: tuple[BulkInterstitial, ...]
    interstitial_profile: tuple[ProfilePoint, ...]
    farthest_interstitial: tuple[Farthest, ...]
    warnings: tuple[str, ...]


def supercell_of(relaxed: "Atoms", species: str, settings: "SegregationSettings") -> DefectSupercell:
    """Return the supercell of a relaxed boundary or interface and its distinct sites."""
    return defect_supercell(relaxed, species=species, image_distance=settings.image_distance)


def refuse_near_images(
    name: str, atoms: "Atoms", phases: "Sequence[PhaseRecipe]", image_distance: float, setting: str = "segregation.image_distance"
) -> None:
    """Refuse a supercell in which images of a vacancy or interstitial share neighbours.

    Args:
        name: Of the structure, for the message.
        atoms: The boundary or interface.
        phases: What it is made of; they name the mobile ion.
        image_distance: Wanted between images, Å.
        setting: What it is called in a study.

    Raises:
        UnsuitedError: saying how large a supercell has to be.
    """
    species = phases[0].mobile
    if species is None:
        return
    apart = defect_supercell(atoms, species=species, image_distance=image_distance).image_distance_angstrom
    contact = min(shortest_contacts(atoms, groups_of(phases)).values())
    refuse_shared_neighbours(name, apart, contact, setting)


def sites(relaxed: "Atoms", species: str, settings: "SegregationSettings") -> Sites:
    """Return what :func:`supercell_of` found, without the structure, and where an ion can be added."""
    found = supercell_of(relaxed, species, settings)
    added = interstitial_sites(relaxed, found, species, settings.interstitials)
    return Sites(species, found.expansion, len(found.atoms), found.image_distance_angstrom, found.sites, added)


def segregation(
    found: Sites,
    boundary_energy: float,
    defects: Mapping[str, SiteDefect],
    bulk: Sequence[BulkVacancy],
    bulk_interstitial: Sequence[BulkInterstitial] = (),
) -> Segregation:
    """Return the profiles.

    Args:
        found: The sites.
        boundary_energy: Of the perfect supercell, eV.
        defects: By name of the site, vacancies and interstitials.
        bulk: Of the phase of each grain; one serves both grains of a grain boundary.
        bulk_interstitial: Likewise; needed if there are interstitial sites.
    """
    points = _points(found.sites, boundary_energy, defects, bulk)
    farthest = _farthest(points)
    added = _points(found.interstitials, boundary_energy, defects, bulk_interstitial)
    farthest_added = _middles(added)
    told = [*_without_energy(found.sites, defects, "vacancy"), *_unlike(farthest, "vacancy")]
    told += [*_without_energy(found.interstitials, defects, "interstitial"), *_unlike(farthest_added, "interstitial")]
    told += _reference(bulk_interstitial)
    return Segregation(
        species=found.species,
        charge_state=CHARGE_STATE,
        image_distance_angstrom=found.image_distance_angstrom,
        lowest_energy_ev=_lowest(points),
        bulk=tuple(bulk),
        profile=points,
        farthest=farthest,
        lowest_interstitial_energy_ev=_lowest(added),
        bulk_interstitial=tuple(bulk_interstitial),
        interstitial_profile=added,
        farthest_interstitial=farthest_added,
        warnings=tuple(told),
    )


def _points(
    found: Sequence[DefectSite | InterstitialSite],
    boundary_energy: float,
    defects: Mapping[str, SiteDefect],
    bulk: Sequence[BulkVacancy | BulkInterstitial],
) -> tuple[ProfilePoint, ...]:
    points = []
    for site in found:
        of_phase = bulk[min(site.grain or 0, len(bulk) - 1)]
        energy, reference = defects[site.name].energy_ev, of_phase.energy_ev
        value = None if energy is None or reference is None else energy - boundary_energy - reference
        distance = site.distance_angstrom or 0.0
        points.append(ProfilePoint(site.name, of_phase.phase, site.grain or 0, distance, site.multiplicity, value))
    return tuple(points)


def _lowest(points: Sequence[ProfilePoint]) -> float | None:
    return min((point.energy_ev for point in points if point.energy_ev is not None), default=None)


def _farthest(points: Sequence[ProfilePoint]) -> tuple[Farthest, ...]:
    """Return the site of each grain that is farthest from any boundary, of those with an energy if there are such."""
    found = []
    for grain in sorted({point.grain for point in points}):
        of_grain = [point for point in points if point.grain == grain]
        point = max(of_grain, key=lambda point: (point.energy_ev is not None, point.distance_angstrom))
        found.append(Farthest(grain, point.phase, point.site, point.distance_angstrom, point.energy_ev))
    return tuple(found)


def _middles(points: Sequence[ProfilePoint]) -> tuple[Farthest, ...]:
    found = []
    for last in _farthest(points):
        of_grain = [point for point in points if point.grain == last.grain]
        middle = [point for point in of_grain if point.distance_angstrom >= MIDDLE * last.distance_angstrom]
        known = [(point.energy_ev, point) for point in middle if point.energy_ev is not None]
        energy, best = min(known, key=lambda each: each[0], default=(None, last))
        found.append(Farthest(best.grain, best.phase, best.site, best.distance_angstrom, energy))
    return tuple(found)


def _without_energy(found: Sequence[DefectSite | InterstitialSite], defects: Mapping[str, SiteDefect], what: str) -> list[str]:
    lost = [each for site in found if not (each := defects[site.name]).stays]
    unrelaxed = [each.problem for each in lost if each.problem]
    told = [f"There is no energy where the {what} did not relax. {' '.join(unrelaxed)}"] if unrelaxed else []
    left = [each for each in lost if not each.problem]
    if left:
        named = ", ".join(f"{each.site} (an ion went {each.largest_displacement_angstrom:.1f} Å)" for each in left)
        told.append(f"The {what} did not stay at {named}: there is no energy for that.")
    if len(lost) > MANY * len(found):
        told[-1] += f" {ANNEAL}"
    return told


def _unlike(farthest: Sequence[Farthest], what: str) -> list[str]:
    unlike = [point for point in farthest if point.energy_ev is not None and abs(point.energy_ev) > BULK_LIKE_EV]
    which = (
        "site of {} farthest from the boundaries"
        if what == "vacancy"
        else "most stable interstitial in the middle of a grain of {}"
    )
    return [
        f"The {which.format(point.phase)} ({point.distance_angstrom:.1f} Å) differs from the bulk by {point.energy_ev:+.3f} eV: "
        f"the grain is too thin or strained, or the calculator makes the energy of a neutral {what} depend on the cell."
        for point in unlike
    ]


def _reference(bulk: Sequence[BulkInterstitial]) -> list[str]:
    told = [
        f"No void of {each.phase} has room for the ion: interstitials of its grains have nothing to be counted from."
        for each in bulk
        if each.energy_ev is None
    ]
    told += [
        f"The most stable interstitial of {each.phase} is at none of its sites: the ion added at {each.site} left it, or another "
        "one its own. Where an ion added in the middle of a grain stays, it is no more stable than that."
        for each in bulk
        if each.energy_ev is not None and not each.stays
    ]
    return told
