"""What a study will cost, before anything is computed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seiflow.errors import UnsuitedError
from seiflow.planar_settings import PlanarSettings
from seiflow.properties.annealing import STRETCH, steps_of
from seiflow.shelves import phases_of
from seiflow.structures.build import build_structure, ingredients_as_published
from seiflow.structures.defect_sites import defect_supercell
from seiflow.structures.recipes import PhaseRecipe
from seiflow.study import Job, Study

if TYPE_CHECKING:
    from ase import Atoms

RELAXATIONS = {"relaxation": 12, "elasticity": 30}
"""Typical force evaluations in the unit cell."""

PLANAR = 30
"""Typical force evaluations of a boundary or interface that is relaxed once."""

SUPERCELL = {"vacancy": 12, "hop": 100}
"""Typical force evaluations in the supercell, each."""

DEFECT = 40
"""Typical force evaluations of one cell with point defects."""

HOPS_PER_SITE = 2
"""Interstitial hops for each interstitial site."""

CHARGED = 12
"""Typical force evaluations of one charged vacancy or interstitial."""

BOUND, BOUNDS_PER_SITE, DECISIVE = 12, 3, 6
"""Typical force evaluations of the bound of a hop near a boundary, hops bounded for each site, and hops computed."""

POINTS_OF_CHECK = 5
"""Single points of each hop of a cheaper calculator."""

REGISTRY = 20
"""Typical force evaluations of one registry."""

STRAINED = 25
"""Typical force evaluations of one strain state of a cell of low symmetry, of which there are about six."""


@dataclass(frozen=True)
class _Work:
    jobs: int
    evaluations: int
    atoms: int


def estimate(study: Study) -> str:
    """Return the number of jobs and an estimate of force evaluations and core minutes, one line a property."""
    jobs: Counter[str] = Counter()
    evaluations: Counter[str] = Counter()
    seconds = 0.0
    built: dict[str, Atoms] = {}
    known: dict[tuple[str, str, int], _Work] = {}
    for job in study.jobs:
        if job.structure not in built:
            built[job.structure] = _built(study, job.structure)
        same = (job.structure, job.name, id(job.settings))  # the calculator makes no difference
        if same not in known:
            known[same] = _work(study, job, built[job.structure])
        work = known[same]
        cost = study.calculators.get(job.calculator).seconds_per_atom
        jobs[job.name] += work.jobs
        evaluations[job.name] += work.evaluations
        seconds += work.evaluations * work.atoms * cost
    width = max(12, *map(len, jobs))
    lines = [f"  {name:{width}s} {jobs[name]:4d} jobs, about {evaluations[name]:6d} force evaluations" for name in jobs]
    total = f"  {'together':{width}s} {jobs.total():4d} jobs, about {evaluations.total():6d} force evaluations, "
    total += f"{seconds / 60:.1f} core minutes"
    return "\n".join([*lines, total])


def expected_evaluations(study: Study, job: Job) -> int:
    """Return the force evaluations that a property takes, roughly."""
    return _work(study, job, _built(study, job.structure)).evaluations


def _built(study: Study, structure: str) -> "Atoms":
    recipe = study.structures.get(structure)
    phases = {name: study.phases.get(name) for name in phases_of(recipe)}
    return build_structure(recipe, ingredients_as_published(phases)).atoms


def _work(study: Study, job: Job, atoms: "Atoms") -> _Work:
    """Return what a property takes; nothing where it cannot be computed, which the study tells."""
    recipe = study.structures.get(job.structure)
    try:
        if not isinstance(recipe, PhaseRecipe):
            return _planar(study.phases.get(phases_of(recipe)[0]).mobile, atoms, job)
        if job.name in RELAXATIONS:
            return _Work(1, RELAXATIONS[job.name], len(atoms))
        return _CRYSTAL[job.name](recipe, atoms, job)
    except UnsuitedError:
        return _Work(0, 0, len(atoms))


def _planar(mobile: str | None, atoms: "Atoms", job: Job) -> _Work:
    settings = job.settings
    once = PLANAR * (2 if settings.planar.shakes else 1) + _annealing(settings.planar)
    if job.name == "relaxation":
        registries = REGISTRY * (settings.registry.candidates + 1) if settings.registry.candidates else 0
        return _Work(2, once + registries, len(atoms))
    if job.name == "boundary":
        return _Work(1, once * (2 if settings.boundary.thicker_by is not None else 1), len(atoms))
    if job.name == "elasticity":
        return _Work(1, 18 * STRAINED, len(atoms))
    if job.name == "interstitial_migration":
        asked = settings.interstitial_migration
        filled = defect_supercell(atoms, species=mobile or "", image_distance=asked.image_distance)
        hops = min(HOPS_PER_SITE * asked.sites, asked.most_hops)
        needed = (SUPERCELL["hop"] + BOUND * BOUNDS_PER_SITE) * hops
        return _Work(1, DEFECT * asked.sites + min(needed, asked.most_evaluations or needed), len(filled.atoms))
    cell = defect_supercell(atoms, species=mobile or "", image_distance=settings.segregation.image_distance)
    sites, added = len(cell.sites), settings.segregation.interstitials
    if job.name == "segregation":
        return _Work(2 + sites + added, SUPERCELL["vacancy"] * sites + DEFECT * added, len(cell.atoms))
    needed = BOUND * BOUNDS_PER_SITE * sites + SUPERCELL["hop"] * DECISIVE
    return _Work(1, min(needed, settings.migration.most_evaluations or needed), len(cell.atoms))


def _annealing(settings: PlanarSettings) -> int:
    if settings.anneal_kelvin is None:
        return 0
    steps = steps_of(settings.anneal_ps)
    return steps + PLANAR * steps // STRETCH + PLANAR // 2  # what is given to the other boundary starts near its minimum


def _migration(recipe: PhaseRecipe, atoms: "Atoms", job: Job) -> _Work:
    from seiflow.properties.migration.network import hop_network

    settings = job.settings.migration
    network = hop_network(atoms, recipe.mobile or "", settings)
    evaluations = SUPERCELL["vacancy"] * len(network.sites) + SUPERCELL["hop"] * len(network.hops)
    times = 1.0
    if settings.larger_image_distance is not None:
        larger = settings.model_copy(update={"image_distance": settings.larger_image_distance, "larger_image_distance": None})
        times += hop_network(atoms, recipe.mobile or "", larger).atoms / network.atoms
    return _Work(2 + len(network.sites) + len(network.hops), round(evaluations * times), network.atoms)


def _barrier_check(recipe: PhaseRecipe, atoms: "Atoms", job: Job) -> _Work:
    from seiflow.properties.migration.network import hop_network

    network = hop_network(atoms, recipe.mobile or "", job.settings.migration)
    return _Work(1, POINTS_OF_CHECK * len(network.hops), network.atoms)


def _phonons(_: PhaseRecipe, atoms: "Atoms", job: Job) -> _Work:
    from seiflow.properties.phonons import displace, displaced_structures

    displaced = displaced_structures(displace(atoms, job.settings.phonons))
    return _Work(1, len(displaced), len(displaced[0]))


def _softness(_: PhaseRecipe, atoms: "Atoms", __: Job) -> _Work:
    from seiflow.properties.displaced import TYPICAL, small_cell

    return _Work(1, TYPICAL, len(small_cell(atoms)))


def _charged(recipe: PhaseRecipe, atoms: "Atoms", job: Job) -> _Work:
    from seiflow.properties.charged.plan import plan_charged

    plan = plan_charged(atoms, recipe, job.settings.charged_defects)
    return _Work(1, CHARGED * len(plan.asked) + 1, len(plan.host.atoms))


def _interstitials(recipe: PhaseRecipe, atoms: "Atoms", job: Job) -> _Work:
    """Return what interstitial hops take; how many there are is known only once the interstitials are relaxed."""
    from seiflow.properties.defects.host import make_host

    settings = job.settings.interstitial_migration
    host = make_host(atoms, recipe, settings.image_distance)
    sites = min(settings.sites, len(host.sites(recipe.mobile or "")))
    hops = min(HOPS_PER_SITE * sites, settings.most_hops)
    return _Work(1, DEFECT * sites + SUPERCELL["hop"] * hops, len(host.atoms))


def _defects(recipe: PhaseRecipe, atoms: "Atoms", job: Job) -> _Work:
    from seiflow.properties.defects.arrangements import schottky_sets
    from seiflow.properties.defects.defects import supercells

    settings = job.settings.defects
    host, larger = supercells(atoms, recipe, settings)
    frenkel = 0
    if recipe.mobile:
        frenkel = len(host.distinct(recipe.mobile)) + min(settings.interstitials, len(host.sites(recipe.mobile))) + settings.pairs
    cells = frenkel * (2 if settings.anion else 1) + len(schottky_sets(host))
    times = 1 if larger is None else 1 + len(larger.atoms) / len(host.atoms)
    return _Work(1, round(DEFECT * cells * times), len(host.atoms))


_CRYSTAL: dict[str, Callable[[PhaseRecipe, "Atoms", Job], _Work]] = {
    "migration": _migration,
    "barrier_check": _barrier_check,
    "interstitial_migration": _interstitials,
    "phonons": _phonons,
    "softness": _softness,
    "defects": _defects,
    "charged_defects": _charged,
}
