"""Climbing to a saddle along one mode while relaxing all others, from the highest point of an interpolated path.

The path is that of the image-dependent pair potential (Smidstrup et al., J. Chem. Phys. 140, 214106 (2014)). Three of its points
are evaluated: a cubic through their energies and slopes tells where its top is, and the differences of their forces what the
Hessian is like along it. No mode is measured unless the climb gets stuck.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError
from seiflow.model_hessian import model_hessian
from seiflow.properties.migration.modes import Modes, lowest_modes
from seiflow.properties.migration.states import Ends
from seiflow.properties.migration.walk import learnt, walk
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

MOST_ROUNDS = 3
STEPS_A_ROUND = 40
PRODUCTS_A_ROUND = 14
SAMPLES = (0.25, 0.5, 0.75)
"""Where the path is evaluated, in parts of its length."""

FIRST_CURVATURE = -1.0
"""eV/Å², along the path, before the samples are heard."""


@dataclass(frozen=True)
class Profile:
    """Energies along an interpolated path, from three points of it.

    Attributes:
        points: Place in parts of the path and energy (eV) of both ends and the points.
        height: Highest energy of the cubic through them, eV.
    """

    points: tuple[tuple[float, float], ...]
    height: float


@dataclass(frozen=True)
class Point:
    """A point of a climb: the structure, the direction that leads up (3n), and the Hessian (3n × 3n, eV/Å²)."""

    atoms: "Atoms"
    uphill: "NDArray[np.float64]"
    hessian: "NDArray[np.float64]"


def top_of_path(ends: Ends, engine: Engine, images: int, through: "Atoms | None" = None) -> tuple[Point, Profile]:
    """Return the highest point of the interpolated path, and its energies.

    Args:
        ends: Of the hop.
        engine: Evaluates the path three times.
        images: Moving images of the interpolation.
        through: A structure on the way, which is then the middle of the path.
    """
    from scipy.interpolate import CubicHermiteSpline, CubicSpline

    if through is None:
        way = interpolated(ends.initial, ends.final, images)
    else:
        legs = [interpolated(*leg, images // 2) for leg in ((ends.initial, through), (through, ends.final))]
        way = np.concatenate([legs[0], legs[1][1:]])
    path = CubicSpline(np.linspace(0, 1, len(way)), way)
    points, tangents = path(SAMPLES), path(SAMPLES, 1)
    found = [engine.evaluate(_at(ends, point)) for point in points]
    slopes = [-float(sample.forces.ravel() @ tangent) for sample, tangent in zip(found, tangents, strict=True)]
    energies = [ends.energy_initial, *(sample.energy for sample in found), ends.energy_final]
    profile = CubicHermiteSpline([0, *SAMPLES, 1], energies, [0, *slopes, 0])
    grid = np.linspace(SAMPLES[0], SAMPLES[-1], 101)
    top = float(grid[profile(grid).argmax()])
    height = float(profile(np.linspace(0, 1, 201)).max())
    atoms, uphill = _at(ends, path(top)), path(top, 1) / np.linalg.norm(path(top, 1))
    hessian = _bent(model_hessian(atoms), uphill)
    for number in range(len(SAMPLES) - 1):
        change = (found[number].forces - found[number + 1].forces).ravel()
        hessian = learnt(hessian, points[number + 1] - points[number], change)
    return Point(atoms, uphill, hessian), Profile(tuple(zip((0.0, *SAMPLES, 1.0), energies, strict=True)), height)


def interpolated(initial: "Atoms", final: "Atoms", images: int) -> "NDArray[np.float64]":
    """Return the path of the image-dependent pair potential, ends included: points × 3n, Å."""
    from ase.mep import NEB

    band = NEB([initial.copy() for _ in range(images + 1)] + [final.copy()], method="improvedtangent")
    band.interpolate(method="idpp", mic=False)
    return np.array([image.positions.ravel() for image in band.images])


def climb(start: Point, mover: int, engine: Engine, settings: MigrationSettings) -> Point:
    """Return the saddle that is reached by going up along one mode and down along all others, energy and forces attached.

    Args:
        start: Near the saddle.
        mover: Index of the moving ion.
        engine: Evaluates forces.
        settings: Tolerances. The largest force at the saddle is ``fmax``, or that of a band, ``band_fmax``, where a
            potential that is not smooth allows no better.

    Raises:
        ConvergenceError: if the force stayed above ``band_fmax``.
    """
    lowest, reached = np.inf, start
    for attempt in range(MOST_ROUNDS):
        if attempt:
            modes = lowest_modes(reached.atoms, mover, engine, settings.curvature_tolerance, reached.hessian, PRODUCTS_A_ROUND)
            reached = Point(reached.atoms, modes.vectors[0].ravel(), measured(reached.hessian, modes))
        end = walk(
            reached.atoms, reached.hessian, engine, fmax=settings.fmax, steps=STEPS_A_ROUND, label="climb", uphill=reached.uphill
        )
        better = end.largest_force < lowest
        if better:
            lowest, reached = end.largest_force, Point(end.atoms, reached.uphill, end.hessian)
        if lowest <= settings.fmax or (lowest <= settings.band_fmax and not better):
            break
    if lowest <= settings.band_fmax:
        return Point(_finished(reached.atoms, engine), reached.uphill, reached.hessian)
    message = (
        f"climb to the saddle: largest force {lowest:.3g} eV/Å at best in {MOST_ROUNDS * STEPS_A_ROUND} steps, "
        f"wanted {settings.fmax:g}, at most {settings.band_fmax:g}"
    )
    raise ConvergenceError(message)


def measured(hessian: "NDArray[np.float64]", modes: Modes) -> "NDArray[np.float64]":
    """Return the Hessian made exact in the directions in which it was measured (symmetric block update)."""
    missed = modes.products - modes.basis @ hessian
    within = modes.basis.T @ missed
    inside = modes.basis.T @ (missed @ modes.basis.T) @ modes.basis
    return np.asarray(hessian + within + within.T - (inside + inside.T) / 2)


def _at(ends: Ends, point: "NDArray[np.float64]") -> "Atoms":
    atoms = ends.initial.copy()
    atoms.positions = point.reshape(-1, 3)
    return atoms


def _finished(atoms: "Atoms", engine: Engine) -> "Atoms":
    attached = engine.attach(atoms)
    attached.get_potential_energy()
    return attached


def _bent(hessian: "NDArray[np.float64]", uphill: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the Hessian with a negative eigenvalue along the path, and nothing that couples to it."""
    row = hessian @ uphill
    along = float(uphill @ row) + FIRST_CURVATURE
    return np.asarray(hessian - np.outer(row, uphill) - np.outer(uphill, row) + along * np.outer(uphill, uphill))
