"""How tests kill jobs: a calculator that tells when it may be killed, results of jobs in peace, and the moments of the kills."""

import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import yaml
from conftest import environment, program
from killed_jobs import ALLOY, JOBS, PAIR, TWIN, Job

from seiflow.calculators.recipes import calculator_shelf
from seiflow.cli import main
from seiflow.shelves import phase_shelf

WATCHED = '''
"""A calculator that tells a file of each moment at which a job may be killed.

At one of them it waits to be killed or let go, or goes on with a clock set that will kill it.
"""

import importlib
import os
import sys
import threading
import time
from pathlib import Path

PLACE = Path(os.environ["MOMENTS"])
TOLD = os.open(PLACE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
number, seconds, how = map(float, os.environ["KILL"].split())
clock = None


def moment(name):
    global clock
    os.write(TOLD, f"{name}\\n".encode())
    if clock is not None and name == "before the journal goes":
        time.sleep(60)
    if PLACE.read_text().count("\\n") != number:
        return
    if how:
        whom = os.getpid() if how > 0 else 0  # all of its group
        clock = threading.Timer(seconds, os.kill, (whom, int(abs(how))))
        clock.start()
    else:
        wait()


def wait():
    for _ in range(6000):
        if PLACE.with_name("go").exists():
            return
        time.sleep(0.01)


def watched(of, **arguments):
    module, _, name = of.partition(":")
    calculator = getattr(importlib.import_module(module), name)(**arguments)
    calculate = calculator.calculate

    def told(*given):
        moment("evaluation")
        calculate(*given)

    calculator.calculate = told
    return calculator


def program_version(command):
    return importlib.import_module("seiflow.calculators.espresso").program_version(command)


def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith(".journal") and arguments[1] == "a":
        moment("before a line of the journal")
    elif event == "os.rename" and str(arguments[0]).endswith(".partial"):
        moment("before a result appears")
    elif event == "os.remove" and str(arguments[0]).endswith(".journal") and os.path.exists(arguments[0]):
        moment("before the journal goes")


sys.addaudithook(watch)
'''
EVALUATION = 0.01
"""s, about."""

START_UP = 0.8
"""s, in which a job has begun nothing yet."""

PROMPTLY = 2.0
"""s, after which a job that was asked to end is gone."""

LONGEST = 400
"""s, for what takes half a minute on a machine with nothing else to do; whatever takes longer hangs."""


def recipe_factory(name: str) -> str:
    """Return where the calculator of a recipe that is shipped comes from."""
    return calculator_shelf().get(name).factory


class Workshop:
    """A folder with recipes, and with results of jobs that nobody disturbed."""

    def __init__(self, folder: Path) -> None:
        """Write the recipes."""
        self.folder = folder
        self._moments: dict[str, list[str]] = {}
        (folder / "structures").mkdir()
        (folder / "calculators").mkdir()
        for name, text in {"CuAu": ALLOY, "pair": PAIR, "twin": TWIN}.items():
            (folder / f"structures/{name}.yaml").write_text(text, encoding="utf-8")
        for name in ("Cu", "Li", "LiF"):
            shutil.copy(phase_shelf().path(name), folder / "structures")
        (folder / "watched.py").write_text(WATCHED, encoding="utf-8")
        self.add("emt", "emt")
        for name in ("Cu", "CuAu"):
            self.build(name, "emt")

    def add(self, name: str, original: str, **arguments: object) -> None:
        """Write a recipe whose calculator tells of its moments."""
        recipe = yaml.safe_load(calculator_shelf().path(original).read_text(encoding="utf-8"))
        recipe |= {"name": name, "factory": "watched:watched", "remedies": []}
        recipe["arguments"] = recipe.get("arguments", {}) | {"of": recipe_factory(original)} | arguments
        (self.folder / f"calculators/{name}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")

    def build(self, structure: str, calculator: str, name: str = "built.extxyz") -> None:
        """Build a phase."""
        built = self.folder / f"results/{structure}/{calculator}/{name}"
        assert main(["build", "--structure", str(self.folder / f"structures/{structure}.yaml"), "--output", str(built)]) == 0

    def variables(self, folder: Path, kill: "Kill | None" = None, *, group: bool = False) -> dict[str, str]:
        """Return the environment of a job in a folder that is killed, alone or with its group, or is not."""
        told = "0 0 0"
        if kill:
            told = f"{kill.moment} {kill.seconds} {0 if kill.waits else int(-kill.how if group else kill.how)}"
        added = {"SEIFLOW_STORE": "", "MOMENTS": str(folder / "moments"), "KILL": told}
        return environment() | added | {"PYTHONPATH": os.pathsep.join([str(self.folder), os.environ.get("PYTHONPATH", "")])}

    def start(self, job: Job, folder: Path, kill: "Kill | None" = None, *starter: str) -> subprocess.Popen[str]:
        """Start a job in a folder, by another command if one is named; at a moment it waits to be killed, or soon is."""
        command = [*starter, program("seiflow"), *job.arguments]
        variables = self.variables(folder, kill)
        return subprocess.Popen(command, cwd=folder, env=variables, stderr=subprocess.PIPE, text=True)

    def finish(self, job: Job, folder: Path, told: str = "") -> str:
        """Run a job to its end; return what it said."""
        process = self.start(job, folder)
        _, said = outcome(process)
        assert process.returncode == 0, f"{told}: {said}"
        return said

    def undisturbed(self, job: Job) -> list[str]:
        """Run a job once, and before it those whose results it reads; return its moments."""
        name = job.outputs[0]
        if name not in self._moments:
            for maker in JOBS.values():
                if set(maker.outputs) & set(job.inputs):
                    self.undisturbed(maker)
            (self.folder / "moments").unlink(missing_ok=True)
            self.finish(job, self.folder)
            self._moments[name] = moments(self.folder)
        return self._moments[name]

    def copy_recipes(self, folder: Path) -> None:
        """Copy the recipes to another folder."""
        for kind in ("structures", "calculators"):
            shutil.copytree(self.folder / kind, folder / kind)

    def copy(self, job: Job, folder: Path) -> list[str]:
        """Copy recipes and what a job reads to another folder; return the moments of the undisturbed job."""
        expected = self.undisturbed(job)
        self.copy_recipes(folder)
        for each in job.inputs:
            (folder / each).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.folder / each, folder / each)
        return expected

    def compare(self, job: Job, folder: Path) -> None:
        """Check that the files of a job are those of the undisturbed one, and that nothing else is left."""
        assert files(folder) == {*job.outputs, *job.inputs}
        for each in job.outputs:
            assert (folder / each).read_bytes() == (self.folder / each).read_bytes(), each


def files(folder: Path) -> set[str]:
    """Return all files below the results."""
    return {str(path.relative_to(folder)) for path in (folder / "results").rglob("*") if path.is_file()}


def moments(folder: Path) -> list[str]:
    """Return the moments that the jobs in a folder have come to, evaluations begun among them."""
    path = folder / "moments"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def outcome(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Return what a process said until it ended; one that hangs is killed and told of."""
    try:
        return process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def reach(process: subprocess.Popen[str], folder: Path, wanted: int) -> None:
    """Wait until so many moments have come, or the job has ended."""
    end = time.monotonic() + LONGEST
    while len(moments(folder)) < wanted and process.poll() is None:
        if time.monotonic() > end:
            process.kill()
            process.wait()
            message = f"{len(moments(folder))} of {wanted} moments in {LONGEST} s"
            raise AssertionError(message)
        time.sleep(0.001)


STATUS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: -signal.SIGTERM, signal.SIGINT: 130}


class Kill(NamedTuple):
    """When a job is killed and how: some seconds after a moment, all its runs counted, in which it waits or goes on."""

    moment: int
    waits: bool
    seconds: float
    how: signal.Signals


def plan(seed: str, expected: list[str], kills: int) -> list[Kill]:
    """Return when to kill a job: at any of its moments, and of several times once in the last ones, in which it writes."""
    chance = random.Random(seed)  # noqa: S311 - nothing secret
    numbers = sorted(chance.randrange(len(expected)) for _ in range(max(kills - 1, 1)))
    numbers += [len(expected) - chance.randrange(3)] * (kills > 1)
    planned = []
    for number in numbers:
        how = chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT) if number else (signal.SIGKILL, signal.SIGTERM))
        waits = number == 0 or number > len(expected) - 3 or chance.random() < 1 / 3
        planned.append(Kill(number, waits, chance.random() * (EVALUATION if number else START_UP), how))
    return planned


def kill_at(kill: Kill, process: subprocess.Popen[str], folder: Path, told: str) -> None:
    """Kill a job when its moment has come; check how it ends and what it leaves."""
    if kill.waits:
        reach(process, folder, kill.moment)
        time.sleep(kill.seconds)
        process.send_signal(kill.how)
    asked = time.monotonic()
    _, said = outcome(process)
    assert not kill.waits or time.monotonic() - asked < PROMPTLY, told
    assert process.returncode == STATUS[kill.how], f"{told}: {said}"
    assert "Traceback" not in said
    assert kill.how != signal.SIGINT or said.endswith("stopped; run again to go on from here\n"), told
    for path in (folder / "results").rglob("*"):
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        assert path.suffix != ".failed", told
        assert path.suffix != ".partial" or kill.how != signal.SIGINT, told
