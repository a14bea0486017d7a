"""Recipes found by name: first in the user's own folders, then among those that come with the package."""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from seiflow.documents import load, nearest
from seiflow.errors import RecipeError
from seiflow.structures.imported import ImportedRecipe
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe, PlanarRecipe, SlabRecipe
from seiflow.structures.recipes import PhaseRecipe, Recipe

Kind = TypeVar("Kind", bound=Recipe)


def data_folder(name: str) -> Path:
    """Return a folder of the package's own data: inside an installed package, at the top of a source tree."""
    installed = Path(__file__).parent / "data" / name
    return installed if installed.is_dir() else Path(__file__).parents[2] / name


class Shelf(Generic[Kind]):
    """Recipes, one YAML file each, named like the recipe in it.

    Args:
        models: The type of the recipes by the ``kind`` they state, which is empty for those that state none; other kinds are
            not found.
        what: What one is called in messages.
        folders: Searched with their subfolders, in this order; the first that has a name wins.
    """

    def __init__(self, models: Mapping[str, type[Kind]], what: str, folders: Sequence[Path]) -> None:
        """Remember where to look; nothing is read yet."""
        self._models = models
        self._what = what
        self._folders = tuple(folders)
        self._read: dict[str, Kind] = {}

    @cached_property
    def _found(self) -> dict[str, tuple[Path, type[Kind]]]:
        found: dict[str, tuple[Path, type[Kind]]] = {}
        for folder in self._folders:
            for path in sorted(folder.rglob("*.yaml")):
                model = self._models.get(stated_kind(path))
                if model is not None:
                    found.setdefault(path.stem, (path, model))
        return found

    @cached_property
    def _strange(self) -> dict[str, tuple[Path, str]]:
        """Recipes of a kind that nothing knows."""
        paths = [path for folder in self._folders for path in sorted(folder.rglob("*.yaml")) if path.stem not in self._found]
        kinds = {path.stem: (path, stated_kind(path)) for path in paths}
        return {name: found for name, found in kinds.items() if found[1] not in STRUCTURES}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all recipes, in alphabetical order."""
        return tuple(sorted(self._found))

    def __contains__(self, name: str) -> bool:
        """Tell whether there is a recipe of that name."""
        return name in self._found

    def path(self, name: str) -> Path:
        """Return the file of a recipe; an unknown name is a :class:`RecipeError` that offers the nearest one."""
        if name in self._strange:
            path, kind = self._strange[name]
            message = f"{path}: unknown kind {kind!r}{nearest(kind, filter(None, STRUCTURES))}"
            raise RecipeError(message)
        if name not in self._found:
            message = f"unknown {self._what} {name!r}{nearest(name, self.names)}"
            raise RecipeError(message)
        return self._found[name][0]

    def get(self, name: str) -> Kind:
        """Return a recipe, which is read once."""
        if name not in self._read:
            path = self.path(name)
            self._read[name] = load_recipe(path, self._found[name][1])
        return self._read[name]


def load_recipe(path: Path, model: type[Kind]) -> Kind:
    """Read one recipe; its name must be that of its file."""
    recipe = load(path, model)
    name = getattr(recipe, "name", path.stem)
    if name != path.stem:
        message = f"{path}: the recipe is named {name!r}; name the file {name}.yaml or the recipe {path.stem!r}"
        raise RecipeError(message)
    return recipe


StructureRecipe = PhaseRecipe | PlanarRecipe | ImportedRecipe

PHASES: Mapping[str, type[PhaseRecipe]] = {"": PhaseRecipe, "phase": PhaseRecipe}
BOUNDARIES: Mapping[str, type[GrainBoundaryRecipe]] = {"grain_boundary": GrainBoundaryRecipe}
INTERFACES: Mapping[str, type[InterfaceRecipe]] = {"interface": InterfaceRecipe}
STRUCTURES: Mapping[str, type[StructureRecipe]] = {
    **PHASES,
    **BOUNDARIES,
    **INTERFACES,
    "slab": SlabRecipe,
    "imported": ImportedRecipe,
}
"""Type of a structure's recipe by its kind."""


def load_structure(path: Path) -> StructureRecipe:
    """Read the recipe of a structure of any kind."""
    kind = stated_kind(path)
    if kind not in STRUCTURES:
        message = f"{path}: unknown kind {kind!r}{nearest(kind, filter(None, STRUCTURES))}"
        raise RecipeError(message)
    return load_recipe(path, STRUCTURES[kind])


def phases_of(recipe: StructureRecipe) -> tuple[str, ...]:
    """Return the names of the phases that a structure consists of, its own for a phase."""
    if isinstance(recipe, PhaseRecipe):
        return (recipe.name,)
    return recipe.phases if isinstance(recipe, ImportedRecipe) else recipe.ingredients


def species_of(recipe: StructureRecipe, phases: Shelf[PhaseRecipe]) -> set[str]:
    """Return the species of a structure, as its recipe or those of its phases state them; unknown phases are left out."""
    if isinstance(recipe, PhaseRecipe):
        return set(recipe.charges)
    known = [phases.get(name) for name in phases_of(recipe) if name in phases]
    return {symbol for phase in known for symbol in phase.charges}


def structure_shelf(folders: Sequence[Path] = ()) -> Shelf[StructureRecipe]:
    """Return the structures of every kind, those of the user's folders and of the package."""
    return Shelf(STRUCTURES, "structure", _structure_folders(folders))


def phase_shelf(folders: Sequence[Path] = ()) -> Shelf[PhaseRecipe]:
    """Return the phases of the user's folders and of the package."""
    return Shelf(PHASES, "structure", _structure_folders(folders))


def boundary_shelf(folders: Sequence[Path] = ()) -> Shelf[GrainBoundaryRecipe]:
    """Return the grain boundaries of the user's folders and of the package."""
    return Shelf(BOUNDARIES, "grain boundary", _structure_folders(folders))


def interface_shelf(folders: Sequence[Path] = ()) -> Shelf[InterfaceRecipe]:
    """Return the interfaces of the user's folders and of the package."""
    return Shelf(INTERFACES, "interface", _structure_folders(folders))


def _structure_folders(folders: Sequence[Path]) -> list[Path]:
    return [*(folder / "structures" for folder in folders), data_folder("structures")]


def stated_kind(path: Path) -> str:
    """Return what kind of structure a recipe says it is, without reading all of it as YAML; empty if it says nothing."""
    try:
        # at the start of a line, or inside the braces of a recipe that is one flow mapping
        found = re.search(r"^(?:\{.*?\b)?[\"']?kind[\"']?:\s*[\"']?(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return ""
    return found[1] if found else ""
