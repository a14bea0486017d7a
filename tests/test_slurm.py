"""Studies on a real Slurm of one node: they end as without it, and get over jobs and nodes that are ended."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROGRAMS, environment
from slurm_cluster import Cluster, missing_programs

from seiflow.calculators.factory import installation_problem
from seiflow.calculators.recipes import calculator_shelf
from seiflow.resources import SNAKEMAKE_MB

pytestmark = pytest.mark.study

Run = Callable[..., subprocess.CompletedProcess[str]]

NODE_MB = 12_000
HUNGER_MB = 900
SECONDS_TO_WAIT = 420

CALCULATORS = f'''\
"""EMT that takes its time or memory where there is Slurm, and one that starts a program in parallel."""
import os
import subprocess
import time

from ase.calculators.emt import EMT


class slow(EMT):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def calculate(self, *arguments, **keywords):
        time.sleep(self.seconds if "SLURM_JOB_ID" in os.environ else 0)
        super().calculate(*arguments, **keywords)


taken = []


class greedy(EMT):
    def calculate(self, *arguments, **keywords):
        if "SLURM_JOB_ID" in os.environ and not taken:
            taken.append(b"1" * {HUNGER_MB << 20})
            time.sleep(20)  # Slurm, which looks every second, ends it before on a busy machine too
        super().calculate(*arguments, **keywords)


def program_version(command):
    return "1"


def ranks(command):
    said = subprocess.run(command.split(), capture_output=True, text=True, check=True).stdout.split()
    assert said == ["rank", "rank"], said
    return EMT()
'''

SHARED = {
    "summary": "a test",
    "elements": ["Cu", "Al"],
    "charge": False,
    "seconds_per_atom": 0.001,
    "source": {"citation": "a test"},
}
RECIPES: dict[str, dict[str, Any]] = {
    "steady": {"factory": "trying:slow", "arguments": {"seconds": 3}, "memory_mb": 400},
    "slow": {"factory": "trying:slow", "arguments": {"seconds": 7}, "memory_mb": 400},
    "slowest": {"factory": "trying:slow", "arguments": {"seconds": 30}, "memory_mb": 400},
    "greedy": {"factory": "trying:greedy", "memory_mb": 500},
    "ranks": {"factory": "trying:ranks", "memory_mb": 300, "processes": 2, "program": "rank"},
}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a Slurm of one node that runs while the tests of this file do."""
    missing = missing_programs()
    if missing:
        message = f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"), cpus=12, memory_mb=NODE_MB)
    cluster.start()
    yield cluster
    cluster.stop()


def own_recipes(folder: Path) -> None:
    """Write calculators that take their time or memory, or start a program, and the program."""
    (folder / "mine/calculators").mkdir(parents=True)
    (folder / "trying.py").write_text(CALCULATORS, encoding="utf-8")
    for name, keys in RECIPES.items():
        text = yaml.safe_dump(SHARED | {"name": name} | keys)
        (folder / f"mine/calculators/{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "rank").write_text("#!/bin/sh\necho rank\n", encoding="utf-8")
    (folder / "rank").chmod(0o755)


def study(folder: Path, *blocks: tuple[list[str], list[str], list[str]], **keys: object) -> None:
    """Write a study of blocks of structures, calculators and properties."""
    names = ("structures", "calculators", "properties")
    data = {"library": ["mine"], "calculations": [dict(zip(names, block, strict=True)) for block in blocks]} | keys
    (folder / "study.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")


def variables(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment in which studies find the calculators and the program of a test."""
    known = environment()
    own = {
        "PATH": f"{folder}{os.pathsep}{known['PATH']}",
        "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "SEIFLOW_STORE": str(folder / "store"),
    }
    return known | own | more


@contextlib.contextmanager
def running(cluster: Cluster, repository: Path, folder: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a study with the profile of the repository; what it says goes into said.txt."""
    known = variables(folder, **more)
    path = {"PATH": f"{cluster.folder / 'bin'}{os.pathsep}{known['PATH']}"}
    command = [str(PROGRAMS / "snakemake"), "--snakefile", str(repository / "Snakefile"), "--configfile", "study.yaml"]
    command += ["--workflow-profile", str(repository / "profiles/slurm"), "--slurm-no-account", "--latency-wait", "10"]
    command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2", *arguments]
    with (folder / "said.txt").open("ab") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=known | cluster.variables | path, stdout=said, stderr=said, start_new_session=True
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ended(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait until a study has ended well and return what it said."""
    status = process.wait(SECONDS_TO_WAIT)
    said = (folder / "said.txt").read_text(encoding="utf-8")
    assert status == 0, said
    return said


def wait_for(condition: Callable[[], bool], studies: dict[Path, subprocess.Popen[bytes]]) -> None:
    """Wait until a condition holds, no longer than one of the studies runs."""
    end = time.monotonic() + SECONDS_TO_WAIT
    while not condition():
        said = "".join((folder / "said.txt").read_text(encoding="utf-8") for folder in studies)
        assert any(process.poll() is None for process in studies.values()), said
        assert time.monotonic() < end, said
        time.sleep(0.05)


def lines(journal: Path) -> int:
    """Return the evaluations in a journal."""
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def slurm_jobs(cluster: Cluster, comment: str) -> list[str]:
    """Return the numbers of the jobs of Slurm with that comment that run now."""
    told = cluster.ask("squeue", "-h", "-t", "R", "-o", "%i|%k")
    return [line.split("|")[0] for line in told.splitlines() if line.split("|")[1] == comment]


def records(folder: Path) -> dict[str, bytes]:
    """Return all records of a study as they are on disk, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted((folder / "results").rglob("*.json"))}


def run_here(folder: Path, repository: Path) -> subprocess.CompletedProcess[str]:
    """Run the study of a folder without Slurm."""
    rules = ["--snakefile", str(repository / "Snakefile"), "--configfile", "study.yaml"]
    command = [str(PROGRAMS / "snakemake"), *rules, "--cores", "2"]
    return subprocess.run(
        command, cwd=folder, env=variables(folder), capture_output=True, text=True, timeout=SECONDS_TO_WAIT, check=False
    )


def undisturbed(folder: Path, beside: Path, repository: Path) -> Path:
    """Return a folder in which the same study has been run here and at once."""
    own_recipes(folder)
    shutil.copy(beside / "study.yaml", folder)
    done = run_here(folder, repository)
    assert done.returncode == 0, done.stderr
    return folder


@dataclass(frozen=True)
class Ran:
    """A study that Slurm has run.

    Attributes:
        folder: Where it ran.
        said: What Snakemake said.
    """

    folder: Path
    said: str


@pytest.fixture(scope="module")
def ran(slurm: Cluster, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Return four studies that share a Slurm, of which the first meets with all that can happen.

    The node is lost while three of its jobs run there, then a job is cancelled; another exceeds its time, one its memory. They
    run side by side because most of the time goes into waiting.
    """
    top = tmp_path_factory.mktemp("ran")
    bad, plain, group, array = (top / name for name in ("bad", "plain", "group", "array"))
    for folder in (bad, plain, array):
        own_recipes(folder)
    (group / "tmp").mkdir(parents=True)
    study(bad, (["Cu"], ["steady", "slow", "slowest", "greedy"], ["relaxation"]))
    blocks = [(["Cu"], ["emt"], ["elasticity", "migration"]), (["Al"], ["ranks"], ["relaxation"])]
    study(plain, *blocks, settings={"migration": {"image_distance": 5}})
    study(array, (["Al", "Cu", "Ni"], ["emt"], ["relaxation"]))
    study(group, (["LiF"], ["chgnet"], ["elasticity"]), library=[])
    journals = {name: bad / f"results/Cu/{name}/.relaxation.json.journal" for name in ("steady", "slow")}
    started: dict[Path, subprocess.Popen[bytes]] = {}
    with contextlib.ExitStack() as stack:

        def start(folder: Path, *arguments: str, **more: str) -> None:
            started[folder] = stack.enter_context(running(slurm, repository, folder, *arguments, **more))

        start(bad, "--groups", "build=alone", "--set-resources", "relax:runtime=attempt")
        wait_for(lambda: lines(journals["steady"]) >= 2, started)
        slurm.lose_node()
        before = lines(journals["slow"])
        slurm.start_one("slurmd")
        start(plain)
        start(array, "--groups", "build=all", "--group-components", "all=3", "--slurm-array-jobs", "relax")
        if installation_problem(calculator_shelf().get("chgnet")) is None:
            start(group, "--groups", "build=one", "relax=one", "elasticity=one", TMPDIR=str(group / "tmp"))
        seen: set[str] = set()  # whichever comes first: both last for a while only

        def cancelled_and_shared() -> bool:
            at_work = slurm_jobs(slurm, "rule_relax_wildcards_Cu_slow") if lines(journals["slow"]) > before else []
            if at_work and "cancelled" not in seen:
                slurm.ask("scancel", *at_work)
                seen.add("cancelled")
            if group not in started or list((group / "tmp").glob("seiflow-*/*")):
                seen.add("shared")
            return seen == {"cancelled", "shared"}

        wait_for(cancelled_and_shared, started)
        return {folder.name: Ran(folder, ended(process, folder)) for folder, process in started.items()}


@pytest.fixture(scope="module")
def plain(ran: dict[str, Ran], repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the second of the studies has been run without Slurm."""
    return undisturbed(tmp_path_factory.mktemp("plain"), ran["plain"].folder, repository)


def test_study_on_slurm_ends_as_without_it(ran: dict[str, Ran], plain: Path) -> None:
    """A study run by Slurm has the records of one run here, byte by byte, and a calculator gets its MPI processes there."""
    assert records(ran["plain"].folder) == records(plain)
    assert {"results/Cu/emt/hops/hop_1.json", "results/Al/ranks/relaxation.json"} <= set(records(plain))
    assert ran["plain"].said.count("has been submitted with SLURM jobid") == 5, "relax twice, elasticity, vacancy, hop"


def test_array_of_jobs_ends_as_without_it(ran: dict[str, Ran], repository: Path, tmp_path: Path) -> None:
    """Jobs of one rule submitted in one call of Slurm have the records of jobs run here, byte by byte."""
    there, said = ran["array"].folder, ran["array"].said
    assert re.search(r"Submitted array job .* task IDs are 1-3", said)
    assert len(records(there)) == 3
    assert records(there) == records(undisturbed(tmp_path / "here", there, repository))


def test_bad_day_costs_nothing(ran: dict[str, Ran], slurm: Cluster, repository: Path, tmp_path: Path) -> None:
    """A lost node, a cancelled job, one over its time and one over its memory: the study ends by itself, byte by byte as ever."""
    there, said = ran["bad"].folder, ran["bad"].said
    assert "status is: 'CANCELLED'" in said
    assert "status is: 'TIMEOUT'" in said
    limit = (SNAKEMAKE_MB + RECIPES["greedy"]["memory_mb"]) << 20
    assert re.search(rf"exceeded memory limit \(\d+ > {limit}\)", (slurm.folder / "slurmd.log").read_text(encoding="utf-8"))
    for name in ("steady", "slow", "slowest"):
        first = (there / f"results/Cu/{name}/logs/relaxation.log").read_text(encoding="utf-8").splitlines()[0]
        just_done = name == "slowest" and "found in the store" in first  # ended by its limit when all was computed
        assert "resuming" in first or just_done, name
    assert records(there) == records(undisturbed(tmp_path / "here", there, repository))


def test_group_shares_one_start_up(
    ran: dict[str, Ran], installed: Callable[[str], object], run: Run, workflow: Callable[..., list[str]], tmp_path: Path
) -> None:
    """A study with CHGNet whose jobs share a Slurm job and a process has the records of jobs by themselves; the process ends."""
    installed("chgnet")
    there = ran["group"].folder
    assert ran["group"].said.count("has been submitted with SLURM jobid") == 1
    study(tmp_path, (["LiF"], ["chgnet"], ["elasticity"]), library=[])
    done = run("snakemake", *workflow(), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert records(there) == records(tmp_path)
    end = time.monotonic() + 10
    while list((there / "tmp").glob("seiflow-*")):
        assert time.monotonic() < end, "the shared process did not end"
        time.sleep(0.1)
