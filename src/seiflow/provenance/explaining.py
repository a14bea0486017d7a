"""Why a step of a study is in the cache or not, and what differs from the nearest entry."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seiflow.calculators.environments import interpreter
from seiflow.documents import Location, line_at, lines_of
from seiflow.errors import SeiflowError
from seiflow.provenance.planned import Place, Planned
from seiflow.store import Entry, Key, Store
from seiflow.study import Study
from seiflow.workflow import Plan

MOST_LINES = 8
"""Differences of one kind that are listed; of more, how many there are is told."""

DIGEST = re.compile(r"(files )?([0-9a-f]{16}|[0-9a-f]{64})")


@dataclass(frozen=True)
class Explanation:
    """Why a step is in the cache or not.

    Attributes:
        place: Where its result belongs.
        key: What it is looked for by; None if that cannot be told yet.
        found: Whether it is there, whole.
        waits: Why the key cannot be told.
        nearest: If it is not there, the entry of the same step and structure that differs least.
        differences: How that one differs: kind and sentence.
    """

    place: Place
    key: Key | None = None
    found: bool = False
    waits: str | None = None
    nearest: Entry | None = None
    differences: tuple[tuple[str, str], ...] = ()


def explain(study: Study, results: Path, place: Place, store: Store) -> Explanation:
    """Explain one result; what it is made from is taken from the results as they are.

    Args:
        study: Which it is part of.
        results: Folder of its results.
        place: Where the result belongs in there.
        store: Where it is looked for.
    """
    with _overlay(study, results) as planned:
        planned.build(place)
        return _named(_explained(planned, place, store), planned, results)


def explain_study(study: Study, results: Path, store: Store) -> list[Explanation]:
    """Explain every result of a study; those not there yet are taken from the store if it has them: nothing need have run.

    Args:
        study: The study.
        results: Folder of its results; need not exist.
        store: Where results are looked for.
    """
    told: dict[Place, Explanation] = {}
    with _overlay(study, results) as planned:
        known = -1
        while known < len(told):
            known = len(told)
            for place in _places(study, planned):
                planned.build(place)
                if place not in told and planned.missing(place) is None:
                    told[place] = _explained(planned, place, store)
        every = [told.get(place) or _explained(planned, place, store) for place in _places(study, planned)]
        return [_named(each, planned, results) for each in every]


@contextmanager
def _overlay(study: Study, results: Path) -> Iterator[Planned]:
    """Yield the jobs of a study in a folder where results seem to lie and others may be put beside them."""
    with TemporaryDirectory(prefix="seiflow-") as folder:
        for path in results.glob("*/*/**/*"):
            if path.suffix in {".json", ".extxyz"} and not path.name.startswith("."):
                link = Path(folder) / path.relative_to(results)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.absolute())
        plan = Plan(study, leads=False)
        plan.results = folder
        yield Planned(plan)


def _places(study: Study, planned: Planned) -> list[Place]:
    return list(dict.fromkeys(place for job in study.jobs for place in planned.places(job)))


def _explained(planned: Planned, place: Place, store: Store) -> Explanation:
    if interpreter(planned.plan.study.calculators.get(place.calculator)):
        return Explanation(place, waits="its calculator runs in an environment of its own; ask for this result alone")
    missing = planned.missing(place)
    if missing is not None:
        return Explanation(place, waits=f"{missing} is not there yet")
    try:
        step = planned.step(place, store)
        key = step.key
    except SeiflowError as error:
        return Explanation(place, waits=str(error))
    there = all(path.exists() for path in (step.task.output, *step.files))
    if store.fetch(key) is not None if there else step.found():
        return Explanation(place, key, found=True)
    return _with_nearest(Explanation(place, key), key, planned, store)


def _with_nearest(explanation: Explanation, key: Key, planned: Planned, store: Store) -> Explanation:
    structure, _, step, _ = key.place.split("/")
    entries = [entry for entry in store.entries(structure, "*", step) if isinstance(entry, Entry)]
    if not entries:
        return explanation
    differences = {entry.folder: _differences(entry.parts, key.parts) for entry in entries}

    def distance(entry: Entry) -> tuple[object, ...]:
        found = differences[entry.folder]
        kinds = {location[0] for location in found}
        return "calculator" in kinds, "structure" in kinds, len(kinds), len(found), -entry.used

    nearest = min(entries, key=distance)
    told = tuple(_sentences(differences[nearest.folder], _lines(planned, explanation.place)))
    return replace(explanation, nearest=nearest, differences=told)


def _differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> dict[Location, tuple[Any, Any]]:
    """Return what differs between the parts of two keys, by where it stands: the value there and here, None if there is none."""
    old, new = dict(_leaves(there)), dict(_leaves(here))
    places = dict.fromkeys([*new, *old])
    return {place: (old.get(place), new.get(place)) for place in places if old.get(place) != new.get(place)}


def _leaves(value: object, where: Location = ()) -> Iterator[tuple[Location, object]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, Mapping | list):
        yield where, value
    for key, item in items:
        yield from _leaves(item, (*where, key))


def _lines(planned: Planned, place: Place) -> dict[str, dict[Location, int]]:
    """Return the lines of the recipes in which parts of a key are written."""
    plan = planned.plan
    files = {"structure": plan.structure_file(place.wildcards), "calculator": plan.calculator_file(place.wildcards)}
    return {kind: lines_of(Path(file)) for kind, file in files.items()}


def _sentences(
    differences: Mapping[Location, tuple[Any, Any]], lines: Mapping[str, Mapping[Location, int]]
) -> Iterator[tuple[str, str]]:
    kinds = dict.fromkeys(str(location[0]) for location in differences)
    for kind in kinds:
        found = {location[1:]: values for location, values in differences.items() if location[0] == kind}
        for location, values in list(found.items())[:MOST_LINES]:
            named = f"{'.'.join(map(str, location))}: " if location else ""
            yield kind, f"{line_at(location, lines.get(kind, {}))}{named}{_told(*values)}"
        if len(found) > MOST_LINES:
            yield kind, f"and {len(found) - MOST_LINES} more"


def _told(there: object, here: object) -> str:
    if here is None:
        return "only there"
    if there is None:
        return "only here"
    if DIGEST.fullmatch(str(there)) and DIGEST.fullmatch(str(here)):
        return "other content"
    return f"{there} there, {here} here"


def _named(explanation: Explanation, planned: Planned, results: Path) -> Explanation:
    """Return an explanation that names files by the folder of the results in place of the passing one."""
    if explanation.waits is None:
        return explanation
    return replace(explanation, waits=explanation.waits.replace(planned.plan.results, str(results)))
