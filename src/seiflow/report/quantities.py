"""The numbers of a study one by one: their keys, labels, units and the published values beside them."""

from collections.abc import Iterator
from dataclasses import dataclass

from seiflow.report.collect import Case
from seiflow.report.interstitials import headlines, numbers
from seiflow.report.migration_quantities import barrier_keys, migration_quantities
from seiflow.report.planar_views import Boundary
from seiflow.report.quantity import STIFFNESS_KEYS, Quantity
from seiflow.report.references import Reference, deviation, find
from seiflow.report.views import DefectEnergies, Defects, Elasticity, Phonons, Record, Relaxation
from seiflow.report.wording import KINDS, LABELS, kind, show, signed_percent

References = dict[str, tuple[Reference, ...]]

MODULI = ("c11_gpa", "c12_gpa", "c44_gpa", "bulk_modulus_gpa", "shear_modulus_gpa", "young_modulus_gpa")

_PUBLISHED_AS = {
    "barrier_forward_ev": "vacancy_barrier_ev",
    "percolation_barrier_3d_ev": "vacancy_barrier_ev",
    "direct_percolation_3d_ev": "interstitial_barrier_ev",
    "knock_off_percolation_3d_ev": "interstitialcy_barrier_ev",
    "charged_schottky_energy_ev": "schottky_energy_ev",
    "charged_frenkel_energy_ev": "frenkel_energy_ev",
}


def quantities(case: Case) -> Iterator[Quantity]:
    """Yield every number of every record of a case."""
    if case.relaxation:
        yield from _relaxation(case.relaxation)
    if case.planar:
        yield from _scalars(case.planar)
    if case.boundary:
        yield from _boundary(case.boundary)
    if case.segregation:
        for point in case.segregation.profile:
            yield Quantity(f"segregation_energy_ev[{point.site}]", point.energy_ev)
            yield Quantity(f"distance_angstrom[{point.site}]", point.distance_angstrom)
        yield Quantity("lowest_segregation_energy_ev", case.segregation.lowest_energy_ev)
    if case.elasticity:
        yield from _elasticity(case.elasticity)
    if case.phonons:
        yield from _phonons(case.phonons)
    yield from (Quantity(key, value) for key, value in (case.softness.numbers() if case.softness else ()))
    yield from migration_quantities(case)
    yield from numbers(case.interstitial_migration)
    if case.defects:
        yield from _defects(case.defects)
    yield from (Quantity(key, value) for key, value in (case.charged.numbers() if case.charged else ()))
    for name, record in case.records.items():
        yield Quantity(f"converged[{name}]", record.converged)
        yield Quantity(f"force_evaluations[{name}]", record.force_evaluations)


def _scalars(record: Record) -> Iterator[Quantity]:
    """Yield the plain numbers of a record, in the order of its fields."""
    for name in type(record).model_fields:
        value = getattr(record, name)
        if name in Record.model_fields or name.endswith("_direction"):
            continue
        if value is None or isinstance(value, bool | int | float):
            yield Quantity(name, value)


def _relaxation(record: Relaxation) -> Iterator[Quantity]:
    for name, value in record.lattice:
        yield Quantity(f"lattice_{name}", value)
    yield from _scalars(record)


def _boundary(record: Boundary) -> Iterator[Quantity]:
    yield Quantity(_energy_key(record), record.energy_j_per_m2)
    told = {"area_angstrom2", "energy_j_per_m2"}
    yield from (quantity for quantity in _scalars(record) if quantity.key not in told)
    for surface in record.surfaces if record.kind != "slab" else ():
        yield Quantity(f"surface_energy_j_per_m2[{surface.phase}]", surface.energy_j_per_m2)
    if record.thicker:
        yield Quantity("change_j_per_m2", record.thicker.change_j_per_m2)


def _energy_key(record: Boundary) -> str:
    return f"{'surface' if record.kind == 'slab' else record.kind}_energy_j_per_m2"


def _elasticity(record: Elasticity) -> Iterator[Quantity]:
    for key in STIFFNESS_KEYS:
        yield Quantity(key, record.stiffness_gpa[int(key[1]) - 1][int(key[2]) - 1])
    yield from _scalars(record)
    directions = {"min": record.young_modulus_min_direction, "max": record.young_modulus_max_direction}
    for which, direction in directions.items():
        for axis, component in zip("xyz", direction or (), strict=bool(direction)):
            yield Quantity(f"young_modulus_{which}_direction[{axis}]", component)


def _phonons(record: Phonons) -> Iterator[Quantity]:
    yield from _scalars(record)
    yield Quantity("imaginary_modes", len(record.imaginary_modes))


def _defects(record: Defects) -> Iterator[Quantity]:
    for name in (*DefectEnergies.model_fields, "vacancy_energy_ev", "interstitial_energy_ev"):
        yield Quantity(name, getattr(record, name))
    for disorder in (record.frenkel, record.anion_frenkel):
        for number, item in enumerate(disorder.pairs if disorder else (), start=1):
            which = f"[{disorder.species if disorder else ''}_{number}]"
            yield Quantity(f"defect_pair_energy_ev{which}", item.formation_energy_ev)
            yield Quantity(f"defect_pair_separation_angstrom{which}", item.separation_angstrom)
    for name, change in record.larger.change if record.larger else ():
        yield Quantity(f"defect_larger_cell_change_ev[{LABELS[name]}]", change)
    yield Quantity("defect_image_distance_angstrom", record.image_distance_angstrom)
    yield Quantity("defect_atoms", record.atoms)


@dataclass(frozen=True)
class Comparison:
    """A computed number beside one published value, or beside none.

    Attributes:
        structure: Name of the structure.
        calculator: Name of the calculator.
        quantity: The number.
        reference: The published value.
        corrected: An estimate of what the number is without the softness of the calculator, where that was measured.
    """

    structure: str
    calculator: str
    quantity: Quantity
    reference: Reference | None = None
    corrected: float | None = None

    @property
    def corrected_text(self) -> str:
        """The corrected value with its unit, or nothing."""
        return "" if self.corrected is None else show(self.corrected, self.quantity.unit)

    @property
    def published(self) -> str:
        """The published value with its unit, or nothing."""
        return show(self.reference.value, self.quantity.unit) if self.reference else ""

    @property
    def deviation_percent(self) -> float | None:
        """How far the computed number lies from the published one."""
        value = self.quantity.value
        if self.reference is None or value is None or self.quantity.least is not None:
            return None
        relative = deviation(float(value), self.reference)
        return None if relative is None else 100 * relative

    @property
    def deviation(self) -> str:
        """The deviation in words."""
        percent = self.deviation_percent
        if percent == 0 and self.reference is not None and isinstance(self.reference.value, tuple):
            return "within"
        return signed_percent(percent)

    @property
    def ratio(self) -> float | None:
        """Computed over published; a published range counts with its middle."""
        value, reference = self.quantity.value, self.reference
        if value is None or reference is None or self.quantity.least is not None:
            return None
        middle = sum(reference.value) / 2 if isinstance(reference.value, tuple) else reference.value
        return float(value) / middle if middle else None


def published(references: References, structure: str, quantity: Quantity) -> tuple[Reference, ...]:
    """Return the published values of a quantity, the most trustworthy first.

    What was read comes before what was recalled, and experiment before calculation.
    """
    found = find(references, structure, _PUBLISHED_AS.get(quantity.base, quantity.base))
    return tuple(sorted(found, key=lambda reference: (reference.evidence == "recalled", KINDS.index(kind(reference)))))


def compare(references: References, case: Case) -> dict[str, tuple[Comparison, ...]]:
    """Return each number of a case, by key, beside all that is published of it, the best first; never an empty tuple."""
    found = {}
    for quantity in quantities(case):
        beside = published(references, case.structure, quantity) or (None,)
        corrected = None
        if case.softness and quantity.least is None:
            corrected = case.softness.corrected(quantity.key, quantity.value)
        found[quantity.key] = tuple(Comparison(case.structure, case.calculator, quantity, one, corrected) for one in beside)
    return found


def is_cubic(record: Elasticity, tolerance: float = 0.02) -> bool:
    """Whether the stiffness has the pattern of a cubic crystal in its cubic axes, within a fraction of C11."""
    c = record.stiffness_gpa
    equal = [(c[0][0], c[1][1]), (c[1][1], c[2][2]), (c[0][1], c[0][2]), (c[0][1], c[1][2]), (c[3][3], c[4][4])]
    equal += [(c[4][4], c[5][5])]
    zero = [c[i][j] for i in range(6) for j in range(max(i + 1, 3), 6)]
    largest = max([abs(one - other) for one, other in equal] + [abs(value) for value in zero])
    return largest <= tolerance * c[0][0]


def summary_keys(case: Case) -> list[str]:
    """Return the keys of the numbers that a reader looks for first."""
    return [
        *_lattice_keys(case),
        *_boundary_keys(case),
        *(["force_scale"] if case.softness else []),
        *_modulus_keys(case),
        *barrier_keys(case),
        *(f"single_point_barrier_ev[{hop.hop}]" for hop in (case.barrier_check.hops if case.barrier_check else ())),
        *headlines(case.interstitial_migration),
        *_defect_keys(case),
        *(case.charged.headlines() if case.charged else ()),
        *_phonon_keys(case),
    ]


def _lattice_keys(case: Case) -> list[str]:
    if case.relaxation is None:
        return []
    lattice = case.relaxation.lattice
    same = 1e-3
    right = 90.0
    lengths = {"a": lattice.a_angstrom, "b": lattice.b_angstrom, "c": lattice.c_angstrom}
    keys = [
        f"lattice_{axis}_angstrom" for axis, length in lengths.items() if axis == "a" or abs(length - lattice.a_angstrom) > same
    ]
    return keys + (["lattice_beta_degree"] if abs(lattice.beta_degree - right) > same else [])


def _boundary_keys(case: Case) -> list[str]:
    found = case.boundary
    lowest = ["lowest_segregation_energy_ev"] if case.segregation else []
    if found is None:
        return lowest
    names = ("work_of_adhesion", "cleavage_energy", "strain_energy")
    keys = [_energy_key(found)]
    keys += [f"{name}_j_per_m2" for name in names if getattr(found, f"{name}_j_per_m2") is not None]
    keys += [] if found.excess_volume_angstrom is None else ["excess_volume_angstrom"]
    return keys + (["change_j_per_m2"] if found.thicker else []) + lowest


def _modulus_keys(case: Case) -> list[str]:
    if case.elasticity is None:
        return []
    averages = ["bulk_modulus_gpa", "shear_modulus_gpa", "young_modulus_gpa"]
    first = ["c11_gpa", "c12_gpa", "c44_gpa"] if is_cubic(case.elasticity) else []
    return [*first, *averages, "young_modulus_min_gpa", "young_modulus_max_gpa", "poisson_ratio"]


def _phonon_keys(case: Case) -> list[str]:
    return ["max_frequency_thz", "heat_capacity_300k_j_per_mol_k"] if case.phonons else []


def _defect_keys(case: Case) -> list[str]:
    found = case.defects
    if found is None:
        return []
    names = [*DefectEnergies.model_fields, "vacancy_energy_ev", "interstitial_energy_ev"]
    return [name for name in names if getattr(found, name) is not None]
