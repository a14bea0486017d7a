"""The one place where a recipe turns into a calculator."""

import contextlib
import functools
import importlib
import importlib.util
import io
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING

from pydantic import JsonValue

from seiflow.calculators.environments import VARIABLE, how_to_make, interpreter, problem_there
from seiflow.calculators.machine import Machine, complete_allocation
from seiflow.calculators.recipes import CalculatorRecipe, weight_file
from seiflow.errors import CalculatorError, SeiflowError
from seiflow.records import digest_file, digest_text, versions

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def make_calculator(recipe: CalculatorRecipe, charge: int = 0, processes: int = 1, *, fetch: bool = False) -> "Calculator":
    """Return the calculator of a recipe, for cells of a charge in e; a program that it starts gets so many MPI processes.

    Its package may fetch weights that are not there only if ``fetch`` says so: jobs run where there is no internet.

    Raises:
        CalculatorError: if its package is missing (with the command that installs it), it cannot be made, or it knows no charge.
    """
    problem = _package_problem(recipe) or (None if fetch else _weights_problem(recipe, recipe.weights))
    problem = problem or (charge_problem(recipe) if charge else None)
    if problem:
        raise CalculatorError(problem)
    arguments = recipe.arguments | _machine_arguments(recipe, processes) | ({"charge": charge} if charge else {})
    if fetch and "device" in arguments:
        arguments["device"] = "cpu"  # where there is internet there is often no graphics card
    if not recipe.remedies:
        return _made(recipe, arguments)
    from seiflow.calculators.remedies import Persevering

    return Persevering(lambda remedy: _made(recipe, arguments | (remedy.arguments if remedy else {})), recipe.remedies)


COMPUTE_LATER = frozenset(f"seiflow.calculators.{code}:{code}" for code in ("gpaw", "espresso", "cp2k", "vasp"))
"""Factories that look at their arguments and start nothing: their calculators can be made only to see whether they can."""


def making_problems(recipe: CalculatorRecipe) -> Iterator[str]:
    """Yield what a callable refuses of the recipe's arguments, or of those of its remedies; nothing of one that may take long."""
    if recipe.factory not in COMPUTE_LATER or interpreter(recipe):
        return
    try:
        given = recipe.arguments | _machine_arguments(recipe, recipe.processes)
        _made(recipe, given)
    except SeiflowError as error:
        yield str(error)
        return
    for remedy in recipe.remedies:
        try:
            _made(recipe, given | remedy.arguments)
        except SeiflowError as error:
            yield f"{error} (remedy {remedy.name!r})"


_ready: dict[str, "Calculator"] = {}
"""Calculators made before they are asked for, by factory and arguments."""


def make_ready(recipe: CalculatorRecipe) -> None:
    """Make the calculator of a recipe; the next one asked for in this process is this one."""
    _ready[_call(recipe, recipe.arguments)] = _made(recipe, recipe.arguments)


def _call(recipe: CalculatorRecipe, arguments: dict[str, JsonValue]) -> str:
    return json.dumps([recipe.factory, arguments], sort_keys=True)


def _machine_arguments(recipe: CalculatorRecipe, processes: int) -> dict[str, JsonValue]:
    """Return the arguments that the machine has the say in; they are no part of what a result depends on."""
    machine = Machine.from_environment()
    found: dict[str, JsonValue] = {}
    if recipe.program:
        complete_allocation(processes)
        found["command"] = machine.command(recipe.program, processes)
    if recipe.data:
        found["folder"] = str(machine.folder(recipe.data))
    return found


def _made(recipe: CalculatorRecipe, arguments: dict[str, JsonValue]) -> "Calculator":
    from ase.calculators.calculator import BaseCalculator

    ready = _ready.pop(_call(recipe, arguments), None)
    if ready is not None:
        return ready
    module, _, name = recipe.factory.partition(":")
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the loaders of models, which a user can do nothing about
            calculator = getattr(importlib.import_module(module), name)(**arguments)
    except SeiflowError as error:
        message = f"calculator {recipe.name}: {error}"
        raise CalculatorError(message) from error
    except Exception as error:
        message = f"calculator {recipe.name}: {recipe.factory} cannot be made ({type(error).__name__}: {error})"
        raise CalculatorError(message) from error
    if not isinstance(calculator, BaseCalculator):
        message = f"calculator {recipe.name}: {recipe.factory} returned a {type(calculator).__name__}, no ASE calculator"
        raise CalculatorError(message)
    return calculator


def charge_problem(recipe: CalculatorRecipe) -> str | None:
    """Return why a calculator cannot take a charged cell; None if it can."""
    if recipe.charge:
        return None
    return (
        f"calculator {recipe.name} knows no charge (its recipe says charge: false), so a charged defect would be a neutral one "
        "without a word; name a calculator that honours charge, such as gpaw-pbe, or take the property defects, of neutral sets"
    )


def charged_cells_problem(recipe: CalculatorRecipe, *, conda: bool = False) -> str | None:
    """Return why charged defects cannot be computed with a calculator; None if they can. Conda brings the package for them."""
    if not recipe.charge:
        return charge_problem(recipe)
    if not recipe.electronic:
        return f"calculator {recipe.name} tells no electrostatic potential and band edges (its recipe says electronic: false)"
    if conda:
        return None
    try:
        missing = importlib.util.find_spec("pymatgen.analysis.defects") is None
    except ModuleNotFoundError:
        missing = True
    return "pymatgen-analysis-defects is not installed; pip install 'seiflow[charged]'" if missing else None


def installation_problem(recipe: CalculatorRecipe, *, conda: bool = False) -> str | None:
    """Return what is not installed of what the calculator needs, and what to do about it; None if all is there.

    A calculator with an environment of its own is looked for there. What conda will bring once jobs run is taken to be there.
    """
    python = interpreter(recipe)
    if python:
        return problem_there(recipe, python)
    if conda and (recipe.environment or recipe.extra):
        return _weights_problem(recipe, [entry for entry in recipe.weights if entry.startswith(("/", "~"))])
    return _package_problem(recipe) or _weights_problem(recipe, recipe.weights)


def _package_problem(recipe: CalculatorRecipe) -> str | None:
    """Return which package or program is not there."""
    module = recipe.factory.partition(":")[0]
    absent = [name for name in (module, *recipe.packages) if find_module(name) is None]
    if absent:
        return f"calculator {recipe.name}: {', '.join(absent)} is not installed; {_installation(recipe)}"
    problem = Machine.from_environment().program_problem(recipe.program, recipe.processes) if recipe.program else None
    return f"calculator {recipe.name}: {problem}" if problem else None


def find_module(name: str) -> ModuleSpec | None:
    """Return where a module is, without running it or the packages around it; None if it is not here."""
    top, *inner = name.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # a program that is run as a module
        return None
    for part in inner:
        if spec is None or spec.submodule_search_locations is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", list(spec.submodule_search_locations))
    return spec


def _installation(recipe: CalculatorRecipe) -> str:
    """Return the command that installs what a recipe needs."""
    if recipe.environment and recipe.environment != os.environ.get(VARIABLE):
        return how_to_make(recipe)
    pip = f"{sys.executable} -m pip" if recipe.environment else "pip"
    extra, module = recipe.extra, recipe.factory.partition(":")[0]
    return f"{pip} install 'seiflow[{extra}]'" if extra else f"install the package that holds {module}"


def _weights_problem(recipe: CalculatorRecipe, entries: Sequence[str]) -> str | None:
    """Return which of the files that define a calculator is not there, and how to get it."""
    for entry in entries:
        try:
            weight_file(entry)
        except FileNotFoundError as error:
            if recipe.fetched:
                return (
                    f"calculator {recipe.name}: its weights are not here yet ({error}); on a machine with internet that sees "
                    f"the same files: seiflow calculators fetch {recipe.name} (with --library FOLDER for a recipe of your own)"
                )
            if ":" in entry:
                return f"calculator {recipe.name}: {entry!r} not found ({error})"
            return f"calculator {recipe.name}: weights {entry!r} not found ({error}); {_installation(recipe)}"
    return None


def weight_digests(recipe: CalculatorRecipe) -> dict[str, str]:
    """Return the sha256 of every file that defines the calculator.

    Raises:
        CalculatorError: if one is not there, with how to get it.
    """
    problem = _weights_problem(recipe, recipe.weights)
    if problem:
        raise CalculatorError(problem)
    return {entry: digest_file(weight_file(entry)) for entry in recipe.weights}


@functools.cache
def distribution_versions(package: str) -> dict[str, str]:
    """Return the versions of the distributions that hold an importable package; none if there is no such package."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    try:
        return {package: version(package)}  # the usual case; listing all distributions takes a third of a second
    except PackageNotFoundError:
        return {name: version(name) for name in packages_distributions().get(package, [])}


def calculator_versions(recipe: CalculatorRecipe) -> dict[str, str]:
    """Return the versions of the distributions that hold the calculator and its weights."""
    packages = {recipe.factory.partition(".")[0].partition(":")[0]}
    packages |= {entry.partition("/")[0] for entry in recipe.weights if not entry.startswith(("/", "~"))}
    packages |= set(recipe.packages) or ({"torch"} if recipe.weights else set())
    found = {name: version for package in packages for name, version in distribution_versions(package).items()}
    if recipe.program:
        found[recipe.program] = program_version(
            recipe.factory.partition(":")[0], Machine.from_environment().command(recipe.program)
        )
    return found


@functools.cache
def program_version(module: str, command: str) -> str:
    """Return the version of an external program: what ``program_version`` of the module that starts it makes of the command."""
    return str(importlib.import_module(module).program_version(command))


def remedies(recipe: CalculatorRecipe) -> str:
    """Return what is tried before an evaluation fails."""
    return json.dumps([remedy.model_dump(mode="json") for remedy in recipe.remedies], sort_keys=True) if recipe.remedies else ""


def calculator_context(recipe: CalculatorRecipe, charge: int = 0) -> str:
    """Return a digest of all that an evaluation depends on besides the structure."""
    from seiflow.reach import calculator_digests

    parts = {
        "factory": recipe.factory,
        "code": calculator_digests(recipe.factory),
        "arguments": recipe.arguments | ({"charge": charge} if charge else {}),
        "weights": weight_digests(recipe),
        "versions": calculator_versions(recipe) | {"numpy": versions()["numpy"]},
    }
    return digest_text(json.dumps(parts, sort_keys=True))
