"""The jobs that a property is made of, and the files that each leaves while it runs and when it ends."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from seiflow.errors import InputError
from seiflow.records import read_record
from seiflow.study import Job


@dataclass(frozen=True)
class Part:
    """One job on the way to a property.

    Attributes:
        folder: Of the structure with the calculator.
        label: ``relaxation`` or ``hops/hop_1``.
    """

    folder: Path
    label: str

    @property
    def name(self) -> str:
        """The last part of the label."""
        return self.label.rpartition("/")[2]

    @property
    def record(self) -> Path:
        """Its result."""
        return self.folder / f"{self.label}.json"

    @property
    def log(self) -> Path:
        """Its log."""
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def journal(self) -> Path:
        """Its evaluations."""
        return self.record.with_name(f".{self.record.name}.journal")

    @cached_property
    def active(self) -> float | None:
        """When it last wrote something, in seconds as files have it; None if it never did, or if it ended well once."""
        log, journal, ended = map(_time, (self.log, self.journal, self.log.with_suffix(".tsv")))
        if journal is None and log is not None and ended is not None and ended >= log:
            return None
        return max((moment for moment in (log, journal) if moment is not None), default=None)

    @property
    def failure(self) -> str | None:
        """Why it failed; None if it did not, or was started again since."""
        file = self.record.with_suffix(".failed")
        failed = _time(file)
        again = _time(self.journal), _time(self.log)
        if failed is None or any(moment is not None and moment > failed + 1.0 for moment in again):
            return None
        return (
            file.read_text(encoding="utf-8", errors="replace").strip()
            or "it failed and could not write down why; the disk may be full"
        )

    @property
    def evaluations(self) -> int:
        """How many evaluations its journal holds."""
        try:
            return self.journal.read_bytes().count(b'"key"')
        except OSError:
            return 0


def parts_of(folder: Path, job: Job) -> Iterator[Part]:
    """Yield the jobs of a property in their order, as far as they are known; the last one writes its record."""
    if job.name == "relaxation" and job.kind not in ("phase", "imported"):
        yield Part(folder, "registry")
    if job.name in ("migration", "segregation"):
        network = "hops" if job.kind == "phase" else "sites"
        yield Part(folder, network)
        yield from (Part(folder, label) for label in _listed(folder, network, interstitials=job.name == "segregation"))
    yield Part(folder, job.name)


def _listed(folder: Path, network: str, *, interstitials: bool) -> Iterator[str]:
    """Yield the labels of the jobs that the record of a network asks for; none if it is not there."""
    try:
        record: dict[str, Any] = read_record(folder / f"{network}.json")
    except InputError:
        return
    if network == "hops":
        yield from (f"vacancies/{site['site']}" for site in record["sites"])
        yield from (f"hops/{hop['hop']}" for hop in record["hops"])
    else:
        both = [*record["sites"], *(record["interstitials"] if interstitials else [])]
        yield from (f"sites/{site['name']}" for site in both)


def failed_build(folder: Path) -> str | None:
    """Return why a structure could not be built; building keeps its reason in its log."""
    log = folder / "logs" / "build.log"
    if (folder / "built.extxyz").exists() or not log.is_file():
        return None
    text = log.read_text(encoding="utf-8", errors="replace")
    return text.partition("error: ")[2].strip() or None


def _time(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
