"""Results kept where other studies and users find them: the same step on the same inputs is computed once.

An entry is a folder, ``STRUCTURE/CALCULATOR/STEP/KEY``, with the files of a step and a manifest: all that the result depends
on, of which KEY is the sha256, and the digests of the files. The names above KEY are for people. It appears whole or not at all
and is never changed, so that any number of studies may share a folder without a lock. What is read from it is data, checked
against its digests; a damaged entry is not used, and removed if it belongs to the user.
"""

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seiflow.identity import exact, exact_digest
from seiflow.store_folder import MALFORMED, MANIFEST, REMOVED, OpenFolder, opened, sha256

FORMAT = 1
"""Of an entry; those of another format are never looked at."""

RECORD = "record.json"
PARTIAL = ".partial-"
"""Begins the name of a folder that is being written."""

VARIABLE = "SEIFLOW_STORE"
"""Environment variable that names the folder; set but empty, nothing is kept or looked up."""

PROBE_BYTES = 65536


@dataclass(frozen=True)
class Key:
    """What a result is found by.

    Attributes:
        structure: Its name.
        calculator: Its name.
        step: Name of the step.
        parts: All that the result depends on, by kind, as JSON types.
    """

    structure: str
    calculator: str
    step: str
    parts: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """The sha256 of the parts."""
        return exact_digest({"format": FORMAT, "parts": self.parts})

    @property
    def place(self) -> str:
        """Folder below the store."""
        names = (self.structure, self.calculator, self.step)
        return "/".join([*(re.sub(r"[^A-Za-z0-9._+-]|^\.", "_", name) for name in names), self.digest])


@dataclass(frozen=True)
class Entry:
    """A folder in the store.

    Attributes:
        folder: Where it lies.
        parts: What its result depends on.
        files: The sha256 of its files by name.
        size_bytes: Of the files together.
        used: When it was last found or kept, s since the epoch; coarse.
        owner: User id of who kept it.
    """

    folder: Path
    parts: Mapping[str, Any]
    files: Mapping[str, str]
    size_bytes: int
    used: float
    owner: int

    @property
    def names(self) -> tuple[str, str, str]:
        """Structure, calculator and step."""
        structure, calculator, step = self.folder.parts[-4:-1]
        return structure, calculator, step

    def problem(self) -> str | None:
        """Return what is wrong with it; None if it is sound."""
        if exact_digest({"format": FORMAT, "parts": self.parts}) != self.folder.name:
            return "its manifest does not have the key that it lies under"
        try:
            with opened(self.folder) as folder:
                changed = [name for name, digest in self.files.items() if sha256(folder.read(name)) != digest]
        except (OSError, *MALFORMED) as error:
            return f"it cannot be read whole ({error})"
        return f"{', '.join(changed)}: changed after it was kept" if changed else None


class Store:
    """A folder of results by the key of their step.

    Args:
        folder: None keeps and finds nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        """Remember the folder; it is made when something is kept."""
        self.folder = folder

    @classmethod
    def from_environment(cls) -> "Store":
        """Return the store that the environment names, if any."""
        named = os.environ.get(VARIABLE)
        return cls(Path(named) if named else None)

    def fetch(self, key: Key) -> list[str] | None:
        """Return the texts of the files of a step in the order in which they were kept; None if it is not there, whole."""
        if self.folder is None:
            return None
        try:
            with opened(self.folder / key.place) as folder:
                try:
                    texts = _texts(folder, key)
                except (FileNotFoundError, *MALFORMED):
                    folder.discard()
                    return None
                folder.mark()
                return texts
        except OSError:
            return None

    def keep(self, key: Key, files: Sequence[Path]) -> str | None:
        """Copy the files of a finished step into the store; return why they could not be, which is no reason to fail.

        Args:
            key: Of the step.
            files: The record first.
        """
        if self.folder is None:
            return None
        entry = self.folder / key.place
        try:
            contents = dict(zip(_names(files), (file.read_bytes() for file in files), strict=True))
            mode = self._make(entry.parent)
            partial = Path(tempfile.mkdtemp(dir=entry.parent, prefix=PARTIAL))
            try:
                self._fill(partial, key, contents, mode)
                partial.rename(entry)
            except OSError:
                if not entry.is_dir():  # else somebody finished the same step before
                    raise
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        except OSError as error:
            return f"{self.folder}: the result could not be kept for other studies ({error.strerror or error})"
        return None

    def entries(self, structure: str = "*", calculator: str = "*", step: str = "*") -> Iterator[Entry | Path]:
        """Yield the entries with certain names, and the folders of those whose manifest cannot be read."""
        if self.folder is None:
            return
        for path in sorted(self.folder.glob(f"{structure}/{calculator}/{step}/*")):
            if re.fullmatch("[0-9a-f]{64}", path.name):
                found = _entry(path)
                if found is not None:
                    yield found

    def remains(self) -> list[Path]:
        """Return the folders that were being written or removed; a killed job leaves them."""
        if self.folder is None:
            return []
        return sorted(path for prefix in (PARTIAL, REMOVED) for path in self.folder.glob(f"*/*/*/{prefix}*"))

    def problem(self) -> str | None:
        """Return why nothing can be kept, or None."""
        if self.folder is None:
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                file.write(bytes(PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            reason = error.strerror or error
            return f"{self.folder}: nothing can be kept here ({reason}); other studies will not find what this one computes"
        return None

    def _make(self, folder: Path) -> int:
        """Make a folder as open to others as the store itself, whatever the umask; return its mode."""
        assert self.folder is not None  # noqa: S101 - callers have checked
        self.folder.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(self.folder.stat().st_mode)
        below = folder.relative_to(self.folder)
        for place in (*reversed(below.parents[:-1]), below):
            with suppress(FileExistsError):
                (self.folder / place).mkdir()
                (self.folder / place).chmod(mode)
        return mode

    @staticmethod
    def _fill(partial: Path, key: Key, contents: Mapping[str, bytes], mode: int) -> None:
        manifest = {
            "format": FORMAT,
            "parts": key.parts,
            "files": {name: sha256(content) for name, content in contents.items()},
        }
        for name, content in {**contents, MANIFEST: json.dumps(manifest, indent=1).encode()}.items():
            (partial / name).write_bytes(content)
            # others may say when they used it, by the date of the manifest, and change nothing else
            (partial / name).chmod(mode & (0o666 if name == MANIFEST else 0o444))
        partial.chmod(mode)


def _entry(path: Path) -> Entry | Path | None:
    """Return an entry, its folder if its manifest cannot be read, or None if it was removed meanwhile."""
    try:
        with opened(path) as folder:
            state = folder.state()
            manifest = folder.manifest()
            files = {str(name): str(digest) for name, digest in manifest["files"].items()}
            sizes = [(path / name).lstat().st_size for name in (*files, MANIFEST)]
            used = (path / MANIFEST).lstat().st_mtime
            return Entry(path, dict(manifest["parts"]), files, sum(sizes), used, state.st_uid)
    except (OSError, *MALFORMED):
        return path if path.is_dir() else None


def _texts(folder: OpenFolder, key: Key) -> list[str]:
    """Return the texts of the files of an entry; one of ``MALFORMED`` or FileNotFoundError if they are not what was kept."""
    manifest = folder.manifest()
    contents = {name: folder.read(name) for name in manifest["files"]}
    digests = {name: sha256(content) for name, content in contents.items()}
    if manifest["files"] != digests or exact(manifest["parts"]) != exact(key.parts):
        message = "changed after it was kept"
        raise ValueError(message)
    return [content.decode() for content in contents.values()]


def _names(files: Sequence[Path]) -> list[str]:
    return [RECORD, *(f"structures-{number}{file.suffix}" for number, file in enumerate(files[1:], start=1))]
