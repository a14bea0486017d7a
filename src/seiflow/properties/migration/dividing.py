"""What a hop costs at least: the lowest energy on a plane that the moving ion must cross.

A path between two states leads through every surface that divides them, so the lowest energy on one is a lower bound of the
highest energy on any path. The surface here is a plane across the hop, fixed to the other atoms: the component along the hop of
the moving ion's place relative to their centre is held, all else relaxes. Where the force along the hop vanishes, the bound is
the energy of the saddle itself; it is sought there once more if it is found too far on one side. As in every search of minima,
what is lowest is what relaxation from the straight path leads to; and what the forces left over could still gain is taken off
with an assumed curvature. In both ways the bound is an estimate.

Source: E. Wigner, Trans. Faraday Soc. 34, 29 (1938), on dividing surfaces; the place of the plane follows R. A. Marcus, J. Phys.
Chem. 72, 891 (1968), eq. 32, doi:10.1021/j100849a019.
"""

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.constraints import FixConstraint

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError
from seiflow.properties.migration.climb import interpolated
from seiflow.properties.migration.states import Ends

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

INTRINSIC_BARRIER = 0.4
"""eV; what a hop between equal states is taken to cost, to place the plane; the bound holds wherever it is."""

FARTHEST_FROM_MIDDLE = 0.25
"""As a fraction of the hop."""

OFF_THE_LINE = 0.1
"""Å; how far off the straight line the ion starts, so that symmetry does not hold it there."""

FMAX = 0.02
MAX_STEPS = 60
STEEP = 0.15
"""eV/Å; with a larger force along the hop the plane is moved towards the saddle once."""

OVERLAP = 1.0
"""Å; atoms nearer than this have met on their ways."""

POINTS = 7
"""Of the bent path, without its ends."""

SOFTEST = 0.2
"""eV/Å²; curvature assumed for what relaxation could still have gained. Next to lowest at saddles of Li2CO3 are 0.03 to 0.2."""


@dataclass(frozen=True)
class Divide:
    """What is known of a plane between two states.

    Attributes:
        bound: Of the highest energy on a path between them, from below, eV.
        lowest: The structure of lowest energy on the plane.
    """

    bound: float
    lowest: "Atoms"


class DividingPlane(FixConstraint):  # type: ignore[misc] # the base class is untyped
    """Holds where an atom is along a direction, relative to the centre of all others."""

    def __init__(self, atom: int, normal: "NDArray[np.float64]", size: int) -> None:
        """Hold ``atom`` of ``size`` atoms along ``normal``."""
        gradient = np.full((size, 1), -1.0 / (size - 1)) * normal
        gradient[atom] = normal
        self._gradient = gradient / np.linalg.norm(gradient)

    def get_removed_dof(self, _: "Atoms") -> int:
        """Return how many degrees of freedom are held."""
        return 1

    def adjust_positions(self, atoms: "Atoms", new: "NDArray[np.float64]") -> None:
        """Take the held component out of a step."""
        new -= self._gradient * float(((new - atoms.positions) * self._gradient).sum())

    def adjust_forces(self, _: "Atoms", forces: "NDArray[np.float64]") -> None:
        """Take the held component out of the forces."""
        forces -= self._gradient * float((forces * self._gradient).sum())


def divide(ends: Ends, engine: Engine) -> Divide:
    """Return a lower bound of the highest energy on a path between two states, and where the path is likely to pass.

    Raises:
        ConvergenceError: if the relaxation on the first plane did not converge.
    """
    shift = (ends.energy_final - ends.energy_initial) / (8 * INTRINSIC_BARRIER)
    place = 0.5 + float(np.clip(shift, -FARTHEST_FROM_MIDDLE, FARTHEST_FROM_MIDDLE))
    start = _between(ends, place)
    relaxed = _on_plane(start, ends, engine)
    bound, slope = _bound(relaxed), _slope(relaxed, ends)
    if abs(slope) > STEEP:
        stiffness = 8 * INTRINSIC_BARRIER / ends.length**2
        further = np.clip(slope / stiffness / ends.length, -FARTHEST_FROM_MIDDLE, FARTHEST_FROM_MIDDLE)
        moved = relaxed.copy()
        moved.set_constraint()
        moved.positions += further * (ends.final.positions - ends.initial.positions)
        with contextlib.suppress(ConvergenceError):
            there = _on_plane(moved, ends, engine)
            bound, relaxed = max((bound, relaxed), (_bound(there), there), key=lambda found: found[0])
    relaxed.set_constraint()
    return Divide(max(bound, ends.energy_initial, ends.energy_final), relaxed)


def _between(ends: Ends, place: float) -> "Atoms":
    """Return a structure part of the way along the straight lines of all atoms, or of a bent path where two of them meet."""
    between: Atoms = ends.initial.copy()
    between.positions += place * (ends.final.positions - ends.initial.positions)
    if _closest(between) < OVERLAP:
        between.positions = interpolated(ends.initial, ends.final, POINTS)[round(place * (POINTS + 1))].reshape(-1, 3)
    across = np.cross(ends.chord, np.roll(ends.chord, 1) + np.array([0.3, 0.0, 0.1]))
    between.positions[ends.mover] += OFF_THE_LINE * across / np.linalg.norm(across)
    return between


def _closest(atoms: "Atoms") -> float:
    """Return the shortest distance between two atoms, Å."""
    distances = atoms.get_all_distances(mic=True)
    return float(distances[np.triu_indices(len(atoms), 1)].min())


def _on_plane(start: "Atoms", ends: Ends, engine: Engine) -> "Atoms":
    held = start.copy()
    held.set_constraint(DividingPlane(ends.mover, ends.chord / ends.length, len(held)))
    return engine.relax(held, fmax=FMAX, max_steps=MAX_STEPS, label="least energy on the way")


def _bound(relaxed: "Atoms") -> float:
    """Return the energy less what the forces left on the plane could still gain."""
    return float(relaxed.get_potential_energy() - (relaxed.get_forces() ** 2).sum() / (2 * SOFTEST))


def _slope(relaxed: "Atoms", ends: Ends) -> float:
    """Return how steeply the energy rises along the hop, eV/Å."""
    forces = relaxed.get_forces(apply_constraint=False)
    others = np.delete(forces, ends.mover, axis=0).sum(axis=0) / (len(forces) - 1)
    return -float((forces[ends.mover] - others) @ ends.chord) / ends.length
