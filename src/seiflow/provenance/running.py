"""Which run of a study is at work on a folder of results: one at a time, told by a lock that the system lifts when a run ends.

Snakemake locks the folder that it runs in, after it has looked at all files. Two studies may share results all the same, and this
package must know before it looks. Where a file system keeps no locks, Snakemake's is the only one.
"""

import atexit
import contextlib
import fcntl
import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

NAME = ".run"
"""File of the lock in the folder of results; it says who holds it."""

PATIENCE, LITTLE = 20.0, 1.0
"""s; a run looks at its files for so long before it starts, and one that is known to have started is waited for so long."""

LOCKS_OF_SNAKEMAKE = Path(".snakemake") / "locks"


@dataclass(frozen=True)
class Run:
    """A run of a study.

    Attributes:
        host: Name of the machine.
        process: Its number there; None once the run has ended by itself.
        folder: It was started in.
        since: When it started.
        file: Number of the file that says all this; a copy of the results has another one.
    """

    host: str
    process: int | None
    folder: str
    since: str
    file: int

    def __str__(self) -> str:
        """Tell a user which run is meant."""
        return f"process {self.process} on {self.host}, started {self.since} in {self.folder}"

    @property
    def may_live(self) -> bool:
        """Whether its process may still be there."""
        if self.process is None or self.host != socket.gethostname():
            return self.process is not None
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


UNKNOWN = Run("an unknown machine", None, "an unknown folder", "some time ago", 0)


class Lock:
    """The lock on a folder of results.

    Args:
        results: The folder; it must exist.
    """

    def __init__(self, results: Path) -> None:
        """Remember the folder; nothing is locked yet."""
        self._path = results / NAME
        self._file: int | None = None

    @property
    def last(self) -> Run | None:
        """The run that holds the lock, or held it last; None if there was none that can be told."""
        try:
            found = Run(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return found

    @property
    def started(self) -> float:
        """When the run that holds the lock wrote that down, in seconds as files have it; now, if it has just ended."""
        with contextlib.suppress(FileNotFoundError):
            return self._path.stat().st_mtime
        return time.time()

    @property
    def moved(self) -> bool:
        """Whether the results were copied here, or nothing tells that they were not."""
        last = self.last
        return last is None or last.file != self._path.stat().st_ino or last.folder != str(Path.cwd())

    def is_held(self) -> bool:
        """Tell whether a run is at work, without disturbing it."""
        try:
            file = os.open(self._path, os.O_RDONLY)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            os.close(file)
        return False

    def take(self) -> Run | None:
        """Take the lock; return the run that has it, or None once it is taken. One that only looks at its files is waited for."""
        start = time.monotonic()
        while not self._try():
            last = self.last or UNKNOWN
            if time.monotonic() > start + (LITTLE if last.may_live else PATIENCE):
                return last
            time.sleep(0.05)
        return None

    def leave(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def note(self, process: int | None) -> None:
        """Write down who holds the lock, or that nobody does."""
        if self._file is None:
            return
        since = datetime.now(UTC).astimezone().strftime("%Y-%m-%d %H:%M")
        told = {"host": socket.gethostname(), "process": process, "folder": str(Path.cwd()), "since": since}
        text = json.dumps(told | {"file": os.fstat(self._file).st_ino}) + "\n"
        os.truncate(self._file, os.pwrite(self._file, text.encode(), 0))

    def keep(self) -> None:
        """Hold the lock, taken before, until this process ends."""
        self.note(os.getpid())
        atexit.register(self._end, os.getpid())

    def _end(self, process: int) -> None:
        if os.getpid() == process:  # not in a process that was forked from this one
            with contextlib.suppress(OSError):  # on a full disk the next run takes this one for cut off
                self.note(None)
            self.leave()

    def _try(self) -> bool:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o664)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        except OSError:
            pass  # a file system without locks
        if not self._is(file):
            os.close(file)
            return False
        self._file = file
        return True

    def _is(self, file: int) -> bool:
        """Tell whether an open file is still the lock: a dry run that made it removes it again."""
        with contextlib.suppress(FileNotFoundError):
            return os.fstat(file).st_ino == self._path.stat().st_ino
        return False


def left_behind(last: Run | None) -> str | None:
    """Return what to do about the lock of Snakemake that a run left which was killed; None if there is none.

    Args:
        last: The run that held the lock of the results last and holds it no longer.
    """
    if last is None or last.process is None or last.folder != str(Path.cwd()) or not any(LOCKS_OF_SNAKEMAKE.glob("*.lock")):
        return None
    return (
        f"the last run here ({last}) was cut off. If Snakemake now says that the directory cannot be locked, give the same "
        "command with --unlock added, then as it was: what is computed stays, and jobs go on from where they were"
    )
