"""An archive from somebody else, unpacked without trusting it: nothing is written outside of the folder, and nothing is run."""

import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from seiflow.errors import InputError
from seiflow.provenance.foreign import code_in
from seiflow.provenance.results import STUDY

CHUNK = 1 << 20


def inspect(file: Path) -> list[str]:
    """Return lines on what an archive holds and what of it may run code.

    Raises:
        InputError: if it is no archive, or holds a path that leaves its folder.
    """
    with _unpacked(file) as folder:
        files = [path for path in folder.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 1e6
        lines = [f"{file}: {len(files)} files, {size:.1f} MB" + ("" if (folder / STUDY).is_file() else f", no {STUDY}")]
        found = [str(code) for code in code_in(folder)]
    lines += (
        ["may run code:", *(f"  {line}" for line in found)] if found else ["nothing in it runs code that seiflow does not bring"]
    )
    return lines


@contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    if file.is_dir():
        yield file
        return
    with tempfile.TemporaryDirectory(prefix="seiflow-inspect-") as folder:
        extract(file, Path(folder))
        yield Path(folder)


def unpack(file: Path, output: Path) -> None:
    """Unpack an archive into a new folder, which appears whole.

    Raises:
        InputError: if the folder exists, the file is no archive, or a path in it leaves the folder or is a link.
    """
    if output.exists():
        message = f"{output}: exists; choose another folder or remove it"
        raise InputError(message)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as folder:
            partial = Path(folder) / "unpacked"
            partial.mkdir()
            extract(file, partial)
            os.replace(partial, output)
    except OSError as error:
        message = f"{output}: cannot be written ({error.strerror or error})"
        raise InputError(message) from error


def extract(file: Path, folder: Path) -> None:
    """Write the files of a zip archive below a folder, after all its paths have been looked at."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            problems = [problem for member in archive.infolist() if (problem := _problem(member))]
            names = [member.filename.casefold() for member in members]
            problems += (
                sorted({f"{name} stands in it twice" for name in names if names.count(name) > 1}) if _doubled(names) else []
            )
            if problems:
                message = f"{file}: refused, nothing was unpacked: {'; '.join(problems)}"
                raise InputError(message)
            _refuse_large(file, sum(member.file_size for member in members), folder)
            for member in members:
                place = folder / PurePosixPath(member.filename)
                place.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, place.open("xb") as target:
                    shutil.copyfileobj(source, target, CHUNK)
    except FileNotFoundError as error:
        message = f"{file}: no such file"
        raise InputError(message) from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, UnicodeDecodeError) as error:
        message = f"{file}: no zip archive, or a damaged one ({error})"
        raise InputError(message) from error


def _doubled(names: list[str]) -> bool:
    return len(set(names)) < len(names)


def _problem(member: zipfile.ZipInfo) -> str | None:
    """Return why a member is not to be unpacked."""
    name = member.orig_filename
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or "\\" in name or "\0" in name or PureWindowsPath(name).drive or ".." in parts:
        return f"{name!r} leaves the folder"
    mode = stat.S_IFMT(member.external_attr >> 16)
    if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"{name!r} is a link or device"
    return None


def _refuse_large(file: Path, size: int, folder: Path) -> None:
    """Refuse what does not fit on the disk; zipfile itself refuses a member larger than it says."""
    free = shutil.disk_usage(folder).free
    if size > free:
        message = f"{file}: unpacked it has {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {folder}"
        raise InputError(message)
