"""What a user probably did not mean, though it is no mistake: told by ``seiflow check``."""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from seiflow.calculators.machine import Machine
from seiflow.errors import InputError
from seiflow.shelves import species_of
from seiflow.study import Study

if TYPE_CHECKING:
    from seiflow.calculators.recipes import CalculatorRecipe

MAGNETIC = frozenset({"Cr", "Mn", "Fe", "Co", "Ni", "Gd"})
"""Elements whose crystals order magnetically and that people compute most often."""


def remarks(study: Study) -> list[str]:
    """Return sentences on a study without mistakes."""
    return list(dict.fromkeys([*_without_moments(study), *_unused_names(study)]))


def _without_moments(study: Study) -> Iterator[str]:
    """Find magnetic elements to which a calculator that could heed moments gives none."""
    for job in study.jobs:
        recipe = study.calculators.get(job.calculator)
        given = recipe.arguments.get("moments")
        elements = MAGNETIC & species_of(study.structures.get(job.structure), study.phases)
        left = sorted(elements - set(given if isinstance(given, dict) else ()))
        if recipe.magnetic and left:
            yield (
                f"{', '.join(left)} of {job.structure} begins without a magnetic moment: the recipe of {recipe.name} names none "
                f"(in arguments, such as {{moments: {{{left[0]}: NUMBER}}}}, in μB)"
            )


def _unused_names(study: Study) -> Iterator[str]:
    """Find names in the machine's file that stand in no recipe: they may be misspelt."""
    recipes: list[CalculatorRecipe] = []
    for name in study.calculators.names:
        with suppress(InputError):
            recipes.append(study.calculators.get(name))
    machine = Machine.from_environment()
    known = {
        "programs": (machine.programs, {recipe.program for recipe in recipes}),
        "folders": (machine.folders, {recipe.data for recipe in recipes} | _codes(recipes)),
        "pythons": (machine.pythons, {recipe.environment for recipe in recipes}),
    }
    for part, (given, used) in known.items():
        names = ", ".join(sorted(filter(None, used)))
        for name in itertools.filterfalse(used.__contains__, given):
            yield f"machine file, {part}: no calculator recipe names {name}; they name {names}"


def _codes(recipes: "list[CalculatorRecipe]") -> set[str]:
    """Return the codes in whose folders weights lie."""
    return {entry.partition(":")[0] for recipe in recipes for entry in recipe.weights if ":" in entry}
