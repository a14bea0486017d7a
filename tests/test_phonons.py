"""Phonons obey the laws of lattice dynamics and agree with a finite-difference route written without phonopy."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.data import atomic_masses
from ase.units import _amu, _e, kB, mol

from seiflow.engine import Engine
from seiflow.errors import InputError
from seiflow.properties.phonons import (
    Phonons,
    commensurate_wave_vectors,
    displace,
    displaced_structures,
    optic_frequencies,
    phonons,
    reduce,
)
from seiflow.records import plain
from seiflow.settings import PhononSettings

GAS_CONSTANT = kB * mol * _e
SETTINGS = PhononSettings(mesh_density=40.0)
THZ_FROM_EIGENVALUE = np.sqrt(_e / _amu) * 1e10 / (2 * np.pi) * 1e-12
"""Square root of eV/(Å² u) as a frequency."""


def hexagonal() -> Atoms:
    return bulk("Cu", "hcp", a=2.54, c=4.15)


def simple_cubic() -> Atoms:
    """Relaxed as far as its symmetry allows: no forces, no stress, yet no minimum."""
    return _relaxed(bulk("Al", "sc", a=2.6))


def body_centred() -> Atoms:
    """Like the former, with its unstable modes at long wavelength."""
    return _relaxed(bulk("Cu", "bcc", a=2.86))


def _relaxed(crystal: Atoms) -> Atoms:
    relaxed = Engine(EMT()).relax_crystal(crystal, fmax=1e-3, stress_gpa=0.01)
    relaxed.set_constraint()
    return relaxed


def run(crystal: Atoms, settings: PhononSettings = SETTINGS) -> Phonons:
    return phonons(crystal, Engine(EMT()), settings)


@pytest.fixture(scope="module")
def copper() -> Phonons:
    return run(bulk("Cu", a=3.6, cubic=True), PhononSettings(temperature_max_k=5000, temperature_step_k=10))


def test_translations_cost_no_energy(copper: Phonons) -> None:
    """Acoustic sum rule: the three modes at Γ of a crystal with one atom are translations."""
    np.testing.assert_allclose(copper.gamma_frequencies_thz, 0, atol=1e-4)


def test_heat_capacity_reaches_dulong_and_petit(copper: Phonons) -> None:
    """At high temperature every mode holds k_B."""
    assert copper.heat_capacity.temperature_k[-1] == 5000
    assert copper.heat_capacity.cv_j_per_mol_k[-1] == pytest.approx(3 * GAS_CONSTANT, rel=1e-3)


def test_heat_capacity_freezes_out(copper: Phonons) -> None:
    """It starts at zero, rises with temperature, and is minute at 10 K."""
    capacities = copper.heat_capacity.cv_j_per_mol_k
    assert capacities[0] == 0
    assert np.all(np.diff(capacities) > 0)
    assert capacities[1] < 0.01 * GAS_CONSTANT


def test_room_temperature_heat_capacity_is_on_the_curve(copper: Phonons) -> None:
    """300 K is on this scale; a scale without it gives the same number."""
    at_300 = copper.heat_capacity.temperature_k == 300
    assert copper.heat_capacity_300k_j_per_mol_k == pytest.approx(copper.heat_capacity.cv_j_per_mol_k[at_300].item())
    coarse = run(bulk("Cu", a=3.6), PhononSettings(temperature_max_k=100, temperature_step_k=70))
    assert coarse.heat_capacity.temperature_k.tolist() == [0, 70]
    assert coarse.heat_capacity_300k_j_per_mol_k == pytest.approx(copper.heat_capacity_300k_j_per_mol_k, rel=1e-6)


def test_heat_capacity_follows_from_the_density_of_states(copper: Phonons) -> None:
    """Integrating Einstein's function over the density of states is another way to the same number."""
    x = copper.dos.frequency_thz[1:] / (300 * kB * _e / 6.62607015e-34 * 1e-12)
    einstein = x**2 * np.exp(x) / np.expm1(x) ** 2
    integral = np.trapezoid(copper.dos.density_per_thz[1:] * einstein, copper.dos.frequency_thz[1:])
    assert copper.heat_capacity_300k_j_per_mol_k == pytest.approx(GAS_CONSTANT * integral, rel=3e-3)


@pytest.mark.parametrize("crystal", [bulk("Al", a=4.0), hexagonal()])
def test_density_of_states_counts_every_mode_of_a_formula_unit(crystal: Atoms) -> None:
    """Three modes for each atom, whether the primitive cell holds one formula unit or two."""
    result = run(crystal)
    assert np.trapezoid(result.dos.density_per_thz, result.dos.frequency_thz) == pytest.approx(3, rel=5e-3)
    assert result.heat_capacity_300k_j_per_mol_k < 3 * GAS_CONSTANT


def test_result_does_not_depend_on_the_cell_the_crystal_came_in() -> None:
    """Primitive, conventional and rotated cells give the same numbers and ask for as many evaluations."""
    rotated = bulk("Cu", a=3.6, cubic=True)
    rotated.rotate(33, (1, 2, 3), rotate_cell=True)
    rotated.positions += 0.1
    first, *others = [run(crystal) for crystal in (bulk("Cu", a=3.6), bulk("Cu", a=3.6, cubic=True), rotated)]
    for other in others:
        assert other.supercell.tolist() == first.supercell.tolist()
        assert other.displaced_supercells == first.displaced_supercells == 1
        assert other.max_frequency_thz == pytest.approx(first.max_frequency_thz, rel=1e-6)
        np.testing.assert_allclose(other.heat_capacity.cv_j_per_mol_k, first.heat_capacity.cv_j_per_mol_k, rtol=1e-5)


def test_equal_inputs_give_equal_results() -> None:
    """The record written is the same to the last digit."""
    assert plain(run(hexagonal())) == plain(run(hexagonal()))


def frequencies_by_finite_differences(crystal: Atoms, repeats: tuple[int, int, int], q: np.ndarray) -> np.ndarray:
    """Frequencies (THz) from central differences of every atom of the cell, without symmetry and without phonopy."""
    supercell = crystal.repeat(repeats)
    supercell.calc = EMT()
    size, step = len(crystal), 0.01
    phases = np.exp(2j * np.pi * (np.floor(np.round(supercell.positions @ np.linalg.inv(crystal.cell), 6)) @ q))
    matrix = np.zeros((3 * size, 3 * size), dtype=complex)
    for row, (atom, axis) in enumerate(itertools.product(range(size), range(3))):
        forces = []
        for sign in (1, -1):
            moved = supercell.copy()
            moved.positions[atom, axis] += sign * step
            moved.calc = supercell.calc
            forces.append(moved.get_forces())
        constants = -(forces[0] - forces[1]) / (2 * step)
        matrix[row] = (constants * phases[:, None]).reshape(-1, size, 3).sum(axis=0).ravel()
    masses = np.repeat(atomic_masses[crystal.numbers], 3)
    eigenvalues = np.linalg.eigvalsh((matrix + matrix.conj().T) / 2 / np.sqrt(np.outer(masses, masses)))
    return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * THZ_FROM_EIGENVALUE


def test_frequencies_agree_with_plain_finite_differences() -> None:
    """At every wave vector that fits into the supercell, within 1 %."""
    crystal = hexagonal()
    model = displace(crystal, SETTINGS)
    engine = Engine(EMT())
    result = reduce(model, [engine.evaluate(structure).forces for structure in displaced_structures(model)], SETTINGS)
    repeats = tuple(result.supercell.diagonal())
    wave_vectors = commensurate_wave_vectors(model)
    assert len(wave_vectors) > 5
    for q in wave_vectors:
        expected = frequencies_by_finite_differences(crystal, repeats, q)
        np.testing.assert_allclose(model.run_qpoints([q]).frequencies[0], expected, rtol=0.01, atol=0.02)
    np.testing.assert_allclose(optic_frequencies(model), result.gamma_frequencies_thz[3:], rtol=1e-6)


def test_stars_of_wave_vectors_add_up() -> None:
    """Every wave vector of the supercell belongs to exactly one star that is kept."""
    model = displace(bulk("Cu", a=3.6), SETTINGS)
    rotations = model.primitive_symmetry.reciprocal_operations
    stars = [{tuple(np.round((rotation @ q) % 1, 6) % 1) for rotation in rotations} for q in commensurate_wave_vectors(model)]
    assert sum(len(star) for star in stars) == len(set.union(*stars)) == len(model.supercell) / len(model.primitive)


def test_stable_crystal_is_reported_stable(copper: Phonons) -> None:
    """Close-packed copper has no imaginary mode, and nothing to warn of."""
    assert copper.stable
    assert copper.imaginary_modes == ()
    assert copper.warnings == ()


def test_unstable_crystal_is_reported_with_the_modes_that_drive_it() -> None:
    """Simple cubic aluminium falls apart at the zone boundary."""
    result = run(simple_cubic())
    assert not result.stable
    lowest = result.imaginary_modes[0]
    assert sorted(np.abs(lowest.q)) == pytest.approx([0, 0.5, 0.5])
    assert lowest.frequency_thz < -1
    assert all(mode.frequency_thz < -SETTINGS.imaginary_tolerance_thz for mode in result.imaginary_modes)
    assert any("heat capacity" in warning for warning in result.warnings)


def test_imaginary_modes_lower_the_energy() -> None:
    """Moving the planes of simple cubic aluminium as its lowest mode says gives energy; the sign is no artefact."""
    crystal = simple_cubic()
    engine = Engine(EMT())
    pair = crystal.repeat((2, 2, 1))
    shuffled = pair.copy()
    signs = (-1.0) ** np.rint(pair.positions[:, :2] / crystal.cell.lengths()[0]).sum(axis=1)
    shuffled.positions[:, 2] += 0.05 * signs
    assert engine.evaluate(shuffled).energy < engine.evaluate(pair).energy


def test_imaginary_modes_between_the_trusted_wave_vectors_are_a_warning() -> None:
    """Where the supercell's own modes pass and only interpolated ones fail, the crystal passes with a warning."""
    strict = run(body_centred())
    assert not strict.stable
    assert not any("interpolated" in warning for warning in strict.warnings)
    tolerance = -1.01 * strict.imaginary_modes[0].frequency_thz
    lenient = run(body_centred(), SETTINGS.model_copy(update={"imaginary_tolerance_thz": tolerance}))
    assert lenient.stable
    assert any("interpolated" in warning for warning in lenient.warnings)


def test_a_supercell_of_one_atom_is_refused() -> None:
    """Its only modes are translations."""
    with pytest.raises(InputError, match="image_distance"):
        displace(simple_cubic(), PhononSettings(image_distance=2.0))


def test_noise_in_the_forces_is_told() -> None:
    """Forces that break the acoustic sum rule are mended, with a warning."""
    model = displace(bulk("Cu", a=3.6), SETTINGS)
    forces = [Engine(EMT()).evaluate(structure).forces for structure in displaced_structures(model)]
    forces[0][0] *= 1.1
    result = reduce(model, forces, SETTINGS)
    np.testing.assert_allclose(result.gamma_frequencies_thz, 0, atol=1e-3)
    assert any("noisy" in warning for warning in result.warnings)


def test_progress_names_each_displacement() -> None:
    """One line for each structure evaluated."""
    lines: list[str] = []
    phonons(bulk("Cu", a=3.6), Engine(EMT(), report=lines.append), SETTINGS)
    assert lines == ["phonons: displacement 1 of 1, 108 atoms"]
