"""The state of a study for people, as a table, and for programs, as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from seiflow.provenance.running import Run
from seiflow.status import State

FEW = 20
"""Structures that each have a line; of more, those that are alike share one."""

SHOWN = 20
"""Reasons that are listed."""

NAMED = 3
"""Structures named in a shared line."""

NOT_ASKED = "-"
ORDER = ("done", "running", "stopped", "failed", "outdated", "waiting")


def overview(states: Sequence[State], run: Run | None, note: str | None = None) -> str:
    """Return the whole state: a table for each calculator, what runs, what failed and why, what to do, and counts.

    Args:
        states: Of every property.
        run: The one at work.
        note: What else a user should know.
    """
    calculators = dict.fromkeys(state.calculator for state in states)
    parts = [_table(name, [state for state in states if state.calculator == name]) for name in calculators]
    parts += [f"at work: {run}"] if run else []
    parts += [note] if note else []
    parts += _section("running", states)
    parts += _section("stopped", states)
    parts += _failures(states)
    parts += _section("outdated", states)
    return "\n\n".join([*parts, counts(states)])


def failures(states: Sequence[State]) -> str:
    """Return only what did not end well and what to do, then counts."""
    return "\n\n".join([*_section("stopped", states), *_failures(states), counts(states)])


def as_json(states: Sequence[State], run: Run | None) -> str:
    """Return the state as JSON: every property, how many are in each state, and the run at work."""
    found = {"run": asdict(run) if run else None, "counts": _counted(states), "properties": [asdict(state) for state in states]}
    return json.dumps(found, indent=1, ensure_ascii=False)


def counts(states: Sequence[State]) -> str:
    """Return how many properties are in each state, in one line."""
    counted = _counted(states)
    others = [f"{number} {name}" for name, number in counted.items() if name != "done" and number]
    return ", ".join([f"{counted['done']} of {len(states)} done", *others])


def _counted(states: Iterable[State]) -> dict[str, int]:
    counted = Counter(state.state for state in states)
    return {name: counted[name] for name in ORDER}  # type: ignore[index] # the order holds all states


def _table(calculator: str, states: Sequence[State]) -> str:
    columns = list(dict.fromkeys(state.property for state in states))
    cells: dict[str, dict[str, str]] = {}
    for state in states:
        cells.setdefault(state.structure, {})[state.property] = _cell(state)
    rows = {structure: tuple(row.get(name, NOT_ASKED) for name in columns) for structure, row in cells.items()}
    lines = _lines(rows)
    first = max(len(calculator), *(2 + len(name) for name, _ in lines))
    widths = [max(len(name), *(len(row[number]) for _, row in lines)) for number, name in enumerate(columns)]
    table = [(calculator, tuple(columns)), *((f"  {name}", row) for name, row in lines)]
    return "\n".join(
        f"{name:{first}s}  {'  '.join(f'{cell:{width}s}' for cell, width in zip(row, widths, strict=True))}".rstrip()
        for name, row in table
    )


def _lines(rows: Mapping[str, tuple[str, ...]]) -> list[tuple[str, tuple[str, ...]]]:
    """Return the lines of a table: one for each structure, or one for all that are alike if they are many."""
    if len(rows) <= FEW:
        return list(rows.items())
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, row in rows.items():
        alike.setdefault(row, []).append(name)
    return [(_named(names), row) for row, names in alike.items()]


def _named(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _cell(state: State) -> str:
    unfinished = state.parts is not None and state.state not in ("done", "outdated")
    return f"{state.state} {state.parts_done}/{state.parts}" if unfinished else state.state


def _section(name: str, states: Sequence[State]) -> list[str]:
    """Return what there is to say of the properties in a state, those with the same reason together."""
    lines = _told([state for state in states if state.state == name])
    advice = dict.fromkeys(state.advice for state in states if state.state == name and state.advice)
    more = [f"  and {len(lines) - SHOWN} more; --json tells all"] if len(lines) > SHOWN else []
    return ["\n".join([*lines[:SHOWN], *more, *(f"  to do: {text}" for text in advice)])] if lines else []


def _failures(states: Sequence[State]) -> list[str]:
    section = _section("failed", states)
    waiting = sum(state.state == "waiting" and state.reason.endswith("which failed") for state in states)
    return [f"{section[0]}\n  {waiting} waiting for what failed"] if section and waiting else section


def _told(states: Sequence[State]) -> list[str]:
    """Return a line for each reason; one change may make many outdated, and they share it."""
    alike: dict[tuple[str, ...], list[State]] = {}
    for state in states:
        place = () if state.state == "outdated" else (state.structure, state.calculator)
        alike.setdefault((*place, state.reason), []).append(state)
    return [f"{_whose(group)} {group[0].state}: {group[0].reason}" for group in alike.values()]


def _whose(states: Sequence[State]) -> str:
    first = states[0]
    names = ", ".join(dict.fromkeys(state.property for state in states))
    pairs = dict.fromkeys((state.structure, state.calculator) for state in states)
    return f"{first.structure} {first.calculator} {names}" if len(pairs) == 1 else f"{len(states)} properties ({names})"
