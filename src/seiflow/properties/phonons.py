"""Harmonic phonons of a crystal from finite displacements in a supercell.

Method: phonopy (A. Togo, L. Chaput, T. Tadano and I. Tanaka, J. Phys. Condens. Matter 35, 353001 (2023)). Atoms are displaced
as the space group asks for, one at a time, in both directions unless symmetry makes the two equal; forces left in the
undisplaced crystal therefore cancel in the differences and nothing is subtracted. The force constants are symmetrised: the
projector of symfc (A. Seko and A. Togo, Phys. Rev. B 110, 214302 (2024)) imposes the space group, the acoustic sum rule and
the order of differentiation together. How far the acoustic modes lay from zero before is told as a warning when it matters.

Stability is judged at the wave vectors that fit into the supercell, where the frequencies are exact for the forces given;
between them they are interpolated, and imaginary ones only give a warning. The three translations are projected out at Γ.

Frequencies are in THz (not angular), imaginary ones written as negative numbers. The splitting of longitudinal and transverse
optic modes by long-ranged fields is not added. Masses are those of the natural mixture of isotopes.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from seiflow.errors import InputError
from seiflow.structures.space_group import standard_cell
from seiflow.structures.supercell import supercell_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from phonopy import Phonopy

    from seiflow.engine import Engine
    from seiflow.settings import PhononSettings

ROOM_TEMPERATURE_K = 300.0

DOS_POINTS = 401
"""Narrow bands of molecular anions are counted within 1 %; the time of the tetrahedron method grows with the points."""

BRANCHES_OF_TRANSLATION = 3

Q_DIGITS = 8
"""Digits to which wave vectors are compared and reported."""


@dataclass(frozen=True)
class ImaginaryMode:
    """A mode along which the energy falls; ``q`` in the primitive reciprocal basis, one for each star of equivalent ones."""

    q: tuple[float, float, float]
    frequency_thz: float


@dataclass(frozen=True)
class DensityOfStates:
    """Modes per THz and formula unit; the integral is three times the number of atoms in a formula unit."""

    frequency_thz: "NDArray[np.float64]"
    density_per_thz: "NDArray[np.float64]"


@dataclass(frozen=True)
class HeatCapacity:
    """Harmonic heat capacity at constant volume, per mole of formula units."""

    temperature_k: "NDArray[np.float64]"
    cv_j_per_mol_k: "NDArray[np.float64]"


@dataclass(frozen=True)
class Phonons:
    """Phonons of a crystal; imaginary frequencies are negative.

    Attributes:
        supercell: 3 x 3 expansion of the conventional cell (rows are lattice vectors).
        displaced_supercells: How many structures were evaluated.
        stable: No mode at a wave vector of the supercell is imaginary beyond the tolerance.
        imaginary_modes: The modes that are, lowest first.
        gamma_frequencies_thz: All modes at Γ, ascending, the three translations included.
        max_frequency_thz: Highest frequency on the mesh.
        dos: Density of states.
        heat_capacity: On the temperature scale of the settings.
        heat_capacity_300k_j_per_mol_k: Computed at 300 K, not interpolated.
        warnings: What a reader of the numbers should know.
    """

    supercell: "NDArray[np.int64]"
    displaced_supercells: int
    stable: bool
    imaginary_modes: tuple[ImaginaryMode, ...]
    gamma_frequencies_thz: "NDArray[np.float64]"
    max_frequency_thz: float
    dos: DensityOfStates
    heat_capacity: HeatCapacity
    heat_capacity_300k_j_per_mol_k: float
    warnings: tuple[str, ...]


def phonons(crystal: Atoms, engine: "Engine", settings: "PhononSettings") -> Phonons:
    """Return the phonons of a crystal already relaxed; primitive and conventional cells give the same result."""
    model = displace(crystal, settings)
    structures = displaced_structures(model)
    forces = []
    for number, structure in enumerate(structures, start=1):
        engine.report(f"phonons: displacement {number} of {len(structures)}, {len(structure)} atoms")
        forces.append(engine.evaluate(structure).forces)
    return reduce(model, forces, settings)


def displace(crystal: Atoms, settings: "PhononSettings") -> "Phonopy":
    """Return the phonopy model of a crystal with its symmetry-reduced displacements made."""
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms
    from phonopy.structure.cells import guess_primitive_matrix

    cell = standard_cell(crystal)
    unit = PhonopyAtoms(
        numbers=cell.numbers, cell=cell.cell.array, scaled_positions=cell.get_scaled_positions(), masses=cell.get_masses()
    )
    expansion = supercell_matrix(cell, settings.image_distance)
    model = Phonopy(unit, supercell_matrix=expansion.T, primitive_matrix=guess_primitive_matrix(unit))
    if len(model.supercell) == 1:
        message = f"phonons of {cell.get_chemical_formula()}: the supercell holds a single atom. Raise image_distance."
        raise InputError(message)
    model.generate_displacements(distance=settings.displacement)
    return model


def displaced_structures(model: "Phonopy") -> list[Atoms]:
    """Return the supercells whose forces are needed, in the order in which :func:`reduce` takes them."""
    return [
        Atoms(numbers=cell.numbers, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)
        for cell in model.supercells_with_displacements
    ]


def reduce(model: "Phonopy", forces: "list[NDArray[np.float64]]", settings: "PhononSettings") -> Phonons:
    """Return the phonons that follow from the forces (n x 3, eV/Å) in each displaced supercell."""
    warnings = _fit_force_constants(model, forces, settings.imaginary_tolerance_thz)
    imaginary = imaginary_modes(model, settings.imaginary_tolerance_thz)
    mesh = model.run_mesh(settings.mesh_density)
    warnings += _mesh_warnings(mesh.frequencies, mesh.qpoints, settings.imaginary_tolerance_thz, stable=not imaginary)
    steps = math.floor(settings.temperature_max_k / settings.temperature_step_k + 1e-9)
    scale = settings.temperature_step_k * np.arange(steps + 1, dtype=np.float64)
    capacities = _heat_capacities(model, np.append(scale, ROOM_TEMPERATURE_K))
    return Phonons(
        supercell=np.asarray(model.supercell_matrix).T,
        displaced_supercells=len(forces),
        stable=not imaginary,
        imaginary_modes=imaginary,
        gamma_frequencies_thz=model.run_qpoints([(0, 0, 0)]).frequencies[0],
        max_frequency_thz=float(mesh.frequencies.max()),
        dos=_density_of_states(model),
        heat_capacity=HeatCapacity(scale, capacities[:-1]),
        heat_capacity_300k_j_per_mol_k=float(capacities[-1]),
        warnings=tuple(warnings),
    )


def imaginary_modes(model: "Phonopy", tolerance_thz: float) -> tuple[ImaginaryMode, ...]:
    """Return the modes below minus the tolerance at the wave vectors that fit into the supercell, lowest first."""
    found = []
    for q in commensurate_wave_vectors(model):
        frequencies = optic_frequencies(model) if not q.any() else model.run_qpoints([q]).frequencies[0]
        name = (float(q[0]), float(q[1]), float(q[2]))
        found += [ImaginaryMode(name, float(value)) for value in frequencies if value < -tolerance_thz]
    return tuple(sorted(found, key=lambda mode: (round(mode.frequency_thz, Q_DIGITS), mode.q)))


def commensurate_wave_vectors(model: "Phonopy") -> "NDArray[np.float64]":
    """Return one of each star of wave vectors that fit into the supercell (m x 3), Γ included, components in (-0.5, 0.5]."""
    from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

    # Matrix that takes the primitive cell to the supercell; phonopy keeps its inverse.
    expansion = np.rint(np.linalg.inv(model.primitive.primitive_matrix)).astype(np.int64)
    rotations = model.primitive_symmetry.reciprocal_operations
    stars = {}
    for q in get_commensurate_points(expansion):
        star = _folded(rotations @ q)
        stars[min(map(tuple, star))] = max(map(tuple, star))
    return np.array(sorted(stars.values(), key=lambda q: (float(np.linalg.norm(q)), q)))


def optic_frequencies(model: "Phonopy") -> "NDArray[np.float64]":
    """Return the frequencies at Γ of the modes orthogonal to the three translations, ascending, THz."""
    matrix = model.run_qpoints([(0, 0, 0)], with_dynamical_matrices=True).dynamical_matrices[0].real
    weights = np.sqrt(np.asarray(model.primitive.masses))
    translations = np.kron(weights[:, None], np.eye(BRANCHES_OF_TRANSLATION))
    basis = np.linalg.qr(translations, mode="complete")[0][:, BRANCHES_OF_TRANSLATION:]
    eigenvalues = np.linalg.eigvalsh(basis.T @ matrix @ basis)
    frequencies: NDArray[np.float64] = np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * model.unit_conversion_factor
    return frequencies


def _folded(wave_vectors: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Shift components into (-0.5, 0.5] by reciprocal lattice vectors."""
    rounded = np.round(wave_vectors, Q_DIGITS)
    return np.round(rounded - np.ceil(rounded - 0.5), Q_DIGITS) + 0.0


def _fit_force_constants(model: "Phonopy", forces: "list[NDArray[np.float64]]", tolerance_thz: float) -> list[str]:
    """Fit and symmetrise the force constants; warn if the forces broke the acoustic sum rule noticeably."""
    model.forces = forces
    model.produce_force_constants(show_drift=False)
    raw = model.run_qpoints([(0, 0, 0)]).frequencies[0]
    drift = np.sort(np.abs(raw))[:BRANCHES_OF_TRANSLATION].max()
    model.symmetrize_force_constants(show_drift=False, use_symfc_projector=True)
    if drift <= tolerance_thz:
        return []
    message = (
        f"before the force constants were symmetrised an acoustic mode at Γ had {drift:.2f} THz instead of zero: "
        "the forces are noisy or not linear in the displacement; compare with another displacement"
    )
    return [message]


def _mesh_warnings(
    frequencies: "NDArray[np.float64]", wave_vectors: "NDArray[np.float64]", tolerance_thz: float, *, stable: bool
) -> list[str]:
    """Describe imaginary modes on the interpolated mesh, and what they do to the heat capacity."""
    lowest = float(frequencies.min())
    if lowest >= -tolerance_thz:
        return []
    q = ", ".join(f"{value:.3f}" for value in wave_vectors[int(frequencies.min(axis=1).argmin())])
    share = float((frequencies < -tolerance_thz).any(axis=1).mean())
    warnings = ["imaginary modes are left out of the heat capacity, which is too low because of it"]
    if stable:
        message = (
            f"imaginary modes down to {lowest:.2f} THz at interpolated wave vectors (lowest at q = {q}; {share:.1%} of the "
            "irreducible mesh), none at those that fit into the supercell: repeat with a larger image_distance"
        )
        warnings.append(message)
    return warnings


def _formula_units(model: "Phonopy") -> int:
    """Return the number of formula units in the primitive cell."""
    return math.gcd(*Counter(model.primitive.symbols).values())


def _density_of_states(model: "Phonopy") -> DensityOfStates:
    """Return the density of states from the mesh by the tetrahedron method."""
    low = min(0.0, 1.02 * float(model.mesh.frequencies.min()))
    high = 1.02 * float(model.mesh.frequencies.max())
    dos = model.run_total_dos(freq_min=low, freq_max=high, freq_pitch=(high - low) / (DOS_POINTS - 1))
    return DensityOfStates(dos.frequency_points, dos.dos / _formula_units(model))


def _heat_capacities(model: "Phonopy", temperatures: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the heat capacity per mole of formula units, J/(mol K); the translations are no vibrations and left out."""
    thermal = model.run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    capacities: NDArray[np.float64] = thermal.thermal_properties[3] / _formula_units(model)
    return capacities
