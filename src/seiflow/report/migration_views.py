"""The records of hops as types: what the report reads of them, checked when they are read."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from seiflow.report.views import Band, HopSummary, Record
from seiflow.report.wording import show_least

Offset = tuple[int, int, int]

Ends = tuple[int, int, Offset]
"""First site, second site, and in which cell the second one is."""

SETTLED = 1e-6
"""eV; a barrier that close to its lower bound is proved."""

AXES = {"a": "along a", "b": "along b", "c": "across"}
"""What the cell vectors of a structure with a plane mean."""


class HopEdges(BaseModel):
    """All hops of one class, in the supercell of ``hops.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hop: str
    site_initial: str
    site_final: str
    edges: tuple[Ends, ...]


class NamedSite(BaseModel):
    """The site that stands for its equals."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    site: str
    index: int


class HopNetwork(Record):
    """``hops.json``."""

    mobile: str
    atoms: int
    supercell: tuple[tuple[int, int, int], tuple[int, int, int], tuple[int, int, int]]
    sites: tuple[NamedSite, ...]
    hops: tuple[HopEdges, ...]


class CheckedHop(BaseModel):
    """Single points of one hop at the structures of a cheaper calculator."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hop: str
    barrier_forward_ev: float
    barrier_backward_ev: float
    cheaper_forward_ev: float
    cheaper_backward_ev: float
    before_ev: float
    after_ev: float
    largest_force_ev_per_angstrom: float


class BarrierCheck(Record):
    """``barrier_check.json``."""

    cheaper: str
    hops: tuple[CheckedHop, ...]


class BulkBarrier(BaseModel):
    """Percolation barrier, in three dimensions, of a phase the structure is made of."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    phase: str
    percolation_barrier_3d_ev: float | None


class Passage(BaseModel):
    """One hop of a path."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hop: str
    first: int
    second: int
    offset: Offset
    level_ev: float


class Route(BaseModel):
    """The best path along one cell vector."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    axis: str
    passages: tuple[Passage, ...]


class FailedHop(BaseModel):
    """A hop that could not be computed, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hop: str
    reason: str
    bound_ev: float


class SiteState(NamedSite):
    """A site with its vacancy, which may have moved away; the energy is None where it did not relax."""

    energy_ev: float | None
    stays: bool


class PlanarHop(HopEdges):
    """All hops of one class between sites near a plane; ceiling and level are None where they are not known."""

    distance_angstrom: float
    bound_ev: float
    ceiling_ev: float | None
    level_ev: float | None


class Barriers(BaseModel):
    """Percolation barriers along the cell vectors; None where no path is known."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    a: float | None
    b: float | None
    c: float | None


class Bounds(BaseModel):
    """What no path along the cell vectors can be below."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    a: float
    b: float
    c: float


@dataclass(frozen=True)
class Percolation:
    """A percolation barrier as far as it is known: a number, a range, or only what it is not below."""

    axis: str
    barrier_ev: float | None
    lower_bound_ev: float

    @property
    def settled(self) -> bool:
        """Whether the barrier is proved."""
        return self.barrier_ev is not None and self.barrier_ev <= self.lower_bound_ev + SETTLED

    @property
    def text(self) -> str:
        """The barrier with its unit."""
        return show_least(self.barrier_ev, None if self.settled else self.lower_bound_ev, "eV")


class PlanarMigration(Record):
    """``migration.json`` of a boundary or interface."""

    species: str
    charge_state: str
    expansion: Offset
    atoms: int
    image_distance_angstrom: float
    cutoff_angstrom: float
    percolation_barrier_ev: Barriers
    percolation_lower_bound_ev: Bounds
    bulk: tuple[BulkBarrier, ...]
    routes: tuple[Route, ...]
    hops: tuple[HopSummary, ...]
    failed: tuple[FailedHop, ...]
    sites: tuple[SiteState, ...]
    network: tuple[PlanarHop, ...]
    barriers: tuple[Band, ...]

    @property
    def percolation(self) -> tuple[Percolation, ...]:
        """The barriers along the three cell vectors."""
        barriers, bounds = self.percolation_barrier_ev, self.percolation_lower_bound_ev
        return tuple(Percolation(axis, getattr(barriers, axis), getattr(bounds, axis)) for axis in AXES)

    @property
    def progress(self) -> str:
        """How many of the hops were computed."""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"{len(self.hops)} of {len(self.network)}{failed}"
