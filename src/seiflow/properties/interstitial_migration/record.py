"""What is recorded of interstitial migration: states, hops and percolation barriers, with warnings."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.properties.defects.sets import NEUTRAL
from seiflow.properties.interstitial_migration.network import DIRECT, KNOCK_OFF, Hop, Network
from seiflow.properties.interstitial_migration.percolation import ALL, MECHANISMS, Percolation, floor, percolation
from seiflow.properties.interstitial_migration.states import State
from seiflow.properties.migration.hop import Barrier, Frames
from seiflow.properties.migration.routes import SAME_LEVEL

if TYPE_CHECKING:
    from seiflow.properties.interstitial_migration.ground import Ground

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
        distance_angstrom: Of the added ion from the nearest boundary; None in a crystal.
    """

    state: str
    started_from: tuple[str, ...]
    shares_a_site: bool
    energy_ev: float
    cell_energy_ev: float
    largest_force_ev_per_angstrom: float
    multiplicity: int
    position: tuple[float, float, float]
    distance_angstrom: float | None


@dataclass(frozen=True)
class HopSummary:
    """One hop as the record lists it.

    Attributes:
        distance_angstrom: How far the interstitial is carried.
        longest_step_angstrom: Of an ion, between a place or lattice site and the next.
        least_ev: What it costs at least, above the most stable interstitial: its level if that is known, or else that of its ends
            or of a plane that the ion must cross, but no more than a way over it.
        highest_ev: What it costs at most, likewise; None if that is not known.
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
    least_ev: float
    highest_ev: float | None
    barrier: Barrier | None
    problem: str | None


@dataclass(frozen=True)
class InterstitialMigration:
    """Interstitial hops and percolation barriers of a crystal, boundary or interface.

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


@dataclass(frozen=True)
class Computed:
    """What became of the hops of a network.

    Attributes:
        attempts: At those that were computed, by name.
        levels_ev: Of those that have a level by the mechanism asked for, by name, above the most stable interstitial.
        highest_ev: What hops cost at most, likewise, where that is known.
        least_ev: What hops cost at least, likewise, where more is known than the energies of their ends.
        warnings: Of the search.
    """

    attempts: Mapping[str, Attempt]
    levels_ev: Mapping[str, float]
    highest_ev: Mapping[str, float]
    least_ev: Mapping[str, float]
    warnings: tuple[str, ...] = ()


def saddle_levels(network: Network, attempts: Mapping[str, Attempt]) -> dict[str, float]:
    """Return the highest energies of the hops that have a barrier, above the most stable interstitial, eV, by name."""
    zero = network.states[0].energy_ev
    return {name: found[0].level_ev - zero for name, found in attempts.items() if not isinstance(found, str)}


def recorded(
    ground: "Ground", network: Network, computed: Computed, longest: float, warnings: list[str]
) -> InterstitialMigration:
    """Return what is recorded.

    Args:
        ground: What the ion was added to.
        network: States and hops.
        computed: What became of the hops.
        longest: Step of an ion in a hop that was looked at, Å.
        warnings: Of what came before.
    """
    highest = {ALL: computed.highest_ev, DIRECT: computed.levels_ev, KNOCK_OFF: computed.levels_ev}
    found = {name: percolation(network, name, highest[name], computed.least_ev) for name in MECHANISMS}
    summaries = [_summary(network, hop, computed) for hop in network.hops]
    everything, direct, knock_off = found.values()
    return InterstitialMigration(
        supercell=ground.expansion,
        atoms=len(ground.lattice.atoms) + 1,
        image_distance_angstrom=ground.image_distance_angstrom,
        longest_step_angstrom=longest,
        charge_state=NEUTRAL,
        states=tuple(_state(ground, network, number, state) for number, state in enumerate(network.states)),
        all=everything,
        direct=direct,
        knock_off=knock_off,
        hops=tuple(item for item in summaries if item.hop in computed.attempts),
        not_computed=tuple(item for item in summaries if item.hop not in computed.attempts),
        warnings=(*warnings, *_warnings(summaries), *(computed.warnings if ground.planar else _not_proved(found, summaries))),
    )


def _warnings(hops: list[HopSummary]) -> Iterator[str]:
    for hop in hops:
        if hop.problem and hop.problem != NOT_COMPUTED:
            told = "has no barrier" if hop.highest_ev is None else f"costs {_between(hop.least_ev, hop.highest_ev)} eV"
            yield f"{hop.hop} ({hop.mechanism}) {told}: {hop.problem}"
        if hop.barrier:
            yield from (f"{hop.hop}: {warning}" for warning in hop.barrier.warnings)
            if hop.barrier.intermediate_minima_ev:
                minima = ", ".join(f"{energy:.3f}" for energy in hop.barrier.intermediate_minima_ev)
                yield f"{hop.hop} passes intermediate minima at {minima} eV: it is several hops, and not all states may be listed"
            if min(hop.barrier.barrier_forward_ev, hop.barrier.barrier_backward_ev) < -BELOW:
                yield f"{hop.hop}: its saddle lies below one of its ends, which is therefore not the lowest state there"


def _between(least: float, highest: float) -> str:
    return f"{highest:.3f}" if highest <= least + SAME_LEVEL else f"{least:.3f} to {highest:.3f}"


def _not_proved(found: Mapping[str, Percolation], hops: list[HopSummary]) -> Iterator[str]:
    """Tell which hops of a crystal form no path in three dimensions, and how many might lower a barrier."""
    for name, result in found.items():
        if result.percolation_barrier_3d_ev is None:
            which = "all hops" if name == ALL else f"{name} hops"
            yield f"{which}: those computed do not percolate in three dimensions"
    left = sum(hop.problem == NOT_COMPUTED for hop in hops)
    if left:
        yield f"{left} hops with longer steps were not computed (not_computed); lower barriers are not excluded"


NOT_COMPUTED = "not computed"


def _summary(network: Network, hop: Hop, computed: Computed) -> HopSummary:
    attempt = computed.attempts.get(hop.hop)
    first, last = (network.states[network.places[number].state].state for number in (hop.initial, hop.final))
    return HopSummary(
        hop=hop.hop,
        mechanism=hop.mechanism,
        state_initial=first,
        state_final=last,
        distance_angstrom=hop.distance_angstrom,
        longest_step_angstrom=hop.longest_step_angstrom,
        multiplicity=hop.multiplicity,
        symmetric=bool(hop.exchanging),
        least_ev=computed.least_ev.get(hop.hop, floor(network, hop)),
        highest_ev=computed.highest_ev.get(hop.hop),
        barrier=attempt[0] if isinstance(attempt, tuple) else None,
        problem=NOT_COMPUTED if attempt is None else attempt if isinstance(attempt, str) else None,
    )


def _state(ground: "Ground", network: Network, number: int, state: State) -> StateSummary:
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
        distance_angstrom=ground.from_boundary(state.configuration.position),
    )
