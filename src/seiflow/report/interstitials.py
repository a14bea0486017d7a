"""The numbers of interstitial migration one by one, with their keys."""

from collections.abc import Iterator

from seiflow.report.interstitial_view import InterstitialHop, InterstitialMigration
from seiflow.report.migration_views import SETTLED
from seiflow.report.quantity import Quantity

HEADLINES = ("interstitial_percolation_3d_ev", "direct_percolation_3d_ev", "knock_off_percolation_3d_ev")
"""Keys of the barriers in three dimensions: over all hops, direct ones, knock-offs."""

PATHS = {
    "a": "interstitial_percolation_along_ev[a]",
    "b": "interstitial_percolation_along_ev[b]",
    "c": "interstitial_percolation_across_ev",
}
"""Keys of the barriers along and across boundaries, over all hops."""


def headlines(record: InterstitialMigration | None) -> tuple[str, ...]:
    """Return the keys of the numbers that a reader looks for first."""
    if record is None:
        return ()
    return tuple(PATHS.values()) if record.planar else HEADLINES


def numbers(record: InterstitialMigration | None) -> Iterator[Quantity]:
    """Yield every number of a record with its key; none if there is no record."""
    if record is None:
        return
    for state in record.states:
        yield Quantity(f"interstitial_state_energy_ev[{state.state}]", state.energy_ev)
        if state.distance_angstrom is not None:
            yield Quantity(f"interstitial_state_distance_angstrom[{state.state}]", state.distance_angstrom)
    for hop in record.hops:
        which = f"[{hop.hop} {hop.mechanism}]"
        if hop.barrier:
            yield Quantity(f"interstitial_barrier_forward_ev{which}", hop.barrier.barrier_forward_ev)
            yield Quantity(f"interstitial_barrier_backward_ev{which}", hop.barrier.barrier_backward_ev)
        yield Quantity(f"interstitial_hop_distance_angstrom{which}", hop.distance_angstrom)
    yield from paths_of(record) if record.planar else _bulk(record)


def _bulk(record: InterstitialMigration) -> Iterator[Quantity]:
    for key, found in zip(HEADLINES, (record.all, record.direct, record.knock_off), strict=True):
        for axis, barrier in found.percolation_barrier_ev.items():
            yield Quantity(f"{key.replace('_3d', '')}[{axis}]", barrier)
        yield Quantity(key, found.percolation_barrier_3d_ev)


def paths_of(record: InterstitialMigration) -> Iterator[Quantity]:
    """Yield the barriers along and across boundaries, as ranges where they are not proved."""
    for axis, key in PATHS.items():
        barrier, least = record.all.percolation_barrier_ev[axis], record.all.least_possible_ev[axis]
        yield _quantity(key, least, barrier)


def in_three_dimensions(record: InterstitialMigration) -> Quantity:
    """Return the barrier of a crystal over all hops, as a range where it is not proved."""
    return _quantity(HEADLINES[0], record.all.least_possible_3d_ev, record.all.percolation_barrier_3d_ev)


def known_hops(record: InterstitialMigration) -> list[tuple[InterstitialHop, Quantity]]:
    """Return the hops that were computed or over which a way is known, with what they cost."""
    known = [*record.hops, *(hop for hop in record.not_computed if hop.highest_ev is not None)]
    return [(hop, _quantity("hop_level_ev", hop.least_ev, hop.highest_ev)) for hop in known]


def _quantity(key: str, least: float | None, highest: float | None) -> Quantity:
    settled = highest is not None and least is not None and highest <= least + SETTLED
    return Quantity(key, highest, None if settled else least)
