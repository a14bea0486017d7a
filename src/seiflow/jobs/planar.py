"""Jobs on boundaries, interfaces and slabs: how the grains lie on each other, and energies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seiflow.errors import InputError
from seiflow.jobs.task import Task, read_structure, stamped, write_structures
from seiflow.records import read_record
from seiflow.shelves import STRUCTURES
from seiflow.structures.build import Ingredient
from seiflow.structures.imported import ImportedRecipe
from seiflow.structures.planar_recipes import PlanarRecipe
from seiflow.structures.recipes import PhaseRecipe


def register(task: Task, crystals: Sequence[Path], stiffnesses: Sequence[Path], registered: Path) -> None:
    """Build a structure from crystals relaxed by the same calculator, in the best registry found."""
    from seiflow.properties.registry import registry

    step = task.step(register, _inputs(crystals, stiffnesses), task.settings.registry, registered)
    if step.found():
        return
    built, result = registry(_planar(task), _ingredients(task, crystals, stiffnesses), task.engine, task.settings.registry)
    write_structures(registered, [stamped(built.atoms, built.certificate)])
    step.finish(result)


def boundary(task: Task, relaxed: Path, registry: Path, crystals: Sequence[Path], stiffnesses: Sequence[Path]) -> None:
    """Record the energies of a relaxed boundary, interface or slab."""
    from seiflow.properties.boundary import Surroundings
    from seiflow.properties.boundary import boundary as compute

    inputs = {"relaxed": relaxed, "registry": registry} | _inputs(crystals, stiffnesses)
    step = task.step(boundary, inputs, task.settings.combined("boundary", "planar"))
    if step.found():
        return
    planar = _planar(task)
    recipe = STRUCTURES[planar.kind].model_validate({"summary": planar.summary} | read_record(registry)["recipe"])
    assert not isinstance(recipe, PhaseRecipe | ImportedRecipe)  # noqa: S101 - a kind with a plane
    parts = _ingredients(task, crystals, stiffnesses)
    surroundings = Surroundings(recipe, parts, task.engine, task.settings.boundary, task.settings.planar)
    step.finish(compute(read_structure(relaxed), surroundings))


def _planar(task: Task) -> PlanarRecipe:
    if isinstance(task.structure, PhaseRecipe | ImportedRecipe):
        message = f"{task.structure.name} is built from no relaxed crystals; this step is for boundaries, interfaces and slabs"
        raise InputError(message)
    return task.structure


def _ingredients(task: Task, crystals: Sequence[Path], stiffnesses: Sequence[Path]) -> list[Ingredient]:
    if len(crystals) != len(task.phases):
        message = f"{task.structure.name} is made of {len(task.phases)} phases, {len(crystals)} relaxed crystals were given"
        raise InputError(message)
    matrices = [np.array(read_record(path)["stiffness_gpa"]) for path in stiffnesses]
    return [
        Ingredient(phase, read_structure(crystal), matrices[number] if matrices else None)
        for number, (phase, crystal) in enumerate(zip(task.phases, crystals, strict=True))
    ]


def _inputs(crystals: Sequence[Path], stiffnesses: Sequence[Path]) -> dict[str, Path]:
    """Return the files by what they are: the name of a result's folder is its structure."""
    return {f"{path.stem} {path.parent.parent.name}": path for path in (*crystals, *stiffnesses)}
