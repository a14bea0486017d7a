"""Jobs on the way to the profile of vacancies near a boundary: sites, one vacancy each, profile."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError
from seiflow.jobs.task import Task, read_structure, write_structures
from seiflow.records import read_record
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from seiflow.properties.segregation import BulkVacancy


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


def segregation(task: Task, relaxed: Path, site_files: Sequence[Path], crystals: Sequence[Path], bulk: Sequence[Path]) -> None:
    """Record the profile.

    Args:
        task: What every job is given.
        relaxed: The boundary or interface.
        site_files: Records of the vacancies at its sites.
        crystals: Relaxed crystals of its phases.
        bulk: Records of the vacancies of these phases.
    """
    from seiflow.properties.segregation import SiteVacancy
    from seiflow.properties.segregation import segregation as compute
    from seiflow.properties.segregation import sites as find

    inputs = {"relaxed": relaxed} | {path.stem: path for path in site_files}
    inputs |= {f"{path.stem} {path.parent.parent.name}": path for path in crystals}
    inputs |= {f"{path.stem} {path.parent.parent.parent.name}": path for path in bulk}
    step = task.step(inputs, task.settings.segregation)
    if step.found():
        return
    atoms = read_structure(relaxed)
    found = find(atoms, mobile_species(task.phases), task.settings.segregation)
    records = [read_record(path) for path in site_files]
    vacancies = {
        record["site"]: SiteVacancy(**{name: record[name] for name in SiteVacancy.__dataclass_fields__}) for record in records
    }
    evaluations = sum(record["force_evaluations"] for record in records)
    boundary_energy = atoms.get_potential_energy() * found.atoms / len(atoms)
    references = [_bulk(phase, crystal, bulk) for phase, crystal in zip(task.phases, crystals, strict=True)]
    step.finish(compute(found, boundary_energy, vacancies, references), evaluations)


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


def _bulk(phase: PhaseRecipe, crystal: Path, records: Sequence[Path]) -> "BulkVacancy":
    """Return the most stable vacancy of a phase, from the records that lie in its folder."""
    from seiflow.properties.segregation import BulkVacancy

    atoms = read_structure(crystal)
    own = [read_record(path) for path in records if path.parent.parent == crystal.parent]
    lowest = min(own, key=lambda record: record["energy_ev"])
    number = len(lowest["displacements_angstrom"])
    return BulkVacancy(phase.name, lowest["energy_ev"] - atoms.get_potential_energy() * number / len(atoms), number)
