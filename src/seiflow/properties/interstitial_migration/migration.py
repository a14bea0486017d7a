"""Interstitial migration in a crystal: stable interstitials, hops between them, and the best paths for each mechanism.

Direct and interstitialcy (knock-off) mechanisms: Shi et al., J. Am. Chem. Soc. 134, 15476 (2012), for lithium carbonate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import CalculatorError, ConvergenceError, InputError, PhysicsError
from seiflow.properties.defects.host import make_host
from seiflow.properties.defects.sets import NEUTRAL
from seiflow.properties.interstitial_migration.ends import hop_ends
from seiflow.properties.interstitial_migration.lattice import Lattice
from seiflow.properties.interstitial_migration.network import Hop, Network, hop_network
from seiflow.properties.interstitial_migration.percolation import (
    ALL,
    MECHANISMS,
    Percolation,
    levels,
    next_hop,
    percolation,
)
from seiflow.properties.interstitial_migration.states import State, find_states
from seiflow.properties.migration.hop import Barrier, Frames, barrier_between, with_energy
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.structures.supercell import refuse_shared_neighbours

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.properties.defects.host import Host
    from seiflow.settings import InterstitialMigrationSettings
    from seiflow.structures.recipes import PhaseRecipe

BELOW = 0.005
"""eV; a saddle lower than an end of its hop by more shows that the end is not the lowest of its kind."""


@dataclass(frozen=True)
class StateSummary:
    """A stable interstitial as the record lists it.

    Attributes:
        state: Its name.
        started_from: Geometric sites that relaxed into it.
        shares_a_site: Whether it is split: two ions at one lattice site.
        energy_ev: Above the most stable one.
        multiplicity: Images of it in the supercell.
        position: Of the added ion, in fractions of the supercell.
    """

    state: str
    started_from: tuple[str, ...]
    shares_a_site: bool
    energy_ev: float
    cell_energy_ev: float
    largest_force_ev_per_angstrom: float
    multiplicity: int
    position: tuple[float, float, float]


@dataclass(frozen=True)
class HopSummary:
    """One hop as the record lists it.

    Attributes:
        distance_angstrom: How far the interstitial is carried.
        longest_step_angstrom: Of an ion, between a place or lattice site and the next.
        barrier: With its proof; None if there is none.
        problem: Why there is none.
    """

    hop: str
    mechanism: str
    state_initial: str
    state_final: str
    distance_angstrom: float
    longest_step_angstrom: float
    multiplicity: int
    symmetric: bool
    barrier: Barrier | None
    problem: str | None


@dataclass(frozen=True)
class InterstitialMigration:
    """Interstitial hops and percolation barriers of a crystal.

    Attributes:
        all: Percolation over all hops.
        direct: Where the added ion stays the same one.
        knock_off: Where lattice ions are pushed on.
        hops: Those computed, and those that failed.
        not_computed: The other hops with steps up to ``longest_step_angstrom``.
        charge_state: Of the cells.
    """

    supercell: tuple[int, int, int]
    atoms: int
    image_distance_angstrom: float
    longest_step_angstrom: float
    charge_state: str
    states: tuple[StateSummary, ...]
    all: Percolation
    direct: Percolation
    knock_off: Percolation
    hops: tuple[HopSummary, ...]
    not_computed: tuple[HopSummary, ...]
    warnings: tuple[str, ...]


Attempt = tuple[Barrier, Frames] | str
"""The barrier of a hop and its structures, or why there is none."""


def interstitial_migration(
    crystal: "Atoms", recipe: "PhaseRecipe", engine: "Engine", settings: "InterstitialMigrationSettings"
) -> "tuple[InterstitialMigration, list[Atoms]]":
    """Return the interstitial hops of a relaxed crystal, and the structures of its states and hops.

    Raises:
        InputError: if the recipe names no mobile ion, images of it share neighbours, or no hop is short enough.
        PhysicsError: if there is no stable interstitial.
    """
    if recipe.mobile is None:
        message = f"{recipe.name}: the recipe names no mobile species"
        raise InputError(message)
    host = interstitial_host(crystal, recipe, settings)
    ions = np.flatnonzero(host.atoms.symbols == recipe.mobile)
    lattice = Lattice(host.atoms, site_symmetry(host.atoms), recipe.mobile, ions)
    states, failures = find_states(host, lattice, engine, settings)
    longest = min(settings.longest_step, host.image_distance_angstrom)
    network = hop_network(lattice, states, longest)
    _refuse_no_hop(recipe.name, network, longest, settings.cutoff)
    attempts = _attempts(network, engine, settings)
    left_out = [site.name for site in host.sites(recipe.mobile)[settings.sites :]]
    untried = [f"{name} was not tried (settings: interstitial_migration.sites)" for name in left_out]
    return _reduced(host, network, attempts, longest, [*failures, *untried]), _frames(network, attempts)


def interstitial_host(crystal: "Atoms", recipe: "PhaseRecipe", settings: "InterstitialMigrationSettings") -> "Host":
    """Return the supercell that ions are added to.

    Raises:
        InputError: if images of an ion added share neighbours.
    """
    host = make_host(crystal, recipe, settings.image_distance)
    apart, contact = host.image_distance_angstrom, host.contact_angstrom
    refuse_shared_neighbours(recipe.name, apart, contact, "interstitial_migration.image_distance")
    return host


def _refuse_no_hop(name: str, network: Network, longest: float, cutoff: float | None) -> None:
    """Refuse limits of the length of hops that leave none."""
    shortest = min((hop.longest_step_angstrom for hop in network.hops), default=None)
    if shortest is None:
        message = f"{name}: there is no hop with steps up to {longest:.2f} Å (settings: interstitial_migration.longest_step)"
        raise InputError(message)
    if cutoff is not None and cutoff < shortest:
        message = (
            f"{name}: there is no hop with steps up to {cutoff:g} Å; the shortest has one of {shortest:.3f} Å "
            "(settings: interstitial_migration.cutoff, null finds it)"
        )
        raise InputError(message)


def _attempts(network: Network, engine: "Engine", settings: "InterstitialMigrationSettings") -> dict[str, Attempt]:
    """Compute hops, the shortest first, until nothing that is wanted is left.

    Bands, which cost most where a hop has no saddle of its own, are run only while no path in three dimensions is known.
    """
    attempts: dict[str, Attempt] = {}
    while len(attempts) < settings.most_hops:
        failed = [name for name, attempt in attempts.items() if isinstance(attempt, str)]
        saddles = _saddles(network, attempts)
        hop = next_hop(network, saddles, failed, settings.cutoff)
        if hop is None:
            break
        engine.report(f"{hop.hop}: {hop.mechanism}, {hop.distance_angstrom:.2f} Å")
        try:
            ends, only_way = hop_ends(network, hop), not np.isfinite(levels(network, ALL, saddles).dimensions[2])
            barrier, frames = barrier_between(ends, hop.hop, hop.distance_angstrom, engine, settings, band=only_way)
            refused = _unconverged(barrier, settings.band_fmax) or _other_way(network, hop, barrier, frames)
            attempts[hop.hop] = refused or (barrier, frames)
        except (PhysicsError, ConvergenceError, CalculatorError) as error:
            engine.report(f"{hop.hop} failed: {error}")
            attempts[hop.hop] = str(error)
    return attempts


def _unconverged(barrier: Barrier, band_fmax: float) -> str | None:
    """Return what is wrong with a saddle whose forces are above those of a band, which counts them along its path only."""
    force = barrier.largest_force_ev_per_angstrom
    return f"the largest force at the saddle is {force:.3g} eV/Å, wanted at most {band_fmax:g}" if force > band_fmax else None


def _other_way(network: Network, hop: Hop, barrier: Barrier, frames: Frames) -> str | None:
    """Return why the way found is not one on which the added ion stays the added one, None if it is or need not be."""
    if hop.pushed is not None:
        return None
    added = len(network.lattice.atoms)
    if all(added in network.lattice.added(minimum) for minimum in frames.minima):
        return None
    text = f"the way found, over {barrier.barrier_forward_ev:.3f} eV, passes a state in which another ion is the added one: "
    text += "it is a chain of knock-offs"
    if barrier.straight_barrier_ev is not None:
        text += f". The point on the straight line, at {barrier.straight_barrier_ev:.3f} eV, has "
        text += f"{barrier.straight_negative_modes} negative modes"
    return text


def _saddles(network: Network, attempts: Mapping[str, Attempt]) -> dict[str, float]:
    zero = network.states[0].energy_ev
    return {name: found[0].level_ev - zero for name, found in attempts.items() if not isinstance(found, str)}


def _reduced(
    host: "Host", network: Network, attempts: Mapping[str, Attempt], longest: float, warnings: list[str]
) -> InterstitialMigration:
    saddles = _saddles(network, attempts)
    found = {name: percolation(network, name, saddles) for name in MECHANISMS}
    summaries = [_summary(network, hop, attempts.get(hop.hop)) for hop in network.hops]
    everything, direct, knock_off = found.values()
    return InterstitialMigration(
        supercell=host.expansion,
        atoms=len(host.atoms) + 1,
        image_distance_angstrom=host.image_distance_angstrom,
        longest_step_angstrom=longest,
        charge_state=NEUTRAL,
        states=tuple(_state(network, number, state) for number, state in enumerate(network.states)),
        all=everything,
        direct=direct,
        knock_off=knock_off,
        hops=tuple(item for item in summaries if item.hop in attempts),
        not_computed=tuple(item for item in summaries if item.hop not in attempts),
        warnings=(*warnings, *_warnings(found, summaries)),
    )


def _warnings(found: Mapping[str, Percolation], hops: list[HopSummary]) -> Iterator[str]:
    for hop in hops:
        if hop.problem and hop.problem != NOT_COMPUTED:
            yield f"{hop.hop} ({hop.mechanism}) failed: {hop.problem}"
        if hop.barrier:
            yield from (f"{hop.hop}: {warning}" for warning in hop.barrier.warnings)
            if hop.barrier.intermediate_minima_ev:
                minima = ", ".join(f"{energy:.3f}" for energy in hop.barrier.intermediate_minima_ev)
                yield f"{hop.hop} passes intermediate minima at {minima} eV: it is several hops, and not all states may be listed"
            if min(hop.barrier.barrier_forward_ev, hop.barrier.barrier_backward_ev) < -BELOW:
                yield f"{hop.hop}: its saddle lies below one of its ends, which is therefore not the lowest state there"
    for name, result in found.items():
        if result.percolation_barrier_3d_ev is None:
            which = "all hops" if name == ALL else f"{name} hops"
            yield f"{which}: those computed do not percolate in three dimensions"
    left = sum(hop.problem == NOT_COMPUTED for hop in hops)
    if left:
        yield f"{left} hops with longer steps were not computed (not_computed); lower barriers are not excluded"


NOT_COMPUTED = "not computed"


def _summary(network: Network, hop: Hop, attempt: Attempt | None) -> HopSummary:
    first, last = (network.states[network.places[number].state].state for number in (hop.initial, hop.final))
    return HopSummary(
        hop=hop.hop,
        mechanism=hop.mechanism,
        state_initial=first,
        state_final=last,
        distance_angstrom=hop.distance_angstrom,
        longest_step_angstrom=hop.longest_step_angstrom,
        multiplicity=len(hop.bonds),
        symmetric=bool(hop.exchanging),
        barrier=attempt[0] if isinstance(attempt, tuple) else None,
        problem=NOT_COMPUTED if attempt is None else attempt if isinstance(attempt, str) else None,
    )


def _state(network: Network, number: int, state: State) -> StateSummary:
    places = sum(place.state == number for place in network.places)
    x, y, z = np.linalg.solve(network.lattice.atoms.cell.array.T, state.configuration.position).tolist()
    return StateSummary(
        state=state.state,
        started_from=state.sites,
        shares_a_site=state.shared is not None,
        energy_ev=state.energy_ev - network.states[0].energy_ev,
        cell_energy_ev=state.energy_ev,
        largest_force_ev_per_angstrom=state.largest_force_ev_per_angstrom,
        multiplicity=places if state.shared is None else places // 2,
        position=(x % 1, y % 1, z % 1),
    )


def _frames(network: Network, attempts: Mapping[str, Attempt]) -> "list[Atoms]":
    """Return the relaxed states, then initial state, saddle and final state of each hop, the added ion the last atom."""
    frames = []
    for state in network.states:
        atoms = with_energy(network.lattice.structure(state.configuration), state.energy_ev)
        atoms.info["state"] = state.state
        frames.append(atoms)
    for name, found in attempts.items():
        if not isinstance(found, str):
            parts = {"initial": found[1].initial, "saddle": found[1].saddle, "final": found[1].final}
            for what, atoms in parts.items():
                atoms.info |= {"hop": name, "frame": what}
                frames.append(atoms)
    return frames
