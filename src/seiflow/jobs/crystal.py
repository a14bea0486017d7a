"""Jobs on crystals: build, relax; and properties that take any relaxed structure."""

from collections.abc import Sequence
from pathlib import Path

from seiflow.errors import InputError
from seiflow.jobs.task import Step, Task, read_structure, stamped, write_structures
from seiflow.records import read_record
from seiflow.shelves import load_recipe, load_structure
from seiflow.structures.recipes import PhaseRecipe


def build(structure_file: Path, phase_files: Sequence[Path], output: Path) -> None:
    """Build a structure that needs no relaxed crystals: a phase, or one that was imported."""
    from seiflow.structures.build import build_structure, ingredients_as_published

    phases = {path.stem: load_recipe(path, PhaseRecipe) for path in phase_files}
    recipe = load_structure(structure_file)
    if recipe.ingredients:
        message = f"{recipe.name} is built from relaxed crystals; use seiflow register, or seiflow library build to look at it"
        raise InputError(message)
    built = build_structure(recipe, ingredients_as_published(phases))
    write_structures(output, [stamped(built.atoms, built.certificate)])


def relax(task: Task, built: Path, relaxed: Path) -> None:
    """Relax a structure of any kind."""
    is_phase = isinstance(task.structure, PhaseRecipe)
    job = _relax_crystal if is_phase else _relax_planar
    step = task.step(job, {"built": built}, task.settings.relaxation if is_phase else task.settings.planar, relaxed)
    if not step.found():
        job(task, step, built, relaxed)


def _relax_crystal(task: Task, step: Step, built: Path, relaxed: Path) -> None:
    from seiflow.relaxation import relaxation

    (phase,) = task.phases
    cell = task.calculator.stress
    crystal, result = relaxation(read_structure(built), phase, task.engine, task.settings.relaxation, cell=cell)
    write_structures(relaxed, [stamped(crystal, result.certificate)])
    step.finish(result)


def _relax_planar(task: Task, step: Step, built: Path, relaxed: Path) -> None:
    from seiflow.properties.planar import planar_relaxation

    start = read_structure(built)
    atoms, result = planar_relaxation(start, task.phases, task.engine, task.settings.planar, name=task.structure.name)
    write_structures(relaxed, [stamped(atoms, result.certificate)])
    step.finish(result)


def elasticity(task: Task, relaxed: Path) -> None:
    """Record the stiffness of a relaxed structure."""
    from seiflow.properties.elasticity import elasticity as compute

    step = task.step(elasticity, {"relaxed": relaxed}, task.settings.elasticity)
    if not step.found():
        step.finish(compute(read_structure(relaxed), task.engine, task.settings.elasticity))


def phonons(task: Task, relaxed: Path) -> None:
    """Record the phonons of a relaxed crystal."""
    from seiflow.properties.phonons import phonons as compute

    step = task.step(phonons, {"relaxed": relaxed}, task.settings.phonons)
    if not step.found():
        step.finish(compute(read_structure(relaxed), task.engine, task.settings.phonons))


def softness(task: Task, reference: Path) -> None:
    """Record how forces on displaced crystals compare with those of a reference.

    Args:
        task: The job.
        reference: The displaced crystals with the forces of the reference.

    Raises:
        InputError: if the reference is of other elements, or by another calculator than the settings say.
    """
    from seiflow.properties.softness import softness as compute
    from seiflow.reference_forces import read_reference_forces

    step = task.step(softness, {"reference": reference}, task.settings.softness)
    if step.found():
        return
    found = read_reference_forces(reference)
    (phase,) = task.phases
    found.require(phase, task.settings.softness.reference, reference)
    step.finish(compute(found, task.engine))


def defects(task: Task, relaxed: Path, reservoir: Path | None = None) -> None:
    """Record the energies of point defects of a relaxed crystal.

    Args:
        task: The job.
        relaxed: The crystal.
        reservoir: Record of the relaxed element that lone defects of the mobile ion are counted from.
    """
    from seiflow.properties.defects.defects import Reservoir
    from seiflow.properties.defects.defects import defects as compute

    inputs = {"relaxed": relaxed} | ({"reservoir": reservoir} if reservoir else {})
    step = task.step(defects, inputs, task.settings.defects)
    if step.found():
        return
    (phase,) = task.phases
    element = None
    if reservoir:
        record = read_record(reservoir)
        element = Reservoir(str(record["structure"]), float(record["energy_ev"]) / int(record["atoms"]))
    step.finish(compute(read_structure(relaxed), phase, task.engine, task.settings.defects, element))
