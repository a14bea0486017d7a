"""What a study will cost, before anything is computed."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seiflow.shelves import phases_of
from seiflow.structures.build import build_structure, ingredients_as_published
from seiflow.structures.recipes import PhaseRecipe
from seiflow.study import Job, Study

if TYPE_CHECKING:
    from ase import Atoms

RELAXATIONS = {"relaxation": 30, "elasticity": 40}
"""Typical force evaluations in the unit cell."""

SUPERCELL = {"vacancy": 25, "hop": 120}
"""Typical force evaluations in the supercell, each."""

DEFECT = 40
"""Typical force evaluations of one cell with point defects."""

CHARGED = 12
"""Typical force evaluations of one charged vacancy."""

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
    for job in study.jobs:
        work = _work(study, job)
        cost = study.calculators.get(job.calculator).seconds_per_atom
        jobs[job.name] += work.jobs
        evaluations[job.name] += work.evaluations
        seconds += work.evaluations * work.atoms * cost
    lines = [f"  {name:12s} {jobs[name]:4d} jobs, about {evaluations[name]:6d} force evaluations" for name in jobs]
    total = f"  {'together':12s} {jobs.total():4d} jobs, about {evaluations.total():6d} force evaluations, "
    total += f"{seconds / 60:.1f} core minutes"
    return "\n".join([*lines, total])


def _work(study: Study, job: Job) -> _Work:
    recipe = study.structures.get(job.structure)
    phases = {name: study.phases.get(name) for name in phases_of(recipe)}
    atoms = build_structure(recipe, ingredients_as_published(phases)).atoms
    if not isinstance(recipe, PhaseRecipe):
        once = RELAXATIONS["relaxation"] * (2 if job.settings.planar.shakes else 1)
        thicker = 2 if job.settings.boundary.thicker_by is not None else 1
        registries = REGISTRY * (job.settings.registry.candidates + 1) if job.settings.registry.candidates else 0
        work = {
            "relaxation": _Work(2, once + registries, len(atoms)),
            "segregation": _Work(2 + len(atoms) // 8, SUPERCELL["vacancy"] * len(atoms) // 8, 4 * len(atoms)),
            "boundary": _Work(1, once * thicker, len(atoms)),
            "elasticity": _Work(1, 18 * STRAINED, len(atoms)),
        }
        return work[job.name]
    if job.name in RELAXATIONS:
        return _Work(1, RELAXATIONS[job.name], len(atoms))
    if job.name == "migration":
        from seiflow.properties.migration.network import hop_network

        network = hop_network(atoms, recipe.mobile or "", job.settings.migration)
        work_of = SUPERCELL["vacancy"] * len(network.sites) + SUPERCELL["hop"] * len(network.hops)
        return _Work(2 + len(network.sites) + len(network.hops), work_of, network.atoms)
    if job.name == "defects":
        return _defects(recipe, atoms, job)
    if job.name == "charged_defects":
        from seiflow.properties.charged.charged import plan_charged

        host, asked = plan_charged(atoms, recipe, job.settings.charged_defects)
        return _Work(1, CHARGED * len(asked) + 1, len(host.atoms))
    from seiflow.properties.phonons import displace, displaced_structures

    displaced = displaced_structures(displace(atoms, job.settings.phonons))
    return _Work(1, len(displaced), len(displaced[0]))


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
