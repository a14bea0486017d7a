"""The folder of results before a run: writable, whole, of this time and place, and nobody else's."""

import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from seiflow.calculators.trust import foreign_code
from seiflow.errors import InputError, StudyError
from seiflow.provenance.adoption import adopt, from_the_future, in_words
from seiflow.provenance.currency import Currency
from seiflow.provenance.rehearsal import DAMAGED, Rehearsal
from seiflow.provenance.running import Lock, Run, left_behind
from seiflow.provenance.steps import steps
from seiflow.shelves import phases_of
from seiflow.study import Study

SHOWN = 5
"""Files that a message names."""


def prepare(study: Study, write_study: Callable[[], None], *, dry: bool = False) -> list[str]:
    """Make a folder of results ready for a run, and return what a user should know; a dry run leaves it to another that has it.

    Args:
        study: A checked study.
        write_study: Writes the study into the folder.
        dry: Whether the run is a dry one, after which the folder is as it was.

    Raises:
        StudyError: if the folder cannot be used, or a recipe is of the future.
        InputError: if another run is at work there.
    """
    results = Path(study.config.results)
    require_writable(results)
    before = Rehearsal(results) if dry else None
    results.mkdir(parents=True, exist_ok=True)
    lock = Lock(results)
    other = lock.take()
    if other is not None:
        message = f"{results}: {busy(results, other)}"
        if dry:
            return [message]
        raise InputError(message)
    if before is not None:
        before.begin()
    try:
        told = [left_behind(lock.last) or "", *foreign_code(study.sourced_calculators, study.folders)]
        now = _clock(results)
        _refuse_future_recipes(study, now)
        told += [f"{path}: damaged or cut off; it is computed again" for path in discard_damaged(results)]
        told += [f"{path}: made with other weights than there are now; it is computed again" for path in put_aside_others(study)]
        files = [*results.glob("*/*/**/*.json"), *results.glob("*/*/**/*.extxyz")]
        if files and (lock.moved or from_the_future(files, now)):
            told.append(str(adopt(study, now)))
        write_study()
        if lock.moved:
            lock.note(None)
    finally:
        if before is None:
            lock.leave()
        else:
            before.end_with_this_process(lock)
    return [text for text in told if text]


def busy(results: Path, other: Run) -> str:
    """Return that a folder belongs to another run."""
    who = str(other) if other.process is not None else "one that has not begun yet, perhaps a dry run"
    return (
        f"another run is at work here ({who}). Nothing is changed for this one: wait until it has ended, or give this study a "
        f"results folder of its own (results: {results}-2); steps that both need are computed once, by way of the store"
    )


def discard_damaged(results: Path) -> list[Path]:
    """Put aside records that are no JSON and structures that are cut off, so that Snakemake makes them again; return them.

    They stay as ``NAME.damaged``, or as ``NAME.damaged.2`` if there is one already: one may have been edited by hand.

    Raises:
        StudyError: if one cannot be read, which does not mean that it is damaged.
    """
    damaged = []
    unreadable = []
    for path in sorted([*results.glob("*/*/**/*.json"), *results.glob("*/*/**/*.extxyz")]):
        try:
            if not _is_whole(path):
                path.rename(_aside(path))
                damaged.append(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            unreadable.append(
                f"results: {path} cannot be read or moved ({error.strerror}); make it yours, or choose another folder"
            )
    _refuse(unreadable)
    return damaged


def put_aside_others(study: Study) -> list[Path]:
    """Put aside results made with other weights than a calculator has now, of which Snakemake knows nothing; return the records.

    They stay as damaged ones do.
    """
    currency = Currency(study)
    if not currency.weights_changed():
        return []
    records = []
    for step in steps(currency.results):
        if step.is_build or (step.structure, step.calculator) not in currency.wanted or not currency.other_weights(step):
            continue
        records.append(currency.results.path(step.name))
        for path in map(currency.results.path, filter(None, (step.name, step.companion))):
            if path.is_file():
                path.rename(_aside(path))
    return records


def _aside(path: Path) -> Path:
    """Return the first name for a damaged file that no other one has."""
    names = (path.with_name(f"{path.name}{DAMAGED}{f'.{number}' if number > 1 else ''}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def _is_whole(path: Path) -> bool:
    data = path.read_bytes()
    try:
        if path.suffix == ".json":
            return isinstance(json.loads(data), dict)
        return _holds_its_frames(data.decode().splitlines())
    except ValueError:
        return False


def _holds_its_frames(lines: Sequence[str]) -> bool:
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
    closed = [path for path in results.glob("*/*/") if not os.access(path, os.W_OK)]
    _refuse([f"results: {path} cannot be written; make it yours (chmod, chown), or choose another folder" for path in closed])


def _clock(results: Path) -> float:
    """Return the time by the clock that dates the files of the results, which may be that of a file server."""
    with tempfile.NamedTemporaryFile(dir=results, prefix=".seiflow-") as file:
        return os.fstat(file.fileno()).st_mtime


def _refuse_future_recipes(study: Study, now: float) -> None:
    """Refuse recipes dated later than now.

    Snakemake takes a result that is older than its recipe for one of a clock gone wrong, and deletes it.
    """
    structures = {job.structure for job in study.jobs}
    phases = {name for structure in structures for name in phases_of(study.structures.get(structure))}
    paths = {study.structures.path(name) for name in structures} | {study.phases.path(name) for name in phases}
    paths |= {study.calculators.path(job.calculator) for job in study.jobs}
    _refuse(
        [
            f"{path}: its date is {in_words(ahead)} ahead of the clock of the results folder ({time.ctime(now)}), and Snakemake "
            "would delete results that seem older than their recipe. Set the clock right, or give the file the time of now: "
            f"touch {path}"
            for path, ahead in sorted(from_the_future(sorted(paths), now).items())
        ]
    )


def _refuse(problems: list[str]) -> None:
    if problems:
        more = [f"and {len(problems) - SHOWN} more"] if len(problems) > SHOWN else []
        where = "study"
        raise StudyError(where, problems[:SHOWN] + more)
