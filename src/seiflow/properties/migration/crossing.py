"""From one end of a hop to the other: over one saddle, or over two where an intermediate minimum lies between.

Beyond an intermediate minimum a saddle is only sought if it may be the higher one. A path between two states bounds the barrier
between them from above: where the interpolated one, estimated from three of its points or from seven, stays below the saddle
already found by more than the error of that, this saddle is the barrier of the hop. If the search slides back into an end, it is
enough that the path stays below.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.properties.migration.climb import InterpolatedPath, Point
from seiflow.properties.migration.descent import Path, descend, has_arrived, make_path
from seiflow.properties.migration.saddle import IntermediateMinimumError, Minimum, Saddle, Trial, find_saddle
from seiflow.properties.migration.states import Ends
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True)
class Crossing:
    """A proved way over a hop.

    Attributes:
        saddle: The highest one.
        path: Energies along the way, relative to the initial state.
        minima: The intermediate minima passed; those of a symmetric half stand for their images too.
        trials: Every stationary point met, in the order of the search.
    """

    saddle: Saddle
    path: Path
    minima: tuple[Minimum, ...]
    trials: tuple[Trial, ...]


def cross(ends: Ends, engine: Engine, settings: MigrationSettings, *, splits: int = 2, start: Point | None = None) -> Crossing:
    """Return the way over a hop; a hop that passes an intermediate minimum is split there, ``splits`` times at most.

    Args:
        ends: The two states.
        engine: Evaluates and relaxes.
        settings: Tolerances and limits.
        splits: Intermediate minima allowed on either side of a saddle.
        start: Where the search for the saddle of an asymmetric hop starts, if that is known.

    Raises:
        IntermediateMinimumError: if there is one minimum more.
        PhysicsError: if no saddle is found that leads to both ends.
    """
    try:
        saddle = find_saddle(ends, engine, settings, start)
    except IntermediateMinimumError as error:
        if not splits or is_an_end(error.minimum, ends):
            raise
        return split_at(ends, error, engine, settings, splits - 1)
    descent = descend(saddle, ends, engine, settings)
    way = _Way([saddle], list(descent.points), [])
    if descent.initial is None:
        way.points.append((0.0, ends.energy_initial))
    else:
        leg = replace(ends, final=descent.initial.atoms, energy_final=descent.initial.energy, swaps=())
        way.go_on(leg, descent.initial, (0.0, ends.along(descent.initial.atoms)), engine, settings, splits)
    if saddle.symmetric:
        way.points.extend([(ends.length - along, energy) for along, energy in way.points])
    elif descent.final is None:
        way.points.append((ends.length, ends.energy_final))
    else:
        leg = replace(ends, initial=descent.final.atoms, energy_initial=descent.final.energy, swaps=())
        way.go_on(leg, descent.final, (ends.along(descent.final.atoms), ends.length), engine, settings, splits)
    inside = [(along, energy) for along, energy in way.points if 0.0 <= along <= ends.length]
    highest = max(way.saddles, key=lambda item: item.energy)
    return Crossing(highest, make_path(inside, ends.energy_initial), tuple(way.minima), saddle.trials)


def highest_of_path(ends: Ends, engine: Engine, settings: MigrationSettings, through: "Atoms | None" = None) -> float:
    """Return what the saddle between two states is probably not above, eV: the height of a path, and what its estimate may miss.

    Args:
        ends: The states.
        engine: Evaluates three points.
        settings: Images of the interpolation.
        through: A structure that the interpolated path goes through.
    """
    profile = InterpolatedPath(ends, engine, settings.images, through).profile
    return profile.height + profile.error


@dataclass(frozen=True)
class _Way:
    """What is known of the way over a hop so far; lists that grow."""

    saddles: list[Saddle]
    points: list[tuple[float, float]]
    minima: list[Minimum]

    def go_on(
        self,
        leg: Ends,
        minimum: Minimum,
        span: tuple[float, float],
        engine: Engine,
        settings: MigrationSettings,
        splits: int,
    ) -> None:
        """Cross between an intermediate minimum and an end; ``span`` is where this leg lies along the hop, Å."""
        if not splits:
            raise IntermediateMinimumError(minimum)
        engine.report(f"intermediate minimum at {minimum.energy:.3f} eV; on from there")
        highest = max(saddle.energy for saddle in self.saddles)
        path, crossing = _cross_unless_lower(leg, highest, engine, settings, splits - 1)
        stretch = (span[1] - span[0]) / path.coordinate_angstrom[-1]
        steps = zip(path.coordinate_angstrom, path.energy_ev, strict=True)
        self.points.extend((span[0] + along * stretch, energy + leg.energy_initial) for along, energy in steps)
        self.minima.append(minimum)
        if crossing is not None:
            self.saddles.append(crossing.saddle)
            self.minima.extend(crossing.minima)


def _cross_unless_lower(
    leg: Ends, highest: float, engine: Engine, settings: MigrationSettings, splits: int
) -> tuple[Path, Crossing | None]:
    """Cross, unless the interpolated path stays below the highest saddle so far; return the energies of the way taken.

    Where the search for a saddle slides back into an end, there is hardly one, and the interpolated path counts as it is.
    """
    way = InterpolatedPath(leg, engine, settings.images)
    if highest - way.profile.error <= way.profile.height < highest:
        way.refined()
    profile = way.profile
    interpolated = make_path([(leg.length * part, energy) for part, energy in profile.points], leg.energy_initial)
    if profile.height < highest - profile.error:
        engine.report(f"on to the other end no higher than {profile.height:.3f} eV: no saddle is sought there")
        return interpolated, None
    try:
        crossing = cross(leg, engine, settings, splits=splits, start=way.refined().top)
    except IntermediateMinimumError as error:
        if profile.height > highest or not is_an_end(error.minimum, leg):
            raise
        return interpolated, None
    return crossing.path, crossing


def is_an_end(minimum: Minimum, ends: Ends) -> bool:
    """Tell whether a minimum is one of the two states."""
    return any(has_arrived(minimum.atoms, end, ends.mover) for end in (ends.initial, ends.final))


def split_at(
    ends: Ends, error: IntermediateMinimumError, engine: Engine, settings: MigrationSettings, splits: int = 1
) -> Crossing:
    """Cross to a minimum and from it; if it is its own image when the ends are exchanged, the second half is an image too.

    Args:
        ends: The two states.
        error: Tells the minimum.
        engine: Evaluates and relaxes.
        settings: Tolerances and limits.
        splits: Further intermediate minima allowed.

    Raises:
        PhysicsError: as :func:`cross`.
    """
    minimum = error.minimum
    engine.report(f"intermediate minimum {minimum.energy - ends.energy_initial:.3f} eV above the initial state; two hops")
    first = Ends(ends.initial, minimum.atoms, ends.mover, ends.energy_initial, minimum.energy, ())
    before = cross(first, engine, settings, splits=splits)
    if minimum.symmetric:
        after_saddle, after_path, after_minima = before.saddle, _mirrored(before.path), before.minima
    else:
        second = Ends(minimum.atoms, ends.final, ends.mover, minimum.energy, ends.energy_final, ())
        after_path, after = _cross_unless_lower(second, before.saddle.energy, engine, settings, splits)
        after_saddle, after_minima = (before.saddle, ()) if after is None else (after.saddle, after.minima)
    path = _joined(before.path, after_path, minimum.energy - ends.energy_initial)
    saddle = max((before.saddle, after_saddle), key=lambda item: item.energy)
    return Crossing(saddle, path, (*before.minima, minimum, *after_minima), (*error.trials, *saddle.trials))


def _mirrored(path: Path) -> Path:
    """Return the path walked from its end, its energies relative to that end."""
    along, energy = np.array(path.coordinate_angstrom), np.array(path.energy_ev)
    return Path(tuple((along[-1] - along[::-1]).tolist()), tuple((energy[::-1] - energy[-1]).tolist()))


def _joined(before: Path, after: Path, rise: float) -> Path:
    shift = before.coordinate_angstrom[-1]
    return Path(
        (*before.coordinate_angstrom, *(along + shift for along in after.coordinate_angstrom[1:])),
        (*before.energy_ev, *(energy + rise for energy in after.energy_ev[1:])),
    )
