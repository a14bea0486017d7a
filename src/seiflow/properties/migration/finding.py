"""Finding the way over a hop: from where its saddle is said to be, by the search, or from the top of a climbing band."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import CalculatorError, ConvergenceError, PhysicsError
from seiflow.properties.migration.band import Band, NoSaddleError, PassedMinimumError, climbing_band
from seiflow.properties.migration.climb import InterpolatedPath, Point, on_the_way
from seiflow.properties.migration.crossing import Crossing, cross, is_an_end, split_at
from seiflow.properties.migration.descent import has_arrived, make_path
from seiflow.properties.migration.saddle import IntermediateMinimumError, Minimum, judged
from seiflow.properties.migration.states import Ends
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms

SYMMETRIC = "symmetric saddle"
CLIMB = "climb"
BAND = "climbing band"

PROOF = 20
"""Evaluations kept for the proof of the saddle that a band has by itself."""

BAND_ERROR = 0.005
"""eV; how far below its saddle the highest image of a band may be."""


@dataclass(frozen=True)
class FoundWay:
    """A way over a hop, how it was found, and whether the search began half way between ends that an operation exchanges."""

    crossing: Crossing
    method: str
    on_line: bool = False
    warnings: tuple[str, ...] = ()


def find_way(
    ends: Ends,
    engine: Engine,
    settings: MigrationSettings,
    *,
    band: bool,
    start: Point | None,
    most_evaluations: int | None,
) -> FoundWay:
    """Return the way over a hop: from where its saddle is said to be, else by the search, else from a band."""
    if start is not None and (crossing := _from_start(ends, start, engine, settings, "the search starts afresh")) is not None:
        return FoundWay(crossing, _method(crossing))
    begun = engine.force_evaluations
    half = None if most_evaluations is None else most_evaluations // 2
    try:
        with engine.at_most(half):
            crossing = _searched(ends, engine, settings)
        return FoundWay(crossing, _method(crossing), on_line=bool(ends.swaps))
    except (PhysicsError, ConvergenceError, CalculatorError) as error:
        if not band:
            raise
        given_up = f"search for the saddle given up ({error})"
    engine.report(f"{given_up}; a climbing band instead")

    def left(kept: int) -> int | None:
        return None if most_evaluations is None else begun + most_evaluations - kept - engine.force_evaluations

    try:
        climbed = climbing_band(ends, engine, settings, half, _between(ends, start))
    except PassedMinimumError as passed:
        with engine.at_most(left(0)):
            crossing = _over_minimum(ends, passed, engine, settings)
        if crossing is None:
            raise
        return FoundWay(
            crossing, _method(crossing), warnings=(f"{given_up}, found beside a minimum that a climbing band passes",)
        )
    with engine.at_most(left(PROOF)):
        crossing = _from_start(ends, _top(climbed), engine, settings, "the highest image of the band stands")
    if crossing is not None and crossing.saddle.energy < climbed.energies.max() + BAND_ERROR:
        return FoundWay(crossing, _method(crossing), warnings=(f"{given_up}, found from the top of a climbing band instead",))
    coarse = f"converged to {settings.band_fmax:g} eV/Å only, so that its barrier may be too high"
    return FoundWay(
        _from_band(climbed, ends, engine, settings), BAND, warnings=(f"{given_up}, a climbing band instead, {coarse}",)
    )


def _between(ends: Ends, start: Point | None) -> "Atoms | None":
    """Return the structure of a start that is neither end."""
    if start is None or any(has_arrived(start.atoms, end, ends.mover) for end in (ends.initial, ends.final)):
        return None
    return start.atoms


def _method(crossing: Crossing) -> str:
    return SYMMETRIC if crossing.saddle.symmetric else CLIMB


def _top(band: Band) -> Point:
    """Return the climbing image of a band as a point from which a climb starts."""
    return on_the_way(band.images[band.top], band.images[band.top + 1].positions - band.images[band.top - 1].positions)


def _from_start(ends: Ends, start: Point, engine: Engine, settings: MigrationSettings, otherwise: str) -> Crossing | None:
    """Return the way over a hop from where its saddle is said to be; None, and what is done then is told, if it leads nowhere."""
    try:
        return cross(ends, engine, settings, start=start)
    except (PhysicsError, ConvergenceError, CalculatorError) as error:
        engine.report(f"no saddle from where it is said to be ({error}); {otherwise}")
        return None


def _over_minimum(ends: Ends, passed: PassedMinimumError, engine: Engine, settings: MigrationSettings) -> Crossing | None:
    """Return the way over a hop by the minimum that a band passes; None, and why is told, if there is none."""
    engine.report(f"{passed}; on from there")
    try:
        relaxed = engine.relax(passed.image, fmax=settings.fmax, label="intermediate minimum")
        minimum = Minimum(relaxed, relaxed.get_potential_energy(), symmetric=False)
        if not is_an_end(minimum, ends):
            return split_at(ends, IntermediateMinimumError(minimum), engine, settings)
        engine.report("what the band passes relaxes to an end of the hop")
    except (PhysicsError, ConvergenceError, CalculatorError) as error:
        engine.report(f"no way by the minimum that the band passes ({error})")
    return None


def _searched(ends: Ends, engine: Engine, settings: MigrationSettings) -> Crossing:
    """Return the way over a hop; an asymmetric one that fails is tried from another start, which costs less than a band."""
    try:
        return cross(ends, engine, settings)
    except (PhysicsError, ConvergenceError, CalculatorError) as error:
        if ends.swaps:
            raise
        engine.report(f"search for the saddle failed ({error}); once more from another start")
        return cross(ends, engine, settings, start=InterpolatedPath(ends, engine, settings.images).top)


def _from_band(band: Band, ends: Ends, engine: Engine, settings: MigrationSettings) -> Crossing:
    """Return the saddle at the climbing image, proved like any other, and the energies of the band."""
    saddle = judged(_top(band), (), ends, engine, settings, symmetric=False)
    if saddle.modes.negative != 1:
        message = f"the climbing image has {saddle.modes.negative} negative modes; a saddle has one"
        raise NoSaddleError(message, float(band.energies.max()))
    chord = ends.final.positions[ends.mover] - ends.initial.positions[ends.mover]
    steps = [image.positions[ends.mover] - ends.initial.positions[ends.mover] for image in band.images]
    along = [float(step @ chord) / float(np.linalg.norm(chord)) for step in steps]
    path = make_path(list(zip(along, band.energies.tolist(), strict=True)), ends.energy_initial)
    return Crossing(saddle, path, (), saddle.trials)
