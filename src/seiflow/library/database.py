"""Structures as rows of an ASE database, in a file or on a PostgreSQL server; the same structure is never stored twice."""

import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError
from seiflow.library.entries import Entry
from seiflow.library.files import certificate_json

if TYPE_CHECKING:
    from ase.db.core import Database

LOCKS = {"db": "BEGIN IMMEDIATE", "postgresql": "SELECT pg_advisory_xact_lock(5349666)"}
"""What keeps other writers waiting until the end of a transaction, by type of database; it dies with the process."""

EXTRA = "pip install 'seiflow[postgresql]'"


def is_address(target: str) -> bool:
    """Tell whether a target is the address of a server rather than a path."""
    return re.match(r"postgres(ql)?://", target) is not None


def shown(target: str) -> str:
    """Return a target without its password."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", target)


def export_rows(entries: Sequence[Entry], target: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Write structures as rows, all of them or none; returns the names written, and those left out as (name, name in there).

    Args:
        entries: The structures.
        target: Path of an SQLite file (``.db``), or ``postgresql://user:password@host/database``.

    Raises:
        InputError: if the database cannot be reached or written, or is none.
    """
    if not is_address(target) and Path(target).suffix != ".db":
        message = f"{shown(target)}: a database is a file NAME.db or an address postgresql://user:password@host/database"
        raise InputError(message)
    try:
        database = _connect(target)
        _make_tables(database)
        return _write(entries, database)
    except (OSError, sqlite3.Error) as error:
        raise InputError(_refusal(target, error)) from error
    except Exception as error:
        if not type(error).__module__.startswith("psycopg2"):
            raise
        raise InputError(_refusal(target, error)) from error


def _refusal(target: str, error: Exception) -> str:
    reason = shown(" ".join(str(error).split()))
    return f"{shown(target)}: the database cannot be written ({reason}). Check address, rights and free space; nothing was added."


def _connect(target: str) -> "Database":
    from ase.db import connect

    try:
        return connect(target, use_lock_file=False)
    except ImportError as error:
        message = f"{shown(target)}: PostgreSQL needs a package that is not installed ({error.name}); {EXTRA}"
        raise InputError(message) from error


def _make_tables(database: "Database") -> None:
    """Make the tables if there are none; nobody else makes them at the same time."""
    with database:
        _lock(database)
        database.count("id=0")


def _lock(database: "Database") -> None:
    database.connection.cursor().execute(LOCKS[database.type])


def _write(entries: Sequence[Entry], database: "Database") -> tuple[list[str], list[tuple[str, str]]]:
    written: list[str] = []
    skipped: list[tuple[str, str]] = []
    with database:
        _lock(database)
        for entry in entries:
            known = next(database.select(digest=entry.digest, limit=1), None)
            if known:
                skipped.append((entry.name, str(known.get("name"))))
                continue
            _write_row(entry, database)
            written.append(entry.name)
    return written, skipped


def _write_row(entry: Entry, database: "Database") -> None:
    atoms = entry.built.atoms
    data: dict[str, object] = {"certificate": certificate_json(entry.built.certificate)}
    if "planes" in atoms.info:
        data |= {"planes": list(atoms.info["planes"])}
    if "grain" in atoms.arrays:
        data |= {"grain": atoms.arrays["grain"].tolist()}
    try:
        database.write(atoms, key_value_pairs=_pairs(entry), data=data)
    except ValueError as error:
        message = f"{entry.name}: an ASE database takes no text that reads as a number ({error}); rename the structure"
        raise InputError(message) from error


def _pairs(entry: Entry) -> dict[str, str | int | float]:
    pairs: dict[str, str | int | float] = {
        "name": entry.name,
        "kind": entry.recipe.kind,
        "digest": entry.digest,
        "phases": ",".join(entry.phases),
    }
    if entry.planes:
        pairs["plane"] = " ".join("({} {} {})".format(*plane) for plane in entry.planes)
    if entry.sigma is not None:
        pairs["sigma"] = entry.sigma
    if entry.strain is not None:
        pairs["strain"] = entry.strain
    return pairs
