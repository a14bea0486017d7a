"""The machine: how programs are started and where pseudopotentials lie is said apart from recipes, and told before any job."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from seiflow.calculators.factory import calculator_context, installation_problem, make_calculator, weight_digests
from seiflow.calculators.machine import VARIABLE, Machine
from seiflow.calculators.processes import TiedProgram
from seiflow.calculators.recipes import CalculatorRecipe, weight_file
from seiflow.cli import main
from seiflow.errors import CalculatorError, InputError, StudyError
from seiflow.study import Study

RECIPE = {
    "name": "code",
    "summary": "a code that is started",
    "factory": "external_code:make",
    "elements": ["Cu"],
    "charge": False,
    "seconds_per_atom": 1.0,
    "program": "the-code",
    "data": "espresso",
    "weights": ["espresso:Cu.UPF"],
    "source": {"citation": "a test"},
}

MODULE = """\
from ase.calculators.emt import EMT

class Started(EMT):
    def __init__(self, command, folder):
        super().__init__()
        self.started = (command, folder)

def make(*, command, folder):
    return Started(command, folder)

def program_version(command):
    return command.split()[-1] + " 1.0"
"""


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No machine is named before a test and none is remembered after it."""
    monkeypatch.setenv(VARIABLE, "")
    weight_file.cache_clear()
    yield
    weight_file.cache_clear()


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CalculatorRecipe:
    """A recipe of a code whose Python side is there."""
    (tmp_path / "external_code.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return CalculatorRecipe.model_validate(RECIPE)


def machine_file(folder: Path, *, program: bool = True) -> Path:
    """Write a machine file, the pseudopotential it promises and, if wanted, the program."""
    (folder / "pseudo").mkdir()
    (folder / "pseudo" / "Cu.UPF").write_text("a potential", encoding="utf-8")
    if program:
        (folder / "launcher").write_text("#!/bin/sh\n", encoding="utf-8")
        (folder / "launcher").chmod(0o755)
    data = {
        "programs": {"the-code": f"{folder / 'launcher'} -n {{processes}} the-code"},
        "folders": {"espresso": str(folder / "pseudo")},
    }
    path = folder / "machine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


def test_program_is_started_as_the_machine_says(
    tmp_path: Path, recipe: CalculatorRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The callable gets the command line with the number of processes, and the folder of its pseudopotentials."""
    monkeypatch.setenv(VARIABLE, str(machine_file(tmp_path)))
    calculator = make_calculator(recipe, processes=4)
    assert calculator.started == (f"{tmp_path / 'launcher'} -n 4 the-code", str(tmp_path / "pseudo"))  # type: ignore[attr-defined]


def test_results_depend_on_pseudopotentials_and_version_but_not_on_how_a_program_is_started(
    tmp_path: Path, recipe: CalculatorRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The context of an evaluation stays if the launcher changes, and changes with the content of a pseudopotential."""
    path = machine_file(tmp_path)
    monkeypatch.setenv(VARIABLE, str(path))
    before, digests = calculator_context(recipe), weight_digests(recipe)
    path.write_text(path.read_text(encoding="utf-8").replace("-n", "-np"), encoding="utf-8")
    assert calculator_context(recipe) == before
    (tmp_path / "pseudo" / "Cu.UPF").write_text("another potential", encoding="utf-8")
    assert calculator_context(recipe) != before
    assert weight_digests(recipe) != digests


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("program", r"the program .*launcher is not there; install it, load its module, or say in a machine file"),
        ("potential", r"'espresso:Cu.UPF' not found \(no file .*Cu.UPF\)"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_made(
    tmp_path: Path, recipe: CalculatorRecipe, monkeypatch: pytest.MonkeyPatch, missing: str, told: str
) -> None:
    """A program or pseudopotential that is not there is told with what to do."""
    monkeypatch.setenv(VARIABLE, str(machine_file(tmp_path, program=missing != "program")))
    if missing == "potential":
        (tmp_path / "pseudo" / "Cu.UPF").unlink()
    with pytest.raises(CalculatorError, match=told):
        make_calculator(recipe)


def test_without_a_machine_file_a_program_is_looked_for_on_the_path(recipe: CalculatorRecipe) -> None:
    """The message names the program and the key that says how it is started; several processes are started by mpirun."""
    problem = installation_problem(recipe)
    assert problem is not None
    assert "the program the-code is not on the path" in problem
    assert "programs: {the-code: COMMAND}" in problem
    assert Machine().command("pw.x") == "pw.x"
    assert Machine().command("pw.x", 3) == "mpirun -np 3 pw.x"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("mpirun -np {processes} no-such-pw.x -nk 2", "no-such-pw.x -nk 2' names no program that is there"),
        ("mpirun -np {processes} pw.x -nk 2", "the program pw.x is not on the path"),
        ("mpirun -np {processes} /opt/no/pw.x", "/opt/no/pw.x' names no program that is there"),
        ("mpirun -np {processes} here", None),
        (None, "the program mpirun is not on the path"),
    ],
)
def test_what_a_launcher_starts_is_looked_for_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str | None, told: str | None
) -> None:
    """A program behind mpirun that is not there is told before any job, and so is mpirun where several processes need it."""
    for name in ("mpirun", "here") if line else ("pw.x",):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = Machine(programs={"pw.x": line} if line else {}).program_problem("pw.x", 4)
    assert problem is None if told is None else told in str(problem)
    if line is None:
        assert Machine().program_problem("pw.x") is None


def test_program_has_one_thread_in_each_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's environment names as many threads as it has MPI processes; each of them must not start so many again."""
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with (tmp_path / "said").open("w+", encoding="utf-8") as said:
        line = "sh -c 'echo $OMP_NUM_THREADS; OMP_NUM_THREADS=2 printenv OMP_NUM_THREADS'"
        assert TiedProgram(line, tmp_path, output=said, errors=said).wait() == 0
    assert (tmp_path / "said").read_text(encoding="utf-8").split() == ["1", "2"]


def test_processes_of_a_program_may_use_all_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open MPI would bind those of each job to the first cores of the node, which other jobs get too."""
    launcher = shutil.which("mpirun")
    if launcher is None or b"Open MPI" not in subprocess.run([launcher, "--version"], capture_output=True, check=False).stdout:
        assert os.environ.get("CI") != "true", "the mpirun of Open MPI is not installed"
        pytest.skip("the mpirun of Open MPI is not installed")
    for name in ("OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"):
        monkeypatch.setenv(name, "1")
    line = f"mpirun --oversubscribe -np 2 {sys.executable} -c 'import os; print(len(os.sched_getaffinity(0)))'"
    with (tmp_path / "said").open("w+", encoding="utf-8") as said:
        assert TiedProgram(line, tmp_path, output=said, errors=subprocess.DEVNULL).wait() == 0
    assert (tmp_path / "said").read_text(encoding="utf-8").split() == [str(len(os.sched_getaffinity(0)))] * 2


@pytest.mark.parametrize("braces", ["{tasks}", "{}", "{processes.number}", "{processes[0]}"])
def test_unknown_braces_in_a_command_are_refused(braces: str) -> None:
    """A placeholder that nothing fills is an error with the name of the program."""
    with pytest.raises(InputError, match=r"programs.pw.x: .*braces other than \{processes\}"):
        Machine(programs={"pw.x": f"srun -n {braces} pw.x"}).command("pw.x")


@pytest.mark.parametrize(("line", "told"), [("", "there is no command"), ("mpirun 'pw.x", "is no command line")])
def test_command_that_no_shell_takes_is_refused(line: str, told: str) -> None:
    """An empty line and an open quotation mark are told with the name of the program."""
    with pytest.raises(InputError, match=rf"programs.pw.x: .*{told}"):
        Machine(programs={"pw.x": line}).program_problem("pw.x")


def test_program_below_the_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading ~ stands for the home, as for folders and interpreters."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pw.x").touch(0o755)
    machine = Machine(programs={"pw.x": "~/pw.x -nk {processes}"})
    assert machine.program_problem("pw.x") is None
    assert machine.command("pw.x", 2) == f"{tmp_path / 'pw.x'} -nk 2"


@pytest.mark.parametrize(
    ("text", "told"), [(None, "no such file"), ("program: {}", "program: unknown key; did you mean 'programs'")]
)
def test_wrong_machine_file_is_told_as_a_mistake_of_the_study(tmp_path: Path, text: str | None, told: str) -> None:
    """A machine file that is absent or has unknown keys stops the study before anything else is looked at."""
    path = tmp_path / "machine.yaml"
    if text:
        path.write_text(text, encoding="utf-8")
    study = {"machine": str(path), "calculations": [{"structures": ["Cu"], "calculators": ["emt"], "properties": ["relaxation"]}]}
    with pytest.raises(StudyError, match=f"(?s)machine: .*{told}"):
        Study(study)


def test_check_takes_the_machine_of_the_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A study that names a good machine file passes the check, and the jobs that follow find the file."""
    study = {
        "machine": str(machine_file(tmp_path)),
        "calculations": [{"structures": ["Cu"], "calculators": ["emt"], "properties": ["relaxation"]}],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    assert main(["check", str(tmp_path / "study.yaml")]) == 0
    assert "error" not in capsys.readouterr().err
    assert os.environ[VARIABLE] == str(tmp_path / "machine.yaml")
