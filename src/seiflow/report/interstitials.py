"""The numbers of interstitial migration one by one, with their keys."""

from collections.abc import Iterator

from seiflow.report.views import InterstitialMigration

HEADLINES = ("interstitial_percolation_3d_ev", "direct_percolation_3d_ev", "knock_off_percolation_3d_ev")
"""Keys of the barriers in three dimensions: over all hops, direct ones, knock-offs."""


def numbers(record: InterstitialMigration | None) -> Iterator[tuple[str, float | None]]:
    """Yield every number of a record with its key; none if there is no record."""
    if record is None:
        return
    for state in record.states:
        yield f"interstitial_state_energy_ev[{state.state}]", state.energy_ev
    for hop in record.hops:
        which = f"[{hop.hop} {hop.mechanism}]"
        if hop.barrier:
            yield f"interstitial_barrier_forward_ev{which}", hop.barrier.barrier_forward_ev
            yield f"interstitial_barrier_backward_ev{which}", hop.barrier.barrier_backward_ev
        yield f"interstitial_hop_distance_angstrom{which}", hop.distance_angstrom
    for key, found in zip(HEADLINES, (record.all, record.direct, record.knock_off), strict=True):
        for axis, barrier in found.percolation_barrier_ev.items():
            yield f"{key.replace('_3d', '')}[{axis}]", barrier
        yield key, found.percolation_barrier_3d_ev
