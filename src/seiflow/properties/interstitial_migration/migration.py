"""Interstitial migration: stable interstitials, hops between them, and the best paths for each mechanism.

Direct and interstitialcy (knock-off) mechanisms: Shi et al., J. Am. Chem. Soc. 134, 15476 (2012), for lithium carbonate.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import CalculatorError, ConvergenceError, InputError, PhysicsError
from seiflow.properties.interstitial_migration.checks import other_way, unconverged
from seiflow.properties.interstitial_migration.ends import hop_ends
from seiflow.properties.interstitial_migration.ground import Ground
from seiflow.properties.interstitial_migration.network import Network, hop_network
from seiflow.properties.interstitial_migration.percolation import ALL, levels, next_hop, reach
from seiflow.properties.interstitial_migration.planar import deciding_hops
from seiflow.properties.interstitial_migration.record import Attempt, Computed, InterstitialMigration, recorded, saddle_levels
from seiflow.properties.interstitial_migration.states import find_states
from seiflow.properties.migration.hop import barrier_between, with_energy
from seiflow.properties.migration.planar import BEYOND_PERCOLATION

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.settings import InterstitialMigrationSettings

SAME_STEP = 1e-3
"""Å; steps of ions closer than this are equally long."""


def interstitial_migration(
    ground: Ground, engine: "Engine", settings: "InterstitialMigrationSettings"
) -> "tuple[InterstitialMigration, list[Atoms]]":
    """Return the interstitial hops of a crystal, boundary or interface, and the structures of its states and hops.

    In a crystal those with short steps are computed. With boundaries only those are that can decide how an ion gets along them
    or across, until the others, at their bounds, could not lower a barrier.

    Raises:
        InputError: if no hop is short enough.
        PhysicsError: if there is no stable interstitial.
    """
    states, failures = find_states(ground.starts, ground.lattice, engine, settings)
    longest = min(settings.longest_step, ground.image_distance_angstrom)
    network = hop_network(ground.lattice, states, longest)
    _refuse_no_hop(ground.name, network, longest, settings.cutoff)
    if ground.planar:
        longest = min(longest, settings.cutoff or BEYOND_PERCOLATION * reach(network, ALL))
        network = _up_to(longest, network)
        computed = deciding_hops(network, engine, settings)
    else:
        computed = _shortest_hops(network, engine, settings)
    untried = [f"{name} was not tried (settings: interstitial_migration.sites)" for name in ground.left_out]
    return recorded(ground, network, computed, longest, [*failures, *untried]), _frames(network, computed.attempts)


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


def _up_to(step: float, network: Network) -> Network:
    """Return a network with the hops in which no ion goes farther than a step (Å) only."""
    return replace(network, hops=tuple(hop for hop in network.hops if hop.longest_step_angstrom <= step + SAME_STEP))


def _shortest_hops(network: Network, engine: "Engine", settings: "InterstitialMigrationSettings") -> Computed:
    """Compute hops of a crystal, the shortest first, until none that is wanted is left.

    Bands, which cost most where a hop has no saddle of its own, are run only while no path in three dimensions is known.
    """
    attempts: dict[str, Attempt] = {}
    while len(attempts) < settings.most_hops:
        failed = [name for name, attempt in attempts.items() if isinstance(attempt, str)]
        saddles = saddle_levels(network, attempts)
        hop = next_hop(network, saddles, failed, settings.cutoff)
        if hop is None:
            break
        engine.report(f"{hop.hop}: {hop.mechanism}, {hop.distance_angstrom:.2f} Å")
        try:
            ends, only_way = hop_ends(network, hop), not np.isfinite(levels(network, ALL, saddles).dimensions[2])
            barrier, frames = barrier_between(ends, hop.hop, hop.distance_angstrom, engine, settings, band=only_way)
            refused = unconverged(barrier, settings.band_fmax) or other_way(network, hop, barrier, frames)
            attempts[hop.hop] = refused or (barrier, frames)
        except (PhysicsError, ConvergenceError, CalculatorError) as error:
            engine.report(f"{hop.hop} failed: {error}")
            attempts[hop.hop] = str(error)
    saddles = saddle_levels(network, attempts)
    return Computed(attempts, levels_ev=saddles, highest_ev=saddles, least_ev=saddles)


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
