"""Interstitials near a boundary: symmetry, distances, and an ion added to the crystal as the far limit."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atom, Atoms
from ase.build import fcc111
from ase.calculators.emt import EMT
from ase.optimize import BFGS

from seiflow.engine import Engine
from seiflow.errors import InputError
from seiflow.jobs.task import read_structure, write_structures
from seiflow.planar_settings import PlanarSettings, SegregationSettings
from seiflow.properties.planar import planar_relaxation
from seiflow.properties.segregation import Segregation, Sites, segregation, sites, supercell_of
from seiflow.properties.site_defects import BulkInterstitial, SiteDefect, bulk_interstitial, site_interstitial
from seiflow.records import write_record
from seiflow.settings import PropertySettings, parse_settings
from seiflow.shelves import phase_shelf
from seiflow.structures.build import Ingredient, build_structure
from seiflow.structures.bulk import build_crystal
from seiflow.structures.interstitial_sites import InterstitialSite, interstitial_sites
from seiflow.structures.planar_recipes import GrainBoundaryRecipe
from seiflow.workflow import site_names

SETTINGS = SegregationSettings(image_distance=5.0, fmax=0.003, interstitials=3)


@cache
def copper() -> Atoms:
    """Return copper relaxed with EMT."""
    return Engine(EMT()).relax_crystal(build_crystal(phase_shelf().get("Cu")), fmax=1e-4, stress_gpa=1e-3)


@cache
def boundary(*plane: int, thickness: float) -> Atoms:
    """Return a relaxed mirror boundary of copper."""
    data = {"kind": "grain_boundary", "name": "b", "summary": "a test", "phase": "Cu", "plane": plane, "type": "mirror"}
    phase = phase_shelf().get("Cu")
    recipe = GrainBoundaryRecipe.model_validate(data | {"thickness_angstrom": thickness})
    built = build_structure(recipe, {"Cu": Ingredient(phase, copper())})
    return planar_relaxation(built.atoms, [phase], Engine(EMT()), PlanarSettings(shakes=0), name="b")[0]


def twin() -> Atoms:
    """Return the coherent twin, two grains of six layers."""
    return boundary(1, 1, 1, thickness=12)


def test_structure_read_from_a_file_has_the_same_sites(tmp_path: Path) -> None:
    """Sites do not depend on whether a structure comes from memory or from extended XYZ, but for the digits written."""
    write_structures(tmp_path / "relaxed.extxyz", [twin()])
    found, expected = all_sites(read_structure(tmp_path / "relaxed.extxyz")), all_sites(twin())
    assert [(site.name, site.grain, site.multiplicity) for site in found] == [
        (site.name, site.grain, site.multiplicity) for site in expected
    ]
    np.testing.assert_allclose([site.place for site in found], [site.place for site in expected], atol=1e-6)


def all_sites(atoms: Atoms) -> tuple[InterstitialSite, ...]:
    """Return all interstitial sites."""
    return interstitial_sites(atoms, supercell_of(atoms, "Cu", SETTINGS), "Cu", 1000)


@cache
def bulk() -> BulkInterstitial:
    """Return the interstitial of the crystal by plain ASE, in a cell of the same shape and size as that of the twin."""
    lattice = float(copper().cell[0, 0])
    crystal = fcc111("Cu", (2, 2, 12), a=lattice, periodic=True)
    crystal.pbc = True
    crystal.cell[2] = [0, 0, 12 * lattice / 3**0.5]
    filled = crystal.copy()
    filled.append(Atom("Cu", crystal.positions[0] + [0, 0, lattice / 2 * 3**0.5]))
    filled.rattle(0.05, seed=1)
    crystal.calc, filled.calc = EMT(), EMT()
    BFGS(filled, logfile=None).run(fmax=0.01, steps=200)
    cost = filled.get_potential_energy() - crystal.get_potential_energy()
    return BulkInterstitial("Cu", "octahedral", stays=True, energy_ev=cost, atoms=len(crystal))


@cache
def profile() -> tuple[Sites, Segregation]:
    """Return the sites of the twin and the profile of its interstitials."""
    engine = Engine(EMT())
    cell, found = supercell_of(twin(), "Cu", SETTINGS), sites(twin(), "Cu", SETTINGS)
    defects = {site.name: site_interstitial(cell, site, engine, SETTINGS)[0] for site in found.interstitials}
    energy = engine.evaluate(twin()).energy * found.atoms / len(twin())
    return found, segregation(replace(found, sites=()), energy, defects, [], [bulk()])


def test_middle_of_a_grain_is_like_the_bulk() -> None:
    """Ions added to the octahedra of a grain cost what they cost in the crystal in a cell of the same shape, to 30 meV."""
    found, told = profile()
    assert len(found.interstitials) == 3
    (middle,) = told.farthest_interstitial
    assert middle.distance_angstrom > 4
    assert middle.energy_ev == pytest.approx(0, abs=0.03)
    assert [point.energy_ev for point in told.interstitial_profile] == pytest.approx([0, 0, 0], abs=0.03)
    assert told.lowest_interstitial_energy_ev == min(point.energy_ev or 0.0 for point in told.interstitial_profile)
    assert told.warnings == ()


def test_crystal_is_its_own_reference() -> None:
    """The bulk value is not above that of the octahedral site alone, and is of a cell with about as many atoms."""
    crystal = copper().copy()
    crystal.calc = copper().calc
    crystal.set_constraint()
    found = bulk_interstitial("Cu", crystal, "Cu", 32, Engine(EMT()), SETTINGS)
    assert found.atoms == 32
    filled = crystal.repeat(2)
    filled.append(Atom("Cu", np.array([0.5, 0.5, 0.5]) @ np.asarray(crystal.cell)))
    filled.set_constraint()
    filled.calc = EMT()
    BFGS(filled, logfile=None).run(fmax=0.01)
    assert found.energy_ev is not None
    assert found.energy_ev <= filled.get_potential_energy() - 8 * crystal.get_potential_energy() + 1e-3


def test_equivalent_places_have_equal_energies() -> None:
    """Ions added at places that symmetry makes equal have equal energies: before they relax to 2 meV, after it to 20 meV."""
    atoms = boundary(3, 1, 0, thickness=8)
    cell = supercell_of(atoms, "Cu", SETTINGS)
    site = max(interstitial_sites(atoms, cell, "Cu", 1000), key=lambda each: each.radius_angstrom)
    assert site.multiplicity > 1
    places = equivalent(atoms, site)
    assert len(places) == site.multiplicity
    engine = Engine(EMT())
    before, after = [], []
    for place in places[:2]:
        moved = replace(site, position_angstrom=tuple((place @ np.asarray(atoms.cell)).tolist()))
        filled = cell.atoms.copy()
        filled.append(Atom("Cu", moved.position_angstrom))
        before.append(engine.evaluate(filled).energy)
        found, relaxed = site_interstitial(cell, moved, engine, SETTINGS)
        assert found.stays
        assert len(relaxed) == len(cell.atoms) + 1
        after.append(found.energy_ev)
    assert before[0] == pytest.approx(before[1], abs=2e-3)
    assert after[0] == pytest.approx(after[1], abs=0.02)


def equivalent(atoms: Atoms, site: InterstitialSite) -> np.ndarray:
    """Return the images of a site under spglib's operations, those that differ."""
    import spglib

    found = spglib.get_symmetry((np.asarray(atoms.cell), atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3)
    images = (found["rotations"] @ np.array(site.place) + found["translations"]) % 1.0
    kept: list[np.ndarray] = []
    for image in images:
        gaps = image - np.array(kept).reshape(-1, 3)
        if not kept or np.linalg.norm((gaps - np.rint(gaps)) @ np.asarray(atoms.cell), axis=1).min() > 0.1:
            kept.append(image)
    return np.array(kept)


def test_distances_and_radii_are_those_of_the_places() -> None:
    """Distance, plane, radius and grain of every site follow from its place and the atoms, and sites are listed by distance."""
    atoms = boundary(3, 1, 0, thickness=8)
    found = all_sites(atoms)
    planes = np.array(atoms.info["planes"]) * atoms.cell[2, 2]
    assert len(found) > 5
    for site in found:
        np.testing.assert_allclose(site.position_angstrom, np.array(site.place) @ np.asarray(atoms.cell))
        gaps = (site.position_angstrom[2] - planes + atoms.cell[2, 2] / 2) % atoms.cell[2, 2] - atoms.cell[2, 2] / 2
        assert site.distance_angstrom == pytest.approx(np.abs(gaps).min())
        assert np.abs(gaps)[site.plane] == pytest.approx(np.abs(gaps).min(), abs=2e-3)
        filled = atoms.copy()
        filled.append(Atom("Cu", site.position_angstrom))
        apart = filled.get_distances(-1, range(len(atoms)), mic=True)
        assert site.radius_angstrom == pytest.approx(apart.min(), abs=1e-3)
        assert site.grain in set(atoms.arrays["grain"][apart < apart.min() + 0.03].tolist())
    distances = [site.distance_angstrom for site in found]
    assert distances == sorted(distances)


def test_name_tells_the_site_however_many_are_tried() -> None:
    """A site keeps its name with any number of sites; the first is in the middle of a grain, others have the largest radii."""
    atoms = boundary(3, 1, 0, thickness=8)
    cell = supercell_of(atoms, "Cu", SETTINGS)
    every = {site.name: site for site in all_sites(atoms)}
    for most in range(5):
        chosen = interstitial_sites(atoms, cell, "Cu", most)
        assert len(chosen) == most
        assert all(every[site.name] == site for site in chosen)
    (first,) = interstitial_sites(atoms, cell, "Cu", 1)
    assert (first.distance_angstrom or 0) >= max(site.distance_angstrom or 0 for site in every.values()) / 2
    widest = max(every.values(), key=lambda site: site.radius_angstrom)
    assert widest.radius_angstrom in [site.radius_angstrom for site in interstitial_sites(atoms, cell, "Cu", 3)]


def test_vacuum_is_no_interstitial_site() -> None:
    """Above a free surface there is no site, however wide or narrow the vacuum is."""
    for vacuum in (6.0, 12.0):
        slab = fcc111("Cu", (1, 1, 7), a=3.6, vacuum=vacuum / 2)
        slab.pbc = [True, True, False]
        slab.info["planes"] = [0.5]
        found = all_sites(slab)
        assert found
        low, high = slab.positions[:, 2].min(), slab.positions[:, 2].max()
        assert all(low < site.position_angstrom[2] < high for site in found)


def test_interstitials_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    """By default there is no interstitial site and no job for one; migration takes the vacancies whatever is asked for."""
    default = sites(twin(), "Cu", SegregationSettings(image_distance=5.0))
    assert default.interstitials == ()
    asked = sites(twin(), "Cu", SETTINGS)
    assert asked.sites == default.sites
    vacancies, added = [site.name for site in asked.sites], [site.name for site in asked.interstitials]
    for found, names in ((default, vacancies), (asked, [*vacancies, *added])):
        write_record(tmp_path / "sites.json", found)
        assert site_names(tmp_path / "sites.json") == vacancies
        assert site_names(tmp_path / "sites.json", interstitials=True) == names
    settings = [PropertySettings(segregation=SegregationSettings(interstitials=number)) for number in (0, 3)]
    assert settings[0].combined("migration", "segregation") == settings[1].combined("migration", "segregation")
    assert settings[0].combined("segregation") != settings[1].combined("segregation")


def test_interstitial_that_does_not_stay_has_no_energy() -> None:
    """Where an ion left its place there is no energy, and the profile tells how far it went."""
    found = replace(profile()[0], sites=())
    defects = {site.name: SiteDefect(site.name, None, stays=False, **_far()) for site in found.interstitials}
    told = segregation(found, 0.0, defects, [], [bulk()])
    assert told.lowest_interstitial_energy_ev is None
    assert all(point.energy_ev is None for point in told.interstitial_profile)
    assert any("an ion went 2.0 Å" in warning for warning in told.warnings)


def _far() -> dict[str, float]:
    return {"largest_displacement_angstrom": 2.0, "largest_force_ev_per_angstrom": 0.0}


@pytest.mark.parametrize("value", [-1, 1.5, '"many"'])
def test_wrong_number_is_refused(value: object) -> None:
    """A number of interstitials below zero, or none, is refused by name."""
    with pytest.raises(InputError, match="interstitials"):
        parse_settings(f'{{"segregation": {{"interstitials": {value}}}}}')
