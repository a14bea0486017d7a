"""Slabs: every termination keeps the formula and cuts no group; nets, polarity and faces are what the crystal makes them."""

from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from hypothesis import given, settings
from hypothesis import strategies as st

from seiflow.errors import InputError, StructureError
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.fingerprint import digest
from seiflow.structures.layers import checked_plane, layers
from seiflow.structures.nets import lattice_basis
from seiflow.structures.recipes import PhaseRecipe, Polyatomic
from seiflow.structures.slab import Slab, build_slab, terminations
from seiflow.structures.space_group import operations, space_group, standard_cell

PLANES = [
    *[("LiF", plane) for plane in ((0, 0, 1), (1, 1, 0), (1, 1, 1), (2, 1, 0), (3, 3, 1))],
    *[("Li2O", plane) for plane in ((0, 0, 1), (1, 1, 0), (1, 1, 1), (3, 1, 0))],
    *[("Li2CO3", plane) for plane in ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0), (-1, 1, 1), (1, 1, 1), (0, 1, 1), (2, 1, -1))],
]
EVERY_PLANE = pytest.mark.parametrize(("name", "plane"), PLANES)


def phase(name: str) -> PhaseRecipe:
    return phase_shelf().get(name)


def crystal(name: str) -> Atoms:
    return build_crystal(phase(name))


def slabs(name: str, plane: tuple[int, int, int], **options: float) -> list[Slab]:
    recipe, atoms = phase(name), crystal(name)
    number = len(terminations(layers(atoms, plane, recipe.polyatomic), recipe.charges))
    return [build_slab(recipe, atoms, plane, termination=index, thickness=8.0, **options) for index in range(number)]


@EVERY_PLANE
def test_every_termination_earns_its_certificate(name: str, plane: tuple[int, int, int]) -> None:
    """Neutral, stoichiometric, groups whole, as thick as asked for, and no distance that the crystal does not have."""
    for slab in slabs(name, plane, vacuum=12.0):
        assert slab.certificate.net_charge_e == 0
        assert slab.certificate.formula_units[name] > 0
        assert all(group.broken == 0 for group in slab.certificate.groups.values())
        assert slab.thickness_angstrom >= 8.0 - 1e-6
        assert slab.atoms.cell[2, 2] == pytest.approx(slab.thickness_angstrom + 12.0)


@EVERY_PLANE
def test_layer_is_a_primitive_cell_of_the_crystal(name: str, plane: tuple[int, int, int]) -> None:
    """Volume per atom and spacing follow from the lattice; the net lies in the plane."""
    atoms = crystal(name)
    stack = layers(atoms, plane, phase(name).polyatomic)
    assert np.linalg.det(stack.cell) / len(stack.symbols) == pytest.approx(atoms.get_volume() / len(atoms))
    assert len(stack.symbols) == len(standard_cell(atoms, primitive=True))
    assert stack.area * stack.spacing == pytest.approx(np.linalg.det(stack.cell))
    per_plane = 1 / np.linalg.norm(np.linalg.solve(np.asarray(atoms.cell), plane))
    assert (per_plane / stack.spacing) == pytest.approx(round(per_plane / stack.spacing))


@EVERY_PLANE
def test_equivalence_of_faces_is_what_the_space_group_of_the_slab_says(name: str, plane: tuple[int, int, int]) -> None:
    """An operation that turns the slab upside down exists if and only if the faces are said to be equivalent."""
    for slab in slabs(name, plane, vacuum=12.0):
        slab.atoms.pbc = True
        upside_down = any(rotation[2, 2] == -1 for rotation in operations(slab.atoms).rotations)
        assert upside_down == slab.termination.faces_equivalent


@EVERY_PLANE
def test_polarity_is_what_the_dipole_does_with_thickness(name: str, plane: tuple[int, int, int]) -> None:
    """The dipole of type III grows by the repeat unit's; that of types I and II does not grow; equal faces have none."""
    recipe, atoms = phase(name), crystal(name)
    for index, thin in enumerate(slabs(name, plane, vacuum=12.0)):
        thick = build_slab(recipe, atoms, plane, termination=index, thickness=8 + 2 * thin.thickness_angstrom, vacuum=12.0)
        first, second = (slab.certificate.polarity for slab in (thin, thick))
        assert first is not None
        assert second is not None
        assert first.dipole_e_angstrom is not None
        assert second.dipole_e_angstrom is not None
        grows = abs(second.dipole_e_angstrom) > 1.5 * abs(first.dipole_e_angstrom) + 0.5
        assert grows == (first.tasker == "III")
        if first.faces_equivalent:
            assert first.dipole_e_angstrom == pytest.approx(0.0, abs=1e-6)


@EVERY_PLANE
def test_inner_atoms_have_the_surroundings_of_the_crystal(name: str, plane: tuple[int, int, int]) -> None:
    """Half way between the faces, the distances to the neighbours are those in the crystal."""
    recipe, atoms = phase(name), crystal(name)
    slab = build_slab(recipe, atoms, plane, thickness=14.0, vacuum=10.0)
    inner = int(np.abs(slab.atoms.positions[:, 2] - slab.thickness_angstrom / 2).argmin())
    same = np.flatnonzero(atoms.numbers == slab.atoms.numbers[inner])
    found = surroundings(slab.atoms, inner)
    assert any(
        np.allclose(found, surroundings(atoms, index), atol=1e-4)
        for index in same
        if len(surroundings(atoms, index)) == len(found)
    )


def surroundings(atoms: Atoms, index: int) -> np.ndarray:
    """Return species and distances around an atom, up to 3.2 Å, sorted."""
    from ase.neighborlist import neighbor_list

    first, second, distances = neighbor_list("ijd", atoms, 3.2)
    around = first == index
    return np.sort(atoms.numbers[second[around]] * 100 + distances[around])


@EVERY_PLANE
def test_slab_without_vacuum_is_the_crystal(name: str, plane: tuple[int, int, int]) -> None:
    """Layers that repeat along the normal have the space group of the crystal."""
    slab = build_slab(phase(name), crystal(name), plane, thickness=8.0)
    assert space_group(slab.atoms) == space_group(crystal(name))


def test_faces_that_do_not_fit_need_a_vacuum() -> None:
    """Without it the message says so."""
    with pytest.raises(InputError, match="do not fit onto each other"):
        build_slab(phase("Li2CO3"), crystal("Li2CO3"), (1, 1, 0), termination=1, thickness=8.0)


def test_known_polarities() -> None:
    """Rock salt is of type I on (001), of type III on (111); antifluorite of type II on (111) when cut between cations."""
    kinds = {
        ("LiF", (0, 0, 1)): ["I"],
        ("LiF", (1, 1, 1)): ["III"],
        ("Li2O", (1, 1, 1)): ["II", "III"],
        ("Li2O", (1, 1, 0)): ["I"],
        ("Li2O", (0, 0, 1)): ["III"],
    }
    for (name, plane), expected in kinds.items():
        stack = layers(crystal(name), plane)
        assert [item.tasker for item in terminations(stack, phase(name).charges)] == expected


def test_slab_does_not_depend_on_the_orientation_of_the_crystal() -> None:
    """A crystal turned in space, shifted, or given by its primitive cell and standardised, makes the same slab."""
    recipe, atoms = phase("Li2O"), crystal("Li2O")
    turned = atoms.copy()
    turned.rotate(23, (1, 2, 3), rotate_cell=True)
    again = standard_cell(make_supercell(standard_cell(atoms, primitive=True), [[1, 1, 0], [0, 1, 0], [0, 3, 1]]))
    wanted = digest(build_slab(recipe, atoms, (2, 1, 0), thickness=8.0, vacuum=10.0).atoms)
    assert digest(build_slab(recipe, turned, (2, 1, 0), thickness=8.0, vacuum=10.0).atoms) == wanted
    assert digest(build_slab(recipe, again, (2, 1, 0), thickness=8.0, vacuum=10.0).atoms) == wanted


def test_equivalent_planes_give_the_same_slab() -> None:
    """All planes of a form are one plane in a cubic crystal."""
    recipe, atoms = phase("LiF"), crystal("LiF")
    kinds = {
        (round(slab.area_angstrom2, 6), len(slab.atoms), slab.termination.tasker)
        for plane in ((2, 1, 0), (0, 1, 2), (-1, 0, 2), (0, -2, 1))
        for slab in [build_slab(recipe, atoms, plane, thickness=8.0)]
    }
    assert len(kinds) == 1


@settings(deadline=None, max_examples=30)
@given(plane=st.tuples(*[st.integers(-3, 3)] * 3).filter(lambda item: np.gcd.reduce(item) == 1))
def test_any_plane_of_a_monoclinic_crystal_can_be_cut(plane: tuple[int, int, int]) -> None:
    """Every termination of every plane holds whole groups and whole formula units in its repeat unit."""
    recipe = phase("Li2CO3")
    stack = layers(crystal("Li2CO3"), plane, recipe.polyatomic)
    options = terminations(stack, recipe.charges)
    assert options
    for sheet in stack.sheets:
        counts = Counter(stack.symbols[index] for index in sheet.atoms)
        assert counts["O"] == 3 * counts["C"]


@settings(deadline=None, max_examples=50)
@given(rows=st.lists(st.tuples(*[st.integers(-6, 6)] * 2), min_size=2, max_size=5))
def test_lattice_basis_spans_its_generators(rows: list[tuple[int, int]]) -> None:
    """Each generator is a whole combination of the basis, and the basis is no coarser: its volume divides every minor."""
    generators = np.array(rows)
    basis = lattice_basis(generators)
    if np.linalg.matrix_rank(generators) < 2:
        return
    assert np.allclose(generators @ np.linalg.inv(basis), np.rint(generators @ np.linalg.inv(basis)))
    minors = [round(np.linalg.det(generators[[i, j]])) for i in range(len(rows)) for j in range(i)]
    assert round(abs(np.linalg.det(basis))) == np.gcd.reduce(minors)


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        ((0, 0, 0), "no direction"),
        ((1.5, 0, 1), "three whole numbers"),
        ((1, 0), "three whole numbers"),
        ((2, 2, 0), r"common divisor 2; write \(1 1 0\)"),
    ],
)
def test_impossible_planes_are_refused(plane: tuple[int, int, int], message: str) -> None:
    """The message says what is wrong with the indices."""
    with pytest.raises(InputError, match=message):
        checked_plane(plane)


def test_unknown_termination_lists_those_there_are() -> None:
    """The message names the faces of each."""
    with pytest.raises(InputError, match="has 2 terminations, no number 7; they are 0: Li to Li"):
        build_slab(phase("Li2O"), crystal("Li2O"), (1, 1, 1), thickness=8.0, termination=7)


def test_endless_chains_can_only_be_cut_beside() -> None:
    """Groups that share ligands form chains; a plane across them is refused and planes along them are named."""
    spacing = 3.0
    chain = Atoms("SiO", positions=[(0, 0, 0), (0, 0, spacing / 2)], cell=[5, 6, spacing], pbc=True)
    groups = [Polyatomic(name="chain", centre="Si", ligand="O", count=2, bond_max=1.6)]
    with pytest.raises(StructureError, match=r"\(0 0 1\): every termination cuts a chain; .*\(1 0 0\), \(0 1 0\)"):
        layers(chain, (0, 0, 1), groups)
    assert len(layers(chain, (1, 0, 0), groups).sheets) == 1


def test_network_cannot_be_cut_at_all() -> None:
    """Where groups join in all directions no plane works, and the message says so."""
    network = bulk("NaCl", "rocksalt", a=4.0, cubic=True)
    with pytest.raises(StructureError, match="so does every plane"):
        layers(network, (1, 1, 0), [Polyatomic(name="network", centre="Na", ligand="Cl", count=6, bond_max=2.1)])
