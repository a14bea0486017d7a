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
from seiflow.provenance.running import NAME, Lock

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
        with contextlib.suppress(OSError):  # no room or no right any more: a run would have done the same
            self._bring_back()
        lock.leave()
        for folder in self._missing:
            with contextlib.suppress(OSError):  # somebody else has put something there
                folder.rmdir()

    def _bring_back(self) -> None:
        now = self._look()
        aside = {(other.parent, state.number): other for other, state in now.items() if DAMAGED in other.name}
        for path, state in self._files.items():
            put = (path.parent, state.number)
            if path not in now and put in aside:
                aside[put].rename(path)
            elif path in now and state.content != now[path].content:
                path.write_bytes(state.content or b"")
            if path.is_file() and path.stat().st_mtime_ns != state.time_ns:
                os.utime(path, ns=(path.stat().st_atime_ns, state.time_ns))
        for name in OWN:
            if self._results / name not in self._files:
                (self._results / name).unlink(missing_ok=True)
