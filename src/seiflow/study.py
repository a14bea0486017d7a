"""A study: which properties of which structures with which calculators, and every mistake in that before the first job."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from seiflow.calculators.factory import installation_problem
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf, uncovered
from seiflow.documents import problems_of, read_yaml
from seiflow.errors import InputError, SeiflowError, StudyError
from seiflow.settings import PropertySettings
from seiflow.shelves import structure_shelf
from seiflow.structures.recipes import PhaseRecipe

PropertyName = Literal["relaxation", "elasticity", "migration", "phonons"]
Names = Annotated[list[str], Field(min_length=1)]


class Calculation(BaseModel):
    """One block of a study: every property of every structure with every calculator named in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    structures: Names = Field(description="names of structure recipes")
    calculators: Names = Field(description="names of calculator recipes")
    properties: list[PropertyName] = Field(min_length=1, description="what is computed; relaxation always is")
    settings: PropertySettings | None = Field(None, description="replaces the study's settings for this block")


class StudyConfig(BaseModel):
    """The file a user edits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field("Untitled study", description="heads the report")
    results: str = Field("results", description="folder of the results, relative to where the workflow runs")
    library: list[str] = Field(
        default=[], description="folders with your own structures/ and calculators/; searched before those of the package"
    )
    calculations: list[Calculation] = Field(min_length=1, description="what is computed of what with what")
    settings: PropertySettings = Field(default=PropertySettings(), description="how each quantity is computed")


@dataclass(frozen=True)
class Job:
    """One property of one structure with one calculator."""

    structure: str
    calculator: str
    name: PropertyName
    settings: PropertySettings


class Study:
    """A checked study; making one finds every mistake that can be found without computing.

    Args:
        data: What the YAML file holds.
        where: What messages call the file.

    Raises:
        StudyError: listing all mistakes.
    """

    def __init__(self, data: object, where: str = "study") -> None:
        """Check the data."""
        found = problems_of(data, StudyConfig)
        if found:
            raise StudyError(where, [text for _, text in found])
        self.config = StudyConfig.model_validate(data)
        folders = [Path(folder).expanduser() for folder in self.config.library]
        self.structures = structure_shelf(folders)
        self.calculators = calculator_shelf(folders)
        problems = [f"library: no folder {folder}" for folder in folders if not folder.is_dir()]
        problems += list(self._problems())
        if problems:
            raise StudyError(where, list(dict.fromkeys(problems)))

    @classmethod
    def read(cls, path: Path) -> "Study":
        """Read a study file."""
        return cls(read_yaml(path), str(path))

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Every job wanted, relaxations included, each once."""
        jobs: dict[tuple[str, str, str], Job] = {}
        for block in self.config.calculations:
            settings = block.settings or self.config.settings
            names: list[PropertyName] = ["relaxation", *block.properties]
            for structure in block.structures:
                for calculator in block.calculators:
                    for name in names:
                        jobs[structure, calculator, name] = Job(structure, calculator, name, settings)
        return tuple(jobs.values())

    def settings(self, structure: str, calculator: str) -> PropertySettings:
        """Return the settings for a structure with a calculator."""
        return next(job.settings for job in self.jobs if (job.structure, job.calculator) == (structure, calculator))

    def _problems(self) -> Iterator[str]:
        chosen: dict[tuple[str, str], PropertySettings] = {}
        for number, block in enumerate(self.config.calculations):
            place = f"calculations.{number}"
            structures = yield from _get_all(place, block.structures, self.structures)
            calculators = yield from _get_all(place, block.calculators, self.calculators)
            for calculator in calculators:
                yield from self._calculator_problems(calculator)
            for structure in structures:
                yield from _structure_problems(structure, block.settings or self.config.settings, block.properties)
            for calculator in calculators:
                for structure in structures:
                    yield from self._pair_problems(place, structure, calculator, block)
                    settings = block.settings or self.config.settings
                    if chosen.setdefault((structure.name, calculator.name), settings) != settings:
                        yield (
                            f"{place}.settings: {structure.name} with {calculator.name} has other settings in an earlier block; "
                            "one pair has one set of settings"
                        )

    def _calculator_problems(self, calculator: CalculatorRecipe) -> Iterator[str]:
        problem = installation_problem(calculator)
        if problem:
            yield problem

    def _pair_problems(
        self, place: str, structure: PhaseRecipe, calculator: CalculatorRecipe, block: Calculation
    ) -> Iterator[str]:
        missing = uncovered(calculator, structure.charges)
        if missing:
            able = [name for name, recipe in self._valid_calculators().items() if not uncovered(recipe, structure.charges)]
            yield (
                f"{place}: calculator {calculator.name} does not cover {', '.join(missing)} of {structure.name}; "
                f"these do: {', '.join(able) or 'none known'}"
            )
        if not calculator.stress:
            yield f"{place}: calculator {calculator.name} gives no stress, and {structure.name} needs its cell relaxed"
        if "migration" in block.properties and structure.mobile is None:
            yield f"{place}: migration of {structure.name}: its recipe names no mobile species"

    def _valid_calculators(self) -> dict[str, CalculatorRecipe]:
        found = {}
        for name in self.calculators.names:
            try:
                found[name] = self.calculators.get(name)
            except InputError:
                continue
        return found


def _structure_problems(recipe: PhaseRecipe, settings: PropertySettings, properties: Sequence[PropertyName]) -> Iterator[str]:
    """Find what is wrong with a structure by building it, and by finding its hops if their cut-off is the user's."""
    from seiflow.structures.bulk import build_crystal

    try:
        crystal = build_crystal(recipe)
        if "migration" in properties and recipe.mobile and settings.migration.cutoff is not None:
            from seiflow.properties.migration.network import percolating_cutoff

            percolating_cutoff(crystal, recipe.mobile, settings.migration.cutoff)
    except SeiflowError as error:
        message = str(error)
        yield message if message.startswith(recipe.name) else f"{recipe.name}: {message}"


def _get_all(place: str, names: Sequence[str], shelf: Any) -> Any:  # noqa: ANN401 - a generator that yields problems and returns recipes
    recipes = []
    for name in names:
        try:
            recipes.append(shelf.get(name))
        except SeiflowError as error:
            yield f"{place}: {error}"
    return recipes


def schema() -> Mapping[str, Any]:
    """Return the JSON Schema of a study file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **StudyConfig.model_json_schema()}


def schema_page() -> str:
    """Return a page that documents every key of a study file with its type, default and unit."""
    parts = ["# The study file", "", "Generated by `make docs`; a test keeps it in step with the code.", ""]
    for heading, model in (("Top level", StudyConfig), ("calculations", Calculation)):
        parts += _section(heading, model)
    for name, field in PropertySettings.model_fields.items():
        parts += _section(f"settings.{name}", type(field.default))
    return "\n".join(parts).rstrip()


def _section(heading: str, model: type[BaseModel]) -> list[str]:
    rows = [f"## {heading}", "", (model.__doc__ or "").splitlines()[0], "", "| key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _shown(field.default)
        rows.append(f"| `{name}` | {default} | {field.description or ''} |")
    return [*rows, ""]


def _shown(default: object) -> str:
    if isinstance(default, BaseModel):
        return "see below"
    return "`null`" if default is None else f"`{default}`"
