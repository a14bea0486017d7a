"""Vacancy hops in a boundary or interface: along it and across it.

The sites and their relaxed vacancies are those of the segregation profile. Hops go between sites up to a tenth farther apart than
the network needs to percolate in three dimensions; which of them are computed is decided by
:mod:`~seiflow.properties.migration.search`. A vacancy that did not stay at its site is a state of its own; a hop between two
states that are one, because the ion came over without a barrier, has the higher of their energies as its level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError
from seiflow.properties.migration.hop import Barrier
from seiflow.properties.migration.migration import HopSummary
from seiflow.properties.migration.network import Hop, Network, Site, hop_classes, percolating_cutoff
from seiflow.properties.migration.planar_hops import VacancyHops
from seiflow.properties.migration.routes import Failed, Found, Route, estimates_disproved, ranges
from seiflow.properties.migration.search import Ways, search
from seiflow.properties.migration.states import Vacancy
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.settings import MigrationSettings
from seiflow.structures.defect_sites import DefectSupercell

if TYPE_CHECKING:
    from ase import Atoms

BEYOND_PERCOLATION = 1.1
"""How much longer than the network needs hops may be: the sites of a boundary are unequally far apart."""


@dataclass(frozen=True)
class SiteState:
    """A site with its vacancy.

    Attributes:
        index: In the supercell.
        multiplicity: In the cell of the boundary.
        grain: Which grain it belongs to.
        distance_angstrom: From the nearest boundary.
        energy_ev: Of the vacancy, above the most stable one; None if it did not relax.
        stays: Whether the vacancy is where it was made.
    """

    site: str
    index: int
    multiplicity: int
    grain: int | None
    distance_angstrom: float | None
    energy_ev: float | None
    stays: bool


@dataclass(frozen=True)
class PlanarHop:
    """A class of hops.

    Attributes:
        edges: All of them in the supercell, as (site, site, cell offset).
        bound_ev: What it was taken to cost at least, above the most stable vacancy.
        ceiling_ev: Highest energy of some way over it, likewise, an estimate; None if none was looked at.
        level_ev: Its highest energy, likewise; None if it was not computed.
    """

    hop: str
    site_initial: str
    site_final: str
    distance_angstrom: float
    multiplicity: int
    edges: tuple[tuple[int, int, tuple[int, int, int]], ...]
    bound_ev: float
    ceiling_ev: float | None
    level_ev: float | None


@dataclass(frozen=True)
class BulkBarrier:
    """Percolation barrier, in three dimensions, of a phase the structure is made of."""

    phase: str
    percolation_barrier_3d_ev: float


@dataclass(frozen=True)
class PlanarMigration:
    """Hops and percolation barriers of a boundary or interface.

    Attributes:
        expansion: How often the cell is repeated; sites are numbered in that supercell (``ase.Atoms.repeat``).
        cutoff_angstrom: Longest hop.
        percolation_barrier_ev: Along a and b, in the plane, and c, across it: the level, above the most stable vacancy of the
            structure, that a path cannot avoid. None where no path is known, over hops computed or with a ceiling, and where a
            vacancy did not relax, which may be the most stable one: energies are then counted from that of the others.
        percolation_lower_bound_ev: What no path of hops up to the cut-off can be below, whatever those that were not computed
            are. Equal to the barrier where that is proved.
        routes: The paths.
        hops: Those computed.
        network: All hops.
        failed: Hops that could not be computed.
        barriers: Those computed, in detail.
        bulk: For comparison.
    """

    species: str
    charge_state: str
    expansion: tuple[int, int, int]
    atoms: int
    image_distance_angstrom: float
    cutoff_angstrom: float
    percolation_barrier_ev: dict[str, float | None]
    percolation_lower_bound_ev: dict[str, float]
    bulk: tuple[BulkBarrier, ...]
    routes: tuple[Route, ...]
    hops: tuple[HopSummary, ...]
    failed: tuple[Failed, ...]
    sites: tuple[SiteState, ...]
    network: tuple[PlanarHop, ...]
    barriers: tuple[Barrier, ...]
    warnings: tuple[str, ...]


def planar_network(relaxed: "Atoms", cell: DefectSupercell, species: str, settings: MigrationSettings) -> Network:
    """Return all hops of a boundary or interface.

    Args:
        relaxed: The cell of the boundary.
        cell: Its supercell and sites.
        species: The mobile ion.
        settings: Cut-off.

    Raises:
        InputError: if the hops within the cut-off do not percolate in three dimensions.
    """
    cutoff = planar_cutoff(relaxed, species, settings)
    symmetry = site_symmetry(cell.atoms)
    sites = tuple(Site(site.name, site.index, site.multiplicity) for site in cell.sites)
    hops = hop_classes(cell.atoms, species, symmetry, sites, cutoff)
    matrix = np.diag(np.array(cell.expansion, dtype=np.int64))
    return Network(species, matrix, len(cell.atoms), cell.image_distance_angstrom, cutoff, sites, hops)


def planar_cutoff(atoms: "Atoms", species: str, settings: MigrationSettings) -> float:
    """Return how long the hops of a boundary or interface may be, Å.

    Raises:
        UnsuitedError: if hops as long as the settings say do not percolate in three dimensions.
    """
    if settings.cutoff is not None:
        return percolating_cutoff(atoms, species, settings.cutoff)
    return BEYOND_PERCOLATION * percolating_cutoff(atoms, species, None)


def vacancy_ways(network: Network, energies: Mapping[str, float]) -> Ways[Hop]:
    """Return the hops of a network between vacancies whose energies (eV, by site) are given; of the others nothing is known."""
    lowest = min(energies.values())
    floors = {hop.hop: max(energies.get(site, lowest) for site in (hop.site_initial, hop.site_final)) for hop in network.hops}
    return Ways(network.hops, floors, lowest)


def planar_migration(
    cell: DefectSupercell,
    network: Network,
    vacancies: Mapping[str, Vacancy],
    stay: Mapping[str, bool],
    bulk: Sequence[BulkBarrier],
    engine: Engine,
    settings: MigrationSettings,
) -> "tuple[PlanarMigration, list[Atoms]]":
    """Compute the hops that decide the percolation barriers.

    Args:
        cell: Supercell and sites.
        network: All hops, in the numbering of the supercell.
        vacancies: Relaxed, by name of the site. Hops with another site at an end cannot be computed.
        stay: Whether each vacancy is where it was made.
        bulk: Of the phases, for comparison.
        engine: Evaluates and relaxes.
        settings: Tolerances and limits.

    Returns:
        The result, and structures: the perfect supercell, then initial, saddle, final of each hop computed.

    Raises:
        ConvergenceError: if no vacancy relaxed.
    """
    if not vacancies:
        message = "hops: no vacancy relaxed. Allow more steps (settings: segregation, max_steps), or look at the structure."
        raise ConvergenceError(message)
    work = VacancyHops(cell.atoms, vacancies, site_symmetry(cell.atoms), engine, settings)
    energies = {name: vacancy.energy_ev for name, vacancy in vacancies.items()}
    most, before = settings.most_evaluations, engine.force_evaluations
    found = search(vacancy_ways(network, energies), work, lambda: most is None or engine.force_evaluations - before < most)
    lost = [site.name for site in cell.sites if site.name not in energies]
    routes = tuple(replace(route, barrier_ev=None) for route in found.routes) if lost else found.routes
    lowest = min(energies.values())
    states = tuple(
        SiteState(
            site.name,
            site.index,
            site.multiplicity,
            site.grain,
            site.distance_angstrom,
            energies[site.name] - lowest if site.name in energies else None,
            stay[site.name],
        )
        for site in cell.sites
    )
    barriers = tuple(work.barriers.values())
    result = PlanarMigration(
        species=network.mobile,
        charge_state=settings.charge_state,
        expansion=cell.expansion,
        atoms=network.atoms,
        image_distance_angstrom=network.image_distance_angstrom,
        cutoff_angstrom=network.cutoff_angstrom,
        percolation_barrier_ev={route.axis: route.barrier_ev for route in routes},
        percolation_lower_bound_ev={route.axis: route.lower_bound_ev for route in routes},
        bulk=tuple(bulk),
        routes=routes,
        hops=tuple(work.summaries),
        failed=found.failed,
        sites=states,
        network=tuple(_planar_hop(hop, found, lowest) for hop in network.hops),
        barriers=barriers,
        warnings=(
            *_warnings(found, lost),
            *(f"{barrier.hop}: {text}" for barrier in barriers for text in barrier.warnings),
        ),
    )
    return result, [cell.atoms, *(frame for frames in work.frames for frame in (frames.initial, frames.saddle, frames.final))]


def _planar_hop(hop: Hop, found: Found, lowest: float) -> PlanarHop:
    return PlanarHop(
        hop=hop.hop,
        site_initial=hop.site_initial,
        site_final=hop.site_final,
        distance_angstrom=hop.distance_angstrom,
        multiplicity=hop.multiplicity,
        edges=hop.edges,
        bound_ev=found.bounds[hop.hop] - lowest,
        ceiling_ev=found.ceilings[hop.hop] - lowest if hop.hop in found.ceilings else None,
        level_ev=found.levels[hop.hop] - lowest if hop.hop in found.levels else None,
    )


def _warnings(found: Found, lost: Sequence[str]) -> list[str]:
    told = [f"{failed.hop} could not be computed: {failed.reason}" for failed in found.failed]
    told += estimates_disproved(found)
    if not lost:
        return [*told, *ranges(found)]
    least = ", ".join(f"along {route.axis} {route.lower_bound_ev:.3f} eV" for route in found.routes)
    why = "how stable it is there is not known, and hops from there could not be computed. Barriers are at least"
    return [f"The vacancy did not relax at {', '.join(lost)}: {why} {least}.", *told]
