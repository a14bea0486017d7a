"""Supercells: far enough apart, as small as possible, as symmetric as the crystal."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.errors import InputError, StructureError
from seiflow.structures.space_group import standard_cell
from seiflow.structures.supercell import fractional_rotations, image_distance, supercell_matrix


def rock_salt() -> Atoms:
    return bulk("LiF", "rocksalt", a=4.09, cubic=True)


def monoclinic() -> Atoms:
    """A C2/c crystal with the lattice of a carbonate."""
    return crystal(
        ["Cu", "Au"], [(0.1965, 0.4484, 0.8344), (0, 0.0657, 0.25)], spacegroup=15, cellpar=[8.37, 5.05, 6.40, 90, 114.8, 90]
    )


def shortest_by_search(cell: np.ndarray) -> float:
    """Length of the shortest lattice vector among all small combinations."""
    combinations = np.array([item for item in itertools.product(range(-4, 5), repeat=3) if any(item)])
    return float(np.linalg.norm(combinations @ cell, axis=1).min())


def test_rock_salt_is_doubled_for_eight_angstrom() -> None:
    """2 x 4.09 Å is the first multiple above 8 Å."""
    assert supercell_matrix(rock_salt(), 8.0).tolist() == np.diag([2, 2, 2]).tolist()


def test_monoclinic_cell_is_expanded_where_it_is_short() -> None:
    """The 8.37 Å edge already suffices, the others are doubled."""
    assert supercell_matrix(monoclinic(), 8.0).tolist() == np.diag([1, 2, 2]).tolist()


def test_equal_edges_of_a_hexagonal_cell_stay_equal() -> None:
    """A sixfold axis mixes a and b."""
    matrix = supercell_matrix(bulk("Cu", "hcp", a=2.6, c=4.2), 8.0)
    assert matrix.tolist() == np.diag([4, 4, 2]).tolist()


def test_equal_edges_without_a_rotation_between_them_are_expanded_alone() -> None:
    """A cubic box around a crystal of lower symmetry need not grow in all directions."""
    atoms = Atoms("CuAuAg", scaled_positions=[(0, 0, 0), (0.21, 0.34, 0.47), (0.66, 0.11, 0.83)], cell=[5, 5, 9], pbc=True)
    assert len(fractional_rotations(atoms)) == 1
    assert supercell_matrix(atoms, 8.0).tolist() == np.diag([2, 2, 1]).tolist()


def test_image_distance_sees_through_a_skewed_cell() -> None:
    """Adding multiples of one lattice vector to another changes the cell and not the lattice."""
    cell = np.diag([5.0, 6.0, 7.0])
    skewed = np.array([[1, 0, 0], [3, 1, 0], [-2, 5, 1]]) @ cell
    assert image_distance(skewed) == pytest.approx(5.0)


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.tuples(*[st.floats(2.5, 7.0)] * 3),
    angles=st.tuples(*[st.floats(65.0, 115.0)] * 3),
    distance=st.floats(4.0, 9.0),
)
def test_no_smaller_expansion_reaches_the_distance(
    lengths: tuple[float, ...], angles: tuple[float, ...], distance: float
) -> None:
    """A triclinic crystal has no symmetry to keep, so brute force must find the same volume."""
    atoms = Atoms("CuAg", scaled_positions=[(0, 0, 0), (0.31, 0.42, 0.57)], cell=[*lengths, *angles], pbc=True)
    found = supercell_matrix(atoms, distance)
    assert shortest_by_search(found @ atoms.cell) >= distance - 1e-5
    smaller = [item for item in itertools.product(range(1, 7), repeat=3) if np.prod(item) < np.linalg.det(found) - 0.5]
    rotations = fractional_rotations(atoms)
    symmetric = [item for item in smaller if _symmetric(item, rotations)]
    assert all(shortest_by_search(np.diag(item) @ atoms.cell) < distance for item in symmetric)


def _symmetric(expansion: tuple[int, ...], rotations: np.ndarray) -> bool:
    matrix = np.diag(expansion)
    mapped = np.linalg.inv(matrix) @ rotations @ matrix
    return np.allclose(mapped, np.rint(mapped))


@pytest.mark.parametrize("atoms", [rock_salt(), monoclinic(), bulk("Cu", "hcp", a=2.6, c=4.2), bulk("Cu"), bulk("Fe")])
def test_supercell_keeps_the_point_group(atoms: Atoms) -> None:
    """The supercell has as many rotations as the crystal."""
    supercell = make_supercell(atoms, supercell_matrix(atoms, 7.0))
    assert image_distance(supercell.cell) >= 7.0
    assert len(fractional_rotations(supercell)) == len(fractional_rotations(atoms))


def test_too_large_a_supercell_is_refused_with_its_size() -> None:
    """The message says how many atoms would be needed."""
    with pytest.raises(InputError, match="64 atoms"):
        supercell_matrix(rock_salt(), 8.0, maximum_atoms=63)
    assert supercell_matrix(rock_salt(), 8.0, maximum_atoms=64).trace() == 6


def test_overlapping_atoms_have_no_symmetry() -> None:
    """Two atoms on one site are a mistake, not a crystal."""
    atoms = Atoms("Cu2", positions=[(0, 0, 0), (0, 0, 0)], cell=[4, 4, 4], pbc=True)
    with pytest.raises(StructureError, match="no space group"):
        supercell_matrix(atoms, 8.0)
    with pytest.raises(StructureError, match="no space group"):
        standard_cell(atoms)


def test_conventional_cell_depends_on_the_crystal_alone() -> None:
    """Primitive, conventional, skewed and shifted cells of one crystal give the same conventional cell."""
    primitive = bulk("Cu", a=3.6)
    skewed = make_supercell(primitive, [[1, 0, 0], [1, 1, 0], [0, -2, 1]])
    skewed.positions += 0.3
    for atoms in (primitive, bulk("Cu", a=3.6, cubic=True), skewed):
        standard = standard_cell(atoms)
        assert len(standard) == 4
        np.testing.assert_allclose(standard.cell.array, np.diag([3.6] * 3), atol=1e-6)
