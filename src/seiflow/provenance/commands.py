"""The commands on where results come from: ``trace``, ``verify`` and ``archive``."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way

SAMPLE = 3


def add_provenance(commands: "Commands") -> None:
    """Add the commands to those of the program."""
    _add_trace(commands)
    _add_verify(commands)
    _add_archive(commands)


def _add_trace(commands: "Commands") -> None:
    text = "print the way from recipes to a result"
    trace = commands.add_parser("trace", help=text, description=text)
    trace.add_argument("result", type=Path, help="a record (JSON) or structure (extended XYZ) among the results of a study")
    trace.add_argument("key", nargs="?", help="the number that is asked about; all at the top of the record by default")
    trace.add_argument("--json", action="store_true", help="for programs: every node with its full digest")
    trace.set_defaults(run=_trace)


def _add_verify(commands: "Commands") -> None:
    text = "check results by their digests, and compute some of them again"
    verify = commands.add_parser("verify", help=text, description=text)
    verify.add_argument("results", type=Path, help="folder of results, or study file (YAML)")
    much = verify.add_mutually_exclusive_group()
    much.add_argument("--all", action="store_true", help="compute every step again")
    much.add_argument("--sample", type=int, default=SAMPLE, help="steps computed again, chosen at random; 0 for digests only")
    verify.add_argument("--seed", type=int, default=0, help="of the choice; another one chooses others")
    verify.add_argument("--exact", action="store_true", help="take no difference for noise: on the same machine there is none")
    verify.add_argument("--any-version", action="store_true", help="compute again with other versions than were used, too")
    verify.set_defaults(run=_verify)


def _add_archive(commands: "Commands") -> None:
    text = "pack a study with recipes, environment, results and provenance, or look into such an archive"
    archive = commands.add_parser("archive", help=text, description=text)
    archive.add_argument(
        "study", type=Path, help="study file (YAML) or folder of results; with --inspect or --unpack the archive"
    )
    archive.add_argument(
        "--output", dest="target", metavar="OUTPUT", type=Path, help="file to write, NAME.crate.zip, or a new folder"
    )
    archive.add_argument("--author", action="append", default=[], help="name, or URL that identifies a person; repeatable")
    archive.add_argument("--license", help="URL or name of the licence of the archive")
    archive.add_argument("--anyway", action="store_true", help="archive results too that are not what their recipes give")
    how = archive.add_mutually_exclusive_group()
    how.add_argument("--inspect", action="store_true", help="say what is in an archive and what of it may run code; run nothing")
    how.add_argument("--unpack", action="store_true", help="unpack an archive into the new folder --output; run nothing")
    archive.set_defaults(run=_archive)


def _trace(options: argparse.Namespace) -> None:
    from seiflow.provenance.trace import Trace, as_json, show

    trace = Trace.of(options.result)
    _say(as_json(trace) if options.json else show(trace, options.key))


def _verify(options: argparse.Namespace) -> None:
    from seiflow.provenance.results import Results
    from seiflow.provenance.verify import verify

    results = Results.at(options.results)
    if options.sample < 0:
        message = f"--sample {options.sample}: how many steps are computed again; 0 compares digests only, --all takes all"
        raise InputError(message)
    sample = None if options.all else options.sample
    verdict = verify(results, sample, _say, seed=options.seed, exact=options.exact, any_version=options.any_version)
    problem = verdict.problem
    if problem:
        message = f"{results.folder}: {problem}"
        raise InputError(message)
    _say("nothing differs")


def _archive(options: argparse.Namespace) -> None:
    from seiflow.provenance.unpack import inspect, unpack

    if options.inspect:
        _say("\n".join(inspect(options.study)))
        return
    if options.target is None:
        message = "name what to write with --output"
        raise InputError(message)
    if options.unpack:
        unpack(options.study, options.target)
        _say("\n".join(inspect(options.target)))
        return
    from seiflow.provenance.archive import archive

    for note in archive(options.study, options.target, authors=options.author, licence=options.license, anyway=options.anyway):
        _say(f"note: {note}")
    _say(f"archive: {options.target}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
