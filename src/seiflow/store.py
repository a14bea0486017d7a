"""Results kept where other studies find them: the same step on the same inputs is computed once.

A step is identified by all that its result depends on: recipes, input files, weights, settings, versions of the libraries, and
the source code of this package's physics. An entry is a folder that appears whole or not at all, so that studies may share a
store; it holds the files of the step and their digests, and one that was damaged is not used.
"""

import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from seiflow.records import digest_file

MANIFEST = "manifest.json"
NOT_PHYSICS = ("report", "library", "provenance")
VARIABLE = "SEIFLOW_STORE"
"""Environment variable that names the folder; set but empty, nothing is kept or looked up."""


class Store:
    """A folder of results by the key of their step.

    Args:
        folder: None keeps and finds nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        """Remember the folder; it is made when something is kept."""
        self._folder = folder

    @classmethod
    def from_environment(cls) -> "Store":
        """Return the store that the environment names, if any."""
        named = os.environ.get(VARIABLE)
        return cls(Path(named) if named else None)

    def fetch(self, key: str, files: Sequence[Path]) -> bool:
        """Copy the files of a step to their places; tell whether the step was there, whole.

        Args:
            key: Of the step.
            files: Where they belong; they are told apart by their names. The first is written last.
        """
        if self._folder is None:
            return False
        entry = self._entry(key)
        try:
            digests = json.loads((entry / MANIFEST).read_text(encoding="utf-8"))
            if any(digest_file(entry / file.name) != digests[file.name] for file in files):
                shutil.rmtree(entry, ignore_errors=True)
                return False
            for file in reversed(files):
                partial = file.with_name(f".{file.name}.partial")
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(entry / file.name, partial)
                os.replace(partial, file)
        except (OSError, ValueError, KeyError):
            return False
        return True

    def keep(self, key: str, files: Sequence[Path]) -> None:
        """Copy the files of a finished step into the store; a store that cannot be written is no reason to fail."""
        if self._folder is None:
            return
        entry = self._entry(key)
        with suppress(OSError):
            entry.parent.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(dir=entry.parent, prefix=".partial-"))
            partial.chmod(0o755)  # others may read what they share
            try:
                for file in files:
                    shutil.copyfile(file, partial / file.name)
                digests = {file.name: digest_file(partial / file.name) for file in files}
                (partial / MANIFEST).write_text(json.dumps(digests, indent=1, sort_keys=True), encoding="utf-8")
                os.replace(partial, entry)
            except OSError:
                shutil.rmtree(partial, ignore_errors=True)

    def problem(self) -> str | None:
        """Return why nothing can be kept, or None."""
        if self._folder is None:
            return None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                return None
        except OSError as error:
            return f"{self._folder}: nothing can be kept here ({error.strerror}); other studies will not find finished steps"

    def _entry(self, key: str) -> Path:
        assert self._folder is not None  # noqa: S101 - callers have checked
        return self._folder / key[:2] / key


@functools.cache
def physics_digest() -> str:
    """Return the sha256 of the source code that results depend on."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        place = path.relative_to(package)
        if place.parts[0] not in NOT_PHYSICS and not place.name.startswith("cli"):
            digest.update(f"{place.as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()
