"""One arrangement of point defects relaxed, and which defects there are in the end.

Every ion is counted to the nearest lattice site of its kind (Wigner-Seitz cells): a site without ion is vacant, of several ions
at a site those farther off are interstitials. Polyatomic groups count by their central atoms. So an interstitial that fell into
a vacancy, and one that moved to another site, are told from what was asked for whatever way they took.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import ConvergenceError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.engine import Engine
    from seiflow.properties.defects.arrangements import Arrangement
    from seiflow.properties.defects.host import Host, Place
    from seiflow.settings import DefectSettings

SHAKE = 0.05
"""Å; standard deviation of the displacements that break the symmetry of a start, equal in every run; groups move whole."""

SHAKE_INSIDE = 0.01
"""Å; that of the atoms of a group against each other, where bonds are stiff."""

SEED = 20240607

SPLIT = 0.5
"""Two ions share a site when the nearer one is off it by more than this share of the farther one's distance."""


@dataclass(frozen=True)
class Found:
    """The defects of a relaxed cell.

    Attributes:
        vacant: Leaders of the units whose places are vacant.
        extra: Kind, name of the place and position of each interstitial.
        exchanged: Places taken by something of another kind, in words.
    """

    vacant: tuple[int, ...]
    extra: "tuple[tuple[str, str, NDArray[np.float64]], ...]"
    exchanged: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """What there is, in words."""
        extras = [f"{kind} at {name}" for kind, name, _ in self.extra]
        vacancies = f"{len(self.vacant)} vacanc{'y' if len(self.vacant) == 1 else 'ies'}"
        return ", ".join([*([vacancies] if self.vacant else []), *extras, *self.exchanged]) or "no defect"


@dataclass(frozen=True)
class Cell:
    """An arrangement, relaxed.

    Attributes:
        arrangement: What was asked for.
        atoms: Of the cell.
        energy_ev: Of the cell; None if the relaxation did not converge.
        largest_force_ev_per_angstrom: Reached by the relaxation.
        found: What there is in the end, in words.
        moved: Something left the place it was put at.
        recombined: A vacancy was filled, by an interstitial or by something of another kind.
        separation_angstrom: Of the pair in the end; of other sets as started; None if it is no pair any more.
        problem: Why there is no energy.
    """

    arrangement: "Arrangement"
    atoms: int
    energy_ev: float | None
    largest_force_ev_per_angstrom: float | None
    found: str
    moved: bool
    recombined: bool
    separation_angstrom: float | None
    problem: str | None = None

    @property
    def energy(self) -> float | None:
        """The energy, None if the defects are no longer there."""
        return None if self.recombined else self.energy_ev


def relax_cell(host: "Host", arrangement: "Arrangement", engine: "Engine", settings: "DefectSettings") -> Cell:
    """Relax the ions of an arrangement at fixed cell, from a start without symmetry, and see what it became."""
    start, leaders = defective(host, arrangement)
    try:
        relaxed = engine.relax(
            shaken(host, start, arrangement), fmax=settings.fmax, max_steps=settings.max_steps, label=arrangement.name
        )
    except ConvergenceError as error:
        return Cell(arrangement, len(start), None, None, "not relaxed", False, False, None, str(error))  # noqa: FBT003
    drift = (relaxed.positions - start.positions).mean(axis=0)
    found = find_defects(host, {index: relaxed.positions[number] - drift for index, number in leaders.items()}, arrangement)
    recombined = len(found.vacant) < len(arrangement.missing)
    return Cell(
        arrangement=arrangement,
        atoms=len(relaxed),
        energy_ev=float(relaxed.get_potential_energy()),
        largest_force_ev_per_angstrom=float(np.linalg.norm(relaxed.get_forces(), axis=1).max()),
        found=found.text,
        moved=not as_asked(host, arrangement, found),
        recombined=recombined,
        separation_angstrom=_separation(host, arrangement, found),
    )


def shaken(host: "Host", start: "Atoms", arrangement: "Arrangement") -> "Atoms":
    """Return the start of an arrangement displaced at random, groups whole, the same way in every run."""
    random = np.random.default_rng(SEED)
    steps = np.empty((len(host.atoms), 3))
    for unit in host.units:
        steps[list(unit.members)] = random.normal(scale=SHAKE, size=3)
    gone = [index for unit in arrangement.missing for index in unit.members]
    added = random.normal(scale=SHAKE, size=(len(arrangement.added), 3))
    shaken = start.copy()
    shaken.positions += np.vstack([np.delete(steps, gone, axis=0), added])
    shaken.positions += random.normal(scale=SHAKE_INSIDE, size=shaken.positions.shape)
    return shaken


def defective(host: "Host", arrangement: "Arrangement") -> "tuple[Atoms, dict[int, int]]":
    """Return the atoms of an arrangement, unrelaxed, and the atom that each leader (negative: ion added) has become."""
    from ase import Atom

    atoms: Atoms = host.atoms.copy()
    gone = {index for unit in arrangement.missing for index in unit.members}
    kept = [index for index in range(len(atoms)) if index not in gone]
    atoms = atoms[kept]
    number = {index: place for place, index in enumerate(kept)}
    leaders = {unit.leader: number[unit.leader] for unit in host.units if unit.leader not in gone}
    for count, place in enumerate(arrangement.added, start=1):
        leaders[-count] = len(atoms)
        atoms.append(Atom(place.species, place.position))
    return atoms, leaders


def find_defects(host: "Host", positions: "dict[int, NDArray[np.float64]]", arrangement: "Arrangement") -> Found:
    """Return the vacancies and interstitials there are.

    Args:
        host: The perfect supercell.
        positions: Where the leader of each unit is, and under negative numbers the ions added.
        arrangement: What was asked for; tells the species of the ions added.
    """
    added = {-number: place.species for number, place in enumerate(arrangement.added, start=1)}
    vacant: list[int] = []
    extra: list[tuple[str, str, NDArray[np.float64]]] = []
    for kind in host.formula:
        units = host.of_kind(kind)
        there = [unit.leader for unit in units if unit.leader in positions]
        ions = np.array([positions[index] for index in [*there, *(one for one, species in added.items() if species == kind)]])
        distances = host.distances(ions.reshape(-1, 3), host.positions(units))
        nearest = distances.argmin(axis=1) if len(ions) else np.empty(0, dtype=int)
        for site, unit in enumerate(units):
            owners = np.flatnonzero(nearest == site)
            if not len(owners):
                vacant.append(unit.leader)
            order = owners[np.argsort(distances[owners, site])] if len(owners) else owners
            for number in order[1:].tolist():
                split = distances[order[0], site] > SPLIT * distances[number, site]
                where = host.atoms.positions[unit.leader] if split else ions[number]
                extra.append((kind, "a shared site" if split else _named(host, kind, where), where))
    empty, exchanged = _unfilled(host, vacant, positions, added)
    return Found(empty, tuple(extra), exchanged)


def _unfilled(
    host: "Host", vacant: list[int], positions: "dict[int, NDArray[np.float64]]", added: dict[int, str]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the vacant places that nothing of another kind has taken, and those taken in words."""
    if not vacant:
        return (), ()
    kinds = {unit.leader: unit.kind for unit in host.units}
    indices = list(positions)
    distances = host.distances(host.atoms.positions[vacant], np.array([positions[index] for index in indices]))
    taken = dict(zip(vacant, distances.min(axis=1) < host.contact_angstrom / 2, strict=True))
    owners = dict(zip(vacant, (indices[number] for number in distances.argmin(axis=1)), strict=True))
    texts = (f"{added.get(owners[site]) or kinds[owners[site]]} at a site of {kinds[site]}" for site in vacant if taken[site])
    return tuple(site for site in vacant if not taken[site]), tuple(texts)


def _named(host: "Host", kind: str, position: "NDArray[np.float64]") -> str:
    """Return the name of the nearest interstitial site, if it is nearer than any lattice site is to that one."""
    place = _nearest_place(host, kind, position)
    return place.site if place else "an unlisted place"


def _nearest_place(host: "Host", kind: str, position: "NDArray[np.float64]") -> "Place | None":
    places = host.places(kind)
    if not places:
        return None
    centres = np.array([place.position for place in places])
    distances = host.distances(position[None], centres)[0]
    number = int(distances.argmin())
    room = float(host.distances(centres[number][None], host.positions(host.of_kind(kind))).min())
    return places[number] if distances[number] < room / 2 else None


def as_asked(host: "Host", arrangement: "Arrangement", found: Found) -> bool:
    """Tell whether the defects there are sit where they were put."""
    if found.exchanged or sorted(found.vacant) != sorted(unit.leader for unit in arrangement.missing):
        return False
    ends = [_nearest_place(host, kind, where) for kind, name, where in found.extra if name != "a shared site"]
    numbers = sorted(place.number for place in ends if place)
    return len(found.extra) == len(numbers) and numbers == sorted(place.number for place in arrangement.added)


def _separation(host: "Host", arrangement: "Arrangement", found: Found) -> float | None:
    if not (arrangement.missing and arrangement.added):
        return arrangement.separation_angstrom
    if len(found.vacant) != 1 or len(found.extra) != 1:
        return None
    vacancy = host.atoms.positions[found.vacant[0]]
    return float(host.distances(vacancy[None], found.extra[0][2][None])[0, 0])
