"""Quasi-Newton steps: up along one mode to a saddle, or down to a minimum.

The step follows one eigenvector of the Hessian up and all others down (Cerjan and Miller, J. Chem. Phys. 75, 2800 (1981)), each
curvature raised by one shift until no atom moves farther than a radius (Helgaker, Chem. Phys. Lett. 182, 503 (1991)). The Hessian
is updated after every step by the formula of Anglada and Bofill, J. Comput. Chem. 19, 349 (1998), which, unlike that of
minimisers, takes negative curvatures as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

SOFTEST_UP = 0.5
SOFTEST_DOWN = 0.3
"""eV/Å²; a curvature closer to zero is taken as this. On the way up a soft mode must make no wild step."""

FIRST_STEP = 0.1
LONGEST_STEP = 0.25
SHORTEST_STEP = 0.03
"""Å; bounds of the largest displacement of an atom in one step."""

LONGER = 1.4
SHORTER = 0.6
"""How the bound changes after a good step and after a bad one."""

TRUSTED = 0.6
DISTRUSTED = 1.0
"""Error of the predicted change of the forces, relative to that change, below which steps grow and above which they shrink."""

PATIENCE = 8
"""Steps up without a new smallest force after which a walk ends."""

RISE = 0.001
"""eV; a step down over which the energy rises by more is taken back."""

Arrived = Callable[["Atoms"], bool]
Watch = Callable[["Atoms", float], None]


@dataclass(frozen=True)
class Walk:
    """Where a walk went.

    Attributes:
        atoms: On the way up, its point with the smallest of the largest forces; on the way down, its last one.
        energy: There, eV.
        largest_force: There, eV/Å.
        hessian: After the last step, 3n × 3n, eV/Å².
    """

    atoms: "Atoms"
    energy: float
    largest_force: float
    hessian: "NDArray[np.float64]"


def _nowhere(_: "Atoms") -> bool:
    return False


def _unwatched(_: "Atoms", __: float) -> None:
    pass


def walk(
    start: "Atoms",
    hessian: "NDArray[np.float64]",
    engine: Engine,
    *,
    fmax: float,
    steps: int,
    label: str,
    uphill: "NDArray[np.float64] | None" = None,
    arrived: Arrived = _nowhere,
    watch: Watch = _unwatched,
) -> Walk:
    """Walk until the largest force on an atom is below ``fmax``.

    Args:
        start: The first point.
        hessian: There, 3n × 3n, eV/Å²; a model will do.
        engine: Evaluates forces.
        fmax: eV/Å.
        steps: After so many the walk ends wherever it is.
        label: Heads the progress lines.
        uphill: Direction (3n) whose nearest mode is followed to a maximum; None walks down to a minimum.
        arrived: Ends the walk where it says so.
        watch: Called with structure and energy at every point.
    """
    at = _Place(start.copy(), *_felt(start, engine))
    best, best_number, radius = at, 0, FIRST_STEP
    for number in range(steps + 1):
        engine.report(f"{label}: step {number}, largest force {at.largest:.4f} eV/Å, {engine.force_evaluations} evaluations")
        watch(at.atoms, at.energy)
        if uphill is None or at.largest < best.largest:
            best, best_number = at, number
        if at.largest <= fmax or number - best_number == PATIENCE or number == steps or arrived(at.atoms):
            break
        modes = _Eigen(*np.linalg.eigh(hessian))
        step, uphill = _step(modes, at.gradient, uphill, radius)
        atoms = at.atoms.copy()
        atoms.positions += step.reshape(-1, 3)
        after = _Place(atoms, *_felt(atoms, engine))
        change = after.gradient - at.gradient
        if uphill is None:
            radius = LONGER * _longest(step) if after.energy < at.energy else SHORTER * _longest(step)
        else:
            radius = _trusted(radius, _longest(step), float(np.linalg.norm(change - hessian @ step) / np.linalg.norm(change)))
        radius = min(max(radius, SHORTEST_STEP), LONGEST_STEP)
        hessian = _updated(hessian, modes, step, change)
        at = at if uphill is None and after.energy > at.energy + RISE else after
    return Walk(best.atoms, best.energy, best.largest, hessian)


@dataclass(frozen=True)
class _Place:
    atoms: "Atoms"
    energy: float
    gradient: "NDArray[np.float64]"

    @property
    def largest(self) -> float:
        return _longest(self.gradient)


def _felt(atoms: "Atoms", engine: Engine) -> tuple[float, "NDArray[np.float64]"]:
    here = engine.evaluate(atoms)
    return here.energy, -here.forces.ravel()


def learnt(hessian: "NDArray[np.float64]", step: "NDArray[np.float64]", change: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the Hessian that a step (3n, Å) over which the gradient changed by ``change`` (3n, eV/Å) makes of one."""
    return _updated(hessian, _Eigen(*np.linalg.eigh(hessian)), step, change)


@dataclass(frozen=True)
class _Eigen:
    values: "NDArray[np.float64]"
    vectors: "NDArray[np.float64]"


def _step(
    modes: _Eigen, gradient: "NDArray[np.float64]", uphill: "NDArray[np.float64] | None", radius: float
) -> tuple["NDArray[np.float64]", "NDArray[np.float64] | None"]:
    """Return the step, and the mode it followed up."""
    stiffness = np.maximum(modes.values, SOFTEST_DOWN) if uphill is None else np.maximum(np.abs(modes.values), SOFTEST_UP)
    downhill = -(gradient @ modes.vectors)
    if uphill is not None:
        overlaps = uphill @ modes.vectors
        followed = int(np.abs(overlaps).argmax())
        downhill[followed] *= -1
        uphill = modes.vectors[:, followed] * np.sign(overlaps[followed])

    def shifted(shift: float) -> "NDArray[np.float64]":
        return np.asarray(modes.vectors @ (downhill / (stiffness + shift)))

    return shifted(_smallest_shift(lambda shift: _longest(shifted(shift)), radius)), uphill


def _smallest_shift(length: Callable[[float], float], radius: float) -> float:
    """Return the shift at which a step, which falls with it, is as long as the radius; zero if it never is longer."""
    if length(0.0) <= radius:
        return 0.0
    low, high = 0.0, 1.0
    while length(high) > radius:
        low, high = high, 2 * high
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if length(middle) > radius else (low, middle)
    return high


def _trusted(radius: float, length: float, missed: float) -> float:
    """Return the radius of the next step, after one over which the part ``missed`` of the change of the forces was unforeseen."""
    if missed > DISTRUSTED:
        return SHORTER * length
    return max(radius, LONGER * length) if missed < TRUSTED else radius


def _updated(
    hessian: "NDArray[np.float64]", modes: _Eigen, step: "NDArray[np.float64]", change: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    positive = modes.vectors @ (np.abs(modes.values) * (step @ modes.vectors))
    found, expected = float(change @ step), float(positive @ step)
    weight = found**2 + expected**2
    if weight < 1e-20:  # noqa: PLR2004 - nothing to learn from this step
        return hessian
    missed = change - hessian @ step
    mixed = (found * change + expected * positive) / weight
    cross = np.outer(mixed, missed)
    return np.asarray(hessian + cross + cross.T - float(missed @ step) * np.outer(mixed, mixed))


def _longest(vectors: "NDArray[np.float64]") -> float:
    return float(np.linalg.norm(vectors.reshape(-1, 3), axis=1).max())
