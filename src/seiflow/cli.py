"""The command line: one subcommand per rule, and a few for people."""

import argparse
import contextlib
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import SeiflowError
from seiflow.library.commands import register as register_library

if TYPE_CHECKING:
    from seiflow.report import Target
    from seiflow.tasks import Task

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way

SECONDS_BETWEEN_LINES = 10.0
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    output: Path | None = getattr(options, "output", None)
    failure = output.with_suffix(".failed") if output and "settings" in options else None
    try:
        options.run(options)
    except SeiflowError as error:
        return _failed(str(error), failure, options)
    except KeyboardInterrupt:
        print("stopped; run again to go on from here", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a user sees one line; the log keeps the traceback
        if "log" in options and options.log:
            with options.log.open("a", encoding="utf-8") as log:
                log.write(traceback.format_exc())
        return _failed(f"unexpected {type(error).__name__}: {error}", failure, options)
    if failure:
        failure.unlink(missing_ok=True)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from seiflow import __version__

    top = argparse.ArgumentParser(
        prog="seiflow",
        description="Numbers about the solid-electrolyte interphase: from structures to a table a referee believes.",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _people(commands)
    register_library(commands)
    _rules(commands)
    return top


def _people(commands: "Commands") -> None:
    check = commands.add_parser("check", help="find every mistake in a study and say what it will cost")
    check.add_argument("study", type=Path, help="study file (YAML)")
    check.set_defaults(run=_check)
    status = commands.add_parser("status", help="say what of a study is done, running, failed or waiting")
    status.add_argument("study", type=Path, help="study file (YAML)")
    status.set_defaults(run=_status)
    report = commands.add_parser("report", help="write table, figures and report of what a study has so far")
    report.add_argument("study", type=Path, help="study file (YAML)")
    report.set_defaults(run=_report)
    table = commands.add_parser("table", help="print the table of a study")
    table.add_argument("study", type=Path, help="study file (YAML)")
    table.set_defaults(run=_table)
    listing = commands.add_parser("list", help="list the structures and calculators that a study can name")
    listing.add_argument("--library", type=Path, action="append", default=[], help="folder with your own recipes")
    listing.set_defaults(run=_list)
    schema = commands.add_parser("schema", help="print what a study file may hold, as JSON Schema or as a page")
    schema.add_argument("--markdown", action="store_true", help="print a page for people instead")
    schema.set_defaults(run=_schema)


def _rules(commands: "Commands") -> None:
    build = commands.add_parser("build", help="build a structure from its recipe")
    build.add_argument("--structure", type=Path, required=True, help="recipe of the structure")
    build.add_argument("--output", type=Path, required=True, help="extended XYZ file to write")
    build.set_defaults(run=_build)
    relax = _job(commands, "relax", "relax a crystal, ions and cell, within its space group", _relax)
    relax.add_argument("--built", type=Path, required=True, help="structure to relax")
    relax.add_argument("--relaxed", type=Path, required=True, help="extended XYZ file to write")
    for name, help_text, run in (
        ("elasticity", "relaxed-ion stiffness of a relaxed crystal", _elasticity),
        ("phonons", "phonons of a relaxed crystal", _phonons),
        ("hops", "symmetry-distinct hops of a relaxed crystal", _hops),
    ):
        _relaxed(_job(commands, name, help_text, run))
    vacancy = _relaxed(_job(commands, "vacancy", "relax the vacancy at one site", _vacancy))
    vacancy.add_argument("--site", required=True, help="name of the site")
    vacancy.add_argument("--frame", type=Path, required=True, help="extended XYZ file to write")
    hop = _relaxed(_job(commands, "hop", "barrier of one hop", _hop))
    hop.add_argument("--hop", required=True, help="name of the hop")
    hop.add_argument("--vacancies", type=Path, nargs="+", required=True, help="records of the vacancies at its ends")
    hop.add_argument("--frames", type=Path, required=True, help="extended XYZ file to write: initial, saddle, final")
    migration = _relaxed(_job(commands, "migration", "percolation barriers from all hops", _migration))
    migration.add_argument("--hops", type=Path, nargs="+", required=True, help="records of the hops")


def _job(commands: "Commands", name: str, help_text: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help_text)
    command.add_argument("--structure", type=Path, required=True, help="recipe of the structure")
    command.add_argument("--calculator", type=Path, required=True, help="recipe of the calculator")
    command.add_argument("--settings", default="{}", help="settings of the step, JSON; defaults for what is left out")
    command.add_argument("--output", type=Path, required=True, help="record to write (JSON)")
    command.add_argument("--log", type=Path, help="file for progress, a line a step")
    command.set_defaults(run=run)
    return command


def _relaxed(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--relaxed", type=Path, required=True, help="relaxed crystal")
    return command


def _failed(message: str, failure: Path | None, options: argparse.Namespace) -> int:
    where = f"{options.output}: " if "output" in options else ""
    print(f"error: {where}{message}", file=sys.stderr)
    if failure:
        with contextlib.suppress(OSError):
            failure.write_text(message + "\n", encoding="utf-8")
    return 1


class _Progress:
    """Writes every line to the log and one every few seconds to the terminal."""

    def __init__(self, log: Path | None, name: str) -> None:
        self._log = log
        if log:
            log.write_text("", encoding="utf-8")
        self._name = name
        self._last = time.monotonic()

    def __call__(self, line: str) -> None:
        if self._log:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"  {self._name}: {line}", file=sys.stderr, flush=True)


def _task(options: argparse.Namespace) -> "Task":
    from seiflow.tasks import Task
    from seiflow.workflow import parse_settings

    if options.log:
        options.log.parent.mkdir(parents=True, exist_ok=True)
    name = "/".join([*options.output.parts[-3:-1], options.output.stem])
    report = _Progress(options.log, name)

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        report(f"{category.__name__}: {message}")

    warnings.showwarning = show  # type: ignore[assignment] # the two arguments used are enough
    return Task(
        structure_file=options.structure,
        calculator_file=options.calculator,
        settings=parse_settings(options.settings),
        output=options.output,
        report=report,
    )


def _build(options: argparse.Namespace) -> None:
    from seiflow.tasks import build

    build(options.structure, options.output)


def _relax(options: argparse.Namespace) -> None:
    from seiflow.tasks import relax

    relax(_task(options), options.built, options.relaxed)


def _elasticity(options: argparse.Namespace) -> None:
    from seiflow.tasks import elasticity

    elasticity(_task(options), options.relaxed)


def _phonons(options: argparse.Namespace) -> None:
    from seiflow.tasks import phonons

    phonons(_task(options), options.relaxed)


def _hops(options: argparse.Namespace) -> None:
    from seiflow.tasks import hops

    hops(_task(options), options.relaxed)


def _vacancy(options: argparse.Namespace) -> None:
    from seiflow.tasks import vacancy

    vacancy(_task(options), options.relaxed, options.site, options.frame)


def _hop(options: argparse.Namespace) -> None:
    from seiflow.tasks import hop

    hop(_task(options), options.relaxed, options.hop, options.vacancies, options.frames)


def _migration(options: argparse.Namespace) -> None:
    from seiflow.tasks import migration

    migration(_task(options), options.relaxed, options.hops)


def _check(options: argparse.Namespace) -> None:
    from seiflow.estimate import estimate
    from seiflow.study import Study
    from seiflow.workflow import require_writable

    study = Study.read(options.study)
    require_writable(Path(study.config.results))
    print(f"{options.study}: no mistakes\n{estimate(study)}")


def _status(options: argparse.Namespace) -> None:
    from seiflow.status import status
    from seiflow.study import Study

    print(status(Study.read(options.study)))


def _report(options: argparse.Namespace) -> None:
    from seiflow.report import make_report

    results, targets, references, title = _report_inputs(options.study)
    make_report(results, targets, references, title)
    print(f"report: {results / 'report.html'}")


def _table(options: argparse.Namespace) -> None:
    from seiflow.report import collect, format_table
    from seiflow.report.references import load_references

    results, targets, references, _ = _report_inputs(options.study)
    print(format_table(collect(results, targets), load_references(references)))
    print(f"\ntable:  {results / 'table.csv'}\nreport: {results / 'report.html'}")


def _report_inputs(study_file: Path) -> tuple[Path, "list[Target]", Path, str]:
    from seiflow.report import Target
    from seiflow.shelves import data_folder
    from seiflow.study import Study

    study = Study.read(study_file)
    targets = [Target(job.structure, job.calculator, job.name, job.own_settings) for job in study.jobs]
    return Path(study.config.results), targets, data_folder("references"), study.config.title


def _list(options: argparse.Namespace) -> None:
    from seiflow.calculators.recipes import calculator_shelf
    from seiflow.shelves import boundary_shelf, interface_shelf, phase_shelf

    for heading, shelf in (
        ("phases", phase_shelf(options.library)),
        ("grain boundaries", boundary_shelf(options.library)),
        ("interfaces", interface_shelf(options.library)),
        ("calculators", calculator_shelf(options.library)),
    ):
        print(heading)
        for name in shelf.names:
            print(f"  {name:18s} {shelf.get(name).summary}")


def _schema(options: argparse.Namespace) -> None:
    import json

    from seiflow.study import schema, schema_page

    print(schema_page() if options.markdown else json.dumps(schema(), indent=2))


if __name__ == "__main__":
    sys.exit(main())
