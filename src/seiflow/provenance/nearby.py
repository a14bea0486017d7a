"""What to answer if something is asked about that is no result: which results there are instead."""

import contextlib
import difflib
from pathlib import Path

from seiflow.errors import InputError
from seiflow.provenance.rules import rule_of

SHOWN = 8
"""Results that a message names."""

DEEPEST = 2
"""Levels of folders between that of the results and a record of a structure with a calculator."""

STUDY = "study.yaml"
TAKEN = "Name a record (JSON) or structure (extended XYZ)"


def no_result(asked: Path) -> InputError:
    """Return the error for a path that is a folder, or nothing at all: it names the results there, or the nearest."""
    there = asked.is_dir()
    found = _near(asked if there else next((folder for folder in asked.parents if folder.is_dir()), Path()))
    match = [] if there else difflib.get_close_matches(str(asked), map(str, found), n=1, cutoff=0.8)
    problem = "a folder, and no result" if there else "no result of a step" if asked.exists() else "no such file"
    problem += f"; did you mean {match[0]}?" if match else "."
    if not found:
        return InputError(f"{asked}: {problem} {TAKEN} of a study, such as results/LiF/chgnet/migration.json")
    if match == [str(path) for path in found]:
        return InputError(f"{asked}: {problem}")
    listed = ", ".join(map(str, found[:SHOWN])) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
    return InputError(f"{asked}: {problem} {TAKEN}. Near it are {listed}")


def _near(folder: Path) -> list[Path]:
    """Return the records in a folder, or in one of the results below it, or above it in the same results."""
    folders = [folder, *(file.parent for file in sorted(folder.glob(f"*/{STUDY}")))]
    above = [*folder.parents][: DEEPEST + 1]
    top = next((number for number, parent in enumerate(above) if (parent / STUDY).is_file()), -1)
    return next(filter(None, map(_records_in, [*folders, *above[: top + 1]])), [])


def _records_in(folder: Path) -> list[Path]:
    """Return the records in a folder that are least deep in it."""
    for depth in range(DEEPEST + 1):
        with contextlib.suppress(OSError):  # a folder that nobody may look into
            found = sorted(path for path in folder.glob("*/" * depth + "*.json") if _is_record(path))
            if found:
                return found
    return []


def _is_record(path: Path) -> bool:
    """Tell by its name whether a file is a record, without reading it."""
    return any(rule_of(label, crystal=True) is not None for label in (path.stem, f"{path.parent.name}/{path.stem}"))
