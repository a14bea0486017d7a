"""A study as Snakemake sees it: which files are wanted, and which files and settings each rule gets.

Methods that take ``wildcards`` are Snakemake input and parameter functions.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from seiflow.calculators.environments import conda_file, conda_name
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.errors import InputError
from seiflow.provenance.folder import busy, prepare
from seiflow.provenance.running import Lock
from seiflow.records import read_record, write_text
from seiflow.reference_forces import file_name, find_reference
from seiflow.resources import cards, memory, minutes, only_mpi, threads
from seiflow.shelves import StructureRecipe, phases_of
from seiflow.snakefile import study_in
from seiflow.store import VARIABLE, Store
from seiflow.study import Study, settings_sections


class Wildcards(Protocol):
    """What the rules' file names leave open."""

    structure: str
    calculator: str


class Plan:
    """Files of a study.

    Args:
        study: A checked study.
        leads: Whether this process leads the run. One that computes a single job, on another node perhaps, changes nothing.
        dry: Whether the run is a dry one, which leaves the folder of results as it was.
    """

    def __init__(self, study: Study, *, leads: bool = True, dry: bool = False) -> None:
        """Make the folder of results ready."""
        self.study = study
        self.results = study.config.results
        self.file = f"{self.results}/study.yaml"
        self.notes = [
            f"warning: {told}\nits jobs will most likely fail; if Snakemake keeps going, all others run"
            for told in study.unsuited
        ]
        self.notes += prepare(study, self._write_study, dry=dry) if leads else []

    def begin(self, *, keep_going: bool) -> None:
        """Keep other runs off the results until this process ends; Snakemake calls it before the first job.

        Args:
            keep_going: Whether jobs may fail while others go on; if not, none begins where some are known to fail.
        """
        if not keep_going:
            try:
                self.study.refuse_unsuited()
            except InputError as error:
                print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the message a user is to see
                raise SystemExit(1) from None
        results = Path(self.results)
        lock = Lock(results)
        other = lock.take()
        if other is not None:
            message = f"error: {results}: {busy(results, other)}"
            print(message, file=sys.stderr, flush=True)  # noqa: T201 - the message a user is to see
            raise SystemExit(1)
        lock.keep()
        self._write_study()

    @property
    def records(self) -> list[str]:
        """The records that the report is made from."""
        return [f"{self.results}/{job.structure}/{job.calculator}/{job.name}.json" for job in self.study.jobs]

    @property
    def structures(self) -> list[str]:
        """The relaxed structures, and those in their registry; wanted by themselves, so that a lost one is made again."""
        found = []
        for job in self.study.jobs:
            if job.name == "relaxation":
                made = ["registered", "relaxed"] if self.study.structures.get(job.structure).ingredients else ["relaxed"]
                found += [f"{self.results}/{job.structure}/{job.calculator}/{name}.extxyz" for name in made]
        return found

    def pairs(self, name: str, *, phases: bool) -> list[dict[str, str]]:
        """Return the wildcards of every phase, or every other structure, and calculator of which a property is wanted."""
        wanted = [job for job in self.study.jobs if job.name == name and (job.kind == "phase") == phases]
        return [{"structure": job.structure, "calculator": job.calculator} for job in wanted]

    def pattern(self, *, phases: bool) -> str:
        """Return a regular expression for the names of the phases, or of all other structures."""
        names = sorted({job.structure for job in self.study.jobs if (job.kind == "phase") == phases})
        return "|".join(map(re.escape, names)) or "(?!)"

    def _write_study(self) -> None:
        """Keep the study beside its results, and which structures are sound.

        An unchanged one is left alone, so that nothing is made again for it.
        """
        self.study.sound.keep()
        text = yaml.safe_dump(self.study.config.model_dump(exclude_unset=True, exclude={"machine"}), sort_keys=False)
        path = Path(self.file)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)

    def structure_file(self, wildcards: Wildcards) -> str:
        """Return the recipe of a structure."""
        return str(self.study.structures.path(wildcards.structure))

    def calculator_file(self, wildcards: Wildcards) -> str:
        """Return the recipe of a calculator."""
        return str(self.study.calculators.path(wildcards.calculator))

    @property
    def resources(self) -> dict[str, Callable[..., object]]:
        """What the jobs that evaluate a calculator ask of a cluster, as Snakemake and its Slurm plugin call it.

        Several MPI processes are tasks of one core each, on one node.
        """
        return {
            "mem_mb": self._of_calculator(memory),
            "runtime": self._of_calculator(minutes),
            "gpu": self._of_calculator(lambda recipe, _: cards(recipe)),
            "mpi": self._of_calculator(lambda recipe, _: only_mpi(recipe, "mpirun")),
            "tasks": self._of_calculator(lambda recipe, _: only_mpi(recipe, recipe.processes)),
            "cpus_per_task": self._of_calculator(lambda recipe, _: only_mpi(recipe, 1)),
            "nodes": self._of_calculator(lambda recipe, _: only_mpi(recipe, 1)),
        }

    def _of_calculator(self, demand: Callable[[CalculatorRecipe, int], object]) -> Callable[[Wildcards, int], object]:
        """Return a resource function of Snakemake; a resource that is None is not asked for."""

        def asked(wildcards: Wildcards, attempt: int) -> object:
            return demand(self.study.calculators.get(wildcards.calculator), attempt)

        return asked

    def threads(self, wildcards: Wildcards) -> int:
        """Return the cores of one job: MPI processes of a program, or the threads that a recipe gives a potential."""
        recipe = self.study.calculators.get(wildcards.calculator)
        return recipe.processes if recipe.program else threads(recipe)

    @property
    def conda(self) -> str | Callable[[Wildcards], str]:
        """The conda environment of all jobs if they share one, which Snakemake then need not ask for job by job."""
        names = {conda_name(self.study.calculators.get(name)) for name in {job.calculator for job in self.study.jobs}}
        return self._environment(names.pop()) if len(names) == 1 else self.environment

    def environment(self, wildcards: Wildcards) -> str:
        """Return the file of the conda environment of a job."""
        return self._environment(conda_name(self.study.calculators.get(wildcards.calculator)))

    def _environment(self, name: str) -> str:
        """Return a file in ``envs`` of the user's folders, or one relative to the rules."""
        own = conda_file(name, self.study.folders)
        return str(own.absolute()) if own else f"../envs/{name}.yml"

    def phase_files(self, wildcards: Wildcards) -> list[str]:
        """Return the recipes of the phases that a structure is made of; none for a phase."""
        recipe = self._recipe(wildcards)
        return [] if recipe.kind == "phase" else [str(self.study.phases.path(name)) for name in phases_of(recipe)]

    def crystals(self, wildcards: Wildcards) -> list[str]:
        """Return the relaxed crystals that a structure is built from; none for a phase."""
        return [f"{self.results}/{name}/{wildcards.calculator}/relaxed.extxyz" for name in self._recipe(wildcards).ingredients]

    def stiffnesses(self, wildcards: Wildcards) -> list[str]:
        """Return the records by which the phases of an interface share its strain; none for other structures."""
        recipe = self._recipe(wildcards)
        names = recipe.ingredients if recipe.kind == "interface" else ()
        return [f"{self.results}/{name}/{wildcards.calculator}/elasticity.json" for name in names]

    def migrations(self, wildcards: Wildcards) -> list[str]:
        """Return the records of migration in the phases that a structure is made of."""
        return [f"{self.results}/{name}/{wildcards.calculator}/migration.json" for name in self._recipe(wildcards).ingredients]

    def reservoir(self, wildcards: Wildcards) -> list[str]:
        """Return the record of the relaxed element that lone defects are counted from; none if the study has no such phase."""
        name = self.study.reservoir(wildcards.structure, wildcards.calculator)
        return [] if name is None else [f"{self.results}/{name}/{wildcards.calculator}/relaxation.json"]

    def competing(self, wildcards: Wildcards) -> list[str]:
        """Return the records of the relaxed phases that bound the chemical potentials in a structure."""
        names = self.study.competing(wildcards.structure, wildcards.calculator)
        return [f"{self.results}/{name}/{wildcards.calculator}/relaxation.json" for name in names]

    def reference_forces(self, wildcards: Wildcards) -> str:
        """Return the file of the forces that those of a calculator are compared with."""
        chosen = self.study.settings(wildcards.structure, wildcards.calculator).softness.reference
        found = find_reference(self.study.folders, wildcards.structure, chosen)
        return str(found or file_name(wildcards.structure, chosen))

    def start(self, wildcards: Wildcards) -> str:
        """Return the structure that a relaxation starts from: in its registry if it is made of relaxed crystals, or as built.

        A phase whose calculator starts from a cheaper one begins where that one ended.
        """
        name = "registered" if self._recipe(wildcards).ingredients else "built"
        cheaper = self._cheaper(wildcards)
        folder, file = (wildcards.calculator, name) if cheaper is None else (cheaper, "relaxed")
        return f"{self.results}/{wildcards.structure}/{folder}/{file}.extxyz"

    def head_start(self, folder: str, wildcard: str) -> Callable[[Wildcards], list[str]]:
        """Return an input function with the structures of a vacancy or hop by the cheaper calculator, if there is one."""

        def files(wildcards: Wildcards) -> list[str]:
            cheaper = self._cheaper(wildcards)
            place = f"{self.results}/{wildcards.structure}/{cheaper}/{folder}"
            return [] if cheaper is None else [f"{place}/{getattr(wildcards, wildcard)}.extxyz"]

        return files

    def cheaper(self, wildcards: Wildcards) -> str:
        """Return the name of the calculator that another one starts from."""
        return self._cheaper(wildcards) or ""

    def _cheaper(self, wildcards: Wildcards) -> str | None:
        """Return the calculator that another one starts from, for a phase."""
        is_phase = self._recipe(wildcards).kind == "phase"
        return self.study.calculators.get(wildcards.calculator).starts_from if is_phase else None

    def settings(self, name: str) -> Callable[[Wildcards], str]:
        """Return a parameter function with the settings of one step, as JSON."""

        def settings_of(wildcards: Wildcards) -> str:
            chosen = self.study.settings(wildcards.structure, wildcards.calculator)
            sections = settings_sections(name, self._recipe(wildcards).kind)
            return json.dumps(chosen.combined(*sections), sort_keys=True)

        return settings_of

    def _recipe(self, wildcards: Wildcards) -> StructureRecipe:
        return self.study.structures.get(wildcards.structure)


def plan(
    config: Mapping[str, Any], files: Sequence[str], *, with_conda: bool = False, leads: bool = True, dry: bool = False
) -> Plan:
    """Return the plan of Snakemake's ``config``, read from ``files``; mistakes end the run with one message, no traceback.

    Jobs learn from the environment where finished steps are kept, so that another folder makes no job outdated. With conda
    Snakemake brings the environments of calculators that have their own, and nobody need make them beforehand.
    """
    try:
        where = study_in(files, config) if leads else ()
        made = Plan(Study(dict(config), *where, conda=with_conda, checked=not leads), leads=leads, dry=dry)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the message a user is to see
        raise SystemExit(1) from None
    store = made.study.config.store
    os.environ.setdefault(VARIABLE, str(Path(store).expanduser().absolute()) if store else "")
    unusable = Store.from_environment().problem()
    if unusable:
        print(unusable, file=sys.stderr, flush=True)  # noqa: T201 - likewise
    for note in made.notes:
        print(note, file=sys.stderr, flush=True)  # noqa: T201 - likewise
    return made


def names_in(record: str | Path, items: str, key: str) -> list[str]:
    """Return the names of the hops or sites in the record of a network."""
    return [item[key] for item in read_record(Path(record))[items]]


def sites_of_hop(record: str | Path, hop: str) -> list[str]:
    """Return the sites whose vacancies a hop starts from and ends with."""
    found = [item for item in read_record(Path(record))["hops"] if item["hop"] == hop]
    if not found:
        message = f"{record}: no hop {hop!r}"
        raise InputError(message)
    return sorted({found[0]["site_initial"], found[0]["site_final"]})


def site_names(record: str | Path, *, interstitials: bool = False) -> list[str]:
    """Return the names of the sites in the record of the sites of a boundary, on request the interstitial ones too."""
    found = read_record(Path(record))
    return [item["name"] for item in [*found["sites"], *(found["interstitials"] if interstitials else [])]]
