"""The jobs of a study before they run: which there are, what each is made from, and the step that it would look for.

The rules of the workflow start the same jobs with the same files and settings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Never

from seiflow.errors import InputError
from seiflow.jobs.crystal import build
from seiflow.jobs.task import Step, Task
from seiflow.provenance.rules import Rule, Source, rule_of
from seiflow.settings import parse_settings
from seiflow.status_parts import parts_of
from seiflow.store import Store
from seiflow.study import Job
from seiflow.workflow import Plan, names_in, sites_of_hop

Files = Path | Sequence[Path] | None


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
        folder = Path(self.plan.results) / job.structure / job.calculator
        return [Place(job.structure, job.calculator, part.label) for part in parts_of(folder, job)]

    def build(self, place: Place) -> None:
        """Build the structure that a relaxation starts from, unless it is made of relaxed crystals or there already."""
        output = self._folder(place) / "built.extxyz"
        if not self.plan.study.structures.get(place.structure).ingredients and not output.exists():
            files = [Path(file) for file in self.plan.phase_files(place.wildcards)]
            build(Path(self.plan.structure_file(place.wildcards)), files, output)

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
        here, item = self._folder(place), place.wildcards.site
        rule = rule_of(place.label, crystal=self.plan.study.structures.get(place.structure).kind == "phase")
        if rule is None:
            message = f"{here / place.label}.json: no step of seiflow makes such a file"
            raise InputError(message)
        others: dict[str, Any] = {}
        if rule.writes:
            others[rule.frames[0]] = here / rule.writes.format(item)
        if any(rule.item):
            others[rule.item[0]] = item
        if rule.command == "barrier-check":
            others["cheaper"] = self.plan.cheaper(place.wildcards)
        job = getattr(import_module(f"seiflow.jobs.{rule.module}"), rule.job)
        return Call(rule.section, job, {source.argument: self._files(rule, source, place) for source in rule.sources}, others)

    def _files(self, rule: Rule, source: Source, place: Place) -> Files:
        """Return the files of an input: those that the study says, those that a record lists, or one beside the result."""
        if source.name in self._asked:
            paths = [Path(file) for file in self._asked[source.name](place.wildcards)]
        elif source.name == "head start":
            files = self.plan.head_start(Path(source.file).parent.name, "site")(place.wildcards)
            paths = [Path(file) for file in files]
        elif rule.command == "hop" and source.many:
            paths = self._ends(place, source)
        elif source.listed:
            paths = self._listed(place, source)
        else:
            paths = [self._folder(place) / source.file]
        return paths if source.many else next(iter(paths), None)

    @cached_property
    def _asked(self) -> Mapping[str, Callable[[_Wildcards], Sequence[str]]]:
        """What the study answers, by the name of the input."""
        plan = self.plan
        return {
            "built": lambda wildcards: [plan.start(wildcards)],
            "reference": lambda wildcards: [plan.reference_forces(wildcards)],
            "reservoir": plan.reservoir,
            "relaxed {}": plan.crystals,
            "elasticity {}": plan.stiffnesses,
            "migration {}": plan.migrations,
            "competing {}": plan.competing,
        }

    def _ends(self, place: Place, source: Source) -> list[Path]:
        """Return the vacancies at the ends of a hop; the record that lists the hops as long as it is not there."""
        here = self._folder(place)
        network = here / "hops.json"
        if not network.exists():
            return [network]
        return [here / source.file.format(site) for site in sites_of_hop(network, place.wildcards.hop)]

    def _listed(self, place: Place, source: Source) -> list[Path]:
        """Return the files of the sites or hops that a record lists; the record as long as it is not there."""
        cheaper = self.plan.cheaper(place.wildcards) if source.owner == "cheaper" else place.calculator
        here = self._folder(Place(place.structure, cheaper, ""))
        missing = [here / record for record, _, _ in source.listed[:1] if not (here / record).exists()]
        return missing or [
            here / source.file.format(name)
            for record, items, key in source.listed
            for name in names_in(here / record, items, key)
        ]


class _AskedError(Exception):
    """Ends a job as soon as it asks for its step."""

    def __init__(self, step: Step) -> None:
        super().__init__("a job asked for its step")
        self.step = step


class _Inquiry(Task):
    """A task whose job ends as soon as it asks for its step, before anything is computed."""

    def step(self, *arguments: Any, **options: Any) -> Never:  # noqa: ANN401 - those of the task
        raise _AskedError(super().step(*arguments, **options))
