"""Where a saddle leads: relaxation from both of its sides, which must arrive at the two ends of the hop."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.properties.migration.saddle import IntermediateMinimumError, Minimum, Saddle
from seiflow.properties.migration.states import Ends
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms

FIRST_STEP = 0.15
"""Å; largest displacement of an atom off the saddle before the relaxation starts."""

FMAX = 0.05
"""eV/Å; enough to tell which minimum a relaxation is in."""

ARRIVED = 0.7
"""Å; an ion closer than this to its place in an end state has arrived there."""


SAME_PLACE = 1e-4
"""Å; points of a path closer than this are one."""


@dataclass(frozen=True)
class Path:
    """Energies along the hop.

    Attributes:
        coordinate_angstrom: How far the moving ion has come along the line between the two sites.
        energy_ev: Relative to the initial state.
    """

    coordinate_angstrom: tuple[float, ...]
    energy_ev: tuple[float, ...]


def descend(saddle: Saddle, ends: Ends, engine: Engine, settings: MigrationSettings) -> Path:
    """Return the path that a saddle's two descents trace.

    For a symmetric saddle one descent is computed and the other is its image.

    Raises:
        IntermediateMinimumError: if a descent does not arrive at its end of the hop.
    """
    reaction = saddle.modes.vectors[0]
    reaction = reaction / np.linalg.norm(reaction, axis=1).max()
    origin = ends.initial.positions[ends.mover]
    chord = ends.final.positions[ends.mover] - origin
    length = float(np.linalg.norm(chord))
    towards_final = float(np.sign(reaction[ends.mover] @ chord)) or 1.0
    points = [(float((saddle.atoms.positions[ends.mover] - origin) @ chord) / length, saddle.energy)]
    sides = [(-towards_final, ends.initial, "initial")]
    if not saddle.symmetric:
        sides.append((towards_final, ends.final, "final"))
    for sign, end, name in sides:
        trail: list[tuple[float, float]] = []

        def note(atoms: "Atoms", trail: list[tuple[float, float]] = trail) -> None:
            along = float((atoms.positions[ends.mover] - origin) @ chord) / length
            trail.append((along, float(atoms.get_potential_energy())))

        start = saddle.atoms.copy()
        start.positions += sign * FIRST_STEP * reaction
        arrived = engine.relax(start, fmax=FMAX, max_steps=settings.max_steps, watch=note, label=f"descent to the {name} state")
        if not has_arrived(arrived, end, ends.mover):  # a flat stretch, or a minimum
            label = f"on to the {name} state"
            arrived = engine.relax(arrived, fmax=settings.fmax, max_steps=settings.max_steps, watch=note, label=label)
        if not has_arrived(arrived, end, ends.mover):
            raise IntermediateMinimumError(Minimum(arrived, arrived.get_potential_energy(), symmetric=False))
        points += _downhill(trail, sign * towards_final)
    if saddle.symmetric:
        points += [(length - along, energy) for along, energy in points[1:]]
    points += [(0.0, ends.energy_initial), (length, ends.energy_final)]
    inside = [(along, energy) for along, energy in points if 0.0 <= along <= length]
    return make_path(inside, ends.energy_initial)


def _downhill(trail: list[tuple[float, float]], direction: float) -> list[tuple[float, float]]:
    """Return the points of a relaxation that go on along the hop and down in energy; overshoots are left out."""
    kept = trail[:1]
    for along, energy in trail[1:]:
        if direction * (along - kept[-1][0]) > 0 and energy < kept[-1][1]:
            kept.append((along, energy))
    return kept


def has_arrived(atoms: "Atoms", end: "Atoms", mover: int) -> bool:
    """Tell whether the moving ion and all of its kind are in the places they have in an end state.

    Other ions may have turned into another arrangement around the same vacancy.
    """
    kind = atoms.numbers == atoms.numbers[mover]
    return bool(np.linalg.norm(atoms.positions[kind] - end.positions[kind], axis=1).max() < ARRIVED)


def make_path(points: list[tuple[float, float]], zero: float) -> Path:
    """Return points (coordinate, energy) in the order of their coordinates, those at the same place once."""
    kept: list[tuple[float, float]] = []
    for along, energy in sorted(points):
        if not kept or along - kept[-1][0] > SAME_PLACE:
            kept.append((along, energy))
    return Path(tuple(along for along, _ in kept), tuple(energy - zero for _, energy in kept))
