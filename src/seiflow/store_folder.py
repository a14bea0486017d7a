"""A folder of the store, read as data that somebody else may have written, and removed so that no reader sees a part of it."""

import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
REMOVED = ".removed-"
"""Begins the name of a folder that is being removed."""

SECONDS_BETWEEN_MARKS = 3600.0
"""An entry used again within so long is not marked again."""

MALFORMED = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What reading a folder that somebody changed may raise."""


class OpenFolder:
    """An entry that is held open: what is read is of this one, even if it is removed or replaced meanwhile."""

    def __init__(self, path: Path, handle: int) -> None:
        """Take the path of the folder and its open descriptor."""
        self._path = path
        self._handle = handle

    def read(self, name: str) -> bytes:
        """Return the content of a plain file in the folder itself."""
        if os.sep in name or name in ("", ".", ".."):
            message = f"{name!r} is no name of a file in it"
            raise ValueError(message)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with open(os.open(name, flags, dir_fd=self._handle), "rb") as file:  # noqa: PTH123 - below an open folder
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                message = f"{name} is no plain file"
                raise ValueError(message)
            return file.read()

    def manifest(self) -> dict[str, Any]:
        """Return what the folder says of itself; one of ``MALFORMED`` if that is no JSON."""
        found: dict[str, Any] = json.loads(self.read(MANIFEST))
        return found

    def state(self) -> os.stat_result:
        """Return owner, identity and dates of the folder."""
        return os.fstat(self._handle)

    def mark(self) -> None:
        """Set the date of the manifest to now, if that may be done."""
        with suppress(OSError):
            if time.time() - os.stat(MANIFEST, dir_fd=self._handle).st_mtime > SECONDS_BETWEEN_MARKS:
                os.utime(MANIFEST, dir_fd=self._handle)

    def discard(self) -> None:
        """Remove the folder if it is the user's own and still where it was."""
        state = self.state()
        with suppress(OSError):
            if state.st_uid == os.geteuid() and os.path.samestat(state, self._path.stat()):
                remove(self._path)


@contextmanager
def opened(path: Path) -> Iterator[OpenFolder]:
    """Hold the folder of an entry open.

    Raises:
        OSError: if there is no such folder.
    """
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield OpenFolder(path, handle)
    finally:
        os.close(handle)


def remove(folder: Path) -> bool:
    """Remove an entry, or what is left of one, so that a reader sees all of it or nothing; tell whether it is gone."""
    aside = folder.with_name(f"{REMOVED}{secrets.token_hex(8)}")
    try:
        folder.rename(aside)
    except OSError:
        return False
    shutil.rmtree(aside, ignore_errors=True)
    return True


def sha256(content: bytes) -> str:
    """Return the sha256 of a content."""
    return hashlib.sha256(content).hexdigest()
