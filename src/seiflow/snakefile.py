"""The rules as other programs find them: where they lie, and which part of a user's files is the study.

A user's own Snakefile takes the rules as a module::

    from seiflow.snakefile import SNAKEFILE
    configfile: "study.yaml"
    module seiflow:
        snakefile: SNAKEFILE
        config: config
    use rule * from seiflow
"""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from seiflow.documents import Location, lines_of, nearest, read_yaml
from seiflow.errors import InputError
from seiflow.shelves import data_folder

_DATA = data_folder("structures").parent
SNAKEFILE = str(_DATA / "Snakefile")
"""The table of contents of the rules, in an installed package or a source tree."""

USUAL_STUDY = "config/config.yaml"
"""Read if a run names no study."""

HAND_OVER = "A Snakefile of your own that takes seiflow as a module hands its study over with config: config"


def profile_folder(name: str) -> Path:
    """Return the folder of a profile that comes with the rules; an unknown name is an :class:`InputError`."""
    folder = _DATA / "profiles" / name
    if not (folder / "config.yaml").is_file():
        known = (path.parent.name for path in (_DATA / "profiles").glob("*/config.yaml"))
        message = f"unknown profile {name!r}{nearest(name, known)}"
        raise InputError(message)
    return folder


def usual_study() -> str:
    """Return the study of a run that names none; without that file the run ends with what to do."""
    if not Path(USUAL_STUDY).is_file():
        _stop(f"no study: there is no {USUAL_STUDY} here; name a file with --configfile FILE. {HAND_OVER}")
    return USUAL_STUDY


def require_command() -> None:
    """End the run if the shell of a job would not find seiflow, which its log alone would tell."""
    if shutil.which("seiflow") is None:
        folder = Path(sys.executable).parent
        _stop(f"no command seiflow on the PATH, which every job calls; activate its environment, or export PATH={folder}:$PATH")


def refuse_moved(results: str, moved: str) -> None:
    """End the run if Snakemake looks for the results elsewhere than seiflow writes them."""
    if moved != results:
        _stop(f"the prefix of a module would move {results} to {moved}; leave it out and set the key results of the study")


def study_in(files: Sequence[str], config: Mapping[str, Any]) -> tuple[str, dict[Location, int] | None]:
    """Return what messages call the file of a study, and the lines of its keys where it stands in one file as it is.

    A user's own Snakefile may keep the study below a key of its configuration, beside other keys, or in one of several files.

    Raises:
        InputError: if there is no study at all.
    """
    named = ", ".join(files) or "study"
    if not config:
        message = f"{named}: the rules got an empty study. {HAND_OVER}"
        raise InputError(message)
    there = [Path(file) for file in files if Path(file).is_file()]
    for path in there:
        for above, part in _mappings(read_yaml(path)):
            if part == config:
                lines = lines_of(path).items()
                return str(path), {key[len(above) :]: line for key, line in lines if key[: len(above)] == above}
    return named, lines_of(there[0]) if len(files) == len(there) == 1 else None


def _stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the message a user is to see
    raise SystemExit(1)


def _mappings(data: object) -> Iterator[tuple[Location, Mapping[str, Any]]]:
    """Yield what a file holds, then what stands below each of its keys, with that key."""
    if isinstance(data, Mapping):
        yield (), data
        yield from (((key,), value) for key, value in data.items() if isinstance(value, Mapping))
