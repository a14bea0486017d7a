"""Interstitial hops that decide how an added ion gets along a boundary or interface, and across it.

The search is that of vacancies (:mod:`~seiflow.properties.migration.search`), over places of the added ion instead of sites. The
two places of a shared site are joined at the energy of their state, because either ion may leave.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from seiflow.errors import PhysicsError
from seiflow.properties.interstitial_migration.checks import other_way, unconverged
from seiflow.properties.interstitial_migration.ends import hop_ends
from seiflow.properties.interstitial_migration.network import Hop, Network
from seiflow.properties.interstitial_migration.percolation import bridges, floor
from seiflow.properties.interstitial_migration.record import Attempt, Computed
from seiflow.properties.migration.planar_hops import PlanarHops
from seiflow.properties.migration.routes import estimates_disproved, ranges
from seiflow.properties.migration.search import Ways, search

if TYPE_CHECKING:
    from seiflow.engine import Engine
    from seiflow.properties.migration.hop import Barrier, Frames
    from seiflow.properties.migration.states import Ends
    from seiflow.settings import InterstitialMigrationSettings


class AddedIonHops(PlanarHops[Hop]):
    """Hops of an added ion, direct and by knock-off.

    Attributes:
        other_ways: Why the way found over a hop is not the one asked for, by name; its level counts all the same.
    """

    def __init__(self, network: Network, engine: "Engine", settings: "InterstitialMigrationSettings") -> None:
        """Take places and hops, what evaluates, and limits."""
        super().__init__(engine, settings)
        self._network = network
        self.other_ways: dict[str, str] = {}

    def ends(self, hop: Hop) -> "Ends":
        """Return the two states of a hop."""
        return hop_ends(self._network, hop)

    def one_state(self, ends: "Ends") -> bool:  # noqa: ARG002 - as the class above has it
        """Tell that no two states are one: they were told apart before."""
        return False

    def described(self, hop: Hop) -> str:
        """Return the hop in words."""
        return f"{hop.hop}: {hop.mechanism}, {hop.distance_angstrom:.2f} Å"

    def check_barrier(self, hop: Hop, barrier: "Barrier", frames: "Frames") -> None:
        """Refuse a saddle that is not converged, and note a direct hop whose way is a chain of knock-offs."""
        if text := unconverged(barrier, self._settings.band_fmax):
            raise PhysicsError(text)
        if text := other_way(self._network, hop, barrier, frames):
            self.other_ways[hop.hop] = text


def deciding_hops(network: Network, engine: "Engine", settings: "InterstitialMigrationSettings") -> Computed:
    """Compute the hops that decide the percolation barriers, until no other one could lower them or the limits are reached."""
    work = AddedIonHops(network, engine, settings)
    zero = network.states[0].energy_ev
    ways = Ways(
        network.hops,
        {hop.hop: floor(network, hop) + zero for hop in network.hops},
        zero,
        [replace(edge, level=edge.level + zero) for edge in bridges(network)],
    )
    most, before = settings.most_evaluations, engine.force_evaluations

    def go_on() -> bool:
        return len(work.begun) < settings.most_hops and (most is None or engine.force_evaluations - before < most)

    found = search(ways, work, go_on)
    attempts: dict[str, Attempt] = {failed.hop: failed.reason for failed in found.failed}
    attempts |= {hop.hop: hop.method for hop in work.summaries}
    attempts |= {name: (barrier, frames) for (name, barrier), frames in zip(work.barriers.items(), work.frames, strict=True)}
    told = [f"{name}: {text}" for name, barrier in work.barriers.items() if name in work.other_ways for text in barrier.warnings]
    return Computed(
        attempts=attempts | work.other_ways,
        levels_ev={name: level - zero for name, level in found.levels.items() if name not in work.other_ways},
        highest_ev={name: level - zero for name, level in found.highest.items()},
        least_ev={name: level - zero for name, level in found.least.items()},
        warnings=(*told, *estimates_disproved(found), *ranges(found)),
    )
