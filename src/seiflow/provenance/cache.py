"""What is in the cache of finished steps, and what of it is old or damaged."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from seiflow.store import Entry, Store
from seiflow.store_folder import remove

SECONDS_PER_DAY = 86400.0
BYTES_PER_GB = 1e9


@dataclass(frozen=True)
class Row:
    """Entries of one kind of step of one structure with one calculator.

    Attributes:
        structure: Its name.
        calculator: Its name.
        step: Kind of the step; ``hop`` for all hops.
        entries: How many there are.
        size_bytes: Of all of them.
        used: When one of them was last found or kept, s since the epoch.
    """

    structure: str
    calculator: str
    step: str
    entries: int
    size_bytes: int
    used: float


@dataclass(frozen=True)
class Pruned:
    """What was removed.

    Attributes:
        entries: How many entries.
        size_bytes: Of all of them.
        of_others: How many more would have been, but belong to other users.
        left_bytes: What the cache holds now.
    """

    entries: int
    size_bytes: int
    of_others: int
    left_bytes: int


def contents(store: Store) -> list[Row]:
    """Return what is in a store, by structure, calculator and kind of step."""

    def kind(entry: Entry) -> tuple[str, str, str]:
        structure, calculator, step = entry.names
        return structure, calculator, str(entry.parts.get("step", step)).partition(" ")[0]

    rows = []
    for names, group in groupby(sorted(_readable(store), key=kind), kind):
        entries = list(group)
        size = sum(entry.size_bytes for entry in entries)
        rows.append(Row(*names, len(entries), size, max(entry.used for entry in entries)))
    return rows


def checked(store: Store) -> Iterator[tuple[Path, int, str | None]]:
    """Yield every entry of a store with the user id of its owner, and what is wrong with it: None if it is sound."""
    for entry in store.entries():
        if isinstance(entry, Entry):
            yield entry.folder, entry.owner, entry.problem()
        elif entry.exists():
            yield entry, entry.lstat().st_uid, "its manifest cannot be read"


def prune(
    store: Store, *, older_than_days: float | None = None, larger_than_gb: float | None = None, dry: bool = False
) -> Pruned:
    """Remove entries of the user, and what killed jobs have left.

    Safe while studies run: an entry goes in one step, and a job that looks for it afterwards computes it anew.

    Args:
        store: The store.
        older_than_days: Remove what nobody has used for so long.
        larger_than_gb: Remove what has not been used for longest until the store is no larger.
        dry: Remove nothing, only tell.
    """
    entries = sorted(_readable(store), key=_last_used)
    left = sum(entry.size_bytes for entry in entries)
    now = time.time()
    removed, size, others = 0, 0, 0
    for entry in entries:
        old = older_than_days is not None and now - entry.used > older_than_days * SECONDS_PER_DAY
        large = larger_than_gb is not None and left > larger_than_gb * BYTES_PER_GB
        if not old and not large:
            continue
        if entry.owner != os.geteuid():
            others += 1
        elif dry or remove(entry.folder):
            removed, size, left = removed + 1, size + entry.size_bytes, left - entry.size_bytes
    for path in [] if dry else store.remains():
        with suppress(FileNotFoundError):  # its job was not dead but busy
            state = path.lstat()
            if state.st_uid == os.geteuid() and now - state.st_mtime > SECONDS_PER_DAY:
                remove(path)
    return Pruned(removed, size, others, left)


def _readable(store: Store) -> Iterator[Entry]:
    return (entry for entry in store.entries() if isinstance(entry, Entry))


def _last_used(entry: Entry) -> float:
    return entry.used
