"""Large studies: planning grows as Snakemake's own does, nothing sound is built twice, jobs start light, logs stay few."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from seiflow import buildable
from seiflow.errors import StudyError
from seiflow.logs import pack_logs
from seiflow.shelves import data_folder
from seiflow.study import Study

Run = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., list[str]]

FEW, MANY = 200, 1000
MOST_TIMES = 3.0
"""Processor time of a further target, in units of that of the same files, rules and jobs in a Snakefile without functions."""

TRIES = 3

HEAVY = {"torch", "pymatgen", "phonopy", "matplotlib", "snakemake", "seiflow.study", "seiflow.report"}

IN_JOB = """\
import json, sys
from seiflow.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, sorted(sys.modules)]))
"""


@pytest.mark.study
def test_a_further_target_costs_little_more_than_snakemake_takes_for_it(repository: Path) -> None:
    """From two hundred targets to a thousand, processor time and memory of planning grow as those of a plain Snakefile.

    Whatever shares the processor can only make it slower, so the best of three measurements counts.
    """
    command = [sys.executable, "benchmarks/scale.py", str(FEW), str(MANY)]
    variables = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    told = []
    for _ in range(TRIES):
        done = subprocess.run(command, cwd=repository, env=variables, capture_output=True, text=True, check=True)
        few, many = ([float(word) for word in line.split()] for line in done.stdout.splitlines()[-2:])
        assert (few[0], many[0]) == (FEW, MANY)
        told.append(done.stdout)
        if all(grows_little(few[columns], many[columns]) for columns in (slice(5, 9, 3), slice(6, 10, 3))):
            return
    pytest.fail("\n".join(told))


def grows_little(few: list[float], many: list[float]) -> bool:
    """Tell whether our cost of the further targets, the first column, is no multiple of the plain one's, the second."""
    ours, plain = (after - before for before, after in zip(few, many, strict=True))
    return 0 < ours < MOST_TIMES * plain


def study(folder: Path, **changes: object) -> Path:
    """Write a study of a metal of the user's own, keys of whose recipe may be replaced."""
    (folder / "mine/structures").mkdir(parents=True, exist_ok=True)
    recipe = yaml.safe_load((data_folder("structures") / "phases/Cu.yaml").read_text(encoding="utf-8")) | {"name": "copper"}
    (folder / "mine/structures/copper.yaml").write_text(yaml.safe_dump(recipe | changes), encoding="utf-8")
    block = {"structures": ["copper"], "calculators": ["emt"], "properties": ["migration", "elasticity"]}
    data = {"library": ["mine"], "results": "made", "calculations": [block]}
    (folder / "study.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return folder / "study.yaml"


def test_what_is_sound_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A structure found sound is not built again as long as its recipe, its properties and the settings stay the same."""
    monkeypatch.chdir(tmp_path)
    built = []
    real = buildable.refuse_unbuildable

    def counting(*arguments: object) -> None:
        built.append(arguments)
        real(*arguments)  # type: ignore[arg-type] # passed on as they are

    monkeypatch.setattr(buildable, "refuse_unbuildable", counting)
    path = study(tmp_path)
    Study.read(path).sound.keep()
    Study.read(path)
    assert len(built) == 1
    a = 3.62
    Study.read(study(tmp_path, cell={"a": a, "b": a, "c": a}))
    assert len(built) == 2
    path = study(tmp_path)
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(data | {"settings": {"migration": {"image_distance": 9}}}), encoding="utf-8")
    Study.read(path)
    assert len(built) == 3
    data["calculations"][0]["properties"] = ["defects"]
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    Study.read(path)
    assert len(built) == 4


def test_what_is_not_sound_is_told_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake is found again by the next run, but not by the job of a run that has begun."""
    monkeypatch.chdir(tmp_path)
    path = study(tmp_path, cell={"a": 3.6, "b": 3.7, "c": 3.6})
    for _ in range(2):
        with pytest.raises(StudyError, match="space group"):
            Study.read(path)
    assert not (tmp_path / "made").exists()
    handed = Study(yaml.safe_load(path.read_text(encoding="utf-8")), checked=True)
    assert [job.name for job in handed.jobs] == ["relaxation", "migration", "elasticity"]


@pytest.mark.study
def test_a_job_loads_only_what_it_needs(copied: Path) -> None:
    """A job with a simple calculator loads no library of another one, nothing that draws, and not the study."""
    folder = copied / "results/Cu/emt"
    recipes = data_folder("structures") / "phases/Cu.yaml", data_folder("calculators") / "emt.yaml"
    job = ["elasticity", "--structure", recipes[0], "--calculator", recipes[1], "--relaxed", folder / "relaxed.extxyz"]
    command = [sys.executable, "-c", IN_JOB, *map(str, job), "--output", str(folder / "again.json")]
    done = subprocess.run(command, cwd=copied, capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0
    assert not HEAVY & set(modules)


@pytest.mark.study
def test_logs_of_parts_are_one_file(finished: Path, copied: Path, run: Run, workflow: Command) -> None:
    """However many vacancies and hops there are, their logs and times are two files, and Snakemake misses nothing."""
    folder = finished / "results/Cu/emt"
    parts = {path.stem for name in ("hops", "vacancies") for path in (folder / name).glob("*.json")}
    left = {path.name for path in (folder / "logs").iterdir()}
    assert len(parts) > 1
    assert not left & {f"{name}{suffix}" for name in parts for suffix in (".log", ".tsv")}
    assert {"parts.log", "parts.tsv", "migration.log", "elasticity.tsv"} <= left
    text = (folder / "logs/parts.log").read_text(encoding="utf-8")
    assert {line.removeprefix("#### ") for line in text.splitlines() if line.startswith("#### ")} == parts
    heading, *rows = ((folder / "logs/parts.tsv").read_text(encoding="utf-8")).splitlines()
    assert {row.split("\t")[0] for row in rows} == parts
    assert {len(row.split("\t")) for row in rows} == {len(heading.split("\t"))}
    again = run("snakemake", *workflow("--dry-run"), cwd=copied)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_only_logs_of_results_are_packed(tmp_path: Path) -> None:
    """A part without a result keeps its log; one that was computed again replaces what was packed of it, and no other."""
    (tmp_path / "hops").mkdir()
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("hop_1", "hop_2"):
        (tmp_path / "hops" / f"{name}.json").write_text("{}", encoding="utf-8")
        (logs / f"{name}.tsv").write_text("s\tcpu\n1.0\t2.0\n", encoding="utf-8")
    for name in ("hop_1", "hop_2", "hop_3", "migration"):
        (logs / f"{name}.log").write_text(f"first of {name}\n", encoding="utf-8")
    pack_logs(tmp_path)
    (logs / "hop_2.log").write_text("second of hop_2\n", encoding="utf-8")
    (logs / "hop_2.tsv").write_text("s\tcpu\n3.0\t4.0\n", encoding="utf-8")
    pack_logs(tmp_path)
    pack_logs(tmp_path)
    assert sorted(path.name for path in logs.iterdir()) == ["hop_3.log", "migration.log", "parts.log", "parts.tsv"]
    assert (logs / "parts.log").read_text(encoding="utf-8") == "#### hop_1\nfirst of hop_1\n#### hop_2\nsecond of hop_2\n"
    assert (logs / "parts.tsv").read_text(encoding="utf-8") == "job\ts\tcpu\nhop_1\t1.0\t2.0\nhop_2\t3.0\t4.0\n"
