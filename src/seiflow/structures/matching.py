"""Matches of two plane nets: the supercells of both that nearly coincide, and the net they share once both give way.

The pairs of supercells are those of A. Zur and T. C. McGill, J. Appl. Phys. 55, 378 (1984), as found by pymatgen with tolerances
so wide that they decide nothing. A pair is joined by a linear map F from one plane into the other; two maps that symmetry
operations of the crystals turn into each other, and a map met again on a larger cell, are one match. Both phases are stretched
so that F is made up and the elastic energy Σ h/2 ε·K·ε is least, with K the stiffness under plane stress, h the thickness and
ε the symmetric part of the polar decomposition: to turn a phase costs nothing.
"""

import itertools
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import StructureError
from seiflow.structures.nets import lattice_basis, reduced_net

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

POISSON = 0.25
"""Taken where only a Young modulus is known."""

SAME_MAP = 1e-4
"""Largest difference of two maps that are the same."""

WIDER, WIDEST = 1.5, 0.3
"""When none is within the limit of the strain, a match that can be named is sought with limits raised step by step up to this."""

IN_PLANE, OUT_OF_PLANE = [0, 1, 5], [2, 3, 4]
STEPS = 4
"""Of Gauss and Newton; the energy is nearly quadratic."""


@dataclass(frozen=True)
class Net:
    """What a match needs to know of one phase.

    Attributes:
        vectors: Rows: two shortest vectors of the plane's net, right-handed, 2 × 2, Å.
        turns: Turns and reflections in the plane that leave the crystal as it stands, each 2 × 2.
        thickness: Of the grain, Å.
        stiffness: Under plane stress, 3 × 3, Voigt xx yy xy, GPa.
    """

    vectors: "NDArray[np.float64]"
    turns: "tuple[NDArray[np.float64], ...]"
    thickness: float
    stiffness: "NDArray[np.float64]"

    @property
    def area(self) -> float:
        """Of the cell of the net, Å²."""
        return float(abs(np.linalg.det(self.vectors)))


@dataclass(frozen=True)
class Match:
    """Supercells of two nets on a shared one.

    Attributes:
        supercells: For each phase the whole numbers that make its supercell from its net, 2 × 2.
        net: Rows: the shared net, two shortest vectors, the first along x; 2 × 2, Å.
        stretches: For each phase the matrix that takes a place in its own plane to the shared one, 2 × 2.
        strains: For each phase xx, yy and xy (not doubled) in the frame of ``net``.
        largest_strains: For each phase the largest strain along any direction, without sign.
        misorientation_degree: Angle between the first vectors of the two nets, the smallest that symmetry leaves.
    """

    supercells: "tuple[NDArray[np.int64], NDArray[np.int64]]"
    net: "NDArray[np.float64]"
    stretches: "tuple[NDArray[np.float64], NDArray[np.float64]]"
    strains: tuple[tuple[float, float, float], tuple[float, float, float]]
    largest_strains: tuple[float, float]
    misorientation_degree: float

    @property
    def area(self) -> float:
        """Of the shared net, Å²."""
        return float(abs(np.linalg.det(self.net)))

    @property
    def worst(self) -> float:
        """The larger of the two largest strains."""
        return max(self.largest_strains)


def matches(nets: tuple[Net, Net], *, strain_limit: float, area_limit: float, name_best: bool = True) -> tuple[Match, ...]:
    """Return every distinct match, sorted by area, then by the larger strain, then by misorientation.

    Args:
        nets: Of the two phases, seen from the same side.
        strain_limit: Largest strain of either phase along any direction in the plane.
        area_limit: Largest area of the shared net, Å².
        name_best: Whether to look for the best one beyond the limit if there is none within.

    Raises:
        StructureError: if there is none; names the one with the least strain in the area.
    """
    found = [match for match in _distinct(nets, strain_limit, area_limit) if match.worst <= strain_limit]
    found = [match for match in found if match.area <= area_limit]
    if not found:
        raise StructureError(_none_message(nets, strain_limit, area_limit, WIDEST if name_best else 0.0))
    return tuple(sorted(found, key=_rank))


def in_plane_stiffness(stiffness: "NDArray[np.float64]", frame: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the stiffness of a plane whose normal is free of stress.

    Args:
        stiffness: 6 × 6, Voigt xx yy zz yz xz xy.
        frame: Rows: x and y in the plane and the normal z, in the frame of ``stiffness``.

    Returns:
        3 × 3, Voigt xx yy xy, in the unit of ``stiffness``.
    """
    pairs = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]
    turn = np.array(
        [
            [frame[i, k] * frame[j, l] + (frame[i, l] * frame[j, k] if k != l else 0.0) for k, l in pairs]  # noqa: E741 - indices
            for i, j in pairs
        ]
    )
    turned = turn @ stiffness @ turn.T
    inner, mixed = turned[np.ix_(IN_PLANE, IN_PLANE)], turned[np.ix_(IN_PLANE, OUT_OF_PLANE)]
    return np.asarray(inner - mixed @ np.linalg.solve(turned[np.ix_(OUT_OF_PLANE, OUT_OF_PLANE)], mixed.T))


def isotropic_stiffness(young_modulus: float) -> "NDArray[np.float64]":
    """Return the stiffness under plane stress of an isotropic body, 3 × 3, in the unit of ``young_modulus``."""
    shape = np.array([[1, POISSON, 0], [POISSON, 1, 0], [0, 0, (1 - POISSON) / 2]])
    return young_modulus / (1 - POISSON**2) * shape


def _rank(match: Match) -> tuple[float, float, float]:
    return round(match.area, 2), round(match.worst, 5), round(match.misorientation_degree, 3)


def _distinct(nets: tuple[Net, Net], strain_limit: float, area_limit: float) -> "Iterator[Match]":
    """Yield the matches whose strain can be within the limit if it is shared out well, each once, smaller cells first."""
    seen: list[NDArray[np.float64]] = []
    ratio = (1 + strain_limit) / (1 - strain_limit)
    for first, second in _supercells(nets, ratio, area_limit):
        bases = first @ nets[0].vectors, second @ nets[1].vectors
        changes = _changes() @ first
        maps = np.asarray(np.linalg.solve(changes @ nets[0].vectors, bases[1]).transpose(0, 2, 1), dtype=np.float64)
        longest, shortest = _principal(maps)
        for index in np.flatnonzero((longest <= ratio) & (shortest >= 1 / ratio) & (longest <= ratio * ratio * shortest)):
            images = _images(maps[index], nets)
            if any((np.abs(images - other).max(axis=(1, 2)) < SAME_MAP).any() for other in seen):
                continue
            seen.append(maps[index])
            yield _shared(nets, changes[index], second, images)


def _supercells(nets: tuple[Net, Net], ratio: float, area_limit: float) -> "list[tuple[NDArray[np.int64], NDArray[np.int64]]]":
    """Return the pairs of supercells that a stretch by ``ratio`` may join, in right-handed bases of shortest vectors."""
    from pymatgen.analysis.interfaces.zsl import ZSLGenerator

    generator = ZSLGenerator(
        max_area_ratio_tol=1.01 * (ratio**2 - 1),
        max_area=1.01 * area_limit * ratio + max(net.area for net in nets),
        max_length_tol=1.01 * (ratio - 1),
        max_angle_tol=1.0,
        bidirectional=True,
    )
    flat = [np.column_stack([net.vectors, np.zeros(2)]) for net in nets]
    found = []
    for match in generator(flat[0], flat[1]):
        pair = []
        for steps, net in ((match.film_transformation, nets[0]), (match.substrate_transformation, nets[1])):
            whole = np.rint(steps).astype(np.int64)
            whole = reduced_net(whole @ net.vectors) @ whole
            pair.append(whole if np.linalg.det(whole) > 0 else np.diag([1, -1]) @ whole)
        found.append((pair[0], pair[1]))
    sizes = [(round(np.linalg.det(first)), round(np.linalg.det(second))) for first, second in found]
    order = sorted(range(len(found)), key=lambda item: (sizes[item], found[item][0].tolist(), found[item][1].tolist()))
    return [found[item] for item in order]


@cache
def _changes() -> "NDArray[np.int64]":
    """Return the changes of basis that keep the hand, as far as two bases of short vectors may differ."""
    entries = itertools.product(range(-2, 3), repeat=4)
    return np.array([[[a, b], [c, d]] for a, b, c, d in entries if a * d - b * c == 1], dtype=np.int64)


def _principal(maps: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the largest and the smallest stretch of maps, n × 2 × 2."""
    squares = (maps**2).sum(axis=(1, 2))
    areas = np.linalg.det(maps)
    plus, minus = np.sqrt(np.maximum(squares + 2 * areas, 0)), np.sqrt(np.maximum(squares - 2 * areas, 0))
    return (plus + minus) / 2, (plus - minus) / 2


def _images(mapping: "NDArray[np.float64]", nets: tuple[Net, Net]) -> "NDArray[np.float64]":
    """Return the maps that operations of the two crystals make of one and that keep the hand, n × 2 × 2."""
    one, two = (np.array(net.turns) for net in nets)
    images = np.einsum("aij,jk,bkl->abil", two, mapping, one).reshape(-1, 2, 2)
    return np.asarray(images[np.linalg.det(images) > 0])


def _shared(
    nets: tuple[Net, Net], first: "NDArray[np.int64]", second: "NDArray[np.int64]", images: "NDArray[np.float64]"
) -> Match:
    bases = first @ nets[0].vectors, second @ nets[1].vectors
    stretched = bases[0] @ _least_energy(bases, nets)
    steps = reduced_net(stretched)
    steps = steps if np.linalg.det(steps) > 0 else np.diag([1, -1]) @ steps
    net = _along_x(steps @ stretched)
    supercells = steps @ first, steps @ second
    stretches = [
        np.array(np.linalg.solve(cell @ one.vectors, net).T, dtype=np.float64) for cell, one in zip(supercells, nets, strict=True)
    ]
    strains = [_root(stretch @ stretch.T) - np.eye(2) for stretch in stretches]
    listed = [(float(strain[0, 0]), float(strain[1, 1]), float(strain[0, 1])) for strain in strains]
    largest = [float(np.abs(np.linalg.eigvalsh(strain)).max()) for strain in strains]
    angles = np.degrees(np.abs(np.arctan2(images[:, 1, 0] - images[:, 0, 1], images[:, 0, 0] + images[:, 1, 1])))
    return Match(
        supercells=supercells,
        net=net,
        stretches=(stretches[0], stretches[1]),
        strains=(listed[0], listed[1]),
        largest_strains=(largest[0], largest[1]),
        misorientation_degree=float(angles.min()),
    )


def _least_energy(bases: "tuple[NDArray[np.float64], NDArray[np.float64]]", nets: tuple[Net, Net]) -> "NDArray[np.float64]":
    """Return the symmetric stretch of the first phase at which the energy of both is least, 2 × 2."""
    weights = [np.linalg.cholesky(net.thickness * net.stiffness).T for net in nets]
    back = np.linalg.solve(bases[1], bases[0])

    def residuals(strain: "NDArray[np.float64]") -> "NDArray[np.float64]":
        xx, yy, doubled = strain
        stretch = np.array([[1 + xx, doubled / 2], [doubled / 2, 1 + yy]])
        other = back @ stretch
        square = _root(other @ other.T)
        second = np.array([square[0, 0] - 1, square[1, 1] - 1, 2 * square[0, 1]])
        return np.concatenate([weights[0] @ strain, weights[1] @ second])

    strain, step = np.zeros(3), 1e-5
    for _ in range(STEPS):
        slopes = [(residuals(strain + move) - residuals(strain - move)) / (2 * step) for move in step * np.eye(3)]
        strain = strain - np.linalg.lstsq(np.array(slopes).T, residuals(strain), rcond=None)[0]
    xx, yy, doubled = strain
    return np.array([[1 + xx, doubled / 2], [doubled / 2, 1 + yy]])


def _root(square: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Return the square root of a symmetric positive 2 × 2 matrix."""
    area = np.sqrt(np.linalg.det(square))
    return np.asarray((square + area * np.eye(2)) / np.sqrt(np.trace(square) + 2 * area))


def _along_x(net: "NDArray[np.float64]") -> "NDArray[np.float64]":
    x, y = net[0] / np.linalg.norm(net[0])
    turned = net @ np.array([[x, -y], [y, x]])
    turned[0, 1] = 0.0
    return np.asarray(turned)


def _none_message(nets: tuple[Net, Net], strain_limit: float, area_limit: float, widest: float) -> str:
    limits = (
        f"no match of the two nets within a strain of {100 * strain_limit:.3g} % of each phase and an area of {area_limit:g} Å²"
    )
    near: list[Match] = []
    wider = strain_limit
    while not near and wider < widest:
        wider *= WIDER
        near = [match for match in _distinct(nets, wider, area_limit) if match.area <= area_limit and match.worst <= wider]
    if not near:
        least = max(net.area for net in nets)
        return f"{limits}; the larger net has a cell of {least:.1f} Å²: raise the limit of the area, or choose other planes"
    best = min(near, key=lambda match: (round(match.worst, 6), _rank(match)))
    one, other = best.largest_strains
    return (
        f"{limits}; the least strained one has {best.area:.1f} Å² and strains of {one:.2%} and {other:.2%}: "
        "raise the limit of the strain or of the area, or choose other planes"
    )


def shifts_of(match: Match) -> "NDArray[np.float64]":
    """Return a basis of the translations of one phase over the other that change nothing: both strained nets; 2 × 2, Å."""
    sizes = [round(abs(np.linalg.det(cell))) for cell in match.supercells]
    total = int(np.lcm(*sizes))
    rows = [np.rint(np.linalg.inv(cell) * total).astype(np.int64) for cell in match.supercells]
    basis = lattice_basis(np.vstack(rows)) @ match.net / total
    return np.asarray(reduced_net(basis) @ basis)
