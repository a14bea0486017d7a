"""Logs of the parts of a result, packed into one file: what hundreds of jobs wrote must not stay as hundreds of files.

A job that makes one result of the vacancies or hops of a structure packs their logs, once they all have ended: ``parts.log`` has
a section for each, ``parts.tsv`` a row of Snakemake's benchmark for each, with its name in front. The log of a part without
a result, which failed or runs again, is left alone.
"""

import contextlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from seiflow.errors import InputError
from seiflow.records import write_text

PARTS = ("hops", "vacancies", "sites")
"""Folders with the results of parts, beside ``logs``."""

PACKED = "parts"

_HEADING = re.compile(r"^#### (\S+)\n", re.MULTILINE)


def pack_logs(folder: Path) -> None:
    """Pack the logs of all parts of a structure that have a result; where nothing can be written they stay as they are.

    Args:
        folder: Of the structure with its calculator.
    """
    logs = folder / "logs"
    names = sorted({path.stem for part in PARTS for path in (folder / part).glob("*.json")})
    with contextlib.suppress(OSError, UnicodeDecodeError, InputError):
        _pack(logs / f"{PACKED}.log", [logs / f"{name}.log" for name in names], _sections, _log)
        _pack(logs / f"{PACKED}.tsv", [logs / f"{name}.tsv" for name in names], _rows, _table)


def _pack(
    packed: Path, files: Iterable[Path], read: Callable[[str], dict[str, str]], write: Callable[[dict[str, str]], str]
) -> None:
    """Add files to what is packed, in place of older ones of their names, then delete them."""
    found = [file for file in files if file.is_file()]
    if not found:
        return
    known = read(packed.read_text(encoding="utf-8")) if packed.exists() else {}
    write_text(packed, write(known | {file.stem: file.read_text(encoding="utf-8") for file in found}))
    for file in found:
        file.unlink(missing_ok=True)


def _sections(text: str) -> dict[str, str]:
    _, *parts = _HEADING.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _log(sections: dict[str, str]) -> str:
    return "".join(f"#### {name}\n{text.rstrip()}\n" for name, text in sorted(sections.items()))


def _rows(text: str) -> dict[str, str]:
    """Return each row as the table of its own that it was."""
    heading, *rows = (line.partition("\t") for line in text.splitlines())
    return {name: f"{heading[2]}\n{values}\n" for name, _, values in rows}


def _table(tables: dict[str, str]) -> str:
    """Return one table; the columns are those of the last one."""
    last = ""
    rows = []
    for name, text in sorted(tables.items()):
        last, *values = text.splitlines() or [""]
        rows += [f"{name}\t{line}" for line in values]
    return "\n".join([f"job\t{last}", *rows]) + "\n"
