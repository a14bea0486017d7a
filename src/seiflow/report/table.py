"""The numbers of a study beside published ones: a tidy CSV for programs, an aligned table for the terminal."""

import csv
import io
import textwrap
from pathlib import Path

from seiflow.records import write_text
from seiflow.report.collect import Case, Collected
from seiflow.report.percolation import format_passable, passable
from seiflow.report.quantities import Comparison, References, compare, is_cubic, summary_keys
from seiflow.report.softness_view import Softness
from seiflow.report.wording import Number, cite, kind, show

COLUMNS = (
    "structure",
    "calculator",
    "property",
    "value",
    "unit",
    "reference_value",
    "reference_method",
    "reference_evidence",
    "reference_id",
    "deviation_percent",
    "source",
    "corrected_for_softness",
)

WIDTH = 110
"""Columns of the terminal table."""


def write_table(path: Path, collected: Collected, references: References) -> None:
    """Write one row for each computed number and published value; a number without published value has one row."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in collected.cases:
        for comparisons in compare(references, case).values():
            writer.writerows(_row(comparison) for comparison in comparisons)
    write_text(path, buffer.getvalue())


def _row(comparison: Comparison) -> list[str]:
    quantity, reference = comparison.quantity, comparison.reference
    row = [comparison.structure, comparison.calculator, quantity.key, _plain(quantity.value), quantity.unit]
    corrected = _plain(comparison.corrected)
    if reference is None:
        return [*row, "", "", "", "", "", "", corrected]
    value = "..".join(map(_plain, reference.value)) if isinstance(reference.value, tuple) else _plain(reference.value)
    deviation = comparison.deviation_percent
    percent = "" if deviation is None else f"{deviation:.2f}"
    doi = f"https://doi.org/{reference.source.doi}" if reference.source.doi else ""
    source = " ".join(part for part in (cite(reference), doi) if part)
    return [*row, value, reference.method, reference.evidence, reference.id, percent, source, corrected]


def _plain(value: Number) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else f"{value:.10g}"


def format_table(collected: Collected, references: References) -> str:
    """Return the headline numbers, a block for each structure and calculator, and what is missing, for a terminal."""
    blocks = [_block(case, references) for case in collected.cases if case.records]
    blocks += [text] if (text := format_passable(passable(collected.cases))) else []
    if collected.missing:
        blocks.append("\n".join(["Missing", *_missing(collected)]))
    return "\n\n".join(blocks) + "\n"


def _block(case: Case, references: References) -> str:
    compared = compare(references, case)
    shown = _wanted(case, compared)
    lines = [_heading(case)]
    lines += [_line(compared[key][0], case.softness) for key in summary_keys(case) if key in shown]
    lines += _verdicts(case)
    if case.softness:
        lines.append(f"  corrected for softness, an estimate: divided by the force scale, {case.softness.in_words}")
    lines += [line for name, warning in case.warnings for line in _wrap(f"warning: {name}: {warning}", "  ")]
    return "\n".join(lines)


def _wanted(case: Case, compared: dict[str, tuple[Comparison, ...]]) -> set[str]:
    """Leave out the averages where the stiffness itself is short, and the directional extremes, which share a line."""
    hidden = {"young_modulus_min_gpa", "young_modulus_max_gpa", "poisson_ratio"}
    if case.elasticity and is_cubic(case.elasticity):
        hidden |= {"bulk_modulus_gpa", "shear_modulus_gpa", "young_modulus_gpa"}
    return set(compared) - hidden


def _heading(case: Case) -> str:
    evaluations = sum(record.force_evaluations for record in case.records.values())
    group = f"   {case.relaxation.space_group}" if case.relaxation else ""
    title = f"{case.structure} · {case.calculator}{group}   {evaluations} force evaluations"
    names = ["computed", *(["corrected"] if case.softness else []), "published", "deviation"]
    columns = "".join(f"{name:>{width}}" for name, width in zip(names, _widths(case.softness), strict=True))
    return f"{title[:WIDTH]}\n  {'':<26}{columns}   source"


def _widths(softness: Softness | None) -> tuple[int, ...]:
    """Return the widths of the columns with numbers; a corrected value has one where the softness is known."""
    return (15, 11, 15, 10) if softness else (16, 22, 12)


def _line(comparison: Comparison, softness: Softness | None) -> str:
    reference = comparison.reference
    label = textwrap.shorten(comparison.quantity.label, 26, placeholder="…")
    texts = [comparison.quantity.text, *([comparison.corrected_text] if softness else [])]
    texts += [comparison.published, comparison.deviation]
    line = f"  {label:<26}" + "".join(f"{text:>{width}}" for text, width in zip(texts, _widths(softness), strict=True))
    if reference is None:
        return line.rstrip()
    return f"{line}   {kind(reference)}, {reference.evidence} ({reference.id})"[:WIDTH]


def _verdicts(case: Case) -> list[str]:
    lines = []
    if case.elasticity:
        low, high = case.elasticity.young_modulus_min_gpa, case.elasticity.young_modulus_max_gpa
        extremes = show((low, high), "GPa") if low is not None and high is not None else show(None, "")
        lines.append(f"  {'E, softest to stiffest':<26}{extremes:>16}")
        lines.append(f"  {'Born stable':<26}{show(case.elasticity.born_stable, ''):>16}")
    if case.phonons:
        lines.append(f"  {'Phonons stable':<26}{show(case.phonons.stable, ''):>16}")
    if case.paths:
        lines.append(f"  {'Hops computed':<26}{case.paths.progress:>16}")
    return lines


def _missing(collected: Collected) -> list[str]:
    texts = [f"{item.structure} · {item.calculator} · {item.name}: {item.reason}" for item in collected.missing]
    return [line for text in texts for line in _wrap(text, "  ")]


def _wrap(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)
