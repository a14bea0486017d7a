"""The density of a running job, kept on disk so that a killed job goes on from it as well as from its last geometry.

Without it the first new evaluation of a resumed job begins with atoms. That takes longer, and where a cell has several
self-consistent states it may end in another one.
"""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from seiflow.calculators.densities import Continuing

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

Found = TypeVar("Found")

SHARE = 20
"""After one is written the job goes on for so many times as long before the next one is."""

PARTIAL = ".partial-"
"""How the names of folders begin in which a density is being written."""


class KeptDensity:
    """The density of the structure evaluated last, or of one not long before.

    Args:
        folder: Where it lies; without one none is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        """Look for nothing yet."""
        self._folder = folder
        self._not_before = 0.0
        self._begun = False

    def begin(self, calculator: "Calculator", evaluate: Callable[[], Found]) -> Found:
        """Evaluate something; the first time with what an earlier run left, and if that fails with atoms.

        What an earlier run left may be damaged, or lead nowhere. It stays until it is replaced.
        """
        taken = not self._begun and self._take(calculator)
        self._begun = True
        try:
            return evaluate()
        except Exception:
            if not taken:
                raise
        return evaluate()

    def keep(self, calculator: "Calculator") -> None:
        """Write the density that a calculator has, unless that was done just before; after one failure never again."""
        began = monotonic()
        if self._folder is None or not isinstance(calculator, Continuing) or began < self._not_before:
            return
        try:
            self._write(self._folder, calculator)
        except Exception:  # noqa: BLE001 - of many codes; a full disk, say, which the journal tells of
            self._folder = None
        self._not_before = monotonic() + SHARE * (monotonic() - began)

    def _take(self, calculator: "Calculator") -> bool:
        if self._folder is None or not self._folder.is_dir() or not isinstance(calculator, Continuing):
            return False
        try:
            calculator.take_density(self._folder)
        except Exception:  # noqa: BLE001 - of many codes
            return False
        return True

    @staticmethod
    def _write(folder: Path, calculator: Continuing) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(dir=folder.parent, prefix=PARTIAL))
        try:
            (new / "new").mkdir()
            calculator.keep_density(new / "new")
            if folder.exists():
                folder.rename(new / "old")
            (new / "new").rename(folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
