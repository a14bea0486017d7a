"""GPAW in a program of its own: it finds what this process finds, with several processes too, and its end is told."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from conftest import PROGRAMS, REPOSITORY

from seiflow.calculators import factory
from seiflow.calculators.electronic import Electronic
from seiflow.calculators.factory import calculator_versions, installation_problem, make_calculator, making_problems
from seiflow.calculators.gpaw_program import Installation
from seiflow.calculators.machine import VARIABLE, Machine
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, UnconvergedDensityError

COARSE = {"cutoff_ev": 300, "kpoint_length": 4.0, "density_tolerance": 1e-6}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Say how the program is started: the one beside this Python, and MPI for several processes on however few cores."""
    path = tmp_path / "machine.yaml"
    command = f"env -u PYTHONHOME mpirun --oversubscribe -np {{processes}} {PROGRAMS / 'gpaw'}"
    path.write_text(yaml.safe_dump({"programs": {"gpaw": command}}), encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(path))
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
    monkeypatch.setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")


@pytest.fixture
def alone(installed: Callable[[str], CalculatorRecipe]) -> CalculatorRecipe:
    """GPAW with few plane waves, in this process."""
    return altered(installed("gpaw-pbe"), **COARSE)


@pytest.fixture
def program(alone: CalculatorRecipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CalculatorRecipe:
    """The same in a program of one process, whose socket lies in a folder with a long name."""
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("PATH", f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}")
    return alone.model_copy(update={"program": "gpaw"})


@pytest.fixture
def two(program: CalculatorRecipe, machine: None) -> CalculatorRecipe:
    """The same in a program of two processes; a GPAW without MPI skips a test, on a build server it fails."""
    del machine
    several = program.model_copy(update={"processes": 2})
    problem = installation_problem(several) or next(iter(making_problems(several)), None)
    if problem and os.environ.get("CI") == "true":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)
    return several


def altered(recipe: CalculatorRecipe, **arguments: object) -> CalculatorRecipe:
    """Return a recipe with other arguments and no remedies."""
    return recipe.model_copy(update={"arguments": recipe.arguments | arguments, "remedies": []})


def displaced() -> Atoms:
    """LiF, two atoms, lithium off its place."""
    atoms = bulk("LiF", "rocksalt", a=4.06)
    atoms.positions[0] += [0.3, -0.1, 0.1]
    return atoms


def made(recipe: CalculatorRecipe) -> Any:  # noqa: ANN401 - an ASE calculator, which has no types
    """Return the calculator of a recipe with the processes that it names."""
    return make_calculator(recipe, processes=recipe.processes)


@pytest.mark.parametrize("kind", ["program", "two"])
def test_program_finds_what_this_process_finds(
    kind: str, alone: CalculatorRecipe, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Energy, forces, stress and electronic state of two structures are the same; the folder of the program goes with it."""
    recipe = request.getfixturevalue(kind)
    theirs, ours = made(recipe), made(alone)
    moved = displaced()
    moved.positions[0, 0] += 0.1
    for atoms in (displaced(), moved):
        for calculator in (theirs, ours):
            calculator.calculate(atoms, ["energy", "forces", "stress"])
        assert theirs.results["energy"] == pytest.approx(ours.results["energy"], abs=1e-5)
        assert theirs.results["forces"] == pytest.approx(ours.results["forces"], abs=1e-3)
        assert theirs.results["stress"] == pytest.approx(ours.results["stress"], abs=1e-5)
    assert theirs.measured_once == pytest.approx(ours.measured_once, rel=1e-4)
    assert isinstance(theirs, Electronic)
    state, expected = theirs.electronic_state(moved), ours.electronic_state(moved)
    assert state.sites_ev == pytest.approx(expected.sites_ev, abs=1e-3)
    assert (state.valence_ev, state.conduction_ev) == pytest.approx((expected.valence_ev, expected.conduction_ev), abs=1e-3)
    assert np.array(state.planar_ev[2]) == pytest.approx(np.array(expected.planar_ev[2]), abs=1e-3)
    assert list(tmp_path.glob("**/seiflow-gpaw-*"))
    theirs.close()
    assert not list(tmp_path.glob("**/seiflow-gpaw-*"))


def test_what_was_measured_once_is_told_to_the_program(program: CalculatorRecipe) -> None:
    """A job that goes on after a kill gives the slope of the energy by the cut-off to the program, which does not measure it."""
    calculator = made(program)
    calculator.measured_once["LiF"] = 0.0
    calculator.calculate(displaced(), ["energy", "stress"])
    bare = calculator.results["stress"]
    calculator.measured_once["LiF"] = -0.01
    calculator.calculate(displaced(), ["energy", "stress"])
    pressure = 2 / 3 * 300 * -0.01 * 2 / displaced().get_volume()
    assert calculator.results["stress"][:3] - bare[:3] == pytest.approx([pressure] * 3, abs=1e-6)
    assert calculator.measured_once == {"LiF": -0.01}


def test_unconverged_density_is_told_and_remedied(program: CalculatorRecipe) -> None:
    """Three iterations are too few; a remedy of the recipe helps, as it does without a program."""
    with pytest.raises(UnconvergedDensityError, match=r"FLi, charge \+0: the density did not become self-consistent in 3 iter"):
        made(altered(program, iterations=3)).calculate(displaced(), ["energy"])
    few = altered(program, iterations=3).model_dump() | {"remedies": [{"name": "many", "arguments": {"iterations": 90}}]}
    engine = Engine(made(CalculatorRecipe.model_validate(few)))
    engine.evaluate(displaced())
    assert engine.notes == ("A density became self-consistent only with a remedy of the recipe: many.",)


@pytest.mark.parametrize("kind", ["program", "two"])
def test_end_of_the_program_is_told_with_its_last_words(kind: str, request: pytest.FixtureRequest) -> None:
    """Where GPAW refuses a structure all processes end, and the message has its reason; the next structure starts others."""
    calculator = made(request.getfixturevalue(kind))
    together = Atoms("LiF", positions=[[0, 0, 0], [0, 0, 0]], cell=[4, 4, 4], pbc=True)
    with pytest.raises(CalculatorError, match=r"(?s)FLi, charge \+0: GPAW ended .*too close.*It said"):
        calculator.calculate(together, ["energy"])
    calculator.calculate(displaced(), ["energy"])
    assert np.isfinite(calculator.results["energy"])


def test_processes_share_one_point(two: CalculatorRecipe, alone: CalculatorRecipe, tmp_path: Path) -> None:
    """With Γ alone two find what one finds, also from a density that one has kept; without ScaLAPACK they say why not."""
    theirs, ours = made(altered(two, kpoint_length=1.0)), made(altered(alone, kpoint_length=1.0))
    if not hasattr(pytest.importorskip("gpaw.cgpaw"), "new_blacs_context"):
        assert os.environ.get("CI") != "true", "GPAW was built without ScaLAPACK"
        with pytest.raises(CalculatorError, match=r"built without ScaLAPACK: .* as divide the number of k-points"):
            theirs.calculate(displaced(), ["energy"])
        return
    ours.calculate(displaced(), ["energy", "forces", "stress"])
    kept = tmp_path / "kept"
    kept.mkdir()
    ours.keep_density(kept)
    theirs.take_density(kept)
    moved = displaced()
    moved.positions[0, 0] += 0.1
    for atoms in (displaced(), moved):
        for calculator in (theirs, ours):
            calculator.calculate(atoms, ["energy", "forces", "stress"])
        assert theirs.results["energy"] == pytest.approx(ours.results["energy"], abs=1e-5)
        assert theirs.results["forces"] == pytest.approx(ours.results["forces"], abs=1e-3)
        assert theirs.results["stress"] == pytest.approx(ours.results["stress"], abs=1e-5)
    again = tmp_path / "again"
    again.mkdir()
    theirs.keep_density(again)
    assert {path.name for path in again.iterdir()} == {path.name for path in kept.iterdir()}


def test_program_of_another_python_is_told(program: CalculatorRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gpaw that cannot do what is asked, here one that knows no module, ends with its words; its version is not guessed."""
    (tmp_path / "gpaw").write_text("#!/bin/sh\necho no module named seiflow\nexit 1\n", encoding="utf-8")
    (tmp_path / "gpaw").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(CalculatorError, match=r"(?s)GPAW ended without a result. Started by gpaw, it said.*no module named seif"):
        made(program).calculate(displaced(), ["energy"])
    factory.program_version.cache_clear()
    with pytest.raises(CalculatorError, match=r"'gpaw' does not start GPAW"):
        calculator_versions(program)


def test_program_of_another_installation_is_refused(program: CalculatorRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gpaw that finds other code than this process would compute what its record does not say."""
    monkeypatch.setattr(Installation, "this", lambda: Installation("1.0", "/elsewhere"))
    with pytest.raises(
        CalculatorError, match=r"gpaw starts another installation \(GPAW .*seiflow in .*\) than .*\(GPAW 1\.0, seif"
    ):
        made(program).calculate(displaced(), ["energy"])


def test_program_of_another_charge_takes_the_place_of_the_first(program: CalculatorRecipe, tmp_path: Path) -> None:
    """One job computes cells of several charges by turns; two programs at work would compete for the same cores."""
    neutral, charged = make_calculator(program), make_calculator(program, charge=1)
    found = []
    for calculator in (neutral, charged, neutral):
        calculator.calculate(displaced(), ["energy"])
        found.append(calculator.results["energy"])
        assert len(list(tmp_path.glob("**/seiflow-gpaw-*"))) == 1
    assert found[2] == pytest.approx(found[0], abs=1e-5)
    assert abs(found[1] - found[0]) > 1


def test_several_processes_without_mpi_are_refused_before_any_job(
    program: CalculatorRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of them would believe to be alone; the message says how GPAW is built again."""
    monkeypatch.setattr("gpaw.cgpaw.have_mpi", False)
    several = program.model_copy(update={"processes": 2})
    (problem,) = making_problems(several)
    assert "'mpirun -np 2 gpaw' starts GPAW by MPI, but it was built without" in problem
    monkeypatch.setenv(VARIABLE, str(tmp_path / "machine.yaml"))
    for line in ("env OMP_NUM_THREADS=2 mpirun -np {processes} gpaw", "bash -lc 'module load gpaw && srun gpaw'"):
        (tmp_path / "machine.yaml").write_text(yaml.safe_dump({"programs": {"gpaw": line}}), encoding="utf-8")
        assert "built without" in next(iter(making_problems(several)))
    monkeypatch.delenv(VARIABLE)
    assert not list(making_problems(program))


def test_version_of_the_program_is_recorded(program: CalculatorRecipe, alone: CalculatorRecipe) -> None:
    """What computes is the program, so its version counts."""
    versions = calculator_versions(program)
    assert versions["gpaw"] == calculator_versions(alone)["gpaw"]


@pytest.fixture(params=["program", "two"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that evaluates structures without end, with a program of one process or of two."""
    recipe: CalculatorRecipe = request.getfixturevalue(request.param)
    command = Machine.from_environment().command("gpaw", recipe.processes)
    script = (
        "import itertools\nfrom ase.build import bulk\nfrom seiflow.calculators.gpaw import gpaw\n"
        f"calculator, atoms = gpaw(cutoff_ev=300, kpoint_length=4.0, command={command!r}), bulk('LiF', 'rocksalt', a=4.06)\n"
        "for number in itertools.count():\n    atoms.positions[0, 0] += 0.01\n"
        "    calculator.calculate(atoms, ['energy'])\n    print(number, flush=True)\n"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path), "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"}
    started = [sys.executable, "-c", script]
    with subprocess.Popen(started, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_killed_job_leaves_no_program(job: subprocess.Popen[str], tmp_path: Path) -> None:
    """When the job is killed all processes of its program end by themselves, and its folder goes."""
    assert job.stdout is not None
    assert job.stdout.readline() == "0\n"
    (folder,) = tmp_path.glob("seiflow-gpaw-*")
    assert at_work_in(folder)
    job.send_signal(signal.SIGKILL)
    until = time.monotonic() + 60
    while (folder.exists() or at_work_in(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not folder.exists()
    assert not at_work_in(folder)


def at_work_in(folder: Path) -> list[str]:
    """Return the processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink().as_posix().startswith(str(folder)):
                found.append(process.name)
    return found
