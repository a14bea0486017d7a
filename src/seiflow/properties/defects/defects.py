"""Energies of stoichiometric point defects of a crystal, for calculators that carry no charge.

A potential without charges knows defects only where their charges cancel: a Frenkel pair, a vacancy and an interstitial of one
species; a Schottky set, the vacancies of one formula unit. Displace: sets are placed by geometry in a supercell. Evaluate: ions
relax at the volume of the crystal from starts that are shaken, so that no saddle of high symmetry is kept. Reduce: what the cells
hold in the end is compared with what was put there, and energies are counted from the perfect crystal, per formula unit.

Concepts and conventions: Freysoldt et al., Rev. Mod. Phys. 86, 253 (2014).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from seiflow.errors import UnsuitedError
from seiflow.properties.defects.arrangements import Arrangement, least_width
from seiflow.properties.defects.cells import Cell, relax_cell
from seiflow.properties.defects.host import Host, make_host, refuse_small
from seiflow.properties.defects.sets import NEUTRAL, Defect, Frenkel, Schottky, frenkel, schottky, warnings_of

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.settings import DefectSettings
    from seiflow.structures.recipes import PhaseRecipe

SMALL_CHANGE = 0.03
"""eV; a larger change of an energy in a larger supercell is told."""


@dataclass(frozen=True)
class Reservoir:
    """The phase of the element of the mobile ion, relaxed with the same calculator."""

    phase: str
    energy_ev_per_atom: float


@dataclass(frozen=True)
class Site:
    """An interstitial site; multiplicity in the crystal's cell."""

    name: str
    species: str
    radius_angstrom: float
    room: float
    multiplicity: int
    position: tuple[float, float, float]


@dataclass(frozen=True)
class Energies:
    """The energies a reader looks for; None where there is none.

    Attributes:
        frenkel_energy_ev: Vacancy and interstitial of the mobile ion as far apart as the supercell allows.
        frenkel_isolated_energy_ev: The same, each defect in a supercell of its own.
        frenkel_bound_energy_ev: The nearest pair that does not recombine.
        anion_frenkel_energy_ev: As the first, of the anion.
        schottky_energy_ev: Vacancies of one formula unit, as far apart as the supercell allows.
        schottky_bound_energy_ev: The same, side by side.
    """

    frenkel_energy_ev: float | None
    frenkel_isolated_energy_ev: float | None
    frenkel_bound_energy_ev: float | None
    anion_frenkel_energy_ev: float | None
    schottky_energy_ev: float | None
    schottky_bound_energy_ev: float | None


@dataclass(frozen=True)
class Larger:
    """The energies once more in a larger supercell, and how much they change (larger less smaller)."""

    image_distance_angstrom: float
    atoms: int
    energies: Energies
    change: Energies

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the energies in the smaller supercell should know."""
        changes = {field.name: getattr(self.change, field.name) or 0.0 for field in fields(Energies)}
        told = [f"{name} by {value:+.3f} eV" for name, value in changes.items() if abs(value) > SMALL_CHANGE]
        where = f"in a supercell with images {self.image_distance_angstrom:.1f} Å apart"
        return (f"{where} energies change: {', '.join(told)}",) if told else ()


@dataclass(frozen=True)
class Defects(Energies):
    """Stoichiometric point defects of a crystal.

    Attributes:
        vacancy_energy_ev: A lone neutral vacancy of the mobile ion, its atom in the reservoir.
        interstitial_energy_ev: A lone neutral interstitial of the mobile ion, its atom from the reservoir.
        charge_state: Of all cells.
        reservoir: What the lone defects are counted from.
        image_distance_angstrom: Between images of a defect.
        atoms: Of the perfect supercell.
        supercell: How often the crystal's cell is repeated.
        formula_unit_energy_ev: Of the crystal.
        interstitial_sites: Sites of the mobile ion, and of the anion if asked for.
        frenkel: Of the mobile ion, in detail.
        anion_frenkel: Of the anion, in detail.
        schottky: In detail.
        larger: The larger supercell, if asked for.
        warnings: What a reader should know.
    """

    vacancy_energy_ev: float | None
    interstitial_energy_ev: float | None
    charge_state: str
    reservoir: Reservoir | None
    image_distance_angstrom: float
    atoms: int
    supercell: tuple[int, int, int]
    formula_unit_energy_ev: float
    interstitial_sites: tuple[Site, ...]
    frenkel: Frenkel | None
    anion_frenkel: Frenkel | None
    schottky: Schottky
    larger: Larger | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Sets:
    """All sets in one supercell."""

    frenkel: Frenkel | None
    anion: Frenkel | None
    schottky: Schottky

    @property
    def energies(self) -> Energies:
        mobile, anion = self.frenkel, self.anion
        return Energies(
            frenkel_energy_ev=mobile.separated_energy_ev if mobile else None,
            frenkel_isolated_energy_ev=mobile.isolated_energy_ev if mobile else None,
            frenkel_bound_energy_ev=mobile.bound_energy_ev if mobile else None,
            anion_frenkel_energy_ev=anion.separated_energy_ev if anion else None,
            schottky_energy_ev=self.schottky.separated_energy_ev,
            schottky_bound_energy_ev=self.schottky.bound_energy_ev,
        )


@dataclass(frozen=True)
class _Question:
    """What is computed in a supercell, and with what."""

    mobile: str | None
    anion: str | None
    engine: "Engine"
    settings: "DefectSettings"

    def answer(self, host: Host, reservoir: tuple[str, float] | None = None) -> _Sets:
        perfect = self.engine.evaluate(host.atoms).energy

        def relax(arrangement: Arrangement) -> Cell:
            return relax_cell(host, arrangement, self.engine, self.settings)

        def disorder(species: str | None, counted_from: tuple[str, float] | None) -> Frenkel | None:
            if species is None:
                return None
            pairs, sites = self.settings.pairs, self.settings.interstitials
            return frenkel(host, species, relax, perfect, pairs=pairs, sites=sites, reservoir=counted_from)

        return _Sets(disorder(self.mobile, reservoir), disorder(self.anion, None), schottky(host, relax, perfect))


def defects(
    crystal: "Atoms", recipe: "PhaseRecipe", engine: "Engine", settings: "DefectSettings", reservoir: Reservoir | None = None
) -> Defects:
    """Return the energies of point defects of a relaxed crystal.

    Args:
        crystal: Relaxed, in its conventional cell.
        recipe: Of the phase: formula, polyatomic groups, mobile ion, formal charges.
        engine: The calculator.
        settings: Of the study.
        reservoir: What lone defects of the mobile ion are counted from. A phase that is the element itself needs none.

    Raises:
        UnsuitedError: if a supercell is too small for its own images, or the larger one is no larger.
    """
    host, larger_host = supercells(crystal, recipe, settings)
    anion = _anion(host, recipe) if settings.anion else None
    question = _Question(recipe.mobile, anion, engine, settings)
    per_formula = engine.evaluate(host.atoms).energy / host.formula_units
    if recipe.formula == recipe.mobile:
        reservoir = Reservoir(recipe.name, per_formula)
    named = None if reservoir is None else (f"an atom of {reservoir.phase}", reservoir.energy_ev_per_atom)
    sets = question.answer(host, named)
    energies = sets.energies
    larger = _compared(larger_host, question.answer(larger_host).energies, energies) if larger_host else None
    return Defects(
        frenkel_energy_ev=energies.frenkel_energy_ev,
        frenkel_isolated_energy_ev=energies.frenkel_isolated_energy_ev,
        frenkel_bound_energy_ev=energies.frenkel_bound_energy_ev,
        anion_frenkel_energy_ev=energies.anion_frenkel_energy_ev,
        schottky_energy_ev=energies.schottky_energy_ev,
        schottky_bound_energy_ev=energies.schottky_bound_energy_ev,
        vacancy_energy_ev=_least(sets.frenkel.vacancies if sets.frenkel else ()),
        interstitial_energy_ev=_least(sets.frenkel.interstitials if sets.frenkel else ()),
        charge_state=NEUTRAL,
        reservoir=reservoir,
        image_distance_angstrom=host.image_distance_angstrom,
        atoms=len(host.atoms),
        supercell=host.expansion,
        formula_unit_energy_ev=per_formula,
        interstitial_sites=tuple(_sites(host, recipe.mobile, anion)),
        frenkel=sets.frenkel,
        anion_frenkel=sets.anion,
        schottky=sets.schottky,
        larger=larger,
        warnings=(
            *warnings_of(sets.frenkel, sets.anion, sets.schottky, reservoir=reservoir is not None),
            *(larger.warnings if larger else ()),
        ),
    )


def supercells(crystal: "Atoms", recipe: "PhaseRecipe", settings: "DefectSettings") -> tuple[Host, Host | None]:
    """Return the supercell and, if asked for, the larger one; those that cannot be used are refused.

    Raises:
        UnsuitedError: if a supercell is too small for its own images, or the larger one is no larger.
    """
    host = make_host(crystal, recipe, settings.image_distance)
    refuse_small(host, recipe.name, least_width(host, recipe.mobile))
    if settings.larger_image_distance is None:
        return host, None
    larger = make_host(crystal, recipe, settings.larger_image_distance)
    if len(larger.atoms) <= len(host.atoms):
        message = (
            f"{recipe.name}: larger_image_distance of {settings.larger_image_distance:g} Å gives no larger supercell than "
            f"{host.image_distance_angstrom:.2f} Å; raise it above that"
        )
        raise UnsuitedError(message)
    return host, larger


def _anion(host: Host, recipe: "PhaseRecipe") -> str | None:
    """Return the monatomic unit with the most negative charge, None if there is none."""
    charges = {unit.kind: unit.charge for unit in host.units if len(unit.members) == 1 and unit.charge < 0}
    return min((kind for kind in charges if kind != recipe.mobile), key=lambda kind: (charges[kind], kind), default=None)


def _least(lone: "tuple[Defect, ...]") -> float | None:
    return min((item.formation_energy_ev for item in lone if item.formation_energy_ev is not None), default=None)


def _sites(host: Host, *species: str | None) -> Iterator[Site]:
    for one in species:
        for site in host.sites(one) if one else ():
            x, y, z = site.places[0].tolist()
            yield Site(site.name, site.species, site.radius_angstrom, site.room, site.multiplicity, (x, y, z))


def _compared(host: Host, larger: Energies, smaller: Energies) -> Larger:
    def change(name: str) -> float | None:
        new, old = getattr(larger, name), getattr(smaller, name)
        return None if new is None or old is None else new - old

    changes = Energies(*(change(field.name) for field in fields(Energies)))
    return Larger(host.image_distance_angstrom, len(host.atoms), larger, changes)
