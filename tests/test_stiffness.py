"""Stiffness tensors: symmetry, strain states, averages, stability, Young's modulus by direction."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from seiflow.properties.stiffness import KELVIN, kelvin_rotation, moduli, rotated, young_modulus
from seiflow.properties.strains import fit, invariant_basis, point_group, strain_states, strained

TURN = Rotation.from_euler("xyz", [20, 50, -35], degrees=True).as_matrix()
TWO = ["Cu", "Au"]
GENERAL = [(0.1, 0.2, 0.3), (0.5, 0.5, 0.5)]

CRYSTALS: dict[str, tuple[Atoms, int, int]] = {
    "cubic": (bulk("Cu", cubic=True), 3, 1),
    "hexagonal": (bulk("Ti", "hcp", a=2.95, c=4.68), 5, 2),
    "tetragonal 4/mmm": (crystal(TWO, [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=123, cellpar=[2.8, 2.8, 3.6, 90, 90, 90]), 6, 2),
    "tetragonal 4/m": (crystal(TWO, [(0.1, 0.23, 0), (0, 0, 0.5)], spacegroup=83, cellpar=[5, 5, 3.6, 90, 90, 90]), 7, 2),
    "trigonal -3m": (crystal(TWO, [(0, 0, 0), (0, 0, 0.23)], spacegroup=166, cellpar=[4, 4, 12, 90, 90, 120]), 6, 2),
    "trigonal -3": (crystal(TWO, [(0, 0, 0), (0.1, 0.23, 0.15)], spacegroup=148, cellpar=[5, 5, 13, 90, 90, 120]), 7, 2),
    "orthorhombic": (crystal(TWO, GENERAL, spacegroup=47, cellpar=[4.8, 5.1, 5.6, 90, 90, 90]), 9, 3),
    "monoclinic": (crystal(TWO, GENERAL, spacegroup=10, cellpar=[4.8, 5.1, 5.6, 90, 105, 90]), 13, 4),
    "triclinic": (crystal(TWO, GENERAL, spacegroup=2, cellpar=[4.8, 5.1, 5.6, 80, 105, 95]), 21, 6),
}


def turned(atoms: Atoms, rotation: NDArray[np.float64]) -> Atoms:
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ rotation.T, scale_atoms=True)
    return copy


def stable_tensor(seed: int) -> NDArray[np.float64]:
    root = np.random.default_rng(seed).normal(size=(6, 6))
    return (10 * root @ root.T + 20 * np.eye(6)) / np.outer(KELVIN, KELVIN)


def isotropic(bulk_modulus: float, shear_modulus: float) -> NDArray[np.float64]:
    stiffness = np.diag([2 * shear_modulus] * 3 + [shear_modulus] * 3).astype(float)
    stiffness[:3, :3] += bulk_modulus - 2 * shear_modulus / 3
    return stiffness


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("rotation", [np.eye(3), TURN], ids=["standard", "turned"])
def test_constants_and_strain_states_are_as_few_as_the_crystal_system_allows(name: str, rotation: NDArray[np.float64]) -> None:
    """The number of independent constants is the textbook's, in any orientation, and the states are the fewest for it."""
    atoms, constants, states = CRYSTALS[name]
    group = point_group(turned(atoms, rotation))
    assert len(invariant_basis(group)) == constants
    assert len(strain_states(group)) == states


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("rotation", [np.eye(3), TURN], ids=["standard", "turned"])
def test_the_chosen_states_recover_any_invariant_tensor(name: str, rotation: NDArray[np.float64]) -> None:
    """Exact stresses give back the tensor they came from, and the fit magnifies errors little."""
    group = point_group(turned(CRYSTALS[name][0], rotation))
    basis = invariant_basis(group)
    states = strain_states(group)
    stiffness = np.tensordot(np.random.default_rng(3).normal(size=len(basis)), basis, axes=1) / np.outer(KELVIN, KELVIN)
    found, residual, asymmetry = fit(group, states, states @ stiffness)
    np.testing.assert_allclose(found, stiffness, atol=1e-9)
    assert max(residual, asymmetry) < 1e-9
    design = np.einsum("kij,cj->cik", basis, states / KELVIN).reshape(-1, len(basis))
    assert np.linalg.cond(design) < 10


def test_the_group_is_found_in_a_supercell_less_symmetric_than_its_crystal() -> None:
    """Doubling a cubic cell along one axis does not make the crystal tetragonal."""
    assert len(point_group(bulk("Cu", cubic=True).repeat((1, 1, 2)))) == 48


def test_an_invariant_tensor_is_left_alone_by_its_group() -> None:
    """Every operation of the point group maps every basis tensor onto itself."""
    group = point_group(CRYSTALS["trigonal -3m"][0])
    for tensor in invariant_basis(group):
        for rotation in group:
            turn = kelvin_rotation(rotation)
            np.testing.assert_allclose(turn @ tensor @ turn.T, tensor, atol=1e-10)


def test_missing_major_symmetry_shows() -> None:
    """With all six unit strains of a triclinic crystal the asymmetry is the largest difference across the diagonal."""
    group = np.array([np.eye(3), -np.eye(3)])
    stiffness = stable_tensor(1)
    stiffness[0, 4] += 3
    assert fit(group, np.eye(6), stiffness.T)[2] == pytest.approx(3)


def test_strain_changes_lengths_and_angles_as_it_says() -> None:
    """Normal components stretch; an engineering shear is the change of the angle between two axes."""
    atoms = bulk("Cu", cubic=True, a=4.0)
    deformed = strained(atoms, np.array([0.001, 0, 0, 0.002, 0, 0]))
    assert deformed.cell.lengths()[0] == pytest.approx(4.004)
    assert np.radians(90 - deformed.cell.angles()[0]) == pytest.approx(0.002, rel=1e-3)
    np.testing.assert_allclose(deformed.get_scaled_positions(), atoms.get_scaled_positions(), atol=1e-12)


def test_an_isotropic_tensor_has_no_direction() -> None:
    """Young's modulus is that of the textbook in every direction, bounds coincide, the anisotropy is zero."""
    found = moduli(isotropic(100, 40))
    young = 9 * 100 * 40 / (300 + 40)
    assert found.young_modulus_gpa == pytest.approx(young)
    assert found.young_modulus_min_gpa == pytest.approx(young)
    assert found.young_modulus_max_gpa == pytest.approx(young)
    assert found.universal_anisotropy == pytest.approx(0, abs=1e-12)
    assert (found.bulk_modulus_reuss_gpa, found.shear_modulus_reuss_gpa) == pytest.approx((100, 40))
    assert found.poisson_ratio == pytest.approx((300 - 80) / (600 + 80))
    assert found.pugh_ratio == pytest.approx(2.5)


@pytest.mark.parametrize("seed", range(5))
def test_moduli_do_not_depend_on_the_axes_and_keep_their_order(seed: int) -> None:
    """Turning a tensor changes no scalar; Voigt is not below Reuss; directions turn with the tensor."""
    stiffness = stable_tensor(seed)
    first, second = moduli(stiffness), moduli(rotated(stiffness, TURN))
    for name, value in vars(first).items():
        if isinstance(value, float):
            assert getattr(second, name) == pytest.approx(value, rel=1e-6), name
    np.testing.assert_allclose(first.stiffness_eigenvalues_gpa, second.stiffness_eigenvalues_gpa)
    assert first.bulk_modulus_reuss_gpa is not None
    assert first.shear_modulus_reuss_gpa is not None
    assert first.bulk_modulus_voigt_gpa >= first.bulk_modulus_reuss_gpa
    assert first.shear_modulus_voigt_gpa >= first.shear_modulus_reuss_gpa
    assert first.young_modulus_max_direction is not None
    assert second.young_modulus_max_direction is not None
    overlap = TURN @ first.young_modulus_max_direction @ second.young_modulus_max_direction
    assert abs(overlap) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_no_direction_beats_the_extremes(seed: int) -> None:
    """Random directions stay between the two extremes, which are attained where they are said to be."""
    stiffness = stable_tensor(seed)
    found = moduli(stiffness)
    assert found.young_modulus_min_gpa is not None
    assert found.young_modulus_max_gpa is not None
    sample = [young_modulus(stiffness, vector) for vector in np.random.default_rng(7).normal(size=(2000, 3))]
    assert found.young_modulus_min_gpa <= min(sample) * (1 + 1e-9)
    assert found.young_modulus_max_gpa >= max(sample) * (1 - 1e-9)
    assert young_modulus(stiffness, np.array(found.young_modulus_max_direction)) == pytest.approx(found.young_modulus_max_gpa)
    assert young_modulus(stiffness, np.array(found.young_modulus_min_direction)) == pytest.approx(found.young_modulus_min_gpa)


def test_extremes_of_a_cubic_crystal_lie_along_its_axes_and_diagonals() -> None:
    """For a Zener ratio above one the axes are softest and the body diagonals stiffest."""
    stiffness = isotropic(100, 20)
    stiffness[[3, 4, 5], [3, 4, 5]] = 60
    found = moduli(stiffness)
    assert found.young_modulus_min_direction == pytest.approx((1, 0, 0), abs=1e-5)
    assert found.young_modulus_max_direction == pytest.approx((1, 1, 1) / np.sqrt(3), abs=1e-5)


def test_an_unstable_tensor_is_told_and_has_no_compliance() -> None:
    """C11 below C12 breaks Born's criterion; uniform-strain averages stay, the rest is left empty."""
    stiffness = isotropic(100, -1)
    stiffness[[3, 4, 5], [3, 4, 5]] = 30
    found = moduli(stiffness)
    assert not found.born_stable
    assert found.bulk_modulus_voigt_gpa == pytest.approx(100)
    assert found.young_modulus_gpa is None
    assert found.young_modulus_max_direction is None
