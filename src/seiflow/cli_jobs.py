"""The commands of the rules: one for each job of the pipeline."""

import argparse
import contextlib
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from seiflow.errors import InputError

if TYPE_CHECKING:
    from seiflow.jobs.task import Task

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 - argparse names the type no other way

SECONDS_BETWEEN_LINES = 10.0


def add_jobs(commands: "Commands") -> None:
    """Add the commands of the rules to the parser."""
    build = commands.add_parser("build", help="build a crystal, or an imported structure, from its recipe")
    build.add_argument("--structure", type=Path, required=True, help="recipe of the structure")
    build.add_argument("--phases", type=Path, nargs="*", default=[], help="recipes of its phases; none for a phase")
    build.add_argument("--output", type=Path, required=True, help="extended XYZ file to write")
    build.set_defaults(run=_build)
    register = _crystals(_job(commands, "register", "build a boundary, interface or slab in its best registry", _register))
    register.add_argument("--registered", type=Path, required=True, help="extended XYZ file to write")
    relax = _job(commands, "relax", "relax a crystal within its space group, or a structure with a plane", _relax)
    relax.add_argument("--built", type=Path, required=True, help="structure to relax")
    relax.add_argument("--relaxed", type=Path, required=True, help="extended XYZ file to write")
    boundary = _crystals(_relaxed(_job(commands, "boundary", "energies of a boundary, interface or slab", _boundary)))
    boundary.add_argument("--registry", type=Path, required=True, help="record of the registry search")
    segregation = _relaxed(_job(commands, "segregation", "energies of defects against distance from a plane", _segregation))
    segregation.add_argument("--crystals", type=Path, nargs="+", required=True, help="relaxed crystals of the phases, in order")
    segregation.add_argument("--sites", type=Path, nargs="+", required=True, help="records of the defects at all sites")
    site = _relaxed(_job(commands, "site-defect", "relax the vacancy or interstitial at one site near a plane", _site_defect))
    site.add_argument("--site", required=True, help="name of the site")
    site.add_argument("--frame", type=Path, required=True, help="extended XYZ file to write")
    for name, help_text, run in (
        ("sites", "sites of the mobile ion near a plane", _sites),
        ("elasticity", "relaxed-ion stiffness of a relaxed structure", _elasticity),
        ("phonons", "phonons of a relaxed crystal", _phonons),
        ("hops", "symmetry-distinct hops of a relaxed crystal", _hops),
    ):
        _relaxed(_job(commands, name, help_text, run))
    softness = _job(commands, "softness", "forces on displaced crystals against those of a reference", _softness)
    softness.add_argument("--reference", type=Path, required=True, help="displaced crystals with the forces of the reference")
    defects = _relaxed(_job(commands, "defects", "energies of point defects of a relaxed crystal", _defects))
    defects.add_argument(
        "--reservoir", type=Path, nargs="*", default=[], help="record of the relaxed element that lone defects are counted from"
    )
    charged = _relaxed(
        _job(commands, "charged-defects", "formation energies of charged vacancies and interstitials", _charged_defects)
    )
    charged.add_argument(
        "--competing", type=Path, nargs="*", default=[], help="records of the relaxed phases that bound the chemical potentials"
    )
    vacancy = _relaxed(_job(commands, "vacancy", "relax the vacancy at one site", _vacancy))
    vacancy.add_argument("--site", required=True, help="name of the site")
    vacancy.add_argument("--frame", type=Path, required=True, help="extended XYZ file to write")
    hop = _relaxed(_job(commands, "hop", "barrier of one hop", _hop))
    hop.add_argument("--hop", required=True, help="name of the hop")
    hop.add_argument("--vacancies", type=Path, nargs="+", required=True, help="records of the vacancies at its ends")
    hop.add_argument("--frames", type=Path, required=True, help="extended XYZ file to write: initial, saddle, final")
    for command in (vacancy, hop):
        command.add_argument("--head-start", type=Path, nargs="*", default=[], help="the same as a cheaper calculator found it")
    interstitial = _relaxed(
        _job(
            commands, "interstitial-migration", "interstitial hops of a relaxed structure, direct and by knock-off", _interstitial
        )
    )
    interstitial.add_argument("--frames", type=Path, required=True, help="extended XYZ file to write: states, then hops")
    check = _job(commands, "barrier-check", "single points at the saddles of a cheaper calculator", _barrier_check)
    check.add_argument("--cheaper", required=True, help="name of the cheaper calculator")
    check.add_argument("--hops", type=Path, nargs="+", required=True, help="structures of its hops")
    migration = _relaxed(_job(commands, "migration", "percolation barriers from all hops", _migration))
    migration.add_argument("--hops", type=Path, nargs="+", required=True, help="records of the hops")
    paths = _relaxed(_job(commands, "paths", "hops along and across a plane, those that decide", _paths))
    paths.add_argument("--sites", type=Path, nargs="+", required=True, help="records of the vacancies at all sites")
    paths.add_argument("--vacancies", type=Path, nargs="+", required=True, help="their structures, in the same order")
    paths.add_argument("--bulk", type=Path, nargs="*", default=[], help="records of migration in the phases")
    paths.add_argument("--frames", type=Path, required=True, help="extended XYZ file to write: the structures of the hops")


def _job(commands: "Commands", name: str, help_text: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help_text)
    command.add_argument("--structure", type=Path, required=True, help="recipe of the structure")
    command.add_argument("--phases", type=Path, nargs="*", default=[], help="recipes of its phases; none for a phase")
    command.add_argument("--calculator", type=Path, required=True, help="recipe of the calculator")
    command.add_argument("--settings", default="{}", help="settings of the step, JSON; defaults for what is left out")
    command.add_argument("--processes", type=int, default=1, help="MPI processes of a program that the calculator starts")
    command.add_argument("--output", type=Path, required=True, help="record to write (JSON)")
    command.add_argument("--log", type=Path, help="file for progress, a line a step")
    command.set_defaults(run=run)
    return command


def _relaxed(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--relaxed", type=Path, required=True, help="relaxed structure")
    return command


def _crystals(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--crystals", type=Path, nargs="+", required=True, help="relaxed crystals of the phases, in their order")
    command.add_argument("--stiffnesses", type=Path, nargs="*", default=[], help="records of their elasticity, in the same order")
    return command


class _Progress:
    """Writes every line to the log and one every few seconds to the terminal."""

    def __init__(self, log: Path | None, name: str) -> None:
        self._log = log
        if log:
            try:
                log.parent.mkdir(parents=True, exist_ok=True)
                log.write_text("", encoding="utf-8")
            except OSError as error:
                message = (
                    f"{log}: cannot be written ({error.strerror}). Free some space or make the folder writable, then run again."
                )
                raise InputError(message) from error
        self._name = name
        self._last = time.monotonic()

    def __call__(self, line: str) -> None:
        if self._log:
            # no reason to stop: on a full disk the next evaluation does, and says what to do
            with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        if time.monotonic() - self._last > SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"  {self._name}: {line}", file=sys.stderr, flush=True)


def _task(options: argparse.Namespace) -> "Task":
    from seiflow.jobs.task import Task
    from seiflow.settings import parse_settings
    from seiflow.store import Store

    name = "/".join([*options.output.parts[-3:-1], options.output.stem])
    report = _Progress(options.log, name)

    def show(message: Warning | str, category: type[Warning], *_: object) -> None:
        report(f"{category.__name__}: {message}")

    warnings.showwarning = show  # type: ignore[assignment] # the two arguments used are enough
    return Task(
        structure_file=options.structure,
        phase_files=tuple(options.phases),
        calculator_file=options.calculator,
        settings=parse_settings(options.settings),
        output=options.output,
        report=report,
        store=Store.from_environment(),
        processes=options.processes,
    )


def _pack(options: argparse.Namespace) -> None:
    """Pack the logs of the parts that a result was made of."""
    from seiflow.logs import pack_logs

    pack_logs(options.output.parent)


def _build(options: argparse.Namespace) -> None:
    from seiflow.jobs.crystal import build

    build(options.structure, options.phases, options.output)


def _register(options: argparse.Namespace) -> None:
    from seiflow.jobs.planar import register

    register(_task(options), options.crystals, options.stiffnesses, options.registered)


def _relax(options: argparse.Namespace) -> None:
    from seiflow.jobs.crystal import relax

    relax(_task(options), options.built, options.relaxed)


def _boundary(options: argparse.Namespace) -> None:
    from seiflow.jobs.planar import boundary

    boundary(_task(options), options.relaxed, options.registry, options.crystals, options.stiffnesses)


def _sites(options: argparse.Namespace) -> None:
    from seiflow.jobs.segregation import sites

    sites(_task(options), options.relaxed)


def _site_defect(options: argparse.Namespace) -> None:
    from seiflow.jobs.segregation import site_defect

    site_defect(_task(options), options.relaxed, options.site, options.frame)


def _segregation(options: argparse.Namespace) -> None:
    from seiflow.jobs.segregation import segregation

    segregation(_task(options), options.relaxed, options.sites, options.crystals)
    _pack(options)


def _elasticity(options: argparse.Namespace) -> None:
    from seiflow.jobs.crystal import elasticity

    elasticity(_task(options), options.relaxed)


def _phonons(options: argparse.Namespace) -> None:
    from seiflow.jobs.crystal import phonons

    phonons(_task(options), options.relaxed)


def _softness(options: argparse.Namespace) -> None:
    from seiflow.jobs.crystal import softness

    softness(_task(options), options.reference)


def _defects(options: argparse.Namespace) -> None:
    from seiflow.jobs.crystal import defects

    defects(_task(options), options.relaxed, *options.reservoir[:1])


def _charged_defects(options: argparse.Namespace) -> None:
    from seiflow.jobs.charged import charged_defects

    charged_defects(_task(options), options.relaxed, options.competing)


def _hops(options: argparse.Namespace) -> None:
    from seiflow.jobs.migration import hops

    hops(_task(options), options.relaxed)


def _vacancy(options: argparse.Namespace) -> None:
    from seiflow.jobs.migration import vacancy

    vacancy(_task(options), options.relaxed, options.site, options.frame, *options.head_start[:1])


def _hop(options: argparse.Namespace) -> None:
    from seiflow.jobs.migration import hop

    hop(_task(options), options.relaxed, options.hop, options.vacancies, options.frames, *options.head_start[:1])


def _interstitial(options: argparse.Namespace) -> None:
    from seiflow.jobs.migration import interstitial_migration

    interstitial_migration(_task(options), options.relaxed, options.frames)


def _barrier_check(options: argparse.Namespace) -> None:
    from seiflow.jobs.migration import barrier_check

    barrier_check(_task(options), options.cheaper, options.hops)


def _migration(options: argparse.Namespace) -> None:
    from seiflow.jobs.migration import migration

    migration(_task(options), options.relaxed, options.hops)
    _pack(options)


def _paths(options: argparse.Namespace) -> None:
    from seiflow.jobs.migration import paths

    paths(_task(options), options.relaxed, options.sites, options.vacancies, options.bulk, options.frames)
    _pack(options)
