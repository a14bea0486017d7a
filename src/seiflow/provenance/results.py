"""A folder of results, read as it is: damaged files, other versions and folders of another machine are told of and passed by.

A file is named by its path below the folder, ``STRUCTURE/CALCULATOR/NAME``, in which NAME is ``relaxation.json`` or
``hops/hop_1.extxyz``.
"""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seiflow.calculators.machine import Machine
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.documents import load
from seiflow.errors import InputError, SeiflowError
from seiflow.provenance.foreign import foreign_problems
from seiflow.provenance.nearby import no_result
from seiflow.records import digest_file, read_record
from seiflow.shelves import Shelf, StructureRecipe, phase_shelf, structure_shelf
from seiflow.structures.recipes import PhaseRecipe
from seiflow.study import StudyConfig

STUDY = "study.yaml"
HEADER = ("structure", "calculator", "provenance")
"""Keys that every record has."""


@dataclass(frozen=True)
class Results:
    """A folder of results and the recipes that its study names.

    Attributes:
        folder: Of the results.
        study: File of the study; None where there is none.
        notes: What could not be read, and what follows from it.
    """

    folder: Path
    study: Path | None
    library: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def at(cls, given: Path) -> "Results":
        """Return the results in a folder, or those of a study file.

        Raises:
            InputError: if there is no such folder or file, or the study file is wrong.
        """
        if given.is_dir():
            return cls._of_folder(given)
        config = load(given, StudyConfig)
        foreign = foreign_problems([], machine=config.machine)
        if config.machine and not foreign:
            Machine.take(Path(config.machine).expanduser())
        folder = Path(config.results)
        if not folder.is_dir() and (given.parent / folder).is_dir():
            folder = given.parent / folder
        if not folder.is_dir():
            message = f"{folder}: no such folder; the study has no results yet, or was run from elsewhere"
            raise InputError(message)
        library, notes = _library(config, [Path(), given.parent])
        return cls(folder, given, library, (*foreign, *notes))

    @classmethod
    def around(cls, file: Path) -> "Results":
        """Return the results that a file is part of: the nearest folder above it that holds a study, or two above its own.

        Raises:
            InputError: if there is no such file, with the results that are near it.
        """
        if not file.is_file():
            raise no_result(file)
        parents = list(Path(os.path.normpath(file.absolute())).parents)
        for depth, folder in enumerate(parents):
            if depth > 1 and (folder / STUDY).is_file():
                return cls._of_folder(_near(folder))
        inside = parents[0].name in ("hops", "vacancies", "sites")
        return cls._of_folder(_near(parents[min(3 if inside else 2, len(parents) - 1)]))

    @classmethod
    def _of_folder(cls, folder: Path) -> "Results":
        file = folder / STUDY
        if not file.is_file():
            note = f"{folder} holds no {STUDY}: recipes are looked for among those of the package alone"
            return cls(folder, None, notes=(note,))
        try:
            config = load(file, StudyConfig)
        except InputError as error:
            note = f"{file} cannot be used, so recipes are looked for among those of the package alone: {error}"
            return cls(folder, None, notes=(note,))
        below = (folder / config.results).is_dir()
        if below and not any(folder.glob("*/*/*.json")):
            return cls._of_folder(folder / config.results)
        run_from = Path(os.path.normpath(folder.absolute()))
        relative = Path(os.path.normpath(config.results))
        if not relative.is_absolute() and run_from.parts[-len(relative.parts) :] == relative.parts:
            run_from = run_from.parents[len(relative.parts) - 1]
        library, notes = _library(config, [_near(run_from), Path()])
        return cls(folder, file, library, notes)

    @cached_property
    def structures(self) -> Shelf[StructureRecipe]:
        """Recipes of structures."""
        return structure_shelf(self.library)

    @cached_property
    def phases(self) -> Shelf[PhaseRecipe]:
        """Recipes of phases."""
        return phase_shelf(self.library)

    @cached_property
    def calculators(self) -> Shelf[CalculatorRecipe]:
        """Recipes of calculators."""
        return calculator_shelf(self.library)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All files of structures with calculators: records and structures."""
        found = [path for ending in ("json", "extxyz") for path in self.folder.glob(f"*/*/**/*.{ending}")]
        names = (path.relative_to(self.folder) for path in found)
        return tuple(sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts)))

    def path(self, name: str) -> Path:
        """Return the file of a name."""
        return self.folder / name

    def name(self, path: Path) -> str:
        """Return the name of a file; its own path if it lies elsewhere."""
        here, there = os.path.normpath(path.absolute()), os.path.normpath(self.folder.absolute())
        return Path(here).relative_to(there).as_posix() if Path(here).is_relative_to(there) else str(path)

    def digest(self, path: Path) -> str | None:
        """Return the sha256 of a file; None if it cannot be read."""
        try:
            state = path.stat()
            return _digest(path.absolute(), state.st_mtime_ns, state.st_size)
        except OSError:
            return None

    def read(self, name: str) -> dict[str, Any]:
        """Return a record.

        Raises:
            InputError: if it is damaged, or no result of seiflow.
        """
        path = self.path(name)
        record = read_record(path)
        missing = [key for key in HEADER if key not in record]
        if missing or not isinstance(record["provenance"], dict):
            message = f"{path}: no result of seiflow, or one of a version before its provenance (it lacks {', '.join(missing)})"
            raise InputError(message)
        return record

    def structure(self, name: str) -> StructureRecipe | None:
        """Return the recipe of a structure; None if there is none that can be read."""
        try:
            return self.structures.get(name)
        except SeiflowError:
            return None

    def calculator(self, name: str) -> CalculatorRecipe | None:
        """Return the recipe of a calculator; None if there is none that can be read."""
        try:
            return self.calculators.get(name)
        except SeiflowError:
            return None

    def recipe_file(self, what: str, structure: str, calculator: str) -> Path | None:
        """Return the file of a recipe by its name in provenance: structure, calculator, or ``phase X``; None if there is none."""
        kind, _, phase = what.partition(" ")
        shelves: dict[str, Shelf[Any]] = {"structure": self.structures, "calculator": self.calculators, "phase": self.phases}
        try:
            return shelves[kind].path({"structure": structure, "calculator": calculator}.get(kind, phase))
        except SeiflowError:
            return None


@functools.cache
def _digest(path: Path, _changed_ns: int, _size: int) -> str:
    return digest_file(path)


def _library(config: StudyConfig, starts: Sequence[Path]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return the folders of a study's own recipes that are there, and what is to be said of those that are not."""
    found, notes = [], []
    for entry in config.library:
        given = Path(entry).expanduser()
        there = next((start / given for start in starts if (start / given).is_dir()), None)
        if there is None:
            notes.append(f"library: no folder {given} here, so recipes in it cannot be compared with those that were used")
        else:
            found.append(there)
    return tuple(found), tuple(notes)


def _near(folder: Path) -> Path:
    """Return a folder as seen from here, if it lies below; messages become shorter."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder
