"""Relaxed-ion stiffness against independent routes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.emt import EMT
from ase.optimize import BFGS
from ase.spacegroup import crystal
from ase.units import GPa
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError
from seiflow.properties import ions
from seiflow.properties.elasticity import Elasticity, elasticity
from seiflow.properties.stiffness import rotated
from seiflow.records import write_record
from seiflow.settings import ElasticitySettings

SETTINGS = ElasticitySettings()
TURN = Rotation.from_euler("xyz", [20, 50, -35], degrees=True).as_matrix()


def copper() -> Atoms:
    return bulk("Cu", cubic=True)


def hexagonal_copper() -> Atoms:
    return bulk("Cu", "hcp", a=2.56, c=4.18)


def tetragonal_alloy() -> Atoms:
    return crystal(["Cu", "Au"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=123, cellpar=[2.8, 2.8, 3.7, 90, 90, 90])


def orthorhombic_alloy() -> Atoms:
    sites = [(0.25, 0, 0.17), (0.25, 0.5, 0.67)]
    return crystal(["Ni", "Au"], sites, spacegroup=51, cellpar=[4.6, 2.8, 4.6, 90, 90, 90])


def monoclinic_alloy() -> Atoms:
    alloy = make_supercell(bulk("Cu", a=3.8), np.array([[1, 0, 1], [0, 1, 1], [0, 0, 4]]))
    alloy.set_chemical_symbols(["Cu", "Pd", "Au", "Au"])
    return alloy


def unstable_alloy() -> Atoms:
    sites = [(0.833, 0.666, 0.25), (0, 0, 0)]
    return crystal(["Cu", "Au"], sites, spacegroup=194, cellpar=[5.3, 5.3, 4.3, 90, 90, 120])


def relaxed(atoms: Atoms) -> Atoms:
    found = Engine(EMT()).relax_crystal(atoms, fmax=1e-4, stress_gpa=1e-3).copy()
    found.set_constraint()
    return found


def computed(atoms: Atoms, settings: ElasticitySettings = SETTINGS) -> Elasticity:
    return elasticity(atoms, Engine(EMT()), settings)


def full_set(atoms: Atoms) -> NDArray[np.float64]:
    """Return the stiffness from 24 single-component strains, ions relaxed by plain ASE."""
    amplitudes = SETTINGS.strain * np.array([-1, -0.5, 0.5, 1])
    stiffness = np.zeros((6, 6))
    for component, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        stresses = []
        for amplitude in amplitudes:
            gradient = np.eye(3)
            gradient[i, j] += amplitude / 2
            gradient[j, i] += amplitude / 2
            deformed = atoms.copy()
            deformed.set_cell(atoms.cell.array @ gradient, scale_atoms=True)
            deformed.calc = EMT()
            assert BFGS(deformed, logfile=None).run(fmax=1e-5, steps=500)
            stresses.append(deformed.get_stress() / GPa)
        stiffness[:, component] = np.polyfit(amplitudes, np.array(stresses), 1)[0]
    return stiffness


@pytest.mark.parametrize(
    ("make", "strained_relaxations"),
    [(copper, 3), (hexagonal_copper, 6), (tetragonal_alloy, 6), (orthorhombic_alloy, 9), (monoclinic_alloy, 12)],
)
def test_few_strains_give_what_the_full_set_of_24_gives(make: Callable[[], Atoms], strained_relaxations: int) -> None:
    """Every constant agrees with strains of one component at a time within 1 % or 0.5 GPa."""
    atoms = relaxed(make())
    found = computed(atoms)
    np.testing.assert_allclose(found.stiffness_gpa, full_set(atoms), rtol=0.01, atol=0.5)
    assert found.strained_relaxations == strained_relaxations
    assert found.warnings == ()
    assert max(found.residual_gpa, found.asymmetry_gpa, found.nonlinearity_gpa) < 0.02 * found.stiffness_gpa.max()


def test_the_ions_of_the_low_symmetry_crystals_do_move() -> None:
    """Clamping the ions stiffens the orthorhombic alloy, so the comparison above tests their relaxation."""
    atoms = relaxed(orthorhombic_alloy())
    clamped = computed(atoms, ElasticitySettings(fmax=100))
    assert np.abs(clamped.stiffness_gpa - computed(atoms).stiffness_gpa).max() > 5


def test_a_loose_tolerance_of_the_forces_hardly_matters() -> None:
    """Forces that are left change the stiffness to second order only."""
    atoms = relaxed(monoclinic_alloy())
    tight = computed(atoms, ElasticitySettings(strain=0.003, fmax=1e-4)).stiffness_gpa
    loose = computed(atoms, ElasticitySettings(strain=0.003, fmax=0.002)).stiffness_gpa
    assert np.abs(loose - tight).max() < 0.5


def test_the_space_group_is_kept_only_where_the_strain_keeps_it() -> None:
    """Of the 48 operations of a cubic crystal a stretch along one axis leaves 16, however small it is."""
    for size in (1e-5, 1e-3):
        kept = ions.kept_symmetry(bulk("Cu"), np.array([size, 0, 0, 0, 0, 0]))
        assert len(kept.rotations) == 16


def test_a_turned_crystal_has_the_turned_stiffness() -> None:
    """Orientation and choice of strain states drop out."""
    atoms = relaxed(hexagonal_copper())
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array @ TURN.T, scale_atoms=True)
    found, reference = computed(copy), computed(atoms)
    np.testing.assert_allclose(found.stiffness_gpa, rotated(reference.stiffness_gpa, TURN), atol=0.3)
    assert found.bulk_modulus_gpa == pytest.approx(reference.bulk_modulus_gpa, rel=1e-3)


def test_primitive_and_conventional_cells_agree() -> None:
    """The stiffness is a property of the crystal, not of the cell."""
    lattice = float(relaxed(copper()).cell.lengths()[0])
    cells = (bulk("Cu", a=lattice), bulk("Cu", a=lattice, cubic=True), bulk("Cu", a=lattice, cubic=True).repeat((1, 1, 2)))
    first, *others = [computed(atoms).stiffness_gpa for atoms in cells]
    for other in others:
        np.testing.assert_allclose(other, first, atol=0.05)


def test_bulk_modulus_is_that_of_the_equation_of_state() -> None:
    """The curvature of energy against volume gives the same bulk modulus."""
    atoms = relaxed(copper())
    volume = atoms.get_volume()
    ratios = np.linspace(0.985, 1.015, 9)
    energies = []
    for ratio in ratios:
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell.array * ratio ** (1 / 3), scale_atoms=True)
        scaled.calc = EMT()
        energies.append(scaled.get_potential_energy())
    curvature = 2 * np.polynomial.Polynomial.fit(ratios - 1, energies, 4).convert().coef[2]
    assert computed(atoms).bulk_modulus_gpa == pytest.approx(curvature / volume / GPa, rel=0.01)


def test_an_unstable_crystal_is_a_result_with_a_warning(tmp_path: Path) -> None:
    """A crystal without elastic stability has a stiffness, a sentence that says so, and a record that can be written."""
    found = computed(relaxed(unstable_alloy()))
    assert not found.born_stable
    assert found.young_modulus_gpa is None
    assert "mechanically unstable" in found.warnings[0]
    write_record(tmp_path / "elasticity.json", vars(found))
    assert json.loads((tmp_path / "elasticity.json").read_text(encoding="utf-8"))["young_modulus_gpa"] is None


def test_a_crystal_under_stress_is_told() -> None:
    """A cell far from its equilibrium is answered with a warning that states the stress."""
    assert any("not at zero stress" in sentence for sentence in computed(bulk("Cu", a=3.7)).warnings)


def test_the_deformation_energy_is_that_of_a_spring() -> None:
    """Half of Young's modulus times the strain limit squared, in MJ/m³."""
    found = computed(relaxed(copper()), ElasticitySettings(strain_limit=0.02))
    assert found.young_modulus_gpa is not None
    assert found.elastic_deformation_energy_mj_per_m3 == pytest.approx(1000 * found.young_modulus_gpa * 0.02**2 / 2)


def test_ions_that_do_not_converge_are_an_error() -> None:
    """No stiffness is returned when the ions did not reach the tolerance."""
    with pytest.raises(ConvergenceError, match="strain state 1 of 3, plus"):
        computed(relaxed(orthorhombic_alloy()), ElasticitySettings(fmax=1e-4, max_steps=1))
