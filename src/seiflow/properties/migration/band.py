"""Climbing-image nudged elastic band, for a saddle that no other search finds.

Source: Henkelman, Uberuaga, Jonsson, J. Chem. Phys. 113, 9901 (2000) and 113, 9978 (2000); initial path by image-dependent
pair potential, Smidstrup et al., J. Chem. Phys. 140, 214106 (2014). The image climbs only after the band has converged to
ten times its tolerance.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import ConvergenceError, PhysicsError
from seiflow.properties.migration.climb import interpolated
from seiflow.properties.migration.states import Ends
from seiflow.settings import MigrationSettings

if TYPE_CHECKING:
    from ase import Atoms
    from ase.mep import NEB
    from numpy.typing import NDArray

BEFORE_CLIMBING = 10.0
OFF_THE_LINE = 0.1
"""Å; the moving ion of the middle image starts this far off the straight line, so that symmetry does not hold it there."""

DIP = 0.02
"""eV; an image this much below both its neighbours is an intermediate minimum."""


class NoBarrierError(PhysicsError):
    """A converged band has its highest energy at one of its ends."""


class NoSaddleError(PhysicsError):
    """A band led to no proved saddle; it still is a path, and ``height_ev`` the highest energy on it (eV)."""

    def __init__(self, message: str, height_ev: float) -> None:
        """Keep the height beside the message."""
        self.height_ev = height_ev
        super().__init__(message)


class PassedMinimumError(NoSaddleError):
    """A converged band passes an intermediate minimum near one of its images, which is kept: the hop is two hops."""

    def __init__(self, number: int, image: "Atoms", height_ev: float) -> None:
        """Keep the image beside the height."""
        self.image = image
        super().__init__(f"the band passes an intermediate minimum at image {number}: the hop is two hops", height_ev)


@dataclass(frozen=True)
class Band:
    """A converged band.

    Attributes:
        images: Both ends included.
        energies: eV.
        top: Index of the highest image, which has climbed to the saddle.
    """

    images: "tuple[Atoms, ...]"
    energies: "NDArray[np.float64]"
    top: int


def climbing_band(
    ends: Ends,
    engine: Engine,
    settings: MigrationSettings,
    most_evaluations: int | None = None,
    through: "Atoms | None" = None,
) -> Band:
    """Return a band whose highest image has climbed to the saddle.

    Args:
        ends: The two states.
        engine: Evaluates forces.
        settings: Images, tolerance and steps.
        most_evaluations: Of forces, after which no step is begun; None allows as many as the steps take.
        through: A structure that the first path goes through, such as the saddle by a cheaper calculator.

    Raises:
        NoSaddleError: if the largest force on an image stays above ``band_fmax``.
        PassedMinimumError: if the band passes an intermediate minimum.
        NoBarrierError: if it has no maximum between its ends.
    """
    band = _band(ends, engine, settings, through)
    last = None if most_evaluations is None else engine.force_evaluations + most_evaluations
    try:
        _converge(band, BEFORE_CLIMBING * settings.band_fmax, engine, settings, last)
        band.climb = _has_top(_energies(band, ends))  # an image of a band that only falls would climb without end
        _converge(band, settings.band_fmax, engine, settings, last)
    except (PhysicsError, ConvergenceError) as error:
        raise NoSaddleError(str(error), _height(band, ends)) from error
    energies = _energies(band, ends)
    dip = _deepest_dip(energies)
    if dip is not None:
        raise PassedMinimumError(dip, band.images[dip].copy(), _height(band, ends))
    if not _has_top(energies):
        message = "the band has no maximum between its ends: no barrier separates the two states"
        raise NoBarrierError(message)
    if not band.climb:
        message = "the band has a maximum between its ends that showed only when it had converged without climbing"
        raise NoSaddleError(message, _height(band, ends))
    return Band(tuple(band.images), energies, int(energies.argmax()))


def _energies(band: "NEB", ends: Ends) -> "NDArray[np.float64]":
    return np.array([ends.energy_initial, *band.energies[1:-1], ends.energy_final])


def _has_top(energies: "NDArray[np.float64]") -> bool:
    """Tell whether the highest energy is between the ends."""
    return 0 < int(energies.argmax()) < len(energies) - 1


def _band(ends: Ends, engine: Engine, settings: MigrationSettings, through: "Atoms | None") -> "NEB":
    from ase.mep import NEB

    images = [ends.initial.copy(), *(ends.initial.copy() for _ in range(settings.images)), ends.final.copy()]
    band = NEB([engine.attach(image) for image in images], k=1.0, method="improvedtangent", allow_shared_calculator=True)
    for image, places in zip(band.images, _first_path(ends, settings.images, through), strict=True):
        image.positions = places.reshape(-1, 3)
    chord = ends.final.positions[ends.mover] - ends.initial.positions[ends.mover]
    across = np.cross(chord, np.roll(chord, 1) + np.array([0.3, 0.0, 0.1]))
    for number, image in enumerate(band.images[1:-1], start=1):
        bow = np.sin(np.pi * number / (settings.images + 1))
        image.positions[ends.mover] += OFF_THE_LINE * bow * across / np.linalg.norm(across)
    return band


def _first_path(ends: Ends, images: int, through: "Atoms | None") -> "NDArray[np.float64]":
    """Return the interpolated path, as many points as there are images, ends included."""
    if through is None:
        return interpolated(ends.initial, ends.final, images)
    before = images // 2
    legs = interpolated(ends.initial, through, before), interpolated(through, ends.final, images - 1 - before)
    return np.concatenate([legs[0], legs[1][1:]])


def _converge(band: "NEB", fmax: float, engine: Engine, settings: MigrationSettings, last: int | None) -> None:
    from ase.mep.neb import NEBOptimizer

    optimizer = NEBOptimizer(band, logfile=None)

    def tell() -> None:
        stage = "climbing band" if band.climb else "band"
        residual = float(optimizer.get_residual())
        engine.report(f"{stage}: largest force {residual:.4f} eV/Å, {engine.force_evaluations} evaluations")
        if last is not None and engine.force_evaluations >= last and residual > fmax:
            message = f"band: largest force on an image {residual:.3g} eV/Å when the evaluations allowed for the hop were used up"
            raise ConvergenceError(message)

    optimizer.attach(tell)
    if not optimizer.run(fmax=fmax, steps=settings.band_steps) or optimizer.get_residual() > fmax:  # it may end out of steps
        message = (
            f"band: largest force on an image {optimizer.get_residual():.3g} eV/Å after {settings.band_steps} steps, "
            f"wanted {fmax:g}. Allow more steps (settings: migration.band_steps)."
        )
        raise ConvergenceError(message)


def _height(band: "NEB", ends: Ends) -> float:
    """Return the highest energy of a curve through the images with their energies and forces, eV."""
    from ase.utils.forcecurve import fit_raw

    still = np.zeros_like(ends.initial.positions)
    forces = np.array([still, *band.real_forces[1:-1], still])
    positions = np.array([image.positions for image in band.images])
    fit = fit_raw(_energies(band, ends), forces, positions, ends.initial.cell, ends.initial.pbc)
    return float(ends.energy_initial + max(fit.fit_energies))


def _deepest_dip(energies: "NDArray[np.float64]") -> int | None:
    """Return the lowest image that lies below both its neighbours."""
    inner = energies[1:-1]
    dips = np.flatnonzero((inner < energies[:-2] - DIP) & (inner < energies[2:] - DIP)) + 1
    return int(dips[energies[dips].argmin()]) if len(dips) else None
