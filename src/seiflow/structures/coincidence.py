"""Coincidence lattices of cubic crystals turned about a lattice direction.

Σ and angle after S. Ranganathan, Acta Cryst. 21, 197 (1966): tan(θ/2) = (n/m) √N with N = h² + k² + l², and Σ = m² + n² N
divided by two until it is odd. The net that both grains share is then found among whole combinations, not assumed.
"""

import itertools
from math import atan2, degrees, gcd, sqrt
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.structures.layers import Plane
from seiflow.structures.nets import lattice_basis, reduced_net

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST = 12
"""m and n up to which angles are tried; enough for every Σ up to 100 about directions with small indices."""


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
