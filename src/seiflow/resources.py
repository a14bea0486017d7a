"""What a job asks of a cluster, from the recipe of its calculator: memory, time, MPI tasks and graphics cards.

A job that was ended because it asked for too little is started again and asks for more: memory grows with the number of the
attempt, time doubles. What it had computed is read back from its journal, so a limit that is too short costs a start-up.
"""

import math

from seiflow.calculators.recipes import CalculatorRecipe

LEAST_MINUTES = 20
"""Any job asks for so many at least: start-up, slow file systems, slow nodes."""

ATOM_EVALUATIONS = 20_000
"""Evaluations times atoms that a first attempt leaves time for: a hundred of a supercell of two hundred atoms."""


SNAKEMAKE_MB = 500
"""Memory of the processes of Snakemake that surround a job in a cluster, which count with it."""


def memory(recipe: CalculatorRecipe, attempt: int) -> int:
    """Return the memory of a job with all its processes, MB."""
    return SNAKEMAKE_MB + recipe.memory_mb * recipe.processes * attempt


def minutes(recipe: CalculatorRecipe, attempt: int) -> int:
    """Return the wall time of a job, minutes."""
    computing = ATOM_EVALUATIONS * recipe.seconds_per_atom / recipe.processes / 60
    return math.ceil(LEAST_MINUTES + computing) * int(2 ** (attempt - 1))


def threads(recipe: CalculatorRecipe) -> int:
    """Return the threads of a calculator that runs in the process of its job."""
    asked = recipe.arguments.get("threads")
    return asked if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0 else 1


def cards(recipe: CalculatorRecipe) -> int | None:
    """Return the graphics cards of a job; None if its calculator uses none, so that no cluster is asked for any."""
    return 1 if str(recipe.arguments.get("device", "")).startswith("cuda") else None


def only_mpi(recipe: CalculatorRecipe, value: int | str) -> int | str | None:
    """Return a value for a calculator with several MPI processes; None for others."""
    return value if recipe.processes > 1 else None
