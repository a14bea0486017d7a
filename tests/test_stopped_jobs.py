"""Jobs that were stopped in the middle and go on: from a spoilt journal, after a full disk, with a result found since."""

import contextlib
import hashlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import program
from killed_jobs import JOBS, Job
from killing import Kill, Workshop, files, kill_at, moments, outcome, reach

ELASTICITY = JOBS["elasticity"]
JOURNAL = f"{ELASTICITY.place}/.elasticity.json.journal"


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return the folder of the undisturbed jobs."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def stopped(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a job that was killed after eight evaluations."""
    folder = tmp_path_factory.mktemp("stopped")
    workshop.copy(ELASTICITY, folder)
    kill = Kill(17, waits=True, seconds=0.0, how=signal.SIGKILL)
    kill_at(kill, workshop.start(ELASTICITY, folder, kill), folder, "")
    assert (folder / JOURNAL).read_bytes().count(b"\n") == 8
    return folder


def of_another_calculator(text: bytes) -> bytes:
    """Return a journal with other keys, which are digests of calculator and structure, and nonsense for energies."""
    lines = [json.loads(line) for line in text.splitlines()]
    wrong = [line | {"key": hashlib.sha256(line["key"].encode()).hexdigest(), "energy": 1e3} for line in lines]
    return "".join(json.dumps(line) + "\n" for line in wrong).encode()


@pytest.mark.parametrize(
    ("spoil", "again"),
    [
        pytest.param(lambda text: text[:-40], 1, id="cut off"),
        pytest.param(lambda _: b"", 8, id="empty"),
        pytest.param(lambda text: text[:900] + b"\xff\x00{" + text[903:], 1, id="damaged"),
        pytest.param(of_another_calculator, 8, id="of another calculator"),
    ],
)
def test_spoilt_journal_costs_what_is_spoilt(
    spoil: Callable[[bytes], bytes], again: int, workshop: Workshop, stopped: Path, tmp_path: Path
) -> None:
    """Of a journal that was spoilt what is whole and of this job is used, nothing else; half a record beside it is replaced."""
    folder = Path(shutil.copytree(stopped, tmp_path / "job"))
    (folder / JOURNAL).write_bytes(spoil((folder / JOURNAL).read_bytes()))
    record = folder / ELASTICITY.outputs[0]
    record.write_text('{"bulk_modulus_gpa": 1', encoding="utf-8")
    record.with_name(".elasticity.json.partial").write_text("{", encoding="utf-8")
    before = moments(folder).count("evaluation")
    workshop.finish(ELASTICITY, folder)
    workshop.compare(ELASTICITY, folder)
    assert moments(folder).count("evaluation") - before == 13 - 8 + again


def test_file_that_may_grow_no_further_keeps_what_it_has(workshop: Workshop, tmp_path: Path) -> None:
    """A journal that reaches the largest size allowed ends the job with a clear message; run again it loses one evaluation."""
    job = JOBS["hop"]
    expected = workshop.copy(job, tmp_path)
    process = workshop.start(job, tmp_path, None, "prlimit", "--fsize=20000:unlimited")
    _, said = outcome(process)
    check_refusal(process.returncode, said, "File too large")
    assert "File too large" in (tmp_path / job.outputs[0]).with_suffix(".failed").read_text(encoding="utf-8")
    go_on(workshop, job, tmp_path, expected)


def check_refusal(status: int, said: str, why: str) -> None:
    """Check that a job which cannot write ended with a message."""
    assert status == 1, said
    assert re.fullmatch(rf"error: .*: cannot be written \({why}\)\. Free some space or make the folder writable, .*\n", said)


def go_on(workshop: Workshop, job: Job, folder: Path, expected: list[str], lost: int = 1) -> None:
    """Check that a job which could not write, so many times, goes on from there."""
    begun = moments(folder).count("evaluation")
    assert begun > 2
    workshop.finish(job, folder)
    workshop.compare(job, folder)
    assert moments(folder).count("evaluation") - expected.count("evaluation") <= lost


@contextlib.contextmanager
def disk(folder: Path, *options: str) -> Iterator[None]:
    """Put a file system in the memory in the place of a folder; a test without the right to do so is skipped."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"no right to mount a file system ({done.stderr.strip()})")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a file system."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_full_disk_keeps_what_is_there(workshop: Workshop, tmp_path: Path) -> None:
    """A disk that fills in the middle of a job ends it with a message and no empty files; with more space it goes on."""
    job = JOBS["hop"]
    with disk(tmp_path / "results", "size=32k"):
        expected = workshop.copy(job, tmp_path)
        process = workshop.start(job, tmp_path)
        _, said = outcome(process)
        check_refusal(process.returncode, said, "No space left on device")
        assert files(tmp_path) - set(job.inputs) == {f"{job.place}/.hop_1.json.journal"}
        remount(tmp_path / "results", "size=1m")
        go_on(workshop, job, tmp_path, expected)


def test_folder_that_becomes_read_only_keeps_what_is_there(workshop: Workshop, tmp_path: Path) -> None:
    """A folder that becomes read-only in the middle of a job ends it with a message; writable again, it goes on."""
    job = JOBS["hop"]
    with disk(tmp_path / "results", "size=1m"):
        expected = workshop.copy(job, tmp_path)
        process = workshop.start(job, tmp_path, Kill(21, waits=True, seconds=0.0, how=signal.SIGKILL))
        reach(process, tmp_path, 21)
        remount(tmp_path / "results", "ro")
        (tmp_path / "go").touch()
        _, said = outcome(process)
        check_refusal(process.returncode, said, "Read-only file system")
        process = workshop.start(job, tmp_path)
        _, said = outcome(process)
        check_refusal(process.returncode, said, "Read-only file system")
        remount(tmp_path / "results", "rw")
        go_on(workshop, job, tmp_path, expected, lost=2)


def test_result_found_in_the_store_ends_an_old_journal(workshop: Workshop, stopped: Path, tmp_path: Path) -> None:
    """A job that was killed and whose result another study has computed since leaves no journal."""
    store = tmp_path / "store"
    for name in ("first", "second"):
        folder = tmp_path / name
        workshop.copy(ELASTICITY, folder)
        if name == "second":
            shutil.copy(stopped / JOURNAL, folder / JOURNAL)
        variables = workshop.variables(folder) | {"SEIFLOW_STORE": str(store)}
        command = [program("seiflow"), *ELASTICITY.arguments]
        done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
    workshop.compare(ELASTICITY, tmp_path / "second")
    assert moments(tmp_path / "second") == []
