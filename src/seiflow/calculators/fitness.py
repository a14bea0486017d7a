"""How good a calculator is: one study of a few phases and boundaries.

Snakemake runs it like any other, so that it resumes and finds in the store what was computed before.
"""

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from seiflow.calculators.factory import installation_problem
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf, uncovered
from seiflow.errors import CalculatorError, InputError
from seiflow.records import write_text
from seiflow.reference_forces import missing_reference
from seiflow.settings import SoftnessSettings
from seiflow.shelves import data_folder, phase_shelf, phases_of, structure_shelf

PHASES = ("LiF", "Li2O", "Li2CO3")
BOUNDARIES = ("LiF-210-mirror", "LiF-310-mirror", "Li2O-111-mirror", "Li2O-310-mirror")

SETTINGS = {"registry": {"candidates": 1}}
"""The boundaries are small, and their order is what counts: the best registry of the ionic model beside the recipe's own."""

AFFORDABLE = 0.1
"""Seconds per atom and evaluation; the study takes hours with a calculator that is dearer, and it is left out unless named."""


@dataclass(frozen=True)
class FitnessStudy:
    """The study of one calculator.

    Attributes:
        calculator: Its name.
        file: The study; its results lie beside it.
        left_out: What could not be asked for, and why.
    """

    calculator: str
    file: Path
    left_out: tuple[str, ...] = field(default=())


def affordable(folders: Sequence[Path] = (), phases: Sequence[str] = PHASES) -> list[str]:
    """Return the calculators that are installed, can be tested on a phase at least, and are quick enough to be so unasked."""
    shelf = calculator_shelf(folders)
    return [name for name in shelf.names if _why_untested(shelf.get(name), phases, folders) is None]


def untested(tested: Sequence[str], folders: Sequence[Path] = (), phases: Sequence[str] = PHASES) -> list[str]:
    """Return a sentence for every calculator that was not tested: its name and why."""
    shelf = calculator_shelf(folders)
    left = [shelf.get(name) for name in shelf.names if name not in tested]
    return [f"{recipe.name}: {_why_untested(recipe, phases, folders) or 'not asked for'}" for recipe in left]


def _why_untested(recipe: CalculatorRecipe, phases: Sequence[str], folders: Sequence[Path]) -> str | None:
    """Return why a calculator is not tested unless it is named, or not even then; None if it is."""
    if not _covered(recipe, phases, folders):
        return f"covers none of {', '.join(phases)}"
    if not recipe.stress:
        return "gives no stress, without which cells cannot be relaxed and moduli not be had"
    if recipe.seconds_per_atom > AFFORDABLE:
        return "too dear to be tested without being named"
    return None if installation_problem(recipe) is None else "not installed where this was written"


def write_study(
    calculator: str,
    folder: Path,
    folders: Sequence[Path] = (),
    phases: Sequence[str] = PHASES,
    boundaries: Sequence[str] = BOUNDARIES,
    reference: str | None = None,
) -> FitnessStudy:
    """Write the study of a calculator into a folder; one already there and unchanged is left alone.

    Args:
        calculator: Name of the calculator.
        folder: Of the study and its results.
        folders: With the user's own recipes and reference forces.
        phases: Names of phases.
        boundaries: Names of boundaries made of them.
        reference: Calculator whose forces those are compared with; None takes the one that studies take.

    Raises:
        CalculatorError: if the calculator covers none of the phases, or gives no stress.
        InputError: if there is no such calculator or structure.
    """
    recipe = calculator_shelf(folders).get(calculator)
    covered = _covered(recipe, phases, folders)
    if not covered:
        message = (
            f"calculator {calculator} covers none of {', '.join(phases)}; it knows {', '.join(recipe.elements)}. "
            "Name phases that it covers with --phases, and boundaries of them with --boundaries"
        )
        raise CalculatorError(message)
    if not recipe.stress:
        message = f"calculator {calculator} gives no stress, without which cells cannot be relaxed and moduli not be had"
        raise CalculatorError(message)
    chosen = SoftnessSettings() if reference is None else SoftnessSettings(reference=reference)
    problems = {phase: missing_reference(folders, phase, chosen.reference) for phase in covered}
    shelf = structure_shelf(folders)
    planes = [name for name in boundaries if set(phases_of(shelf.get(name))) <= set(covered)]
    blocks = [_block([phase], calculator, _properties(phase, folders, softness=problems[phase] is None)) for phase in covered]
    blocks += [_block(planes, calculator, ["boundary"])] if planes else []
    study = {
        "title": f"Fitness of {calculator}",
        "library": [str(path.absolute()) for path in folders],
        "calculations": blocks,
        "settings": SETTINGS | ({"softness": chosen.model_dump()} if reference else {}),
    }
    _write_if_new(folder / "study.yaml", yaml.safe_dump(study, sort_keys=False))
    left_out = [f"{name}: calculator {calculator} does not cover it" for name in phases if name not in covered]
    left_out += [f"{name}: not all of its phases are tested with {calculator}" for name in boundaries if name not in planes]
    return FitnessStudy(calculator, folder / "study.yaml", (*left_out, *filter(None, problems.values())))


def _covered(recipe: CalculatorRecipe, phases: Sequence[str], folders: Sequence[Path]) -> list[str]:
    shelf = phase_shelf(folders)
    return [name for name in phases if not uncovered(recipe, shelf.get(name).charges)]


def _block(structures: list[str], calculator: str, properties: list[str]) -> dict[str, list[str]]:
    return {"structures": structures, "calculators": [calculator], "properties": properties}


def _properties(phase: str, folders: Sequence[Path], *, softness: bool) -> list[str]:
    moves = phase_shelf(folders).get(phase).mobile is not None
    return ["elasticity", *(["migration"] if moves else []), "phonons", *(["softness"] if softness else [])]


def _write_if_new(file: Path, text: str) -> None:
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_text(file, text)


def run_study(study: FitnessStudy, cores: int) -> bool:
    """Run a study with Snakemake in its folder and tell whether all of it could be computed.

    A lock of the operating system keeps others out of the folder and goes with the run, also when that is killed; that of
    Snakemake would stay and have to be taken away by hand.

    Raises:
        InputError: if another run is at work in the folder, or the workflow is not there, because the package was installed
            without its source tree.
    """
    rules = data_folder("structures").parent / "Snakefile"
    if not rules.is_file():
        message = f"{rules}: no workflow; seiflow calculators test needs a clone of seiflow, not the installed package alone"
        raise InputError(message)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(rules), "--configfile", study.file.name]
    command += ["--cores", str(cores), "--rerun-incomplete", "--keep-going", "--nolock"]
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"}
    folder = study.file.parent
    with (folder / ".lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"{folder}: another run is at work here; wait until it has ended, or choose another --folder"
            raise InputError(message) from error
        kept = [lock.fileno()]
        return subprocess.run(command, cwd=folder, env=environment, pass_fds=kept, check=False).returncode == 0  # noqa: S603 - fixed words
