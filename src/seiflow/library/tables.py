"""Tables and lists for the terminal."""

import json
from collections.abc import Sequence

NOTHING = "–"

ROUNDING = 1e-9
"""Numbers below are shown as zero."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with columns as wide as their widest cell."""
    lines = [tuple(headings), *map(tuple, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def text_of(value: object) -> str:
    """Return a value as people read it: few digits, a dash for nothing."""
    if value is None or value in ([], {}, ()):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{0.0 if abs(value) < ROUNDING else value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{words(str(key))} {text_of(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(text_of, value))
    return str(value)


def words(key: str) -> str:
    """Return a key as words, with its unit in a form that is read."""
    for ending, unit in (
        ("_e_per_angstrom2", ", e/Å²"),
        ("_j_per_m2", ", J/m²"),
        ("_e_angstrom", ", e Å"),
        ("_angstrom2", ", Å²"),
        ("_angstrom", ", Å"),
        ("_degree", ", °"),
        ("_gpa", ", GPa"),
    ):
        if key.endswith(ending):
            return key.removesuffix(ending).replace("_", " ") + unit
    return key.replace("_", " ")


def plane_text(planes: Sequence[Sequence[int]]) -> str:
    """Return Miller indices of one or several planes."""
    return " | ".join("({} {} {})".format(*plane) for plane in planes) or NOTHING


def json_text(value: object) -> str:
    """Return a value as JSON for programs."""
    from seiflow.records import plain

    return json.dumps(plain(value), indent=1, ensure_ascii=False)
