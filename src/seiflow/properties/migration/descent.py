"""Where a saddle leads: relaxation from both of its sides, which must arrive at the two ends of the hop."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError, PhysicsError
from seiflow.properties.migration.saddle import Minimum, Saddle
from seiflow.properties.migration.states import Ends
from seiflow.properties.migration.walk import walk
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

FIRST_STEP = 0.15
"""Å; largest displacement of an atom off the saddle before the relaxation starts."""

FMAX = 0.05
"""eV/Å; enough to tell which minimum a relaxation is in."""

ARRIVED = 0.7
"""Å; an ion closer than this to its place in an end state has arrived there, once it rests."""

NEAR = 0.35
"""Å; an ion that comes as close as this, and half as far from its place as at the saddle, need not rest."""

CLEARLY_BELOW = 0.005
"""eV; a descent that is not lower than its saddle by this has shown nothing."""

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


@dataclass(frozen=True)
class Descent:
    """Where the two sides of a saddle lead.

    Attributes:
        points: How far the moving ion has come along the hop (Å) and energy (eV), of the saddle and on the way down.
        initial: The minimum in which the descent to the initial state stopped; None if it arrived.
        final: The same for the final state; a symmetric saddle is descended on one side only and has None here.
    """

    points: tuple[tuple[float, float], ...]
    initial: Minimum | None
    final: Minimum | None


def descend(saddle: Saddle, ends: Ends, engine: Engine, settings: MigrationSettings) -> Descent:
    """Relax from both sides of a saddle, from one side if the other is its image.

    Raises:
        PhysicsError: if a side leads to the wrong end of the hop.
    """
    reaction = saddle.modes.vectors[0]
    reaction = reaction / np.linalg.norm(reaction, axis=1).max()
    towards_final = float(np.sign(reaction[ends.mover] @ ends.chord)) or 1.0
    points = [(ends.along(saddle.atoms), saddle.energy)]
    before, minimum = _side(saddle, -towards_final * reaction, ends, ends.initial, engine, settings)
    points += _downhill(before, -1.0)
    beyond = None
    if not saddle.symmetric:
        after, beyond = _side(saddle, towards_final * reaction, ends, ends.final, engine, settings)
        points += _downhill(after, 1.0)
    return Descent(tuple(points), minimum, beyond)


def _side(
    saddle: Saddle,
    direction: "NDArray[np.float64]",
    ends: Ends,
    end: "Atoms",
    engine: Engine,
    settings: MigrationSettings,
) -> tuple[list[tuple[float, float]], Minimum | None]:
    """Return the points of one descent, and the minimum it stopped in if it did not arrive at its end."""
    trail: list[tuple[float, float]] = []

    def note(atoms: "Atoms", energy: float) -> None:
        trail.append((ends.along(atoms), energy))

    within = min(NEAR, _distance(saddle.atoms, end, ends.mover) / 2)

    def near(atoms: "Atoms") -> bool:
        fallen = bool(trail) and trail[-1][1] < saddle.energy - CLEARLY_BELOW
        return fallen and _distance(atoms, end, ends.mover) < within

    name, other = ("initial", ends.final) if end is ends.initial else ("final", ends.initial)
    atoms, hessian = saddle.atoms.copy(), saddle.hessian
    atoms.positions += FIRST_STEP * direction
    for fmax, label in ((FMAX, f"descent to the {name} state"), (settings.fmax, f"on to the {name} state")):
        down = walk(atoms, hessian, engine, fmax=fmax, steps=settings.max_steps, label=label, arrived=near, watch=note)
        if near(down.atoms) or (down.largest_force <= fmax and has_arrived(down.atoms, end, ends.mover)):
            return trail, None
        atoms, hessian = down.atoms, down.hessian
    if down.largest_force > settings.fmax:
        message = (
            f"{label}: largest force {down.largest_force:.3g} eV/Å after {settings.max_steps} steps, wanted {settings.fmax:g}"
        )
        raise ConvergenceError(message)
    if has_arrived(atoms, other, ends.mover):
        message = f"the descent to the {name} state ends in the other one: the saddle lies beside the hop"
        raise PhysicsError(message)
    return trail, Minimum(atoms, down.energy, symmetric=False)


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
    return _distance(atoms, end, mover) < ARRIVED


def _distance(atoms: "Atoms", end: "Atoms", mover: int) -> float:
    """Return how far the farthest ion of the moving kind is from its place in an end state, Å."""
    kind = atoms.numbers == atoms.numbers[mover]
    return float(np.linalg.norm(atoms.positions[kind] - end.positions[kind], axis=1).max())


def make_path(points: list[tuple[float, float]], zero: float) -> Path:
    """Return points (coordinate, energy) in the order of their coordinates, those at the same place once."""
    kept: list[tuple[float, float]] = []
    for along, energy in sorted(points):
        if not kept or along - kept[-1][0] > SAME_PLACE:
            kept.append((along, energy))
    return Path(tuple(along for along, _ in kept), tuple(energy - zero for _, energy in kept))
