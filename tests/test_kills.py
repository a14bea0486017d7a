"""Jobs that are killed, at any moment and more than once: they lose one evaluation at most and end with the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import REPOSITORY, program
from killed_jobs import JOBS, Job
from killing import Kill, Workshop, files, kill_at, moments, outcome, plan

from seiflow.calculators.recipes import CalculatorRecipe

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


@pytest.mark.parametrize(
    ("structure", "calculator", "changes"),
    [
        ("pair", "gpaw-pbe-fast", {"cutoff_ev": 300, "kpoint_length": 3.0}),
        ("Li", "espresso-pbesol-fast", {"metal_kpoint_length": 10.0}),
    ],
)
def test_killed_relaxation_by_density_functional_theory_ends_at_the_same_energy(
    workshop: Workshop,
    tmp_path: Path,
    installed: Callable[[str], CalculatorRecipe],
    structure: str,
    calculator: str,
    changes: dict[str, float],
) -> None:
    """A cell relaxed by GPAW or by pw.x, killed in the middle, goes on from there and ends at the same energy to 1 meV."""
    installed(calculator)
    workshop.add(f"killed-{calculator}", calculator, **changes)
    workshop.build(structure, f"killed-{calculator}")
    read = {"built": f"{structure}/killed-{calculator}/built.extxyz"}
    job = Job("relax", structure, "relaxation.json", {"relaxed": "relaxed.extxyz"}, read, calculator=f"killed-{calculator}")
    expected = workshop.copy(job, tmp_path)
    assert expected.count("evaluation") > 2
    kill = Kill(2 * (expected.count("evaluation") // 2), waits=True, seconds=0.0, how=signal.SIGKILL)
    kill_at(kill, workshop.start(job, tmp_path, kill), tmp_path, "")
    workshop.finish(job, tmp_path)
    assert moments(tmp_path).count("evaluation") - expected.count("evaluation") in {0, 1}
    found, wanted = (json.loads((folder / job.outputs[0]).read_text()) for folder in (tmp_path, workshop.folder))
    assert found["energy_ev"] == pytest.approx(wanted["energy_ev"], abs=1e-3)
    assert found["lattice"]["a_angstrom"] == pytest.approx(wanted["lattice"]["a_angstrom"], abs=1e-3)


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


def test_killed_job_of_charged_defects_ends_within_its_tolerance(
    workshop: Workshop, tmp_path: Path, installed: Callable[[str], CalculatorRecipe]
) -> None:
    """Charged vacancies by GPAW, the job killed between a cell and its potential: the charges share what the journal has.

    One evaluation is lost, and the energies are the same to 1 meV.
    """
    installed("gpaw-pbe-fast")
    workshop.add("coarse", "gpaw-pbe-fast", cutoff_ev=200, kpoint_length=2.0)
    workshop.build("LiF", "coarse", "relaxed.extxyz")
    settings = {"vacancies": {"Li": [-1], "F": [1]}, "image_distance": 4.0, "dielectric": 9.0, "shake": False, "fmax": 0.5}
    read = {"relaxed": "LiF/coarse/relaxed.extxyz"}
    job = Job("charged-defects", "LiF", "charged_defects.json", {}, read, {"charged_defects": settings}, calculator="coarse")
    expected = workshop.copy(job, tmp_path)
    number = len(expected) - 2  # the last line of the journal, the potential of the last cell
    kill = Kill(number, waits=True, seconds=0.0, how=signal.SIGKILL)
    kill_at(kill, workshop.start(job, tmp_path, kill), tmp_path, "")
    workshop.finish(job, tmp_path)
    assert moments(tmp_path).count("evaluation") - expected.count("evaluation") in {0, 1}
    found, wanted = (json.loads((folder / job.outputs[0]).read_text()) for folder in (tmp_path, workshop.folder))
    assert found["force_evaluations"] == wanted["force_evaluations"]
    assert found["schottky_energy_ev"] == pytest.approx(wanted["schottky_energy_ev"], abs=1e-3)


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
        said, _ = outcome(process)
        assert process.returncode == (-signal.SIGKILL if kill else 0), f"{kills}: {said}"
        if kill:
            outcome(snakemake(workshop, tmp_path, None, "--unlock"))
    for each in (name for job in jobs for name in job.outputs):
        assert (tmp_path / each).read_bytes() == (workshop.folder / each).read_bytes(), f"{kills}: {each}"
    assert [name for name in files(tmp_path) if name.endswith((".journal", ".densities", ".partial", ".failed"))] == []
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
