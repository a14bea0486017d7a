"""``interstitial_migration.json`` as types: what the report reads of it."""

from pydantic import BaseModel, ConfigDict

from seiflow.report.views import Record


class Percolation(BaseModel):
    """Percolation barriers over the interstitial hops of one mechanism, or of all."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    percolation_barrier_ev: dict[str, float | None]
    percolation_barrier_1d_ev: float | None
    percolation_barrier_2d_ev: float | None
    percolation_barrier_3d_ev: float | None
    least_possible_ev: dict[str, float | None]
    least_possible_3d_ev: float | None


class InterstitialState(BaseModel):
    """One stable interstitial."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    state: str
    shares_a_site: bool
    energy_ev: float
    distance_angstrom: float | None


class InterstitialBarrier(BaseModel):
    """What the report reads of the barrier of an interstitial hop."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    method: str
    barrier_forward_ev: float
    barrier_backward_ev: float


class InterstitialHop(BaseModel):
    """One interstitial hop; records of older versions have neither least nor highest."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hop: str
    mechanism: str
    state_initial: str
    state_final: str
    distance_angstrom: float
    longest_step_angstrom: float
    multiplicity: int
    least_ev: float | None = None
    highest_ev: float | None = None
    barrier: InterstitialBarrier | None
    problem: str | None


class InterstitialMigration(Record):
    """``interstitial_migration.json``."""

    image_distance_angstrom: float
    longest_step_angstrom: float
    charge_state: str
    states: tuple[InterstitialState, ...]
    all: Percolation
    direct: Percolation
    knock_off: Percolation
    hops: tuple[InterstitialHop, ...]
    not_computed: tuple[InterstitialHop, ...]

    @property
    def planar(self) -> bool:
        """Whether it is that of a structure with boundaries."""
        return any(state.distance_angstrom is not None for state in self.states)
