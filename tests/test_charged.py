"""Charged defects: corrections agree with sums of their own, energies add up, and what knows no charge is refused."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atom, Atoms
from ase.calculators.emt import EMT
from ase.io import write
from ase.units import Bohr, Hartree
from charges import COULOMB, gaussian_state, madelung

from seiflow.calculators.electronic import ElectronicState
from seiflow.calculators.factory import calculator_context, make_calculator
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.cli import main
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, InputError, PhysicsError, StudyError
from seiflow.journal import Journal
from seiflow.properties.charged.cells import ChargedCell
from seiflow.properties.charged.charged import ChargedDefects, charged_defects
from seiflow.properties.charged.corrections import NONE, freysoldt
from seiflow.properties.charged.levels import BandEdges, ChargedDefect, band_edges, transition_levels
from seiflow.properties.charged.limits import Phase, limits
from seiflow.properties.charged.plan import plan_charged
from seiflow.properties.charged.site_average import kumagai, unit_potential
from seiflow.records import plain, read_record
from seiflow.report.collect import Target, collect
from seiflow.report.quantities import quantities
from seiflow.report.table import format_table
from seiflow.settings import ChargedDefectSettings
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.sites import crystal_from_sites
from seiflow.study import Study

CELLS = {
    "cubic": np.eye(3) * 8.0,
    "tetragonal": np.diag([7.0, 7.0, 9.0]),
    "skewed": np.array([[0, 6, 6], [6, 0, 6], [6, 6, 0.0]]),
}

SETTINGS = ChargedDefectSettings(vacancies={"Li": (-1,), "F": (1,)}, image_distance=4.0, dielectric=9.0, shake=False)
"""Eight atoms: far too small for physics, enough for laws."""


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(("charge", "dielectric"), [(-1, 9.0), (1, 2.0), (2, 5.0)])
def test_correction_agrees_with_an_ewald_sum(name: str, charge: int, dielectric: float) -> None:
    """The correction of a smooth charge is its energy alone less that in the cell by Ewald, plus charge times applied shift."""
    cell, sigma, shift, place = CELLS[name], 0.6, 0.1, np.array([0.1, 0.25, 0.5])
    state = gaussian_state(cell, charge, dielectric, sigma=sigma, place=place, shift=shift)
    empty = gaussian_state(cell, 0.0, dielectric, sigma=sigma, place=place, shift=0.0)
    found = freysoldt(charge, cell, place.tolist(), state, empty, dielectric * np.eye(3))
    points = -madelung(cell) * charge**2 / dielectric
    width = 2 * np.pi * COULOMB * charge**2 * sigma**2 / dielectric / abs(np.linalg.det(cell))
    assert found.lattice_ev == pytest.approx(points, rel=1e-3)
    assert found.alignment_ev == pytest.approx(charge * shift - width, abs=2e-3)
    assert found.correction_ev == pytest.approx(points - width + charge * shift, abs=3e-3)
    assert found.roughness_ev < 1e-3
    assert np.ptp(found.shifts_ev) < 1e-3


@pytest.mark.parametrize("tensor", [np.eye(3) * 3.0, np.diag([2.0, 2.0, 6.0]), np.array([[4.0, 1, 0], [1, 4, 0], [0, 0, 3]])])
@pytest.mark.parametrize("name", CELLS)
def test_potential_of_a_charge_agrees_with_a_plain_sum(name: str, tensor: np.ndarray) -> None:
    """Far from a charge in an anisotropic dielectric its potential is that of a narrow Gaussian, summed over plane waves."""
    cell, sigma = CELLS[name], 0.5
    volume = abs(np.linalg.det(cell))
    numbers = np.array(list(itertools.product(range(-22, 23), repeat=3)))
    waves = numbers[np.any(numbers != 0, axis=1)] @ (2 * np.pi * np.linalg.inv(cell).T)
    squares = np.einsum("ni,ij,nj->n", waves, tensor, waves)
    amplitudes = 4 * np.pi * COULOMB / volume * np.exp(-squares * sigma**2 / 2) / squares
    mean = 2 * np.pi * COULOMB * sigma**2 / volume
    for fractions in ([0.5, 0.5, 0.5], [0.5, 0.45, 0.3]):
        offset = np.array(fractions) @ cell
        expected = np.sum(amplitudes * np.cos(waves @ offset)) - mean
        assert unit_potential(offset, cell, tensor) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("charge", [-1, 2])
def test_average_at_atoms_agrees_with_an_ewald_sum(charge: int) -> None:
    """With potentials of a point charge and a shift at the atoms, the correction is the Ewald energy and charge times shift."""
    cell, dielectric = CELLS["tetragonal"], 4.0
    sites = np.random.default_rng(1).random((40, 3)) @ cell
    place = np.array([1.0, 2.0, 3.0])
    potentials = [-charge * unit_potential(site - place, cell, dielectric * np.eye(3)) + 0.2 for site in sites]
    found = kumagai(charge, cell, place, sites, np.array(potentials), dielectric * np.eye(3))
    assert found.lattice_ev == pytest.approx(-madelung(cell) * charge**2 / dielectric, rel=1e-6)
    assert found.alignment_ev == pytest.approx(0.2 * charge)
    assert found.roughness_ev < 1e-6


def test_ewald_sum_knows_the_simple_cubic_lattice() -> None:
    """The sum that the correction is compared with has the textbook constant of the simple cubic lattice, 2.8373."""
    assert -madelung(np.eye(3) * 5.0) * 2 * 5.0 / COULOMB == pytest.approx(2.8372975, rel=1e-6)


def test_neutral_cell_needs_no_correction() -> None:
    """Without charge nothing is corrected, whatever the potentials."""
    state = gaussian_state(CELLS["cubic"], 1.0, 1.0, sigma=0.5, place=np.zeros(3), shift=0.3)
    assert freysoldt(0, CELLS["cubic"], (0, 0, 0), state, state, np.eye(3)).correction_ev == 0


def test_limits_are_where_the_crystal_meets_other_phases() -> None:
    """A salt is bounded by its elements; potentials add up to its energy; a phase in between takes the place of an element."""
    salt, metal, gas = Phase("AB", {"A": 1, "B": 1}, -7.0), Phase("A", {"A": 1}, -2.0), Phase("B", {"B": 1}, -1.0)
    corners = {limit.name: limit.chemical_potentials_ev for limit in limits(salt, [metal, gas])}
    assert corners == {"with A": {"A": -2.0, "B": -5.0}, "with B": {"A": -6.0, "B": -1.0}}
    richer = Phase("AB2", {"A": 1, "B": 2}, -10.0)
    corners = {limit.name: limit.chemical_potentials_ev for limit in limits(salt, [metal, gas, richer])}
    assert corners == {"with A": {"A": -2.0, "B": -5.0}, "with AB2": {"A": -4.0, "B": -3.0}}
    for potentials in corners.values():
        assert sum(potentials.values()) == pytest.approx(salt.energy_ev)


def test_limits_leave_out_foreign_phases_and_unstable_crystals() -> None:
    """A phase with another element bounds nothing, and a crystal that its elements outdo has no limits."""
    salt, metal = Phase("AB", {"A": 1, "B": 1}, -7.0), Phase("A", {"A": 1}, -2.0)
    assert limits(salt, [Phase("AC", {"A": 1, "C": 1}, -9.0)]) == ()
    assert [limit.name for limit in limits(salt, [metal])] == ["with A"]
    assert limits(salt, [Phase("A", {"A": 1}, -4.0), Phase("B", {"B": 1}, -4.0)]) == ()
    ternary = Phase("ABC", {"A": 1, "B": 1, "C": 1}, -9.0)
    elements = [Phase(symbol, {symbol: 1}, -1.0) for symbol in "ABC"]
    assert {limit.name for limit in limits(ternary, elements)} == {"with A and B", "with A and C", "with B and C"}


def study(**changes: object) -> dict[str, object]:
    block = {"structures": ["LiF"], "calculators": ["chgnet"], "properties": ["charged_defects"]}
    return {"calculations": [block | changes], "settings": {"charged_defects": {"dielectric": 9.0}}}


def test_potential_that_knows_no_charge_is_refused_before_any_job() -> None:
    """A study of charged defects with an ML potential is a mistake that names the key of the recipe and another calculator."""
    with pytest.raises(StudyError, match=r"chgnet knows no charge \(its recipe says charge: false\).*gpaw-pbe"):
        Study(study())
    with pytest.raises(CalculatorError, match="knows no charge"):
        make_calculator(calculator_shelf().get("chgnet"), charge=-1)


def test_command_refuses_a_potential_that_knows_no_charge(
    tmp_path: Path, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command of the rule, run by hand with such a potential, ends with the same message before it computes."""
    crystal = build_crystal(phase_shelf().get("LiF"))
    write(tmp_path / "relaxed.extxyz", crystal)
    arguments = ["--structure", str(repository / "structures/phases/LiF.yaml")]
    arguments += ["--calculator", str(repository / "calculators/chgnet.yaml"), "--relaxed", str(tmp_path / "relaxed.extxyz")]
    assert main(["charged-defects", *arguments, "--output", str(tmp_path / "charged_defects.json")]) == 1
    assert "knows no charge" in capsys.readouterr().err
    assert not (tmp_path / "charged_defects.json").exists()


def test_study_finds_the_phases_that_bound_a_crystal(tmp_path: Path, library: object) -> None:
    """Phases of the study with the same calculator and no other elements bound the chemical potentials, and only those."""
    library(tmp_path / "mine", {}, {"charge": True, "electronic": True})  # type: ignore[operator]
    other = {"structures": ["Li", "Li2CO3"], "calculators": ["pair"], "properties": ["relaxation"]}
    asked = study(structures=["Li2O"], calculators=["pair"])
    asked["calculations"] = [*asked["calculations"], other, other | {"structures": ["LiF"], "calculators": ["chgnet"]}]  # type: ignore[misc]
    checked = Study(asked | {"library": [str(tmp_path / "mine")]})
    assert checked.competing("Li2O", "pair") == ["Li"]
    assert checked.competing("Li2CO3", "pair") == ["Li", "Li2O"]
    assert {job.name for job in checked.jobs} == {"relaxation", "charged_defects"}


def test_calculator_without_potential_is_refused(tmp_path: Path, library: object) -> None:
    """A calculator that takes charges but tells no electrostatic potential cannot give the correction, and is refused."""
    library(tmp_path / "mine", {}, {"charge": True})  # type: ignore[operator]
    with pytest.raises(StudyError, match="pair tells no electrostatic potential"):
        Study(study(calculators=["pair"]) | {"library": [str(tmp_path / "mine")]})
    with pytest.raises(CalculatorError, match="EMT tells no electrostatic potential"):
        Engine(EMT()).electronic_state(build_crystal(phase_shelf().get("Cu")))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dielectric": None}, r"static dielectric constant.*charged_defects\.dielectric"),
        ({"vacancies": {"O": (2,)}}, r"no single ion O to take out.*there are F, Li"),
    ],
)
def test_mistakes_are_found_without_computing(changes: dict[str, object], said: str) -> None:
    """A missing dielectric constant and an ion that is not there are told before anything is computed."""
    phase = phase_shelf().get("LiF")
    with pytest.raises(InputError, match=said):
        plan_charged(build_crystal(phase), phase, SETTINGS.model_copy(update=changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dielectric": [[2, 1, 0], [0, 2, 0], [0, 0, 2]]}, "dielectric tensor is symmetric"),
        ({"dielectric": [[2, 3, 0], [3, 2, 0], [0, 0, 2]]}, "with eigenvalues of at least 1"),
        ({"dielectric": [[2, 0, 0], [0, 2, 0], [0, 0, 0.5]]}, "with eigenvalues of at least 1"),
        ({"dielectric": 0.5}, "greater than or equal to 1"),
        ({"elements_ev": {"Xy": -1}}, "no chemical symbols: Xy"),
        ({"vacancies": {"Li": []}}, "at least 1 item"),
    ],
)
def test_wrong_settings_are_told(changes: dict[str, object], said: str) -> None:
    """A tensor that no dielectric has, an unknown element and a vacancy without charges are mistakes of the study."""
    with pytest.raises(StudyError, match=said):
        Study(study(calculators=["chgnet"]) | {"settings": {"charged_defects": {"dielectric": 9.0} | changes}})


def test_cell_whose_images_touch_is_refused() -> None:
    """Images of a defect never share neighbours: a smaller cell is refused with the distance that suffices."""
    data = {"name": "AB", "summary": "test", "formula": "LiF", "space_group": 221, "mobile": "Li"}
    data |= {"cell": {"a": 3.0, "b": 3.0, "c": 3.0}, "charges": {"Li": 1, "F": -1}, "source": {"citation": "a test"}}
    data |= {"sites": [{"species": "Li", "position": [0, 0, 0]}, {"species": "F", "position": [0.5, 0.5, 0.5]}]}
    phase = PhaseRecipe.model_validate(data)
    crystal = crystal_from_sites(phase)
    settings = ChargedDefectSettings(image_distance=3.0, dielectric=5.0)
    with pytest.raises(InputError, match=r"charged_defects\.image_distance: (\d\.\d)\)") as caught:
        plan_charged(crystal, phase, settings)
    needed = float(str(caught.value).rpartition(" ")[2].rstrip(")"))
    host = plan_charged(crystal, phase, settings.model_copy(update={"image_distance": needed})).host
    assert host.image_distance_angstrom >= needed - 1e-6


def test_default_is_the_mobile_ion_in_the_charge_it_leaves() -> None:
    """Without a choice the vacancy of the mobile ion is taken, charged by minus the ion's formal charge."""
    phase = phase_shelf().get("Li2O")
    plan = plan_charged(build_crystal(phase), phase, ChargedDefectSettings(dielectric=8.0))
    assert [(asked.name, asked.species, asked.charge) for asked in plan.asked] == [("vacancy Li_1, charge -1", "Li", -1)]


def test_charges_have_one_energy_at_their_transition_level() -> None:
    """At a transition level the lines of two charges cross, whatever the potentials, and it says whether that is in the gap."""
    edges = BandEdges(1.0, 6.0, 5.0, "a test")
    energies = {1: 2.0, 0: 6.5, -1: 14.5}
    states = []
    for charge, energy in energies.items():
        cell = ChargedCell("vacancy X_1", 7, energy, 0.0, 0.0, "1 vacancy", moved=False, correction=NONE, other_correction=None)
        states.append(
            ChargedDefect("vacancy X_1", "vacancy", "X", charge, cell, {"anywhere": energy + charge * edges.valence_ev - 3.0})
        )
    levels = transition_levels(states, 0.0, edges)
    assert [level.charges for level in levels] == [(1, 0), (0, -1)]
    for level in levels:
        above, below = (
            next(state for state in states if state.charge == charge).formation_energy_ev["anywhere"] + charge * level.level_ev
            for charge in level.charges
        )
        assert above == pytest.approx(below)
        assert level.inside_gap == (0 <= level.level_ev <= edges.gap_ev)
    assert [level.inside_gap for level in levels] == [True, False]


@pytest.fixture(scope="module")
def low_cutoff(installed: Callable[[str], CalculatorRecipe]) -> CalculatorRecipe:
    """Return GPAW with few plane waves."""
    recipe = installed("gpaw-pbe")
    return recipe.model_copy(update={"arguments": recipe.arguments | {"cutoff_ev": 300, "kpoint_length": 4.0}})


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    return build_crystal(phase_shelf().get("LiF"))


METAL = Phase("Li", {"Li": 1}, -1.9)


def computed(
    crystal: Atoms, recipe: CalculatorRecipe, journal: Path, settings: ChargedDefectSettings = SETTINGS
) -> ChargedDefects:
    def engine_of(charge: int) -> Engine:
        return Engine(make_calculator(recipe, charge), Journal(journal, calculator_context(recipe, charge)))

    engines = {charge: engine_of(charge) for charge in (-1, 0, 1)}
    return charged_defects(crystal, phase_shelf().get("LiF"), engines.__getitem__, settings, [METAL])


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("charged") / "journal"


@pytest.fixture(scope="module")
def result(crystal: Atoms, low_cutoff: CalculatorRecipe, journal: Path) -> ChargedDefects:
    return computed(crystal, low_cutoff, journal)


def test_schottky_pair_holds_no_reservoir(result: ChargedDefects) -> None:
    """Vacancies of one formula unit in the charges of their ions add up to one energy at any limit and Fermi level."""
    (limit,) = result.limits
    assert limit.name == "with Li"
    energies = [defect.formation_energy_ev[limit.name] for defect in result.defects]
    assert sum(energies) == pytest.approx(result.schottky_energy_ev)
    first, second = result.curves
    assert np.add(first.energies_ev, second.energies_ev) == pytest.approx(result.schottky_energy_ev)
    slopes = [np.diff(curve.energies_ev) / np.diff(curve.fermi_levels_ev) for curve in result.curves]
    assert np.mean(slopes, axis=1) == pytest.approx([1, -1])


def solved(atoms: Atoms, charge: int) -> tuple[float, float]:
    """Return energy and valence edge by GPAW called directly, in the settings of ``low_cutoff``."""
    from gpaw.new.ase_interface import GPAW

    mode, mesh = {"name": "pw", "ecut": 300}, {"size": (1, 1, 1), "gamma": True}
    rest = {"occupations": {"name": "fermi-dirac", "width": 0.05}, "convergence": {"density": 1e-6}, "setups": {"F": "v2"}}
    solver = GPAW(mode=mode, xc="PBE", kpts=mesh, charge=charge, txt=None, **rest)
    solver.calculate(atoms, ["energy"])
    return solver.results["energy"], solver.get_homo_lumo()[0]


def test_formation_energy_agrees_with_the_formula_by_hand(crystal: Atoms, result: ChargedDefects) -> None:
    """Energies of the cells, by GPAW called directly, give the formation energy written out."""
    empty = crystal.copy()
    del empty[next(atom.index for atom in empty if atom.symbol == "Li")]
    perfect, edge = solved(crystal, 0)
    found = next(defect for defect in result.defects if defect.species == "Li")
    expected = solved(empty, -1)[0] - perfect + METAL.energy_ev - edge + found.cell.correction.correction_ev
    assert found.formation_energy_ev["with Li"] == pytest.approx(expected, abs=5e-3)


def test_interstitial_adds_to_what_vacancies_give(
    crystal: Atoms, result: ChargedDefects, low_cutoff: CalculatorRecipe, journal: Path, tmp_path: Path
) -> None:
    """With an interstitial the vacancies keep their energies; its own, not corrected, is the formula by hand."""
    shutil.copyfile(journal, tmp_path / "journal")
    settings = SETTINGS.model_copy(update={"interstitials": 1, "fmax": 5.0, "correction": "none"})
    more = computed(crystal, low_cutoff, tmp_path / "journal", settings)
    assert [defect.cell.energy_ev for defect in more.defects[:2]] == [defect.cell.energy_ev for defect in result.defects]
    added = more.defects[2]
    filled = crystal.copy()
    filled.append(Atom("Li", crystal.cell.cartesian_positions([0.25, 0.25, 0.25])))
    perfect, edge = solved(crystal, 0)
    expected = solved(filled, 1)[0] - perfect - METAL.energy_ev + edge
    assert added.formation_energy_ev["with Li"] == pytest.approx(expected, abs=5e-3)
    empty = next(defect for defect in more.defects if (defect.species, defect.kind) == ("Li", "vacancy"))
    both = added.formation_energy_ev["with Li"] + empty.formation_energy_ev["with Li"]
    assert more.frenkel_energy_ev == pytest.approx(both)


def test_correction_agrees_with_that_of_gpaw(
    crystal: Atoms, result: ChargedDefects, low_cutoff: CalculatorRecipe, journal: Path
) -> None:
    """GPAW's own model charge gives the lattice term of the library, and potentials are those of an electron in both."""
    from gpaw.defects.electrostatics import ElectrostaticCorrections, build_ugarray

    grid = np.zeros((16, 16, 16))
    sigma = Bohr / 2**0.5
    own = ElectrostaticCorrections(
        build_ugarray(crystal, grid), build_ugarray(crystal, grid), ecut=4000, charge=1, epsilon=9.0, sigma=sigma, r0=(0, 0, 0)
    )
    isolated = own.calculate_isolated_correction()
    periodic = own.calculate_periodic_correction()
    volume = crystal.get_volume() / Bohr**3
    model = np.pi / volume / 9.0  # the library counts the average of the model's potential to the lattice term
    lattice = (isolated - periodic + model) * Hartree
    assert [defect.cell.correction.lattice_ev for defect in result.defects] == pytest.approx([lattice] * 2, abs=2e-3)
    state = Engine(EMT(), Journal(journal, calculator_context(low_cutoff))).electronic_state(crystal)
    assert (state.sites_ev < 0).all()
    assert state.sites_ev[crystal.symbols == "F"].max() < state.sites_ev[crystal.symbols == "Li"].min()


@pytest.mark.usefixtures("low_cutoff")
def test_energy_and_levels_have_one_zero(crystal: Atoms) -> None:
    """Electrons taken from a cell cost what its valence edge says, so charged energies and levels count from one potential."""
    from seiflow.calculators.gpaw import gpaw

    energies, edges = [], []
    for charge in (0.1, 0.2):
        solver = gpaw(cutoff_ev=300, kpoint_length=4.0, smearing_ev=0.01, charge=charge)  # type: ignore[arg-type] # a fraction
        energies.append(Engine(solver).evaluate(crystal).energy)
        edges.append(solver.electronic_state(crystal).valence_ev)
    assert (energies[1] - energies[0]) / 0.1 == pytest.approx(-np.mean(edges), abs=0.05)


def test_killed_job_goes_on_from_its_journal(
    crystal: Atoms, result: ChargedDefects, low_cutoff: CalculatorRecipe, journal: Path, tmp_path: Path
) -> None:
    """From a whole journal nothing is computed again; what a kill cut off, potentials included, is, with the same result."""
    recipe = low_cutoff
    phase = phase_shelf().get("LiF")

    def finds(charge: int) -> Engine:
        return Engine(EMT(), Journal(journal, calculator_context(recipe, charge)))  # which could compute none of it

    again = charged_defects(crystal, phase, {charge: finds(charge) for charge in (-1, 0, 1)}.__getitem__, SETTINGS, [METAL])
    assert plain(again) == plain(result)
    lines = journal.read_text(encoding="utf-8").splitlines()
    cut = tmp_path / "cut"
    cut.write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:100], encoding="utf-8")
    resumed = computed(crystal, recipe, cut)
    pairs = zip(resumed.defects, result.defects, strict=True)
    assert all(
        one.cell.correction.correction_ev == pytest.approx(other.cell.correction.correction_ev, abs=2e-3) for one, other in pairs
    )


def test_command_writes_a_record_that_the_table_shows(
    crystal: Atoms, result: ChargedDefects, low_cutoff: CalculatorRecipe, journal: Path, tmp_path: Path, repository: Path
) -> None:
    """The command of the rule writes charged_defects.json from the journal of a killed run, and the report reads its numbers."""
    recipe = low_cutoff.model_copy(update={"name": "low"})
    (tmp_path / "low.yaml").write_text(recipe.model_dump_json(), encoding="utf-8")
    folder = tmp_path / "results/LiF/low"
    folder.mkdir(parents=True)
    write(folder / "relaxed.extxyz", crystal)
    shutil.copyfile(journal, folder / ".charged_defects.json.journal")
    arguments = ["--structure", str(repository / "structures/phases/LiF.yaml"), "--calculator", str(tmp_path / "low.yaml")]
    arguments += ["--settings", '{"charged_defects": ' + SETTINGS.model_dump_json() + "}", "--competing"]
    arguments += ["--relaxed", str(folder / "relaxed.extxyz"), "--output", str(folder / "charged_defects.json")]
    assert main(["charged-defects", *arguments]) == 0
    record = read_record(folder / "charged_defects.json")
    assert record["schottky_energy_ev"] == pytest.approx(result.schottky_energy_ev, abs=1e-6)
    assert {"gpaw", "gpaw_data", "pymatgen-analysis-defects"} <= set(record["provenance"]["versions"])
    assert any("fix the chemical potentials" in warning for warning in record["warnings"])
    found = collect(tmp_path / "results", [Target("LiF", "low", "charged_defects")])
    assert found.missing == ()
    numbers = {quantity.key: quantity for quantity in quantities(found.cases[0])}
    assert numbers["charged_schottky_energy_ev"].value == record["schottky_energy_ev"]
    assert "Schottky, charged, alone" in format_table(found, {})


def test_metal_has_no_charged_defects() -> None:
    """A phase whose ions have no charge is refused before any job, and a crystal that turns out to have no gap after it."""
    metal = phase_shelf().get("Li")
    with pytest.raises(InputError, match="counts as a metal"):
        plan_charged(build_crystal(metal), metal, SETTINGS)
    lines = (np.zeros(4), np.zeros(4), np.zeros(4))
    with pytest.raises(PhysicsError, match=r"a band gap of 0\.05 eV; in a metal"):
        band_edges(ElectronicState(lines, np.zeros(2), 1.0, 1.05), "Li")
