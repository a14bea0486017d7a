"""Which planes of two phases fit: the smallest match of every pair of planes with low indices."""

import itertools
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import StructureError
from seiflow.structures.heterograins import Side, nets_of, side
from seiflow.structures.layers import Plane
from seiflow.structures.matching import Match, matches
from seiflow.structures.space_group import operations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

    from seiflow.structures.build import Ingredient


@dataclass(frozen=True)
class Proposal:
    """A pair of planes that fit.

    Attributes:
        planes: Miller indices in the conventional cells.
        match: The number of the match in the list for these planes.
        area_angstrom2: Of the shared net.
        largest_strains: Of each phase, along any direction.
        misorientation_degree: Angle between the first vectors of the two nets.
        atoms: About how many a periodic cell with two such interfaces holds.
    """

    planes: tuple[Plane, Plane]
    match: int
    area_angstrom2: float
    largest_strains: tuple[float, float]
    misorientation_degree: float
    atoms: int


def propose(
    parts: "tuple[Ingredient, Ingredient]",
    planes: "tuple[Sequence[Plane], Sequence[Plane]] | None" = None,
    *,
    strain_limit: float = 0.03,
    area_limit: float = 120.0,
    thickness: float = 10.0,
    each: int = 1,
) -> list[Proposal]:
    """Return the smallest matches of pairs of planes, sorted by area, then by the larger strain.

    Planes that cut a polyatomic group in every termination, or of which every termination has a dipole, are left out.

    Args:
        parts: The two phases.
        planes: Those of each phase to try; by default all with indices up to one that symmetry tells apart.
        strain_limit: Largest strain of either phase.
        area_limit: Largest area of a match, Å².
        thickness: Of each grain, Å.
        each: How many matches of each pair of planes.
    """
    tried = planes or (low_index_planes(parts[0].crystal), low_index_planes(parts[1].crystal))
    sides = [
        [found for plane in some if (found := _usable(part, plane, thickness)) is not None]
        for part, some in zip(parts, tried, strict=True)
    ]
    proposals: list[Proposal] = []
    for first, second in itertools.product(*sides):
        nets, _ = nets_of((first, second))
        try:
            listed = matches(nets, strain_limit=strain_limit, area_limit=area_limit, name_best=False)
        except StructureError:
            continue
        proposals += [_proposal((first, second), number, match) for number, match in enumerate(listed[:each])]
    return sorted(proposals, key=lambda item: (round(item.area_angstrom2, 2), round(max(item.largest_strains), 5), item.planes))


def low_index_planes(crystal: "Atoms", highest: int = 1) -> list[Plane]:
    """Return the planes with indices up to ``highest``, one of each set that the symmetry of the crystal makes equal."""
    rotations = operations(crystal).rotations
    seen: set[Plane] = set()
    kept: list[Plane] = []
    every = itertools.product(range(highest, -highest - 1, -1), repeat=3)
    for h, k, m in sorted(every, key=lambda item: (sum(map(abs, item)), [-value for value in item[::-1]])):
        plane = (h, k, m)
        if gcd(h, k, m) != 1 or plane in seen:
            continue
        kept.append(plane)
        images = np.array(plane) @ rotations
        seen |= {(int(a), int(b), int(c)) for a, b, c in np.vstack([images, -images])}
    return kept


def _usable(part: "Ingredient", plane: Plane, thickness: float) -> Side | None:
    try:
        found = side(part, plane, thickness, turned=False)
    except StructureError:
        return None
    return found if any(option.tasker != "III" for option in found.options) else None


def _proposal(sides: tuple[Side, Side], number: int, match: Match) -> Proposal:
    atoms = 0.0
    for one, cell in zip(sides, match.supercells, strict=True):
        layers = np.ceil(one.thickness / one.stack.spacing - 1e-6)
        atoms += layers * len(one.stack.symbols) * abs(np.linalg.det(cell))
    return Proposal(
        planes=(sides[0].stack.plane, sides[1].stack.plane),
        match=number,
        area_angstrom2=match.area,
        largest_strains=match.largest_strains,
        misorientation_degree=match.misorientation_degree,
        atoms=round(atoms),
    )
