"""The fitness of a calculator: a study is written and run, its numbers stand beside published ones, words follow from them."""

import argparse
import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from seiflow.calculators.fitness import BOUNDARIES, PHASES, affordable, run_study, untested, write_study
from seiflow.calculators.recipes import calculator_shelf
from seiflow.cli_people import parser
from seiflow.errors import CalculatorError, InputError, RecipeError
from seiflow.jobs.reference_forces import reference_forces
from seiflow.reference_forces import FOLDER, file_name
from seiflow.report.collect import Case, Collected
from seiflow.report.fitness_page import boundary_order, fitness_page, verdict
from seiflow.report.html import FORCES, Fitness
from seiflow.report.planar_views import Boundary
from seiflow.shelves import phase_shelf
from seiflow.study import Study

Library = Callable[..., Path]


def command(*arguments: str | Path) -> None:
    """Run a command of ``seiflow calculators`` without catching its errors."""
    given = ["calculators", *map(str, arguments)]
    options = parser().parse_args(given, argparse.Namespace(arguments=given))
    options.run(options)


@pytest.fixture
def own(tmp_path: Path, library: Library) -> Path:
    """Return a library with an alloy, a pair potential, and forces of the one by the other as a reference."""
    folder = library(tmp_path / "mine")
    phase, calculator = phase_shelf([folder]).path("Cu3Au"), calculator_shelf([folder]).path("pair")
    reference_forces(phase, calculator, folder / FOLDER / file_name("Cu3Au", "pair"))
    return folder


def blocks(file: Path) -> dict[str, list[str]]:
    """Return the properties asked for of each structure in a study."""
    calculations = yaml.safe_load(file.read_text(encoding="utf-8"))["calculations"]
    return {structure: block["properties"] for block in calculations for structure in block["structures"]}


def case(structure: str, calculator: str, energy: float) -> Case:
    """Return a boundary with an energy, J/m²."""
    common = {"converged": True, "force_evaluations": 1, "warnings": (), "provenance": {}}
    absent = ["boundaries_equivalent", "largest_strains", "strain_energy_j_per_m2", "excess_volume_angstrom", "thicker"]
    absent += ["work_of_adhesion_j_per_m2", "cleavage_energy_j_per_m2"]
    known = {"kind": "grain_boundary", "area_angstrom2": 10.0, "boundaries": 2, "energy_j_per_m2": energy, "surfaces": ()}
    boundary = Boundary.model_validate(common | known | dict.fromkeys(absent))
    return Case(structure, calculator, boundary=boundary, kind="grain_boundary")


def test_the_study_asks_for_what_can_be_compared(tmp_path: Path) -> None:
    """Every phase has stiffness, migration, phonons and softness, every boundary its energies; the study has no mistakes."""
    study = write_study("chgnet", tmp_path)
    asked = blocks(study.file)
    assert set(asked) == {*PHASES, *BOUNDARIES}
    assert all(asked[phase] == ["elasticity", "migration", "phonons", "softness"] for phase in PHASES)
    assert all(asked[boundary] == ["boundary"] for boundary in BOUNDARIES)
    assert study.left_out == ()
    assert {job.calculator for job in Study.read(study.file).jobs} == {"chgnet"}


def test_an_unchanged_study_is_left_alone(tmp_path: Path) -> None:
    """A study written again is the same file, so that nothing is made anew for it."""
    file = write_study("chgnet", tmp_path).file
    before = file.stat().st_mtime_ns
    write_study("chgnet", tmp_path)
    assert file.stat().st_mtime_ns == before
    write_study("chgnet", tmp_path, phases=["LiF"])
    assert set(blocks(file)) == {"LiF", "LiF-210-mirror", "LiF-310-mirror"}


def test_a_calculator_of_other_elements_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EMT knows no phase of an SEI: the message says what it knows and what to do, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CalculatorError, match=r"emt covers none of LiF, Li2O, Li2CO3; it knows Al, .*--phases"):
        command("test", "emt")
    with pytest.raises(CalculatorError, match="gpaw-lcao-pbe gives no stress"):
        command("test", "gpaw-lcao-pbe")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(RecipeError, match="did you mean"):
        command("test", "chgnt")
    with pytest.raises(InputError, match="name a calculator"):
        command("test")


def test_what_is_not_covered_or_has_no_reference_is_told(tmp_path: Path) -> None:
    """Phases that a calculator does not cover, and softness without reference forces, are left out by name."""
    study = write_study("emt", tmp_path, phases=["Cu", "LiF"])
    assert blocks(study.file) == {"Cu": ["elasticity", "migration", "phonons"]}
    told = "\n".join(study.left_out)
    assert "LiF: calculator emt does not cover it" in told
    assert "LiF-210-mirror: not all of its phases are tested with emt" in told
    assert "softness of Cu: there are no reference forces" in told


def test_density_functional_theory_is_tested_by_name_only() -> None:
    """All that are tested together are quick and cover a phase of the SEI."""
    names = affordable()
    assert "gpaw-pbe" not in names
    assert "gpaw-lcao-pbe" not in names
    assert "emt" not in names
    assert "chgnet" in names
    assert "emt" in affordable(phases=["Cu"])


def test_every_calculator_that_was_not_tested_is_named() -> None:
    """Each shipped calculator that is not on the page is told with a reason."""
    told = dict(text.split(": ", 1) for text in untested(["chgnet"]))
    assert set(told) == set(calculator_shelf().names) - {"chgnet"}
    assert "covers none" in told["emt"]
    assert "too dear" in told["gpaw-pbe"]
    assert told["chgnet-r2scan"] == "not asked for"
    assert "- emt: covers none of LiF" in fitness_page(Collected((), ()), {}, not_tested=untested([]))


def test_forces_are_written_where_they_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    """The command writes below references/forces/ here, under the name by which a study looks for it."""
    monkeypatch.chdir(library(tmp_path / "mine"))
    command("forces", "emt", "--phase", "Cu")
    assert [path.name for path in (tmp_path / "mine/references/forces").iterdir()] == ["Cu-emt.extxyz"]
    with pytest.raises(InputError, match=r"name the file \.extxyz"):
        command("forces", "emt", "--phase", "Cu", "--output", "forces.xyz")


@pytest.mark.study
def test_forces_of_elements_that_are_not_covered_are_refused(tmp_path: Path) -> None:
    """A calculator that does not know an element is told from the phase before it is asked for anything."""
    with pytest.raises(CalculatorError, match="calculator emt does not cover F, Li of LiF"):
        command("forces", "emt", "--phase", "LiF", "--output", tmp_path / "own.extxyz")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["forces", "emt", "--phase", "Cu", "--seed", "-1"], "'-1' is no whole number of at least 0"),
        (["forces", "emt", "--phase", "Cu", "--processes", "0"], "'0' is no whole number of at least 1"),
        (["test", "emt", "--cores", "0"], "'0' is no whole number of at least 1"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """No cores, no processes and a negative seed are refused at once, not by what they are handed to."""
    with pytest.raises(SystemExit):
        command(*arguments)
    assert told in capsys.readouterr().err


def test_a_calculator_of_ones_own_is_tested(own: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The study runs to its end and prints table, force scale and verdict, as does the page; run again it has nothing to do."""
    folder, page = tmp_path / "fitness", tmp_path / "page.md"
    asked = ["--folder", folder, "--library", own, "--phases", "Cu3Au", "--boundaries", "--reference", "pair"]
    command("test", "pair", *asked, "--markdown", page)
    told = capfd.readouterr()
    assert "Cu3Au · pair" in told.out
    assert "Force scale" in told.out
    assert "1.00 ± 0.00 against pair" in told.out
    assert "pair: trusted for forces off equilibrium (1.00 ×)." in told.out
    text = page.read_text(encoding="utf-8")
    assert "| Force scale | 1.00 ± 0.00 |" in text
    assert "## Cu3Au" in text
    records = {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")}
    assert {"relaxation", "elasticity", "phonons", "softness"} <= {path.stem for path in records}
    (folder / "pair/.snakemake/locks").mkdir(exist_ok=True)
    (folder / "pair/.snakemake/locks/0.output.lock").write_text(str(folder / "pair/results/table.csv"), encoding="utf-8")
    command("test", "pair", *asked)
    again = capfd.readouterr()
    assert "Nothing to be done" in again.out + again.err
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.json")} == records


def test_two_runs_do_not_meet_in_a_folder(tmp_path: Path) -> None:
    """While one run is at work in a folder, another one is refused; how the first one ends does not matter."""
    study = write_study("chgnet", tmp_path)
    with (tmp_path / ".lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another run is at work here"):
            run_study(study, 1)


def test_the_verdict_follows_from_the_ratios() -> None:
    """What lies within the tolerance is good, also its worst value; a softer crystal never gets a better verdict."""
    measured = {
        "Lattice constants": Fitness("x", "Lattice constants", (1.01, 0.99)),
        "Moduli": Fitness("x", "Moduli", (0.95, 1.05, 0.6)),
        FORCES: Fitness("x", FORCES, (0.9,)),
    }
    told = verdict("x", measured)
    good, _, bad = told.partition("; not for ")
    assert "lattice constants (1.000 ×, 0.990–1.010)" in good
    assert "forces off equilibrium (0.90 ×)" in good
    assert bad == "moduli (0.87 ×, 0.60–1.05)."
    softer = verdict("x", {FORCES: Fitness("x", FORCES, (0.7,))})
    assert softer == "x: not for forces off equilibrium (0.70 ×)."
    assert "no" in verdict("x", {})


def test_boundaries_are_ordered_for_each_calculator() -> None:
    """Energies ascend in every line, and that nothing is published of them is said once."""
    found = Collected((case("A", "one", 0.5), case("B", "one", 0.3), case("A", "two", 0.1), case("B", "two", 0.2)), ())
    lines = boundary_order(found).splitlines()
    assert lines[1:3] == ["  one: B 0.300 J/m² < A 0.500 J/m²", "  two: A 0.100 J/m² < B 0.200 J/m²"]
    assert "Nothing published" in lines[-1]
    assert boundary_order(Collected((), ())) == ""
    page = fitness_page(found, {})
    assert "| A | 0.500 J/m² | 0.100 J/m² |" in page
    assert page.count("Nothing published") == 1
    assert "\nseiflow calculators test one two --markdown" in page


def test_the_shipped_page_is_a_page_of_this_program(repository: Path) -> None:
    """The page in the documentation has the sections that the program writes, and a column for all that ``--all`` would test."""
    text = (repository / "docs/fitness.md").read_text(encoding="utf-8")
    written = fitness_page(Collected((), ()), {})
    heads = [line for line in written.splitlines() if line.startswith("#")]
    assert [line for line in heads if line not in text.splitlines()] == []
    names = affordable()
    assert {"chgnet", "chgnet-r2scan"} <= set(names)
    head = next(line for line in text.splitlines() if line.startswith("|  | "))
    assert [name for name in names if f"| {name} |" not in head] == []
    assert all(f"## {phase}" in text for phase in PHASES)
