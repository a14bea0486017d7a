"""One vacancy or interstitial near a boundary or in a crystal, relaxed, and whether it stays where it was made."""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError
from seiflow.structures.defect_sites import DefectSite, DefectSupercell, defect_supercell
from seiflow.structures.interstitials import interstitials
from seiflow.structures.supercell import image_distance

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import ArrayLike

    from seiflow.engine import Engine
    from seiflow.planar_settings import SegregationSettings
    from seiflow.structures.interstitial_sites import InterstitialSite

MOVED = 1.0
"""Å; an ion that leaves its site by more has hopped: the defect is no longer where it was made."""

SHAKE = 0.01
"""Å; standard deviation of the movements that break the symmetry of a vacancy's start."""

SHAKE_ADDED = 0.05
"""Å; that of an interstitial's, which may start on a saddle; with 0.01 Å ions added to metals stay there."""

NEARLY_AS_MANY = 0.15
"""By which share the number of atoms of two cells may differ."""


@dataclass(frozen=True)
class SiteDefect:
    """A vacancy or interstitial at one site, relaxed.

    Attributes:
        site: Its name.
        energy_ev: Of the supercell with it; null if it did not stay or did not relax.
        stays: Whether it is still at its site.
        largest_displacement_angstrom: Of any atom, the added one included; null if it did not relax.
        largest_force_ev_per_angstrom: Left on an atom, likewise.
        problem: Why it did not relax; null if it did.
    """

    site: str
    energy_ev: float | None
    stays: bool
    largest_displacement_angstrom: float | None
    largest_force_ev_per_angstrom: float | None
    problem: str | None = None


@dataclass(frozen=True)
class BulkVacancy:
    """The most stable vacancy of a phase: what taking the ion out of its perfect supercell costs, eV, and in how many atoms."""

    phase: str
    energy_ev: float
    atoms: int


@dataclass(frozen=True)
class BulkInterstitial:
    """The most stable interstitial of a phase; in a crystal all places are far from boundaries, so it need not stay.

    Attributes:
        phase: Its name.
        site: Where the ion was added; null if no void has room for it.
        stays: Whether it is still there; if not, no ion added at any site is as stable as what it became.
        energy_ev: What adding the ion to the perfect supercell costs; null without site.
        atoms: Of the perfect supercell.
    """

    phase: str
    site: str | None
    stays: bool
    energy_ev: float | None
    atoms: int


def site_vacancy(
    cell: DefectSupercell, site: DefectSite, engine: "Engine", settings: "SegregationSettings"
) -> "tuple[SiteDefect, Atoms]":
    """Relax the vacancy at one site, ions only; return it with its structure.

    Raises:
        ConvergenceError: if the forces stayed above their tolerance.
    """
    return _relaxed(with_defect(cell, site), SHAKE, site.name, f"vacancy {site.name}", engine, settings)


def site_interstitial(
    cell: DefectSupercell, site: "InterstitialSite", engine: "Engine", settings: "SegregationSettings"
) -> "tuple[SiteDefect, Atoms]":
    """Relax the interstitial at one site, ions only; return it with its structure, in which the added ion is the last atom.

    Raises:
        ConvergenceError: if the forces stayed above their tolerance.
    """
    return _relaxed(with_defect(cell, site), SHAKE_ADDED, site.name, f"interstitial {site.name}", engine, settings)


def unrelaxed(site: str, problem: str) -> SiteDefect:
    """Return what is known of a defect whose relaxation did not converge: why."""
    return SiteDefect(
        site, None, stays=False, largest_displacement_angstrom=None, largest_force_ev_per_angstrom=None, problem=problem
    )


def interstitial_start(cell: DefectSupercell, site: "InterstitialSite") -> "Atoms":
    """Return a supercell with an ion added at a site, shaken off it; the added ion is the last atom."""
    start = with_defect(cell, site)
    start.rattle(SHAKE_ADDED, seed=0)
    return start


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


def bulk_interstitial(
    phase: str, crystal: "Atoms", species: str, atoms: int, engine: "Engine", settings: "SegregationSettings"
) -> BulkInterstitial:
    """Return the most stable interstitial of a crystal, of all its sites; arguments as of :func:`bulk_vacancy`."""
    supercell = crystal.repeat(expansion_near(crystal, atoms, settings.image_distance))
    supercell.set_constraint()
    perfect = crystal.get_potential_energy() * len(supercell) / len(crystal)
    best = BulkInterstitial(phase, None, stays=False, energy_ev=None, atoms=len(supercell))
    for site in interstitials(crystal, species):
        start = _with_ion(supercell, species, site.places[0] @ np.asarray(crystal.cell))
        defect, relaxed = _relaxed(start, SHAKE_ADDED, site.name, f"{phase} {site.name}", engine, settings)
        cost = float(relaxed.get_potential_energy()) - perfect
        if best.energy_ev is None or cost < best.energy_ev:
            best = BulkInterstitial(phase, site.name, defect.stays, cost, len(supercell))
    return best


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


def with_defect(cell: DefectSupercell, site: "DefectSite | InterstitialSite") -> "Atoms":
    """Return a supercell with the vacancy or interstitial of a site, not relaxed; an added ion is the last atom."""
    if isinstance(site, DefectSite):
        start = cell.atoms.copy()
        del start[site.index]
        return start
    start = _with_ion(cell.atoms, site.species, site.position_angstrom)
    if site.grain is not None:
        start.arrays["grain"][-1] = site.grain
    return start


def _with_ion(atoms: "Atoms", species: str, position: "ArrayLike") -> "Atoms":
    from ase import Atom

    start = atoms.copy()
    start.append(Atom(species, position))
    return start


def _relaxed(
    start: "Atoms", shake: float, site: str, label: str, engine: "Engine", settings: "SegregationSettings"
) -> "tuple[SiteDefect, Atoms]":
    shaken = start.copy()
    shaken.rattle(shake, seed=0)
    relaxed = engine.relax(shaken, fmax=settings.fmax, max_steps=settings.max_steps, label=label)
    farthest = float(np.linalg.norm(relaxed.positions - start.positions, axis=1).max())
    stays = farthest <= MOVED
    result = SiteDefect(
        site=site,
        energy_ev=float(relaxed.get_potential_energy()) if stays else None,
        stays=stays,
        largest_displacement_angstrom=farthest,
        largest_force_ev_per_angstrom=float(np.linalg.norm(relaxed.get_forces(), axis=1).max()),
    )
    return result, relaxed
