"""A structure as it is drawn: polyatomic groups in one piece, the cell closed by images at its faces, views along its vectors.

Radii: metals 0.6 of the covalent radius and lone non-metals the covalent radius plus 0.75 Å, which is within 0.1 Å of the ionic
radii of R. D. Shannon, Acta Cryst. A 32, 751 (1976) for light ions of noble-gas shell; atoms with covalent bonds their covalent
radius (Cordero et al., Dalton Trans. 2832, 2008).
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

NON_METALS = frozenset(("H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "As", "Se", "Br", "Te", "I"))
BOND = 1.2
"""Two non-metals are bonded up to this multiple of the sum of their covalent radii."""

ON_FACE = 0.3
"""Å; atoms as close as that to a face of the cell are shown at the opposite face too."""

DRAWN = 0.6
"""Drawn radius over true radius, so that one sees into the structure."""

VACUUM = 5.0
"""Å; empty room above a slab that is worth a label."""

AT_TOP = 0.95
"""Of the cell; a boundary above it is shown again at the bottom, and all atoms between the two."""

_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)
_GROUP_COLOURS: tuple[str, ...] = (
    "#CC79A7",
    "#F0E442",
    "#8C6D1F",
    "#999999",
    "#56B4E9",
    "#0072B2",
    "#CC79A7",
    "#8C6D1F",
    "#0072B2",
)
_GROUP_COLOURS += ("#009E73", "#E69F00", "#999999", "#7FA6C4", "#555555", "#0072B2", "#D55E00", "#009E73", "#56B4E9")
"""By group of the periodic table: mostly colours of Okabe and Ito, as in the figures."""


@dataclass(frozen=True)
class Section:
    """A grain, or the vacuum: what lies between two heights, in fractions of the third cell vector."""

    bottom: float
    top: float
    grain: int | None


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        symbols: Species, n, the images at the faces of the cell included.
        positions: n × 3, Å, relative to the origin of the cell.
        grains: Grain of each atom, n; zero where the structure has none.
        radii: Of the drawn spheres, n, Å.
        bonds: Pairs of bonded atoms, m × 2.
        cell: Rows are the cell vectors, 3 × 3, Å.
        planes: Heights of the boundaries in fractions of the third cell vector, from 0 to 1.
        sections: From the bottom to the top.
        planar: Whether the first two cell vectors span the plane of a boundary or a surface.
    """

    symbols: tuple[str, ...]
    positions: "NDArray[np.float64]"
    grains: "NDArray[np.int64]"
    radii: "NDArray[np.float64]"
    bonds: "NDArray[np.int64]"
    cell: "NDArray[np.float64]"
    planes: tuple[float, ...]
    sections: tuple[Section, ...]
    planar: bool


def scene(atoms: "Atoms") -> Scene:
    """Return what is drawn of a structure.

    Args:
        atoms: A structure with a cell; ``info["planes"]`` and the array ``grain`` mark boundaries and grains, if any.
    """
    from ase.data import atomic_numbers, covalent_radii

    planes = tuple(float(height) % 1.0 or 1.0 for height in np.ravel(atoms.info.get("planes", [])))
    positions, index = _closed(atoms, planes)
    symbols = tuple(atoms.symbols[i] for i in index)
    covalent = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in symbols])
    bonds = _bonds(symbols, positions, covalent)
    metal = np.array([symbol not in NON_METALS for symbol in symbols])
    radii = np.where(metal, covalent if metal.all() else 0.6 * covalent, covalent + 0.75)
    radii[np.unique(bonds)] = covalent[np.unique(bonds)]
    grains = atoms.arrays["grain"].astype(int) if "grain" in atoms.arrays else np.zeros(len(atoms), dtype=int)
    sections = _sections(atoms, planes, grains)
    planar = bool(planes) or not atoms.pbc[2]
    cell = np.asarray(atoms.cell)
    return Scene(symbols, positions, grains[index], DRAWN * radii, bonds, cell, planes, sections, planar)


def view(cell: "NDArray[np.float64]", axis: int, *, planar: bool = False) -> "NDArray[np.float64]":
    """Return the view along a cell vector as a matrix: its rows point right, up and towards the eye; it has unit determinant.

    Up is the normal of the first two vectors if the structure is planar, else as much as possible of the third vector; seen
    along the third vector, up is as much as possible of the second.
    """
    sign = -1.0 if axis == 1 else 1.0
    towards = sign * cell[axis] / np.linalg.norm(cell[axis])
    normal = np.cross(cell[0], cell[1])
    up = cell[1] if axis == 2 else normal if planar else cell[2]  # noqa: PLR2004 - the third vector
    up = up - (up @ towards) * towards
    up /= np.linalg.norm(up)
    return np.array([np.cross(up, towards), up, towards])


def require_drawable(atoms: "Atoms", path: Path) -> None:
    """Refuse a file that was read but holds no crystal.

    Raises:
        InputError: naming the file.
    """
    marks = [np.ravel(atoms.info.get("planes", [])), np.ravel(atoms.arrays.get("grain", []))]
    marked = all(np.issubdtype(mark.dtype, np.number) and np.isfinite(mark).all() and (mark >= 0).all() for mark in marks)
    solid = len(atoms) > 0 and np.isfinite(atoms.positions).all() and abs(np.linalg.det(atoms.cell)) > 1e-6  # noqa: PLR2004 - Å³
    if not marked or not solid:
        message = f"{path}: holds no structure with a cell. Delete it and run the study again."
        raise InputError(message)


def grain_names(atoms: "Atoms") -> tuple[str, ...]:
    """Return what the grains are called: by their formulas if these differ, else by number; nothing if there are no grains."""
    if "grain" not in atoms.arrays or "planes" not in atoms.info:
        return ()
    grains = atoms.arrays["grain"].astype(int)
    numbers = sorted(set(grains.tolist()))
    formulas = [atoms[grains == grain].symbols.formula.reduce()[0].format("metal") for grain in numbers]
    if len(set(formulas)) < len(formulas):
        return tuple(f"grain {grain + 1}" for grain in numbers)
    return tuple(formula.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")) for formula in formulas)


def colour(symbol: str) -> str:
    """Return the colour of an element: that of its group, lighter from period to period; hydrogen is grey."""
    from ase.data import atomic_numbers

    number = atomic_numbers[symbol]
    if number <= 1:
        return "#BBBBBB"
    period = next(period for period, last in enumerate(_NOBLE) if number <= last)
    place, length = number - _NOBLE[period - 1], _NOBLE[period] - _NOBLE[period - 1]
    group = place if place <= 2 and place < length else max(place + 18 - length, 3)  # noqa: PLR2004 - the s block
    below = max(period - (4 if 3 <= group <= 12 else 2), 0)  # noqa: PLR2004 - the d block starts in period 4
    base = np.array([int(_GROUP_COLOURS[group - 1][i : i + 2], 16) for i in (1, 3, 5)])
    lighter = np.rint(base + (255 - base) * min(0.25 * below, 0.75)).astype(int)
    return "#" + "".join(f"{value:02X}" for value in lighter)


def _closed(atoms: "Atoms", planes: tuple[float, ...]) -> "tuple[NDArray[np.float64], NDArray[np.int64]]":
    """Return positions with groups in one piece and images at the faces, and the atom that each is an image of.

    Grains are shown without images along the normal: these would be atoms of one grain on the side of the other.
    """
    groups, fractions = _whole(atoms)
    cell = np.asarray(atoms.cell)
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    bottom = np.array([0.0, 0.0, max(planes, default=0.0) - 1 if max(planes, default=0.0) > AT_TOP else 0.0])
    closing = np.where(atoms.pbc & np.array([True, True, not planes]), ON_FACE / heights, 0.0)
    places, index = [], []
    for members in groups:
        middle = fractions[members].mean(axis=0)
        home = np.where(atoms.pbc, np.floor(middle - bottom + 1e-6), 0.0)
        choices = [
            [0, *([1] if at < edge else []), *([-1] if at > 1 - edge else [])] if edge else [0]
            for at, edge in zip(middle - home, closing, strict=True)
        ]
        for step in itertools.product(*choices):
            places.append(fractions[members] - home + step)
            index.append(members)
    return np.vstack(places) @ cell, np.concatenate(index)


def _whole(atoms: "Atoms") -> "tuple[list[NDArray[np.int64]], NDArray[np.float64]]":
    """Return the atoms of each covalent group, and fractional coordinates in which no group is cut."""
    from ase.data import atomic_numbers, covalent_radii

    from seiflow.structures.recipes import Polyatomic
    from seiflow.structures.units import find_units

    present = sorted(NON_METALS & set(atoms.symbols))
    radius = {symbol: float(covalent_radii[atomic_numbers[symbol]]) for symbol in present}
    pairs = [
        Polyatomic(name=one + other, centre=one, ligand=other, count=1, bond_max=BOND * (radius[one] + radius[other]))
        for one, other in itertools.combinations_with_replacement(present, 2)
    ]
    units = find_units(atoms, pairs)
    labels = units.labels.copy()
    offsets = units.offsets.copy()
    for label in units.endless:  # a framework has no whole to show
        members = np.flatnonzero(units.labels == label)
        labels[members], offsets[members] = members, 0
    groups = [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())]
    return groups, np.asarray(atoms.get_scaled_positions(wrap=False)) + offsets


def _bonds(symbols: tuple[str, ...], positions: "NDArray[np.float64]", covalent: "NDArray[np.float64]") -> "NDArray[np.int64]":
    from scipy.spatial import cKDTree

    chosen = np.array([i for i, symbol in enumerate(symbols) if symbol in NON_METALS], dtype=np.int64)
    if not len(chosen):
        return np.zeros((0, 2), dtype=np.int64)
    pairs = cKDTree(positions[chosen]).query_pairs(2 * BOND * covalent[chosen].max(), output_type="ndarray")
    pairs = chosen[pairs[np.lexsort(pairs.T[::-1])]]
    lengths = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    return np.asarray(pairs[lengths < BOND * covalent[pairs].sum(axis=1)])


def _sections(atoms: "Atoms", planes: tuple[float, ...], grains: "NDArray[np.int64]") -> tuple[Section, ...]:
    """Return the grains between the planes, each where most of it lies, and the vacuum above a slab."""
    heights = atoms.get_scaled_positions(wrap=False)[:, 2] % 1.0 if atoms.pbc[2] else atoms.get_scaled_positions(wrap=False)[:, 2]
    top = 1.0 if atoms.pbc[2] else float(heights.max())
    found = []
    if planes:
        for low, high in itertools.pairwise(sorted({0.0, *(plane for plane in planes if plane < top), top})):
            inside = (heights >= low - 1e-6) & (heights <= high + 1e-6)
            if high - low > 0.1 and inside.any():  # noqa: PLR2004 - of the cell
                found.append(Section(low, high, int(np.bincount(grains[inside]).argmax())))
    height = abs(atoms.cell.volume) / float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])))
    if not atoms.pbc[2] and (1 - top) * height > VACUUM:
        found.append(Section(top, 1.0, None))
    return tuple(found)
