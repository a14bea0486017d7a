"""Energies of point defects agree with a plain calculation, add up, and belong to the defects they are said to belong to."""

import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import write
from ase.optimize import BFGS

from seiflow.cli import main
from seiflow.engine import Engine
from seiflow.errors import InputError, StudyError
from seiflow.properties.defects.arrangements import Arrangement, interstitial, pair, schottky_sets
from seiflow.properties.defects.cells import defective, find_defects, relax_cell
from seiflow.properties.defects.defects import Defects, Reservoir, defects
from seiflow.properties.defects.host import Host, make_host
from seiflow.records import plain, read_record
from seiflow.report.collect import Target, collect
from seiflow.report.figures import draw
from seiflow.report.quantities import quantities
from seiflow.report.table import format_table
from seiflow.settings import DefectSettings
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.sites import crystal_from_sites
from seiflow.structures.units import find_units
from seiflow.study import Study

SETTINGS = DefectSettings(image_distance=7.0, larger_image_distance=10.0, fmax=0.005, pairs=2, interstitials=1)
"""32 atoms of copper, and 108."""

SMALL = SETTINGS.model_copy(update={"larger_image_distance": None})


def recipe(name: str) -> PhaseRecipe:
    return phase_shelf().get(name)


def host_of(name: str, distance: float = 8.0) -> Host:
    return make_host(build_crystal(recipe(name)), recipe(name), distance)


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    relaxed = Engine(EMT()).relax_crystal(build_crystal(recipe("Cu")), fmax=1e-3, stress_gpa=0.01)
    relaxed.set_constraint()
    return relaxed


@pytest.fixture(scope="module")
def copper(crystal: Atoms) -> Defects:
    return defects(crystal, recipe("Cu"), Engine(EMT()), SETTINGS)


def test_vacancy_agrees_with_a_plain_calculation(copper: Defects, crystal: Atoms) -> None:
    """The Schottky set of a metal is one vacancy; written out with ASE alone it has the same energy within 1 meV."""
    full = crystal * (2, 2, 2)
    full.calc = EMT()
    empty = crystal * (2, 2, 2)
    del empty[5]
    empty.rattle(0.01, seed=1)
    empty.calc = EMT()
    BFGS(empty, logfile=None).run(fmax=0.002)
    expected = empty.get_potential_energy() - full.get_potential_energy() * 31 / 32
    assert copper.atoms == 32
    assert copper.schottky_energy_ev == pytest.approx(expected, abs=1e-3)


def test_lone_vacancy_of_a_metal_is_its_schottky_set(copper: Defects) -> None:
    """With the metal itself as reservoir both are the same, and vacancy and interstitial add up to the Frenkel pair."""
    assert copper.vacancy_energy_ev == pytest.approx(copper.schottky_energy_ev, abs=1e-9)
    assert copper.vacancy_energy_ev + copper.interstitial_energy_ev == pytest.approx(copper.frenkel_isolated_energy_ev)
    assert copper.frenkel is not None
    assert copper.frenkel.vacancies[0].charge_state == "neutral; reservoir an atom of Cu"


def test_separated_pair_approaches_its_defects_alone(copper: Defects) -> None:
    """The farther apart in the larger supercell, the nearer the energy of a Frenkel pair to that of its defects alone."""
    assert copper.larger is not None
    far = copper.larger.energies
    small, large = (abs(one.frenkel_energy_ev - one.frenkel_isolated_energy_ev) for one in (copper, far))
    assert large < small
    assert large < 0.05
    changes = {name: value for name, value in vars(copper.larger.change).items() if value is not None and abs(value) > 0.03}
    assert changes
    (told,) = [text for text in copper.warnings if "supercell with images" in text]
    assert all(f"{name} by {value:+.3f} eV" in told for name, value in changes.items())
    assert copper.larger.change.schottky_energy_ev == pytest.approx(far.schottky_energy_ev - copper.schottky_energy_ev)


def test_pair_that_is_too_close_is_told_to_recombine(copper: Defects) -> None:
    """An interstitial beside its vacancy falls into it: no energy is given, and the cell is the perfect crystal again."""
    assert copper.frenkel is not None
    first, second = copper.frenkel.pairs[:2]
    assert first.recombined
    assert first.formation_energy_ev is None
    assert first.found == "no defect"
    assert first.cell_energy_ev == pytest.approx(32 * copper.formula_unit_energy_ev, abs=2e-3)
    assert not second.recombined
    assert any("recombined" in warning for warning in copper.warnings)


def test_interstitial_that_turns_into_a_dumbbell_is_told(crystal: Atoms) -> None:
    """The self-interstitial of copper is a dumbbell; the octahedral one that was asked for is not said to be there."""
    host = make_host(crystal, recipe("Cu"), 10.0)
    found = relax_cell(host, interstitial(host.places("Cu")[0]), Engine(EMT()), SMALL.model_copy(update={"fmax": 0.02}))
    assert found.moved
    assert not found.recombined
    assert found.found == "Cu at a shared site"


def test_equivalent_choices_have_equal_energies(crystal: Atoms) -> None:
    """Pairs that an operation of the crystal maps onto each other have one energy, though they start from other shaken ions."""
    host = make_host(crystal, recipe("Cu"), 7.0)
    places = host.places("Cu")
    energies = []
    for unit in (host.units[0], host.units[13]):
        origin = host.atoms.positions[unit.leader]
        distances = host.distances(origin[None], np.array([place.position for place in places]))[0]
        place = places[int(np.flatnonzero(np.isclose(distances, distances.max()))[-1])]
        energies.append(relax_cell(host, pair(unit, place, float(distances.max())), Engine(EMT()), SMALL).energy)
    assert energies[0] == pytest.approx(energies[1], abs=2e-3)


def test_equal_input_gives_equal_records(crystal: Atoms, copper: Defects) -> None:
    """Nothing depends on chance, and a larger supercell changes nothing in the smaller one."""
    again = plain(defects(crystal, recipe("Cu"), Engine(EMT()), SMALL))
    first = plain(copper)
    own = [warning for warning in first["warnings"] if not warning.startswith("in a supercell with images")]
    assert {**first, "larger": None, "warnings": own} == again


def test_cell_too_small_for_its_images_is_refused(crystal: Atoms) -> None:
    """A supercell in which a set touches its own images is refused before anything is computed, with the size it needs."""
    engine = Engine(EMT())
    with pytest.raises(InputError, match=r"images would be 3\.\d+ Å apart.*defects\.image_distance: (\d\.\d)") as caught:
        defects(crystal, recipe("Cu"), engine, DefectSettings(image_distance=3.0))
    assert engine.force_evaluations == 0
    needed = float(str(caught.value).rpartition(" ")[2].rstrip(")"))
    assert make_host(crystal, recipe("Cu"), needed).image_distance_angstrom >= needed


def test_larger_supercell_must_be_larger(crystal: Atoms) -> None:
    """A larger image distance that leads to the same supercell is refused."""
    with pytest.raises(InputError, match="gives no larger supercell"):
        defects(crystal, recipe("Cu"), Engine(EMT()), DefectSettings(image_distance=7.0, larger_image_distance=7.1))


@pytest.mark.parametrize("name", ["LiF", "Li2O", "Li2CO3"])
def test_schottky_sets_are_one_formula_unit_with_whole_groups(name: str) -> None:
    """What is left is stoichiometric, groups are taken out whole, and the compact set is nowhere wider than the spread one."""
    host = host_of(name)
    sets = schottky_sets(host)
    for arrangement in sets:
        left, _ = defective(host, arrangement)
        gone = Counter(host.atoms.get_chemical_symbols()) - Counter(left.get_chemical_symbols())
        assert gone == Counter(recipe(name).composition)
        sizes = Counter(np.bincount(find_units(left, recipe(name).polyatomic).labels))
        assert sizes[1] + sizes.get(4, 0) + sizes[0] == sum(sizes.values())
        assert sum(unit.charge for unit in arrangement.missing) == 0
    nearest = [min_distance(host, arrangement) for arrangement in sets]
    assert [sets[0].name, sets[-1].name] == ["compact", "spread out"]
    assert nearest[-1] > max(nearest[:-1])


def min_distance(host: Host, arrangement: Arrangement) -> float:
    positions = host.positions(arrangement.missing)
    return min(host.distances(one[None], other[None])[0, 0] for one, other in itertools.combinations(positions, 2))


def test_formal_charges_put_lithium_vacancies_on_two_sides() -> None:
    """Around an oxygen vacancy of antifluorite two lithium vacancies repel: by charge they are opposite, not side by side."""
    sets = {arrangement.name: arrangement for arrangement in schottky_sets(host_of("Li2O"))}
    edge = 4.619 / 2
    assert sets["compact"].separation_angstrom == pytest.approx(edge, abs=0.05)
    assert sets["compact by charge"].separation_angstrom == pytest.approx(3**0.5 * edge, abs=0.1)


def test_shells_of_pairs_are_distinct_and_complete() -> None:
    """In rock salt the tetrahedral places around a lithium site fall into shells, the nearest √3/4 of a away."""
    host = host_of("LiF")
    (unit,) = host.distinct("Li")
    shells = host.shells(unit, host.places("Li"))
    distances = [distance for _, distance in shells]
    assert len(host.places("Li")) == 64
    assert distances == sorted(set(distances))
    assert distances[0] == pytest.approx(recipe("LiF").cell.a * 3**0.5 / 4, abs=1e-3)


def test_every_defect_is_found_where_it_is() -> None:
    """Moved by hand: an ion in a void is an interstitial, one that fell into the vacancy is none, one elsewhere is told apart."""
    host = host_of("LiF")
    unit = host.distinct("Li")[0]
    near, far = host.shells(unit, host.places("Li"))[0][0], host.shells(unit, host.places("Li"))[-1][0]
    asked = pair(unit, far, 0.0)
    start, leaders = defective(host, asked)

    def found(position: np.ndarray) -> tuple[tuple[int, ...], list[str]]:
        positions = {index: start.positions[number] for index, number in leaders.items()} | {-1: position}
        result = find_defects(host, positions, asked)
        return result.vacant, [name for _, name, _ in result.extra]

    assert found(far.position) == ((unit.leader,), ["interstitial_1"])
    assert found(near.position) == ((), [])
    assert found(host.atoms.positions[unit.leader] + 0.1) == ((), [])
    anion = host.distinct("F")[0]
    swapped = {index: start.positions[number] for index, number in leaders.items()} | {-1: host.atoms.positions[anion.leader]}
    swapped[anion.leader] = host.atoms.positions[unit.leader]
    result = find_defects(host, swapped, asked)
    assert result.vacant == ()
    assert "F at a site of Li" in result.text
    other = host.of_kind("Li")[5]
    assert found(host.atoms.positions[other.leader] + 0.01)[0] == (unit.leader,)


def test_anion_pairs_and_compounds() -> None:
    """An ordered alloy with formal charges has pairs of both ions and Schottky sets; without reservoir no lone defects."""
    data = {"name": "CuAu", "summary": "test", "formula": "CuAu", "space_group": 221, "mobile": "Cu"}
    data |= {"cell": {"a": 3.0, "b": 3.0, "c": 3.0}, "charges": {"Cu": 1, "Au": -1}, "source": {"citation": "a test"}}
    data |= {"sites": [{"species": "Cu", "position": [0, 0, 0]}, {"species": "Au", "position": [0.5, 0.5, 0.5]}]}
    alloy = PhaseRecipe.model_validate(data)
    engine = Engine(EMT())
    relaxed = engine.relax_crystal(crystal_from_sites(alloy), fmax=1e-3, stress_gpa=0.01)
    relaxed.set_constraint()
    settings = DefectSettings(image_distance=8.5, fmax=0.05, pairs=2, interstitials=1, anion=True)
    alone = defects(relaxed, alloy, engine, settings)
    assert (alone.vacancy_energy_ev, alone.reservoir) == (None, None)
    assert any("no energy of a lone defect" in warning for warning in alone.warnings)
    assert alone.anion_frenkel is not None
    assert alone.anion_frenkel.species == "Au"
    assert all(item.atoms == alone.atoms - 2 for item in alone.schottky.sets)
    element = Reservoir("Cu", -1.5)
    counted = defects(relaxed, alloy, engine, settings.model_copy(update={"anion": False}), element)
    vacancy = alone.frenkel.vacancies[0].cell_energy_ev if alone.frenkel else None
    assert counted.vacancy_energy_ev == pytest.approx(vacancy - alone.formula_unit_energy_ev * alone.atoms / 2 - 1.5, abs=1e-6)


def test_command_writes_a_record_that_the_table_shows(tmp_path: Path, crystal: Atoms) -> None:
    """The command of the rule writes defects.json with units in its keys, and the report reads every number of it."""
    folder = tmp_path / "results/Cu/emt"
    folder.mkdir(parents=True)
    write(folder / "relaxed.extxyz", crystal)
    shelf = Path(__file__).parents[1]
    arguments = ["--structure", str(shelf / "structures/phases/Cu.yaml"), "--calculator", str(shelf / "calculators/emt.yaml")]
    arguments += ["--settings", '{"defects": {"image_distance": 7, "pairs": 2, "interstitials": 1}}', "--reservoir"]
    arguments += ["--relaxed", str(folder / "relaxed.extxyz"), "--output", str(folder / "defects.json")]
    assert main(["defects", *arguments]) == 0
    record = read_record(folder / "defects.json")
    found = collect(tmp_path / "results", [Target("Cu", "emt", "defects")])
    assert found.missing == ()
    numbers = {quantity.key: quantity for quantity in quantities(found.cases[0])}
    assert numbers["schottky_energy_ev"].value == record["schottky_energy_ev"]
    assert numbers["frenkel_energy_ev"].unit == "eV"
    assert "Schottky set, apart" in format_table(found, {})
    (figure,) = [drawing.svg for drawing in draw(found, {}) if drawing.name == "pair-energies"]
    stayed = [pair for pair in record["frenkel"]["pairs"] if pair["formation_energy_ev"] is not None]
    assert len(stayed) > 1
    markers = re.findall(r'<use xlink:href="#\w+" x="([\d.]+)" y="([\d.]+)" style="(?:fill|stroke): #0072b2', figure)
    shown = np.array(markers, dtype=float)[: len(stayed)]
    assert len(markers) == len(stayed) + 1, "and one in the legend"
    values = np.array([(pair["separation_angstrom"], pair["formation_energy_ev"]) for pair in stayed])
    steps, drawn = values[1:] - values[0], shown[1:] - shown[0]
    assert drawn[:, 0] / steps[:, 0] == pytest.approx(np.full(len(steps), drawn[0, 0] / steps[0, 0]))
    assert (np.sign(drawn) == np.sign(steps) * [1, -1]).all(), "upwards is downwards in SVG"


def test_study_finds_the_element_and_refuses_small_cells(tmp_path: Path, library: object) -> None:
    """Lone defects are counted from the phase that is the mobile element; a supercell too small is refused with the study."""
    library(tmp_path / "mine", {"mobile": "Cu"})  # type: ignore[operator]
    block = {"structures": ["Cu3Au", "Cu"], "calculators": ["emt"], "properties": ["defects"]}
    study = {"library": [str(tmp_path / "mine")], "calculations": [block]}
    checked = Study(study)
    assert checked.reservoir("Cu3Au", "emt") == "Cu"
    assert checked.reservoir("Cu", "emt") is None
    assert {job.name for job in checked.jobs} == {"relaxation", "defects"}
    with pytest.raises(StudyError, match=r"defects\.image_distance"):
        Study({**study, "settings": {"defects": {"image_distance": 4}}}).refuse_unsuited()
