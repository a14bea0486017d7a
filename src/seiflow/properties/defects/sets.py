"""Frenkel pairs and Schottky sets: which cells are relaxed, and which energies follow from them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from seiflow.properties.defects.arrangements import Arrangement, interstitial, pair, schottky_sets, spaced, vacancy
from seiflow.properties.defects.cells import Cell
from seiflow.properties.defects.host import Host

Relax = Callable[[Arrangement], Cell]

NEAR_TRIES = 5
"""Pairs tried from the nearest on until one does not recombine."""

NEAR_STEP = 0.3
"""Å; how much farther each of them is at least."""

NEUTRAL = "neutral cell"

INTERACTING = 0.1
"""eV; worth a warning when the pair farthest apart and its defects alone differ by more."""

FROM_CRYSTAL = "the perfect supercell"
FROM_FORMULA = "the perfect supercell less one formula unit of the crystal"


@dataclass(frozen=True)
class Defect:
    """Point defects in one cell.

    Attributes:
        name: What was asked for.
        formation_energy_ev: None if there is none, see ``found``, ``problem`` and ``counted_from``.
        counted_from: The energy of formation zero.
        charge_state: Cells are neutral.
        atoms: Of the cell.
        cell_energy_ev: Of the cell, relaxed at the volume of the crystal.
        largest_force_ev_per_angstrom: Reached by the relaxation.
        separation_asked_angstrom: At the start: of the two defects, or the largest of a set of vacancies.
        separation_angstrom: In the end; None if there is no such pair any more.
        found: What there is in the end.
        moved: Something left the place it was put at.
        recombined: A vacancy was filled, by an interstitial or by something of another kind, so there is no energy.
        problem: Why there is no energy otherwise.
    """

    name: str
    formation_energy_ev: float | None
    counted_from: str
    charge_state: str
    atoms: int
    cell_energy_ev: float | None
    largest_force_ev_per_angstrom: float | None
    separation_asked_angstrom: float | None
    separation_angstrom: float | None
    found: str
    moved: bool
    recombined: bool
    problem: str | None


@dataclass(frozen=True)
class Frenkel:
    """Vacancy and interstitial of one species.

    Attributes:
        species: Symbol of the ion.
        isolated_energy_ev: Vacancy cell plus interstitial cell less two perfect ones, the lowest of each.
        separated_energy_ev: Of the pair that is farthest apart, both defects in one cell.
        separated_angstrom: How far.
        bound_energy_ev: Of the nearest pair that does not recombine; None if only one was found to stay.
        bound_angstrom: How near.
        vacancies: One for each distinct site.
        interstitials: One for each site tried.
        pairs: From near to far, those that recombined included.
        left_out: Interstitial sites not tried.
    """

    species: str
    isolated_energy_ev: float | None
    separated_energy_ev: float | None
    separated_angstrom: float | None
    bound_energy_ev: float | None
    bound_angstrom: float | None
    vacancies: tuple[Defect, ...]
    interstitials: tuple[Defect, ...]
    pairs: tuple[Defect, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Schottky:
    """All vacancies of one formula unit.

    Attributes:
        units: How many of each kind are missing.
        separated_energy_ev: Of the set most spread out in the cell, or of the only one there is.
        bound_energy_ev: The lowest of the compact sets; None for a single vacancy.
        sets: All that were relaxed.
    """

    units: dict[str, int]
    separated_energy_ev: float | None
    bound_energy_ev: float | None
    sets: tuple[Defect, ...]


def frenkel(
    host: Host, species: str, relax: Relax, perfect: float, *, pairs: int, sites: int, reservoir: tuple[str, float] | None
) -> Frenkel:
    """Return the Frenkel disorder of a species.

    Args:
        host: The perfect supercell.
        species: Symbol of the ion, which is a unit by itself.
        relax: Relaxes an arrangement.
        perfect: Energy of the supercell, eV.
        pairs: How many pairs to follow from near to far.
        sites: How many interstitial sites to try, the largest first.
        reservoir: What the lone defects are counted from: a description and an energy in eV per atom.
    """
    units = host.distinct(species)
    empty = [relax(vacancy(unit, number)) for number, unit in enumerate(units, start=1)]
    places = host.places(species)
    tried = host.largest(species, sites)
    filled = [relax(interstitial(place)) for place in tried]
    lowest_vacancy, lowest_interstitial = _lowest(empty), _lowest(filled)
    cells: list[Cell] = []
    isolated = None
    if lowest_vacancy is not None and lowest_interstitial is not None:
        isolated = (empty[lowest_vacancy].energy or 0.0) + (filled[lowest_interstitial].energy or 0.0) - 2 * perfect
        chosen = tuple(place for place in places if place.site == tried[lowest_interstitial].site)
        shells = [pair(units[lowest_vacancy], place, distance) for place, distance in host.shells(units[lowest_vacancy], chosen)]
        cells = _follow(shells, relax, pairs)
    found = [_defect(cell, perfect, FROM_CRYSTAL) for cell in cells]
    known = [item for item in found if item.formation_energy_ev is not None and item.separation_angstrom is not None]
    known.sort(key=lambda item: item.separation_angstrom or 0.0)
    far = known[-1] if known else None
    near = known[0] if len(known) > 1 else None
    return Frenkel(
        species=species,
        isolated_energy_ev=isolated,
        separated_energy_ev=far.formation_energy_ev if far else None,
        separated_angstrom=far.separation_angstrom if far else None,
        bound_energy_ev=near.formation_energy_ev if near else None,
        bound_angstrom=near.separation_angstrom if near else None,
        vacancies=tuple(_lone(cell, perfect, reservoir, -1) for cell in empty),
        interstitials=tuple(_lone(cell, perfect, reservoir, 1) for cell in filled),
        pairs=tuple(found),
        left_out=tuple(site.name for site in host.sites(species)[sites:]),
    )


def schottky(host: Host, relax: Relax, perfect: float) -> Schottky:
    """Return the energies of the vacancies of one formula unit, compact and spread out."""
    zero = perfect * (host.formula_units - 1) / host.formula_units
    sets = [_defect(relax(arrangement), zero, FROM_FORMULA) for arrangement in schottky_sets(host)]
    kept = {item.name: item.formation_energy_ev for item in sets if not item.moved and item.formation_energy_ev is not None}
    compact = [energy for name, energy in kept.items() if name.startswith("compact")]
    alone = kept.get("one formula unit")
    return Schottky(dict(host.formula), kept.get("spread out", alone), min(compact, default=None), tuple(sets))


def _follow(shells: Sequence[Arrangement], relax: Relax, pairs: int) -> list[Cell]:
    """Relax pairs from the nearest on until one stays, then some of the farther ones up to the farthest."""
    cells: list[Cell] = []
    rest = list(shells)
    while rest and len(cells) < NEAR_TRIES:
        cells.append(relax(rest[0]))
        reached = rest[0].separation_angstrom or 0.0
        if cells[-1].energy is not None:
            rest = rest[1:]
            break
        rest = [shell for shell in rest if (shell.separation_angstrom or 0.0) > reached + NEAR_STEP]
    return cells + [relax(rest[number]) for number in spaced(len(rest), pairs - 1)]


def _lowest(cells: Sequence[Cell]) -> int | None:
    energies = {number: cell.energy for number, cell in enumerate(cells) if cell.energy is not None}
    return min(energies, key=lambda number: (energies[number], number), default=None)


def _lone(cell: Cell, perfect: float, reservoir: tuple[str, float] | None, added: int) -> Defect:
    if reservoir is None:
        return _defect(cell, None, "nothing: there is no reservoir, see warnings")
    what, energy = reservoir
    return _defect(cell, perfect + added * energy, f"{FROM_CRYSTAL} and {what}", f"neutral; reservoir {what}")


def _defect(cell: Cell, zero: float | None, counted_from: str, charge_state: str = NEUTRAL) -> Defect:
    return Defect(
        name=cell.arrangement.name,
        formation_energy_ev=None if cell.energy is None or zero is None else cell.energy - zero,
        counted_from=counted_from,
        charge_state=charge_state,
        atoms=cell.atoms,
        cell_energy_ev=cell.energy_ev,
        largest_force_ev_per_angstrom=cell.largest_force_ev_per_angstrom,
        separation_asked_angstrom=cell.arrangement.separation_angstrom,
        separation_angstrom=cell.separation_angstrom,
        found=cell.found,
        moved=cell.moved,
        recombined=cell.recombined,
        problem=cell.problem,
    )


def warnings_of(mobile: Frenkel | None, anion: Frenkel | None, sets: Schottky, *, reservoir: bool) -> Iterator[str]:
    """Yield what a reader of the energies should know."""
    if mobile is None:
        yield "no Frenkel pairs: the recipe names no mobile species"
    elif not reservoir:
        yield (
            f"no energy of a lone defect: the study has no relaxed phase that is {mobile.species} alone with this calculator; "
            "name one among its structures"
        )
    for disorder in (mobile, anion):
        if disorder is not None:
            yield from _frenkel_warnings(disorder)
    for item in sets.sets:
        if item.moved:
            yield f"Schottky set, {item.name}: an ion moved to another site; {item.found}. Its energy is not used"
    problems = [item for disorder in (mobile, anion) if disorder for item in (*disorder.vacancies, *disorder.interstitials)]
    problems += [item for disorder in (mobile, anion) if disorder for item in disorder.pairs]
    yield from (f"{item.name}: {item.problem}" for item in (*problems, *sets.sets) if item.problem)


def _frenkel_warnings(disorder: Frenkel) -> Iterator[str]:
    if not disorder.interstitials:
        yield f"no Frenkel pairs of {disorder.species}: no void of the crystal has room for it"
    if disorder.left_out:
        names = ", ".join(disorder.left_out)
        yield f"interstitial sites of {disorder.species} not tried: {names} (settings: defects.interstitials)"
    for item in (*disorder.vacancies, *disorder.interstitials, *disorder.pairs):
        if item.moved and not item.recombined:
            yield f"{item.name} of {disorder.species} did not stay: {item.found}"
    lost = [item.name for item in disorder.pairs if item.recombined]
    if lost:
        yield f"recombined while relaxing: {', '.join(lost)}"
    apart, alone = disorder.separated_energy_ev, disorder.isolated_energy_ev
    if apart is not None and alone is not None and abs(apart - alone) > INTERACTING:
        yield (
            f"the pair of {disorder.species} farthest apart and its defects each alone differ by {apart - alone:+.2f} eV: "
            "either they still feel each other (see larger_image_distance), or the calculator adds the electron or hole that a "
            "neutral cell with a lone defect has; trust the pair"
        )
