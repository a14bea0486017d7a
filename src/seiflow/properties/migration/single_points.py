"""A cheap check of barriers by a dearer calculator: energies at the ends and the saddle of a cheaper one, and beside the saddle.

Nothing is relaxed. The barrier of the single points is that of the dearer calculator if both agree on the structures. Whether
they agree on the saddle shows in two points beside it: if one of them is higher, the saddle of the dearer one lies on that side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.engine import Engine
from seiflow.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

BESIDE = 0.3
"""Å; how far the ion that moves most is put from the saddle, towards either end."""

HIGHER = 0.005
"""eV; a point beside the saddle that is higher by more is told."""


@dataclass(frozen=True)
class CheckedHop:
    """Single points of one hop; energies in eV.

    Attributes:
        barrier_forward_ev: Saddle above the initial state, at the structures of the cheaper calculator.
        barrier_backward_ev: Saddle above the final state.
        cheaper_forward_ev: The same by the cheaper calculator.
        before_ev: Energy of a point between initial state and saddle, from the saddle.
        after_ev: Likewise on the other side.
        largest_force_ev_per_angstrom: At the saddle; zero if it is one of both calculators.
    """

    hop: str
    barrier_forward_ev: float
    barrier_backward_ev: float
    cheaper_forward_ev: float
    cheaper_backward_ev: float
    before_ev: float
    after_ev: float
    largest_force_ev_per_angstrom: float


@dataclass(frozen=True)
class BarrierCheck:
    """Single points of all hops of a structure.

    Attributes:
        cheaper: The calculator that the structures are from.
    """

    cheaper: str
    hops: tuple[CheckedHop, ...]
    warnings: tuple[str, ...]


def barrier_check(cheaper: str, frames: "Mapping[str, Sequence[Atoms]]", engine: Engine) -> BarrierCheck:
    """Return the single points of hops.

    Args:
        cheaper: Name of the calculator that the structures are from.
        frames: By name of the hop: its initial state, saddle and final state, with their energies.
        engine: Evaluates.

    Raises:
        InputError: if a hop has other than three structures.
    """
    hops = tuple(_checked(name, structures, engine) for name, structures in frames.items())
    return BarrierCheck(cheaper, hops, tuple(_warnings(hops, cheaper)))


def _checked(name: str, frames: "Sequence[Atoms]", engine: Engine) -> CheckedHop:
    if len(frames) != 3:  # noqa: PLR2004 - initial, saddle, final
        message = f"{name}: {len(frames)} structures; a hop has an initial state, a saddle and a final state"
        raise InputError(message)
    engine.report(f"{name}: single points at the structures of the cheaper calculator")
    initial, saddle, final = frames
    there = engine.evaluate(saddle)
    ends = [engine.evaluate(end).energy for end in (initial, final)]
    beside = [engine.evaluate(_towards(end, saddle)).energy - there.energy for end in (initial, final)]
    known = [frame.get_potential_energy() for frame in frames]
    return CheckedHop(
        hop=name,
        barrier_forward_ev=there.energy - ends[0],
        barrier_backward_ev=there.energy - ends[1],
        cheaper_forward_ev=known[1] - known[0],
        cheaper_backward_ev=known[1] - known[2],
        before_ev=beside[0],
        after_ev=beside[1],
        largest_force_ev_per_angstrom=float(np.linalg.norm(there.forces, axis=1).max()),
    )


def _towards(end: "Atoms", saddle: "Atoms") -> "Atoms":
    """Return the saddle moved towards an end."""
    gaps = np.linalg.solve(saddle.cell.array.T, (end.positions - saddle.positions).T).T
    step = (gaps - np.rint(gaps)) @ saddle.cell.array
    moved: Atoms = saddle.copy()
    moved.positions += BESIDE * step / np.linalg.norm(step, axis=1).max()
    return moved


def _warnings(hops: Sequence[CheckedHop], cheaper: str) -> list[str]:
    return [
        f"{hop.hop}: the saddle of {cheaper} is {higher:.3f} eV below a point {BESIDE} Å from it towards the {side} state: "
        "the barrier is higher than that of the single points"
        for hop in hops
        for side, higher in (("initial", hop.before_ev), ("final", hop.after_ev))
        if higher > HIGHER
    ]
