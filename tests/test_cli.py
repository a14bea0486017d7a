"""The command line: help everywhere, one message for a mistake, status 1, and a trace of what failed."""

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from seiflow import __version__, cli
from seiflow.cli import main
from seiflow.cli_people import parser
from seiflow.jobs import crystal
from seiflow.records import read_record

Library = Callable[..., Path]
Run = Callable[..., Any]
COPPER: dict[str, Any] = {"structures": ["Cu"], "calculators": ["emt"], "properties": ["elasticity"]}


def commands() -> dict[str, argparse.ArgumentParser]:
    return next(dict(a.choices) for a in parser()._actions if isinstance(a, argparse._SubParsersAction))  # noqa: SLF001 - no other way


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[dict[str, Any] | str], str]]:
    """Return a function that checks a study, makes sure it is refused decently, and returns the message."""

    def check(study: dict[str, Any] | str) -> str:
        text = study if isinstance(study, str) else yaml.safe_dump(study, sort_keys=False)
        (here / "study.yaml").write_text(text, encoding="utf-8")
        assert main(["check", "study.yaml"]) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith("error: ")
        assert said.err.count("error: ") == 1
        assert "Traceback" not in said.err
        assert "unexpected" not in said.err
        return said.err

    yield check
    assert not (here / "results").exists()


def test_program_answers_quickly(run: Run, repository: Path) -> None:
    """Help needs the standard library and this package alone, none of the packages that take seconds to load."""
    told = run(sys.executable, "-X", "importtime", "-m", "seiflow", "--help", cwd=repository)
    assert told.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.stderr.splitlines()}
    assert {"seiflow", "argparse"} <= loaded
    assert not loaded & {
        "ase",
        "matplotlib",
        "numpy",
        "phonopy",
        "pydantic",
        "pymatgen",
        "scipy",
        "snakemake",
        "spglib",
        "torch",
        "yaml",
    }


@pytest.mark.parametrize("name", commands())
def test_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command shows help, and every option of it tells what it is for."""
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert f"seiflow {name}" in capsys.readouterr().out
    assert all(action.help for action in commands()[name]._actions)  # noqa: SLF001 - argparse shows them in no other way


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the program has a line on every command."""
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = " ".join(capsys.readouterr().out.split())
    listed = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))  # noqa: SLF001
    lines = {action.dest: action.help or "" for action in listed._choices_actions}  # noqa: SLF001 - argparse shows them in no other way
    assert set(lines) == set(commands())
    assert [name for name, line in lines.items() if f"{name} {line}" not in shown or len(line.split()) < 3] == []


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """The version shown is that of the package."""
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


def test_sound_study_is_said_to_be_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A study without mistakes is said to have none, with its cost, and nothing is computed or written."""
    (here / "study.yaml").write_text(yaml.safe_dump({"calculations": [COPPER]}), encoding="utf-8")
    assert main(["check", "study.yaml"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("study.yaml: no mistakes\n")
    assert "core minutes" in said.out
    assert [path.name for path in here.iterdir()] == ["study.yaml"]


def test_unknown_key_is_refused(refused: Callable[..., str]) -> None:
    """An unknown key is refused with the file and the nearest key."""
    said = refused({"calculations": [{**COPPER, "propertys": []}]})
    assert "study.yaml" in said
    assert "calculations.0.propertys: unknown key; did you mean 'properties'?" in said


def test_unknown_names_are_refused(refused: Callable[..., str]) -> None:
    """Unknown structures and calculators are refused with the nearest names."""
    said = refused({"calculations": [{**COPPER, "structures": ["Cuu"], "calculators": ["etm"]}]})
    assert "unknown structure 'Cuu'; did you mean 'Cu'?" in said
    assert "unknown calculator 'etm'; did you mean 'emt'?" in said


def test_uncovered_elements_are_refused(refused: Callable[..., str]) -> None:
    """A calculator without parameters for an element is refused with the elements and the calculators that have them."""
    said = refused({"calculations": [{**COPPER, "structures": ["LiF"]}]})
    assert "calculator emt does not cover F, Li of LiF; these do: chgnet" in said


def test_malformed_yaml_is_refused(refused: Callable[..., str]) -> None:
    """A study that is no YAML is refused with file and line."""
    text = "calculations:\n  - structures: [Cu\n    calculators: [emt]\n"
    assert "study.yaml, line 3, column 16: not valid YAML" in refused(text)


def test_missing_study_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A study file that does not exist is refused by name."""
    assert main(["check", str(here / "no.yaml")]) == 1
    assert capsys.readouterr().err == f"error: {here / 'no.yaml'}: no such file\n"


@pytest.mark.parametrize(
    ("structure", "said"),
    [
        ({"formula": "CuAu"}, "AuCu3 is not made of whole formula units of CuAu"),
        ({"charges": {"Cu": 1, "Au": 0}}, r"Cu3Au\.yaml.*\n.*charges of Cu3Au add up to \+3 e"),
        ({"charges": {"Cu": 0}}, r"Cu3Au\.yaml.*\n.*formula Cu3Au has Au, Cu, charges have Cu"),
        ({"cell": {"a": 1.5, "b": 1.5, "c": 1.5}}, r"Cu3Au.*\n.*atoms \d \(\w+\) and \d \(\w+\) are \d\.\d\d Å apart"),
        ({"cell": {"a": 3.75, "b": 3.75, "c": 3.9}}, r"Cu3Au: the sites have space group P4/mmm \(123\), the recipe says 221"),
    ],
)
def test_unsound_structure_is_refused(
    refused: Callable[..., str], here: Path, library: Library, structure: dict[str, Any], said: str
) -> None:
    """A recipe whose formula, charges, cell and space group disagree is refused with its name and what is wrong."""
    library(here / "mine", structure=structure)
    block = {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["elasticity"]}
    assert re.search(said, refused({"library": ["mine"], "calculations": [block]}))


def test_cutoff_that_is_too_short_is_refused(refused: Callable[..., str]) -> None:
    """Hops too short to percolate are refused with the cut-off that suffices and the setting to change."""
    settings = {"migration": {"cutoff": 2.0, "image_distance": 5}}
    said = refused({"calculations": [{**COPPER, "properties": ["migration"]}], "settings": settings})
    assert "study.yaml" in said
    assert "the shortest cut-off that does is 2.556 Å (settings: migration.cutoff, null finds it)" in said


@pytest.mark.parametrize(
    ("calculator", "said"),
    [
        ({"factory": "no_such_package:Calculator", "extra": "sevennet"}, "pip install 'seiflow[sevennet]'"),
        ({"weights": ["/no/such/weights.pt"]}, "weights '/no/such/weights.pt' not found (no file /no/such/weights.pt)"),
        ({"weights": ["../weights.pt"]}, "weights '../weights.pt' not found (a path begins with the name of a package, / or ~)"),
    ],
)
def test_calculator_that_cannot_be_made_is_refused(
    refused: Callable[..., str], here: Path, library: Library, calculator: dict[str, Any], said: str
) -> None:
    """A calculator whose package or weights are missing is refused with the command that installs it or the path."""
    library(here / "mine", calculator=calculator)
    message = refused({"library": ["mine"], "calculations": [{**COPPER, "calculators": ["pair"]}]})
    assert "calculator pair: " in message
    assert said in message


def test_unwritable_results_are_refused(refused: Callable[..., str], here: Path) -> None:
    """A results folder that cannot be made is refused with the reason and what to do."""
    (here / "file").write_text("in the way", encoding="utf-8")
    said = refused({"results": "file/results", "calculations": [COPPER]})
    assert "results: file cannot be written" in said
    assert "choose another folder" in said


def test_contradicting_settings_are_refused(refused: Callable[..., str]) -> None:
    """The same structure and calculator with two sets of settings are refused."""
    blocks = [COPPER, {**COPPER, "settings": {"elasticity": {"strain": 0.002}}}]
    said = refused({"calculations": blocks})
    assert "calculations.1.settings: Cu with emt has other settings in an earlier block" in said


def test_recipes_are_listed(here: Path, library: Library, capsys: pytest.CaptureFixture[str]) -> None:
    """The list shows every recipe with its summary, the user's own among them."""
    assert main(["list", "--library", str(library(here / "mine"))]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["phases"] in lines
    assert ["calculators"] in lines
    assert {"Cu", "Cu3Au", "emt", "pair"} <= {line[0] for line in lines if len(line) > 2}


def test_report_of_a_study_that_has_not_run(here: Path) -> None:
    """A report can be written at any time; it says what is not computed."""
    (here / "study.yaml").write_text(yaml.safe_dump({"calculations": [COPPER]}), encoding="utf-8")
    assert main(["report", "study.yaml"]) == 0
    assert "not computed" in (here / "results/report.html").read_text(encoding="utf-8")


def relax(here: Path, repository: Path, *more: str) -> list[str]:
    """Return the arguments that relax copper in a folder."""
    structure, calculator = repository / "structures/phases/Cu.yaml", repository / "calculators/emt.yaml"
    main(["build", "--structure", str(structure), "--output", str(here / "built.extxyz")])
    files = ["--built", str(here / "built.extxyz"), "--relaxed", str(here / "relaxed.extxyz")]
    return [
        "relax",
        *("--structure", str(structure), "--calculator", str(calculator)),
        *files,
        *("--output", str(here / "relaxation.json"), "--log", str(here / "relaxation.log"), *more),
    ]


def test_failure_is_kept_until_it_succeeds(here: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A job that fails writes no record but its reason beside it; the reason goes once the job succeeds."""
    arguments = relax(here, repository, "--settings", '{"relaxation": {"max_steps": 1}}')
    assert main(arguments) == 1
    reason = (here / "relaxation.failed").read_text(encoding="utf-8")
    assert "after 1 steps" in reason
    assert capsys.readouterr().err == f"error: {here / 'relaxation.json'}: {reason}"
    assert not (here / "relaxation.json").exists()
    assert main(arguments[:-2]) == 0
    assert not (here / "relaxation.failed").exists()
    assert read_record(here / "relaxation.json")["converged"] is True


def test_unexpected_error_is_one_line_with_a_traceback_in_the_log(
    here: Path, repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error nobody thought of is one line on the terminal; the log keeps the traceback."""

    def broken(*_: object) -> None:
        message = "seven"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(crystal, "relax", broken)
    assert main(relax(here, repository)) == 1
    assert capsys.readouterr().err == f"error: {here / 'relaxation.json'}: unexpected ZeroDivisionError: seven\n"
    assert "Traceback" in (here / "relaxation.log").read_text(encoding="utf-8")
    assert (here / "relaxation.failed").read_text(encoding="utf-8") == "unexpected ZeroDivisionError: seven\n"


def test_interrupted_job_can_go_on(
    here: Path, repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt ends with the shell's status for it and says that the job can go on; it is no failure."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crystal, "relax", interrupted)
    assert main(relax(here, repository)) == cli.INTERRUPTED
    assert "run again" in capsys.readouterr().err
    assert not (here / "relaxation.failed").exists()


@pytest.mark.parametrize("text", ['{"relaxation": {"fmaxx": 1}}', "{", '{"relaxation": 3}'])
def test_wrong_settings_are_refused(here: Path, repository: Path, capsys: pytest.CaptureFixture[str], text: str) -> None:
    """Settings that are no JSON or hold unknown keys are refused as the user's mistake, without a traceback."""
    assert main(relax(here, repository, "--settings", text)) == 1
    said = capsys.readouterr().err
    assert "settings" in said
    assert "unexpected" not in said


def test_damaged_structure_is_refused(here: Path, repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A structure file that is cut off is refused by name, with what to do."""
    arguments = relax(here, repository)
    (here / "built.extxyz").write_text("4\nLattice", encoding="utf-8")
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert f"{here / 'built.extxyz'}: not a readable structure" in said
    assert "Delete it" in said


def test_building_twice_gives_the_same_bytes(here: Path, repository: Path) -> None:
    """A structure built twice is the same file."""
    recipe = str(repository / "structures/phases/Cu.yaml")
    for name in ("a.extxyz", "b.extxyz"):
        assert main(["build", "--structure", recipe, "--output", str(here / name)]) == 0
    assert (here / "a.extxyz").read_bytes() == (here / "b.extxyz").read_bytes()


def test_reader_that_has_had_enough_is_no_error(repository: Path) -> None:
    """A command whose output nobody reads to its end says nothing about that."""
    program = [sys.executable, "-c", "import sys; from seiflow.cli import main; sys.exit(main(['schema']))"]
    with subprocess.Popen(program, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
