"""A crystal seen as a stack of lattice planes: the net of a plane, the step to the next one, and the whole units between.

The cell of one layer is spanned by the two shortest vectors of the plane's net and one vector to the next lattice plane. It
is a primitive cell of the crystal, so any number of layers, cut at any height, holds whole formula units.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError, StructureError
from seiflow.structures.nets import HALF, lattice_basis, reduced_net, stacking
from seiflow.structures.recipes import Polyatomic
from seiflow.structures.space_group import SYMMETRY_TOLERANCE, operations
from seiflow.structures.units import find_units

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

Plane = tuple[int, int, int]

FLAT = 0.2
"""Å; units whose heights differ by less lie in one sheet, between which no cut is made."""


@dataclass(frozen=True)
class Operation:
    """An operation of the crystal that keeps the plane.

    Attributes:
        turn: What it does in the plane, 2 × 2, Cartesian.
        flips: Whether it turns the normal round.
        rise: Height it adds, in layers, after turning.
    """

    turn: "NDArray[np.float64]"
    flips: bool
    rise: float


@dataclass(frozen=True)
class Sheet:
    """Units at one height.

    Attributes:
        height: In layers, from 0 to 1.
        atoms: Indices into the atoms of the layer.
        places: Fractional coordinates of these atoms in the cell of the layer, units in one piece, n × 3.
    """

    height: float
    atoms: "NDArray[np.int64]"
    places: "NDArray[np.float64]"


@dataclass(frozen=True)
class Layers:
    """The stack.

    Attributes:
        plane: Miller indices in the conventional cell.
        cell: Rows: two shortest vectors of the net (the first along x, both in the xy plane), vector to the next plane; Å.
        symbols: Species of the atoms of one layer.
        sheets: By ascending height.
        operations: Those of the crystal that keep the plane.
        frame: Rows: x, y and z of ``cell`` in the Cartesian frame of the crystal.
    """

    plane: Plane
    cell: "NDArray[np.float64]"
    symbols: tuple[str, ...]
    sheets: tuple[Sheet, ...]
    operations: tuple[Operation, ...]
    frame: "NDArray[np.float64]"

    @property
    def spacing(self) -> float:
        """Distance between lattice planes, Å."""
        return float(self.cell[2, 2])

    @property
    def area(self) -> float:
        """Area of the cell of the net, Å²."""
        return float(self.cell[0, 0] * self.cell[1, 1])


def layers(crystal: "Atoms", plane: Sequence[int], groups: Sequence[Polyatomic] = ()) -> Layers:
    """Return the stack of a plane.

    Args:
        crystal: The crystal in the cell in which ``plane`` is counted.
        plane: Miller indices, whole numbers.
        groups: Polyatomic groups to keep whole.

    Raises:
        InputError: if ``plane`` is none.
        StructureError: if every cut parallel to the plane goes through a group; names planes without that.
    """
    miller = checked_plane(plane)
    lattice, basis = _oriented(crystal, miller)
    layer = _layer_atoms(crystal, lattice, basis)
    units = find_units(layer, groups)
    if any(shift[2] for shifts in units.endless.values() for shift in shifts):
        raise StructureError(_cut_message(crystal, miller, groups))
    places = layer.get_scaled_positions(wrap=False) + units.offsets
    sheets = _sheets(places, units.labels, float(layer.cell[2, 2]))
    conventional = lattice @ np.asarray(crystal.cell)
    kept = _operations(crystal, miller, conventional)
    symbols = tuple(layer.get_chemical_symbols())
    return Layers(miller, np.asarray(layer.cell), symbols, sheets, kept, _frame(conventional))


def checked_plane(plane: Sequence[int]) -> Plane:
    """Return Miller indices without common divisor.

    Raises:
        InputError: if there are not three whole numbers, or all are zero, or they have a common divisor.
    """
    numbers = list(plane)
    if len(numbers) != 3 or any(isinstance(value, bool) or value != round(value) for value in numbers):  # noqa: PLR2004 - hkl
        message = f"plane {_shown(numbers)}: three whole numbers are wanted, the Miller indices in the conventional cell"
        raise InputError(message)
    h, k, l = (round(value) for value in numbers)  # noqa: E741 - as crystallographers call it
    divisor = int(np.gcd.reduce([h, k, l]))
    if divisor == 0:
        message = "plane (0 0 0) has no direction; at least one index must differ from zero"
        raise InputError(message)
    if divisor > 1:
        smaller = _shown([h // divisor, k // divisor, l // divisor])
        message = f"plane {_shown(numbers)} has the common divisor {divisor}; write {smaller}"
        raise InputError(message)
    return h, k, l


def _oriented(crystal: "Atoms", plane: Plane) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the layer's lattice vectors in fractional coordinates of the crystal's cell, and its Cartesian cell turned flat."""
    centring = _primitive(crystal)
    scale = len(operations(crystal).rotations)
    indices = np.rint(centring * scale @ np.array(plane)).astype(np.int64)
    unimodular = stacking(indices // np.gcd.reduce(indices))
    lattice = unimodular @ centring
    cell = np.asarray(crystal.cell)
    net = reduced_net(lattice[:2] @ cell)
    lattice = np.vstack([net @ lattice[:2], lattice[2:]])
    if np.linalg.det(lattice @ cell) < 0:
        lattice[1] *= -1
    a, b, c = lattice @ cell
    slide = np.linalg.lstsq(np.array([a, b]).T, c, rcond=None)[0]
    lattice[2] -= np.ceil(slide - HALF) @ lattice[:2]
    return lattice, _flat(lattice @ cell)


def _primitive(crystal: "Atoms") -> "NDArray[np.float64]":
    """Return a primitive basis in fractional coordinates of the crystal's cell."""
    found = operations(crystal)
    shifts = found.translations[(found.rotations == np.eye(3, dtype=int)).all(axis=(1, 2))]
    number = len(shifts)
    generators = np.vstack([np.rint(shifts * number).astype(np.int64), number * np.eye(3, dtype=np.int64)])
    return lattice_basis(generators) / number


def _flat(cell: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Turn a cell so that its first vector lies along x and its second in the xy plane."""
    frame = _frame(cell)
    turned = cell @ frame.T
    turned[0, 1:] = turned[1, 2] = 0.0
    return np.asarray(turned)


def _frame(cell: "NDArray[np.float64]") -> "NDArray[np.float64]":
    x = cell[0] / np.linalg.norm(cell[0])
    z = np.cross(cell[0], cell[1])
    z /= np.linalg.norm(z)
    return np.array([x, np.cross(z, x), z])


def _layer_atoms(crystal: "Atoms", lattice: "NDArray[np.float64]", cell: "NDArray[np.float64]") -> "Atoms":
    """Return the atoms of one layer: those of the crystal's cell, folded into the primitive one, each once."""
    from ase import Atoms

    places = crystal.get_scaled_positions() @ np.linalg.inv(lattice)
    kept: list[int] = []
    for index, place in enumerate(places):
        difference = places[kept] - place
        distances = np.linalg.norm((difference - np.rint(difference)) @ cell, axis=1)
        if not (distances < 10 * SYMMETRY_TOLERANCE).any():
            kept.append(index)
    folded = places[kept] - np.floor(places[kept] + 1e-6)
    return Atoms(numbers=crystal.numbers[kept], scaled_positions=folded, cell=cell, pbc=True)


def _sheets(places: "NDArray[np.float64]", labels: "NDArray[np.int64]", spacing: float) -> tuple[Sheet, ...]:
    moved, heights = places.copy(), {}
    for label in np.unique(labels):
        members = labels == label
        middle = float(places[members, 2].mean())
        moved[members, 2] -= np.floor(middle + 1e-6)
        heights[int(label)] = middle - np.floor(middle + 1e-6)
    order = sorted(heights, key=lambda label: (round(heights[label], 6), label))
    together = [[order[0]]]
    for one, other in itertools.pairwise(order):
        if (heights[other] - heights[one]) * spacing < FLAT:
            together[-1].append(other)
        else:
            together.append([other])
    if len(together) > 1 and (heights[order[0]] + 1 - heights[order[-1]]) * spacing < FLAT:
        below = together.pop()
        moved[np.isin(labels, below), 2] -= 1
        heights |= {label: heights[label] - 1 for label in below}
        together[0] = below + together[0]
    sheets = []
    for group in together:
        atoms = np.flatnonzero(np.isin(labels, group))
        sheets.append(Sheet(float(np.mean([heights[label] for label in group])), atoms, moved[atoms]))
    return tuple(sheets)


def _operations(crystal: "Atoms", plane: Plane, conventional: "NDArray[np.float64]") -> tuple[Operation, ...]:
    """Return the operations that map the plane onto itself, those that do not flip it first, the identity leading."""
    found = operations(crystal)
    cell = np.asarray(crystal.cell)
    frame = _frame(conventional)
    miller = np.array(plane)
    step = np.linalg.solve(cell.T, conventional[2]) @ miller
    kept = {}
    for rotation, shift in zip(found.rotations, found.translations, strict=True):
        mapped = miller @ rotation
        if not (mapped == miller).all() and not (mapped == -miller).all():
            continue
        flips = bool((mapped == -miller).all())
        turn = frame @ (cell.T @ rotation @ np.linalg.inv(cell.T)) @ frame.T
        rise = float(miller @ shift / step)
        rise = round(rise - np.floor(rise + 1e-6), 6)
        key = (flips, tuple((-turn[:2, :2]).round(6).ravel().tolist()), rise)
        kept[key] = Operation(turn[:2, :2], flips, rise)
    return tuple(kept[key] for key in sorted(kept))


def _cut_message(crystal: "Atoms", plane: Plane, groups: Sequence[Polyatomic]) -> str:
    names = ", ".join(group.name for group in groups)
    working = []
    around = itertools.product((-1, 0, 1), (-1, 0, 1), (-1, 0, 1))
    for other in sorted(around, key=lambda item: (sum(map(abs, item)), [-x for x in item])):
        if not any(other) or next(value for value in other if value) < 0:
            continue
        lattice, basis = _oriented(crystal, other)
        endless = find_units(_layer_atoms(crystal, lattice, basis), groups).endless
        if not any(shift[2] for shifts in endless.values() for shift in shifts):
            working.append(_shown(other))
    advice = f"these planes cut none: {', '.join(working)}" if working else "so does every plane with indices up to 1"
    return f"plane {_shown(plane)}: every termination cuts a {names}; {advice}"


def _shown(plane: Sequence[float]) -> str:
    return "(" + " ".join(f"{value:g}" for value in plane) + ")"
