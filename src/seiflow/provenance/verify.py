"""Results against what they were made from: every digest first, then some or all steps computed again."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seiflow.provenance.checks import Checked, Finding, check
from seiflow.provenance.foreign import foreign_problems
from seiflow.provenance.recompute import DIFFERS, NOT, Outcome, obstacle, recompute
from seiflow.provenance.results import Results
from seiflow.provenance.steps import Step

SHOWN = 3
"""Differences of a step that are printed."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Verdict:
    """What a verification found."""

    checked: Checked
    outcomes: tuple[Outcome, ...]

    @property
    def findings(self) -> list[Finding]:
        """All that is wrong by digests."""
        return self.checked.findings

    @property
    def problem(self) -> str | None:
        """What is wrong, in one line: a difference, or that nothing could be read or computed again; None if all is well."""
        states = [outcome.state for outcome in self.outcomes]
        if not self.checked.steps and not self.findings:
            return "holds no results"
        if not self.findings and DIFFERS not in states and set(states) != {NOT}:
            return None
        return (
            f"{len(self.findings)} wrong by digests; of {len(states)} steps to be computed again "
            f"{states.count(DIFFERS)} differ and {states.count(NOT)} could not be"
        )


def verify(
    results: Results, sample: int | None, say: Say, *, seed: int = 0, exact: bool = False, any_version: bool = False
) -> Verdict:
    """Check results.

    Args:
        results: The results.
        sample: Steps computed again, None for all.
        say: Told what is going on, in lines.
        seed: Of the choice of the sample.
        exact: Take no difference for noise.
        any_version: Compute again with other versions than were used, too.
    """
    from seiflow.provenance.made_again import table_problem

    checked = check(results)
    problem = table_problem(results)
    if problem:
        checked.findings.append(problem)
    for note in dict.fromkeys(checked.notes):
        say(f"note: {note}")
    for finding in checked.findings:
        say(f"wrong: {finding}")
    say(f"{len(checked.steps)} results read, {len(checked.findings)} wrong by their digests")
    outcomes = []
    foreign = "; ".join(foreign_problems(results.library))
    for step in chosen(checked.steps, sample, seed):
        reason = foreign or checked.spoilt.get(step.name) or obstacle(step, any_version=any_version)
        outcomes.append(Outcome(step.name, NOT, reason) if reason else recompute(step, exact=exact))
        say(_line(outcomes[-1]))
    return Verdict(checked, tuple(outcomes))


def chosen(steps: Sequence[Step], sample: int | None, seed: int) -> list[Step]:
    """Return the steps to compute again: a sample of those known, in their order."""
    if sample is None or sample >= len(steps):
        return list(steps)
    numbers = sorted(random.Random(seed).sample(range(len(steps)), sample))  # noqa: S311 - no secret
    return [steps[number] for number in numbers]


def _line(outcome: Outcome) -> str:
    text = f"{outcome.name}: {outcome.state}"
    if outcome.reason:
        return f"{text}: {outcome.reason}"
    if not outcome.differences:
        return text
    if outcome.state != DIFFERS:
        first = outcome.differences[0]
        return f"{text}; the largest change, of {first.size:.2g} of what is allowed: {first.key}: {first.text}"
    shown = "".join(f"\n    {one.key}: {one.text}" for one in outcome.differences[:SHOWN])
    more = len(outcome.differences) - SHOWN
    return f"{text}{shown}" + (f"\n    and {more} more" if more > 0 else "")
