"""What is wrong with the blocks of a study, found before the first job: recipes are read and structures built, nothing more."""

import itertools
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from seiflow.buildable import Sound
from seiflow.calculators.environments import conda_problem
from seiflow.calculators.factory import charge_problem, charged_cells_problem, installation_problem, making_problems
from seiflow.calculators.recipes import CalculatorRecipe, uncovered
from seiflow.calculators.signatures import argument_problems
from seiflow.calculators.trust import path_problems
from seiflow.documents import Location
from seiflow.errors import InputError, SeiflowError, UnsuitedError
from seiflow.reference_forces import missing_reference
from seiflow.settings import PropertySettings
from seiflow.shelves import Kind, Shelf, StructureRecipe, phases_of, species_of
from seiflow.structures.planar_recipes import InterfaceRecipe
from seiflow.structures.recipes import PhaseRecipe
from seiflow.study_blocks import PROPERTIES, Calculation, PropertyName


class Problem(NamedTuple):
    """Something wrong in a study.

    Attributes:
        location: Where.
        text: A sentence that tells where and what.
        unsuited: Whether only the jobs fail whose setting it is, and all others can be computed.
    """

    location: Location
    text: str
    unsuited: bool = False


def problem_at(location: Location, text: str, *, unsuited: bool = False) -> Problem:
    """Return a problem whose sentence begins with its place."""
    return Problem(location, f"{'.'.join(map(str, location))}: {text}", unsuited)


@dataclass(frozen=True)
class _Block:
    """A block of a study as the checks see it: its place in the file, and its own settings or those of the study."""

    place: Location
    properties: Sequence[PropertyName]
    settings: PropertySettings

    def at(self, key: str, text: str, *, unsuited: bool = False) -> Problem:
        return problem_at((*self.place, key), text, unsuited=unsuited)


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What the blocks of a study are checked against.

    Attributes:
        structures: Recipes of structures that blocks may name.
        phases: Those of the phases among them.
        calculators: Recipes of calculators that blocks may name.
        sound: The structures that are known to be buildable; those that are found to be are added.
        folders: The user's own, with recipes, environments and reference forces.
        trusted: Further folders in which recipes of calculators may name files.
        conda: Whether Snakemake's conda brings the environments of calculators that have their own.
    """

    structures: Shelf[StructureRecipe]
    phases: Shelf[PhaseRecipe]
    calculators: Shelf[CalculatorRecipe]
    sound: Sound
    folders: Sequence[Path]
    trusted: Sequence[Path]
    conda: bool

    def problems(self, calculations: Sequence[Calculation], settings: PropertySettings) -> Iterator[Problem]:
        """Yield every mistake in the blocks of a study; its settings are those of blocks without their own."""
        chosen: dict[tuple[str, str], PropertySettings] = {}
        for number, calculation in enumerate(calculations):
            block = _Block(("calculations", number), calculation.properties, calculation.settings or settings)
            structures = yield from _recipes(block, "structures", calculation.structures, self.structures)
            calculators = yield from _recipes(block, "calculators", calculation.calculators, self.calculators)
            for calculator in calculators:
                yield from self._calculator_problems(block, calculator)
                yield from self._chain_problems(block, calculator, structures)
            for structure in structures:
                yield from self._structure_problems(block, structure)
            for structure, calculator in itertools.product(structures, calculators):
                yield from self._pair_problems(block, structure, calculator)
                yield from _charge_problems(block, structure, calculator)
                if chosen.setdefault((structure.name, calculator.name), block.settings) != block.settings:
                    text = f"{structure.name} with {calculator.name} has other settings in an earlier block; "
                    yield block.at("settings", text + "one pair has one set of settings")

    def _calculator_problems(self, block: _Block, calculator: CalculatorRecipe) -> Iterator[Problem]:
        for fault in self._faults(calculator):
            yield block.at("calculators", fault)
        problem = charged_cells_problem(calculator, conda=self.conda) if "charged_defects" in block.properties else None
        if problem:
            yield block.at("calculators", f"charged_defects: {problem}")
        yield from self._path_problems(block, calculator)

    def _path_problems(self, block: _Block, calculator: CalculatorRecipe) -> Iterator[Problem]:
        """Find files that the recipe of a calculator may not name."""
        file = self.calculators.path(calculator.name)
        for problem in path_problems(calculator, file, [*self.folders, *self.trusted]):
            yield block.at("calculators", problem)

    def _chain_problems(
        self, block: _Block, calculator: CalculatorRecipe, structures: Sequence[StructureRecipe]
    ) -> Iterator[Problem]:
        """Find what is wrong with the cheaper calculators that one starts from."""
        chain = [calculator.name]
        while calculator.starts_from is not None:
            told = f"calculator {calculator.name} starts from {calculator.starts_from}"
            if calculator.starts_from in chain:
                yield block.at("calculators", f"{told}, which starts from it: leave out starts_from in one of the recipes")
                return
            try:
                calculator = self.calculators.get(calculator.starts_from)
            except SeiflowError as error:
                yield block.at("calculators", f"{told}: {error}")
                return
            chain.append(calculator.name)
            yield from self._path_problems(block, calculator)
            for problem in self._cheaper_problems(calculator, structures):
                yield block.at("calculators", f"{told}: {problem}")

    def _cheaper_problems(self, cheaper: CalculatorRecipe, structures: Sequence[StructureRecipe]) -> Iterator[str]:
        """Find why another calculator cannot start from one."""
        yield from self._faults(cheaper)
        missing = uncovered(cheaper, {symbol for structure in structures for symbol in species_of(structure, self.phases)})
        if missing:
            yield f"calculator {cheaper.name} does not cover {', '.join(missing)}"
        if not cheaper.stress and cheaper.starts_from is None:
            yield f"calculator {cheaper.name} gives no stress, so no cell would be relaxed; let it start from one that does"

    def _faults(self, calculator: CalculatorRecipe) -> Sequence[str]:
        """Return what is not there of what a calculator needs, and arguments that it does not take; looked for once."""
        if calculator.name not in self._known_faults:
            self._known_faults[calculator.name] = list(self._found_faults(calculator))
        return self._known_faults[calculator.name]

    @cached_property
    def _known_faults(self) -> dict[str, list[str]]:
        return {}

    def _found_faults(self, calculator: CalculatorRecipe) -> Iterator[str]:
        """Look for them."""
        problems = [installation_problem(calculator, conda=self.conda)]
        problems += [conda_problem(calculator, self.folders)] if self.conda else []
        problems += argument_problems(calculator)
        found = [problem for problem in problems if problem]
        yield from found
        if not found and not (self.conda and (calculator.environment or calculator.extra)):
            yield from making_problems(calculator)

    def _structure_problems(self, block: _Block, recipe: StructureRecipe) -> Iterator[Problem]:
        """Find what is wrong with a structure, by building it too."""
        allowed = PROPERTIES[recipe.kind]
        for name in block.properties:
            if name not in allowed:
                text = f"{name} of {recipe.name}: of a structure of kind {recipe.kind} these can be computed: "
                yield block.at("properties", text + ", ".join(sorted(allowed)))
        yield from self._mobile_problems(block, recipe)
        if "softness" in block.properties and recipe.kind == "phase":
            problem = missing_reference(self.folders, recipe.name, block.settings.softness.reference)
            yield from [block.at("properties", problem)] if problem else []
        if recipe.name in recipe.ingredients:
            yield block.at("structures", f"{recipe.name} is named like a phase that it is made of; give it another name")
            return
        try:
            phases = {name: self.phases.get(name) for name in phases_of(recipe)}
            self.sound.require(recipe, phases, block.properties, block.settings)
        except SeiflowError as error:
            unsuited = isinstance(error, UnsuitedError)
            for message in str(error).splitlines() if unsuited else [str(error)]:
                told = message if message.startswith(recipe.name) else f"{recipe.name}: {message}"
                yield block.at("structures", told, unsuited=unsuited)

    def _mobile_problems(self, block: _Block, recipe: StructureRecipe) -> Iterator[Problem]:
        """Find properties that need a species that moves where there is none, or no common one."""
        mobile = {self.phases.get(name).mobile for name in phases_of(recipe) if name in self.phases}
        for name in ("migration", "barrier_check", "interstitial_migration"):
            if name in block.properties and recipe.kind == "phase" and None in mobile:
                yield block.at("properties", f"{name} of {recipe.name}: its recipe names no mobile species")
        for name in ("migration", "interstitial_migration", "segregation"):
            if name in block.properties and recipe.ingredients and (len(mobile) > 1 or None in mobile):
                yield block.at("properties", f"{name} in {recipe.name}: its phases name no common mobile species")
        for name in ("migration", "interstitial_migration"):
            if name in block.properties and isinstance(recipe, InterfaceRecipe) and recipe.vacuum_angstrom is not None:
                text = f"{name} in {recipe.name}: ions cannot pass its vacuum; take an interface without vacuum_angstrom"
                yield block.at("properties", text)

    def _pair_problems(self, block: _Block, structure: StructureRecipe, calculator: CalculatorRecipe) -> Iterator[Problem]:
        """Find what a calculator cannot do for a structure."""
        species = species_of(structure, self.phases)
        missing = uncovered(calculator, species)
        if missing:
            text = f"calculator {calculator.name} does not cover {', '.join(missing)} of {structure.name}; "
            yield block.at("calculators", f"{text}these do: {', '.join(self._covering(species)) or 'none known'}")
        if not calculator.stress and not (calculator.starts_from and structure.kind == "phase"):
            text = f"calculator {calculator.name} gives no stress, and {structure.name} needs its cell relaxed"
            yield block.at("calculators", text)
        if "barrier_check" in block.properties and calculator.starts_from is None:
            text = f"barrier_check: the recipe of {calculator.name} names no cheaper calculator to be checked (starts_from)"
            yield block.at("properties", text)
        if not calculator.stress and "elasticity" in block.properties:
            yield block.at("properties", f"elasticity: calculator {calculator.name} gives no stress")

    def _covering(self, species: set[str]) -> Iterator[str]:
        """Yield the calculators that cover species; wrong recipes are left out."""
        for name in self.calculators.names:
            with suppress(InputError):
                if not uncovered(self.calculators.get(name), species):
                    yield name


def _charge_problems(block: _Block, structure: StructureRecipe, calculator: CalculatorRecipe) -> Iterator[Problem]:
    """Find hops in charged cells that cannot be computed."""
    if not block.settings.migration.charge or not {"migration", "barrier_check"} & set(block.properties):
        return
    problem = charge_problem(calculator)
    if problem:
        yield block.at("calculators", f"migration.charge: {problem}")
    if structure.kind != "phase":
        text = f"migration.charge: {structure.name} is no phase; hops in charged cells are for crystals only"
        yield block.at("structures", text)


def _recipes(block: _Block, key: str, names: Sequence[str], shelf: Shelf[Kind]) -> Generator[Problem, None, list[Kind]]:
    """Return the recipes that a key of a block names; yield what is wrong with the names and the recipes."""
    recipes = []
    for number, name in enumerate(names):
        try:
            recipes.append(shelf.get(name))
        except SeiflowError as error:
            yield problem_at((*block.place, key, number), str(error))
    return recipes
