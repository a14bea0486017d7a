"""The barrier of one hop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.properties.migration.climb import Point, on_the_way
from seiflow.properties.migration.descent import Path
from seiflow.properties.migration.finding import FoundWay, find_way
from seiflow.properties.migration.network import Hop
from seiflow.properties.migration.saddle import Saddle
from seiflow.properties.migration.states import Ends, Vacancy, hop_ends
from seiflow.properties.migration.symmetry import SiteSymmetry
from seiflow.settings import MigrationSettings
from seiflow.structures.transfer import transferred

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

LOWER_ARRANGEMENT = 0.02
"""eV; a path that falls below both ends of its hop by more is told."""

SMALL_CHANGE = 0.03
"""eV; a larger change of the barrier is told."""


@dataclass(frozen=True)
class LargerSupercell:
    """The barrier in a larger supercell.

    Attributes:
        atoms: Of the perfect supercell.
        barrier_change_ev: The forward barrier there less that in the supercell of the record.
    """

    image_distance_angstrom: float
    atoms: int
    barrier_forward_ev: float
    barrier_backward_ev: float
    barrier_change_ev: float

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know."""
        if abs(self.barrier_change_ev) <= SMALL_CHANGE:
            return ()
        where = f"in a supercell with images {self.image_distance_angstrom:.1f} Å apart"
        return (f"the barrier changes by {self.barrier_change_ev:+.3f} eV {where}",)


@dataclass(frozen=True)
class Barrier:
    """What is known of one hop; ``curvatures`` and their residuals prove the saddle.

    Attributes:
        straight_barrier_ev: Of the stationary point found first, on the symmetry line; null where the search
            started elsewhere: from a band, or from the saddle of another calculator.
        straight_negative_modes: Its negative modes; two mean that the true path bows off the line.
        pushed_barrier_ev: After the push off the line; null if pushing led back.
        offset_angstrom: How far the moving ion at the saddle is off the straight line.
        largest_force_ev_per_angstrom: At the saddle.
        intermediate_minima_ev: Minima passed on the way, above the initial state; the barrier is that of the higher saddle.
        path: Energies along the hop, relative to the initial state.
        larger: The same in a larger supercell, if that was asked for.
    """

    hop: str
    distance_angstrom: float
    method: str
    barrier_forward_ev: float
    barrier_backward_ev: float
    saddle_energy_ev: float
    initial_energy_ev: float
    final_energy_ev: float
    straight_barrier_ev: float | None
    straight_negative_modes: int | None
    pushed_barrier_ev: float | None
    offset_angstrom: float
    largest_force_ev_per_angstrom: float
    negative_modes: int
    curvatures_ev_per_angstrom2: "NDArray[np.float64]"
    curvature_residuals_ev_per_angstrom2: "NDArray[np.float64]"
    intermediate_minima_ev: tuple[float, ...]
    path: Path
    charge_state: str
    warnings: tuple[str, ...]
    larger: LargerSupercell | None = None

    @property
    def level_ev(self) -> float:
        """The highest energy of the hop, that of an end if the saddle lies below it."""
        return max(self.saddle_energy_ev, self.initial_energy_ev, self.final_energy_ev)


@dataclass(frozen=True)
class Frames:
    """The structures of a hop: initial, saddle, final, and the intermediate minima passed."""

    initial: "Atoms"
    saddle: "Atoms"
    final: "Atoms"
    minima: "tuple[Atoms, ...]" = ()


def hop_barrier(
    supercell: "Atoms",
    hop: Hop,
    vacancies: Mapping[str, Vacancy],
    symmetry: SiteSymmetry,
    engine: Engine,
    settings: MigrationSettings,
    head_start: "Atoms | None" = None,
) -> tuple[Barrier, Frames]:
    """Return the barrier of a hop and its structures.

    Args:
        supercell: The perfect supercell.
        hop: The hop, in the numbering of the supercell.
        vacancies: The relaxed vacancies by site.
        symmetry: Operations of the supercell.
        engine: Evaluates and relaxes.
        settings: Tolerances and limits.
        head_start: The saddle as another calculator found it, to start from.
    """
    ends = hop_ends(supercell, hop, vacancies, symmetry)
    given = None if head_start is None else transferred(head_start, ends.initial)
    start = None if given is None else on_the_way(given, ends.final.positions - ends.initial.positions)
    return barrier_between(ends, hop.hop, hop.distance_angstrom, engine, settings, start=start)


def barrier_between(
    ends: Ends,
    hop: str,
    distance_angstrom: float,
    engine: Engine,
    settings: MigrationSettings,
    *,
    band: bool = True,
    start: Point | None = None,
    most_evaluations: int | None = None,
) -> tuple[Barrier, Frames]:
    """Return the barrier between two states and the structures of the hop.

    Args:
        ends: The states, every ion under the same number in both.
        hop: Name of the hop.
        distance_angstrom: Its length, for the record.
        engine: Evaluates and relaxes.
        settings: Tolerances and limits.
        band: Whether a band is run if the search for the saddle fails.
        start: Where the search for the saddle starts, if that is known; if it leads nowhere, the search starts as without.
        most_evaluations: Of forces, half of them for the search, half for the band and a search from its top, or from a minimum
            that it passes; None allows as many as it takes.

    Raises:
        PhysicsError: if no way finds a first-order saddle that leads to both ends; a :class:`~.band.NoSaddleError` knows how high
            the path of the band is.
        ConvergenceError: if the search for the saddle does not converge and no band is run.
    """
    found = find_way(ends, engine, settings, band=band, start=start, most_evaluations=most_evaluations)
    crossing = found.crossing
    frames = Frames(
        with_energy(ends.initial, ends.energy_initial),
        with_energy(crossing.saddle.atoms, crossing.saddle.energy),
        with_energy(ends.final, ends.energy_final),
        tuple(with_energy(item.atoms, item.energy) for item in crossing.minima),
    )
    return _barrier(hop, distance_angstrom, ends, found, settings.charge_state), frames


def with_energy(atoms: "Atoms", energy: float) -> "Atoms":
    """Return a copy of a structure without constraints that carries an energy."""
    from ase.calculators.singlepoint import SinglePointCalculator

    copy = atoms.copy()
    copy.set_constraint()
    copy.calc = SinglePointCalculator(copy, energy=energy)
    return copy


def _barrier(
    hop: str,
    distance_angstrom: float,
    ends: Ends,
    found: FoundWay,
    charge_state: str,
) -> Barrier:
    crossing, saddle, warnings = found.crossing, found.crossing.saddle, found.warnings
    if not saddle.modes.certain:
        values, errors = saddle.modes.curvatures, saddle.modes.residuals
        bounds = ", ".join(f"{value:.2f} ± {error:.2f}" for value, error in zip(values[:2], errors[:2], strict=True))
        warnings += (f"that the saddle has one negative mode is not certain: its lowest curvatures are {bounds} eV/Å²",)
    dip = min(0.0, ends.energy_final - ends.energy_initial) - min(crossing.path.energy_ev)
    if dip > LOWER_ARRANGEMENT:
        warnings += (f"its path passes {dip:.3f} eV below both ends: one of them has a lower arrangement than the one relaxed",)
    if saddle.energy < max(ends.energy_initial, ends.energy_final):
        warnings += ("its saddle lies below one of its ends, which counts as the level of the hop",)
    first, last = crossing.trials[0], crossing.trials[-1]
    return Barrier(
        hop=hop,
        distance_angstrom=distance_angstrom,
        method=found.method,
        barrier_forward_ev=saddle.energy - ends.energy_initial,
        barrier_backward_ev=saddle.energy - ends.energy_final,
        saddle_energy_ev=saddle.energy,
        initial_energy_ev=ends.energy_initial,
        final_energy_ev=ends.energy_final,
        straight_barrier_ev=first.energy - ends.energy_initial if found.on_line else None,
        straight_negative_modes=first.negative_modes if found.on_line else None,
        pushed_barrier_ev=last.energy - ends.energy_initial if found.on_line and len(crossing.trials) > 1 else None,
        offset_angstrom=_offset(ends, saddle),
        largest_force_ev_per_angstrom=saddle.largest_force,
        negative_modes=saddle.modes.negative,
        curvatures_ev_per_angstrom2=saddle.modes.curvatures,
        curvature_residuals_ev_per_angstrom2=saddle.modes.residuals,
        intermediate_minima_ev=tuple(item.energy - ends.energy_initial for item in crossing.minima),
        path=crossing.path,
        charge_state=charge_state,
        warnings=warnings,
    )


def _offset(ends: Ends, saddle: Saddle) -> float:
    origin = ends.initial.positions[ends.mover]
    chord = ends.final.positions[ends.mover] - origin
    step = saddle.atoms.positions[ends.mover] - origin
    return float(np.linalg.norm(step - (step @ chord) / (chord @ chord) * chord))
