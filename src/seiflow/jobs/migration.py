"""Jobs on migration: of vacancies, the hop list, vacancies, hops and network; of interstitials, all in one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seiflow.errors import InputError
from seiflow.jobs.task import Task, read_structure, write_structures
from seiflow.records import read_record

if TYPE_CHECKING:
    from seiflow.properties.migration.network import Network


def hops(task: Task, relaxed: Path) -> None:
    """Record the network of hops of a relaxed crystal."""
    step = task.step({"relaxed": relaxed}, task.settings.migration)
    if not step.found():
        step.finish(_network(task, relaxed), evaluations=0)


def vacancy(task: Task, relaxed: Path, site: str, frame: Path) -> None:
    """Relax the vacancy at one site and record it."""
    from seiflow.properties.migration.network import make_supercell
    from seiflow.properties.migration.states import relax_vacancy

    step = task.step({"relaxed": relaxed}, task.settings.migration, frame)
    if step.found():
        return
    network = _network(task, relaxed)
    supercell = make_supercell(read_structure(relaxed), network.supercell)
    wanted = _named(network.sites, "site", site)
    result = relax_vacancy(supercell, wanted, task.engine, task.settings.migration)
    empty = supercell.copy()
    empty.positions += result.displacements_angstrom
    del empty[wanted.index]
    write_structures(frame, [empty])
    step.finish(result)


def hop(task: Task, relaxed: Path, name: str, vacancy_files: list[Path], frames: Path) -> None:
    """Record the barrier of one hop."""
    import numpy as np

    from seiflow.properties.migration.hop import hop_barrier
    from seiflow.properties.migration.network import make_supercell
    from seiflow.properties.migration.states import Vacancy
    from seiflow.properties.migration.symmetry import site_symmetry

    inputs = {"relaxed": relaxed} | {f"vacancy {path.stem}": path for path in vacancy_files}
    step = task.step(inputs, task.settings.migration, frames)
    if step.found():
        return
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
    step.finish(barrier)


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
    task.step(inputs, task.settings.migration).finish(result, evaluations)


def interstitial_migration(task: Task, relaxed: Path, frames: Path) -> None:
    """Record the interstitial hops of a relaxed crystal; ``frames`` holds the structures of states and hops."""
    from seiflow.properties.interstitial_migration.migration import interstitial_migration as compute

    step = task.step({"relaxed": relaxed}, task.settings.interstitial_migration, frames)
    if step.found():
        return
    (phase,) = task.phases
    result, structures = compute(read_structure(relaxed), phase, task.engine, task.settings.interstitial_migration)
    write_structures(frames, structures)
    step.finish(result)


def _network(task: Task, relaxed: Path) -> "Network":
    from seiflow.properties.migration.network import hop_network

    (phase,) = task.phases
    mobile = phase.mobile
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
