"""Sites of point defects: each orbit once, with its distance from the boundaries, in a supercell that is large enough."""

from collections import Counter
from functools import cache

import numpy as np
import pytest
from ase import Atoms

from seiflow.errors import InputError
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.shelves import boundary_shelf, phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.defect_sites import DefectSupercell, defect_supercell
from seiflow.structures.grain_boundary import build_grain_boundary
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.slab import build_slab
from seiflow.structures.supercell import image_distance
from seiflow.structures.units import find_units

BOUNDARIES = ("LiF-210-mirror", "Li2O-311-mirror", "Li2O-001-twist-5", "Li2CO3-110-mirror")
EVERY_BOUNDARY = pytest.mark.parametrize("name", BOUNDARIES)


@cache
def phase(name: str) -> PhaseRecipe:
    return phase_shelf().get(name)


@cache
def boundary(name: str) -> Atoms:
    recipe = boundary_shelf().get(name)
    return build_grain_boundary(recipe, phase(recipe.phase), build_crystal(phase(recipe.phase))).atoms


def found(atoms: Atoms, species: str = "Li", distance: float = 6.0) -> DefectSupercell:
    return defect_supercell(atoms, species=species, image_distance=distance)


@pytest.mark.parametrize(
    ("name", "species", "orbits"),
    [("LiF", "Li", 1), ("LiF", "F", 1), ("Li2O", "Li", 1), ("Li2CO3", "Li", 1), ("Li2CO3", "C", 1), ("Li2CO3", "O", 2)],
)
def test_bulk_has_one_site_per_wyckoff_orbit(name: str, species: str, orbits: int) -> None:
    """Sites are those of the asymmetric unit, multiplicities those of the cell, and there is no boundary."""
    crystal = build_crystal(phase(name))
    sites = found(crystal, species).sites
    assert len(sites) == orbits
    assert sum(site.multiplicity for site in sites) == list(crystal.symbols).count(species)
    assert all(site.distance_angstrom is None and site.plane is None and site.grain is None for site in sites)


@EVERY_BOUNDARY
def test_multiplicities_add_up(name: str) -> None:
    """Every atom of the species belongs to one site; indices point at atoms of the species in the supercell."""
    for species in sorted(set(boundary(name).symbols)):
        result = found(boundary(name), species)
        assert sum(site.multiplicity for site in result.sites) == list(boundary(name).symbols).count(species)
        assert all(result.atoms.symbols[site.index] == species for site in result.sites)
        assert [site.name for site in result.sites] == [f"{species}_{i}" for i in range(1, len(result.sites) + 1)]


@EVERY_BOUNDARY
def test_sites_are_sorted_by_distance_and_equivalent_ones_are_as_near(name: str) -> None:
    """As many atoms as the multiplicities say lie at each distance from the nearest boundary."""
    atoms = boundary(name)
    sites = found(atoms).sites
    steps = atoms.get_scaled_positions()[:, 2:] - np.array(atoms.info["planes"])
    heights = (np.abs(steps - np.rint(steps)) * atoms.cell[2, 2]).min(axis=1)[atoms.symbols == "Li"]
    expected = np.repeat([site.distance_angstrom for site in sites], [site.multiplicity for site in sites])
    np.testing.assert_allclose(np.sort(expected), np.sort(heights), atol=1e-3)
    assert np.all(np.diff([site.distance_angstrom for site in sites]) > -1e-3)


def test_mirror_images_are_one_site() -> None:
    """In a mirror boundary without translation, each distance has its atoms of both grains at both boundaries in one site."""
    recipe = boundary_shelf().get("LiF-210-mirror").model_copy(update={"translation": (0.0, 0.0), "gap_angstrom": None})
    atoms = build_grain_boundary(recipe, phase("LiF"), build_crystal(phase("LiF"))).atoms
    sites = found(atoms).sites
    distances = [site.distance_angstrom for site in sites]
    assert len(set(np.round(distances, 2))) == len(sites)
    assert all(site.multiplicity in (2, 4) and site.grain == 0 and site.plane == 0 for site in sites)


@EVERY_BOUNDARY
@pytest.mark.parametrize("distance", [5.0, 8.0, 11.0])
@pytest.mark.parametrize("symmetric", [True, False])
def test_images_are_far_apart_and_the_normal_is_spared(name: str, distance: float, *, symmetric: bool) -> None:
    """Images keep the distance; the cell, taller than that, is not repeated along the normal."""
    result = defect_supercell(boundary(name), species="Li", image_distance=distance, symmetric=symmetric)
    assert image_distance(result.atoms.cell) >= distance - 1e-6
    assert result.image_distance_angstrom == pytest.approx(image_distance(result.atoms.cell))
    assert result.expansion[2] == 1
    assert len(result.atoms) == len(boundary(name)) * int(np.prod(result.expansion))


@EVERY_BOUNDARY
def test_symmetry_is_paid_for_by_size_only(name: str) -> None:
    """A supercell that need not be symmetric is at most as large; its sites are those of the other, some of them joined."""
    free = defect_supercell(boundary(name), species="Li", image_distance=8, symmetric=False)
    kept = defect_supercell(boundary(name), species="Li", image_distance=8)
    assert len(free.atoms) <= len(kept.atoms)
    together = [Counter[float](), Counter[float]()]
    for counted, cell in zip(together, (free, kept), strict=True):
        for site in cell.sites:
            counted[round(site.distance_angstrom or 0, 2)] += site.multiplicity
    assert together[0] == together[1]


@EVERY_BOUNDARY
def test_sites_are_one_for_each_orbit_of_the_supercell(name: str) -> None:
    """The space group of the supercell makes no two sites equal, and every atom of the species equal to one of them."""
    cell = defect_supercell(boundary(name), species="Li", image_distance=8)
    orbits = site_symmetry(cell.atoms).orbits(np.flatnonzero(cell.atoms.symbols == "Li"))
    found = [[site.name for site in cell.sites if site.index in orbit] for orbit in orbits]
    assert all(len(names) == 1 for names in found)


def test_boundaries_stay_where_they_are_when_the_normal_is_repeated() -> None:
    """In a supercell taller than the cell every boundary is listed, and sites keep their distances."""
    atoms = boundary("LiF-210-mirror")
    result = found(atoms, distance=30.0)
    assert result.expansion[2] == 2
    planes = np.array(result.atoms.info["planes"])
    assert len(planes) == 4
    for site in result.sites:
        steps = result.atoms.get_scaled_positions()[site.index, 2] - planes
        assert np.abs(steps - np.rint(steps)).min() * result.atoms.cell[2, 2] == pytest.approx(site.distance_angstrom, abs=1e-3)


def test_vacuum_is_not_repeated() -> None:
    """A slab is repeated along its plane only; distances count from the planes given and not across the vacuum."""
    slab = build_slab(phase("LiF"), build_crystal(phase("LiF")), (0, 0, 1), thickness=8, vacuum=10).atoms
    result = defect_supercell(slab, species="F", image_distance=25, planes=[0.0])
    assert result.expansion[2] == 1
    assert result.image_distance_angstrom >= 25
    assert max(site.distance_angstrom or 0 for site in result.sites) < 8
    assert sum(site.multiplicity for site in result.sites) == list(slab.symbols).count("F")


def test_groups_are_sites() -> None:
    """A polyatomic group is one site, whole in the supercell even where it lies across the edge of the cell."""
    recipe = phase("Li2CO3")
    atoms = boundary("Li2CO3-110-mirror")
    result = defect_supercell(atoms, species="carbonate", image_distance=7, groups=recipe.polyatomic)
    assert sum(site.multiplicity for site in result.sites) == list(atoms.symbols).count("C")
    labels = find_units(result.atoms, recipe.polyatomic).labels
    for site in result.sites:
        assert sorted(result.atoms.symbols[list(site.members)]) == ["C", "O", "O", "O"]
        assert len(set(labels[list(site.members)])) == 1
        assert site.index in site.members


def test_order_of_atoms_does_not_matter() -> None:
    """Names, distances and multiplicities stay when the atoms are listed in another order."""
    atoms = boundary("Li2O-311-mirror")
    shuffled = atoms[np.random.default_rng(3).permutation(len(atoms))]
    one, other = found(atoms), found(shuffled)
    assert [(s.name, s.multiplicity, s.grain, s.plane) for s in one.sites] == [
        (s.name, s.multiplicity, s.grain, s.plane) for s in other.sites
    ]
    for a, b in zip(one.sites, other.sites, strict=True):
        np.testing.assert_allclose(one.atoms.positions[a.index], other.atoms.positions[b.index])


def test_loose_tolerance_sees_the_symmetry_of_a_relaxed_structure() -> None:
    """Noise of a relaxation splits the sites at a tight tolerance and not at a loose one."""
    atoms = boundary("LiF-210-mirror").copy()
    atoms.rattle(0.003, seed=1)
    ideal = found(boundary("LiF-210-mirror")).sites
    loose = defect_supercell(atoms, species="Li", image_distance=6, tolerance=0.05).sites
    tight = defect_supercell(atoms, species="Li", image_distance=6, tolerance=1e-4).sites
    assert [site.multiplicity for site in loose] == [site.multiplicity for site in ideal]
    assert len(tight) == list(atoms.symbols).count("Li")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"species": "Na"}, "no 'Na' in F4Li4. Known: F, Li"),
        ({"species": "carbonate"}, "no 'carbonate'"),
        ({"image_distance": 0.0}, "image distance of 0 Å: it must be above zero"),
        ({"image_distance": float("nan")}, "must be above zero"),
        ({"tolerance": -1.0}, "tolerance of -1 Å"),
    ],
)
def test_mistakes_are_named(changes: dict[str, float | str], message: str) -> None:
    """What cannot be is refused with what there is."""
    arguments: dict[str, float | str] = {"species": "Li", "image_distance": 6.0, "tolerance": 1e-3} | changes
    with pytest.raises(InputError, match=message):
        defect_supercell(
            build_crystal(phase("LiF")),
            species=str(arguments["species"]),
            image_distance=float(arguments["image_distance"]),
            tolerance=float(arguments["tolerance"]),
        )
