"""Every evaluation of a running job, kept on disk so that a killed job loses at most one.

The methods of seiflow are deterministic: the same inputs ask the calculator for the same structures in the same order.
A job that is started again therefore runs from its beginning, and each evaluation it already made is read back instead
of computed. Its result, including the number of evaluations, is the one of an undisturbed run, whatever the optimiser. An
evaluation that failed, and in spite of which the job went on, fails again without being computed.
"""

import contextlib
import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seiflow.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

Results = dict[str, "float | NDArray[np.float64]"]


def evaluation_key(context: str, atoms: "Atoms", *, stress: bool) -> str:
    """Return the sha256 that identifies one evaluation: calculator, structure to the last bit, and what was asked."""
    digest = hashlib.sha256(f"{context}|stress={stress}".encode())
    for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
        digest.update(np.ascontiguousarray(array).tobytes())
    moments = atoms.get_initial_magnetic_moments()
    if moments.any():
        digest.update(np.ascontiguousarray(moments).tobytes())
    return digest.hexdigest()


class Journal:
    """Append-only file of evaluations; without a path it remembers nothing.

    Args:
        path: The file, one JSON object a line; a last line cut off by a kill is dropped.
        context: What the evaluations depend on besides the structure (calculator, weights, versions).
        remedies: What is tried before an evaluation fails; with other remedies it is tried again.

    Attributes:
        measured: Numbers that the calculator measured once and that all later evaluations depend on.
        notes: Sentences that the result is to tell.

    Raises:
        InputError: if there is a file that cannot be read.
    """

    def __init__(self, path: Path | None = None, context: str = "", remedies: str = "") -> None:
        """Read back what an earlier run of the same job left."""
        self._path = path
        self._context = context
        self._of_failures = f"{context}|failed|{remedies}"
        self._known: dict[str, Results] = {}
        self._failures: dict[str, str] = {}
        self.measured: dict[str, float] = {}
        self.notes: list[str] = []
        if path is not None and path.exists():
            self._read(path)

    def __len__(self) -> int:
        """Return how many evaluations can be read back."""
        return len(self._known)

    def sibling(self, what: str) -> "Journal":
        """Return the journal of something else that is computed of the same structures, in the same file."""
        return Journal(self._path, f"{self._context}|{what}")

    @property
    def density_folder(self) -> Path | None:
        """Where the density of the structure evaluated last is kept; None if nothing is."""
        return self._path and density_folders(self._path) / hashlib.sha256(self._context.encode()).hexdigest()[:16]

    def find(self, atoms: "Atoms", *, stress: bool) -> Results | None:
        """Return the recorded results for this very structure, or None."""
        return self._known.get(evaluation_key(self._context, atoms, stress=stress))

    def add(self, atoms: "Atoms", results: Results, *, stress: bool) -> None:
        """Append one evaluation and flush it to disk; the same structure is not computed again in this run either.

        A calculator that continues from the structure before would give other last bits, and a later run could not tell which
        were used first.
        """
        if self._path is None:
            return
        key = evaluation_key(self._context, atoms, stress=stress)
        numbers = {name: np.array(value, dtype=float) for name, value in results.items()}
        self._append(self._path, {"key": key} | {name: value.tolist() for name, value in numbers.items()})
        self._keep(key, numbers)

    def failure(self, atoms: "Atoms", *, stress: bool) -> str | None:
        """Return why this very structure could not be evaluated, or None."""
        return self._failures.get(evaluation_key(self._of_failures, atoms, stress=stress))

    def add_failure(self, atoms: "Atoms", why: str, *, stress: bool) -> None:
        """Append an evaluation that failed."""
        if self._path is not None:
            self._append(self._path, {"key": evaluation_key(self._of_failures, atoms, stress=stress), "failed": why})

    def remember(self, measured: dict[str, float]) -> None:
        """Append what the calculator is to know in later runs too."""
        self.measured = dict(measured)
        if self._path is not None:
            self._append(self._path, {"measured": measured, "of": self._context})

    def note(self, text: str) -> None:
        """Keep a sentence that the result is to tell; each once."""
        if text in self.notes:
            return
        self.notes.append(text)
        if self._path is not None:
            self._append(self._path, {"note": text})

    @staticmethod
    def _append(path: Path, line: dict[str, object]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            message = (
                f"{path}: cannot be written ({error.strerror}). Free some space or make the folder writable, "
                "then run again: evaluations already made are kept."
            )
            raise InputError(message) from error

    def remove(self) -> None:
        """Delete what was kept once the result it led to is on disk."""
        if self._path is not None:
            remove_journal(self._path)

    def _read(self, path: Path) -> None:
        try:
            data = path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                with path.open("r+b") as file:
                    file.truncate(whole)
        except OSError as error:
            message = (
                f"{path}: the evaluations of an earlier run cannot be read and added to ({error.strerror}). Make the file "
                "readable and writable, or delete it to begin anew."
            )
            raise InputError(message) from error
        for line in data[:whole].splitlines():
            with contextlib.suppress(ValueError, KeyError, AttributeError, TypeError):  # a damaged line is computed again
                self._take(json.loads(line))

    def _take(self, entry: dict[str, Any]) -> None:
        if "note" in entry:
            self.notes.append(str(entry["note"]))
        elif "measured" in entry:
            if entry["of"] == self._context:
                self.measured = {str(name): float(value) for name, value in entry["measured"].items()}
        elif "failed" in entry:
            self._failures[entry["key"]] = str(entry["failed"])
        else:
            key = entry.pop("key")
            self._keep(key, {name: np.array(value, dtype=float) for name, value in entry.items()})

    def _keep(self, key: str, numbers: "dict[str, NDArray[np.float64]]") -> None:
        self._known.setdefault(key, {name: value if value.ndim else float(value) for name, value in numbers.items()})


def density_folders(path: Path) -> Path:
    """Return the folder of the densities that belong to a journal, one for each context."""
    return path.with_name(f"{path.name}.densities")


def remove_journal(path: Path) -> None:
    """Delete a journal and its densities, if there are any."""
    shutil.rmtree(density_folders(path), ignore_errors=True)
    path.unlink(missing_ok=True)
