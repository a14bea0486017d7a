"""Interstitial migration: stable interstitials, hops between them, and the best paths for each mechanism.

Direct and interstitialcy (knock-off) mechanisms: Shi et al., J. Am. Chem. Soc. 134, 15476 (2012), for lithium carbonate.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import CalculatorError, ConvergenceError, InputError, PhysicsError
from seiflow.properties.interstitial_migration.ends import hop_ends
from seiflow.properties.interstitial_migration.ground import Ground
from seiflow.properties.interstitial_migration.network import Hop, Network, hop_network
from seiflow.properties.interstitial_migration.percolation import ALL, deciding_hop, levels, next_hop, reach
from seiflow.properties.interstitial_migration.record import Attempt, InterstitialMigration, recorded, saddle_levels
from seiflow.properties.interstitial_migration.states import find_states
from seiflow.properties.migration.hop import Barrier, Frames, barrier_between, with_energy

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.settings import InterstitialMigrationSettings

SAME_STEP = 1e-3
"""Å; steps of ions closer than this are equally long."""

BEYOND_PERCOLATION = 1.1
"""How much longer than the network needs the steps of hops near a boundary may be, as for vacancies."""

MOST_EVALUATIONS = 600
"""For one hop near a boundary, as for vacancies by default."""


def interstitial_migration(
    ground: Ground, engine: "Engine", settings: "InterstitialMigrationSettings"
) -> "tuple[InterstitialMigration, list[Atoms]]":
    """Return the interstitial hops of a crystal, boundary or interface, and the structures of its states and hops.

    In a crystal those with short steps are computed. With boundaries only those are that can decide how an ion gets along them
    or across, until the others, at the energies of their ends, could not lower a barrier.

    Raises:
        InputError: if no hop is short enough.
        PhysicsError: if there is no stable interstitial.
    """
    states, failures = find_states(ground.starts, ground.lattice, engine, settings)
    longest = min(settings.longest_step, ground.image_distance_angstrom)
    network = hop_network(ground.lattice, states, longest)
    _refuse_no_hop(ground.name, network, longest, settings.cutoff)
    if ground.planar:
        needed = reach(network, ALL)
        longest = min(longest, settings.cutoff or BEYOND_PERCOLATION * needed)
        network = _up_to(longest, network)
        attempts = _attempts(network, engine, settings, partial(_deciding, _up_to(needed, network)), MOST_EVALUATIONS)
    else:
        attempts = _attempts(network, engine, settings, partial(next_hop, cutoff=settings.cutoff), None)
    untried = [f"{name} was not tried (settings: interstitial_migration.sites)" for name in ground.left_out]
    return recorded(ground, network, attempts, longest, [*failures, *untried]), _frames(network, attempts)


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


Choice = Callable[[Network, Mapping[str, float], list[str]], Hop | None]
"""Which hop is computed next, of a network whose saddles (eV, by hop) and failed hops are given; None if none is wanted."""


def _up_to(step: float, network: Network) -> Network:
    """Return a network with the hops in which no ion goes farther than a step (Å) only."""
    return replace(network, hops=tuple(hop for hop in network.hops if hop.longest_step_angstrom <= step + SAME_STEP))


def _deciding(short: Network, network: Network, saddles_ev: Mapping[str, float], failed: list[str]) -> Hop | None:
    """Return a hop that can lower a barrier, among the short ones as long as there is one."""
    return deciding_hop(short, saddles_ev, failed) or deciding_hop(network, saddles_ev, failed)


def _attempts(
    network: Network, engine: "Engine", settings: "InterstitialMigrationSettings", choose: Choice, most: int | None
) -> dict[str, Attempt]:
    """Compute hops until none that is wanted is left, each with so many evaluations at most.

    Bands, which cost most where a hop has no saddle of its own, are run only while no path in three dimensions is known.
    """
    attempts: dict[str, Attempt] = {}
    while len(attempts) < settings.most_hops:
        failed = [name for name, attempt in attempts.items() if isinstance(attempt, str)]
        saddles = saddle_levels(network, attempts)
        hop = choose(network, saddles, failed)
        if hop is None:
            break
        engine.report(f"{hop.hop}: {hop.mechanism}, {hop.distance_angstrom:.2f} Å")
        try:
            ends, only_way = hop_ends(network, hop), not np.isfinite(levels(network, ALL, saddles).dimensions[2])
            barrier, frames = barrier_between(
                ends, hop.hop, hop.distance_angstrom, engine, settings, band=only_way, most_evaluations=most
            )
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
