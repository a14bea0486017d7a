"""How easily ions pass through the bulk, along a boundary and across it, side by side for all structures."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from seiflow.report.collect import Case
from seiflow.report.interstitial_view import InterstitialMigration
from seiflow.report.interstitials import in_three_dimensions, paths_of
from seiflow.report.wording import show, show_least

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
    """Return a row for each case that has percolation barriers, and one more for those of interstitials.

    There are none if there is no boundary among the cases.
    """
    chosen = list(cases)
    if not any(case.paths or (case.interstitial_migration and case.interstitial_migration.planar) for case in chosen):
        return []
    return [row for case in chosen for row in (*_vacancies(case), *_interstitials(case, chosen))]


def _vacancies(case: Case) -> Iterator[Passable]:
    if case.migration:
        bulk = show(case.migration.percolation_barrier_3d_ev, "eV")
        yield Passable(case.structure, case.calculator, (bulk,), ("", "", ""), "")
    if case.paths:
        bulks = [(one.phase, show(one.percolation_barrier_3d_ev, "eV")) for one in case.paths.bulk]
        along_a, along_b, across = (found.text for found in case.paths.percolation)
        hops = f"{len(case.paths.hops)} of {len(case.paths.network)}"
        barriers = (along_a, along_b, across)
        yield Passable(case.structure, case.calculator, _named(bulks), barriers, hops, len(case.paths.failed))


def _interstitials(case: Case, cases: Sequence[Case]) -> Iterator[Passable]:
    """Yield the row of ions that are added; the bulk of a phase is told if the study has it too."""
    record = case.interstitial_migration
    if record is None:
        return
    name = f"{case.structure}, added"
    if not record.planar:
        yield Passable(name, case.calculator, (_of_crystal(record),), ("", "", ""), "")
        return
    same = {other.structure: other.interstitial_migration for other in cases if other.calculator == case.calculator}
    crystals = [(phase, same.get(phase)) for phase in case.phases]
    bulks = [(phase, _of_crystal(found)) for phase, found in crystals if found]
    along_a, along_b, across = (show_least(found.value, found.least, "eV") for found in paths_of(record))
    hops = f"{len(record.hops)} of {len(record.hops) + len(record.not_computed)}"
    failed = sum(hop.problem is not None for hop in record.hops)
    yield Passable(name, case.calculator, _named(bulks), (along_a, along_b, across), hops, failed)


def _of_crystal(record: InterstitialMigration) -> str:
    found = in_three_dimensions(record)
    return show_least(found.value, found.least, "eV")


def _named(bulks: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the barriers of phases, with their names if there are several."""
    return tuple(f"{phase} {text}" if len(bulks) > 1 else text for phase, text in bulks)


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
