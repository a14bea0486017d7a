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


def climbing_band(ends: Ends, engine: Engine, settings: MigrationSettings) -> Band:
    """Return a band whose highest image has climbed to the saddle.

    Raises:
        ConvergenceError: if the largest force on an image stays above ``band_fmax``.
        PhysicsError: if the band passes an intermediate minimum, or has no maximum between its ends.
    """
    band = _band(ends, engine, settings)
    for climb, fmax in ((False, BEFORE_CLIMBING * settings.band_fmax), (True, settings.band_fmax)):
        band.climb = climb
        _converge(band, fmax, engine, settings)
    energies = np.array([ends.energy_initial, *band.energies[1:-1], ends.energy_final])
    _check_dips(energies)
    top = int(energies.argmax())
    if top in (0, len(energies) - 1):
        message = "the band has no maximum between its ends: no barrier separates the two states"
        raise NoBarrierError(message)
    return Band(tuple(band.images), energies, top)


def _band(ends: Ends, engine: Engine, settings: MigrationSettings) -> "NEB":
    from ase.mep import NEB

    images = [ends.initial.copy(), *(ends.initial.copy() for _ in range(settings.images)), ends.final.copy()]
    band = NEB([engine.attach(image) for image in images], k=1.0, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate(method="idpp", mic=False)
    chord = ends.final.positions[ends.mover] - ends.initial.positions[ends.mover]
    across = np.cross(chord, np.roll(chord, 1) + np.array([0.3, 0.0, 0.1]))
    for number, image in enumerate(band.images[1:-1], start=1):
        bow = np.sin(np.pi * number / (settings.images + 1))
        image.positions[ends.mover] += OFF_THE_LINE * bow * across / np.linalg.norm(across)
    return band


def _converge(band: "NEB", fmax: float, engine: Engine, settings: MigrationSettings) -> None:
    from ase.mep.neb import NEBOptimizer

    optimizer = NEBOptimizer(band, logfile=None)

    def tell() -> None:
        stage = "climbing band" if band.climb else "band"
        residual = float(optimizer.get_residual())
        engine.report(f"{stage}: largest force {residual:.4f} eV/Å, {engine.force_evaluations} evaluations")

    optimizer.attach(tell)
    if not optimizer.run(fmax=fmax, steps=settings.band_steps):
        message = (
            f"band: largest force on an image {optimizer.get_residual():.3g} eV/Å after {settings.band_steps} steps, "
            f"wanted {fmax:g}. Allow more steps (settings: migration.band_steps)."
        )
        raise ConvergenceError(message)


def _check_dips(energies: "NDArray[np.float64]") -> None:
    inner = energies[1:-1]
    dips = (inner < energies[:-2] - DIP) & (inner < energies[2:] - DIP)
    if dips.any():
        message = f"the band passes an intermediate minimum at image {int(dips.argmax()) + 1}: the hop is two hops"
        raise PhysicsError(message)
