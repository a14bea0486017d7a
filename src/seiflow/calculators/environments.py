"""Environments of their own, for packages that cannot live together: how jobs get there, and what is wrong there.

A recipe names its environment. With conda Snakemake makes it from a file in ``workflows/envs``. Without, the machine's file
names the Python interpreter of a virtual environment that holds seiflow too, and a command started elsewhere goes on there.
"""

import contextlib
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from seiflow.calculators.machine import VARIABLE as MACHINE
from seiflow.calculators.machine import Machine
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.errors import CalculatorError
from seiflow.shelves import data_folder

VARIABLE = "SEIFLOW_ENVIRONMENT"
"""Environment variable that names the environment which a process was sent to."""

WITH_THE_RULES = data_folder("calculators").parent / "workflows" / "envs"
"""Files of the conda environments that come with seiflow."""

GENERAL = "seiflow"
"""Environment of all calculators without one of their own."""

SECONDS_TO_ANSWER = 300
"""A cold file system may need long to load a package."""


def interpreter(recipe: CalculatorRecipe) -> str | None:
    """Return the Python interpreter that a recipe's jobs are sent to; None if they stay in that of this process.

    They stay if the recipe names no environment, if they have been sent already, and if the machine names no interpreter: the
    packages may then be here, or Snakemake's conda brings them.
    """
    if recipe.environment in (None, os.environ.get(VARIABLE)):
        return None
    given = Machine.from_environment().pythons.get(str(recipe.environment))
    return os.path.expandvars(os.path.expanduser(given)) if given else None  # noqa: PTH111 - it may be a bare name on the path


def enter(recipe: CalculatorRecipe, arguments: Sequence[str]) -> None:
    """Go on with a command of seiflow in the environment of a recipe: replace this process if that is another one.

    Args:
        recipe: Of the calculator.
        arguments: Of the command.

    Raises:
        CalculatorError: if the interpreter is not there.
    """
    python = interpreter(recipe)
    if python is None:
        return
    found = shutil.which(python)
    if found is None:
        raise CalculatorError(_no_interpreter(recipe, python))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(found, [found, "-P", "-m", "seiflow", *arguments], _variables(recipe))  # noqa: S606 - no shell is wanted


def problem_there(recipe: CalculatorRecipe, python: str) -> str | None:
    """Return what a recipe lacks in the environment of another interpreter, which is asked; None if all is there."""
    if shutil.which(python) is None:
        return _no_interpreter(recipe, python)
    return _asked(python, recipe.model_dump_json())


def how_to_make(recipe: CalculatorRecipe) -> str:
    """Return what to do for an environment that no machine's file tells of."""
    name = recipe.environment
    install = f"FOLDER/bin/pip install 'seiflow[{recipe.extra}]'" if recipe.extra else "install seiflow and the package there"
    return (
        f"it needs an environment of its own, {name}. Make it: make environment NAME={name} in a clone, or python3 -m venv "
        f"FOLDER; FOLDER/bin/pip install torch==2.13.0; {install}. Then name its interpreter in a machine file "
        f"(pythons: {{{name}: FOLDER/bin/python}}; the key machine of the study or the environment variable {MACHINE} names it). "
        "Or let Snakemake make it: --sdm conda"
    )


def conda_file(name: str, folders: Sequence[Path]) -> Path | None:
    """Return the file of a conda environment in the user's own folders; None if there is none."""
    return next((path for path in (folder / "envs" / f"{name}.yml" for folder in folders) if path.is_file()), None)


def conda_name(recipe: CalculatorRecipe) -> str:
    """Return the conda environment of a recipe: its own, or the one named like the extra that brings it, or that of seiflow."""
    if recipe.environment:
        return recipe.environment
    return recipe.extra if recipe.extra and (WITH_THE_RULES / f"{recipe.extra}.yml").is_file() else GENERAL


def conda_problem(recipe: CalculatorRecipe, folders: Sequence[Path]) -> str | None:
    """Return why conda cannot make the environment of a recipe; None if it can."""
    name = conda_name(recipe)
    own, shipped = conda_file(name, folders), WITH_THE_RULES / f"{name}.yml"
    if own:
        return None  # its author knows what it holds
    if shipped.is_file():
        extras = re.findall(r"seiflow\[(.*?)\]", shipped.read_text(encoding="utf-8"))
        if recipe.extra is None or recipe.extra in ",".join(extras).split(","):
            return None
        return f"calculator {recipe.name}: the conda environment {name} does not hold seiflow[{recipe.extra}]; name another one"
    return f"calculator {recipe.name}: conda knows no environment {name}; write envs/{name}.yml in a folder listed under library"


def answer() -> None:
    """Read a recipe from standard input; write the version of seiflow and, as JSON, what the recipe lacks here."""
    from seiflow import __version__
    from seiflow.calculators.factory import installation_problem

    sys.stdout.write(f"{__version__}\n")
    recipe = CalculatorRecipe.model_validate_json(sys.stdin.read())
    with contextlib.redirect_stdout(sys.stderr):
        problem = installation_problem(recipe)
    sys.stdout.write(json.dumps(problem))


@functools.cache
def _asked(python: str, text: str) -> str | None:
    """Return what an interpreter answers on a recipe, given as JSON."""
    from seiflow import __version__

    recipe = CalculatorRecipe.model_validate_json(text)
    where = f"calculator {recipe.name}: environment {recipe.environment} ({python})"
    command = [python, "-P", "-c", "from seiflow.calculators.environments import answer; answer()"]
    variables = _variables(recipe)
    try:
        done = subprocess.run(  # noqa: S603 - an interpreter that the user named
            command, input=text, env=variables, capture_output=True, text=True, timeout=SECONDS_TO_ANSWER, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{where}: no answer ({error})"
    version, _, problem = done.stdout.partition("\n")
    extra = f"[{recipe.extra}]" if recipe.extra else ""
    install = f"{python} -m pip install 'seiflow{extra}=={__version__}'"
    if version and version != __version__:
        return f"{where} has seiflow {version}, this is {__version__}; {install}"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return f"{where}: seiflow cannot be used there ({last}); {install}"
    try:
        found: str | None = json.loads(problem)
    except ValueError:
        return f"{where}: seiflow does not answer there ({done.stdout.strip()[:100] or 'nothing'}); {install}"
    return found


def _variables(recipe: CalculatorRecipe) -> dict[str, str]:
    return os.environ | {VARIABLE: str(recipe.environment)}


def _no_interpreter(recipe: CalculatorRecipe, python: str) -> str:
    return (
        f"calculator {recipe.name}: no Python interpreter {python}, which the machine file names for environment "
        f"{recipe.environment}; correct it there (pythons), or make the environment: make environment NAME={recipe.environment}"
    )
