"""A step computed again, into a temporary folder, by the very command of its rule; the store is neither read nor written."""

import contextlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from seiflow.calculators.environments import interpreter
from seiflow.calculators.factory import calculator_versions, installation_problem
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.errors import SeiflowError
from seiflow.provenance.compare import Difference, Noise, differences, structures_differ
from seiflow.provenance.steps import Step
from seiflow.records import read_record, versions
from seiflow.shelves import phases_of
from seiflow.store import VARIABLE

SAME, NOISE, DIFFERS, NOT = "same", "same within noise", "differs", "cannot be recomputed"


@dataclass(frozen=True)
class Outcome:
    """What came of computing a step again.

    Attributes:
        name: Of the record.
        state: One of the four.
        reason: Why it could not be recomputed.
        differences: In what it differs, the largest first.
    """

    name: str
    state: str
    reason: str = ""
    differences: tuple[Difference, ...] = field(default=())


def obstacle(step: Step, *, any_version: bool) -> str | None:
    """Return why a step cannot be computed again here; None if it can."""
    results = step.results
    structure = results.structure(step.structure)
    if structure is None:
        return f"no recipe of {step.structure}"
    absent = [name for name in phases_of(structure) if results.recipe_file(f"phase {name}", "", "") is None]
    if absent:
        return f"no recipe of {', '.join(absent)}"
    if step.is_build:
        return None
    calculator = results.calculator(step.calculator)
    if calculator is None:
        return f"no recipe of {step.calculator} that can be read"
    missing = sorted(str(path) for path in step.inputs.values() if not path.is_file())
    problem = f"missing: {', '.join(missing)}" if missing else installation_problem(calculator)
    return problem or (None if any_version else other_versions(step, calculator))


def other_versions(step: Step, calculator: CalculatorRecipe) -> str | None:
    """Return which versions are others than those that a result was made with; patches of python do not count."""
    if interpreter(calculator):
        return None  # they are those of another environment
    try:
        here = versions() | calculator_versions(calculator)
    except SeiflowError as error:
        return str(error)
    recorded = step.digests("versions")
    changed = [
        f"{name} {there}, here {here.get(name, 'none')}"
        for name, there in sorted(recorded.items())
        if _significant(name, there) != _significant(name, here.get(name, there if name not in versions() else ""))
    ]
    return f"version differs: made with {'; '.join(changed)} (--any-version computes it all the same)" if changed else None


def _significant(name: str, version: str) -> str:
    return version.rpartition(".")[0] if name == "python" else version


def recompute(step: Step, *, exact: bool = False) -> Outcome:
    """Compute a step again and compare all that it writes.

    Args:
        step: One that nothing stands in the way of.
        exact: Take no difference for noise.
    """
    with tempfile.TemporaryDirectory(prefix="seiflow-verify-") as folder:
        output = Path(folder) / step.name
        output.parent.mkdir(parents=True)
        done = subprocess.run(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", "seiflow", *_command(step, output)],
            env=os.environ | {VARIABLE: ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not output.is_file():
            told = done.stderr.strip() or f"exit status {done.returncode}"
            return Outcome(step.name, NOT, f"the computation failed: {told.removeprefix(f'error: {output}: ')}")
        return _compared(step, output, exact=exact)


def _command(step: Step, output: Path) -> list[str]:
    results = step.results
    recipe = results.structure(step.structure)
    names = phases_of(recipe) if recipe is not None and recipe.kind != "phase" else ()
    files = [results.recipe_file(f"phase {name}", "", "") for name in names]
    found = [step.command, "--structure", str(results.structures.path(step.structure)), "--phases", *map(str, files)]
    found += [] if step.is_build else ["--calculator", str(results.calculators.path(step.calculator)), *_processes(step)]
    return [*found, *step.arguments(output)]


def _processes(step: Step) -> list[str]:
    recipe = step.results.calculator(step.calculator)
    return ["--processes", str(recipe.processes)] if recipe and step.command not in ("hops", "sites", "migration") else []


def _compared(step: Step, output: Path, *, exact: bool) -> Outcome:
    results = step.results
    calculator = results.calculator(step.calculator)
    noise = None if exact or step.is_build or calculator is None else Noise.of(calculator)
    found, bits = [], []
    if not step.is_build:
        again = read_record(output)
        found += differences(step.record, again, noise)
        bits += differences(step.record, again, None)
    structures = results.path(step.name) if step.is_build else step.companion and results.path(step.companion)
    if structures:
        twin = output.parent / structures.name
        with contextlib.suppress(SeiflowError):  # that it is missing or damaged is told elsewhere
            found += structures_differ(structures, twin, noise)
            bits += structures_differ(structures, twin, None)
    found.sort(key=lambda difference: -difference.size)
    wrong = tuple(difference for difference in found if difference.size > 1)
    if wrong:
        return Outcome(step.name, DIFFERS, differences=wrong)
    return Outcome(step.name, NOISE if bits else SAME, differences=tuple(found or bits))
