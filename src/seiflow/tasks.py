"""One job of the pipeline: read files, call one function, write files. The command line and the rules meet here."""

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
from seiflow.records import digest_file, git_revision, plain, read_record, versions, write_record
from seiflow.settings import PropertySettings
from seiflow.shelves import load_recipe
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.properties.migration.network import Network


@dataclass(frozen=True)
class Task:
    """What every job is given.

    Attributes:
        structure_file: Recipe of the structure.
        calculator_file: Recipe of the calculator.
        settings: Of the study, for this structure and calculator.
        output: The record to write; the journal of evaluations lies beside it while the job runs.
        report: Told about progress.
    """

    structure_file: Path
    calculator_file: Path
    settings: PropertySettings
    output: Path
    report: Report = field(default=silent)

    @cached_property
    def structure(self) -> PhaseRecipe:
        """The structure's recipe."""
        return load_recipe(self.structure_file, PhaseRecipe)

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


def build(structure_file: Path, output: Path) -> None:
    """Build a structure from its recipe."""
    from seiflow.structures.bulk import build_crystal

    write_structures(output, [build_crystal(load_recipe(structure_file, PhaseRecipe))])


def relax(task: Task, built: Path, relaxed: Path) -> None:
    """Relax a crystal and record its lattice."""
    from seiflow.relaxation import relaxation

    crystal, result = relaxation(read_structure(built), task.structure, task.engine, task.settings.relaxation)
    write_structures(relaxed, [crystal])
    task.finish(result, {"built": built}, task.settings.relaxation)


def elasticity(task: Task, relaxed: Path) -> None:
    """Record the stiffness of a relaxed crystal."""
    from seiflow.properties.elasticity import elasticity as compute

    result = compute(read_structure(relaxed), task.engine, task.settings.elasticity)
    task.finish(result, {"relaxed": relaxed}, task.settings.elasticity)


def phonons(task: Task, relaxed: Path) -> None:
    """Record the phonons of a relaxed crystal."""
    from seiflow.properties.phonons import phonons as compute

    result = compute(read_structure(relaxed), task.engine, task.settings.phonons)
    task.finish(result, {"relaxed": relaxed}, task.settings.phonons)


def hops(task: Task, relaxed: Path) -> None:
    """Record the network of hops of a relaxed crystal."""
    network = _network(task, relaxed)
    task.finish(network, {"relaxed": relaxed}, task.settings.migration, evaluations=0)


def vacancy(task: Task, relaxed: Path, site: str, frame: Path) -> None:
    """Relax the vacancy at one site and record it."""
    from seiflow.properties.migration.network import make_supercell
    from seiflow.properties.migration.states import relax_vacancy

    network = _network(task, relaxed)
    supercell = make_supercell(read_structure(relaxed), network.supercell)
    wanted = _named(network.sites, "site", site)
    result = relax_vacancy(supercell, wanted, task.engine, task.settings.migration)
    empty = supercell.copy()
    empty.positions += result.displacements_angstrom
    del empty[wanted.index]
    write_structures(frame, [empty])
    task.finish(result, {"relaxed": relaxed}, task.settings.migration)


def hop(task: Task, relaxed: Path, name: str, vacancy_files: list[Path], frames: Path) -> None:
    """Record the barrier of one hop."""
    import numpy as np

    from seiflow.properties.migration.hop import hop_barrier
    from seiflow.properties.migration.network import make_supercell
    from seiflow.properties.migration.states import Vacancy
    from seiflow.properties.migration.symmetry import site_symmetry

    network = _network(task, relaxed)
    supercell = make_supercell(read_structure(relaxed), network.supercell)
    vacancies = {}
    for path in vacancy_files:
        found = read_record(path)
        vacancies[found["site"]] = Vacancy(
            site=found["site"],
            index=found["index"],
            energy_ev=found["energy_ev"],
            largest_force_ev_per_angstrom=found["largest_force_ev_per_angstrom"],
            displacements_angstrom=np.array(found["displacements_angstrom"]),
        )
    barrier, structures = hop_barrier(
        supercell,
        _named(network.hops, "hop", name),
        vacancies,
        site_symmetry(supercell),
        task.engine,
        task.settings.migration,
    )
    write_structures(frames, [structures.initial, structures.saddle, structures.final])
    inputs = {"relaxed": relaxed} | {f"vacancy {path.stem}": path for path in vacancy_files}
    task.finish(barrier, inputs, task.settings.migration)


def migration(task: Task, relaxed: Path, hop_files: list[Path]) -> None:
    """Record the percolation barriers of a structure."""
    from seiflow.properties.migration.migration import HopResult
    from seiflow.properties.migration.migration import migration as compute

    records = {path: read_record(path) for path in hop_files}
    results = {record["hop"]: HopResult.from_record(record) for record in records.values()}
    vacancies = {path for hop_file in hop_files for path in (hop_file.parent.parent / "vacancies").glob("*.json")}
    evaluations = sum(record["force_evaluations"] for record in [*records.values(), *map(read_record, sorted(vacancies))])
    result = compute(_network(task, relaxed), results)
    inputs = {path.stem: path for path in hop_files} | {"relaxed": relaxed}
    task.finish(result, inputs, task.settings.migration, evaluations=evaluations)


def _network(task: Task, relaxed: Path) -> "Network":
    from seiflow.properties.migration.network import hop_network

    mobile = task.structure.mobile
    if mobile is None:
        message = f"{task.structure.name}: the recipe names no mobile species"
        raise InputError(message)
    return hop_network(read_structure(relaxed), mobile, task.settings.migration)


def _named(items: Any, key: str, name: str) -> Any:  # noqa: ANN401 - sites or hops
    for item in items:
        if getattr(item, key) == name:
            return item
    message = f"no {key} {name!r}; known: {', '.join(getattr(item, key) for item in items)}"
    raise InputError(message)
