"""A study: which properties of which structures with which calculators, and every mistake in that before the first job."""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from seiflow.buildable import Sound
from seiflow.calculators.environments import conda_problem
from seiflow.calculators.factory import charge_problem, charged_cells_problem, installation_problem
from seiflow.calculators.machine import Machine
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf, uncovered
from seiflow.calculators.trust import path_problems
from seiflow.documents import Location, line_at, lines_of, problems_of, read_yaml
from seiflow.errors import InputError, SeiflowError, StudyError
from seiflow.provenance.foreign import foreign_problems
from seiflow.records import canonical
from seiflow.reference_forces import missing_reference
from seiflow.settings import PropertySettings
from seiflow.shelves import StructureRecipe, phase_shelf, phases_of, structure_shelf
from seiflow.structures.planar_recipes import InterfaceRecipe
from seiflow.structures.recipes import PhaseRecipe

PropertyName = Literal[
    "relaxation",
    "elasticity",
    "migration",
    "barrier_check",
    "interstitial_migration",
    "phonons",
    "softness",
    "defects",
    "charged_defects",
    "boundary",
    "segregation",
]

Names = Annotated[list[str], Field(min_length=1)]
Problem = tuple[Location, str]
"""Where something is wrong, and a sentence that tells where and what."""


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
    trusted: list[str] = Field(
        default=[],
        description="further folders in which recipes of your library may name files, such as weights: they may not leave the "
        "working folder, the library and the caches in your home otherwise",
    )
    store: str | None = Field(
        "~/.cache/seiflow",
        description="folder where finished steps are kept and found again by any study; null for none. The environment "
        "variable SEIFLOW_STORE overrides it",
    )
    machine: str | None = Field(
        None,
        description="file that says how this machine starts programs and where it keeps pseudopotentials; a profile may name it "
        "(config: [machine=FILE]). Without one the environment variable SEIFLOW_MACHINE is heeded",
    )
    calculations: list[Calculation] = Field(min_length=1, description="what is computed of what with what")
    settings: PropertySettings = Field(default=PropertySettings(), description="how each quantity is computed")


PROPERTIES: Mapping[str, frozenset[PropertyName]] = {
    "phase": frozenset(
        {
            "relaxation",
            "elasticity",
            "migration",
            "barrier_check",
            "interstitial_migration",
            "phonons",
            "softness",
            "defects",
            "charged_defects",
        }
    ),
    "grain_boundary": frozenset({"relaxation", "elasticity", "boundary", "segregation", "migration"}),
    "interface": frozenset({"relaxation", "elasticity", "boundary", "segregation", "migration"}),
    "slab": frozenset({"relaxation", "boundary"}),
    "imported": frozenset({"relaxation", "elasticity"}),
}
"""What can be computed of each kind of structure."""


STARTED: Mapping[PropertyName, PropertyName] = {
    "relaxation": "relaxation",
    "migration": "migration",
    "barrier_check": "migration",
}
"""What a calculator takes from a cheaper one to start with, where its recipe names one."""


@dataclass(frozen=True)
class Job:
    """One property of one structure with one calculator."""

    structure: str
    calculator: str
    name: PropertyName
    settings: PropertySettings
    kind: str

    @property
    def own_settings(self) -> str:
        """The settings of this property alone, as canonical JSON."""
        sections = settings_sections(self.name, self.kind)
        parts = self.settings.combined(*sections)
        return canonical(parts if len(sections) > 1 else parts[sections[0]])


def settings_sections(name: str, kind: str) -> tuple[str, ...]:
    """Return the sections of the settings that a step of the pipeline depends on."""
    if name == "boundary":
        return ("boundary", "planar")
    if name == "barrier_check":
        return ("migration",)
    if name == "migration" and kind != "phase":
        return ("migration", "segregation")
    return ("planar",) if name == "relaxation" and kind != "phase" else (name,)


class Study:
    """A checked study; making one finds every mistake that can be found without computing.

    Args:
        data: What the YAML file holds.
        where: What messages call the file.
        lines: Line of each key of the file, for messages.
        conda: Whether Snakemake's conda brings the environments of calculators that have their own.
        checked: Whether the process that leads the run has found no mistakes; the data is then only read.

    Raises:
        StudyError: listing all mistakes.
    """

    def __init__(
        self,
        data: object,
        where: str = "study",
        lines: Mapping[Location, int] | None = None,
        *,
        conda: bool = False,
        checked: bool = False,
    ) -> None:
        """Check the data."""
        self._where = where
        self._conda = conda
        self._lines = lines or {}
        self._refuse(problems_of(data, StudyConfig))
        self.config = StudyConfig.model_validate(data)
        self.folders = [Path(folder).expanduser() for folder in self.config.library]
        self._refuse([((), problem) for problem in self._foreign_problems()])
        self.structures = structure_shelf(self.folders)
        self.phases = phase_shelf(self.folders)
        self.calculators = calculator_shelf(self.folders)
        self.sound = Sound(Path(self.config.results))
        missing = [_at(("library", number), f"no folder {path}") for number, path in enumerate(self.folders) if not path.is_dir()]
        self._refuse([*missing, *self._machine_problems(), *([] if checked else self._problems())])

    @classmethod
    def read(cls, path: Path) -> "Study":
        """Read a study file."""
        return cls(read_yaml(path), str(path), lines_of(path))

    @cached_property
    def jobs(self) -> tuple[Job, ...]:
        """Every job wanted, relaxations included, each once."""
        jobs: dict[tuple[str, str, str], Job] = {}
        for block in self.config.calculations:
            settings = block.settings or self.config.settings
            names: list[PropertyName] = ["relaxation", *block.properties]
            for structure, calculator, name in itertools.product(block.structures, block.calculators, names):
                job = Job(structure, calculator, name, settings, self.structures.get(structure).kind)
                jobs[structure, calculator, name] = job
        chosen = {(job.structure, job.calculator): job.settings for job in jobs.values()}
        waiting = deque(jobs.values())
        while waiting:
            for needed in self._needed(waiting.popleft()):
                key = (needed.structure, needed.calculator, needed.name)
                if key not in jobs:
                    jobs[key] = replace(needed, settings=chosen.setdefault(key[:2], needed.settings))
                    waiting.append(jobs[key])
        return tuple(jobs.values())

    def _needed(self, job: Job) -> Iterator[Job]:
        """Yield the jobs on the phases that a structure is built from.

        An interface shares strain by their stiffness, and barriers of a boundary are told beside those of the phases.
        """
        names: list[PropertyName] = ["relaxation"]
        names += ["elasticity"] if job.kind == "interface" else []
        names += ["migration"] if job.name == "migration" else []
        for phase, name in itertools.product(self.structures.get(job.structure).ingredients, names):
            yield Job(phase, job.calculator, name, job.settings, "phase")
        cheaper = self.calculators.get(job.calculator).starts_from
        if cheaper is not None and job.kind == "phase" and job.name in STARTED:
            charge = job.settings.migration.charge if self.calculators.get(cheaper).charge else 0
            migration = job.settings.migration.model_copy(update={"charge": charge})
            settings = job.settings.model_copy(update={"migration": migration})
            yield Job(job.structure, cheaper, STARTED[job.name], settings, job.kind)

    def reservoir(self, structure: str, calculator: str) -> str | None:
        """Return the phase that is the element of a structure's mobile ion, if one is relaxed with a calculator."""
        recipe = self.structures.get(structure)
        mobile = recipe.mobile if isinstance(recipe, PhaseRecipe) else None
        elements = self._phases_with.get(calculator, {}).get(mobile or "", [])
        return next((name for name in elements if name != structure), None)

    def competing(self, structure: str, calculator: str) -> list[str]:
        """Return the other phases, made of no other elements than a structure, that are relaxed with a calculator."""
        elements = self._species(self.structures.get(structure))
        names = {name for same in self._phases_with.get(calculator, {}).values() for name in same} - {structure}
        return sorted(name for name in names if set(self.phases.get(name).charges) <= elements)

    def settings(self, structure: str, calculator: str) -> PropertySettings:
        """Return the settings for a structure with a calculator."""
        return self._settings[structure, calculator]

    @cached_property
    def _settings(self) -> dict[tuple[str, str], PropertySettings]:
        """The settings of each pair."""
        return {(job.structure, job.calculator): job.settings for job in reversed(self.jobs)}

    @cached_property
    def _phases_with(self) -> dict[str, dict[str, list[str]]]:
        """The phases that are relaxed with each calculator, in alphabetical order, by their formulas."""
        found: dict[str, dict[str, list[str]]] = {}
        for phase, calculator in sorted({(job.structure, job.calculator) for job in self.jobs if job.kind == "phase"}):
            found.setdefault(calculator, {}).setdefault(self.phases.get(phase).formula, []).append(phase)
        return found

    def _refuse(self, problems: Sequence[Problem]) -> None:
        if problems:
            listed = dict.fromkeys(line_at(location, self._lines) + text for location, text in problems)
            raise StudyError(self._where, list(listed))

    def _foreign_problems(self) -> list[str]:
        """Return what a study that came from an archive may not do, before anything that it names is looked at."""
        store = self.config.store if "store" in self.config.model_fields_set else None
        return foreign_problems(self.folders, [self.config.results, self.config.machine, store, *self.config.trusted])

    def _machine_problems(self) -> Iterator[Problem]:
        """Take the machine that the study names, or tell what is wrong with its file."""
        try:
            if self.config.machine:
                Machine.take(Path(self.config.machine).expanduser())
        except InputError as error:
            yield _at(("machine",), str(error))

    def _problems(self) -> Iterator[Problem]:
        chosen: dict[tuple[str, str], PropertySettings] = {}
        for number, block in enumerate(self.config.calculations):
            place = ("calculations", number)
            structures = yield from _get_all((*place, "structures"), block.structures, self.structures)
            calculators = yield from _get_all((*place, "calculators"), block.calculators, self.calculators)
            for calculator in calculators:
                yield from _calculator_problems(place, calculator, block, conda=self._conda)
                yield from self._path_problems(place, calculator)
                problem = conda_problem(calculator, self.folders) if self._conda else None
                yield from [_at((*place, "calculators"), problem)] if problem else []
                yield from self._chain_problems(place, calculator, structures)
            settings = block.settings or self.config.settings
            for structure in structures:
                yield from self._structure_problems(place, structure, block, settings)
            for structure, calculator in itertools.product(structures, calculators):
                yield from self._pair_problems(place, structure, calculator, block)
                yield from _charge_problems(place, structure, calculator, block, settings)
                if chosen.setdefault((structure.name, calculator.name), settings) != settings:
                    text = f"{structure.name} with {calculator.name} has other settings in an earlier block; "
                    yield _at((*place, "settings"), text + "one pair has one set of settings")

    def _structure_problems(
        self, place: Location, recipe: StructureRecipe, block: Calculation, settings: PropertySettings
    ) -> Iterator[Problem]:
        """Find what is wrong with a structure, by building it too."""
        allowed = PROPERTIES[recipe.kind]
        for name in block.properties:
            if name not in allowed:
                text = f"{name} of {recipe.name}: of a structure of kind {recipe.kind} these can be computed: "
                yield _at((*place, "properties"), text + ", ".join(sorted(allowed)))
        yield from self._mobile_problems(place, recipe, block)
        if "softness" in block.properties and recipe.kind == "phase":
            problem = missing_reference(self.folders, recipe.name, settings.softness.reference)
            yield from [_at((*place, "properties"), problem)] if problem else []
        if recipe.name in recipe.ingredients:
            yield _at((*place, "structures"), f"{recipe.name} is named like a phase that it is made of; give it another name")
            return
        try:
            phases = {name: self.phases.get(name) for name in phases_of(recipe)}
            self.sound.require(recipe, phases, block.properties, settings)
        except SeiflowError as error:
            message = str(error)
            named = message if message.startswith(recipe.name) else f"{recipe.name}: {message}"
            yield _at((*place, "structures"), named)

    def _mobile_problems(self, place: Location, recipe: StructureRecipe, block: Calculation) -> Iterator[Problem]:
        """Find properties that need a species that moves where there is none, or no common one."""
        mobile = {self.phases.get(name).mobile for name in phases_of(recipe) if name in self.phases}
        for name in ("migration", "barrier_check", "interstitial_migration"):
            if name in block.properties and recipe.kind == "phase" and None in mobile:
                yield _at((*place, "properties"), f"{name} of {recipe.name}: its recipe names no mobile species")
        for name in {"segregation", "migration"} & set(block.properties):
            if recipe.ingredients and (len(mobile) > 1 or None in mobile):
                yield _at((*place, "properties"), f"{name} in {recipe.name}: its phases name no common mobile species")
        if "migration" in block.properties and isinstance(recipe, InterfaceRecipe) and recipe.vacuum_angstrom is not None:
            text = f"migration in {recipe.name}: ions cannot pass its vacuum; take an interface without vacuum_angstrom"
            yield _at((*place, "properties"), text)

    def _pair_problems(
        self, place: Location, structure: StructureRecipe, calculator: CalculatorRecipe, block: Calculation
    ) -> Iterator[Problem]:
        species = self._species(structure)
        missing = uncovered(calculator, species)
        if missing:
            able = [name for name, recipe in self._valid_calculators().items() if not uncovered(recipe, species)]
            text = f"calculator {calculator.name} does not cover {', '.join(missing)} of {structure.name}; "
            yield _at((*place, "calculators"), f"{text}these do: {', '.join(able) or 'none known'}")
        if not calculator.stress and not (calculator.starts_from and structure.kind == "phase"):
            text = f"calculator {calculator.name} gives no stress, and {structure.name} needs its cell relaxed"
            yield _at((*place, "calculators"), text)
        if "barrier_check" in block.properties and calculator.starts_from is None:
            text = f"barrier_check: the recipe of {calculator.name} names no cheaper calculator to be checked (starts_from)"
            yield _at((*place, "properties"), text)
        if not calculator.stress and "elasticity" in block.properties:
            yield _at((*place, "properties"), f"elasticity: calculator {calculator.name} gives no stress")

    def _chain_problems(
        self, place: Location, calculator: CalculatorRecipe, structures: Sequence[StructureRecipe]
    ) -> Iterator[Problem]:
        """Find what is wrong with the cheaper calculators that one starts from."""
        chain = [calculator.name]
        while calculator.starts_from is not None:
            told = f"calculator {calculator.name} starts from {calculator.starts_from}"
            if calculator.starts_from in chain:
                yield _at((*place, "calculators"), f"{told}, which starts from it: leave out starts_from in one of the recipes")
                return
            try:
                calculator = self.calculators.get(calculator.starts_from)
            except SeiflowError as error:
                yield _at((*place, "calculators"), f"{told}: {error}")
                return
            chain.append(calculator.name)
            yield from self._path_problems(place, calculator)
            problem = installation_problem(calculator)
            missing = sorted({symbol for structure in structures for symbol in uncovered(calculator, self._species(structure))})
            problem = problem or (f"calculator {calculator.name} does not cover {', '.join(missing)}" if missing else None)
            if problem:
                yield _at((*place, "calculators"), f"{told}: {problem}")

    def _path_problems(self, place: Location, calculator: CalculatorRecipe) -> Iterator[Problem]:
        """Find files that the recipe of a calculator may not name."""
        trusted = [Path(folder) for folder in self.config.trusted]
        for problem in path_problems(calculator, self.calculators.path(calculator.name), [*self.folders, *trusted]):
            yield _at((*place, "calculators"), problem)

    @property
    def sourced_calculators(self) -> list[tuple[CalculatorRecipe, Path]]:
        """The recipes of all calculators that jobs need, with their files."""
        names = sorted({job.calculator for job in self.jobs})
        return [(self.calculators.get(name), self.calculators.path(name)) for name in names]

    def _species(self, structure: StructureRecipe) -> set[str]:
        if isinstance(structure, PhaseRecipe):
            return set(structure.charges)
        known = [self.phases.get(name) for name in phases_of(structure) if name in self.phases]
        return {symbol for phase in known for symbol in phase.charges}

    def _valid_calculators(self) -> dict[str, CalculatorRecipe]:
        found = {}
        for name in self.calculators.names:
            try:
                found[name] = self.calculators.get(name)
            except InputError:
                continue
        return found


def _at(location: Location, text: str) -> Problem:
    return location, f"{'.'.join(map(str, location))}: {text}"


def _calculator_problems(place: Location, calculator: CalculatorRecipe, block: Calculation, *, conda: bool) -> Iterator[Problem]:
    problem = installation_problem(calculator, conda=conda)
    if problem:
        yield _at((*place, "calculators"), problem)
    problem = charged_cells_problem(calculator) if "charged_defects" in block.properties else None
    if problem:
        yield _at((*place, "calculators"), f"charged_defects: {problem}")


def _charge_problems(
    place: Location, structure: StructureRecipe, calculator: CalculatorRecipe, block: Calculation, settings: PropertySettings
) -> Iterator[Problem]:
    """Find hops in charged cells that cannot be computed."""
    if not settings.migration.charge or not {"migration", "barrier_check"} & set(block.properties):
        return
    problem = charge_problem(calculator)
    if problem:
        yield _at((*place, "calculators"), f"migration.charge: {problem}")
    if structure.kind != "phase":
        text = f"migration.charge: {structure.name} is no phase; hops in charged cells are for crystals only"
        yield _at((*place, "structures"), text)


def _get_all(place: Location, names: Sequence[str], shelf: Any) -> Any:  # noqa: ANN401 - a generator that yields problems and returns recipes
    recipes = []
    for number, name in enumerate(names):
        try:
            recipes.append(shelf.get(name))
        except SeiflowError as error:
            yield _at((*place, number), str(error))
    return recipes
