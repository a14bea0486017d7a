"""What every job of the pipeline is given, and how its result reaches the disk."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seiflow.calculators.factory import calculator_context, calculator_versions, make_calculator, weight_digests
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.engine import Engine, Report, silent
from seiflow.errors import InputError
from seiflow.journal import Journal
from seiflow.records import digest_file, git_revision, plain, versions, write_record
from seiflow.settings import PropertySettings
from seiflow.shelves import StructureRecipe, load_recipe, load_structure
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
    """

    structure_file: Path
    phase_files: tuple[Path, ...]
    calculator_file: Path
    settings: PropertySettings
    output: Path
    report: Report = field(default=silent)

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

    @cached_property
    def journal(self) -> Journal:
        """The evaluations of this job, those of a killed earlier run included."""
        journal = Journal(self.output.with_name(f".{self.output.name}.journal"), calculator_context(self.calculator))
        if len(journal):
            self.report(f"resuming: {len(journal)} evaluations of an earlier run are read back")
        return journal

    @cached_property
    def engine(self) -> Engine:
        """The calculator, counted and journalled."""
        return Engine(make_calculator(self.calculator), self.journal, self.report)

    def finish(self, result: object, inputs: Mapping[str, Path], settings: object, evaluations: int | None = None) -> None:
        """Write the record of a result and drop the journal.

        Args:
            result: A dataclass whose fields are the keys of the record.
            inputs: Files the result was made from.
            settings: The settings it was made with.
            evaluations: Force evaluations; those of the engine by default.
        """
        record = plain(result)
        record["warnings"] = record.get("warnings", [])
        record |= {
            "structure": self.structure.name,
            "calculator": self.calculator.name,
            "converged": True,
            "force_evaluations": self.engine.force_evaluations if evaluations is None else evaluations,
            "provenance": self._provenance(inputs, settings),
        }
        write_record(self.output, record)
        self.journal.remove()

    def _provenance(self, inputs: Mapping[str, Path], settings: object) -> dict[str, Any]:
        recipes = {"structure": self.structure_file, "calculator": self.calculator_file}
        recipes |= {f"phase {path.stem}": path for path in self.phase_files}
        return {
            "git_revision": git_revision(),
            "versions": versions() | calculator_versions(self.calculator),
            "recipes_sha256": {name: digest_file(path) for name, path in recipes.items()},
            "inputs_sha256": {name: digest_file(path) for name, path in inputs.items()},
            "weights_sha256": weight_digests(self.calculator),
            "settings": json.loads(settings.model_dump_json()) if hasattr(settings, "model_dump_json") else settings,
        }


def read_structure(path: Path) -> "Atoms":
    """Read one structure; a damaged file is an :class:`InputError`."""
    from ase.io import read

    try:
        atoms: Atoms = read(path)
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise InputError(message) from error
    except Exception as error:
        message = f"{path}: not a readable structure ({error}). Delete it and run the study again."
        raise InputError(message) from error
    return atoms


def write_structures(path: Path, frames: "list[Atoms]") -> None:
    """Write structures as extended XYZ, with energy and forces where they are known, in one step."""
    import io

    from ase.io import write

    from seiflow.records import write_text

    buffer = io.StringIO()
    write(buffer, frames, format="extxyz")
    write_text(path, buffer.getvalue())
