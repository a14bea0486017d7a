"""Jobs that are killed, at any moment and more than once: they lose one evaluation at most and end with the same bytes."""

import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from conftest import REPOSITORY, program
from killed_jobs import JOBS, Job, Kill, Workshop, files, kill_at, moments, plan, reach

from seiflow.calculators.factory import calculator_context
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, InputError, UnconvergedDensityError
from seiflow.jobs.task import Task
from seiflow.journal import Journal
from seiflow.settings import PropertySettings
from seiflow.shelves import phase_shelf

SEED = os.environ.get("SEIFLOW_KILLS", "lithium")
"""Of the moments; another one tries others."""

KILLED = [name for name, job in JOBS.items() if job.kills]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Return the folder of the undisturbed jobs."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.mark.parametrize("name", KILLED)
def test_killed_job_loses_one_evaluation_and_ends_the_same(name: str, workshop: Workshop, tmp_path: Path) -> None:
    """A job killed at random moments, and run again, ends with the bytes of an undisturbed one, a kill costing one evaluation."""
    job = JOBS[name]
    expected = workshop.copy(job, tmp_path)
    kills = plan(f"{SEED} {name}", expected, job.kills)
    told = f"moments {kills} of {len(expected)}"
    for kill in kills:
        # an earlier kill may have come later than this one was planned for
        due = kill._replace(moment=max(kill.moment, len(moments(tmp_path)) + 1)) if kill.moment else kill
        kill_at(due, workshop.start(job, tmp_path, due), tmp_path, told)
    workshop.finish(job, tmp_path, told)
    workshop.compare(job, tmp_path)
    twice = moments(tmp_path).count("evaluation") - expected.count("evaluation")
    sys.stdout.write(f"{name}: {len(kills)} kills, {twice} of {expected.count('evaluation')} evaluations made twice\n")
    assert 0 <= twice <= len(kills), told


# Machine learning and density functional theory


def test_killed_job_of_a_neural_network_ends_the_same(
    workshop: Workshop, tmp_path: Path, installed: Callable[[str], CalculatorRecipe]
) -> None:
    """LiF relaxed by CHGNet, killed in the middle, loses one evaluation and ends with the same bytes."""
    installed("chgnet")
    workshop.add("chgnet", "chgnet")
    workshop.build("LiF", "chgnet")
    built = {"built": "LiF/chgnet/built.extxyz"}
    job = Job("relax", "LiF", "relaxation.json", {"relaxed": "relaxed.extxyz"}, built, calculator="chgnet")
    expected = workshop.copy(job, tmp_path)
    kill = Kill(len(expected) // 2, waits=False, seconds=0.03, how=signal.SIGKILL)
    kill_at(kill, workshop.start(job, tmp_path, kill), tmp_path, "")
    workshop.finish(job, tmp_path)
    workshop.compare(job, tmp_path)
    assert 0 <= moments(tmp_path).count("evaluation") - expected.count("evaluation") <= 1


def test_killed_job_of_density_functional_theory_ends_within_its_tolerance(
    workshop: Workshop, tmp_path: Path, installed: Callable[[str], CalculatorRecipe]
) -> None:
    """Stiffness by GPAW, the job killed in the middle: one evaluation is lost, and the numbers are the same to 0.01 GPa.

    The stress needs the slope of the energy by the cut-off, which is measured once. Measured again on another strained cell it
    would be another.
    """
    installed("gpaw-pbe-fast")
    workshop.add("gpaw", "gpaw-pbe-fast", cutoff_ev=400, kpoint_length=5.0)
    workshop.build("pair", "gpaw", "relaxed.extxyz")
    job = Job("elasticity", "pair", "elasticity.json", read={"relaxed": "pair/gpaw/relaxed.extxyz"}, calculator="gpaw")
    expected = workshop.copy(job, tmp_path)
    half = 2 * (expected.count("evaluation") // 2)
    kill = Kill(half, waits=True, seconds=0.0, how=signal.SIGKILL)
    kill_at(kill, workshop.start(job, tmp_path, kill), tmp_path, "")
    workshop.finish(job, tmp_path)
    assert moments(tmp_path).count("evaluation") - expected.count("evaluation") in {0, 1}
    found, wanted = (json.loads((folder / job.outputs[0]).read_text()) for folder in (tmp_path, workshop.folder))
    assert found["force_evaluations"] == wanted["force_evaluations"]
    assert np.abs(np.subtract(found["stiffness_gpa"], wanted["stiffness_gpa"])).max() < 0.01


# Studies


def test_killed_study_ends_with_the_same_bytes(workshop: Workshop, tmp_path: Path) -> None:
    """A study whose processes are all killed at random moments ends, run again by the same command, as if it had not been."""
    jobs = [JOBS["relaxation"], JOBS["elasticity"], JOBS["phonons"]]
    expected = [moment for job in jobs for moment in workshop.undisturbed(job)]
    workshop.copy_recipes(tmp_path)
    block = {"structures": ["CuAu"], "calculators": ["emt"], "properties": ["elasticity", "phonons"]}
    study = {"library": ["."], "calculations": [block], "settings": jobs[-1].settings}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    chance = random.Random(f"{SEED} study")  # noqa: S311 - nothing secret
    kills = [
        Kill(chance.randrange(1, len(expected) * part // 2), waits=False, seconds=0.0, how=signal.SIGKILL) for part in (1, 2)
    ]
    for kill in (*sorted(kills), None):
        process = snakemake(workshop, tmp_path, kill)
        said, _ = process.communicate(timeout=200)
        assert process.returncode == (-signal.SIGKILL if kill else 0), f"{kills}: {said}"
        if kill:
            snakemake(workshop, tmp_path, None, "--unlock").communicate(timeout=100)
    for each in (name for job in jobs for name in job.outputs):
        assert (tmp_path / each).read_bytes() == (workshop.folder / each).read_bytes(), f"{kills}: {each}"
    assert [name for name in files(tmp_path) if name.endswith((".journal", ".partial", ".failed"))] == []
    assert moments(tmp_path).count("evaluation") - expected.count("evaluation") <= len(kills)


def snakemake(workshop: Workshop, folder: Path, kill: Kill | None, *words: str) -> subprocess.Popen[str]:
    """Start the jobs of a study one after the other, in a group that may be killed."""
    rules = ["--snakefile", str(REPOSITORY / "Snakefile"), "--configfile", "study.yaml", "--cores", "1", "--rerun-incomplete"]
    targets = ["results/CuAu/emt/elasticity.json", "results/CuAu/emt/phonons.json"]
    return subprocess.Popen(
        [program("snakemake"), *rules, *words, *targets],
        cwd=folder,
        env=workshop.variables(folder, kill, group=True),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


# Bad days


ELASTICITY = JOBS["elasticity"]
JOURNAL = f"{ELASTICITY.place}/.elasticity.json.journal"


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


def test_journal_of_code_that_has_changed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who corrects a calculator of his own, in a module without a version, gets no evaluations of the old one."""
    recipe = calculator_shelf().get("emt").model_copy(update={"factory": "of_a_user:EMT"})
    module = tmp_path / "of_a_user.py"
    monkeypatch.syspath_prepend(tmp_path)
    module.write_text("from ase.calculators.emt import EMT\n", encoding="utf-8")
    before = calculator_context(recipe)
    assert calculator_context(recipe) == before
    module.write_text("from ase.calculators.emt import EMT as Old\n\n\nclass EMT(Old): ...\n", encoding="utf-8")
    assert calculator_context(recipe) != before


def test_journal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in the place of a journal is named, with what to do."""
    (tmp_path / "journal").mkdir()
    with pytest.raises(InputError, match=r"journal: the evaluations of an earlier run cannot be read.*or delete it"):
        Journal(tmp_path / "journal")


def test_file_that_may_grow_no_further_keeps_what_it_has(workshop: Workshop, tmp_path: Path) -> None:
    """A journal that reaches the largest size allowed ends the job with a clear message; run again it loses one evaluation."""
    job = JOBS["hop"]
    expected = workshop.copy(job, tmp_path)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    process = workshop.start(job, tmp_path, preexec_fn=limit)
    _, said = process.communicate(timeout=100)
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
        _, said = process.communicate(timeout=100)
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
        _, said = process.communicate(timeout=100)
        check_refusal(process.returncode, said, "Read-only file system")
        process = workshop.start(job, tmp_path)
        _, said = process.communicate(timeout=100)
        check_refusal(process.returncode, said, "Read-only file system")
        remount(tmp_path / "results", "rw")
        go_on(workshop, job, tmp_path, expected, lost=2)


# What the engine keeps


class Moody(Calculator):  # type: ignore[misc] # the base class is untyped
    """EMT that measures something once, fails where it is told to, and is interrupted after a number of evaluations."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, fails_at: int = 0, left: int = 100, mood: float = 0.0) -> None:
        """Begin to count."""
        super().__init__()
        self.measured_once: dict[str, float] = {}
        self.evaluations = 0
        self._fails_at, self._left, self._mood = fails_at, left, mood

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.evaluations == self._left:
            raise KeyboardInterrupt
        self.evaluations += 1
        if self.evaluations == self._fails_at:
            message = f"failed at {self.evaluations}"
            raise UnconvergedDensityError(message)
        shift = self.measured_once.setdefault("shift", self.atoms.positions[0, 0] + self._mood)
        fresh = EMT()
        fresh.calculate(self.atoms, properties, all_changes)
        self.results = fresh.results | {"energy": fresh.results["energy"] + shift}


def walk(engine: Engine) -> tuple[list[float], list[str]]:
    """Evaluate six structures, one of them twice; return the energies, and what failed."""
    energies, failures = [], []
    for number in (1, 2, 3, 4, 2, 5, 6):
        atoms = bulk("Cu", a=3.6)
        atoms.positions[0, 0] = 0.1 * number
        try:
            energies.append(engine.evaluate(atoms).energy)
        except CalculatorError as error:
            failures.append(str(error))
    return energies, failures


def test_failure_that_a_job_got_over_is_not_computed_again(tmp_path: Path) -> None:
    """A job that went on in spite of a failure does so after a kill too, although the structure would not fail any more."""
    expected = walk(Engine(Moody(fails_at=3)))
    assert expected[1] == ["failed at 3"]
    with pytest.raises(KeyboardInterrupt):
        walk(Engine(Moody(fails_at=3, left=4), Journal(tmp_path / "journal", "c")))
    rest = Moody()
    assert walk(Engine(rest, Journal(tmp_path / "journal", "c"))) == expected
    assert rest.evaluations == 2


def test_failure_that_ended_a_job_is_tried_again(tmp_path: Path) -> None:
    """A failure is not kept when nothing is evaluated after it, nor when the recipe tries other remedies since."""
    journal = tmp_path / "journal"
    atoms = bulk("Cu", a=3.6)
    with pytest.raises(UnconvergedDensityError):
        Engine(Moody(fails_at=1), Journal(journal, "c")).evaluate(atoms)
    Engine(Moody(), Journal(journal, "c")).evaluate(atoms)
    walk(Engine(Moody(fails_at=3), Journal(journal, "d", "mixing")))
    assert walk(Engine(Moody(), Journal(journal, "d", "mixing")))[1] == ["failed at 3"]
    assert walk(Engine(Moody(), Journal(journal, "d", "smearing")))[1] == []


def test_what_is_measured_once_is_measured_once(tmp_path: Path) -> None:
    """What a calculator measured on its first structure holds after a kill; another calculator measures its own."""
    journal = tmp_path / "journal"
    expected, _ = walk(Engine(Moody()))
    with pytest.raises(KeyboardInterrupt):
        walk(Engine(Moody(left=3), Journal(journal, "c")))
    assert walk(Engine(Moody(mood=5.0), Journal(journal, "c")))[0] == expected
    assert walk(Engine(Moody(mood=5.0), Journal(journal, "d")))[0] == pytest.approx(np.add(expected, 5.0))


def test_structure_asked_for_twice_is_computed_once(tmp_path: Path) -> None:
    """A structure that a job comes back to is read back, in the same run and in later ones with the bits of the first time."""
    once = Moody()
    energies, _ = walk(Engine(once, Journal(tmp_path / "journal")))
    assert (len(energies), once.evaluations) == (7, 6)
    lines = (tmp_path / "journal").read_text(encoding="utf-8").splitlines()
    later = {**json.loads(lines[1]), "energy": 0.0}
    (tmp_path / "journal").write_text("\n".join([*lines, json.dumps(later), ""]), encoding="utf-8")
    assert walk(Engine(Moody(left=0), Journal(tmp_path / "journal")))[0] == energies


def test_notes_stand_in_one_order(tmp_path: Path) -> None:
    """What the engines of several charges have to tell is the same whether it was read back or not, each once."""
    task = Task(phase_shelf().path("Cu"), (), calculator_shelf().path("gpaw-pbe-fast"), PropertySettings(), tmp_path / "a.json")
    for name in ("b", "a", "b"):
        Journal(task.journal_file, name).note(f"remedy {name}")
    engines = {charge: Engine(EMT(), Journal(task.journal_file, str(charge))) for charge in (1, 0)}
    vars(task)["_engines"] = engines
    assert task.notes == ("remedy a", "remedy b")


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
