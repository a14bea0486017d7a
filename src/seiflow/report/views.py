"""The records of a study as types: what the report reads of them, checked when they are read."""

from pydantic import BaseModel, ConfigDict, JsonValue


class Record(BaseModel):
    """What every record holds; keys that the report does not use are let pass."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    converged: bool
    force_evaluations: int
    warnings: tuple[str, ...]
    provenance: dict[str, JsonValue]


class Lattice(BaseModel):
    """Conventional cell."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    a_angstrom: float
    b_angstrom: float
    c_angstrom: float
    alpha_degree: float
    beta_degree: float
    gamma_degree: float


class Relaxation(Record):
    """``relaxation.json``."""

    formula: str
    formula_units: int
    atoms: int
    space_group: str
    lattice: Lattice
    volume_angstrom3: float
    energy_ev: float
    largest_force_ev_per_angstrom: float
    largest_stress_gpa: float | None


class Elasticity(Record):
    """``elasticity.json``; stiffness 6x6, Voigt xx yy zz yz xz xy.

    What follows from the compliance is None for a crystal that is not stable.
    """

    stiffness_gpa: tuple[tuple[float, ...], ...]
    bulk_modulus_voigt_gpa: float
    bulk_modulus_reuss_gpa: float | None
    bulk_modulus_gpa: float | None
    shear_modulus_voigt_gpa: float
    shear_modulus_reuss_gpa: float | None
    shear_modulus_gpa: float | None
    young_modulus_gpa: float | None
    young_modulus_min_gpa: float | None
    young_modulus_max_gpa: float | None
    young_modulus_min_direction: tuple[float, float, float] | None
    young_modulus_max_direction: tuple[float, float, float] | None
    poisson_ratio: float | None
    pugh_ratio: float | None
    universal_anisotropy: float | None
    born_stable: bool
    residual_gpa: float
    asymmetry_gpa: float
    nonlinearity_gpa: float
    strain_limit: float
    elastic_deformation_energy_mj_per_m3: float | None


class Dos(BaseModel):
    """Phonon density of states."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    frequency_thz: tuple[float, ...]
    density_per_thz: tuple[float, ...]


class HeatCapacity(BaseModel):
    """Harmonic heat capacity at constant volume, per mole of formula units."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    temperature_k: tuple[float, ...]
    cv_j_per_mol_k: tuple[float, ...]


class ImaginaryMode(BaseModel):
    """An unstable mode; its frequency is written as a negative number."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    q: tuple[float, float, float]
    frequency_thz: float


class Phonons(Record):
    """``phonons.json``."""

    displaced_supercells: int
    stable: bool
    imaginary_modes: tuple[ImaginaryMode, ...]
    max_frequency_thz: float
    dos: Dos
    heat_capacity: HeatCapacity
    heat_capacity_300k_j_per_mol_k: float


class DefectPair(BaseModel):
    """A vacancy and an interstitial in one cell; no energy where they recombined."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    name: str
    formation_energy_ev: float | None
    separation_angstrom: float | None
    moved: bool


class Frenkel(BaseModel):
    """Frenkel pairs of one species, from near to far."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    species: str
    isolated_energy_ev: float | None
    pairs: tuple[DefectPair, ...]


class DefectEnergies(BaseModel):
    """Energies of sets of point defects; None where there is none."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    frenkel_energy_ev: float | None
    frenkel_isolated_energy_ev: float | None
    frenkel_bound_energy_ev: float | None
    anion_frenkel_energy_ev: float | None
    schottky_energy_ev: float | None
    schottky_bound_energy_ev: float | None


class SchottkySet(BaseModel):
    """How many of each kind are missing in a Schottky set."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    units: dict[str, int]


class LargerDefects(BaseModel):
    """How the energies change in a larger supercell."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    image_distance_angstrom: float
    change: DefectEnergies


class Defects(Record):
    """``defects.json``; lone defects are neutral and counted from the element."""

    frenkel_energy_ev: float | None
    frenkel_isolated_energy_ev: float | None
    frenkel_bound_energy_ev: float | None
    anion_frenkel_energy_ev: float | None
    schottky_energy_ev: float | None
    schottky_bound_energy_ev: float | None
    vacancy_energy_ev: float | None
    interstitial_energy_ev: float | None
    image_distance_angstrom: float
    atoms: int
    frenkel: Frenkel | None
    anion_frenkel: Frenkel | None
    schottky: SchottkySet
    larger: LargerDefects | None


class HopSummary(BaseModel):
    """One hop as ``migration.json`` lists it."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hop: str
    distance_angstrom: float
    multiplicity: int
    method: str
    barrier_forward_ev: float
    barrier_backward_ev: float


class Migration(Record):
    """``migration.json``."""

    image_distance_angstrom: float
    cutoff_angstrom: float
    charge_state: str
    hops: tuple[HopSummary, ...]
    percolation_barrier_ev: dict[str, float | None]
    percolation_barrier_1d_ev: float | None
    percolation_barrier_2d_ev: float | None
    percolation_barrier_3d_ev: float | None


class Profile(BaseModel):
    """Energy along a hop, relative to the initial state."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    coordinate_angstrom: tuple[float, ...]
    energy_ev: tuple[float, ...]


class LargerSupercell(BaseModel):
    """The same hop in a larger supercell."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    image_distance_angstrom: float
    barrier_change_ev: float


class Band(BaseModel):
    """What was found of one hop."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    hop: str
    distance_angstrom: float
    method: str
    barrier_forward_ev: float
    barrier_backward_ev: float
    saddle_energy_ev: float
    initial_energy_ev: float
    final_energy_ev: float
    straight_barrier_ev: float | None
    pushed_barrier_ev: float | None
    offset_angstrom: float | None
    curvatures_ev_per_angstrom2: tuple[float, ...]
    negative_modes: int
    path: Profile
    larger: LargerSupercell | None = None


class Hop(Record, Band):
    """``hops/{hop}.json``."""
