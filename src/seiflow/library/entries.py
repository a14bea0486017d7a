"""The structures that recipes describe, built and told about in one way whatever their kind."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seiflow.errors import InputError, RecipeError, SeiflowError, StructureError
from seiflow.records import plain
from seiflow.shelves import StructureRecipe, load_structure, phase_shelf, phases_of, stated_kind, structure_shelf
from seiflow.structures.build import Built, Ingredient, build_structure, ingredients_as_published
from seiflow.structures.fingerprint import digest
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe, SlabRecipe
from seiflow.structures.recipes import PhaseRecipe

SHORT = 12
"""Hexadecimal digits of a digest that people are shown."""

Facts = Mapping[str, object]
"""What a builder tells, as JSON types; a key carries its unit."""


@dataclass(frozen=True)
class Entry:
    """A structure of the library.

    Attributes:
        recipe: What the library holds.
        file: Where it stands.
        built: The structure, certified.
        digest: Of its content: the identifier, the same on every machine.
        phases: Names of the phases it consists of.
        planes: Miller indices, one for each plane that the recipe names.
        facts: What the builder tells beyond atoms and certificate.
    """

    recipe: StructureRecipe
    file: Path
    built: Built
    digest: str
    phases: tuple[str, ...]
    planes: tuple[tuple[int, int, int], ...]
    facts: Facts

    @property
    def name(self) -> str:
        """Name of the structure."""
        return self.recipe.name

    @property
    def sigma(self) -> int | None:
        """Index of the coincidence lattice; None if there is none."""
        value = self.facts.get("sigma")
        return value if isinstance(value, int) else None

    @property
    def grains(self) -> tuple[str, ...]:
        """Phase of each grain, by the numbers in the array ``grain``; empty if there is no such array."""
        numbers = self.built.atoms.arrays.get("grain")
        count = 0 if numbers is None else int(numbers.max()) + 1
        return self.phases if len(self.phases) == count else self.phases[:1] * count

    @property
    def strain(self) -> float | None:
        """Largest strain of any phase along any direction that the builder tells; None if it strains nothing."""
        told = [number for key, value in self.facts.items() if "strain" in key for number in _numbers(value)]
        return max(map(abs, told), default=None)


class Library:
    """The recipes of the user's folders and of the package.

    Args:
        folders: Each with a subfolder ``structures``.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        """Refuse folders that do not exist; nothing is read yet."""
        for folder in folders:
            if not folder.is_dir():
                message = f"{folder}: no such folder; --library wants a folder with your own structures/ in it"
                raise InputError(message)
        self.folders = tuple(folders)
        self.phases = phase_shelf(folders)
        self._shelf = structure_shelf(folders)
        self._ingredients: dict[str, Ingredient] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all structures, in alphabetical order."""
        return self._shelf.names

    def path(self, name: str) -> Path:
        """Return the file of a structure."""
        return self._shelf.path(name)

    def recipe(self, name: str) -> StructureRecipe:
        """Return the recipe of a structure."""
        return self._shelf.get(name)

    def recipes(self, problems: list[str]) -> Iterator[StructureRecipe]:
        """Yield every recipe that can be read; what cannot is added to ``problems``."""
        for folder in self.folders:
            problems += unknown_kinds(folder)
        for name in self.names:
            try:
                yield self.recipe(name)
            except SeiflowError as error:
                problems.append(str(error))

    def ingredient(self, name: str) -> Ingredient:
        """Return a phase with its published lattice constants."""
        if name not in self._ingredients:
            self._ingredients |= ingredients_as_published({name: self.phases.get(name)})
        return self._ingredients[name]

    def build(self, recipe: StructureRecipe, crystals: Mapping[str, Ingredient] | None = None) -> Built:
        """Return a structure, by default of phases with their published lattice constants."""
        needed = () if isinstance(recipe, PhaseRecipe) else phases_of(recipe)
        missing = [name for name in needed if name not in self.phases.names]
        if missing:
            message = f"{self.path(recipe.name)}: phase {missing[0]} is not in the library; add it to the same folder first"
            raise RecipeError(message)
        parts = crystals or {name: self.ingredient(name) for name in needed}
        try:
            return build_structure(recipe, parts)
        except StructureError as error:
            message = f"{self.path(recipe.name)}: {error}"
            raise StructureError(message) from error

    def entry(self, name: str) -> Entry:
        """Return a structure built of phases with their published lattice constants."""
        recipe = self.recipe(name)
        built = self.build(recipe)
        return Entry(recipe, self.path(name), built, digest(built.atoms), phases_of(recipe), _planes(recipe), _facts(built))

    def entries(self, problems: list[str], wanted: Callable[[StructureRecipe], bool] = lambda _: True) -> Iterator[Entry]:
        """Yield every structure that is wanted and can be built; what cannot is added to ``problems``."""
        for recipe in filter(wanted, self.recipes(problems)):
            try:
                yield self.entry(recipe.name)
            except SeiflowError as error:
                problems.append(str(error))


def unknown_kinds(folder: Path) -> list[str]:
    """Return a message for each recipe of a user's folder that no shelf shows because its kind is unknown."""
    messages = []
    for path in sorted((folder / "structures").rglob("*.yaml")):
        if stated_kind(path):
            try:
                load_structure(path)
            except RecipeError as error:
                if "unknown kind" in str(error):
                    messages.append(str(error))
            except SeiflowError:
                continue
    return messages


def _planes(recipe: StructureRecipe) -> tuple[tuple[int, int, int], ...]:
    if isinstance(recipe, InterfaceRecipe):
        return recipe.planes
    return (recipe.plane,) if isinstance(recipe, GrainBoundaryRecipe | SlabRecipe) else ()


def _facts(built: Built) -> Facts:
    if built.details is None:
        return {}
    fields = (field.name for field in dataclasses.fields(built.details) if field.name not in ("atoms", "certificate"))
    return {name: plain(getattr(built.details, name)) for name in fields}


def _numbers(value: object) -> list[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in _numbers(item)]
    return [float(value)] if isinstance(value, int | float) and not isinstance(value, bool) else []
