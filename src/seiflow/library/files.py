"""Structure files of users, read with every reason to doubt them; structures written so that nobody sees half a file."""

import io
import json
import os
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.library.entries import Entry
from seiflow.records import plain, write_text

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.structures.checks import Certificate

SUFFIXES = {"extxyz": ".extxyz", "cif": ".cif", "poscar": ".vasp"}
"""Of a file by its format."""

FULL = 1 - 1e-6
"""Occupancy from which a site counts as filled."""


def read_frames(path: Path) -> "list[Atoms]":
    """Return every structure of a file.

    Raises:
        InputError: if the file is no structure, or one that has no place for whole atoms.
    """
    frames = _read(path)
    if not frames or any(not len(frame) for frame in frames):
        message = f"{path}: holds no atoms"
        raise InputError(message)
    for frame in frames:
        problems = [*_unknown_species(frame), *_partial_sites(frame)]
        if not np.isfinite(frame.positions).all() or not np.isfinite(np.asarray(frame.cell)).all():
            problems.append("positions or cell hold something that is no number")
        if problems:
            message = f"{path}: refused.\n" + "\n".join(f"  - {problem}" for problem in problems)
            raise InputError(message)
    return frames


def read_one(path: Path) -> "Atoms":
    """Return the one structure of a file."""
    frames = read_frames(path)
    if len(frames) > 1:
        message = f"{path}: holds {len(frames)} structures; write the one you want to a file of its own"
        raise InputError(message)
    return frames[0]


def _read(path: Path) -> "list[Atoms]":
    from ase.io import read

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames: list[Atoms] = read(path, index=":")
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise InputError(message) from error
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror or error})"
        raise InputError(message) from error
    except Exception as error:
        message = (
            f"{path}: not a readable structure ({_reason(error)}). CIF, POSCAR, extended XYZ and all else ASE reads will do."
        )
        raise InputError(message) from error
    return frames


def _reason(error: Exception) -> str:
    """Return what a reader of ASE meant; for a symbol it does not know it raises a bare KeyError."""
    if isinstance(error, KeyError):
        return f"{error} is not known; if it stands for a species, write its chemical symbol"
    return " ".join(str(error).split()) or "it does not have the form that its name or first lines promise"


def _unknown_species(atoms: "Atoms") -> list[str]:
    unknown = np.flatnonzero(atoms.numbers == 0).tolist()
    return [f"atom {index} is of no chemical element" for index in unknown]


def _partial_sites(atoms: "Atoms") -> list[str]:
    """Return a message for each site that is not filled by one species; ASE tells occupancies of CIFs, by kind of site."""
    occupancies = atoms.info.get("occupancy")
    if not isinstance(occupancies, Mapping):
        return []
    kinds = [str(kind) for kind in atoms.arrays.get("spacegroup_kinds", range(len(atoms)))]
    places = atoms.get_scaled_positions()
    messages = []
    for kind, species in occupancies.items():
        known = {symbol: value for symbol, value in species.items() if isinstance(value, int | float)}
        if str(kind) in kinds and (len(species) > 1 or any(value < FULL for value in known.values())):
            x, y, z = places[kinds.index(str(kind))]
            filled = ", ".join(f"{symbol} {value:g}" for symbol, value in known.items())
            where = f"({x:.4g}, {y:.4g}, {z:.4g})"
            messages.append(f"the site at {where} is partly occupied ({filled}); choose which atoms are there in an ordered cell")
    return messages


def annotated(atoms: "Atoms", name: str, identifier: str, certificate: "Certificate") -> "Atoms":
    """Return a copy of a structure that carries its name, digest and certificate in ``info``."""
    copy = atoms.copy()
    copy.info |= {"name": name, "digest": identifier, "certificate": certificate_json(certificate)}
    return copy


def certificate_json(certificate: "Certificate") -> "dict[str, object]":
    """Return a certificate as JSON types."""
    data: dict[str, object] = json.loads(json.dumps(plain(certificate)))
    return data


def as_text(atoms: "Atoms", file_format: str) -> str:
    """Return a structure as the text of a file of one of the formats in ``SUFFIXES``."""
    from ase.io import write

    if file_format == "extxyz":
        buffer = io.StringIO()
        write(buffer, atoms, format="extxyz")
        return buffer.getvalue()
    if file_format == "cif":
        binary = io.BytesIO()
        write(binary, atoms, format="cif")
        return binary.getvalue().decode()
    buffer = io.StringIO()
    write(buffer, atoms, format="vasp", sort=True, direct=True)
    return buffer.getvalue()


def export_files(entries: Sequence[Entry], file_format: str, target: str) -> list[Path]:
    """Write structures, one a file; returns the files.

    Args:
        entries: The structures.
        file_format: A key of ``SUFFIXES``.
        target: A file if one structure is written and this has a suffix, or else a folder; in it, files are named like their
            structures.

    Raises:
        InputError: if several structures are to go into one file.
    """
    output = Path(target)
    into_file = bool(output.suffix) and not target.endswith("/") and not output.is_dir()
    if into_file and len(entries) > 1:
        message = f"{output}: {len(entries)} structures do not go into one file; give --output a folder, with a / at its end"
        raise InputError(message)
    written = []
    for entry in entries:
        path = output if into_file else output / f"{entry.name}{SUFFIXES[file_format]}"
        atoms = annotated(entry.built.atoms, entry.name, entry.digest, entry.built.certificate)
        write_text(path, as_text(atoms, file_format))
        written.append(path)
    return written


def write_new(path: Path, text: str) -> None:
    """Write a file that must not exist yet: of several writers one wins, and readers see the whole file or none.

    Raises:
        InputError: if the file exists, or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    _make_folder(path.parent)
    try:
        with partial.open("x", encoding="utf-8") as file:
            file.write(text)
        _publish(partial, path)
    except FileExistsError as error:
        message = f"{path}: exists already; choose another name, or move that file away first"
        raise InputError(message) from error
    except OSError as error:
        raise InputError(_unwritable(path, error)) from error
    finally:
        partial.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(_unwritable(folder, error)) from error


def _unwritable(path: Path, error: OSError) -> str:
    return f"{path}: cannot be written ({error.strerror}). Choose a folder you may write to with --library."


def _publish(partial: Path, path: Path) -> None:
    """Give a finished file its name unless the name is taken; where a file system has no links, fill the name in place."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:
        with path.open("x", encoding="utf-8") as file:
            file.write(partial.read_text(encoding="utf-8"))
