"""Whether a barrier that was found is that of the interstitial hop asked for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seiflow.properties.interstitial_migration.network import Hop, Network
    from seiflow.properties.migration.hop import Barrier, Frames


def unconverged(barrier: "Barrier", band_fmax: float) -> str | None:
    """Return what is wrong with a saddle whose forces are above those of a band, which counts them along its path only."""
    force = barrier.largest_force_ev_per_angstrom
    return f"the largest force at the saddle is {force:.3g} eV/Å, wanted at most {band_fmax:g}" if force > band_fmax else None


def other_way(network: "Network", hop: "Hop", barrier: "Barrier", frames: "Frames") -> str | None:
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
