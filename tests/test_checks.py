"""The certificate: what is broken is refused with every reason, what is sound is described."""

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell

from seiflow.errors import StructureError
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.checks import certify, formula_units, inspect
from seiflow.structures.fingerprint import digest, same_structure, without_duplicates
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.units import bulk_contacts

PHASES = phase_shelf().names


def phase(name: str) -> PhaseRecipe:
    return phase_shelf().get(name)


def crystal(name: str) -> Atoms:
    return build_crystal(phase(name))


@pytest.mark.parametrize("name", PHASES)
def test_every_shipped_phase_is_sound(name: str) -> None:
    """A crystal is neutral, holds whole formula units and is its own yardstick of distances."""
    atoms = crystal(name)
    certificate = inspect(atoms, phase(name))
    assert certificate.problems == ()
    assert certificate.net_charge_e == 0
    assert certificate.formula_units[name] * sum(phase(name).composition.values()) == len(atoms)
    assert all(group.broken == 0 for group in certificate.groups.values())


def test_distances_leave_the_bonds_of_a_group_out() -> None:
    """The shortest contacts of the carbonate are those of its ions, not C-O and O-O of one ion."""
    certificate = inspect(crystal("Li2CO3"), phase("Li2CO3"))
    carbonate = certificate.groups["carbonate"]
    assert carbonate.whole == 4
    assert carbonate.shortest_bond_angstrom is not None
    assert 1.2 < carbonate.shortest_bond_angstrom < 1.35
    assert certificate.shortest_unlike_angstrom is not None
    assert 1.8 < certificate.shortest_unlike_angstrom < 2.0
    assert certificate.shortest_like_angstrom is not None
    assert certificate.shortest_like_angstrom > 2.5


def without_an_ion(atoms: Atoms) -> Atoms:
    del atoms[0]
    return atoms


def squeezed(atoms: Atoms) -> Atoms:
    atoms.positions[1] += 0.55 * (atoms.positions[0] - atoms.positions[1])
    return atoms


def with_stranger(atoms: Atoms) -> Atoms:
    atoms.numbers[0] = 11
    return atoms


def lost(atoms: Atoms) -> Atoms:
    atoms.positions[0] = np.nan
    return atoms


def empty(atoms: Atoms) -> Atoms:
    return atoms[:0]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_an_ion, "net charge -1 e"),
        (without_an_ion, "not made of whole formula units"),
        (squeezed, "at least"),
        (with_stranger, "Na belongs to no phase"),
        (lost, "not finite"),
        (empty, "no atoms"),
    ],
)
def test_damage_is_refused_with_its_reason(damage: Callable[[Atoms], Atoms], reason: str) -> None:
    """Each kind of damage is named."""
    with pytest.raises(StructureError, match=reason):
        certify(damage(crystal("LiF")), phase("LiF"))


def test_every_reason_is_given_at_once() -> None:
    """A structure with three faults is refused once, for all three."""
    atoms = crystal("Li2CO3")
    carbon = int(np.flatnonzero(atoms.numbers == 6)[0])
    oxygen = int(np.argmin(np.where(atoms.numbers == 8, atoms.get_distances(carbon, range(len(atoms)), mic=True), 9)))
    del atoms[oxygen]
    with pytest.raises(StructureError) as raised:
        certify(atoms, phase("Li2CO3"))
    assert all(reason in str(raised.value) for reason in ("net charge +2 e", "carbonate around atom", "formula units"))


def test_like_ions_too_close_are_refused() -> None:
    """Two cations at seven tenths of their distance in the crystal are refused though no covalent radii overlap."""
    oxide = phase("Li2O")
    least = bulk_contacts([oxide])["Li", "Li"]
    atoms = Atoms(
        "Li4O2", positions=[(0, 0, 0), (0.7 * least, 0, 0), *[(4.0 * i, 6, 0) for i in range(4)]], cell=[20, 12, 12], pbc=True
    )
    problems = inspect(atoms, oxide).problems
    assert any("(Li)" in problem and "at least" in problem for problem in problems)


def test_two_phases_in_one_structure() -> None:
    """The formula units of each phase are counted; half a unit of one is refused."""
    fluoride, oxide = phase("LiF"), phase("Li2O")
    one, other = crystal("LiF"), crystal("Li2O")
    other.positions[:, 2] += 7.0
    both = one + other
    both.cell = [5, 5, 15]
    assert formula_units(both, [fluoride, oxide]) == {"LiF": 4, "Li2O": 4}
    certificate = inspect(both, [fluoride, oxide])
    assert certificate.net_charge_e == 0
    assert not any("formula" in problem for problem in certificate.problems)
    assert formula_units(both[1:], [fluoride, oxide]) == {}


def test_metal_beside_its_salt_has_two_charges() -> None:
    """Where an element has different charges in two phases, the owner of each atom tells."""
    metal, fluoride = phase("Li"), phase("LiF")
    one, other = crystal("LiF"), crystal("Li")
    other.positions[:, 2] += 7.0
    both = one + other
    both.cell = [5, 5, 15]
    owners = [0] * len(one) + [1] * len(other)
    assert inspect(both, [fluoride, metal], owners=owners).net_charge_e == 0
    assert inspect(both, [fluoride, metal], owners=[0] * len(both)).net_charge_e == 2
    assert inspect(both, [fluoride, metal]).formula_units == {"LiF": 4, "Li": 2}


def test_digest_depends_on_content_alone() -> None:
    """Order of atoms, images and orientation do not matter; a shift of one atom does."""
    atoms = crystal("Li2CO3")
    other = atoms[np.random.default_rng(0).permutation(len(atoms))]
    other.positions += np.array([3, -2, 1]) @ other.cell
    other.rotate(37, (1, 2, 3), rotate_cell=True)
    assert digest(other) == digest(atoms)
    other.positions[0] += 0.01
    assert digest(other) != digest(atoms)


def test_duplicates_are_found_up_to_symmetry() -> None:
    """A mirrored, shifted crystal in another cell is no second structure; a distorted one is."""
    atoms = crystal("Li2CO3")
    other = make_supercell(atoms, [[1, 0, 0], [0, 1, 0], [1, 0, 1]])
    other.positions += 0.7
    other.set_cell(other.cell * [1, -1, 1])
    other.positions *= [1, -1, 1]
    distorted = atoms.copy()
    distorted.positions[0] += 0.3
    assert same_structure(atoms, other)
    assert without_duplicates([atoms, other, distorted]) == [0, 2]
