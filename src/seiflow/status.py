"""What of a study is done, running, stopped, failed or waiting, told from the files that its jobs leave.

A job that runs has a log, and a journal of evaluations once there are any. One that failed has left its reason in
``NAME.failed``, one that was killed has left its journal, and one that is done has a record.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from seiflow.errors import InputError
from seiflow.estimate import SUPERCELL, expected_evaluations
from seiflow.provenance.adoption import in_words
from seiflow.provenance.currency import Currency
from seiflow.provenance.running import Lock, left_behind
from seiflow.provenance.steps import Step
from seiflow.status_parts import Part, failed_build, parts_of
from seiflow.study import Job, Study

STILL_RUNNING = 120.0
"""s; what was written to more recently belongs to a job that runs, whatever became of the run that started it."""

Name = Literal["done", "running", "stopped", "failed", "outdated", "waiting"]
Key = tuple[str, str, str]
"""Structure, calculator and property."""


@dataclass(frozen=True)
class State:
    """How one property of one structure with one calculator is getting on.

    Attributes:
        structure: Name of the structure.
        calculator: Name of the calculator.
        property: Name of the property.
        state: In a word.
        reason: One line: why it failed or waits, what changed, or how far it is; empty if there is nothing to say.
        advice: What to do; empty if nothing.
        parts_done: Jobs with a result, where the property is made of several.
        parts: How many there are; None where it is one job, or nobody knows yet.
        evaluations: Force evaluations that the running or stopped job has made.
        expected: How many such a job takes, roughly; None if nothing runs.
    """

    structure: str
    calculator: str
    property: str
    state: Name
    reason: str = ""
    advice: str = ""
    parts_done: int | None = None
    parts: int | None = None
    evaluations: int | None = None
    expected: int | None = None


class Watch:
    """The state of a study.

    Args:
        study: A checked study.
    """

    def __init__(self, study: Study) -> None:
        """Look whether a run is at work; the rest is read when it is asked for."""
        self._study = study
        self._currency = Currency(study)
        lock = Lock(Path(study.config.results))
        last, held = lock.last, lock.is_held()
        self.run = last if held and last and last.process is not None else None
        self.left_behind = None if held else left_behind(last)
        self._since = time.time() - STILL_RUNNING
        if self.run:
            self._since = min(self._since, lock.started)
        elif not held and last and last.process is None:  # it ended by itself, and its jobs before it
            self._since = max(self._since, lock.started)

    @cached_property
    def states(self) -> dict[Key, State]:
        """The state of every property, in the order of the study."""
        found = {key: self._state(job) for key, job in self._jobs.items()}
        return {key: state or self._waiting(self._jobs[key], found) for key, state in found.items()}

    @cached_property
    def _jobs(self) -> dict[Key, Job]:
        return {(job.structure, job.calculator, job.name): job for job in self._study.jobs}

    def _state(self, job: Job) -> State | None:
        """Return the state of a property as its own files tell it; None if there are none that do."""
        folder = Path(self._study.config.results) / job.structure / job.calculator
        final = Part(folder, job.name)
        key = (job.structure, job.calculator, job.name)
        if final.record.exists():
            reason = self._outdated(job)
            return State(*key, "outdated", reason, AGAIN) if reason else State(*key, "done")
        parts = list(parts_of(folder, job))
        left = [part for part in parts if not part.record.exists()]
        several = [part for part in parts if "/" in part.label]
        count = len(several) or None
        done = sum(part not in left for part in several) if several else None
        for part in left:
            if part.failure:
                return State(*key, "failed", one_line(part.failure), _advice(part), done, count)
        built = failed_build(folder) if job.name == "relaxation" else None
        if built:
            return State(*key, "failed", one_line(built), CORRECT)
        begun = [part for part in left if part.active is not None]
        if begun:
            return self._begun(job, max(begun, key=lambda part: part.active or 0.0), done, count)
        return State(*key, "waiting", "", "", done, count) if done else None

    def _begun(self, job: Job, part: Part, done: int | None, count: int | None) -> State:
        """Return the state of a property whose last job was started and has not ended by itself."""
        key = (job.structure, job.calculator, job.name)
        kind = {"vacancies": "vacancy", "hops": "hop", "sites": "vacancy"}.get(part.label.partition("/")[0])
        expected = SUPERCELL[kind] if kind and "/" in part.label else expected_evaluations(self._study, job)
        seconds = time.time() - (part.active or 0.0)
        progress = (
            f"{part.name}: {part.evaluations} of about {expected} evaluations, last heard of {in_words(max(seconds, 0.0))} ago"
        )
        if (part.active or 0.0) > self._since:
            return State(*key, "running", progress, "", done, count, part.evaluations, expected)
        reason = (
            f"{part.name} ended without a word after {part.evaluations} evaluations: stopped, killed, or out of time, memory or "
            "space on the disk"
        )
        return State(*key, "stopped", reason, RESUME, done, count, part.evaluations, expected)

    def _outdated(self, job: Job) -> str | None:
        step = Step(self._currency.results, f"{job.structure}/{job.calculator}/{job.name}.json")
        try:
            return self._currency.outdated(step) or self._currency.other_weights(step)
        except InputError as error:
            return one_line(str(error))

    def _waiting(self, job: Job, found: Mapping[Key, State | None], seen: frozenset[Key] = frozenset()) -> State:
        """Return the state of a property whose turn has not come, with the step that it waits for."""
        key = (job.structure, job.calculator, job.name)
        for need in self._needs(job):
            if need not in found or need in seen:
                continue
            state = found[need]
            if state is None:
                state = self._waiting(self._jobs[need], found, seen | {key})
                if state.reason:
                    return State(*key, "waiting", state.reason)
            if state.state == "failed":
                return State(*key, "waiting", f"for {_called(job, need)}, which failed")
            if state.state != "done":
                return State(*key, "waiting", f"for {_called(job, need)}")
        return State(*key, "waiting")

    def _needs(self, job: Job) -> Iterator[Key]:
        """Yield the properties whose results a property is made from."""
        study = self._study
        structure, calculator, name = job.structure, job.calculator, job.name
        ingredients = study.structures.get(structure).ingredients
        cheaper = study.calculators.get(calculator).starts_from if job.kind == "phase" else None
        if name not in ("relaxation", "softness", "barrier_check"):
            yield (structure, calculator, "relaxation")
        if name == "relaxation":
            yield from ((phase, calculator, "relaxation") for phase in ingredients)
            yield from ((phase, calculator, "elasticity") for phase in ingredients if job.kind == "interface")
        if name == "migration":
            yield from ((phase, calculator, "migration") for phase in ingredients)
        if cheaper and name in ("relaxation", "migration", "barrier_check"):
            yield (structure, cheaper, "migration" if name == "barrier_check" else name)
        if name == "defects":
            reservoir = study.reservoir(structure, calculator)
            yield from [(reservoir, calculator, "relaxation")] if reservoir else []
        if name == "charged_defects":
            yield from ((phase, calculator, "relaxation") for phase in study.competing(structure, calculator))


AGAIN = "run the study again: it is computed anew"
RESUME = (
    "give the same command again: it goes on from there. If it ends at the same place again, it needs more memory (memory_mb in "
    "the calculator's recipe) or time"
)
CORRECT = "correct what it says, then give the same command again: only what is missing is computed"
REPORT = "a mistake of the program: please report it with the log"
LONGEST = 400
"""Characters of a reason that are shown."""


def one_line(text: str) -> str:
    """Return a message as one line, cut off if it is very long."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _advice(part: Part) -> str:
    message = part.failure or ""
    return f"{REPORT} {part.log}" if message.startswith("unexpected ") else CORRECT


def _called(job: Job, need: Key) -> str:
    """Return what a property is called by another one that waits for it."""
    structure, calculator, name = need
    own = (structure, calculator) == (job.structure, job.calculator)
    return f"its {name}" if own else f"the {name} of {structure} with {calculator}"
