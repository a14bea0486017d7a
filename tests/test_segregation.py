"""Vacancies near a boundary: against an independent calculation, symmetry, and the bulk as the far limit."""

from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.optimize import BFGS

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError, InputError
from seiflow.jobs.segregation import mobile_species
from seiflow.planar_settings import PlanarSettings, SegregationSettings
from seiflow.properties.planar import planar_relaxation
from seiflow.properties.segregation import Segregation, Sites, segregation, sites, supercell_of
from seiflow.properties.site_defects import BulkVacancy, SiteDefect, bulk_vacancy, expansion_near, site_vacancy, unrelaxed
from seiflow.shelves import phase_shelf
from seiflow.structures.build import Ingredient, build_structure
from seiflow.structures.bulk import build_crystal
from seiflow.structures.defect_sites import DefectSite, defect_supercell
from seiflow.structures.planar_recipes import GrainBoundaryRecipe
from seiflow.structures.space_group import operations, permutation
from seiflow.structures.supercell import image_distance

SETTINGS = SegregationSettings(image_distance=7.0, fmax=0.01)


@cache
def copper() -> Atoms:
    """Return copper relaxed with EMT."""
    return Engine(EMT()).relax_crystal(build_crystal(phase_shelf().get("Cu")), fmax=1e-4, stress_gpa=1e-3)


@cache
def tilt() -> Atoms:
    """Return a relaxed tilt boundary of copper."""
    data = {"kind": "grain_boundary", "name": "tilt", "summary": "a test", "phase": "Cu", "plane": (3, 1, 0), "type": "mirror"}
    recipe = GrainBoundaryRecipe.model_validate(data | {"faces": "like", "gap_angstrom": 0.57, "translation": (0.0, 0.5)})
    phase = phase_shelf().get("Cu")
    built = build_structure(recipe, {"Cu": Ingredient(phase, copper())})
    return planar_relaxation(built.atoms, [phase], Engine(EMT()), PlanarSettings(), name="tilt")[0]


@cache
def bulk() -> BulkVacancy:
    """Return the vacancy of the crystal, by plain ASE."""
    cell = copper().copy()
    cell.set_constraint()
    supercell = cell.repeat(3)
    perfect = supercell.copy()
    perfect.calc = EMT()
    del supercell[0]
    supercell.calc = EMT()
    BFGS(supercell, logfile=None).run(fmax=0.005)
    return BulkVacancy("Cu", supercell.get_potential_energy() - perfect.get_potential_energy(), len(perfect))


@cache
def profile() -> Segregation:
    """Return the profile of the boundary."""
    engine = Engine(EMT())
    cell = supercell_of(tilt(), "Cu", SETTINGS)
    found = sites(tilt(), "Cu", SETTINGS)
    vacancies = {site.name: site_vacancy(cell, site, engine, SETTINGS)[0] for site in cell.sites}
    energy = engine.evaluate(tilt()).energy * found.atoms / len(tilt())
    return segregation(found, energy, vacancies, [bulk()])


def test_middle_of_a_grain_is_like_the_bulk() -> None:
    """At the site of each grain farthest from the boundaries a vacancy costs what it costs in the crystal, to 30 meV."""
    found = profile()
    assert len(found.farthest) == 2
    for point in found.farthest:
        assert point.energy_ev == pytest.approx(0, abs=0.03)
    assert found.warnings == ()


def test_vacancies_gather_at_the_boundary() -> None:
    """The most stable vacancy lies within 2 Å of the plane, well below the bulk."""
    found = profile()
    best = min((point for point in found.profile if point.energy_ev is not None), key=lambda point: point.energy_ev or 0.0)
    assert best.distance_angstrom < 2
    assert best.energy_ev == found.lowest_energy_ev
    assert found.lowest_energy_ev is not None
    assert found.lowest_energy_ev < -0.2


def test_every_site_is_counted_once() -> None:
    """The multiplicities add up to the atoms of the species in the boundary's cell."""
    assert sum(point.multiplicity for point in profile().profile) == len(tilt())


def test_energy_agrees_with_plain_ase() -> None:
    """One site's energy is that of an independent relaxation in the same supercell, to 2 meV."""
    point = profile().profile[2]
    cell = supercell_of(tilt(), "Cu", SETTINGS)
    site = next(each for each in cell.sites if each.name == point.site)
    perfect, empty = cell.atoms.copy(), cell.atoms.copy()
    del empty[site.index]
    perfect.calc, empty.calc = EMT(), EMT()
    BFGS(empty, logfile=None).run(fmax=0.005, steps=300)
    expected = empty.get_potential_energy() - perfect.get_potential_energy() - bulk().energy_ev
    assert point.energy_ev == pytest.approx(expected, abs=2e-3)


def test_equivalent_sites_have_equal_energies() -> None:
    """Vacancies at two sites that symmetry makes equal, relaxed one by one, agree to 5 meV."""
    cell = defect_supercell(tilt(), species="Cu", image_distance=7.0)
    found = operations(tilt())
    moves = [permutation(tilt(), w, t) for w, t in zip(found.rotations, found.translations, strict=True)]
    first = next(site.index for site in cell.sites if site.multiplicity > 1)
    second = next(int(move[first]) for move in moves if move[first] != first)
    energies = []
    for index in (first, second):
        site = DefectSite(f"at_{index}", "Cu", index, (index,), 1, None, None, None)
        energies.append(site_vacancy(cell, site, Engine(EMT()), SETTINGS)[0].energy_ev)
    assert energies[0] == pytest.approx(energies[1], abs=5e-3)


def test_vacancy_that_does_not_stay_is_no_vacancy_there() -> None:
    """Where an ion falls into the vacancy, or leaves its place by more than 1 Å, there is no energy, and the profile says so."""
    cell = copper().copy()
    cell.set_constraint()
    crystal = cell.repeat(3)
    crystal.info["planes"] = [0.25, 0.75]
    neighbour = int(np.argsort(crystal.get_distances(0, range(len(crystal)), mic=True))[1])
    step = crystal.get_distance(neighbour, 0, mic=True, vector=True)
    crystal.positions[neighbour] += 0.46 * step
    found = defect_supercell(crystal, species="Cu", image_distance=7.0)
    site = DefectSite("Cu_1", "Cu", 0, (0,), 1, 0, 1.0, 0)
    result, _ = site_vacancy(found, site, Engine(EMT()), SETTINGS)
    assert not result.stays
    assert result.energy_ev is None
    listed = sites(crystal, "Cu", SETTINGS)
    vacancies = {each.name: SiteDefect(each.name, None, stays=False, **_nothing()) for each in listed.sites}
    told = segregation(listed, 0.0, vacancies, [bulk()])
    assert told.lowest_energy_ev is None
    assert any("did not stay" in warning for warning in told.warnings)


def test_vacancy_that_does_not_relax_leaves_the_others_theirs() -> None:
    """The profile has an energy for every other site, as it was, and a warning says which one failed and how far it came."""
    whole, found, engine = profile(), sites(tilt(), "Cu", SETTINGS), Engine(EMT())
    few = SETTINGS.model_copy(update={"max_steps": 20})
    cell, defects = supercell_of(tilt(), "Cu", SETTINGS), {}
    for site in cell.sites:
        try:
            defects[site.name], _ = site_vacancy(cell, site, engine, few)
        except ConvergenceError as error:
            defects[site.name] = unrelaxed(site.name, str(error))
    lost = {name for name, defect in defects.items() if defect.problem}
    assert 0 < len(lost) < len(found.sites) / 2
    energy = engine.evaluate(tilt()).energy * found.atoms / len(tilt())
    result = segregation(found, energy, defects, [bulk()])
    for point, expected in zip(result.profile, whole.profile, strict=True):
        assert point.energy_ev == (None if point.site in lost else pytest.approx(expected.energy_ev, abs=1e-6))
    assert result.warnings[0].startswith("There is no energy where the vacancy did not relax. vacancy Cu_")
    assert result.warnings[0].count("after 20 steps") == len(lost)


def _nothing() -> dict[str, float]:
    return {"largest_displacement_angstrom": 2.0, "largest_force_ev_per_angstrom": 0.0}


def test_reference_has_as_many_atoms() -> None:
    """The crystal's cell has about as many atoms as asked for, its images are apart, and its vacancy is that of plain ASE."""
    crystal = copper().copy()
    crystal.calc = copper().calc
    crystal.set_constraint()
    for wanted in (32, 100, 256, 500):
        expansion = expansion_near(crystal, wanted, 7.0)
        assert image_distance(np.diag(expansion) @ np.asarray(crystal.cell)) >= 7.0
        assert 4 * int(np.prod(expansion)) == pytest.approx(wanted, rel=0.15)
    found = bulk_vacancy("Cu", crystal, "Cu", 108, Engine(EMT()), SETTINGS)
    assert found.atoms == 108
    assert found.energy_ev == pytest.approx(bulk().energy_ev, abs=2e-3)


def test_thin_or_strained_grains_are_told() -> None:
    """A farthest site that differs from the bulk by more than 50 meV is told."""
    listed = sites(tilt(), "Cu", SETTINGS)
    vacancies = {each.name: SiteDefect(each.name, 0.2, stays=True, **_nothing()) for each in listed.sites}
    told = segregation(listed, 0.0, vacancies, [BulkVacancy("Cu", 0.0, 108)])
    assert all("differs from the bulk by +0.200 eV" in warning for warning in told.warnings)
    assert len(told.warnings) == 2


def test_energies_of_an_interface_are_counted_from_the_bulk_of_their_own_grain() -> None:
    """Each side has the vacancy of its phase as far limit, told by the farthest site where a vacancy stays."""
    listed = Sites(
        "Li",
        (1, 1, 1),
        60,
        8.0,
        tuple(DefectSite(f"Li_{n}", "Li", n, (n,), 1, n % 2, 1.0 + n // 2, n % 2) for n in range(6)),
        (),
    )
    perfect, references = -300.0, [BulkVacancy("LiF", 5.0, 64), BulkVacancy("Li2O", 7.0, 96)]
    above = {"Li_0": -0.4, "Li_1": -0.3, "Li_2": -0.1, "Li_3": 0.02, "Li_4": 0.01, "Li_5": None}
    vacancies = {}
    for number, (name, value) in enumerate(above.items()):
        energy = None if value is None else perfect + references[number % 2].energy_ev + value
        vacancies[name] = SiteDefect(name, energy, stays=value is not None, **_nothing())
    found = segregation(listed, perfect, vacancies, references)
    told = {point.site: point.energy_ev for point in found.profile}
    assert {name: value for name, value in told.items() if value is not None} == pytest.approx(
        {name: value for name, value in above.items() if value is not None}
    )
    assert told["Li_5"] is None
    assert [(point.phase, point.site) for point in found.profile][:2] == [("LiF", "Li_0"), ("Li2O", "Li_1")]
    assert [(far.phase, far.site, far.distance_angstrom) for far in found.farthest] == [
        ("LiF", "Li_4", 3.0),
        ("Li2O", "Li_3", 2.0),
    ]
    assert [far.energy_ev for far in found.farthest] == pytest.approx([0.01, 0.02])
    assert not any("differs from the bulk" in warning for warning in found.warnings)
    swapped = segregation(listed, perfect, vacancies, references[::-1])
    assert [far.energy_ev for far in swapped.farthest] == pytest.approx([-1.99, 2.02])


def test_phases_must_share_the_mobile_species() -> None:
    """An interface of phases in which different ions move has no profile."""
    assert mobile_species([phase_shelf().get("LiF"), phase_shelf().get("Li2O")]) == "Li"
    with pytest.raises(InputError, match=r"no common mobile species \(LiF: Li, Cu: Cu\)"):
        mobile_species([phase_shelf().get("LiF"), phase_shelf().get("Cu")])
