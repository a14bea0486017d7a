"""What every job of the pipeline is given, and how its result reaches the disk."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seiflow.calculators.factory import (
    calculator_context,
    calculator_versions,
    distribution_versions,
    make_calculator,
    remedies,
    weight_digests,
)
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.engine import Engine, Report, silent
from seiflow.errors import InputError
from seiflow.identity import calculator_identity, input_identity, recipe_identity, weights_identity
from seiflow.journal import Journal, remove_journal
from seiflow.reach import code_digests
from seiflow.records import digest_file, git_revision, plain, versions, write_record, write_text
from seiflow.settings import PropertySettings
from seiflow.shelves import StructureRecipe, load_recipe, load_structure
from seiflow.store import Key, Store
from seiflow.structures.checks import Certificate
from seiflow.structures.fingerprint import digest
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Task:
    """What every job is given.

    Attributes:
        structure_file: Recipe of the structure.
        phase_files: Recipes of the phases it is made of; none for a phase.
        calculator_file: Recipe of the calculator.
        settings: Of the study, for this structure and calculator.
        output: The record to write; the journal of evaluations lies beside it while the job runs.
        report: Told about progress.
        store: Where results of other studies are found.
        processes: MPI processes of a program that the calculator starts.
    """

    structure_file: Path
    phase_files: tuple[Path, ...]
    calculator_file: Path
    settings: PropertySettings
    output: Path
    report: Report = field(default=silent)
    store: Store = field(default=Store(None))
    processes: int = 1

    @cached_property
    def structure(self) -> StructureRecipe:
        """The structure's recipe."""
        return load_structure(self.structure_file)

    @cached_property
    def phases(self) -> tuple[PhaseRecipe, ...]:
        """The recipes of the phases the structure is made of; a phase is made of itself."""
        if isinstance(self.structure, PhaseRecipe):
            return (self.structure,)
        return tuple(load_recipe(path, PhaseRecipe) for path in self.phase_files)

    @cached_property
    def calculator(self) -> CalculatorRecipe:
        """The calculator's recipe."""
        return load_recipe(self.calculator_file, CalculatorRecipe)

    @property
    def journal_file(self) -> Path:
        """Where the evaluations are kept while the job runs."""
        return self.output.with_name(f".{self.output.name}.journal")

    @cached_property
    def journal(self) -> Journal:
        """The evaluations of this job, those of a killed earlier run included."""
        journal = Journal(self.journal_file, calculator_context(self.calculator), remedies(self.calculator))
        if len(journal):
            self.report(f"resuming: {len(journal)} evaluations of an earlier run are read back")
        return journal

    @cached_property
    def engine(self) -> Engine:
        """The calculator, counted and journalled."""
        return Engine(make_calculator(self.calculator, processes=self.processes), self.journal, self.report)

    def engine_of(self, charge: int) -> Engine:
        """Return the calculator for cells of a charge in e, counted and journalled beside the neutral one."""
        if charge not in self._engines:
            journal = self.journal  # read before anything is added to it: it tells what an earlier run left
            if charge:
                context = calculator_context(self.calculator, charge)
                journal = Journal(self.journal_file, context, remedies(self.calculator))
            self._engines[charge] = Engine(make_calculator(self.calculator, charge, self.processes), journal, self.report)
        return self._engines[charge]

    @property
    def evaluations(self) -> int:
        """Force evaluations of the engines of all charges."""
        return sum(engine.force_evaluations for engine in self._engines.values())

    @property
    def notes(self) -> tuple[str, ...]:
        """What the engines have to tell, each once, in an order that does not depend on which of them read it back."""
        engines = [engine for engine in (self.__dict__.get("engine"), *self._engines.values()) if engine is not None]
        return tuple(sorted({note for engine in engines for note in engine.notes}))

    @cached_property
    def _engines(self) -> dict[int, Engine]:
        return {}

    def step(
        self,
        job: Callable[..., None],
        inputs: Mapping[str, Path],
        settings: object,
        *files: Path,
        item: str = "",
        libraries: tuple[str, ...] = (),
    ) -> "Step":
        """Return the step that this job is.

        Args:
            job: The function that computes the result; all code that it can reach is taken to matter.
            inputs: Files the result is made from, by what they are.
            settings: The settings it is made with.
            files: What is written besides the record.
            item: Name of what it is made for, if that is one of several: a site, a hop.
            libraries: Optional ones that the result depends on besides those that all do.
        """
        return Step(self, job, inputs, settings, files, item, libraries)


@dataclass(frozen=True)
class Step:
    """A job with all that its result depends on."""

    task: Task
    job: Callable[..., None]
    inputs: Mapping[str, Path]
    settings: object
    files: tuple[Path, ...] = ()
    item: str = ""
    libraries: tuple[str, ...] = ()

    def found(self) -> bool:
        """Fetch the result from the store, and tell whether it was there.

        Its provenance becomes that of this step: recipes and inputs may have come from other files of the same content. The
        git revision stays that of the code which computed it.
        """
        texts = self.task.store.fetch(self.key)
        record = _record(texts, 1 + len(self.files))
        if texts is None or record is None:
            return False
        for path, text in zip(self.files, texts[1:], strict=True):
            write_text(path, text)
        revision = record["provenance"].get("git_revision")
        write_record(self.task.output, record | {"provenance": self._provenance | {"git_revision": revision}}, self.files)
        remove_journal(self.task.journal_file)  # of a run that was killed
        self.task.report("found in the store, nothing is computed")
        return True

    def finish(self, result: object, evaluations: int | None = None, *, converged: bool = True) -> None:
        """Write the record of a result, keep it in the store and drop the journal.

        Args:
            result: A dataclass whose fields are the keys of the record.
            evaluations: Force evaluations; those of the engine by default.
            converged: Whether there is a result. A record of why there is none is not for the store, and leaves the journal to a
                job that may go farther.
        """
        task = self.task
        record = plain(result)
        record["warnings"] = [*record.get("warnings", []), *task.notes]
        record |= {
            "structure": task.structure.name,
            "calculator": task.calculator.name,
            "converged": converged,
            "force_evaluations": task.engine.force_evaluations if evaluations is None else evaluations,
            "provenance": self._provenance | {"git_revision": git_revision()},
        }
        write_record(task.output, record, self.files)
        if not converged:
            return
        problem = task.store.keep(self.key, (task.output, *self.files))
        if problem:
            task.report(problem)
        task.journal.remove()

    @cached_property
    def key(self) -> Key:
        """What the result is found by in the store."""
        task, made = self.task, self._provenance
        calculator, weights = task.calculator, made["weights_sha256"]
        parts = {
            "step": f"{self.name} {self.item}".strip(),
            "structure": recipe_identity(task.structure),
            "phases": {phase.name: recipe_identity(phase) for phase in task.phases if phase != task.structure},
            "calculator": calculator_identity(calculator, weights),
            "weights": weights_identity(weights),
            "settings": made["settings"],
            "inputs": {what: input_identity(path) for what, path in self.inputs.items()},
            "versions": {what: version for what, version in made["versions"].items() if what != "seiflow"},
            "code": code_digests(self.job, calculator.factory),
        }
        return Key(task.structure.name, calculator.name, parts["step"], parts)

    @property
    def name(self) -> str:
        """What the step is called."""
        return self.job.__name__.lstrip("_")

    @cached_property
    def _provenance(self) -> dict[str, Any]:
        task, settings = self.task, self.settings
        recipes = {"structure": task.structure_file, "calculator": task.calculator_file}
        recipes |= {f"phase {path.stem}": path for path in task.phase_files}
        return {
            "versions": versions()
            | calculator_versions(task.calculator)
            | {name: version for library in self.libraries for name, version in distribution_versions(library).items()},
            "recipes_sha256": {name: digest_file(path) for name, path in recipes.items()},
            "inputs_sha256": {name: digest_file(path) for name, path in self.inputs.items()},
            "weights_sha256": weight_digests(task.calculator),
            "settings": json.loads(settings.model_dump_json()) if hasattr(settings, "model_dump_json") else settings,
        }


def _record(texts: list[str] | None, files: int) -> dict[str, Any] | None:
    """Return the record among the files of an entry; None if it holds none, or other files than so many."""
    if texts is None or len(texts) != files:
        return None
    try:
        record = json.loads(texts[0])
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("provenance"), dict) else None


def read_structure(path: Path) -> "Atoms":
    """Read the last structure of a file; a damaged file is an :class:`InputError`."""
    return read_structures(path)[-1]


def read_structures(path: Path) -> "list[Atoms]":
    """Read the structures of a file, one at least; a damaged file is an :class:`InputError`."""
    from ase.io import read

    try:
        frames: list[Atoms] = read(path, ":", format="extxyz")
        frames[-1]  # an empty file is as bad as a damaged one
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise InputError(message) from error
    except Exception as error:
        message = f"{path}: not a readable structure ({error}). Delete it and run the study again."
        raise InputError(message) from error
    return frames


def stamped(atoms: "Atoms", certificate: Certificate) -> "Atoms":
    """Return a structure that carries its certificate and the digest of its content."""
    atoms.info |= {"certificate": plain(asdict(certificate)), "digest": digest(atoms)}
    return atoms


def write_structures(path: Path, frames: "list[Atoms]") -> None:
    """Write structures as extended XYZ, with energy and forces where they are known, in one step."""
    import io

    from ase.io import write

    buffer = io.StringIO()
    write(buffer, frames, format="extxyz")
    write_text(path, buffer.getvalue())
