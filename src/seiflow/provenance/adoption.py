"""Results that were copied here: Snakemake takes them by the times of their files, which a copy changes, so they are compared.

Those that still are what the study asks for get one new time, so that nothing is computed again. The others get the oldest time
there is, and are.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from seiflow.errors import InputError
from seiflow.provenance.currency import Currency
from seiflow.provenance.rules import BUILT
from seiflow.provenance.steps import Step, steps
from seiflow.study import Study

AHEAD = 5.0
"""s; a file this much in the future is told. Clocks of file servers differ by less."""

OLDEST = 1.0
"""s; the time that an outdated result gets. Snakemake takes zero for none."""

SHOWN = 5
"""Outdated results that a message names."""


@dataclass(frozen=True)
class Adoption:
    """What became of results that were copied.

    Attributes:
        kept: Steps that are not computed again.
        outdated: Those that are, by name, with the reason.
    """

    kept: int
    outdated: dict[str, str]

    def __str__(self) -> str:
        """Tell a user what is kept and what not."""
        if not self.kept and not self.outdated:
            return ""
        told = f"results of another folder or machine: {self.kept} of {self.kept + len(self.outdated)} steps are kept"
        if not self.outdated:
            return f"{told}, their recipes, inputs and settings are those of the study"
        lines = [f"  {name}: {reason}" for name, reason in list(self.outdated.items())[:SHOWN]]
        more = len(self.outdated) - len(lines)
        lines += [f"  and {more} more"] if more else []
        return "\n".join([f"{told}, the others are computed again:", *lines])


def adopt(study: Study, now: float) -> Adoption:
    """Set the times of results by what they were made from, and tell what is kept.

    Args:
        study: That wants them.
        now: The time that those which are kept get, in seconds as files have it.
    """
    currency = Currency(study)
    fresh: list[Path] = []
    stale: list[Path] = []
    kept = 0
    outdated: dict[str, str] = {}
    for step in steps(currency.results):
        if step.is_build or (step.structure, step.calculator) not in currency.wanted:
            continue
        reason = _reason(currency, step)
        (stale if reason else fresh).extend(_files(step))
        kept += reason is None
        outdated |= {step.name: reason} if reason else {}
    for paths, moment in ((stale, OLDEST), (fresh, now)):
        for path in paths:
            os.utime(path, (moment, moment))
    return Adoption(kept, outdated)


def _reason(currency: Currency, step: Step) -> str | None:
    try:
        return currency.outdated(step) or currency.damaged(step) or currency.other_weights(step)
    except InputError as error:
        return str(error)


def _files(step: Step) -> Iterator[Path]:
    """Yield the files of a step that are there, with the structure that was built for it.

    Its benchmark is among them: Snakemake takes the oldest of all for the time of a result.
    """
    names = [step.name, *([step.companion] if step.companion else [])]
    names += [f"{step.folder}/logs/{PurePosixPath(step.name).stem}.tsv"]
    names += [f"{step.folder}/{BUILT}"] if step.command == "relax" else []
    yield from (path for path in map(step.results.path, names) if path.is_file())


def from_the_future(paths: list[Path], now: float) -> dict[Path, float]:
    """Return the files that are of a later time than now, with how many seconds."""
    ages = {path: path.stat().st_mtime - now for path in paths if path.exists()}
    return {path: ahead for path, ahead in ages.items() if ahead > AHEAD}


def in_words(seconds: float) -> str:
    """Return a span of time in a unit that suits it."""
    for unit, length in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
