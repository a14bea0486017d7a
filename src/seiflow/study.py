"""A study: its file, checked as a whole before the first job, and the jobs that it becomes."""

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from seiflow.buildable import Sound
from seiflow.calculators.machine import Machine
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.documents import Location, line_at, lines_of, problems_of, read_yaml
from seiflow.errors import InputError, StudyError
from seiflow.provenance.foreign import foreign_problems
from seiflow.records import canonical
from seiflow.settings import PropertySettings
from seiflow.shelves import phase_shelf, species_of, structure_shelf
from seiflow.structures.recipes import PhaseRecipe
from seiflow.study_blocks import Calculation, PropertyName
from seiflow.study_problems import Checks, Problem, problem_at


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

    A setting that does not suit one structure, such as a supercell too small for its own images, is refused by the jobs that need
    it, and all others can be computed: what is wrong is told in ``unsuited``, a sentence each, where there is no other mistake.

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
        self._lines = lines or {}
        self._refuse([Problem(*problem) for problem in problems_of(data, StudyConfig)])
        self.config = StudyConfig.model_validate(data)
        self.folders = [Path(folder).expanduser() for folder in self.config.library]
        self._refuse([Problem((), problem) for problem in self._foreign_problems()])
        self.structures = structure_shelf(self.folders)
        self.phases = phase_shelf(self.folders)
        self.calculators = calculator_shelf(self.folders)
        self.sound = Sound(Path(self.config.results))
        missing = [
            problem_at(("library", number), told) for number, path in enumerate(self.folders) if (told := _not_a_library(path))
        ]
        found = [*missing, *self._machine_problems(), *([] if checked else self._block_problems(conda=conda))]
        if not all(problem.unsuited for problem in found):
            self._refuse(found)
        self.unsuited = self._listed(found)

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

    @property
    def sourced_calculators(self) -> list[tuple[CalculatorRecipe, Path]]:
        """The recipes of all calculators that jobs need, with their files."""
        names = sorted({job.calculator for job in self.jobs})
        return [(self.calculators.get(name), self.calculators.path(name)) for name in names]

    def reservoir(self, structure: str, calculator: str) -> str | None:
        """Return the phase that is the element of a structure's mobile ion, if one is relaxed with a calculator."""
        recipe = self.structures.get(structure)
        mobile = recipe.mobile if isinstance(recipe, PhaseRecipe) else None
        elements = self._phases_with.get(calculator, {}).get(mobile or "", [])
        return next((name for name in elements if name != structure), None)

    def competing(self, structure: str, calculator: str) -> list[str]:
        """Return the other phases, made of no other elements than a structure, that are relaxed with a calculator."""
        elements = species_of(self.structures.get(structure), self.phases)
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

    def refuse_unsuited(self) -> None:
        """Refuse a study of which not all can be computed.

        Raises:
            StudyError: listing what is in ``unsuited``.
        """
        if self.unsuited:
            raise StudyError(self._where, self.unsuited)

    def _refuse(self, problems: Sequence[Problem]) -> None:
        if problems:
            raise StudyError(self._where, self._listed(problems))

    def _listed(self, problems: Sequence[Problem]) -> list[str]:
        return list(dict.fromkeys(line_at(problem.location, self._lines) + problem.text for problem in problems))

    def _foreign_problems(self) -> list[str]:
        """Return what a study that came from an archive may not do, before anything that it names is looked at."""
        store = self.config.store if "store" in self.config.model_fields_set else None
        return foreign_problems(self.folders, [self.config.results, store, *self.config.trusted], self.config.machine)

    def _machine_problems(self) -> Iterator[Problem]:
        """Take the machine that the study names, or tell what is wrong with its file."""
        try:
            if self.config.machine:
                Machine.take(Path(self.config.machine).expanduser())
        except InputError as error:
            yield problem_at(("machine",), str(error))

    def _block_problems(self, *, conda: bool) -> Iterator[Problem]:
        """Find what is wrong with the blocks, by building their structures too."""
        checks = Checks(
            structures=self.structures,
            phases=self.phases,
            calculators=self.calculators,
            sound=self.sound,
            folders=self.folders,
            trusted=[Path(folder) for folder in self.config.trusted],
            conda=conda,
        )
        return checks.problems(self.config.calculations, self.config.settings)


def _not_a_library(path: Path) -> str | None:
    """Return why a folder holds no recipes of the user's."""
    if not path.is_dir():
        return f"no folder {path}"
    if not any((path / kind).is_dir() for kind in ("structures", "calculators", "references")):
        return f"{path} has no structures/, calculators/ or references/, which are where recipes and references are looked for"
    return None
