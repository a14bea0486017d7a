"""Migration barriers of a structure: its hops together, and the bottleneck of the best path through them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from seiflow.properties.migration.network import Network
from seiflow.properties.migration.percolation import Edge, thresholds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class HopResult:
    """What percolation needs of a computed hop; energies in eV."""

    method: str
    barrier_forward_ev: float
    barrier_backward_ev: float
    saddle_energy_ev: float
    initial_energy_ev: float
    final_energy_ev: float
    charge_state: str
    warnings: tuple[str, ...]
    larger_barrier_change_ev: float | None = None

    @property
    def level_ev(self) -> float:
        """The highest energy of the hop, that of an end if the saddle lies below it."""
        return max(self.saddle_energy_ev, self.initial_energy_ev, self.final_energy_ev)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Take it from the record of a hop."""
        fields = {name: record[name] for name in cls.__dataclass_fields__ if name in record}
        larger = record["larger"]["barrier_change_ev"] if record.get("larger") else None
        return cls(**fields | {"warnings": tuple(record["warnings"]), "larger_barrier_change_ev": larger})


@dataclass(frozen=True)
class HopSummary:
    """One hop in the table of a structure; the change of its forward barrier in a larger supercell if that was asked for."""

    hop: str
    distance_angstrom: float
    multiplicity: int
    method: str
    barrier_forward_ev: float
    barrier_backward_ev: float
    larger_barrier_change_ev: float | None = None


@dataclass(frozen=True)
class Migration:
    """Hops and percolation barriers of a structure.

    Attributes:
        percolation_barrier_ev: For each cell vector a, b, c: the saddle, above the most stable vacancy, that a path with a
            net translation along it cannot avoid.
        percolation_barrier_1d_ev: The same for a path that is infinite in at least one dimension; 2d and 3d likewise.
    """

    supercell: "NDArray[np.int64]"
    image_distance_angstrom: float
    cutoff_angstrom: float
    charge_state: str
    hops: tuple[HopSummary, ...]
    percolation_barrier_ev: dict[str, float]
    percolation_barrier_1d_ev: float
    percolation_barrier_2d_ev: float
    percolation_barrier_3d_ev: float
    warnings: tuple[str, ...]


def migration(network: Network, barriers: Mapping[str, HopResult]) -> Migration:
    """Return the percolation barriers of a network whose hops have all been computed."""
    lowest = min(min(barrier.initial_energy_ev, barrier.final_energy_ev) for barrier in barriers.values())
    edges = [
        Edge(first, second, offset, barriers[hop.hop].level_ev - lowest)
        for hop in network.hops
        for first, second, offset in hop.edges
    ]
    sites = {site for edge in edges for site in (edge.first, edge.second)}
    found = thresholds(sites, edges)
    summaries = [
        HopSummary(
            hop.hop,
            hop.distance_angstrom,
            hop.multiplicity,
            barriers[hop.hop].method,
            barriers[hop.hop].barrier_forward_ev,
            barriers[hop.hop].barrier_backward_ev,
            barriers[hop.hop].larger_barrier_change_ev,
        )
        for hop in network.hops
    ]
    return Migration(
        supercell=network.supercell,
        image_distance_angstrom=network.image_distance_angstrom,
        cutoff_angstrom=network.cutoff_angstrom,
        charge_state=next(iter(barriers.values())).charge_state,
        hops=tuple(summaries),
        percolation_barrier_ev=dict(zip("abc", found.along, strict=True)),
        percolation_barrier_1d_ev=found.dimensions[0],
        percolation_barrier_2d_ev=found.dimensions[1],
        percolation_barrier_3d_ev=found.dimensions[2],
        warnings=tuple(f"{name}: {warning}" for name, barrier in barriers.items() for warning in barrier.warnings),
    )
