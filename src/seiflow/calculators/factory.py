"""The one place where a recipe turns into a calculator."""

import contextlib
import functools
import importlib
import importlib.util
import io
import json
import warnings
from typing import TYPE_CHECKING

from seiflow.calculators.recipes import CalculatorRecipe, weight_file
from seiflow.errors import CalculatorError
from seiflow.records import digest_file, digest_text, versions

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator


def make_calculator(recipe: CalculatorRecipe) -> "Calculator":
    """Return the calculator of a recipe.

    Raises:
        CalculatorError: if its package is missing (with the command that installs it), or it cannot be made.
    """
    from ase.calculators.calculator import BaseCalculator

    problem = installation_problem(recipe)
    if problem:
        raise CalculatorError(problem)
    module, _, name = recipe.factory.partition(":")
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the loaders of models, which a user can do nothing about
            calculator = getattr(importlib.import_module(module), name)(**recipe.arguments)
    except Exception as error:
        message = f"calculator {recipe.name}: {recipe.factory} cannot be made ({type(error).__name__}: {error})"
        raise CalculatorError(message) from error
    if not isinstance(calculator, BaseCalculator):
        message = f"calculator {recipe.name}: {recipe.factory} returned a {type(calculator).__name__}, no ASE calculator"
        raise CalculatorError(message)
    return calculator


def installation_problem(recipe: CalculatorRecipe) -> str | None:
    """Return what is not installed of what the calculator needs, and the command that installs it; None if all is there."""
    module = recipe.factory.partition(":")[0]
    install = f"pip install 'seiflow[{recipe.extra}]'" if recipe.extra else f"install the package that holds {module}"
    try:
        missing = importlib.util.find_spec(module) is None
    except ModuleNotFoundError:
        missing = True
    if missing:
        return f"calculator {recipe.name}: {module} is not installed; {install}"
    for entry in recipe.weights:
        try:
            weight_file(entry)
        except FileNotFoundError as error:
            return f"calculator {recipe.name}: weights {entry!r} not found ({error}); {install}"
    return None


def weight_digests(recipe: CalculatorRecipe) -> dict[str, str]:
    """Return the sha256 of every file that defines the calculator."""
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
    packages |= {"torch"} if recipe.weights else set()
    return {name: found for package in packages for name, found in distribution_versions(package).items()}


def calculator_context(recipe: CalculatorRecipe) -> str:
    """Return a digest of all that an evaluation depends on besides the structure."""
    parts = {
        "factory": recipe.factory,
        "arguments": recipe.arguments,
        "weights": weight_digests(recipe),
        "versions": calculator_versions(recipe) | {"numpy": versions()["numpy"]},
    }
    return digest_text(json.dumps(parts, sort_keys=True))
