"""Coincidence lattices of cubic crystals turned about a lattice direction.

Σ and angle after S. Ranganathan, Acta Cryst. 21, 197 (1966): tan(θ/2) = (n/m) √N with N = h² + k² + l², and Σ = m² + n² N
divided by two until it is odd. The net that both grains share is then found among whole combinations, not assumed.
"""

import itertools
from math import atan2, degrees, gcd, sqrt
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.structures.layers import Operation, Plane
from seiflow.structures.nets import lattice_basis, reduced_net

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SAME_ANGLE = 1e-6
"""Degree."""

ANGLE_TOLERANCE = 0.1
"""Degree; how far a wanted angle may be from the exact one."""

LARGEST = 20
"""m and n up to which angles are tried; enough for every angle of every Σ up to 100."""


def mirror_sigma(plane: Plane) -> int:
    """Return Σ of a cubic crystal mirrored in a plane: h² + k² + l², halved when even."""
    norm = sum(index * index for index in plane)
    return norm // 2 if norm % 2 == 0 else norm


def twist_angles(axis: Plane) -> dict[int, float]:
    """Return the smallest angle (degree) for each Σ of a cubic crystal turned about a direction."""
    norm = sum(index * index for index in axis)
    found: dict[int, float] = {}
    for m, n in itertools.product(range(LARGEST + 1), repeat=2):
        if n == 0 or gcd(m, n) != 1:
            continue
        sigma = m * m + n * n * norm
        while sigma % 2 == 0:
            sigma //= 2
        angle = degrees(2 * atan2(n * sqrt(norm), m))
        if sigma > 1:
            found[sigma] = min(angle, found.get(sigma, angle))
    return dict(sorted(found.items()))


def twist_angle(axis: Plane, sigma: int) -> float:
    """Return the smallest angle (degree) that gives a Σ.

    Raises:
        InputError: if no angle about this axis does; names the nearest Σ that exist.
    """
    angles = twist_angles(axis)
    if sigma not in angles:
        nearest = sorted(sorted(angles, key=lambda item: (abs(item - sigma), item))[:3])
        shown = ", ".join(f"Σ{item} ({angles[item]:.2f}°)" for item in nearest)
        message = f"no turn about [{' '.join(map(str, axis))}] of a cubic crystal has Σ{sigma}; nearest: {shown}"
        raise InputError(message)
    return angles[sigma]


def distinct_angles(axis: Plane, sigma: int, operations: "Sequence[Operation]") -> tuple[float, ...]:
    """Return every angle (degree) that gives a Σ, one of each set of equivalent boundaries, the smallest of each set.

    A rotation of the crystal about the axis added to the angle changes nothing. An operation that mirrors or inverts the crystal
    and keeps the plane makes the opposite angle equivalent. There is none if Σ does not exist.

    Args:
        axis: Of the turn.
        sigma: Of the coincidence lattice.
        operations: Those of the crystal that keep the plane normal to the axis.
    """
    norm = sum(index * index for index in axis)
    largest = int(2 * sqrt(sigma)) + 1
    found: list[float] = []
    for m, n in itertools.product(range(largest + 1), range(1, largest + 1)):
        total = m * m + n * n * norm
        while total % 2 == 0:
            total //= 2
        if gcd(m, n) == 1 and total == sigma:
            found += (sign * degrees(2 * atan2(n * sqrt(norm), m)) for sign in (1, -1))
    folded = sorted(fold(angle, operations) for angle in found)
    return tuple(angle for index, angle in enumerate(folded) if not index or angle - folded[index - 1] > SAME_ANGLE)


def chosen_angle(axis: Plane, sigma: int, operations: "Sequence[Operation]", wanted: float) -> float:
    """Return the angle (degree) of a Σ that is, or is equivalent to, the one wanted within 0.1 degree.

    Raises:
        InputError: if there is none; names those that exist.
    """
    angles = distinct_angles(axis, sigma, operations)
    folded = fold(wanted, operations)
    close = [angle for angle in angles if abs(fold(angle - folded, operations, both=True)) < ANGLE_TOLERANCE]
    if not close:
        name = f"Σ{sigma} about [{' '.join(map(str, axis))}]"
        shown = " and ".join(f"{angle:.2f}°" for angle in angles)
        message = f"{name} is reached by {shown}, not by {wanted:g}°; give the angle to 0.1° or leave it out for the smallest"
        raise InputError(message)
    return close[0]


def fold(angle: float, operations: "Sequence[Operation]", *, both: bool = False) -> float:
    """Return the smallest angle (degree) equivalent to one; ``both`` takes the opposite angle for equivalent in any crystal."""
    turns = [operation.turn for operation in operations if not operation.flips and np.linalg.det(operation.turn) > 0]
    period = 360 / len(np.unique(np.round(turns, 3), axis=0))
    mirrored = both or any((np.linalg.det(operation.turn) < 0) != operation.flips for operation in operations)
    left = angle % period
    return min(left, period - left) if mirrored else left


def shared_net(
    net: "NDArray[np.float64]", turn: "NDArray[np.float64]", largest: int
) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """Return the net that a net shares with its turned copy.

    Args:
        net: Rows are the vectors of the net, 2 × 2.
        turn: The copy is the net times the transpose of this orthogonal matrix.
        largest: Largest area of the shared net, in cells of the net.

    Returns:
        Integer matrices M and M' with M @ net = M' @ net @ turn.T, rows shortest.

    Raises:
        InputError: if the shared net is larger, or there is none.
    """
    turned = np.linalg.inv(net @ turn.T)
    reach = int(np.ceil(2 * sqrt(largest))) + 1
    rows = np.array([item for item in itertools.product(range(-reach, reach + 1), repeat=2) if any(item)], dtype=np.int64)
    images = rows @ net @ turned
    common = rows[np.abs(images - np.rint(images)).max(axis=1) < 1e-4]  # noqa: PLR2004 - far below 1 / largest
    if np.linalg.matrix_rank(common) < 2 or abs(np.linalg.det(basis := lattice_basis(common))) > largest + 0.5:  # noqa: PLR2004
        message = f"the turned net shares no net of up to {largest} cells with the one below"
        raise InputError(message)
    basis = reduced_net(basis @ net) @ basis
    if np.linalg.det(basis) < 0:
        basis[1] *= -1
    return basis, np.rint(basis @ net @ turned).astype(np.int64)


def disorientation(turn: "NDArray[np.float64]", rotations: "NDArray[np.float64]") -> float:
    """Return the smallest angle (degree) of a rotation among those that the crystal's rotations make of it.

    Args:
        turn: The rotation between the grains, 3 × 3.
        rotations: Those of the crystal's point group with the inversion added, n × 3 × 3; improper ones are inverted.
    """
    proper = rotations * np.sign(np.linalg.det(rotations))[:, None, None]
    proper_turn = turn * np.sign(np.linalg.det(turn))
    traces = np.trace(proper @ proper_turn, axis1=1, axis2=2)
    return float(np.degrees(np.arccos(np.clip((traces.max() - 1) / 2, -1, 1))))
