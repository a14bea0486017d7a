"""Results on disk: JSON with units in its keys, written whole or not at all, equal inputs giving equal bytes."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from seiflow.errors import InputError

SIGNIFICANT_DIGITS = 10
"""Kept of every float, so that the last bits of a sum do not change a file."""

LIBRARIES = ("ase", "numpy", "phonopy", "pymatgen-core", "scipy", "spglib")


def plain(value: Any) -> Any:  # noqa: ANN401 - turns anything a result may hold into JSON types
    """Return ``value`` as JSON types: dataclasses and arrays unfolded, floats rounded."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0 if isinstance(value, float) else value


def canonical(value: Any) -> str:  # noqa: ANN401 - as plain
    """Return ``value`` as JSON in the one form in which equal values give equal texts."""
    return json.dumps(plain(value), sort_keys=True)


def write_record(path: Path, record: Mapping[str, Any], files: Sequence[Path] = ()) -> None:
    """Write a result as JSON: sorted keys, NaN refused, replaced in one step.

    Its provenance gets the digests of the ``files`` written with it and of all that it holds, so that a later change shows.
    """
    sealed = plain(record)
    if isinstance(sealed.get("provenance"), dict):
        sealed["provenance"]["files_sha256"] = {file.name: digest_file(file) for file in files}
        sealed["provenance"]["record_sha256"] = record_digest(sealed)
    write_text(path, json.dumps(sealed, indent=1, sort_keys=True, allow_nan=False) + "\n")


def record_digest(record: Mapping[str, Any]) -> str:
    """Return the sha256 of all that a result holds but this digest itself."""
    provenance = {key: value for key, value in record["provenance"].items() if key != "record_sha256"}
    return digest_text(json.dumps({**record, "provenance": provenance}, sort_keys=True))


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except BaseException as error:  # an interruption too
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        message = f"{path}: cannot be written ({error.strerror}). Free some space or make the folder writable, then run again."
        raise InputError(message) from error


def read_record(path: Path) -> dict[str, Any]:
    """Read a result; a damaged one is an :class:`InputError` that says how to get it again."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        message = f"{path}: no such result. Run the study that makes it."
        raise InputError(message) from error
    except (OSError, ValueError) as error:
        message = f"{path}: damaged or cut off ({error}). Delete it and run the study again: only what is missing is computed."
        raise InputError(message) from error
    if not isinstance(record, dict):
        message = f"{path}: holds no result. Delete it and run the study again."
        raise InputError(message)
    return record


def digest_file(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_text(text: str) -> str:
    """Return the sha256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Return the versions of python, this package and the libraries results depend on."""
    found = {"python": platform.python_version(), "seiflow": metadata.version("seiflow")}
    return found | {name: metadata.version(name) for name in LIBRARIES}


@functools.cache
def git_revision() -> str | None:
    """Return the revision of the source tree this package runs from, marked when it was changed; None outside git."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - fixed words
    except (OSError, subprocess.CalledProcessError):
        return None
