"""The records of structures with a plane as types: what the report reads of them, checked when they are read."""

from pydantic import BaseModel, ConfigDict, JsonValue

from seiflow.report.views import Record


class PlanarRelaxation(Record):
    """``relaxation.json`` of a boundary, interface or slab."""

    formula_units: dict[str, int]
    atoms: int
    area_angstrom2: float
    height_angstrom: float
    volume_angstrom3: float
    energy_ev: float
    largest_force_ev_per_angstrom: float
    largest_traction_gpa: float | None
    relaxations_ev: tuple[float, ...]


class Surface(BaseModel):
    """A grain alone."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    phase: str
    energy_j_per_m2: float
    atoms: int


class Thicker(BaseModel):
    """The same boundary between thicker grains."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    height_angstrom: float
    atoms: int
    change_j_per_m2: float


class Boundary(Record):
    """``boundary.json``."""

    kind: str
    area_angstrom2: float
    boundaries: int
    boundaries_equivalent: bool | None
    energy_j_per_m2: float
    largest_strains: dict[str, float] | None
    strain_energy_j_per_m2: float | None
    excess_volume_angstrom: float | None
    work_of_adhesion_j_per_m2: float | None
    cleavage_energy_j_per_m2: float | None
    surfaces: tuple[Surface, ...]
    thicker: Thicker | None


class ProfilePoint(BaseModel):
    """A site near a plane."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    site: str
    phase: str
    grain: int
    distance_angstrom: float
    multiplicity: int
    energy_ev: float | None


class Segregation(Record):
    """``segregation.json``."""

    species: str
    charge_state: str
    image_distance_angstrom: float
    lowest_energy_ev: float | None
    profile: tuple[ProfilePoint, ...]
    interstitial_profile: tuple[ProfilePoint, ...] = ()


class Tried(BaseModel):
    """One registry of a search; ``recipe`` holds what differs from the structure's recipe."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    recipe: dict[str, JsonValue]
    score_j_per_m2: float | None
    energy_j_per_m2: float | None
    atoms: int
    problem: str | None

    @property
    def name(self) -> str:
        """What tells it from the others."""
        shown = {key.removesuffix("_angstrom"): value for key, value in self.recipe.items()}
        return ", ".join(f"{key} {_flat(value)}" for key, value in shown.items()) or "the recipe's own"


class Registry(Record):
    """``registry.json``."""

    tried: tuple[Tried, ...]


def _flat(value: JsonValue) -> str:
    return " ".join(_flat(item) for item in value) if isinstance(value, list) else f"{value}"
