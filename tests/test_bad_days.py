"""Bad days: damaged results, folders that cannot be used, two runs at once, kills, copies, clocks, recipes from elsewhere."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from seiflow.calculators.factory import find_module
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.calculators.trust import path_problems
from seiflow.cli import main
from seiflow.errors import StudyError
from seiflow.provenance.folder import discard_damaged, put_aside_others, require_writable
from seiflow.provenance.running import Lock
from seiflow.shelves import load_recipe
from seiflow.study import Study
from seiflow.workflow import Plan

Run = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., list[str]]
Library = Callable[..., Path]

COPPER: dict[str, Any] = {"structures": ["Cu"], "calculators": ["emt"], "properties": ["elasticity", "migration"]}
SETTINGS = {"migration": {"image_distance": 5}}
LONG_AGO = 1e9
"""s; in 2001."""


@pytest.fixture
def place(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a finished study, in which a test works and which it may change."""
    monkeypatch.chdir(copied)
    return copied


def age(path: Path, moment: float) -> None:
    """Give a file another time."""
    os.utime(path, (moment, moment))


def test_damaged_results_are_put_aside(tmp_path: Path) -> None:
    """Records that are no JSON and structures cut off are put aside and named, whole ones stay."""
    folder = tmp_path / "Cu" / "emt" / "hops"
    folder.mkdir(parents=True)
    whole = {"hop_1.json": "{}", "hop_1.extxyz": "1\n\nCu 0 0 0\n"}
    damaged = {"hop_2.json": '{"a": ', "hop_3.json": "", "hop_4.json": "\0\0", "hop_5.json": "null"}
    damaged |= {"hop_2.extxyz": "2\n\nCu 0 0 0\n"}
    for name, text in (whole | damaged).items():
        (folder / name).write_text(text, encoding="utf-8")
    assert discard_damaged(tmp_path) == sorted(folder / name for name in damaged)
    assert {path.name for path in folder.iterdir()} == {*whole, *(f"{name}.damaged" for name in damaged)}
    (folder / "hop_3.json").write_text("[", encoding="utf-8")
    discard_damaged(tmp_path)
    assert (folder / "hop_3.json.damaged").read_text(encoding="utf-8") == ""
    assert (folder / "hop_3.json.damaged.2").read_text(encoding="utf-8") == "["


def test_results_of_other_weights_are_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    """A weight file that was replaced makes results outdated; those with the present one stay."""
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "mine/model.bin"
    library(tmp_path / "mine", calculator={"weights": [str(weights)]})
    weights.write_text("new", encoding="utf-8")
    block = {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["elasticity"]}
    study = Study({"library": ["mine"], "calculations": [block]})
    record = tmp_path / "results/Cu3Au/pair/relaxation.json"
    record.parent.mkdir(parents=True)
    for text, aside in (("new", []), ("old", [Path("results/Cu3Au/pair/relaxation.json")])):
        digests = {"weights_sha256": {str(weights): hashlib.sha256(text.encode()).hexdigest()}}
        provenance = digests | {"recipes_sha256": {}, "inputs_sha256": {}, "files_sha256": {}, "settings": {}}
        found = {"structure": "Cu3Au", "calculator": "pair", "provenance": provenance}
        record.write_text(json.dumps(found), encoding="utf-8")
        assert put_aside_others(study) == aside
    assert not record.exists()
    assert record.with_name("relaxation.json.damaged").exists()


def test_result_that_cannot_be_read_is_not_taken_for_damaged(tmp_path: Path) -> None:
    """What cannot be read may be whole: it is refused by name and left alone."""
    (tmp_path / "Cu" / "emt" / "elasticity.json").mkdir(parents=True)
    with pytest.raises(StudyError, match=r"elasticity\.json cannot be read or moved"):
        discard_damaged(tmp_path)
    assert (tmp_path / "Cu" / "emt" / "elasticity.json").exists()


def test_unwritable_results_are_refused(tmp_path: Path) -> None:
    """A results folder below a file is refused before anything is computed, with what to do."""
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(StudyError, match=r"results: .*file cannot be written \(.*\); free some space or choose another folder"):
        require_writable(tmp_path / "file" / "results")


def test_testing_a_results_folder_leaves_no_trace(tmp_path: Path) -> None:
    """Trying whether results can be written makes neither folder nor file."""
    require_writable(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_recipe_of_the_future_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    """A recipe dated an hour ahead, whose results Snakemake would delete, is refused with what to do."""
    monkeypatch.chdir(tmp_path)
    mine = library(tmp_path / "mine")
    age(mine / "structures/Cu3Au.yaml", time.time() + 3600)
    block = {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["elasticity"]}
    with pytest.raises(StudyError, match=r"Cu3Au\.yaml: its date is 60 minutes ahead .* touch .*Cu3Au\.yaml"):
        Plan(Study({"library": ["mine"], "calculations": [block]}))


def announced(told: subprocess.CompletedProcess[str]) -> set[str]:
    """Return the messages of the jobs that a dry run announces."""
    assert told.returncode == 0, told.stdout + told.stderr
    return set(re.findall(r"^Job \d+: (.+)$", told.stdout + told.stderr, flags=re.MULTILINE))


REPORT = "write table, figures and report"


@pytest.mark.study
def test_copied_results_are_taken_by_their_content(place: Path, run: Run, workflow: Command) -> None:
    """Results copied from elsewhere, their times lost, are kept if they fit the study, and only the others computed again."""
    shutil.rmtree(place / ".snakemake")
    for number, path in enumerate(sorted((place / "results").rglob("*.*"), key=lambda path: path.name)):
        age(path, LONG_AGO + 100 * number)
    study = yaml.safe_load((place / "study.yaml").read_text(encoding="utf-8"))
    study["settings"]["phonons"]["mesh_density"] = 30
    (place / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    told = run("snakemake", *workflow("--dry-run"), cwd=place)
    assert announced(told) == {"phonons of Cu with emt", "phonons of Al with emt", REPORT}
    assert "the others are computed again:\n  Al/emt/phonons.json: it was computed with other settings" in told.stderr
    damaged = place / "results/Al/emt/relaxed.extxyz"
    damaged.write_text(damaged.read_text(encoding="utf-8").replace("Al ", "Al  ", 1), encoding="utf-8")
    (place / "results/.run").unlink()
    assert "relax Al with emt" in announced(run("snakemake", *workflow("--dry-run"), cwd=place))


def state(folder: Path) -> dict[str, object]:
    """Return all files of a study with their times and what they hold, and its folders; those of Snakemake left out."""
    found = {path.relative_to(folder): path for path in folder.rglob("*")}
    return {
        str(name): (path.stat().st_mtime_ns, path.read_bytes()) if path.is_file() else None
        for name, path in found.items()
        if name.parts[0] != ".snakemake"
    }


@pytest.mark.study
def test_dry_run_changes_nothing(place: Path, run: Run, workflow: Command) -> None:
    """A dry run tells what a run would put aside, keep and compute, and leaves all files, times and locks as they were.

    Damaged files are among them, copied ones with lost times, and a study that was changed; in a fresh folder nothing appears.
    """
    for name in ("hops.json", "phonons.json"):
        (place / "results/Al/emt" / name).write_text('{"half": ', encoding="utf-8")
    (place / "results/Al/emt/phonons.json.damaged").write_text("of another day", encoding="utf-8")
    age(place / "results/Cu/emt/relaxed.extxyz", time.time() + 3600)
    study = yaml.safe_load((place / "study.yaml").read_text(encoding="utf-8")) | {"title": "another"}
    (place / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    before = state(place)
    first, second = (run("snakemake", *workflow("--dry-run"), cwd=place) for _ in range(2))
    assert state(place) == before
    assert "results/Al/emt/hops.json: damaged or cut off; it is computed again" in first.stderr
    assert "results of another folder or machine: " in first.stderr
    assert announced(first) == announced(second) >= {"hops of Al relaxed with emt", "phonons of Al with emt", REPORT}
    assert not any("Cu" in job for job in announced(first))
    (place / "study.yaml").write_text(yaml.safe_dump(study | {"results": "new/results"}), encoding="utf-8")
    assert "relax Cu with emt" in announced(run("snakemake", *workflow("--dry-run"), cwd=place))
    assert not (place / "new").exists()


@pytest.mark.study
def test_results_of_the_future_are_brought_back(place: Path, run: Run, workflow: Command) -> None:
    """Results dated ahead, by a clock since put right, are not taken for changed inputs."""
    for path in (place / "results/Cu/emt").glob("relax*"):
        age(path, time.time() + 3600)
    (place / "results/Cu/emt/phonons.json").unlink()
    assert announced(run("snakemake", *workflow("--dry-run"), cwd=place)) == {"phonons of Cu with emt", REPORT}
    Plan(Study.read(place / "study.yaml"))
    assert (place / "results/Cu/emt/relaxed.extxyz").stat().st_mtime <= time.time() + 1


@pytest.mark.study
def test_second_run_leaves_the_first_alone(tmp_path: Path, run: Run, start: Callable[..., Any], workflow: Command) -> None:
    """A second run, in the same folder or on the same results from another one, ends with a message and changes nothing."""
    first, other = tmp_path / "first", tmp_path / "other"
    for folder, title in ((first, "first"), (other, "second")):
        folder.mkdir()
        study = {"title": title, "results": str(first / "results"), "calculations": [COPPER], "settings": SETTINGS}
        (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    shutil.copy(other / "study.yaml", first / "second.yaml")
    process = start("snakemake", *workflow(), cwd=first)
    end = time.monotonic() + 60
    while not (first / "results/Cu/emt/relaxation.json").exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGSTOP)  # it stays at work until the others were tried
    same, elsewhere = run("snakemake", *workflow(study="second.yaml"), cwd=first), run("snakemake", *workflow(), cwd=other)
    status = run("seiflow", "status", "study.yaml", cwd=first).stdout
    process.send_signal(signal.SIGCONT)
    for told in (same, elsewhere):
        assert told.returncode == 1
        assert f"another run is at work here (process {process.pid} on " in told.stderr
        assert "Traceback" not in told.stderr
    assert f"at work: process {process.pid} on " in status
    assert yaml.safe_load((first / "results/study.yaml").read_text(encoding="utf-8"))["title"] == "first"
    assert process.wait(120) == 0
    assert run("seiflow", "status", "study.yaml", cwd=first).stdout.splitlines()[-1] == "3 of 3 done"


HOLD = "import sys, time; from pathlib import Path; from seiflow.provenance.running import Lock; lock = Lock(Path('results'))"


def test_run_that_was_killed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a run that was killed is free again, and what to do about Snakemake's own is told until a run ends well."""
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    code = f"{HOLD}; assert lock.take() is None; lock.keep(); print(flush=True); sys.stdin.read()"
    lock = Lock(Path("results"))
    for ending, process_known in ((signal.SIGKILL, True), (None, False)):
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert lock.is_held()
            assert lock.take() == lock.last
            if ending:
                process.send_signal(ending)
            process.communicate()
        assert not lock.is_held()
        assert lock.last is not None
        assert (lock.last.process is not None) is process_known
        locks = Path(".snakemake/locks")
        locks.mkdir(parents=True, exist_ok=True)
        (locks / "0.output.lock").touch()
        notes = Plan(Study({"calculations": [COPPER], "settings": SETTINGS})).notes
        assert any("was cut off" in note and "--unlock" in note for note in notes) is process_known


def test_run_ends_in_peace_on_a_full_disk(tmp_path: Path) -> None:
    """A run that cannot write down that it has ended says nothing of it, and what it wrote before stays."""
    (tmp_path / "results").mkdir()
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))"
    command = [sys.executable, "-c", f"{HOLD}; assert lock.take() is None; lock.keep(); {full}"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert told.stderr == ""
    last = Lock(tmp_path / "results").last
    assert last is not None
    assert last.process is not None


FOREIGN = """\
name: foreign
summary: a calculator from somebody else
factory: foreign_package.inner:calculator
elements: [H-Og]
charge: false
seconds_per_atom: 0.1
source: {citation: a test}
"""


def test_foreign_code_is_shown_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checking a study shows the code that a recipe from elsewhere will run, and imports none of it, not even its package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "foreign_package"
    package.mkdir()
    for name in ("__init__", "inner"):
        (package / f"{name}.py").write_text("import pathlib\npathlib.Path('it_ran').touch()\n", encoding="utf-8")
    (tmp_path / "mine/calculators").mkdir(parents=True)
    (tmp_path / "mine/calculators/foreign.yaml").write_text(FOREIGN, encoding="utf-8")
    block = {"structures": ["Cu"], "calculators": ["foreign", "emt"], "properties": ["elasticity"]}
    Path("study.yaml").write_text(yaml.safe_dump({"library": ["mine"], "calculations": [block]}), encoding="utf-8")
    assert main(["check", "study.yaml"]) == 0
    said = capsys.readouterr().out
    assert "mine/calculators/foreign.yaml: calculator foreign runs foreign_package.inner:calculator, from" in said
    assert str(package / "inner.py") in said
    assert "calculator emt" not in said
    assert any("foreign_package.inner" in note for note in Plan(Study.read(Path("study.yaml"))).notes)
    assert not Path("it_ran").exists()
    assert find_module("foreign_package.nothing") is None


@pytest.mark.parametrize(
    ("named", "trusted", "refused"),
    [
        ("{outside}/w.pt", [], True),
        ("{outside}/w.pt", ["{outside}"], False),
        ("{inside}/w.pt", [], False),
        ("{inside}/link/w.pt", [], True),
        ("{inside}/../../outside/w.pt", [], True),
        ("~/.cache/somewhere/w.pt", [], False),
        ("ase/../../../w.pt", [], True),
        ("espresso:../w.pt", [], True),
        ("espresso:Li.upf", [], False),
    ],
)
@pytest.mark.parametrize("key", ["weights", "arguments"])
def test_recipe_may_not_name_files_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Library, key: str, named: str, trusted: list[str], *, refused: bool
) -> None:
    """A recipe from elsewhere may name files in the study's folders and in caches, links followed, and in others if allowed."""
    outside, inside = tmp_path / "outside", tmp_path / "study" / "mine"
    outside.mkdir()
    places = {"outside": str(outside), "inside": str(inside)}
    entry = named.format(**places)
    arguments = {"sigma": 2.4, "deep": [{"model": entry}]}
    library(inside, calculator={"weights": [entry]} if key == "weights" else {"arguments": arguments})
    (inside / "link").symlink_to(outside)
    monkeypatch.chdir(inside.parent)
    file = inside / "calculators/pair.yaml"
    folders = [inside, *(Path(folder.format(**places)) for folder in trusted)]
    problems = path_problems(load_recipe(file, CalculatorRecipe), file, folders)
    assert bool(problems) is refused
    assert all(f"names {entry}, " in problem for problem in problems)


def test_study_says_which_folders_it_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    """A study whose recipe names a file elsewhere is refused until the study itself allows the folder."""
    monkeypatch.chdir(tmp_path / "..")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "w.pt").touch()
    work = tmp_path / "work"
    library(work / "mine", calculator={"weights": [str(outside / "w.pt")]})
    monkeypatch.chdir(work)
    block = {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["elasticity"]}
    study = {"library": ["mine"], "calculations": [block]}
    with pytest.raises(StudyError, match=rf"trusted: \[{re.escape(str(outside))}\]"):
        Study(study)
    assert Study({**study, "trusted": [str(outside)]}).config.trusted
