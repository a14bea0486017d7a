"""How numbers and sources are put into words."""

import re
import textwrap

from seiflow.report.references import Reference

Number = float | int | bool | None

TO = "\N{EN DASH}"
"""Joins the ends of a range."""

AT_LEAST = "\N{GREATER-THAN OR EQUAL TO}"

MINUS = "\N{MINUS SIGN}"

UNITS = {
    "_angstrom": "Å",
    "_angstrom2": "Å²",
    "_angstrom3": "Å³",
    "_degree": "°",
    "_ev": "eV",
    "_ev_per_angstrom": "eV/Å",
    "_gpa": "GPa",
    "_j_per_mol_k": "J/(mol K)",
    "_j_per_m2": "J/m²",
    "_mj_per_m3": "MJ/m³",
    "_thz": "THz",
}
"""Unit of a key by its ending; the longest ending counts."""

LABELS = {
    "lattice_a_angstrom": "a",
    "lattice_b_angstrom": "b",
    "lattice_c_angstrom": "c",
    "lattice_beta_degree": "β",
    "grain_boundary_energy_j_per_m2": "Grain-boundary energy",
    "interface_energy_j_per_m2": "Interface energy",
    "work_of_adhesion_j_per_m2": "Work of adhesion",
    "cleavage_energy_j_per_m2": "Cleavage energy",
    "strain_energy_j_per_m2": "Strain energy",
    "excess_volume_angstrom": "Excess volume per area",
    "lowest_segregation_energy_ev": "Lowest vacancy, vs bulk",
    "segregation_energy_ev": "Vacancy vs bulk,",
    "surface_energy_j_per_m2": "Surface energy",
    "change_j_per_m2": "Change, thicker grains",
    "bulk_modulus_gpa": "Bulk modulus K",
    "shear_modulus_gpa": "Shear modulus G",
    "young_modulus_gpa": "Young's modulus E",
    "young_modulus_min_gpa": "E, softest direction",
    "young_modulus_max_gpa": "E, stiffest direction",
    "poisson_ratio": "Poisson ratio",
    "pugh_ratio": "Pugh ratio",
    "universal_anisotropy": "Universal anisotropy",
    "percolation_barrier_ev": "Percolation along",
    "percolation_barrier_1d_ev": "Percolation, 1D",
    "percolation_barrier_2d_ev": "Percolation, 2D",
    "percolation_barrier_3d_ev": "Percolation, 3D",
    "percolation_barrier_along_ev": "Percolation along",
    "percolation_barrier_across_ev": "Percolation across",
    "percolation_lower_bound_along_ev": "Lower bound along",
    "percolation_lower_bound_across_ev": "Lower bound across",
    "bulk_percolation_barrier_3d_ev": "Percolation, bulk",
    "intrinsic_activation_energy_ev": "Intrinsic activation",
    "migration_hops": "Hops",
    "migration_hops_computed": "Hops computed",
    "migration_hops_failed": "Hops failed",
    "hop_bound_ev": "Lower bound of",
    "hop_ceiling_ev": "Upper bound of",
    "hop_level_ev": "Level of",
    "site_energy_ev": "Vacancy vs most stable,",
    "barrier_forward_ev": "Hop",
    "single_point_barrier_ev": "Hop, single points,",
    "single_point_barrier_back_ev": "Hop back, single points,",
    "cheaper_barrier_ev": "Hop by the cheaper calculator,",
    "single_point_force_ev_per_angstrom": "Force at the saddle of",
    "interstitial_percolation_3d_ev": "Interstitial, all hops, 3D",
    "direct_percolation_3d_ev": "Interstitial, direct, 3D",
    "knock_off_percolation_3d_ev": "Interstitial knock-off, 3D",
    "interstitial_percolation_along_ev": "Interstitial along",
    "interstitial_percolation_across_ev": "Interstitial across",
    "interstitial_percolation_ev": "Interstitial along",
    "direct_percolation_ev": "Interstitial, direct, along",
    "knock_off_percolation_ev": "Interstitial, knock-off, along",
    "interstitial_barrier_forward_ev": "Interstitial",
    "interstitial_barrier_backward_ev": "Interstitial, back,",
    "interstitial_hop_distance_angstrom": "Interstitial carried,",
    "interstitial_state_energy_ev": "Interstitial",
    "interstitial_state_distance_angstrom": "From the boundary, interstitial",
    "force_scale": "Force scale",
    "force_scale_error": "Force scale, error",
    "force_rms_ev_per_angstrom": "Forces, rms difference",
    "reference_force_rms_ev_per_angstrom": "Forces, rms, reference",
    "largest_reference_force_ev_per_angstrom": "Largest force, reference,",
    "force_correlation": "Forces, correlation",
    "energy_scale": "Energy scale",
    "heat_capacity_300k_j_per_mol_k": "Heat capacity Cv(300 K)",
    "max_frequency_thz": "Highest frequency",
    "frenkel_energy_ev": "Frenkel pair, apart",
    "frenkel_isolated_energy_ev": "Frenkel, each alone",
    "frenkel_bound_energy_ev": "Frenkel pair, bound",
    "anion_frenkel_energy_ev": "Anion Frenkel pair, apart",
    "schottky_energy_ev": "Schottky set, apart",
    "schottky_bound_energy_ev": "Schottky set, bound",
    "vacancy_energy_ev": "Neutral vacancy, alone",
    "interstitial_energy_ev": "Neutral interstitial, alone",
    "defect_pair_energy_ev": "Pair",
    "defect_pair_separation_angstrom": "Separation of",
    "defect_larger_cell_change_ev": "Change, larger cell,",
    "barrier_larger_cell_change_ev": "Barrier, change in a larger cell,",
    "larger_image_distance_angstrom": "Images apart, larger cell,",
    "defect_image_distance_angstrom": "Images of defects apart",
    "defect_atoms": "Atoms, cell of defects",
    "charged_schottky_energy_ev": "Schottky, charged, alone",
    "charged_frenkel_energy_ev": "Frenkel, charged, alone",
    "charged_formation_energy_ev": "Vacancy",
    "charged_correction_ev": "Correction of vacancy",
    "transition_level_ev": "Level of vacancy",
    "charged_interstitial_formation_energy_ev": "Interstitial",
    "charged_interstitial_correction_ev": "Correction of interstitial",
    "interstitial_transition_level_ev": "Level of interstitial",
    "charged_image_distance_angstrom": "Images of charges apart",
    "charged_atoms": "Atoms, charged cells",
    "band_gap_ev": "Band gap of the functional",
}
"""What a reader sees instead of a key."""

DECIMALS = {"Å": 3, "Å³": 2, "°": 2, "eV": 3, "eV/Å": 4, "GPa": 1, "J/(mol K)": 1, "J/m²": 3, "MJ/m³": 2, "THz": 2}

KINDS = ("experiment", "DFT", "calculation")
"""Kinds of published values, the most trustworthy first."""


def unit_of(key: str) -> str:
    """Return the unit that a key ends with, or nothing."""
    endings = [ending for ending in UNITS if key.endswith(ending)]
    return UNITS[max(endings, key=len)] if endings else ""


def show(value: Number | tuple[float, float], unit: str) -> str:
    """Return a value, or a published range, as a reader wants it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return with_unit(TO.join(_digits(bound, unit) for bound in value), unit)
    return with_unit(_digits(value, unit), unit)


def show_least(value: Number, least: float | None, unit: str) -> str:
    """Return a value that may only be known to lie above a least one: as a number, a range or a bound.

    Args:
        value: What it is at most; None if nothing is known of that.
        least: What it is at least; None if the value is exact.
        unit: Of both.
    """
    if least is None:
        return show(value, unit)
    if value is None:
        return f"{AT_LEAST} {show(least, unit)}"
    return show((least, value), unit)


def with_unit(text: str, unit: str) -> str:
    """Return a number and its unit; the degree sign takes no space."""
    return f"{text}{unit}" if unit == "°" else f"{text} {unit}".strip()


def _digits(value: float, unit: str) -> str:
    if isinstance(value, int):
        return str(value)
    decimals = DECIMALS.get(unit, 3)
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", MINUS)


def kind(reference: Reference) -> str:
    """Return which of the kinds a published value is, as its method tells."""
    method = reference.method.lower()
    if re.match("exp", method) or (re.search(r"\bexp", method) and "dft" not in method):
        return "experiment"
    return "DFT" if "dft" in method else "calculation"


def exactly(reference: Reference) -> str:
    """Return a published value as it was published, with its unit."""
    bounds = reference.value if isinstance(reference.value, tuple) else (reference.value,)
    return with_unit(TO.join(f"{bound:.10g}" for bound in bounds), reference.unit or "")


def cite(reference: Reference) -> str:
    """Return authors, journal and year on one line."""
    source = reference.source
    return ", ".join(str(part) for part in (source.authors, source.journal, source.year) if part)


def cite_briefly(reference: Reference) -> str:
    """Return the first author, or the first words of who published, and the year."""
    authors = reference.source.authors
    first = textwrap.shorten(authors.split(",")[0].split(" / ")[0].split(" (")[0], 40, placeholder=" …")
    others = " et al." if "," in authors and "et al" not in first else ""
    return " ".join(str(part) for part in (first + others, reference.source.year) if part)


def signed_percent(value: float | None) -> str:
    """Return a deviation as text, or nothing."""
    return "" if value is None else f"{round(value, 1) + 0.0:+.1f} %".replace("-", MINUS)
