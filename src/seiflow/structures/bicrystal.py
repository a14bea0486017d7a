"""Two rigid grains of one crystal that meet in a plane, in a cell that is periodic and so holds two boundaries.

Reflecting a crystal in a lattice plane, and turning it by half a turn about the plane's normal, leaves the plane's own net as
it is. So the bicrystal is strain-free and periodic for every plane of every crystal, and holds whole formula units because no
atom is added or removed. A turn by another angle keeps a coarser net, if the two share one.

The second grain may be shifted along the plane. The lattice vector that leads from one pair of grains to the next is then
slanted such that the second boundary repeats the first, wherever symmetry allows that.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from seiflow.errors import InputError
from seiflow.structures.coincidence import shared_net, twist_angle
from seiflow.structures.layers import Layers
from seiflow.structures.nets import HALF, lattice_basis, reduced_net
from seiflow.structures.slab import Block, Termination, build_block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms
    from numpy.typing import NDArray

Type = Literal["mirror", "twofold", "twist"]
Faces = Literal["like", "unlike"]

ONE = np.eye(2)


@dataclass(frozen=True)
class Grain:
    """A slab of a crystal: species, positions (n × 3, Å), thickness (Å); its faces are z = 0 and z = height."""

    symbols: tuple[str, ...]
    positions: "NDArray[np.float64]"
    height: float


@dataclass(frozen=True)
class Bicrystal:
    """Two grains, not yet put together.

    Attributes:
        lower: The first grain.
        upper: The second grain, before it is put on the first.
        net: Rows: the vectors of the boundary's cell, 2 × 2, Å.
        origin: Where the second grain lies without translation, 2, Å; follows the layers of the first grain as they climb, so
            that the same translation is the same registry for grains of any thickness.
        slant: The lattice vector to the next pair of grains goes along the plane by this matrix times the translation, 2 × 2;
            None if no symmetry makes the second boundary repeat the first.
        shifts: Rows: basis of the translations that change nothing, 2 × 2, Å.
        equal_shifts: Matrices that turn a translation into an equivalent one, each 2 × 2.
    """

    lower: Grain
    upper: Grain
    net: "NDArray[np.float64]"
    origin: "NDArray[np.float64]"
    slant: "NDArray[np.float64] | None"
    shifts: "NDArray[np.float64]"
    equal_shifts: "tuple[NDArray[np.float64], ...]"

    @property
    def area(self) -> float:
        """Area of one boundary, Å²."""
        return float(abs(np.linalg.det(self.net)))

    def along(self, translation: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return how far the lattice vector to the next pair of grains goes along the plane, Å."""
        return np.zeros(2) if self.slant is None else np.asarray(self.slant @ (self.origin + translation))

    def placed(self, translation: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """Return the positions of the second grain on a face at z = 0, n × 3, Å."""
        return np.asarray(self.upper.positions + np.array([*(self.origin + translation), 0.0]))

    def heights(self, gap: float) -> tuple[float, float, float]:
        """Return the heights of the two boundaries and of the cell, Å, with some room at each boundary."""
        middle = self.lower.height + gap / 2
        total = self.lower.height + self.upper.height + 2 * gap
        return middle, total - gap / 2, total


def natural_faces(kind: Type, termination: Termination) -> Faces:
    """Return which faces meet by default: like ones in a mirror, unless a dipole would then charge the boundaries."""
    return "like" if kind == "mirror" and termination.tasker != "III" else "unlike"


def bicrystal(
    stack: Layers,
    termination: Termination,
    thickness: float,
    *,
    kind: Type,
    faces: Faces,
    sigma: int | None = None,
    angle: float | None = None,
) -> Bicrystal:
    """Return the two grains of a boundary.

    Args:
        stack: The crystal as a stack of the boundary plane.
        termination: Where the first grain is cut; the second is cut in the same way.
        thickness: Least thickness of a grain, Å.
        kind: How the second grain follows from the first.
        faces: Whether the same face of both grains, or opposite faces, meet.
        sigma: Of a twist.
        angle: Of a twist, degree; by default the smallest of its Σ.

    Raises:
        InputError: if the second grain would be the first one again, or there is no such boundary.
    """
    block = build_block(stack, termination, thickness)
    _refuse_nothing(stack, kind)
    flips = faces == "like"
    if kind == "twist":
        return _twisted(block, sigma or 1, np.radians(angle or twist_angle(stack.plane, sigma or 1)))
    if flips == (kind == "mirror"):
        turn = ONE if kind == "mirror" else -ONE
    else:
        upside_down = [operation.turn for operation in stack.operations if operation.flips]
        if not upside_down:
            message = f"plane {stack.plane}: no symmetry turns the crystal upside down, so a {kind} has no {faces} faces"
            raise InputError(message)
        turn = min(upside_down, key=np.trace) * (1 if kind == "mirror" else -1)
    upper = np.column_stack([block.positions[:, :2] @ turn.T, block.positions[:, 2]])
    if flips:
        upper[:, 2] = block.height - upper[:, 2]
    return Bicrystal(
        Grain(block.symbols, block.positions, block.height),
        Grain(block.symbols, upper, block.height),
        block.net,
        block.climb - turn @ block.climb if flips else block.climb,
        _slant(block, turn, flips=flips),
        block.net,
        _equal_shifts(block, turn, flips=flips),
    )


def put_together(grains: Bicrystal, translation: "NDArray[np.float64]", gap: float) -> "Atoms":
    """Return the periodic cell.

    Args:
        grains: The two grains.
        translation: Of the second one along the plane, Å, 2.
        gap: Room added at each boundary, Å.
    """
    from ase import Atoms

    lower, upper = grains.lower, grains.upper
    raised = grains.placed(translation) + np.array([0.0, 0.0, lower.height + gap])
    *planes, total = grains.heights(gap)
    cell = np.zeros((3, 3))
    cell[:2, :2] = grains.net
    cell[2] = [*_folded(grains.along(translation), grains.net), total]
    atoms = Atoms([*lower.symbols, *upper.symbols], positions=np.vstack([lower.positions, raised]), cell=cell, pbc=True)
    atoms.set_array("grain", np.repeat([0, 1], [len(lower.symbols), len(upper.symbols)]))
    atoms.info["planes"] = [round(plane / total, 6) for plane in planes]
    atoms.wrap()
    return atoms


def contact_gap(grains: Bicrystal, translation: "NDArray[np.float64]", least: "NDArray[np.float64]") -> float:
    """Return the smallest gap (Å, not below zero) from which on no two ions of different grains are closer than allowed.

    Args:
        grains: The two grains.
        translation: Of the second one along the plane, Å.
        least: Least distance of each atom of the first grain from each of the second, n × m, Å.
    """
    gap = 0.0
    for pairs in faces_across(grains, translation, float(least.max())):
        wanted = least[pairs.lower, pairs.upper]
        near = pairs.lateral < wanted
        if near.any():
            gap = max(gap, float((np.sqrt(wanted[near] ** 2 - pairs.lateral[near] ** 2) - pairs.rise[near]).max()))
    return gap if gap > 1e-6 else 0.0  # noqa: PLR2004 - Å


@dataclass(frozen=True)
class PairsAcross:
    """Pairs of atoms on the two sides of a boundary without gap: indices in their grains, distance along the plane, rise; Å."""

    lower: "NDArray[np.int64]"
    upper: "NDArray[np.int64]"
    lateral: "NDArray[np.float64]"
    rise: "NDArray[np.float64]"


def faces_across(grains: Bicrystal, translation: "NDArray[np.float64]", reach: float) -> list[PairsAcross]:
    """Return the pairs within reach across the boundaries: second grain on first, and first on second if that differs."""
    moved = grains.placed(translation)
    positions = grains.lower.positions
    low, high, lateral, rise = _pairs(positions, moved, grains.lower.height, grains.net, reach)
    found = [PairsAcross(low, high, lateral, rise)]
    if grains.slant is None:
        high, low, lateral, rise = _pairs(moved, positions, grains.upper.height, grains.net, reach)
        found.append(PairsAcross(low, high, lateral, rise))
    return found


def _pairs(
    below: "NDArray[np.float64]", above: "NDArray[np.float64]", height: float, net: "NDArray[np.float64]", reach: float
) -> "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]":
    low = np.flatnonzero(below[:, 2] > height - reach)
    high = np.flatnonzero(above[:, 2] < reach)
    rise = above[high][None, :, 2] - (below[low][:, None, 2] - height)
    along = _folded(above[high][None, :, :2] - below[low][:, None, :2], net)
    widths = abs(np.linalg.det(net)) / np.linalg.norm(net[::-1], axis=1)
    images = [range(-int(reach / width) - 1, int(reach / width) + 2) for width in widths]
    steps = np.array(list(itertools.product(*images))) @ net
    lateral = np.linalg.norm(along[None] + steps[:, None, None], axis=-1)
    close = (lateral < reach) & (rise < reach)[None]
    _, i, j = np.nonzero(close)
    return low[i], high[j], lateral[close], rise[i, j]


def _folded(vectors: "NDArray[np.float64]", net: "NDArray[np.float64]") -> "NDArray[np.float64]":
    fractions = vectors @ np.linalg.inv(net)
    return np.asarray((fractions - np.ceil(fractions - HALF)) @ net)


def _refuse_nothing(stack: Layers, kind: Type) -> None:
    """Refuse a boundary across which the crystal simply goes on."""
    if kind == "twist":
        return
    for operation in stack.operations:
        if operation.flips == (kind == "mirror") and np.allclose(operation.turn, ONE if kind == "mirror" else -ONE, atol=1e-4):
            what = "mirroring the crystal in" if kind == "mirror" else "half a turn about the normal of"
            message = f"{what} {stack.plane} gives the same crystal again: there is no boundary; choose another plane"
            raise InputError(message)


def _twisted(block: Block, sigma: int, angle: float) -> Bicrystal:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lower_steps, upper_steps = shared_net(block.net, turn, sigma)
    net = lower_steps @ block.net
    spin = _rotation_to_x(net[0])
    symbols, lower = repeated(block, lower_steps)
    _, upper = repeated(block, upper_steps)
    lower[:, :2] = lower[:, :2] @ spin.T
    upper[:, :2] = upper[:, :2] @ turn.T @ spin.T
    net = net @ spin.T
    net[0, 1] = 0.0
    size = round(abs(np.linalg.det(lower_steps)))
    inverse = np.vstack([np.rint(np.linalg.inv(steps) * size).astype(np.int64) for steps in (lower_steps, upper_steps)])
    shifts = lattice_basis(inverse) @ net / size
    reflections = [turn @ keep for keep in block.keeping if np.linalg.det(keep) < 0]
    slant = ONE + spin @ reflections[0] @ spin.T if reflections else None
    shifts = reduced_net(shifts) @ shifts
    grains = Grain(symbols, lower, block.height), Grain(symbols, upper, block.height)
    return Bicrystal(*grains, net, spin @ block.climb, slant, shifts, (ONE,))


def _rotation_to_x(vector: "NDArray[np.float64]") -> "NDArray[np.float64]":
    x, y = vector / np.linalg.norm(vector)
    return np.array([[x, y], [-y, x]])


def repeated(block: Block, steps: "NDArray[np.int64]") -> "tuple[tuple[str, ...], NDArray[np.float64]]":
    """Return species and positions of a block repeated to fill a larger cell of its net."""
    size = round(abs(np.linalg.det(steps)))
    reach = range(-int(np.abs(steps).sum()), int(np.abs(steps).sum()) + 1)
    inside = []
    for step in itertools.product(reach, repeat=2):
        fractions = np.array(step) @ np.linalg.inv(steps)
        if (np.floor(fractions + 1e-6) == 0).all():
            inside.append(step)
    assert len(inside) == size  # noqa: S101 - as many as the determinant says
    moves = np.array(inside) @ block.net
    positions = np.vstack([block.positions + np.array([*move, 0.0]) for move in moves])
    return block.symbols * size, positions


def _slant(block: Block, turn: "NDArray[np.float64]", *, flips: bool) -> "NDArray[np.float64] | None":
    """Return the matrix that makes the second boundary equivalent to the first; None if no symmetry does."""
    if flips:
        twice = [flip for flip in block.flipping if np.allclose(flip @ flip, ONE, atol=1e-4)]
        return ONE - max(twice, key=np.trace) if twice else None
    halves = [turn @ keep for keep in block.keeping if np.allclose(turn @ keep @ turn @ keep, ONE, atol=1e-4)]
    return ONE + min(halves, key=np.trace) if halves else None


def _equal_shifts(block: Block, turn: "NDArray[np.float64]", *, flips: bool) -> "tuple[NDArray[np.float64], ...]":
    found = [keep for keep in block.keeping if _among(turn.T @ keep @ turn @ keep.T, block.keeping)]
    if flips:
        found += [-turn @ keep for keep in found]
    else:
        found += [-turn @ flip for flip in block.flipping]
    return tuple(found)


def _among(matrix: "NDArray[np.float64]", others: "Sequence[NDArray[np.float64]]") -> bool:
    return any(np.allclose(matrix, other, atol=1e-4) for other in others)
