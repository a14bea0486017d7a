"""Jobs computed by a shared process: the same bytes, their own failures, and no process left behind."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import PROGRAMS, environment

from seiflow.resident import FEWEST, VARIABLE, offer

Job = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def owner() -> Iterator["subprocess.Popen[bytes]"]:
    """Return a process whose jobs share one, as those of a run of Snakemake do."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def job(repository: Path, tmp_path: Path, owner: "subprocess.Popen[bytes]") -> Job:
    """Return a function that starts the relaxation of copper, shared or by itself, with settings as JSON."""
    folder = tmp_path / "tmp" / ("long" * 20)  # the address of a socket has 107 characters at most
    folder.mkdir(parents=True)
    structure = str(repository / "structures/phases/Cu.yaml")
    seiflow = str(PROGRAMS / "seiflow")
    subprocess.run(
        [seiflow, "build", "--structure", structure, "--output", "built.extxyz"], cwd=tmp_path, env=environment(), check=True
    )

    def start(name: str, *, shared: bool, settings: str = "{}", calculator: Path | None = None) -> "subprocess.Popen[str]":
        recipe = calculator or repository / "calculators/emt.yaml"
        command = [seiflow, "relax", "--structure", structure, "--calculator", str(recipe), "--settings", settings]
        command += ["--built", "built.extxyz", "--relaxed", f"{name}/relaxed.extxyz", "--output", f"{name}/relaxation.json"]
        known = environment() | {
            "TMPDIR": str(folder),
            VARIABLE: str(owner.pid) if shared else "",
            "PYTHONPATH": path_with(tmp_path),
        }
        return subprocess.Popen(command, cwd=tmp_path, env=known, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


def path_with(folder: Path) -> str:
    """Return the search path of Python with a folder before it."""
    return f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"


def finished(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait for a command; return its exit status and what it said on standard error."""
    told = process.communicate(timeout=60)[1]
    return process.returncode, told


def residents(folder: Path) -> list[Path]:
    """Return the folders of the sockets of shared processes."""
    return list((folder / "tmp").glob("*/seiflow-*"))


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait half a minute at most."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_shared_jobs_are_as_if_alone(job: Job, tmp_path: Path, owner: "subprocess.Popen[bytes]") -> None:
    """Jobs of one process, two at a time, write the bytes of jobs by themselves, fail by themselves, and leave nothing behind."""
    assert finished(job("alone", shared=False)) == (0, "")
    assert not residents(tmp_path)
    started = [job(name, shared=True) for name in ("first", "second")]
    bad = job("bad", shared=True, settings='{"relaxation": {"max_steps": 1, "fmax": 1e-9}}')
    assert [finished(process) for process in started] == [(0, "")] * 2
    status, told = finished(bad)
    assert status == 1
    assert "error: bad/relaxation.json: " in told
    assert (tmp_path / "bad/relaxation.failed").exists()
    assert len(residents(tmp_path)) == 1
    for name in ("first", "second"):
        for file in ("relaxation.json", "relaxed.extxyz"):
            assert (tmp_path / name / file).read_bytes() == (tmp_path / "alone" / file).read_bytes()
    owner.kill()
    owner.wait()
    wait_until(lambda: not residents(tmp_path))


SLOW = """\
import time
from ase.calculators.emt import EMT

class Slow(EMT):
    def calculate(self, *arguments, **keywords):
        time.sleep(1)
        super().calculate(*arguments, **keywords)
"""


def test_killed_job_ends_in_the_shared_process_too(job: Job, tmp_path: Path, repository: Path) -> None:
    """When a command that waits for the shared process is killed, its job stops there, and the next goes on from its journal."""
    (tmp_path / "tardy.py").write_text(SLOW, encoding="utf-8")
    recipe = tmp_path / "slow.yaml"
    text = (repository / "calculators/emt.yaml").read_text(encoding="utf-8")
    recipe.write_text(text.replace("ase.calculators.emt:EMT", "tardy:Slow").replace("name: emt", "name: slow"), encoding="utf-8")
    journal = tmp_path / "slow/.relaxation.json.journal"
    killed = job("slow", shared=True, calculator=recipe)
    wait_until(lambda: journal.exists() and journal.read_bytes().count(b"\n") >= 2)
    killed.send_signal(signal.SIGKILL)
    finished(killed)
    time.sleep(1.5)
    done = journal.read_bytes()
    time.sleep(1.5)
    assert journal.read_bytes() == done
    assert finished(job("slow", shared=True, calculator=recipe))[0] == 0


@pytest.mark.parametrize(
    ("jobs", "before", "after"),
    [(FEWEST, None, str(os.getpid())), (FEWEST - 1, None, None), (FEWEST, "", "")],
    ids=["many", "few", "refused"],
)
def test_only_groups_of_many_jobs_share(
    jobs: int, before: str | None, after: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with many jobs to do lets them share a process, one with few does not, and nor does one whose user refuses."""
    monkeypatch.delenv(VARIABLE, raising=False)
    if before is not None:
        monkeypatch.setenv(VARIABLE, before)
    offer(["snakemake", "--target-jobs", *(f"relax:structure={number}" for number in range(jobs)), "--cores", "all"])
    assert os.environ.get(VARIABLE) == after
