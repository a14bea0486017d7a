"""Jobs on migration: of vacancies, the hop list, vacancies, hops and network; of interstitials, all in one."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seiflow.errors import InputError
from seiflow.jobs.segregation import mobile_species
from seiflow.jobs.task import Task, read_structure, read_structures, write_structures
from seiflow.records import read_record

if TYPE_CHECKING:
    from seiflow.properties.migration.network import Network


def hops(task: Task, relaxed: Path) -> None:
    """Record the network of hops of a relaxed crystal."""
    step = task.step(hops, {"relaxed": relaxed}, task.settings.migration)
    if not step.found():
        step.finish(_network(task, relaxed), evaluations=0)


def vacancy(task: Task, relaxed: Path, site: str, frame: Path, head_start: Path | None = None) -> None:
    """Relax the vacancy at one site and record it; ``head_start`` holds it as a cheaper calculator relaxed it."""
    from seiflow.properties.migration.network import make_supercell
    from seiflow.properties.migration.states import relax_vacancy

    inputs = _with_head_start({"relaxed": relaxed}, head_start)
    step = task.step(vacancy, inputs, task.settings.migration, frame, item=site)
    if step.found():
        return
    network = _network(task, relaxed)
    supercell = make_supercell(read_structure(relaxed), network.supercell)
    wanted = _named(network.sites, "site", site)
    given = read_structure(head_start) if head_start else None
    result = relax_vacancy(supercell, wanted, task.engine_of(task.settings.migration.charge), task.settings.migration, given)
    empty = supercell.copy()
    empty.positions += result.displacements_angstrom
    del empty[wanted.index]
    write_structures(frame, [empty])
    step.finish(result, task.evaluations)


def hop(task: Task, relaxed: Path, name: str, vacancy_files: list[Path], frames: Path, head_start: Path | None = None) -> None:
    """Record the barrier of one hop; ``head_start`` holds its structures as a cheaper calculator found them."""
    import dataclasses

    import numpy as np

    from seiflow.properties.migration.hop import hop_barrier
    from seiflow.properties.migration.larger import in_larger_supercell
    from seiflow.properties.migration.network import make_supercell
    from seiflow.properties.migration.states import Vacancy
    from seiflow.properties.migration.symmetry import site_symmetry

    inputs = {"relaxed": relaxed} | {f"vacancy {path.stem}": path for path in vacancy_files}
    step = task.step(hop, _with_head_start(inputs, head_start), task.settings.migration, frames, item=name)
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
    wanted, settings = _named(network.hops, "hop", name), task.settings.migration
    engine = task.engine_of(settings.charge)
    given = read_structures(head_start)[1] if head_start else None
    barrier, structures = hop_barrier(supercell, wanted, vacancies, site_symmetry(supercell), engine, settings, given)
    larger = in_larger_supercell(read_structure(relaxed), network, wanted, barrier, engine, settings)
    if larger is not None:
        barrier = dataclasses.replace(barrier, larger=larger, warnings=barrier.warnings + larger.warnings)
    write_structures(frames, [structures.initial, structures.saddle, structures.final])
    step.finish(barrier, task.evaluations)


def migration(task: Task, relaxed: Path, hop_files: list[Path]) -> None:
    """Record the percolation barriers of a structure."""
    from seiflow.properties.migration.migration import HopResult
    from seiflow.properties.migration.migration import migration as compute

    inputs = {path.stem: path for path in hop_files} | {"relaxed": relaxed}
    step = task.step(migration, inputs, task.settings.migration)
    if step.found():
        return
    records = {path: read_record(path) for path in hop_files}
    results = {record["hop"]: HopResult.from_record(record) for record in records.values()}
    vacancies = {path for hop_file in hop_files for path in (hop_file.parent.parent / "vacancies").glob("*.json")}
    evaluations = sum(record["force_evaluations"] for record in [*records.values(), *map(read_record, sorted(vacancies))])
    result = compute(_network(task, relaxed), results)
    step.finish(result, evaluations)


def barrier_check(task: Task, cheaper: str, hop_files: Sequence[Path]) -> None:
    """Record single points at the structures of the hops of a cheaper calculator."""
    from seiflow.properties.migration.single_points import barrier_check as compute

    step = task.step(barrier_check, {path.stem: path for path in hop_files}, task.settings.migration, item=cheaper)
    if not step.found():
        engine = task.engine_of(task.settings.migration.charge)
        step.finish(compute(cheaper, {path.stem: read_structures(path) for path in hop_files}, engine), task.evaluations)


def paths(
    task: Task,
    relaxed: Path,
    site_files: Sequence[Path],
    vacancy_files: Sequence[Path],
    bulk_files: Sequence[Path],
    frames: Path,
) -> None:
    """Record the percolation barriers of a boundary or interface, computing the hops that decide them.

    Args:
        task: What every job is given.
        relaxed: The boundary or interface.
        site_files: Records of the vacancies at its sites.
        vacancy_files: Their structures, in the same order.
        bulk_files: Records of migration in its phases, for comparison.
        frames: Where to write the structures of the hops.
    """
    from seiflow.properties.migration.network import refuse_small
    from seiflow.properties.migration.planar import BulkBarrier, planar_migration, planar_network
    from seiflow.properties.migration.states import vacancy_in
    from seiflow.properties.segregation import supercell_of

    inputs = {"relaxed": relaxed} | {path.name: path for path in (*site_files, *vacancy_files)}
    inputs |= {f"migration {path.parent.parent.name}": path for path in bulk_files}
    step = task.step(paths, inputs, task.settings.combined("migration", "segregation"), frames)
    if step.found():
        return
    atoms, species = read_structure(relaxed), mobile_species(task.phases)
    cell = supercell_of(atoms, species, task.settings.segregation)
    network = planar_network(atoms, cell, species, task.settings.migration)
    refuse_small(task.structure.name, network.image_distance_angstrom, network.cutoff_angstrom, "segregation.image_distance")
    index = {site.name: site.index for site in cell.sites}
    records = {record["site"]: (record, path) for record, path in zip(map(read_record, site_files), vacancy_files, strict=True)}
    relaxed_ones = {name: path for name, (record, path) in records.items() if record.get("problem") is None}
    vacancies = {name: vacancy_in(cell.atoms, name, index[name], read_structure(path)) for name, path in relaxed_ones.items()}
    stay = {name: bool(record["stays"]) for name, (record, _) in records.items()}
    bulk = [BulkBarrier(record["structure"], record["percolation_barrier_3d_ev"]) for record in map(read_record, bulk_files)]
    result, structures = planar_migration(cell, network, vacancies, stay, bulk, task.engine, task.settings.migration)
    write_structures(frames, structures)
    step.finish(result, task.engine.force_evaluations + sum(record["force_evaluations"] for record, _ in records.values()))


def interstitial_migration(task: Task, relaxed: Path, frames: Path) -> None:
    """Record the interstitial hops of a relaxed structure; ``frames`` holds the structures of states and hops."""
    from seiflow.properties.interstitial_migration.ground import in_boundary, in_crystal
    from seiflow.properties.interstitial_migration.migration import interstitial_migration as compute
    from seiflow.structures.recipes import PhaseRecipe

    settings = task.settings.interstitial_migration
    step = task.step(interstitial_migration, {"relaxed": relaxed}, settings, frames)
    if step.found():
        return
    atoms = read_structure(relaxed)
    if isinstance(task.structure, PhaseRecipe):
        ground = in_crystal(atoms, task.structure, settings)
    else:
        ground = in_boundary(atoms, task.structure.name, task.phases, mobile_species(task.phases), settings)
    result, structures = compute(ground, task.engine, settings)
    write_structures(frames, structures)
    step.finish(result)


def _with_head_start(inputs: dict[str, Path], head_start: Path | None) -> dict[str, Path]:
    return inputs | ({"head start": head_start} if head_start else {})


def _network(task: Task, relaxed: Path) -> "Network":
    from seiflow.properties.migration.larger import refuse_not_larger
    from seiflow.properties.migration.network import hop_network, refuse_small

    (phase,) = task.phases
    mobile = phase.mobile
    if mobile is None:
        message = f"{task.structure.name}: the recipe names no mobile species"
        raise InputError(message)
    crystal, settings = read_structure(relaxed), task.settings.migration
    network = hop_network(crystal, mobile, settings)
    refuse_not_larger(task.structure.name, crystal, network.supercell, settings)
    refuse_small(task.structure.name, network.image_distance_angstrom, network.cutoff_angstrom, "migration.image_distance")
    return network


def _named(items: Any, key: str, name: str) -> Any:  # noqa: ANN401 - sites or hops
    for item in items:
        if getattr(item, key) == name:
            return item
    message = f"no {key} {name!r}; known: {', '.join(getattr(item, key) for item in items)}"
    raise InputError(message)
