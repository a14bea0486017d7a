"""How easily ions pass through the bulk, along a boundary and across it, side by side for all structures."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from seiflow.report.collect import Case
from seiflow.report.wording import show

NAME_WIDTH = 31
HEADINGS = ("Bulk", "Along a", "Along b", "Across", "Hops computed")


@dataclass(frozen=True)
class Passable:
    """Percolation barriers of one structure with one calculator, as text.

    Attributes:
        bulk: Of the phase, or of each phase that a boundary is made of.
        barriers: Along a and b, in the plane, and across it; empty for a phase.
        hops: How many of the hops were computed; empty for a phase, of which all are.
        failed: How many could not be.
    """

    structure: str
    calculator: str
    bulk: tuple[str, ...]
    barriers: tuple[str, str, str]
    hops: str
    failed: int = 0


def passable(cases: Iterable[Case]) -> list[Passable]:
    """Return a row for each case that has percolation barriers; nothing if there is no boundary among them."""
    chosen = list(cases)
    if not any(case.paths for case in chosen):
        return []
    return [row for case in chosen for row in _rows(case)]


def _rows(case: Case) -> list[Passable]:
    if case.migration:
        bulk = show(case.migration.percolation_barrier_3d_ev, "eV")
        return [Passable(case.structure, case.calculator, (bulk,), ("", "", ""), "")]
    if case.paths is None:
        return []
    named = len(case.paths.bulk) > 1
    bulks = [(one.phase, show(one.percolation_barrier_3d_ev, "eV")) for one in case.paths.bulk]
    along_a, along_b, across = (found.text for found in case.paths.percolation)
    bulk_texts = tuple(f"{phase} {text}" if named else text for phase, text in bulks)
    hops = f"{len(case.paths.hops)} of {len(case.paths.network)}"
    barriers = (along_a, along_b, across)
    return [Passable(case.structure, case.calculator, bulk_texts, barriers, hops, len(case.paths.failed))]


def format_passable(rows: Sequence[Passable]) -> str:
    """Return the rows as a table for a terminal; nothing if there are none."""
    if not rows:
        return ""
    lines = [_line("", HEADINGS)]
    for row in rows:
        numbers = itertools.chain([(*row.barriers, row.hops)], itertools.repeat(("",) * (len(HEADINGS) - 1)))
        for name, bulk in itertools.zip_longest(_names(row), row.bulk or ("",), fillvalue=""):
            lines.append(_line(name, (bulk, *next(numbers))))
    return "\n".join(["Percolation barriers", *lines])


def _names(row: Passable) -> tuple[str, ...]:
    """Return structure and calculator, on two lines if they are long."""
    together = f"{row.structure} · {row.calculator}"
    return (together,) if len(together) <= NAME_WIDTH else (row.structure, f"  · {row.calculator}")


def _line(name: str, texts: Sequence[str]) -> str:
    bulk, *barriers, hops = texts
    line = f"  {name:<{NAME_WIDTH}.{NAME_WIDTH}}{bulk:>16}" + "".join(f"{text:>15}" for text in barriers)
    return f"{line}  {hops}".rstrip()
