"""Jobs on the way to the profile of vacancies near a boundary: sites, one vacancy each, profile."""

from collections.abc import Sequence
from pathlib import Path

from seiflow.errors import InputError
from seiflow.jobs.task import Task, read_structure, write_structures
from seiflow.records import read_record
from seiflow.structures.recipes import PhaseRecipe


def sites(task: Task, relaxed: Path) -> None:
    """Record the distinct sites of the mobile ion in a relaxed boundary or interface."""
    from seiflow.properties.segregation import sites as compute

    step = task.step({"relaxed": relaxed}, task.settings.segregation)
    if not step.found():
        step.finish(compute(read_structure(relaxed), mobile_species(task.phases), task.settings.segregation), evaluations=0)


def site_vacancy(task: Task, relaxed: Path, site: str, frame: Path) -> None:
    """Relax the vacancy at one site and record it."""
    from seiflow.properties.segregation import site_vacancy as compute
    from seiflow.properties.segregation import supercell_of

    step = task.step({"relaxed": relaxed}, task.settings.segregation, frame)
    if step.found():
        return
    cell = supercell_of(read_structure(relaxed), mobile_species(task.phases), task.settings.segregation)
    wanted = next((each for each in cell.sites if each.name == site), None)
    if wanted is None:
        message = f"no site {site!r}; known: {', '.join(each.name for each in cell.sites)}"
        raise InputError(message)
    result, structure = compute(cell, wanted, task.engine, task.settings.segregation)
    write_structures(frame, [structure])
    step.finish(result)


def segregation(task: Task, relaxed: Path, site_files: Sequence[Path], crystals: Sequence[Path]) -> None:
    """Record the profile.

    Args:
        task: What every job is given.
        relaxed: The boundary or interface.
        site_files: Records of the vacancies at its sites.
        crystals: Relaxed crystals of its phases.
    """
    from seiflow.properties.segregation import SiteVacancy, bulk_vacancy
    from seiflow.properties.segregation import segregation as compute
    from seiflow.properties.segregation import sites as find

    inputs = {"relaxed": relaxed} | {path.stem: path for path in site_files}
    inputs |= {f"{path.stem} {path.parent.parent.name}": path for path in crystals}
    settings = task.settings.segregation
    step = task.step(inputs, settings)
    if step.found():
        return
    atoms, species = read_structure(relaxed), mobile_species(task.phases)
    found = find(atoms, species, settings)
    records = [read_record(path) for path in site_files]
    vacancies = {
        record["site"]: SiteVacancy(**{name: record[name] for name in SiteVacancy.__dataclass_fields__}) for record in records
    }
    bulk = [
        bulk_vacancy(phase.name, read_structure(crystal), species, found.atoms, task.engine, settings)
        for phase, crystal in zip(task.phases, crystals, strict=True)
    ]
    boundary_energy = atoms.get_potential_energy() * found.atoms / len(atoms)
    result = compute(found, boundary_energy, vacancies, bulk)
    step.finish(result, task.engine.force_evaluations + sum(record["force_evaluations"] for record in records))


def mobile_species(phases: Sequence[PhaseRecipe]) -> str:
    """Return the species that migrates in all phases.

    Raises:
        InputError: if they do not name one and the same.
    """
    named = {phase.mobile for phase in phases}
    species = next(iter(named))
    if len(named) > 1 or species is None:
        told = ", ".join(f"{phase.name}: {phase.mobile or 'none'}" for phase in phases)
        message = f"the phases name no common mobile species ({told})"
        raise InputError(message)
    return species
