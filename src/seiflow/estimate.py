"""What a study will cost, before anything is computed."""

from collections import Counter

from seiflow.structures.bulk import build_crystal
from seiflow.study import Study

RELAXATIONS = {"relaxation": 30, "elasticity": 40}
"""Typical force evaluations in the unit cell."""

SUPERCELL = {"vacancy": 25, "hop": 120}
"""Typical force evaluations in the supercell, each."""


def estimate(study: Study) -> str:
    """Return the number of jobs and an estimate of force evaluations and core hours, one line a property."""
    jobs: Counter[str] = Counter()
    evaluations: Counter[str] = Counter()
    seconds = 0.0
    for job in study.jobs:
        recipe = study.structures.get(job.structure)
        crystal = build_crystal(recipe)
        cost = study.calculators.get(job.calculator).seconds_per_atom
        if job.name in RELAXATIONS:
            count, work, atoms = 1, RELAXATIONS[job.name], len(crystal)
        elif job.name == "migration":
            from seiflow.properties.migration.network import hop_network

            network = hop_network(crystal, recipe.mobile or "", job.settings.migration)
            count, atoms = 2 + len(network.sites) + len(network.hops), network.atoms
            work = SUPERCELL["vacancy"] * len(network.sites) + SUPERCELL["hop"] * len(network.hops)
        else:
            from seiflow.properties.phonons import displace, displaced_structures

            displaced = displaced_structures(displace(crystal, job.settings.phonons))
            count, work, atoms = 1, len(displaced), len(displaced[0])
        jobs[job.name] += count
        evaluations[job.name] += work
        seconds += work * atoms * cost
    lines = [f"  {name:12s} {jobs[name]:4d} jobs, about {evaluations[name]:6d} force evaluations" for name in jobs]
    total = f"  {'together':12s} {jobs.total():4d} jobs, about {evaluations.total():6d} force evaluations, "
    total += f"{seconds / 60:.1f} core minutes"
    return "\n".join([*lines, total])
