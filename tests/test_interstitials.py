"""Interstitial sites are those of the textbook, whatever cell a crystal is given in."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from scipy.spatial import KDTree

from seiflow.errors import InputError
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.interstitials import LEAST_ROOM, MERGED, interstitials
from seiflow.structures.space_group import operations, standard_cell


def phase(name: str) -> Atoms:
    return build_crystal(phase_shelf().get(name))


def apart(atoms: Atoms, places: np.ndarray) -> np.ndarray:
    """Return the distances between all places and the images of all, n × 27 n, Å."""
    shifts = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)
    images = (places[None] + shifts[:, None]).reshape(-1, 3) @ np.asarray(atoms.cell)
    return np.linalg.norm(images[None] - (places @ np.asarray(atoms.cell))[:, None], axis=-1)


def quarters(places: np.ndarray, denominator: int) -> set[tuple[int, ...]]:
    scaled = places * denominator
    np.testing.assert_allclose(scaled, np.rint(scaled), atol=1e-4)
    return {tuple(int(value) % denominator for value in np.rint(place)) for place in scaled}


@pytest.mark.parametrize("species", ["Li", "F"])
def test_rock_salt_has_the_tetrahedral_void(species: str) -> None:
    """The only void of rock salt lies on the eight quarters of the body diagonals, for either ion."""
    (site,) = interstitials(phase("LiF"), species)
    assert site.multiplicity == 8
    assert quarters(site.places, 4) == {(i, j, k) for i in (1, 3) for j in (1, 3) for k in (1, 3)}


@pytest.mark.parametrize("species", ["Li", "O"])
def test_antifluorite_has_the_octahedral_void(species: str) -> None:
    """The only void of antifluorite is the octahedron of oxygen ions, at the middle of the cell and of its edges."""
    crystal = phase("Li2O")
    (site,) = interstitials(crystal, species)
    assert site.multiplicity == 4
    oxygen = crystal[crystal.symbols == "O"].get_scaled_positions()
    assert quarters(site.places, 2) == quarters(oxygen + 0.5, 2)


def test_face_centred_metal_has_both_voids() -> None:
    """The octahedral void is the larger one, and there are twice as many tetrahedral ones."""
    octahedral, tetrahedral = interstitials(bulk("Cu", cubic=True, a=3.6), "Cu")
    assert (octahedral.multiplicity, tetrahedral.multiplicity) == (4, 8)
    assert octahedral.radius_angstrom == pytest.approx(1.8)
    assert tetrahedral.radius_angstrom == pytest.approx(3.6 * 3**0.5 / 4)


def test_body_centred_metal_has_six_tetrahedral_voids_an_atom() -> None:
    """The octahedral places of a body-centred metal are saddles of the distance, so only the tetrahedral ones are found."""
    (site,) = interstitials(bulk("Fe", cubic=True, a=2.86), "Fe")
    assert site.multiplicity == 12
    assert site.radius_angstrom == pytest.approx(2.86 * 5**0.5 / 4)


@pytest.mark.parametrize(("name", "species"), [("LiF", "Li"), ("Li2O", "Li"), ("Li2CO3", "Li"), ("Cu", "Cu")])
@pytest.mark.parametrize("change", ["primitive", "doubled", "skewed", "shifted"])
def test_sites_do_not_depend_on_the_cell(name: str, species: str, change: str) -> None:
    """Radius, room and density of the sites are the same in any cell and for any origin."""
    crystal = phase(name)
    other = crystal.copy()
    if change == "primitive":
        other = standard_cell(crystal, primitive=True, idealised=False)
    if change == "doubled":
        other = crystal * (2, 1, 1)
    if change == "skewed":
        other = make_supercell(crystal, [[1, 0, 0], [1, 1, 0], [0, -1, 1]])
    if change == "shifted":
        other.positions += [0.3, 0.7, 1.1]
    before, after = interstitials(crystal, species), interstitials(other, species)
    times = len(other) / len(crystal)
    assert [site.multiplicity for site in after] == [round(site.multiplicity * times) for site in before]
    for one, same in zip(before, after, strict=True):
        assert same.name == one.name
        assert same.radius_angstrom == pytest.approx(one.radius_angstrom, abs=1e-3)
        assert same.room == pytest.approx(one.room, abs=1e-3)


@pytest.mark.parametrize("name", ["LiF", "Li2O", "Li2CO3"])
def test_sites_are_whole_orbits_apart_from_each_other_and_from_atoms(name: str) -> None:
    """Every operation maps each site on itself, the radius is the distance to the nearest atom, and no two sites are one."""
    crystal = phase(name)
    found = interstitials(crystal, "Li")
    symmetry = operations(crystal)
    everything = np.concatenate([site.places for site in found])
    distances = apart(crystal, everything)
    assert np.sort(distances, axis=1)[:, 1].min() >= MERGED - 0.01
    atoms = (crystal * (3, 3, 3)).positions - np.asarray(crystal.cell).sum(axis=0)
    for site in found:
        images = (symmetry.rotations @ site.places.T).transpose(0, 2, 1) + symmetry.translations[:, None]
        gaps = images[:, :, None] - site.places
        gaps -= np.rint(gaps)
        assert np.linalg.norm(gaps @ np.asarray(crystal.cell), axis=-1).min(axis=-1).max() < 0.01
        nearest = KDTree(atoms).query(site.places @ np.asarray(crystal.cell))[0]
        np.testing.assert_allclose(nearest, site.radius_angstrom, atol=1e-3)
        assert site.room >= LEAST_ROOM


def test_sites_are_named_by_their_size() -> None:
    """The first site has the largest radius."""
    radii = [site.radius_angstrom for site in interstitials(phase("Li2CO3"), "Li")]
    assert len(radii) > 1
    assert radii == sorted(radii, reverse=True) or np.diff(radii).max() < 1e-3


def test_unknown_species_is_refused() -> None:
    """An ion that the crystal does not hold is refused, with those it holds."""
    with pytest.raises(InputError, match=r"no 'Na' in .*there are F, Li"):
        interstitials(phase("LiF"), "Na")
