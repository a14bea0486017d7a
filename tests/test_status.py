"""Watching a study: what is done, runs, was stopped, failed or waits, and why."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from seiflow.cli import main
from seiflow.status import State, Watch, one_line
from seiflow.status_table import as_json, overview
from seiflow.study import Study

Run = Callable[..., subprocess.CompletedProcess[str]]

COPPER: dict[str, Any] = {"structures": ["Cu"], "calculators": ["emt"], "properties": ["elasticity", "migration"]}
FINISHED = {"calculations": [{**COPPER, "properties": ["elasticity", "migration", "phonons"]}]}
SETTINGS = {"migration": {"image_distance": 5}, "phonons": {"image_distance": 5, "mesh_density": 20}}
LONG_AGO = 1e9
"""s; in 2001."""


@pytest.fixture
def place(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a finished study, in which a test works and which it may change."""
    monkeypatch.chdir(copied)
    return copied


def states(settings: dict[str, Any] = SETTINGS) -> dict[str, State]:
    """Return the states of copper's properties in the working folder, by name."""
    found = Watch(Study({**FINISHED, "settings": settings})).states
    return {name: state for (_, _, name), state in found.items()}


def age(path: Path, moment: float = LONG_AGO) -> None:
    """Give a file another time."""
    os.utime(path, (moment, moment))


def unfinished(place: Path) -> Path:
    """Take away the results of copper's vacancy, hop and migration, and their logs; return the folder."""
    folder = place / "results/Cu/emt"
    for name in ("vacancies/site_1", "hops/hop_1", "migration"):
        (folder / f"{name}.json").unlink()
        for path in folder.glob(f"logs/{Path(name).name}.*"):
            path.unlink()
    return folder


def begin(folder: Path, evaluations: int = 3) -> Path:
    """Leave what the job of copper's vacancy leaves while it runs; return its journal."""
    (folder / "logs/site_1.log").write_text("step 1\n", encoding="utf-8")
    journal = folder / "vacancies/.site_1.json.journal"
    journal.write_text('{"key": "a", "energy": 1.0}\n' * evaluations, encoding="utf-8")
    return journal


@pytest.mark.study
def test_all_of_a_finished_study_is_done(finished: Path, run: Run) -> None:
    """A finished study is shown as a table for each calculator, with all of it done."""
    told = run("seiflow", "status", "study.yaml", cwd=finished)
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["emt", "relaxation", "elasticity", "migration", "phonons"]
    assert lines[1].split() == ["Cu", *["done"] * 4]
    assert lines[-1] == "10 of 10 done"


def test_all_of_a_study_that_has_not_run_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a study that has not run everything waits, for its relaxation if it needs one."""
    monkeypatch.chdir(tmp_path)
    Path("study.yaml").write_text(yaml.safe_dump(FINISHED), encoding="utf-8")
    assert main(["status", "study.yaml"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 of 4 done, 4 waiting"
    assert {name: state.reason for name, state in states().items()} == {
        "relaxation": "",
        **dict.fromkeys(("elasticity", "migration", "phonons"), "for its relaxation"),
    }


@pytest.mark.study
def test_job_at_work_is_running_and_a_killed_one_stopped(place: Path) -> None:
    """A job that wrote lately runs, with its evaluations; one that has been silent was stopped and says how to go on."""
    journal = begin(unfinished(place))
    migration = states()["migration"]
    assert (migration.state, migration.evaluations, migration.parts_done, migration.parts) == ("running", 3, 0, 2)
    assert re.fullmatch(r"site_1: 3 of about \d+ evaluations, last heard of \d+ seconds ago", migration.reason)
    for path in (journal, place / "results/Cu/emt/logs/site_1.log"):
        age(path)
    migration = states()["migration"]
    assert (migration.state, migration.evaluations) == ("stopped", 3)
    assert "the same command again" in migration.advice


@pytest.mark.study
def test_job_of_a_run_that_has_ended_is_stopped_at_once(place: Path) -> None:
    """What a job wrote before its run ended by itself, its reason perhaps not on a full disk, belongs to no job that runs."""
    journal = begin(unfinished(place))
    age(place / "results/.run", journal.stat().st_mtime + 1)
    migration = states()["migration"]
    assert migration.state == "stopped"
    assert "space on the disk" in migration.reason


@pytest.mark.study
def test_failure_is_told_once_with_what_to_do(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A failed relaxation is told in one line with what to do, and what needs it waits for it; started again, it runs."""
    folder = place / "results/Cu/emt"
    for path in folder.glob("*.json"):
        path.unlink()
    shutil.rmtree(folder / "logs")
    (folder / "relaxation.failed").write_text("stress 3 GPa after relaxation,\n  - lower fmax\n", encoding="utf-8")
    found = states()
    assert found["relaxation"].reason == "stress 3 GPa after relaxation, - lower fmax"
    assert {found[name].reason for name in ("elasticity", "migration", "phonons")} == {"for its relaxation, which failed"}
    assert main(["status", "--failed", "study.yaml"]) == 0
    said = capsys.readouterr().out
    assert said.count("stress 3 GPa") == 1
    assert "3 waiting for what failed" in said
    assert "to do: correct what it says" in said
    age(folder / "relaxation.failed")
    (folder / "logs").mkdir()
    (folder / "logs/relaxation.log").write_text("", encoding="utf-8")
    assert states()["relaxation"].state == "running"


@pytest.mark.study
def test_result_of_other_settings_recipes_or_inputs_is_outdated(place: Path) -> None:
    """A result is outdated, with the reason, once its settings, a recipe or an input are no longer those of the study."""
    other = states({**SETTINGS, "elasticity": {"strain": 0.002}})
    assert (other["elasticity"].state, other["migration"].state) == ("outdated", "done")
    assert "other settings" in other["elasticity"].reason
    relaxed = place / "results/Cu/emt/relaxed.extxyz"
    relaxed.write_text(relaxed.read_text(encoding="utf-8").replace("Cu ", "Cu  ", 1), encoding="utf-8")
    assert {states()[name].reason for name in ("elasticity", "phonons")} == {"results/Cu/emt/relaxed.extxyz was changed"}
    own = place / "mine/calculators"
    recipe = (own / "pair.yaml").read_text(encoding="utf-8")
    (own / "emt.yaml").write_text(recipe.replace("name: pair", "name: emt"), encoding="utf-8")
    changed = Watch(Study({**FINISHED, "settings": SETTINGS, "library": ["mine"]})).states.values()
    assert {state.reason for state in changed} == {"the recipe of the calculator was changed"}


@pytest.mark.study
def test_status_is_data_for_programs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The state as JSON holds every property, and counts that agree with them."""
    begin(unfinished(place))
    assert main(["status", "--json", "study.yaml"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run"], told["counts"]["done"], told["counts"]["running"]) == (None, 9, 1)
    assert [each["property"] for each in told["properties"] if each["state"] == "running"] == ["migration"]


def test_many_structures_share_lines() -> None:
    """Of many structures those that are alike share a line, and those that differ keep theirs."""
    many = [State(f"S{number:03d}", "emt", "relaxation", "done") for number in range(300)]
    many += [State("T", "emt", "relaxation", "failed", "too bad", "try again")]
    lines = overview(many, None).splitlines()
    assert lines[1:3] == ["  S000, S001, S002 and 297 more  done", "  T                              failed"]
    assert "T emt relaxation failed: too bad" in lines
    assert lines[-1] == "300 of 301 done, 1 failed"
    assert len(json.loads(as_json(many, None))["properties"]) == 301
    assert len(one_line("word\n" * 1000)) == 400
