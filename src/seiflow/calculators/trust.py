"""Recipes from somebody else are data, but they name code: what they would run, before it does, and which files they may name."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath

from pydantic import JsonValue

from seiflow.calculators.environments import conda_file, interpreter
from seiflow.calculators.factory import find_module
from seiflow.calculators.machine import Machine
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.shelves import data_folder

CACHES = ("~/.cache", "~/.local")
"""Where packages keep what they fetch; recipes may name files there."""

Sourced = tuple[CalculatorRecipe, Path]
"""A recipe and its file."""

OWN = "seiflow.calculators."
"""Modules of this package, which run no code that a recipe names but that of the weights."""


def is_foreign(file: Path) -> bool:
    """Tell whether a recipe does not come with this package."""
    return not file.resolve().is_relative_to(data_folder("calculators").resolve())


def what_runs(recipes: Sequence[Sourced], folders: Sequence[Path]) -> str:
    """Return what a study may run besides this package, for a user to look at first; empty if it is nothing."""
    parts = {
        "code that recipes from outside of seiflow name, none of which has run yet": foreign_code(recipes, folders),
        "programs that will be started": programs(recipes),
    }
    return "\n".join("\n  ".join([f"{heading}:", *lines]) for heading, lines in parts.items() if lines)


def foreign_code(recipes: Sequence[Sourced], folders: Sequence[Path]) -> list[str]:
    """Return what recipes that do not come with this package will run, a line each; none of it is imported for that.

    Args:
        recipes: Of the calculators of a study, with their files.
        folders: Of the user's own, in which conda environments may be.
    """
    told = []
    for recipe, file in recipes:
        if not is_foreign(file):
            continue
        if not recipe.factory.startswith(OWN):
            told.append(f"{file}: calculator {recipe.name} runs {recipe.factory}, {_place(recipe)}")
        told += [f"{file}: calculator {recipe.name} loads {entry}; a model file may hold code" for entry in recipe.weights]
        environment = conda_file(recipe.environment, folders) if recipe.environment else None
        told += [f"{file}: with conda its packages are those of {environment}"] if environment else []
    return told


def programs(recipes: Sequence[Sourced]) -> list[str]:
    """Return the programs that will be started, and how, a line each."""
    machine = Machine.from_environment()
    told = {}
    for recipe, _ in recipes:
        if recipe.program:
            told[recipe.program] = f"{recipe.program}: {machine.command(recipe.program, recipe.processes)}"
        python = interpreter(recipe)
        if python:
            told[f"python {recipe.environment}"] = f"python of environment {recipe.environment}: {python}"
    return list(told.values())


def path_problems(recipe: CalculatorRecipe, file: Path, folders: Sequence[Path]) -> list[str]:
    """Return which files a recipe from elsewhere may not name.

    Args:
        recipe: Of a calculator.
        file: That it was read from; recipes that come with this package may name what they like.
        folders: That it may name files in, besides the working folder and the caches of packages.
    """
    if not is_foreign(file):
        return []
    roots = [Path(), *folders, *map(Path, CACHES)]
    inside = [root.expanduser().resolve() for root in roots]
    texts = [
        text for arguments in (recipe.arguments, *(each.arguments for each in recipe.remedies)) for text in texts_in(arguments)
    ]
    named = [*recipe.weights, *(text for text in texts if text.startswith(("/", "~")) or _climbs(text))]
    problems = []
    for entry in dict.fromkeys(named):
        told = f"calculator {recipe.name}: its recipe {file} names {entry}"
        if not entry.startswith(("/", "~")):
            problems += [f"{told}, which leads out of its folder; write a path without .."] if _climbs(entry) else []
        elif not _lies_in(entry, inside):
            problems.append(
                f"{told}, outside of the working folder and the library; copy it there or, if you know where the recipe comes "
                f"from, allow the folder in the study (trusted: [{os.path.dirname(entry)}])"  # noqa: PTH120 - as it is written
            )
    return problems


def _place(recipe: CalculatorRecipe) -> str:
    spec = find_module(recipe.factory.partition(":")[0])
    return f"from {spec.origin}" if spec and spec.origin else "which is not here"


def texts_in(value: JsonValue) -> Iterator[str]:
    """Yield all texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


def _climbs(text: str) -> bool:
    """Tell whether a path, alone or as CODE:FILE, leads out of the folder that it starts in."""
    return ".." in PurePath(text.partition(":")[2] or text).parts


def _lies_in(entry: str, folders: Sequence[Path]) -> bool:
    """Tell whether a file, links followed, lies in one of some folders."""
    place = Path(entry).expanduser().resolve()
    return any(place.is_relative_to(folder) for folder in folders)
