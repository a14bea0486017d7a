"""The jobs of a study before they run: which there are, what each is made from, and the step that it would look for.

The rules of the workflow start the same jobs with the same files and settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Never

from seiflow.errors import InputError
from seiflow.jobs import charged, crystal, migration, planar, segregation
from seiflow.jobs.task import Step, Task
from seiflow.settings import parse_settings
from seiflow.store import Store
from seiflow.study import Job
from seiflow.workflow import Plan, names_in, sites_of_hop

Files = Path | Sequence[Path] | None
HOPS = ("hops", "hop")
SITES = (("sites", "name"), ("interstitials", "name"))
"""Where records list hops and sites: a key, and the key of the name of each."""

FROM_RELAXED: Mapping[str, tuple[str, Callable[..., None]]] = {
    "elasticity": ("elasticity", crystal.elasticity),
    "phonons": ("phonons", crystal.phonons),
    "hops": ("migration", migration.hops),
    "sites": ("segregation", segregation.sites),
}
"""Settings and job of what is made from the relaxed structure alone."""

OF_SITES = ("segregation", "migration")
"""Properties of a structure with a plane that need its sites."""


@dataclass
class _Wildcards:
    """What the rules' file names leave open."""

    structure: str
    calculator: str
    site: str
    hop: str


@dataclass(frozen=True)
class Place:
    """Where a result lies.

    Attributes:
        structure: Name of the structure.
        calculator: Name of the calculator.
        label: What lies in their folder, without ending: ``relaxation``, ``hops/hop_1``.
    """

    structure: str
    calculator: str
    label: str

    @property
    def wildcards(self) -> _Wildcards:
        """What the rule that makes it would be given."""
        item = self.label.partition("/")[2]
        return _Wildcards(self.structure, self.calculator, item, item)


@dataclass(frozen=True)
class Call:
    """A job with its arguments.

    Attributes:
        settings: Name of its settings.
        job: The function.
        inputs: Files that it reads, by argument.
        others: Its other arguments; files that it writes among them.
    """

    settings: str
    job: Callable[..., None]
    inputs: Mapping[str, Files]
    others: Mapping[str, Any]

    @property
    def needs(self) -> list[Path]:
        """The files that it reads."""
        found: list[Path] = []
        for given in self.inputs.values():
            found += [] if given is None else [given] if isinstance(given, Path) else given
        return found


class Planned:
    """The jobs of a study.

    Args:
        plan: Of the study.
    """

    def __init__(self, plan: Plan) -> None:
        """Remember the plan."""
        self.plan = plan

    def places(self, job: Job) -> list[Place]:
        """Return the results on the way to a property, in order; of sites and hops once it is known which there are."""
        recipe = self.plan.study.structures.get(job.structure)
        place = Place(job.structure, job.calculator, job.name)
        before: list[str] = []
        if job.name == "relaxation" and recipe.ingredients:
            before = ["registry"]
        elif job.name == "migration" and recipe.kind == "phase":
            vacancies = self._listed(place, "hops.json", "vacancies/{}.json", ("sites", "site"))
            before = ["hops", *self._labels(place, [*vacancies, *self._listed(place, "hops.json", "hops/{}.json", HOPS)])]
        elif job.name in OF_SITES and recipe.kind != "phase":
            lists = SITES if job.name == "segregation" else SITES[:1]
            before = ["sites", *self._labels(place, self._listed(place, "sites.json", "sites/{}.json", *lists))]
        labels = dict.fromkeys([*before, job.name])
        return [Place(job.structure, job.calculator, label) for label in labels]

    def _labels(self, place: Place, files: Sequence[Path]) -> list[str]:
        return [file.relative_to(self._folder(place)).with_suffix("").as_posix() for file in files]

    def build(self, place: Place) -> None:
        """Build the structure that a relaxation starts from, unless it is made of relaxed crystals or there already."""
        output = self._folder(place) / "built.extxyz"
        if not self.plan.study.structures.get(place.structure).ingredients and not output.exists():
            files = [Path(file) for file in self.plan.phase_files(place.wildcards)]
            crystal.build(Path(self.plan.structure_file(place.wildcards)), files, output)

    def missing(self, place: Place) -> Path | None:
        """Return the first file that a result is made from and that is not there yet."""
        return next((path for path in self._call(place).needs if not path.exists()), None)

    def step(self, place: Place, store: Store) -> Step:
        """Return the step that makes a result, to be looked for in a store.

        Raises:
            InputError: if no step makes it.
        """
        call = self._call(place)
        task = _Inquiry(
            structure_file=Path(self.plan.structure_file(place.wildcards)),
            phase_files=tuple(Path(file) for file in self.plan.phase_files(place.wildcards)),
            calculator_file=Path(self.plan.calculator_file(place.wildcards)),
            settings=parse_settings(self.plan.settings(call.settings)(place.wildcards)),
            output=self._folder(place) / f"{place.label}.json",
            store=store,
        )
        try:
            partial(call.job, task, **call.inputs, **call.others)()
        except _AskedError as asked:
            return asked.step
        message = f"{task.output}: the job asked for no step"
        raise InputError(message)

    def _folder(self, place: Place) -> Path:
        return Path(self.plan.results) / place.structure / place.calculator

    def _call(self, place: Place) -> Call:
        head, _, last = place.label.rpartition("/")
        calls = {"": self._property, "vacancies": self._vacancy, "hops": self._hop, "sites": self._site}
        if head not in calls:
            message = f"{self._folder(place) / place.label}.json: no step of seiflow makes such a file"
            raise InputError(message)
        return calls[head](place, last)

    def _vacancy(self, place: Place, name: str) -> Call:
        here = self._folder(place)
        inputs = {**self._relaxed(place), "head_start": _first(self.plan.head_start("vacancies", "site")(place.wildcards))}
        others = {"site": name, "frame": here / f"vacancies/{name}.extxyz"}
        return Call("migration", migration.vacancy, inputs, others)

    def _hop(self, place: Place, name: str) -> Call:
        here = self._folder(place)
        network = here / "hops.json"
        ends = [here / f"vacancies/{site}.json" for site in sites_of_hop(network, name)] if network.exists() else [network]
        start = _first(self.plan.head_start("hops", "hop")(place.wildcards))
        inputs = {**self._relaxed(place), "vacancy_files": ends, "head_start": start}
        return Call("migration", migration.hop, inputs, {"name": name, "frames": here / f"hops/{name}.extxyz"})

    def _site(self, place: Place, name: str) -> Call:
        here = self._folder(place)
        others = {"site": name, "frame": here / f"sites/{name}.extxyz"}
        return Call("segregation", segregation.site_defect, {"relaxed": here / "relaxed.extxyz"}, others)

    def _property(self, place: Place, name: str) -> Call:
        if name in FROM_RELAXED:
            settings, job = FROM_RELAXED[name]
            return Call(settings, job, self._relaxed(place), {})
        special = {
            "relaxation": self._relaxation,
            "registry": self._registry,
            "boundary": self._boundary,
            "softness": self._softness,
            "defects": self._defects,
            "charged_defects": self._charged_defects,
            "interstitial_migration": self._interstitials,
            "migration": self._migration,
            "barrier_check": self._barrier_check,
            "segregation": self._segregation,
        }
        if name not in special:
            message = f"{self._folder(place) / name}.json: no step of seiflow makes such a file"
            raise InputError(message)
        return special[name](place)

    def _relaxed(self, place: Place) -> dict[str, Files]:
        return {"relaxed": self._folder(place) / "relaxed.extxyz"}

    def _phases(self, place: Place) -> dict[str, Files]:
        return {
            "crystals": _paths(self.plan.crystals(place.wildcards)),
            "stiffnesses": _paths(self.plan.stiffnesses(place.wildcards)),
        }

    def _relaxation(self, place: Place) -> Call:
        return Call("relaxation", crystal.relax, {"built": Path(self.plan.start(place.wildcards))}, self._relaxed(place))

    def _registry(self, place: Place) -> Call:
        others = {"registered": self._folder(place) / "registered.extxyz"}
        return Call("registry", planar.register, self._phases(place), others)

    def _boundary(self, place: Place) -> Call:
        inputs = {"registry": self._folder(place) / "registry.json"}
        return Call("boundary", planar.boundary, {**self._relaxed(place), **inputs, **self._phases(place)}, {})

    def _softness(self, place: Place) -> Call:
        return Call("softness", crystal.softness, {"reference": Path(self.plan.reference_forces(place.wildcards))}, {})

    def _defects(self, place: Place) -> Call:
        inputs = self._relaxed(place) | {"reservoir": _first(self.plan.reservoir(place.wildcards))}
        return Call("defects", crystal.defects, inputs, {})

    def _charged_defects(self, place: Place) -> Call:
        inputs = self._relaxed(place) | {"competing": _paths(self.plan.competing(place.wildcards))}
        return Call("charged_defects", charged.charged_defects, inputs, {})

    def _interstitials(self, place: Place) -> Call:
        others = {"frames": self._folder(place) / "interstitial_migration.extxyz"}
        return Call("interstitial_migration", migration.interstitial_migration, self._relaxed(place), others)

    def _barrier_check(self, place: Place) -> Call:
        cheaper = self.plan.cheaper(place.wildcards)
        below = Place(place.structure, cheaper, "")
        files = self._listed(below, "hops.json", "hops/{}.extxyz", HOPS)
        return Call("barrier_check", migration.barrier_check, {"hop_files": files}, {"cheaper": cheaper})

    def _migration(self, place: Place) -> Call:
        here = self._folder(place)
        if self.plan.study.structures.get(place.structure).kind == "phase":
            files = self._listed(place, "hops.json", "hops/{}.json", HOPS)
            return Call("migration", migration.migration, self._relaxed(place) | {"hop_files": files}, {})
        inputs = {
            **self._relaxed(place),
            "site_files": self._listed(place, "sites.json", "sites/{}.json", *SITES[:1]),
            "vacancy_files": self._listed(place, "sites.json", "sites/{}.extxyz", *SITES[:1]),
            "bulk_files": _paths(self.plan.migrations(place.wildcards)),
        }
        return Call("migration", migration.paths, inputs, {"frames": here / "hops.extxyz"})

    def _segregation(self, place: Place) -> Call:
        inputs: dict[str, Files] = {
            **self._relaxed(place),
            "site_files": self._listed(place, "sites.json", "sites/{}.json", *SITES),
            "crystals": _paths(self.plan.crystals(place.wildcards)),
        }
        return Call("segregation", segregation.segregation, inputs, {})

    def _listed(self, place: Place, record: str, file: str, *lists: tuple[str, str]) -> list[Path]:
        """Return the files of the sites or hops that a record lists; the record as long as it is not there."""
        here = self._folder(place)
        if not (here / record).exists():
            return [here / record]
        return [here / file.format(name) for items, key in lists for name in names_in(here / record, items, key)]


class _AskedError(Exception):
    """Ends a job as soon as it asks for its step."""

    def __init__(self, step: Step) -> None:
        super().__init__("a job asked for its step")
        self.step = step


class _Inquiry(Task):
    """A task whose job ends as soon as it asks for its step, before anything is computed."""

    def step(self, *arguments: Any, **options: Any) -> Never:  # noqa: ANN401 - those of the task
        raise _AskedError(super().step(*arguments, **options))


def _paths(files: Sequence[str]) -> list[Path]:
    return [Path(file) for file in files]


def _first(files: Sequence[str]) -> Path | None:
    return Path(files[0]) if files else None
