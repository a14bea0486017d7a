"""What calculators do so that the density of a job outlives it: write it into a folder, and begin with the one found there."""

import shutil
from pathlib import Path
from typing import Protocol, runtime_checkable

OF = "of.txt"
"""Says what a density is of, in the calculator's own words; written last."""


@runtime_checkable
class Continuing(Protocol):
    """A calculator whose first structure may begin with the density of another process."""

    def keep_density(self, folder: Path) -> None:
        """Write what the next structure would begin with into an empty folder; nothing if there is none."""

    def take_density(self, folder: Path) -> None:
        """Let the next structure begin with what was written, if that is of such a structure, and with atoms otherwise.

        Called before the first structure, or not at all. A second attempt at that structure begins with atoms.
        """


def write_of(folder: Path, what: object) -> None:
    """Say in a folder what the density in it is of."""
    (folder / OF).write_text(repr(what), encoding="utf-8")


def is_of(folder: Path, what: object) -> bool:
    """Tell whether the density in a folder is of something."""
    return (folder / OF).is_file() and (folder / OF).read_text(encoding="utf-8") == repr(what)


def copy_density(kept: Path | None, what: object, folder: Path) -> bool:
    """Copy the density in one folder into another if it is of something, and tell whether it is there now."""
    if kept is None or not is_of(kept, what):
        return False
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
    except OSError:
        for path in kept.iterdir():
            (folder / path.name).unlink(missing_ok=True)
        return False
    return True
