"""The bottlenecks of infinite paths over interstitial hops of which something is known, for each mechanism and for all together.

In the network of *direct* hops the added ion stays the added one, so the two places at a shared site are not joined: the other
ion there is a lattice ion. In those of *knock-off* and of *all* hops they are: either ion may leave.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from seiflow.properties.interstitial_migration.network import DIRECT, KNOCK_OFF, SHARED, Hop, Network
from seiflow.properties.migration.percolation import Edge, Thresholds, thresholds

ALL = "all"

MECHANISMS: Mapping[str, frozenset[str]] = {
    ALL: frozenset({DIRECT, KNOCK_OFF, SHARED}),
    DIRECT: frozenset({DIRECT, SHARED}),
    KNOCK_OFF: frozenset({KNOCK_OFF, SHARED}),
}
"""The hops of each network."""


@dataclass(frozen=True)
class Percolation:
    """Percolation barriers of one network, above the most stable interstitial; None where no path was found.

    Attributes:
        percolation_barrier_ev: For each cell vector a, b, c: the level that a path with a net translation along it cannot avoid.
        percolation_barrier_1d_ev: The same for a path that is infinite in at least one dimension; 2d and 3d likewise.
        least_possible_ev: What each of these could fall to at most if the hops that were looked at but not computed cost no more
            than what is known: the energies of their ends, or of a plane that the ion must cross.
        least_possible_3d_ev: The same of the barrier in three dimensions.
    """

    percolation_barrier_ev: dict[str, float | None]
    percolation_barrier_1d_ev: float | None
    percolation_barrier_2d_ev: float | None
    percolation_barrier_3d_ev: float | None
    least_possible_ev: dict[str, float | None]
    least_possible_3d_ev: float | None


def percolation(
    network: Network, name: str, highest_ev: Mapping[str, float], least_ev: Mapping[str, float] | None = None
) -> Percolation:
    """Return the percolation barriers of one network.

    Args:
        network: Places and hops.
        name: Of the network, one of ``MECHANISMS``.
        highest_ev: What hops cost at most, by name, above the most stable state, where that is known.
        least_ev: What they cost at least, likewise; by default the same. Of others it is what their ends cost.
    """
    found = levels(network, name, highest_ev)
    ends = {hop.hop: floor(network, hop) for hop in network.hops}
    bound = levels(network, name, ends | dict(highest_ev if least_ev is None else least_ev))
    first, second, third = (_finite(level) for level in found.dimensions)
    along, least = ({axis: _finite(level) for axis, level in zip("abc", each.along, strict=True)} for each in (found, bound))
    return Percolation(along, first, second, third, least, _finite(bound.dimensions[2]))


def levels(network: Network, name: str, level_of: Mapping[str, float]) -> Thresholds:
    """Return the thresholds of a network made of the hops that have a level."""
    edges = [
        Edge(first, second, offset, level_of[hop.hop])
        for hop in network.hops
        if hop.hop in level_of and hop.mechanism in MECHANISMS[name]
        for first, second, offset in hop.edges
    ]
    if name != DIRECT:
        edges += bridges(network)
    return thresholds([place.number for place in network.places], edges)


def bridges(network: Network) -> list[Edge]:
    """Return what joins the two places of each shared site, at the energy of its state above the most stable one."""
    zero = network.states[0].energy_ev
    return [
        Edge(first, second, offset, network.states[network.places[first].state].energy_ev - zero)
        for first, second, offset in network.bridges
    ]


def floor(network: Network, hop: Hop) -> float:
    """Return the energy that no saddle of a hop can lie below: that of its higher end, above the most stable state, eV."""
    ends = (network.places[number].state for number in (hop.initial, hop.final))
    return max(network.states[state].energy_ev for state in ends) - network.states[0].energy_ev


def reach(network: Network, name: str, failed: Collection[str] = ()) -> float:
    """Return the longest step (Å) that a path in as many dimensions as there is one cannot avoid; 0 if there is none."""
    lengths = {hop.hop: hop.longest_step_angstrom for hop in network.hops if hop.hop not in failed}
    return max((level for level in levels(network, name, lengths).dimensions if np.isfinite(level)), default=0.0)


def next_hop(network: Network, saddles_ev: Mapping[str, float], failed: Collection[str], cutoff: float | None) -> Hop | None:
    """Return the shortest hop that is still to be computed, None if there is none.

    Of each mechanism these are the hops up to the cut-off; without one, up to the longest step that a path in three dimensions
    cannot avoid, or in as many dimensions as there is one, hops that failed left out. A hop is left out where its higher end lies
    above the barriers of all networks that it belongs to.
    """
    lengths = {hop.hop: hop.longest_step_angstrom for hop in network.hops if hop.hop not in failed}
    wanted: set[str] = set()
    for name in (DIRECT, KNOCK_OFF):
        longest = reach(network, name, failed) if cutoff is None else cutoff
        barrier = levels(network, name, saddles_ev).dimensions[2]
        wanted |= {
            hop.hop
            for hop in network.hops
            if hop.mechanism in MECHANISMS[name] and lengths.get(hop.hop, np.inf) <= longest and floor(network, hop) < barrier
        }
    left = [hop for hop in network.hops if hop.hop in wanted and hop.hop not in saddles_ev]
    return min(left, key=lambda hop: hop.longest_step_angstrom, default=None)


def _finite(level: float) -> float | None:
    return float(level) if np.isfinite(level) else None
