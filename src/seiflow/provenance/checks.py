"""What is wrong with results by their digests alone: files edited, swapped or gone since a number was made from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from seiflow.calculators.recipes import CalculatorRecipe, weight_file
from seiflow.errors import InputError, SeiflowError
from seiflow.provenance.results import Results
from seiflow.provenance.rules import BUILT
from seiflow.provenance.steps import Step, step_of, steps
from seiflow.records import record_digest


@dataclass(frozen=True)
class Finding:
    """Something wrong with a file.

    Attributes:
        subject: The file.
        text: What is wrong.
        results: Names of the results that it concerns.
    """

    subject: str
    text: str
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return a line, with the results that it concerns."""
        few = 4
        named = ", ".join(self.results[:few]) + (f" and {len(self.results) - few} more" if len(self.results) > few else "")
        return f"{self.subject}: {self.text}" + (f" ({named})" if named else "")


@dataclass
class Checked:
    """What the digests say.

    Attributes:
        findings: What is wrong.
        notes: What could not be checked.
        steps: The steps whose records can be read.
        unsealed: Records without a digest of themselves.
        spoilt: Why steps cannot be computed again, by the names of their records.
    """

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    unsealed: int = 0
    spoilt: dict[str, str] = field(default_factory=dict)


def check(results: Results) -> Checked:
    """Compare every digest that the records hold with the file that it is of."""
    found = Checked(notes=list(results.notes))
    told: dict[tuple[str, str], list[str]] = {}
    for step in steps(results):
        try:
            problems = list(_problems(step, found))
            found.steps.append(step)
        except InputError as error:
            found.findings.append(Finding(str(results.path(step.name)), str(error).removeprefix(f"{results.path(step.name)}: ")))
            continue
        for subject, text, spoils in problems:
            told.setdefault((subject, text), []).append(step.name)
            if spoils:
                found.spoilt.setdefault(step.name, f"{subject}: {text}")
    found.findings += [Finding(subject, text, tuple(names)) for (subject, text), names in told.items()]
    found.findings += _orphans(results, found.steps)
    if found.unsealed:
        text = "results hold no digest of themselves; an older version of seiflow made them. Edited numbers show when recomputed"
        found.notes.append(f"{found.unsealed} {text}")
    return found


Problem = tuple[str, str, bool]
"""The file, what is wrong with it, and whether the step cannot be computed again because of it."""


def _problems(step: Step, found: Checked) -> Iterator[Problem]:
    results, file = step.results, str(step.results.path(step.name))
    if step.is_build:
        return
    _ = step.command
    place = {"structure": step.structure, "calculator": step.calculator}
    for key, wanted in place.items():
        if step.record[key] != wanted:
            yield file, f"says that its {key} is {step.record[key]!r}, but lies in a folder of {wanted!r}", True
    recorded = step.provenance.get("record_sha256")
    if recorded is None:
        found.unsealed += 1
    elif recorded != record_digest(step.record):
        yield file, "edited: its content does not have the digest that was written with it", False
    for name, digest in step.digests("files_sha256").items():
        path = results.path(step.name).parent / PurePosixPath(name).name
        yield from _compared(results, path, digest, "edited since it was written", spoils=False)
    for what, digest in step.digests("recipes_sha256").items():
        yield from _recipe(step, what, digest)
    for what, path in step.inputs.items():
        digest = step.digests("inputs_sha256")[what]
        yield from _compared(results, path, digest, "not the file that these were made from", spoils=True)
    yield from weight_problems(results.calculator(step.calculator), step.digests("weights_sha256"))


def _compared(results: Results, path: Path, digest: str, text: str, *, spoils: bool) -> Iterator[Problem]:
    there = results.digest(path)
    if there is None:
        yield str(path), "missing, and these results were made from it" if spoils else "missing", spoils
    elif there != digest:
        yield str(path), text, spoils


def _recipe(step: Step, what: str, digest: str) -> Iterator[Problem]:
    try:
        path = step.results.recipe_file(what, step.structure, step.calculator)
    except KeyError:
        path = None
    if path is None:
        name = {"structure": step.structure, "calculator": step.calculator}.get(what, what)
        yield f"recipe of {name}", "not found in the study's library or the package", True
    else:
        yield from _compared(step.results, path, digest, "edited since it was used", spoils=True)


def weight_problems(recipe: CalculatorRecipe | None, recorded: dict[str, str]) -> Iterator[Problem]:
    """Yield what is wrong with the files that define a calculator; a missing one is no fault of the results."""
    for entry, digest in recorded.items():
        there = weight_digest(entry)
        if there is not None and there != digest:
            name = recipe.name if recipe else "the calculator"
            yield entry, f"weights of {name} swapped: not the file that was used", True


def weight_digest(entry: str) -> str | None:
    """Return the sha256 of a file that defines a calculator; None if it is not here."""
    from seiflow.records import digest_file

    try:
        return digest_file(weight_file(entry))
    except (OSError, SeiflowError, ImportError, ValueError):
        return None


def _orphans(results: Results, readable: Iterable[Step]) -> Iterator[Finding]:
    """Yield structures beside which the record is missing that was written with them."""
    known = {name for step in readable for name in (step.name, step.companion) if name}
    for name in results.names:
        if name.endswith(".extxyz") and name not in known and PurePosixPath(name).name != BUILT:
            try:
                record = step_of(results, name).name
            except InputError:
                continue
            if not results.path(record).is_file():
                yield Finding(str(results.path(record)), f"missing, but {name} lies there")
