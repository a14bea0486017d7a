"""A study as Snakemake sees it: which files are wanted, and which files and settings each rule gets.

Methods that take ``wildcards`` are Snakemake input and parameter functions.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from seiflow.calculators.environments import conda_file
from seiflow.documents import lines_of, problems_of
from seiflow.errors import InputError, StudyError
from seiflow.records import read_record, write_text
from seiflow.reference_forces import file_name, find_reference
from seiflow.settings import PropertySettings
from seiflow.shelves import StructureRecipe, phases_of
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
    """

    def __init__(self, study: Study) -> None:
        """Make sure results can be written, and drop damaged ones so that they are computed again."""
        self.study = study
        self.results = study.config.results
        self.file = f"{self.results}/study.yaml"
        require_writable(Path(self.results))
        self.discarded = discard_damaged(Path(self.results))
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
        """Keep the study beside its results; an unchanged one is left alone, so that nothing is made again for it."""
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

    def memory(self, wildcards: Wildcards) -> int:
        """Return the memory of one job, MB."""
        return self.study.calculators.get(wildcards.calculator).memory_mb

    def processes(self, wildcards: Wildcards) -> int:
        """Return the MPI processes of one job."""
        return self.study.calculators.get(wildcards.calculator).processes

    def environment(self, wildcards: Wildcards) -> str:
        """Return the file of the conda environment of a job: one in ``envs`` of the user's folders, or relative to the rules."""
        name = self.study.calculators.get(wildcards.calculator).environment or "seiflow"
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


def plan(config: Mapping[str, Any], files: Sequence[str], *, with_conda: bool = False) -> Plan:
    """Return the plan of Snakemake's ``config``, read from ``files``; mistakes end the run with one message, no traceback.

    Jobs learn from the environment where finished steps are kept, so that another folder makes no job outdated. With conda
    Snakemake brings the environments of calculators that have their own, and nobody need make them beforehand.
    """
    try:
        lines = lines_of(Path(files[0])) if len(files) == 1 and Path(files[0]).is_file() else None
        made = Plan(Study(dict(config), ", ".join(files) or "study", lines, conda=with_conda))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the message a user is to see
        raise SystemExit(1) from None
    store = made.study.config.store
    os.environ.setdefault(VARIABLE, str(Path(store).expanduser().absolute()) if store else "")
    unusable = Store.from_environment().problem()
    if unusable:
        print(unusable, file=sys.stderr, flush=True)  # noqa: T201 - likewise
    for path in made.discarded:
        print(f"{path}: damaged or cut off; it is computed again", file=sys.stderr, flush=True)  # noqa: T201 - likewise
    return made


def parse_settings(text: str) -> PropertySettings:
    """Return settings handed from a rule to a command."""
    try:
        data = json.loads(text)
    except ValueError as error:
        message = f"settings: no JSON ({error})"
        raise InputError(message) from error
    found = problems_of(data, PropertySettings)
    if found:
        message = "settings: " + "; ".join(problem for _, problem in found)
        raise InputError(message)
    return PropertySettings.model_validate(data)


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


def discard_damaged(results: Path) -> list[Path]:
    """Delete records that are no JSON and structures that are cut off, so that Snakemake makes them again; return them."""
    damaged = []
    for path in sorted([*results.glob("*/*/**/*.json"), *results.glob("*/*/**/*.extxyz")]):
        try:
            text = path.read_text(encoding="utf-8")
            whole = path.suffix == ".extxyz" and _is_whole(text.splitlines())
            if not whole:
                json.loads(text)
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
            damaged.append(path)
    return damaged


def _is_whole(lines: Sequence[str]) -> bool:
    """Tell whether extended XYZ holds as many lines as each of its frames says."""
    start = 0
    while start < len(lines):
        if not lines[start].strip().isdigit():
            return False
        start += int(lines[start]) + 2
    return start == len(lines) > 0


def require_writable(results: Path) -> None:
    """Refuse a results folder that cannot be written, before anything is computed."""
    folder = results
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".seiflow-") as file:
            file.write(b"0" * 65536)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        problem = f"results: {folder} cannot be written ({error.strerror}); free some space or choose another folder"
        where = "study"
        raise StudyError(where, [problem]) from error
