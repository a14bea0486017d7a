"""From one end of a hop to the other: over one saddle, or over two where an intermediate minimum lies between."""

from dataclasses import dataclass

import numpy as np

from seiflow.engine import Engine
from seiflow.properties.migration.descent import Path, descend, has_arrived
from seiflow.properties.migration.saddle import IntermediateMinimumError, Saddle, Trial, find_saddle
from seiflow.properties.migration.states import Ends
from seiflow.settings import MigrationSettings


@dataclass(frozen=True)
class Crossing:
    """A proved way over a hop.

    Attributes:
        saddle: The highest one.
        path: Energies along the way, relative to the initial state.
        minima: Energies (eV) of the intermediate minima passed.
        trials: Every stationary point met, in the order of the search.
    """

    saddle: Saddle
    path: Path
    minima: tuple[float, ...]
    trials: tuple[Trial, ...]


def cross(ends: Ends, engine: Engine, settings: MigrationSettings, *, splits: int = 2) -> Crossing:
    """Return the way over a hop; a hop that passes an intermediate minimum is split there, ``splits`` times at most."""
    try:
        saddle = find_saddle(ends, engine, settings)
        path = descend(saddle, ends, engine, settings)
    except IntermediateMinimumError as error:
        if not splits or any(has_arrived(error.minimum.atoms, end, ends.mover) for end in (ends.initial, ends.final)):
            raise
        return _split(ends, error, engine, settings, splits - 1)
    return Crossing(saddle, path, (), saddle.trials)


def _split(ends: Ends, error: IntermediateMinimumError, engine: Engine, settings: MigrationSettings, splits: int) -> Crossing:
    """Cross to the minimum and from it; if it is its own image when the ends are exchanged, the second half is an image too."""
    minimum = error.minimum
    engine.report(f"intermediate minimum {minimum.energy - ends.energy_initial:.3f} eV above the initial state; two hops")
    first = Ends(ends.initial, minimum.atoms, ends.mover, ends.energy_initial, minimum.energy, ())
    before = cross(first, engine, settings, splits=splits)
    if minimum.symmetric:
        after_saddle, after_path, after_minima = before.saddle, _mirrored(before.path), before.minima
    else:
        second = Ends(minimum.atoms, ends.final, ends.mover, minimum.energy, ends.energy_final, ())
        after = cross(second, engine, settings, splits=splits)
        after_saddle, after_path, after_minima = after.saddle, after.path, after.minima
    path = _joined(before.path, after_path, minimum.energy - ends.energy_initial)
    saddle = max((before.saddle, after_saddle), key=lambda item: item.energy)
    return Crossing(saddle, path, (*before.minima, minimum.energy, *after_minima), (*error.trials, *saddle.trials))


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
