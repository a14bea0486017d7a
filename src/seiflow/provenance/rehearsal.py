"""A dry run, which leaves a folder of results as it found it.

What Snakemake would do depends on what a run does to the folder before it plans: damaged files are put aside, copied ones get
other times, the study is written. A dry run does all that too, so that it tells the truth, and takes it back when it ends. One
that is killed leaves what a run would have done, which the next run does anyway.
"""

import atexit
import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from seiflow.buildable import FILE
from seiflow.errors import InputError
from seiflow.provenance.running import NAME, Lock
from seiflow.records import write_text

OWN = ("study.yaml", FILE, NAME)
"""Files of the folder itself that a run writes."""

DAMAGED = ".damaged"
"""Added to the name of a file that is no whole result."""


@dataclass(frozen=True)
class _State:
    """A file as it was: its number, by which it is known under another name, its time in ns, and what it held if it is small."""

    number: int
    time_ns: int
    content: bytes | None

    @classmethod
    def of(cls, path: Path, *, small: bool) -> "_State":
        found = path.stat()
        return cls(found.st_ino, found.st_mtime_ns, path.read_bytes() if small else None)


class Rehearsal:
    """The state of a folder of results, to be brought back.

    Args:
        results: The folder; need not exist yet.
    """

    def __init__(self, results: Path) -> None:
        """Remember which folders are not there."""
        self._results = results
        self._missing = [folder for folder in (results, *results.parents) if not folder.exists()]
        self._files: dict[Path, _State] = {}

    def begin(self) -> None:
        """Look at all files; the lock on the folder was taken before, so that nobody else changes them."""
        self._files = self._look()

    def end_with_this_process(self, lock: Lock) -> None:
        """Bring the folder back when this process ends, and keep other runs off until then if there is anything to bring back.

        Args:
            lock: On the folder; taken.
        """
        if self._look() == self._files and not self._missing:
            self._remove_own()
            lock.leave()
        else:
            atexit.register(self._end, lock, os.getpid())

    def _look(self) -> dict[Path, _State]:
        found = {}
        for path in [*map(self._results.joinpath, OWN), *self._results.glob("*/*/**/*")]:
            with contextlib.suppress(OSError):  # a job that outlived its run may move files
                if path.is_file():
                    found[path] = _State.of(path, small=path.name in OWN)
        run = self._results / NAME
        if run in found and not found[run].content:  # made by the lock
            del found[run]
        return found

    def _end(self, lock: Lock, process: int) -> None:
        if os.getpid() != process:  # forked from it
            return
        now = self._look()
        aside = {(other.parent, state.number): other for other, state in now.items() if DAMAGED in other.name}
        for path, state in self._files.items():
            with contextlib.suppress(OSError, InputError):  # no room or no right any more for this one
                _bring_back(path, state, now.get(path), aside.get((path.parent, state.number)))
        self._remove_own()
        lock.leave()
        for folder in self._missing:
            with contextlib.suppress(OSError):  # somebody else has put something there
                folder.rmdir()

    def _remove_own(self) -> None:
        for path in [self._results / name for name in OWN]:
            if path not in self._files:
                path.unlink(missing_ok=True)


def _bring_back(path: Path, before: _State, now: _State | None, aside: Path | None) -> None:
    if now is None and aside is not None:
        aside.rename(path)
    elif now is not None and before.content != now.content:
        if path.name == NAME:  # the lock is on the file itself
            path.write_bytes(before.content or b"")
        else:
            write_text(path, (before.content or b"").decode())
    if path.is_file() and path.stat().st_mtime_ns != before.time_ns:
        os.utime(path, ns=(path.stat().st_atime_ns, before.time_ns))
