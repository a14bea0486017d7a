"""The parser of all commands and the commands for people; how a command runs, and how it fails."""

import argparse
import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.calculators.commands import add_calculators
from seiflow.cli_jobs import add_jobs
from seiflow.errors import SeiflowError
from seiflow.library.commands import register as register_library
from seiflow.provenance.cache_commands import add_cache
from seiflow.provenance.commands import add_provenance

if TYPE_CHECKING:
    from seiflow.report import Target

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way

READER_GONE = 141


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status. Only Ctrl-C is left to the caller."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(given, argparse.Namespace(arguments=given))
    output: Path | None = getattr(options, "output", None)
    failure = output.with_suffix(".failed") if output and "settings" in options else None
    try:
        _go_where_it_runs(options)
        status = _in_resident(options)
        if status is not None:
            return status
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever reads the output has had enough; nothing must be written to it at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except SeiflowError as error:
        return _failed(str(error), failure, options)
    except Exception as error:  # noqa: BLE001 - a user sees one line; the log keeps the traceback
        if "log" in options and options.log:
            with contextlib.suppress(OSError), options.log.open("a", encoding="utf-8") as log:
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
    add_provenance(commands)
    add_cache(commands)
    register_library(commands)
    add_calculators(commands)
    add_jobs(commands)
    return top


def _go_where_it_runs(options: argparse.Namespace) -> None:
    """Go on with a job in the environment of its calculator, if that is another one."""
    if "settings" not in options:
        return
    from seiflow.calculators.environments import enter
    from seiflow.calculators.recipes import CalculatorRecipe
    from seiflow.shelves import load_recipe

    enter(load_recipe(options.calculator, CalculatorRecipe), options.arguments)


def _in_resident(options: argparse.Namespace) -> int | None:
    """Return the exit status of a job computed by the process that the jobs of its group share; None if there is none."""
    if "settings" not in options or not os.environ.get("SEIFLOW_RESIDENT"):
        return None
    from seiflow.resident import run_there

    return run_there(options.arguments, options.calculator)


def _people(commands: "Commands") -> None:
    check = commands.add_parser("check", help="find every mistake in a study and say what it will cost")
    check.add_argument("study", type=Path, help="study file (YAML)")
    check.add_argument(
        "--keep-going",
        action="store_true",
        help="only warn of what does not suit one structure, for runs that go on where jobs fail",
    )
    check.set_defaults(run=_check)
    status = commands.add_parser("status", help="say what of a study is done, running, failed or waiting, and what to do")
    status.add_argument("study", type=Path, help="study file (YAML)")
    status.add_argument("--failed", action="store_true", help="only what failed or was stopped, and why")
    status.add_argument("--json", action="store_true", help="for programs")
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
    rules = commands.add_parser("snakefile", help="print where the rules for Snakemake are, or a profile that comes with them")
    rules.add_argument("--profile", metavar="NAME", help="print the folder of this profile instead")
    rules.set_defaults(run=_snakefile)


def _failed(message: str, failure: Path | None, options: argparse.Namespace) -> int:
    where = f"{options.output}: " if "output" in options else ""
    print(f"error: {where}{message}", file=sys.stderr)
    if failure:
        from seiflow.records import write_text

        with contextlib.suppress(SeiflowError):  # the disk may be full
            write_text(failure, message + "\n")
    return 1


def _check(options: argparse.Namespace) -> None:
    from seiflow.calculators.trust import what_runs
    from seiflow.estimate import estimate
    from seiflow.provenance.folder import require_writable
    from seiflow.study import Study
    from seiflow.study_remarks import remarks

    study = Study.read(options.study)
    if not options.keep_going:
        study.refuse_unsuited()
    require_writable(Path(study.config.results))
    told = [*(f"warning: {text}" for text in study.unsuited), *(f"note: {text}" for text in remarks(study))]
    heading = f"{options.study}: {'nothing else is wrong' if study.unsuited else 'no mistakes'}"
    print("\n".join([heading, *told, str(estimate(study))]))
    runs = what_runs(study.sourced_calculators, study.folders)
    if runs:
        print(runs)


def _status(options: argparse.Namespace) -> None:
    from seiflow.status import Watch
    from seiflow.status_table import as_json, failures, overview
    from seiflow.study import Study

    watch = Watch(Study.read(options.study))
    states = list(watch.states.values())
    if options.json:
        print(as_json(states, watch.run))
    else:
        print(failures(states) if options.failed else overview(states, watch.run, watch.left_behind))


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
    return Path(study.config.results), Target.of(study), data_folder("references"), study.config.title


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
            print(f"  {name:24s} {shelf.get(name).summary}")


def _schema(options: argparse.Namespace) -> None:
    import json

    from seiflow.schema import schema, schema_page

    print(schema_page() if options.markdown else json.dumps(schema(), indent=2))


def _snakefile(options: argparse.Namespace) -> None:
    from seiflow.snakefile import SNAKEFILE, profile_folder

    print(profile_folder(options.profile) if options.profile else SNAKEFILE)
