"""Which charged defects a study asks for, and in which supercell: known, and refused, before anything is computed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seiflow.errors import UnsuitedError
from seiflow.properties.defects.arrangements import Arrangement, interstitial, vacancy
from seiflow.properties.defects.host import Host, Place, make_host
from seiflow.structures.supercell import LENGTH_TOLERANCE, refuse_shared_neighbours

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.settings import ChargedDefectSettings
    from seiflow.structures.recipes import PhaseRecipe


@dataclass(frozen=True)
class Asked:
    """A defect in a charge state.

    Attributes:
        arrangement: The ion taken out or added.
        species: Of that ion.
        change: Ions added: 1, or -1 for a vacancy.
        own_charge: Of the cell if the ion takes its formal charge along, e.
        charge: Of the cell, e.
    """

    arrangement: Arrangement
    species: str
    change: int
    own_charge: int
    charge: int

    @property
    def name(self) -> str:
        """Defect and charge."""
        return f"{self.arrangement.name}, charge {self.charge:+d}"

    @property
    def kind(self) -> str:
        """What it is: vacancy or interstitial."""
        return "interstitial" if self.change > 0 else "vacancy"

    @property
    def is_ionic(self) -> bool:
        """Whether the cell has the charge that the ion leaves or brings, and no electron or hole besides."""
        return self.charge == self.own_charge


@dataclass(frozen=True)
class Plan:
    """What is computed.

    Attributes:
        host: The supercell.
        asked: Every defect in every charge state, vacancies first.
        mobile: The ion that is added, None if there is none.
        left_out: Interstitial sites that are not tried.
    """

    host: Host
    asked: tuple[Asked, ...]
    mobile: str | None
    left_out: tuple[str, ...]


def plan_charged(crystal: "Atoms", recipe: "PhaseRecipe", settings: "ChargedDefectSettings") -> Plan:
    """Return the supercell and the defects asked for, without computing.

    Raises:
        UnsuitedError: if a species is no ion of the crystal, no void has room for an ion to add, a dielectric constant is
            missing, the supercell is too small or the crystal a metal.
    """
    if settings.correction != "none" and settings.dielectric is None:
        message = (
            f"{recipe.name}: the correction {settings.correction} needs the static dielectric constant of the crystal "
            "(settings: charged_defects.dielectric); correction: none leaves cells uncorrected"
        )
        raise UnsuitedError(message)
    host = make_host(crystal, recipe, settings.image_distance)
    _refuse_unsuited(host, recipe)
    ions = {unit.kind: unit.charge for unit in host.units if len(unit.members) == 1}
    asked = (*_vacancies(host, recipe, ions, settings), *_interstitials(host, recipe, ions, settings))
    sites = host.sites(recipe.mobile) if recipe.mobile and settings.interstitials else ()
    return Plan(host, asked, recipe.mobile, tuple(site.name for site in sites[settings.interstitials :]))


def _vacancies(host: Host, recipe: "PhaseRecipe", ions: dict[str, int], settings: "ChargedDefectSettings") -> Iterator[Asked]:
    wanted = settings.vacancies or ({recipe.mobile: (-ions[recipe.mobile],)} if recipe.mobile in ions else {})
    for species in wanted:
        if species not in ions:
            message = f"{recipe.name}: no single ion {species} to take out (settings: charged_defects.vacancies); "
            raise UnsuitedError(message + f"there are {', '.join(sorted(ions))}")
    if not wanted:
        message = f"{recipe.name}: its recipe names no mobile species; say which vacancies (settings: charged_defects.vacancies)"
        raise UnsuitedError(message)
    for species, charges in sorted(wanted.items()):
        for number, unit in enumerate(host.distinct(species), start=1):
            for charge in dict.fromkeys(charges):
                yield Asked(vacancy(unit, number), species, -1, -ions[species], charge)


def _interstitials(host: Host, recipe: "PhaseRecipe", ions: dict[str, int], settings: "ChargedDefectSettings") -> Iterator[Asked]:
    if not settings.interstitials:
        return
    species = recipe.mobile
    off = "(settings: charged_defects.interstitials; 0 leaves them out)"
    if species is None or species not in ions:
        message = f"{recipe.name}: its recipe names no mobile species that is a single ion, so there is none to add {off}"
        raise UnsuitedError(message)
    places = host.largest(species, settings.interstitials)
    if not places:
        message = f"{recipe.name}: no void of the crystal has room for another {species} {off}"
        raise UnsuitedError(message)
    for place in places:
        if settings.correction != "none":
            _refuse_nothing_far(host, recipe, place)
        for charge in dict.fromkeys(settings.interstitial_charges or (ions[species],)):
            yield Asked(interstitial(place), species, 1, ions[species], charge)


def _refuse_nothing_far(host: Host, recipe: "PhaseRecipe", place: Place) -> None:
    """Refuse a supercell all of whose atoms are so near an ion added that none is left to align potentials at."""
    farthest = float(host.distances(place.position[None], host.atoms.positions).max())
    apart = host.image_distance_angstrom
    if farthest > apart / 2 + LENGTH_TOLERANCE:
        return
    message = (
        f"{recipe.name}: images of an ion at {place.site} would be {apart:.2f} Å apart, and no atom is farther from it than half "
        f"of that, where potentials are aligned (settings: charged_defects.image_distance: more than {apart:.2f})"
    )
    raise UnsuitedError(message)


def _refuse_unsuited(host: Host, recipe: "PhaseRecipe") -> None:
    if not any(recipe.charges.values()):
        message = f"{recipe.name}: its ions have no charges, so it counts as a metal, in which defects have none either"
        raise UnsuitedError(message)
    apart, contact = host.image_distance_angstrom, host.contact_angstrom
    refuse_shared_neighbours(recipe.name, apart, contact, "charged_defects.image_distance")
