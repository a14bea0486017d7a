"""``seiflow calculators forces`` and ``test``: reference forces of a phase, and how good a calculator is."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import CalculatorError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from seiflow.calculators.fitness import FitnessStudy
    from seiflow.report import Target

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way


def add_to(group: "Commands") -> None:
    """Add the commands to those of ``seiflow calculators``."""
    help_text = "compute reference forces of a phase, for the softness of other calculators"
    forces = group.add_parser("forces", help=help_text, description=help_text)
    forces.add_argument("name", help="calculator whose forces are to be the reference")
    forces.add_argument("--phase", required=True, help="name of the phase")
    forces.add_argument(
        "--output", dest="file", type=Path, help="file to write; by default references/forces/PHASE-NAME.extxyz here"
    )
    forces.add_argument("--seed", type=_at_least(0), default=0, help="of the random displacements")
    forces.add_argument("--processes", type=_at_least(1), default=1, help="MPI processes of a program that the calculator starts")
    forces.set_defaults(run=_forces)
    help_text = "compare what a calculator computes of a few phases and boundaries with what is published"
    test = group.add_parser("test", help=help_text, description=help_text)
    test.add_argument("names", nargs="*", metavar="NAME", help="calculators to test")
    test.add_argument("--all", action="store_true", help="test all that are installed and quick")
    test.add_argument("--folder", type=Path, default=Path("results-fitness"), help="a folder for each calculator is made in it")
    test.add_argument("--cores", type=_at_least(1), default=1, help="jobs side by side")
    test.add_argument("--phases", nargs="+", help="names of the phases; by default LiF, Li2O, Li2CO3")
    test.add_argument("--boundaries", nargs="*", help="names of boundaries made of them; by default two each of LiF and Li2O")
    test.add_argument("--reference", metavar="NAME", help="calculator whose forces it is compared with; by default gpaw-pbe")
    test.add_argument("--markdown", type=Path, help="page to write that sets the calculators side by side")
    test.set_defaults(run=_test)
    for command in (forces, test):
        command.add_argument("--library", type=Path, action="append", default=[], help="folder with your own recipes; repeatable")


def _at_least(least: int) -> "Callable[[str], int]":
    """Return what reads a whole number that may not be smaller."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            message = f"{text!r} is no whole number of at least {least}"
            raise argparse.ArgumentTypeError(message)
        return int(text)

    return number


def _forces(options: argparse.Namespace) -> None:
    from seiflow.calculators.environments import enter
    from seiflow.calculators.recipes import calculator_shelf
    from seiflow.jobs.reference_forces import reference_forces
    from seiflow.provenance.foreign import require_trusted
    from seiflow.reference_forces import FOLDER, file_name
    from seiflow.shelves import phase_shelf

    require_trusted(options.library)
    phase = phase_shelf(options.library).path(options.phase)
    shelf = calculator_shelf(options.library)
    calculator = shelf.path(options.name)
    enter(shelf.get(options.name), options.arguments)
    output: Path = options.file or FOLDER / file_name(options.phase, options.name)
    if output.suffix != ".extxyz":
        message = f"{output}: reference forces are kept as extended XYZ; name the file .extxyz"
        raise InputError(message)
    reference_forces(phase, calculator, output, seed=options.seed, processes=options.processes, report=_tell)
    _say(str(output))


def _test(options: argparse.Namespace) -> None:
    from seiflow.calculators.fitness import BOUNDARIES, PHASES, affordable, untested, write_study

    phases = PHASES if options.phases is None else options.phases
    boundaries = BOUNDARIES if options.boundaries is None else options.boundaries
    names = list(dict.fromkeys([*options.names, *(affordable(options.library, phases) if options.all else [])]))
    if not names:
        message = "name a calculator to test, or --all; seiflow list tells their names"
        raise InputError(message)
    studies, failed = [], []
    for name in names:
        study = write_study(name, options.folder / name, options.library, phases, boundaries, options.reference)
        studies.append(study)
        if not _run(study, options.cores):
            failed.append(name)
    if options.markdown:
        _write_page(studies, options.markdown, untested(names, options.library, phases))
    if failed:
        message = f"not all could be computed with {', '.join(failed)}: see above; run again to go on from here"
        raise CalculatorError(message)


def _run(study: "FitnessStudy", cores: int) -> bool:
    """Run a study, print what came out, and tell whether all of it could be computed."""
    from seiflow.calculators.fitness import run_study
    from seiflow.estimate import estimate
    from seiflow.report import collect, format_table
    from seiflow.report.fitness_page import boundary_order, verdict
    from seiflow.report.html import fitness
    from seiflow.report.references import load_references
    from seiflow.shelves import data_folder
    from seiflow.study import Study

    for text in study.left_out:
        _tell(f"left out: {text}")
    _tell(f"{study.file}\n{estimate(Study.read(study.file))}")
    complete = run_study(study, cores)
    references = load_references(data_folder("references"))
    collected = collect(study.file.parent / "results", _targets(study))
    measured = fitness(collected, references).get(study.calculator, {})
    parts = [format_table(collected, references), boundary_order(collected), verdict(study.calculator, measured)]
    _say("\n\n".join(part.rstrip() for part in parts if part))
    return complete


def _targets(study: "FitnessStudy") -> "list[Target]":
    from seiflow.report import Target
    from seiflow.study import Study

    return Target.of(Study.read(study.file))


def _write_page(studies: "list[FitnessStudy]", page: Path, not_tested: list[str]) -> None:
    from seiflow.records import write_text
    from seiflow.report import Collected, collect
    from seiflow.report.fitness_page import fitness_page
    from seiflow.report.references import load_references
    from seiflow.shelves import data_folder

    found = [collect(study.file.parent / "results", _targets(study)) for study in studies]
    together = Collected(tuple(case for one in found for case in one.cases), tuple(item for one in found for item in one.missing))
    left_out = [text for study in studies for text in study.left_out]
    published = load_references(data_folder("references"))
    write_text(page, fitness_page(together, published, list(dict.fromkeys(left_out)), not_tested))
    _say(str(page))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
