"""Jobs on crystals: build, relax; and properties that take any relaxed structure."""

from dataclasses import asdict
from pathlib import Path

from seiflow.jobs.task import Task, read_structure, write_structures
from seiflow.records import plain
from seiflow.shelves import load_recipe
from seiflow.structures.recipes import PhaseRecipe


def build(structure_file: Path, output: Path) -> None:
    """Build a crystal from its recipe."""
    from seiflow.structures.bulk import build_crystal

    write_structures(output, [build_crystal(load_recipe(structure_file, PhaseRecipe))])


def relax(task: Task, built: Path, relaxed: Path) -> None:
    """Relax a structure of any kind."""
    if isinstance(task.structure, PhaseRecipe):
        from seiflow.relaxation import relaxation

        atoms, result = relaxation(read_structure(built), task.structure, task.engine, task.settings.relaxation)
        write_structures(relaxed, [atoms])
        task.finish(result, {"built": built}, task.settings.relaxation)
        return
    from seiflow.properties.planar import planar_relaxation

    start = read_structure(built)
    atoms, planar = planar_relaxation(start, task.phases, task.engine, task.settings.planar, name=task.structure.name)
    atoms.info.pop("digest", None)
    atoms.info["certificate"] = plain(asdict(planar.certificate))
    write_structures(relaxed, [atoms])
    task.finish(planar, {"built": built}, task.settings.planar)


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
