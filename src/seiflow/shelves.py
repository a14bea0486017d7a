"""Recipes found by name: first in the user's own folders, then among those that come with the package."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from seiflow.documents import load, nearest
from seiflow.errors import RecipeError
from seiflow.structures.recipes import GrainBoundaryRecipe, PhaseRecipe, Recipe

Kind = TypeVar("Kind", bound=Recipe)


def data_folder(name: str) -> Path:
    """Return a folder of the package's own data: inside an installed package, at the top of a source tree."""
    installed = Path(__file__).parent / "data" / name
    return installed if installed.is_dir() else Path(__file__).parents[2] / name


class Shelf(Generic[Kind]):
    """Recipes of one kind, one YAML file each, named like the recipe in it.

    Args:
        model: The type of the recipes.
        what: What one is called in messages.
        folders: Searched with their subfolders, in this order; the first that has a name wins.
        kind: Only recipes of this kind are found, where folders hold several.
    """

    def __init__(self, model: type[Kind], what: str, folders: Sequence[Path], kind: str | None = None) -> None:
        """Remember where to look; nothing is read yet."""
        self._kind = kind
        self._model = model
        self._what = what
        self._folders = tuple(folders)

    @cached_property
    def _paths(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            for path in sorted(folder.rglob("*.yaml")):
                if self._kind is None or _kind(path) == self._kind:
                    found.setdefault(path.stem, path)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all recipes, in alphabetical order."""
        return tuple(sorted(self._paths))

    def path(self, name: str) -> Path:
        """Return the file of a recipe; an unknown name is a :class:`RecipeError` that offers the nearest one."""
        if name not in self._paths:
            message = f"unknown {self._what} {name!r}{nearest(name, self.names)}"
            raise RecipeError(message)
        return self._paths[name]

    def get(self, name: str) -> Kind:
        """Return a recipe."""
        return load_recipe(self.path(name), self._model)


def load_recipe(path: Path, model: type[Kind]) -> Kind:
    """Read one recipe; its name must be that of its file."""
    recipe = load(path, model)
    name = getattr(recipe, "name", path.stem)
    if name != path.stem:
        message = f"{path}: the recipe is named {name!r}; name the file {name}.yaml or the recipe {path.stem!r}"
        raise RecipeError(message)
    return recipe


def structure_shelf(folders: Sequence[Path] = ()) -> Shelf[PhaseRecipe]:
    """Return the phases of the user's folders and of the package."""
    return Shelf(PhaseRecipe, "structure", _structure_folders(folders), "phase")


def boundary_shelf(folders: Sequence[Path] = ()) -> Shelf[GrainBoundaryRecipe]:
    """Return the grain boundaries of the user's folders and of the package."""
    return Shelf(GrainBoundaryRecipe, "grain boundary", _structure_folders(folders), "grain_boundary")


def _structure_folders(folders: Sequence[Path]) -> list[Path]:
    return [*(folder / "structures" for folder in folders), data_folder("structures")]


def _kind(path: Path) -> str:
    """Return what kind of structure a recipe says it is, without reading all of it as YAML; a phase need not say."""
    try:
        found = re.search(r"^kind:\s*[\"']?(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return "phase"
    return found[1] if found else "phase"
