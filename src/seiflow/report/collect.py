"""What a study has computed, read into typed views, and what it has not, with the reason.

A record that is absent is normal: its job failed or has not run. A record that is damaged, or lacks a key that the report
needs, is never read in part: it becomes one more thing that is missing, with the reason.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from seiflow.errors import InputError
from seiflow.records import canonical, read_record
from seiflow.report.charged_view import ChargedDefects
from seiflow.report.interstitial_view import InterstitialMigration
from seiflow.report.migration_views import BarrierCheck, HopNetwork, PlanarMigration
from seiflow.report.planar_views import Boundary, PlanarRelaxation, Registry, Segregation
from seiflow.report.softness_view import Softness
from seiflow.report.views import Band, Defects, Elasticity, Hop, Migration, Phonons, Record, Relaxation

if TYPE_CHECKING:
    from seiflow.study import Study

KNOWN = frozenset(
    {
        "relaxation",
        "boundary",
        "segregation",
        "elasticity",
        "phonons",
        "softness",
        "migration",
        "barrier_check",
        "interstitial_migration",
        "defects",
        "charged_defects",
    }
)
"""Records that the report shows."""

NOT_COMPUTED = "not computed"


@dataclass(frozen=True)
class Target:
    """A final record that a study asks for.

    Attributes:
        structure: Name of the structure.
        calculator: Name of the calculator.
        name: Of the property; one of those known.
        settings: What the study wants it computed with, as canonical JSON; a record made with others is not shown. None
            takes any.
        kind: Of the structure.
        phases: That it is made of; none for a phase.
    """

    structure: str
    calculator: str
    name: str
    settings: str | None = None
    kind: str = "phase"
    phases: tuple[str, ...] = ()

    @classmethod
    def of(cls, study: "Study") -> "list[Target]":
        """Return what a study asks for, and what that needs."""
        made_of = {job.structure: study.structures.get(job.structure).ingredients for job in study.jobs}
        return [
            cls(job.structure, job.calculator, job.name, job.own_settings, job.kind, made_of[job.structure]) for job in study.jobs
        ]

    def path(self, results: Path) -> Path:
        """Return where the record is written."""
        return results / self.structure / self.calculator / f"{self.name}.json"


@dataclass(frozen=True)
class Missing:
    """Something a study asked for and does not have; ``name`` is the record, ``hops/{hop}`` or ``vacancies/{site}``."""

    structure: str
    calculator: str
    name: str
    reason: str


@dataclass(frozen=True)
class Case:
    """Everything there is of one structure with one calculator; ``paths`` is the migration of a boundary or interface."""

    structure: str
    calculator: str
    relaxation: Relaxation | None = None
    planar: PlanarRelaxation | None = None
    registry: Registry | None = None
    boundary: Boundary | None = None
    segregation: Segregation | None = None
    elasticity: Elasticity | None = None
    phonons: Phonons | None = None
    softness: Softness | None = None
    migration: Migration | None = None
    paths: PlanarMigration | None = None
    network: HopNetwork | None = None
    barrier_check: BarrierCheck | None = None
    interstitial_migration: InterstitialMigration | None = None
    defects: Defects | None = None
    charged: ChargedDefects | None = None
    hops: tuple[Hop, ...] = ()
    kind: str = "phase"
    phases: tuple[str, ...] = ()

    @property
    def records(self) -> dict[str, Record]:
        """The records there are, by name, hops included."""
        final = {
            "relaxation": self.relaxation or self.planar,
            "registry": self.registry,
            "boundary": self.boundary,
            "segregation": self.segregation,
            "elasticity": self.elasticity,
            "phonons": self.phonons,
            "softness": self.softness,
            "migration": self.migration or self.paths,
            "barrier_check": self.barrier_check,
            "interstitial_migration": self.interstitial_migration,
            "defects": self.defects,
            "charged_defects": self.charged,
        }
        found: dict[str, Record] = {name: record for name, record in final.items() if record is not None}
        return found | {f"hops/{hop.hop}": hop for hop in self.hops}

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """Every warning once, with the name of its record; a migration tells those of its hops itself."""
        told = {name: record for name, record in self.records.items() if self.migration is None or not name.startswith("hops/")}
        return [(name, warning) for name, record in told.items() for warning in record.warnings]

    @property
    def bands(self) -> tuple[Band, ...]:
        """The hops computed, in detail."""
        return self.paths.barriers if self.paths else self.hops


@dataclass(frozen=True)
class Collected:
    """What a study has, one case per structure and calculator in the order of the targets, and what it lacks."""

    cases: tuple[Case, ...]
    missing: tuple[Missing, ...]


def collect(results: Path, targets: Iterable[Target]) -> Collected:
    """Read every target that exists and find out why the others do not."""
    wanted: dict[tuple[str, str, str, tuple[str, ...]], dict[str, str | None]] = {}
    for target in targets:
        case = (target.structure, target.calculator, target.kind, target.phases)
        wanted.setdefault(case, {})[target.name] = target.settings
    gathered = [_gather(results, *case, settings) for case, settings in wanted.items()]
    return Collected(tuple(case for case, _ in gathered), tuple(item for _, missing in gathered for item in missing))


def _gather(
    results: Path, structure: str, calculator: str, kind: str, phases: tuple[str, ...], settings: Mapping[str, str | None]
) -> tuple[Case, list[Missing]]:
    reader = _Reader(results / structure / calculator, structure, calculator, settings)
    asked = set(settings)
    crystal = kind == "phase"
    case = Case(
        structure,
        calculator,
        relaxation=reader.final("relaxation", Relaxation) if "relaxation" in asked and crystal else None,
        planar=reader.final("relaxation", PlanarRelaxation) if "relaxation" in asked and not crystal else None,
        registry=reader.optional("registry", Registry) if not crystal else None,
        boundary=reader.final("boundary", Boundary) if "boundary" in asked else None,
        segregation=reader.final("segregation", Segregation) if "segregation" in asked else None,
        elasticity=reader.final("elasticity", Elasticity) if "elasticity" in asked else None,
        phonons=reader.final("phonons", Phonons) if "phonons" in asked else None,
        softness=reader.final("softness", Softness) if "softness" in asked else None,
        migration=reader.final("migration", Migration) if "migration" in asked and crystal else None,
        paths=reader.final("migration", PlanarMigration) if "migration" in asked and not crystal else None,
        network=reader.optional("hops", HopNetwork) if "migration" in asked and crystal else None,
        barrier_check=reader.final("barrier_check", BarrierCheck) if "barrier_check" in asked else None,
        interstitial_migration=(
            reader.final("interstitial_migration", InterstitialMigration) if "interstitial_migration" in asked else None
        ),
        defects=reader.final("defects", Defects) if "defects" in asked else None,
        charged=reader.final("charged_defects", ChargedDefects) if "charged_defects" in asked else None,
        hops=tuple(reader.hops()) if "migration" in asked and crystal else (),
        kind=kind,
        phases=phases,
    )
    if "relaxation" not in asked:
        reader.failed_relaxation()
    for name in sorted(asked - KNOWN):
        reader.lack(name, f"the report knows no such record; it shows {', '.join(sorted(KNOWN))}")
    return case, reader.missing


View = TypeVar("View", bound=Record)


class _Reader:
    """Reads the records of one folder and remembers what is missing."""

    def __init__(self, folder: Path, structure: str, calculator: str, settings: Mapping[str, str | None]) -> None:
        self._folder = folder
        self._settings = settings
        self._names = (structure, calculator)
        self.missing: list[Missing] = []

    def lack(self, name: str, reason: str) -> None:
        self.missing.append(Missing(*self._names, name, reason))

    def final(self, name: str, view: type[View]) -> View | None:
        if (self._folder / f"{name}.json").exists():
            return self._view(name, view)
        self.lack(name, self._failure(name) or self._upstream(name))
        return None

    def optional(self, name: str, view: type[View]) -> View | None:
        """Read a record of a step on the way, if it is there."""
        return self._view(name, view) if (self._folder / f"{name}.json").exists() else None

    def failed_relaxation(self) -> None:
        """Note that the relaxation failed where it was only a step on the way."""
        reason = self._failure("relaxation")
        if reason:
            self.lack("relaxation", reason)

    def hops(self) -> Iterator[Hop]:
        """Yield the hops there are; what failed on the way to them is noted."""
        for path in sorted((self._folder / "hops").glob("*.json")):
            hop = self._view(f"hops/{path.stem}", Hop)
            if hop is not None:
                yield hop
        for name in self._failed_parts():
            self.lack(name, self._failure(name) or NOT_COMPUTED)

    def _view(self, name: str, view: type[View]) -> View | None:
        path = self._folder / f"{name}.json"
        try:
            record = read_record(path)
            found = view.model_validate(record)
            if self._is_current(name, record):
                return found
            self.lack(name, "computed with other settings than the study has now; run it again")
        except InputError as error:
            self.lack(name, str(error))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            reason = f"{path}: {where}: {first['msg']}. Delete it and run the study again: only what is missing is computed."
            self.lack(name, reason)
        return None

    def _is_current(self, name: str, record: Mapping[str, Any]) -> bool:
        wanted = self._settings.get("migration" if name.partition("/")[0] == "hops" else name)
        return wanted is None or canonical(record["provenance"].get("settings")) == wanted

    def _failed_parts(self) -> list[str]:
        """Return the parts of a migration (hop list, vacancies, hops, sites) that failed and were not computed since."""
        single = [self._folder / "hops.failed"]
        several = [path for part in ("vacancies", "hops", "sites") for path in sorted((self._folder / part).glob("*.failed"))]
        failed = [path for path in single + several if path.exists() and not _redone(path)]
        return [path.relative_to(self._folder).as_posix().removesuffix(".failed") for path in failed]

    def _failure(self, name: str) -> str | None:
        """Return the reason a failed job left, or None."""
        path = self._folder / f"{name}.failed"
        if not path.exists() or _redone(path):
            return None
        return path.read_text(encoding="utf-8", errors="replace").strip() or "failed without saying why"

    def _upstream(self, name: str) -> str:
        """Return why a record was not even tried, as far as the files tell."""
        for step in ("registry", "relaxation"):
            if name != step and self._failure(step):
                return f"{NOT_COMPUTED}, because the {step} failed: {self._failure(step)}"
        parts = self._failed_parts() if name in {"migration", "segregation"} else []
        return f"{NOT_COMPUTED}, because these failed: {', '.join(parts)}" if parts else NOT_COMPUTED


def _redone(failed: Path) -> bool:
    return any(failed.with_suffix(suffix).exists() for suffix in (".json", ".extxyz"))
