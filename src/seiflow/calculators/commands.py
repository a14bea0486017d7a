"""What ``seiflow calculators`` can do: its arguments, and what it prints."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.calculators.fitness_commands import add_to
from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from seiflow.calculators.recipes import CalculatorRecipe

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way


def add_calculators(commands: "Commands") -> None:
    """Add ``calculators`` with its own commands to those of the program."""
    calculators = commands.add_parser("calculators", help="list calculators, fetch their weights, measure how good they are")
    inner = calculators.add_subparsers(title="commands", metavar="COMMAND", required=True, help="what to do with calculators")
    help_text = "list all calculators with what each still needs before a study can use it"
    listing = inner.add_parser("list", help=help_text, description=help_text)
    listing.set_defaults(run=_list)
    help_text = "let the package of a calculator fetch its weights; needs the internet"
    fetch = inner.add_parser("fetch", help=help_text, description=help_text)
    fetch.add_argument("name", help="name of the calculator")
    fetch.set_defaults(run=_fetch)
    for command in (listing, fetch):
        command.add_argument("--library", type=Path, action="append", default=[], help="folder with your own recipes; repeatable")
    add_to(inner)


def _list(options: argparse.Namespace) -> None:
    from seiflow.calculators.factory import installation_problem
    from seiflow.calculators.recipes import calculator_shelf

    recipes = calculator_shelf(options.library)
    listed: dict[str, list[CalculatorRecipe]] = {"": []}
    for recipe in map(recipes.get, recipes.names):
        problem = installation_problem(recipe) or ""
        listed.setdefault(problem.removeprefix(f"calculator {recipe.name}: "), []).append(recipe)
    for problem, alike in listed.items():
        if problem or alike:
            _say("not ready" if problem else "ready")
        for recipe in alike:
            _say(f"  {recipe.name:24s} {recipe.summary}")
        if problem:
            _say(f"      {problem}")


def _fetch(options: argparse.Namespace) -> None:
    from seiflow.calculators.environments import enter
    from seiflow.calculators.recipes import calculator_shelf
    from seiflow.provenance.foreign import require_trusted

    require_trusted(options.library)
    recipe = calculator_shelf(options.library).get(options.name)
    if not recipe.fetched:
        _say(f"{recipe.name}: nothing to fetch; its package brings all that it needs, or the files lie where its recipe says")
        return
    enter(recipe, options.arguments)
    _fetched(recipe)
    _say(f"{recipe.name}: its weights are here")
    _say("\n".join(f"  {entry}\n      sha256 {digest}" for entry, digest in _digests(recipe).items()))


def _fetched(recipe: "CalculatorRecipe") -> None:
    """Make the calculator, for which its package fetches what is not there yet."""
    from seiflow.calculators.factory import installation_problem, make_calculator

    before = installation_problem(recipe) is None
    try:
        make_calculator(recipe, fetch=True)
    except CalculatorError as error:
        hint = "the weights that are here may be damaged; delete them and fetch again" if before else "is this machine online?"
        message = f"{error}; {hint}"
        raise CalculatorError(message) from error


def _digests(recipe: "CalculatorRecipe") -> dict[str, str]:
    from seiflow.calculators.factory import weight_digests

    try:
        return weight_digests(recipe)
    except CalculatorError as error:
        message = (
            f"calculator {recipe.name}: its package has the model but keeps it elsewhere than {', '.join(recipe.weights)}: "
            "correct weights in a recipe of your own, or the variable that has moved the package's folder, such as XDG_CACHE_HOME"
        )
        raise CalculatorError(message) from error


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
