"""Climbing to a saddle along one mode while relaxing all others, from the highest point of an interpolated path.

The path is that of the image-dependent pair potential (Smidstrup et al., J. Chem. Phys. 140, 214106 (2014)). Seven of its points
are evaluated: a cubic through their energies and slopes tells where its top is, and the differences of their forces what the
Hessian is like along it. No mode is measured unless the climb gets stuck.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

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
    from scipy.interpolate import CubicHermiteSpline

    from seiflow.engine import Evaluation

MOST_ROUNDS = 3
STEPS_A_ROUND = 40
PRODUCTS_A_ROUND = 14
SAMPLES = (0.25, 0.5, 0.75)
MORE_SAMPLES = (0.125, 0.375, 0.625, 0.875)
"""Where the path is evaluated, in parts of its length; the first tell how high it is, with all of them a climb starts well."""

PATH_ERROR = 0.05
"""eV; how much higher than told by three of its points an interpolated path may be."""

FIRST_CURVATURE = -1.0
"""eV/Å², along the path, before the samples are heard."""


@dataclass(frozen=True)
class Profile:
    """Energies along an interpolated path, from some points of it.

    Attributes:
        points: Place in parts of the path and energy (eV) of both ends and the points.
        height: Highest energy of the cubic through them, eV.
        error: How much higher than that the path may be, eV.
    """

    points: tuple[tuple[float, float], ...]
    height: float
    error: float


@dataclass(frozen=True)
class Point:
    """A point of a climb: the structure, the direction that leads up (3n), and the Hessian (3n × 3n, eV/Å²)."""

    atoms: "Atoms"
    uphill: "NDArray[np.float64]"
    hessian: "NDArray[np.float64]"


def on_the_way(atoms: "Atoms", along: "NDArray[np.float64]") -> Point:
    """Return a structure between two states, and the direction of the way there (n × 3, any length), as the start of a climb."""
    uphill = along.ravel() / np.linalg.norm(along)
    return Point(atoms, uphill, _bent(model_hessian(atoms), uphill))


class InterpolatedPath:
    """The path of the image-dependent pair potential between two states, evaluated where that is asked for.

    Args:
        ends: The states.
        engine: Evaluates.
        images: Moving images of the interpolation.
        through: A structure on the way. It may be near an end; the path is then measured by its length.
    """

    def __init__(self, ends: Ends, engine: Engine, images: int, through: "Atoms | None" = None) -> None:
        """Interpolate, and evaluate three points."""
        from scipy.interpolate import CubicSpline

        if through is None:
            way = interpolated(ends.initial, ends.final, images)
            places = np.linspace(0, 1, len(way))
        else:
            legs = [interpolated(*leg, images // 2) for leg in ((ends.initial, through), (through, ends.final))]
            way = np.concatenate([legs[0], legs[1][1:]])
            places = np.append(0.0, np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1)))
        self._ends, self._engine = ends, engine
        self._path = CubicSpline(places / places[-1], way)
        self._found: dict[float, Evaluation] = {}
        self._error = PATH_ERROR
        self._evaluate(SAMPLES)

    def refined(self) -> Self:
        """Evaluate four points more, once: at half the spacing a cubic has a sixteenth of the error."""
        if MORE_SAMPLES[0] not in self._found:
            self._evaluate(MORE_SAMPLES)
            self._error = PATH_ERROR / 16
        return self

    @property
    def profile(self) -> Profile:
        """Its energies."""
        spline = self._energies
        places, energies = spline.x, spline(spline.x)
        height = float(spline(np.linspace(0, 1, 201)).max())
        return Profile(tuple(zip(places.tolist(), energies.tolist(), strict=True)), height, self._error)

    @property
    def top(self) -> Point:
        """Its highest point, with a model Hessian that knows the forces that were evaluated."""
        places = sorted(self._found)
        grid = np.linspace(places[0], places[-1], 101)
        top = float(grid[self._energies(grid).argmax()])
        atoms, uphill = self._at(top), self._path(top, 1) / np.linalg.norm(self._path(top, 1))
        hessian = _bent(model_hessian(atoms), uphill)
        for before, after in itertools.pairwise(places):
            change = (self._found[before].forces - self._found[after].forces).ravel()
            hessian = learnt(hessian, self._path(after) - self._path(before), change)
        return Point(atoms, uphill, hessian)

    @property
    def _energies(self) -> "CubicHermiteSpline":
        from scipy.interpolate import CubicHermiteSpline

        places = sorted(self._found)
        slopes = [-float(self._found[place].forces.ravel() @ self._path(place, 1)) for place in places]
        inside = [self._found[place].energy for place in places]
        energies = [self._ends.energy_initial, *inside, self._ends.energy_final]
        return CubicHermiteSpline([0, *places, 1], energies, [0, *slopes, 0])

    def _evaluate(self, places: tuple[float, ...]) -> None:
        self._found |= {place: self._engine.evaluate(self._at(place)) for place in places}

    def _at(self, place: float) -> "Atoms":
        atoms: Atoms = self._ends.initial.copy()
        atoms.positions = self._path(place).reshape(-1, 3)
        return atoms


def interpolated(initial: "Atoms", final: "Atoms", images: int) -> "NDArray[np.float64]":
    """Return the path of the image-dependent pair potential, ends included: points × 3n, Å.

    The minimum images of ASE's potential take long. Here it sees single images, with the ion that goes farthest in the middle of
    the cell, where its neighbours are those of the crystal.
    """
    from ase.mep import NEB

    lattice = _lattice_vectors(initial, final)
    first, last = initial.copy(), final.copy()
    for end in (first, last):
        end.positions -= lattice
    band = NEB([first.copy() for _ in range(images + 1)] + [last], method="improvedtangent")
    band.interpolate(method="idpp", mic=False)
    return np.array([(image.positions + lattice).ravel() for image in band.images])


def _lattice_vectors(initial: "Atoms", final: "Atoms") -> "NDArray[np.float64]":
    """Return how far each atom is from its image in the cell that has the ion that goes farthest in its middle."""
    mover = int(np.linalg.norm(final.positions - initial.positions, axis=1).argmax())
    places = initial.get_scaled_positions(wrap=False)
    middle = (places[mover] + final.get_scaled_positions(wrap=False)[mover]) / 2
    return np.asarray(np.where(initial.pbc, np.rint(places - middle), 0.0) @ np.asarray(initial.cell))


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


def _finished(atoms: "Atoms", engine: Engine) -> "Atoms":
    attached = engine.attach(atoms)
    attached.get_potential_energy()
    return attached


def _bent(hessian: "NDArray[np.float64]", uphill: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the Hessian with a negative eigenvalue along the path, and nothing that couples to it."""
    row = hessian @ uphill
    along = float(uphill @ row) + FIRST_CURVATURE
    return np.asarray(hessian - np.outer(row, uphill) - np.outer(uphill, row) + along * np.outer(uphill, uphill))
