"""Recipes of boundaries and interfaces that a search has found, written into a user's library."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import yaml

from seiflow.documents import problems_of
from seiflow.errors import RecipeError
from seiflow.library.adding import shelve
from seiflow.library.entries import Library
from seiflow.structures.build import Ingredient, build_structure
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe

FOLDERS = {"grain_boundary": "grain_boundaries", "interface": "interfaces"}
"""In which recipes of a kind are written."""

THICKEST = 100.0
"""Å; grains beyond that are not asked for on a command line."""

Kind = TypeVar("Kind", GrainBoundaryRecipe, InterfaceRecipe)

Searched = GrainBoundaryRecipe | InterfaceRecipe
"""What has a registry."""


def write_recipe(library: Library, folder: Path, recipe: Searched, parts: Mapping[str, Ingredient]) -> Path:
    """Write a recipe into a folder of the user's, if what is written builds a sound structure; returns the file.

    Args:
        library: Where the name must be free.
        folder: The recipe is written to its subfolder ``structures``.
        recipe: What to write.
        parts: The phases that ``recipe.ingredients`` names.

    Raises:
        InputError: if the name is taken or the file cannot be written.
        StructureError: if the structure fails its certificate.
    """
    text = recipe_yaml(recipe)
    build_structure(type(recipe).model_validate(yaml.safe_load(text)), parts)
    return shelve(library, folder / "structures" / FOLDERS[recipe.kind], recipe.name, text)


def recipe_yaml(recipe: Searched) -> str:
    """Return a recipe as YAML, a line for each key; what is not stated or not removed is left out."""
    data: dict[str, object] = recipe.model_dump(mode="json", exclude_none=True)
    return "".join(f"{key}: {_flow(value)}\n" for key, value in data.items() if (key, value) != ("removed", 0))


def named(recipe: Searched, name: str) -> Searched:
    """Return a recipe under another name."""
    data = recipe.model_dump() | {"name": name}
    return validated(InterfaceRecipe, data) if isinstance(recipe, InterfaceRecipe) else validated(GrainBoundaryRecipe, data)


def validated(model: type[Kind], data: Mapping[str, object]) -> Kind:
    """Return a recipe from what was asked for; everything wrong with it is one :class:`RecipeError`."""
    problems = problems_of(dict(data), model)
    if problems:
        listed = "\n".join(f"  - {_sentence(text)}" for _, text in problems)
        message = f"{data['name']}: no valid recipe\n{listed}"
        raise RecipeError(message)
    return model.model_validate(data)


def _sentence(problem: str) -> str:
    if problem.startswith("name: "):
        return "name: letters, digits, dots, plus and minus signs, of which the first is a letter or a digit"
    return problem.removeprefix("the whole file: ")


def _flow(value: object) -> str:
    text: str = yaml.safe_dump(_short(value), default_flow_style=True, allow_unicode=True, width=10_000)
    return text.removesuffix("...\n").strip()


def _short(value: object) -> object:
    """Return numbers without digits that tell nothing: 10 for 10.0."""
    if isinstance(value, list):
        return [_short(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
