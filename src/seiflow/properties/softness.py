"""Softness of a potential: its forces on displaced crystals against those of a reference, usually density functional theory.

The force scale is the slope through the origin of the potential's forces on the reference's, by least squares over all components
in all displaced structures: B. Deng et al., npj Comput. Mater. 11, 9 (2025), doi 10.1038/s41524-024-01500-6, who find universal
potentials below one throughout. Its standard error is a jack-knife over the structures, because forces within one are not
independent. The structures are those of the reference, also their cell, whatever lattice constant the potential has itself.

The energy scale is the same slope for the energies above that of the crystal at rest. If a potential were the reference times a
number, both scales would be that number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import PhysicsError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

    from seiflow.engine import Engine
    from seiflow.reference_forces import ReferenceForces

CLOSE = 0.95
"""Correlation below which forces differ by more than a factor, so that one number does not describe the difference."""

UNSURE = 0.05
"""Standard error of the force scale above which a warning is given."""


@dataclass(frozen=True)
class SpeciesSoftness:
    """Forces on the ions of one species in all displaced structures."""

    species: str
    forces_compared: int
    force_scale: float
    force_rms_ev_per_angstrom: float


@dataclass(frozen=True)
class FrameSoftness:
    """Forces in one displaced structure; ``largest_reference_force_ev_per_angstrom`` is that on an ion."""

    displaced: str
    force_scale: float
    force_rms_ev_per_angstrom: float
    largest_reference_force_ev_per_angstrom: float
    energy_ev: float
    reference_energy_ev: float


@dataclass(frozen=True)
class Softness:
    """How forces compare with those of a reference.

    Attributes:
        reference: Calculator whose forces are the reference.
        structures_compared: Displaced structures.
        forces_compared: Components of forces.
        force_scale: Slope through the origin of the forces on those of the reference; below one the potential is soft.
        force_scale_error: Its standard error by jack-knife over the structures.
        force_rms_ev_per_angstrom: Root mean square of the difference of a component.
        reference_force_rms_ev_per_angstrom: The same of the reference's forces themselves, to see it against.
        force_correlation: Of the components.
        energy_scale: Slope through the origin of the energies above the crystal at rest on those of the reference.
        species: The same for each species.
        frames: The same for each structure; energies are above the crystal at rest, per cell.
        warnings: What a reader of the numbers should know.
    """

    reference: str
    structures_compared: int
    forces_compared: int
    force_scale: float
    force_scale_error: float
    force_rms_ev_per_angstrom: float
    reference_force_rms_ev_per_angstrom: float
    force_correlation: float
    energy_scale: float
    species: tuple[SpeciesSoftness, ...]
    frames: tuple[FrameSoftness, ...]
    warnings: tuple[str, ...]


def softness(reference: "ReferenceForces", engine: "Engine") -> Softness:
    """Return how the forces of a calculator compare with reference forces on the same structures."""
    frames = reference.displaced
    known = [np.asarray(frame.get_forces()) for frame in frames]
    at_rest = engine.evaluate(reference.rest).energy
    found, energies = [], []
    for number, frame in enumerate(frames, start=1):
        engine.report(f"softness: structure {number} of {len(frames)}, {len(frame)} atoms")
        evaluation = engine.evaluate(frame)
        found.append(evaluation.forces)
        energies.append(evaluation.energy - at_rest)
    heights = [frame.get_potential_energy() - reference.rest.get_potential_energy() for frame in frames]
    return reduce(reference, known, found, heights, energies)


def reduce(
    reference: "ReferenceForces",
    known: "Sequence[NDArray[np.float64]]",
    found: "Sequence[NDArray[np.float64]]",
    heights: Sequence[float],
    energies: Sequence[float],
) -> Softness:
    """Return what follows from forces and energies of the reference and of the calculator in each displaced structure.

    Args:
        reference: The structures.
        known: Reference forces, n × 3 for each structure, eV/Å.
        found: Forces of the calculator.
        heights: Reference energies above the crystal at rest, eV.
        energies: The same of the calculator.
    """
    x, y = np.concatenate(known).ravel(), np.concatenate(found).ravel()
    scale, error = slope(x, y), jackknife(known, found)
    correlation = float(np.corrcoef(x, y)[0, 1])
    return Softness(
        reference=reference.calculator,
        structures_compared=len(known),
        forces_compared=len(x),
        force_scale=scale,
        force_scale_error=error,
        force_rms_ev_per_angstrom=_rms(y - x),
        reference_force_rms_ev_per_angstrom=_rms(x),
        force_correlation=correlation,
        energy_scale=slope(np.array(heights), np.array(energies)),
        species=_by_species(reference.displaced, known, found),
        frames=tuple(
            FrameSoftness(how, slope(one, other), _rms(other - one), float(np.linalg.norm(one, axis=1).max()), energy, height)
            for how, one, other, energy, height in zip(reference.ways, known, found, energies, heights, strict=True)
        ),
        warnings=_warnings(error, correlation),
    )


def slope(x: "NDArray[np.float64]", y: "NDArray[np.float64]") -> float:
    """Return the slope of the straight line through the origin that fits y on x best.

    Raises:
        PhysicsError: if all of x is zero.
    """
    square = float((x * x).sum())
    if square == 0:
        message = (
            "the reference forces are all zero: its structures are not displaced. Make them with seiflow calculators forces."
        )
        raise PhysicsError(message)
    return float((x * y).sum()) / square


def jackknife(known: "Sequence[NDArray[np.float64]]", found: "Sequence[NDArray[np.float64]]") -> float:
    """Return the standard error of the slope from leaving out one structure at a time."""
    crossed = np.array([(one * other).sum() for one, other in zip(known, found, strict=True)])
    squares = np.array([(one * one).sum() for one in known])
    slopes = (crossed.sum() - crossed) / (squares.sum() - squares)
    return float(np.sqrt((len(slopes) - 1) / len(slopes) * ((slopes - slopes.mean()) ** 2).sum()))


def _rms(values: "NDArray[np.float64]") -> float:
    return float(np.sqrt((values**2).mean()))


def _by_species(
    frames: "Sequence[Atoms]", known: "Sequence[NDArray[np.float64]]", found: "Sequence[NDArray[np.float64]]"
) -> tuple[SpeciesSoftness, ...]:
    symbols = np.concatenate([frame.get_chemical_symbols() for frame in frames])
    x, y = np.concatenate(known), np.concatenate(found)
    return tuple(
        SpeciesSoftness(str(name), 3 * int(chosen.sum()), slope(x[chosen], y[chosen]), _rms(y[chosen] - x[chosen]))
        for name in dict.fromkeys(symbols)
        if (chosen := symbols == name).any()
    )


def _warnings(error: float, correlation: float) -> tuple[str, ...]:
    found = []
    if correlation < CLOSE:
        found.append(
            f"the forces correlate with those of the reference by {correlation:.3f} only: they differ by more than a factor, "
            "so that values corrected by one mean little"
        )
    if error > UNSURE:
        found.append(f"the force scale is known to {error:.2f} only: it differs from structure to structure")
    return tuple(found)
