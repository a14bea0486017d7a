"""The job on charged defects."""

from collections.abc import Sequence
from pathlib import Path

from ase.formula import Formula

from seiflow.calculators.factory import charged_cells_problem
from seiflow.errors import InputError
from seiflow.jobs.task import Task, read_structure
from seiflow.records import read_record

LIBRARY = "pymatgen-analysis-defects"
"""Of the corrections."""


def charged_defects(task: Task, relaxed: Path, competing: Sequence[Path]) -> None:
    """Record the formation energies of charged defects of a relaxed crystal.

    Args:
        task: The job.
        relaxed: The crystal.
        competing: Records of relaxed phases that bound the chemical potentials.

    Raises:
        InputError: if the calculator cannot give them.
    """
    from seiflow.properties.charged.charged import charged_defects as compute
    from seiflow.properties.charged.limits import Phase

    problem = charged_cells_problem(task.calculator)
    if problem:
        raise InputError(problem)
    settings = task.settings.charged_defects
    records = {path: read_record(path) for path in competing}
    inputs = {"relaxed": relaxed} | {f"competing {one['structure']}": path for path, one in records.items()}
    step = task.step(charged_defects, inputs, settings, libraries=(LIBRARY,))
    if step.found():
        return
    others = [
        Phase(str(one["structure"]), Formula(str(one["formula"])).count(), float(one["energy_ev"]) / int(one["formula_units"]))
        for one in records.values()
    ]
    (phase,) = task.phases
    result = compute(read_structure(relaxed), phase, task.engine_of, settings, others)
    step.finish(result, evaluations=task.evaluations)
