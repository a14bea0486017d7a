"""Jobs on the way to the profile of vacancies and interstitials near a boundary: sites, one defect each, profile."""

from collections.abc import Sequence
from pathlib import Path

from seiflow.errors import ConvergenceError, InputError
from seiflow.jobs.task import Task, read_structure, write_structures
from seiflow.records import read_record
from seiflow.structures.recipes import PhaseRecipe


def sites(task: Task, relaxed: Path) -> None:
    """Record the distinct sites of the mobile ion in a relaxed boundary or interface."""
    from seiflow.properties.segregation import refuse_near_images
    from seiflow.properties.segregation import sites as compute

    settings = task.settings.segregation
    step = task.step(sites, {"relaxed": relaxed}, settings)
    if not step.found():
        atoms, species = read_structure(relaxed), mobile_species(task.phases)
        refuse_near_images(task.structure.name, atoms, task.phases, settings.image_distance)
        step.finish(compute(atoms, species, settings), evaluations=0)


def site_defect(task: Task, relaxed: Path, site: str, frame: Path) -> None:
    """Relax the vacancy or interstitial at one site and record it, or why it does not relax: the others are of use alone.

    ``frame`` holds the structure; of one that did not relax as it was made.
    """
    from seiflow.properties.segregation import sites as find
    from seiflow.properties.segregation import supercell_of
    from seiflow.properties.site_defects import site_interstitial, site_vacancy, unrelaxed, with_defect

    settings = task.settings.segregation
    # a defect does not depend on how many interstitials are tried, so that another number finds it in the store
    apart = settings.model_dump(mode="json", exclude={"interstitials"})
    step = task.step(site_defect, {"relaxed": relaxed}, apart, frame, item=site)
    if step.found():
        return
    atoms, species = read_structure(relaxed), mobile_species(task.phases)
    cell, found = supercell_of(atoms, species, settings), find(atoms, species, settings)
    vacancies = {each.name: each for each in found.sites}
    interstitials = {each.name: each for each in found.interstitials}
    if site not in vacancies | interstitials:
        message = f"no site {site!r}; known: {', '.join([*vacancies, *interstitials])}"
        raise InputError(message)
    try:
        if site in vacancies:
            result, structure = site_vacancy(cell, vacancies[site], task.engine, settings)
        else:
            result, structure = site_interstitial(cell, interstitials[site], task.engine, settings)
    except ConvergenceError as error:
        result, structure = unrelaxed(site, str(error)), with_defect(cell, (vacancies | interstitials)[site])
    write_structures(frame, [structure])
    step.finish(result, converged=result.problem is None)


def segregation(task: Task, relaxed: Path, site_files: Sequence[Path], crystals: Sequence[Path]) -> None:
    """Record the profiles.

    Args:
        task: What every job is given.
        relaxed: The boundary or interface.
        site_files: Records of the vacancies and interstitials at its sites.
        crystals: Relaxed crystals of its phases.
    """
    from seiflow.properties.segregation import segregation as compute
    from seiflow.properties.segregation import sites as find
    from seiflow.properties.site_defects import SiteDefect, bulk_interstitial, bulk_vacancy

    inputs = {"relaxed": relaxed} | {path.stem: path for path in site_files}
    inputs |= {f"{path.stem} {path.parent.parent.name}": path for path in crystals}
    settings = task.settings.segregation
    step = task.step(segregation, inputs, settings)
    if step.found():
        return
    atoms, species = read_structure(relaxed), mobile_species(task.phases)
    found = find(atoms, species, settings)
    records = [read_record(path) for path in site_files]
    defects = {
        record["site"]: SiteDefect(**{name: record[name] for name in SiteDefect.__dataclass_fields__ if name in record})
        for record in records
    }
    phases = [(phase.name, read_structure(crystal)) for phase, crystal in zip(task.phases, crystals, strict=True)]
    bulk = [bulk_vacancy(name, crystal, species, found.atoms, task.engine, settings) for name, crystal in phases]
    added = phases if found.interstitials else []
    bulk_added = [bulk_interstitial(name, crystal, species, found.atoms, task.engine, settings) for name, crystal in added]
    boundary_energy = atoms.get_potential_energy() * found.atoms / len(atoms)
    result = compute(found, boundary_energy, defects, bulk, bulk_added)
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
