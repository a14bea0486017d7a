"""What may run code in recipes and files that came from somebody else, told before any of it is run.

A folder with ``ro-crate-metadata.json`` came from an archive, or is one. What its recipes may do without being asked: name a
calculator that comes with seiflow, with other numbers. All else is refused until the user names the folder in an environment
variable, which no archive can set. A machine file starts programs, so that none comes from an archive.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.calculators.trust import texts_in
from seiflow.documents import read_yaml
from seiflow.errors import InputError, SeiflowError
from seiflow.shelves import data_folder

MARK = "ro-crate-metadata.json"
VARIABLE = "SEIFLOW_TRUST"
"""Environment variable that names the folder of an archive whose recipes may run anything."""

DATA = {".json", ".extxyz", ".yaml", ".csv", ".svg", ".png", ".md", ".txt", ".rst", ".failed"}
"""Endings of files that nothing runs; a recipe is looked into."""


@dataclass(frozen=True)
class Code:
    """Something that may run code.

    Attributes:
        where: The file.
        what: What it is and does, for a reader.
        refused: Whether seiflow runs it only if it is trusted.
    """

    where: str
    what: str
    refused: bool

    def __str__(self) -> str:
        """Return a line."""
        return f"{self.where}: {self.what}" + (", refused unless trusted" if self.refused else "")


def crate_of(folder: Path) -> Path | None:
    """Return the folder of an archive that a folder is in, or is; None for one of the user's own."""
    absolute = Path(os.path.normpath(folder.absolute()))
    return next((place for place in (absolute, *absolute.parents) if (place / MARK).is_file()), None)


def foreign_problems(library: Sequence[Path], paths: Sequence[str | None] = (), machine: str | None = None) -> list[str]:
    """Return why a study that lies in an archive is refused; nothing for a study of the user's own, or one that is trusted.

    Args:
        library: Folders of its recipes.
        paths: Other files and folders that it names: of results, of finished steps.
        machine: File of the machine that it names.
    """
    root = untrusted_crate_of(Path())
    problems: dict[Path, list[str]] = {}
    if root is not None:
        named = [*map(str, library), *(path for path in (*paths, machine) if path)]
        problems[root] = [f"{path} leaves the folder of the archive {root}" for path in named if leaves(path, root)]
    for folder in library:
        place = untrusted_crate_of(folder)
        if place is not None:
            problems.setdefault(place, []).extend(str(code) for code in recipe_code(folder) if code.refused)
    place = untrusted_crate_of(Path(machine).expanduser()) if machine else None
    if place is not None and machine:
        problems.setdefault(place, []).append(str(_of_machine(machine)))
    how = "it came from an archive. Read it, and if you trust it set"
    return [f"{problem} ({how} {VARIABLE}={place})" for place, those in problems.items() for problem in those]


def require_trusted(library: Sequence[Path]) -> None:
    """Refuse recipes of calculators from an archive that may run code, before any of them is used.

    Raises:
        InputError: listing what they may run.
    """
    problems = foreign_problems(library)
    if problems:
        raise InputError("; ".join(problems))


def untrusted_crate_of(place: Path) -> Path | None:
    """Return the folder of the archive that a place is in, if nobody has said that it is trusted."""
    root = crate_of(place)
    return None if root is None or trusted(root) else root


def trusted(root: Path) -> bool:
    """Tell whether the user said that the recipes of an archive may run anything."""
    named = os.environ.get(VARIABLE)
    return bool(named) and Path(str(named)).expanduser().resolve() == root.resolve()


def leaves(path: str, root: Path) -> bool:
    """Tell whether a path, taken from the folder in use, lies outside another one."""
    return not Path(path).expanduser().resolve().is_relative_to(root.resolve())


def recipe_code(folder: Path) -> Iterator[Code]:
    """Yield what recipes of calculators in a library may run, and the environments that they may have installed."""
    own = {path.name: path.read_bytes() for path in data_folder("calculators").glob("*.yaml")}
    for path in sorted((folder / "calculators").rglob("*.yaml")):
        if own.get(path.name) != path.read_bytes():
            yield from _of_recipe(path)
    for path in sorted((folder / "envs").glob("*")):
        yield Code(str(path), "packages that conda would install and jobs import", refused=True)


def _of_recipe(path: Path) -> Iterator[Code]:
    try:
        data = read_yaml(path)
    except SeiflowError as error:
        yield Code(str(path), f"cannot be read ({error})", refused=True)
        return
    recipe = data if isinstance(data, dict) else {}
    factory, program = recipe.get("factory"), recipe.get("program")
    usual = [one for one in _package() if one.factory == factory]
    yield Code(str(path), f"imports and calls {factory}", refused=not usual)
    if program is not None:
        yield Code(str(path), f"starts the program {program}", refused=program not in {one.program for one in usual})
    known = {text for one in usual for text in _texts(one.model_dump(mode="json"))}
    for text in dict.fromkeys(_texts(recipe)):
        if text not in known:  # it may be the file of a model, which runs code when it is loaded
            yield Code(str(path), f"hands {text!r} to {factory}", refused=True)
    weights = recipe.get("weights")
    for entry in weights if isinstance(weights, list) else []:
        if str(entry).startswith(("/", "~")) or ".." in Path(str(entry).replace(":", "/")).parts:
            yield Code(str(path), f"reads {entry}", refused=all(entry not in one.weights for one in usual))


def _texts(recipe: dict[str, Any]) -> Iterator[str]:
    """Yield the texts that a recipe hands to its calculator."""
    remedies = recipe.get("remedies")
    several = remedies if isinstance(remedies, list) else []
    yield from texts_in([recipe.get("arguments"), *(each.get("arguments") for each in several if isinstance(each, dict))])


def _of_machine(file: str) -> Code:
    return Code(file, "says which programs and interpreters are started, whatever their names", refused=True)


def _package() -> list[CalculatorRecipe]:
    shelf = calculator_shelf()
    return [shelf.get(name) for name in shelf.names]


def code_in(folder: Path) -> list[Code]:
    """Return everything in an unpacked archive that may run code, by its path below the folder."""
    libraries = {path.parent for name in ("calculators", "envs") for path in folder.rglob(name) if path.is_dir()}
    found = [code for library in sorted(libraries - {folder / "workflows"}) for code in recipe_code(library)]
    top = data_folder("structures").parent
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and (path.suffix not in DATA or place.parts[0] == "profiles"):
            found += _of_file(path, top / place)
    study = folder / "study.yaml"
    found += [_of_machine(str(study))] if study.is_file() and _names_machine(study) else []
    below = [replace(code, where=Path(code.where).relative_to(folder).as_posix()) for code in found]
    return list(dict.fromkeys(below))


def _names_machine(study: Path) -> bool:
    try:
        data = read_yaml(study)
    except SeiflowError:
        return False
    return isinstance(data, dict) and data.get("machine") is not None


def _of_file(path: Path, twin: Path) -> Iterator[Code]:
    """Yield what a file may run that is not the same in the seiflow in use."""
    if path.suffix == ".html":
        yield Code(str(path), "a page whose scripts run in the browser that opens it", refused=False)
    elif not twin.is_file() or twin.read_bytes() != path.read_bytes():
        known = path.name == "Snakefile" or path.suffix in {".smk", ".yml", ".yaml"}
        what = "rules, profile or environment other than those of this seiflow" if known else "not known to be mere data"
        yield Code(str(path), what, refused=False)
