"""Whole formula units taken out at the two boundaries of a bicrystal.

Which units go is decided by the ionic model: those whose absence leaves the lowest energy. Candidates are the units near the
boundary, polyatomic groups as one unit; every way to make one formula unit of them is weighed, up to a limit beyond which those
bound most firmly are left out. Further formula units are added one at a time to the best few sets so far. So the cost is bounded:
``SETS`` sets for each of ``KEPT`` earlier ones and each formula unit. Each boundary is looked at as if the other lost nothing.

Where a symmetry of the bicrystal exchanges its boundaries, the second loses the images of what the first loses, and the two stay
equivalent. Sets whose energies differ by less than ``TIE`` are told apart by their places, so the last bits decide nothing.
What a unit feels ends at the cut-off of the model: grains thicker than that and ``REACH`` together all lose the same.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from math import comb, prod
from typing import TYPE_CHECKING

import numpy as np
from ase.neighborlist import neighbor_list

from seiflow.errors import StructureError
from seiflow.structures.fingerprint import OFFSET, STEPS
from seiflow.structures.ionic_model import CUTOFF, IonicModel
from seiflow.structures.space_group import Operations, operations, permutation
from seiflow.structures.units import find_units

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

REACH = 3.0
"""Å; units whose middles are farther from a boundary stay, unless there are too few nearer ones."""

SETS = 4000
"""Ways to make one formula unit that are weighed at most."""

KEPT = 10
"""Best sets of n formula units to which one more is added."""

TIE = 5e-3
"""eV; sets whose energies differ by less are equal."""

STEP = 1e-3
"""Å; heights that differ by less may be equal."""

PLANE_TOLERANCE = 1e-3
"""Of the cell's height; how far an operation may map one boundary from the other."""


@dataclass(frozen=True)
class Removal:
    """What is taken out at both boundaries together.

    Attributes:
        atoms: Indices, ascending.
        energy: Of what is left, in the ionic model, eV.
        peeled: Formula units lost by each of the four faces, if nothing went but the outermost sheets, whole formula units from
            each face: the grains are then thinner, and the boundary may be one that needs no removal. None otherwise.
    """

    atoms: tuple[int, ...]
    energy: float
    peeled: tuple[int, ...] | None


@dataclass(frozen=True)
class _Stock:
    """The units of a bicrystal.

    Attributes:
        members: Indices of the atoms of each unit.
        kinds: What each unit is.
        grains: Which grain each unit belongs to.
        recipe: How many of each kind make a formula unit.
        heights: Of each unit above each of the two boundaries, from minus to plus half the cell, units × 2, Å.
        places: Middles in steps of the cell vectors, units × 3.
        pairs: Energy of each pair of units, counted in both orders, periodic images added, eV.
    """

    members: "tuple[NDArray[np.int64], ...]"
    kinds: tuple[str, ...]
    grains: "NDArray[np.int64]"
    recipe: dict[str, int]
    heights: "NDArray[np.float64]"
    places: "NDArray[np.int64]"
    pairs: "NDArray[np.float64]"


def without_units(bicrystal: "Atoms", model: IonicModel, number: int, *, name: str) -> "Atoms":
    """Return a bicrystal without the units that are best taken out.

    Args:
        bicrystal: As put together; ``info["planes"]`` holds the heights of its two boundaries.
        model: The ionic model of the crystal.
        number: Whole formula units to take out at each boundary.
        name: What messages call the bicrystal.

    Raises:
        StructureError: if there are not as many to take.
    """
    left: Atoms = bicrystal.copy()
    if number:
        try:
            del left[list(removals(bicrystal, model, number)[-1].atoms)]
        except StructureError as error:
            message = f"{name}: {error}"
            raise StructureError(message) from error
    return left


def removals(bicrystal: "Atoms", model: IonicModel, most: int) -> list[Removal]:
    """Return the best removal of one, two, … ``most`` formula units at each boundary.

    Raises:
        StructureError: if there are not as many to take, or groups touch so that units cannot be told apart.
    """
    stock = _stock(bicrystal, model)
    exchange = _exchange(bicrystal, stock)
    lower = _chosen(stock, 0, most)
    upper = _chosen(stock, 1, most) if exchange is None else [[int(exchange[unit]) for unit in units] for units in lower]
    return [_removal(stock, first + second) for first, second in zip(lower, upper, strict=True)]


def exchanging(found: Operations, planes: "tuple[float, float]") -> list[int]:
    """Return which operations map one of two boundaries onto the other; ``planes`` are their heights in fractions."""
    first, second = planes
    kept = []
    for index, (rotation, shift) in enumerate(zip(found.rotations, found.translations, strict=True)):
        image = rotation[2, 2] * first + shift[2] - second
        if not rotation[2, :2].any() and abs(image - np.rint(image)) < PLANE_TOLERANCE:
            kept.append(index)
    return kept


def _removal(stock: _Stock, units: list[int]) -> Removal:
    stay = np.setdiff1d(np.arange(len(stock.kinds)), units)
    atoms = sorted(int(atom) for unit in units for atom in stock.members[unit])
    return Removal(tuple(atoms), 0.5 * float(stock.pairs[np.ix_(stay, stay)].sum()), _peeled(stock, units))


def _peeled(stock: _Stock, units: list[int]) -> tuple[int, ...] | None:
    gone = np.isin(np.arange(len(stock.kinds)), units)
    depths = np.abs(stock.heights)
    lost = []
    for side, grain in itertools.product((0, 1), (0, 1)):
        face = (stock.grains == grain) & (depths[:, side] < depths[:, 1 - side])
        out = face & gone
        counts = Counter(stock.kinds[unit] for unit in np.flatnonzero(out))
        shares = {counts[kind] / number for kind, number in stock.recipe.items()}
        number = max(shares)
        inside = depths[face & ~gone, side].min(initial=np.inf)
        if len(shares) > 1 or number % 1 or depths[out, side].max(initial=0.0) > inside - STEP:
            return None
        lost.append(int(number))
    return tuple(lost)


def _stock(atoms: "Atoms", model: IonicModel) -> _Stock:
    units = find_units(atoms, model.phase.polyatomic)
    labels, numbers = np.unique(units.labels, return_inverse=True)
    members = tuple(np.flatnonzero(units.labels == label) for label in labels)
    symbols = np.array(atoms.get_chemical_symbols())
    kinds = tuple("".join(sorted(symbols[item])) for item in members)
    places = np.linalg.solve(np.asarray(atoms.cell).T, atoms.positions.T).T + units.offsets
    middles = np.array([places[item].mean(axis=0) for item in members])
    heights = middles[:, 2:] - np.asarray(atoms.info["planes"], dtype=float)
    heights = (heights - np.rint(heights)) * _height(atoms)
    first, second, distances, shifts = neighbor_list("ijdS", atoms, CUTOFF)
    outside = ~units.inside(first, second, shifts)
    first, second, distances = first[outside], second[outside], distances[outside]
    species = model.kinds(symbols.tolist())
    energies = model.pair_energies(species[first], species[second], distances)
    size = len(members)
    pairs = np.zeros((size, size))
    np.add.at(pairs, (numbers[first], numbers[second]), energies)
    steps = np.floor(middles * STEPS + OFFSET).astype(np.int64) % STEPS
    grains = atoms.arrays["grain"][[item[0] for item in members]]
    return _Stock(members, kinds, grains, _formula_unit(kinds, atoms, model), heights, steps, pairs)


def _height(atoms: "Atoms") -> float:
    a, b, _ = np.asarray(atoms.cell)
    return float(atoms.get_volume() / np.linalg.norm(np.cross(a, b)))


def _formula_unit(kinds: tuple[str, ...], atoms: "Atoms", model: IonicModel) -> dict[str, int]:
    units = len(atoms) // sum(model.phase.composition.values())
    counts = Counter(kinds)
    if any(count % units for count in counts.values()):
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        message = f"{units} formula units of {model.phase.formula} are no whole number of each of {listed}: do groups touch?"
        raise StructureError(message)
    return {kind: counts[kind] // units for kind in sorted(counts)}


def _exchange(atoms: "Atoms", stock: _Stock) -> "NDArray[np.int64] | None":
    """Return where an operation of order two that exchanges the boundaries takes each unit; None if there is none."""
    found = operations(atoms)
    planes = atoms.info["planes"]

    def simplest(index: int) -> tuple[object, ...]:
        rotation, shift = found.rotations[index], found.translations[index]
        along = np.floor(shift * STEPS + OFFSET).astype(np.int64) % STEPS
        return -int(rotation[2, 2]), (-rotation).ravel().tolist(), along.tolist()

    unit_of = np.empty(len(atoms), dtype=np.int64)
    for unit, members in enumerate(stock.members):
        unit_of[members] = unit
    leaders = [int(members[0]) for members in stock.members]
    for index in sorted(exchanging(found, (planes[0], planes[1])), key=simplest):
        moved = permutation(atoms, found.rotations[index], found.translations[index])
        if (moved[moved] == np.arange(len(atoms))).all():
            return np.asarray(unit_of[moved[leaders]])
    return None


def _chosen(stock: _Stock, side: int, most: int) -> list[list[int]]:
    """Return the units of the best sets of 1 … ``most`` formula units at one boundary, the other left whole."""
    order = _ranked(stock, side)
    _refuse_too_many(stock, order, most)
    pairs, bound = stock.pairs[np.ix_(order, order)], stock.pairs[order].sum(axis=1)
    kinds = [stock.kinds[unit] for unit in order]
    far = np.abs(stock.heights[order, side])
    states: list[tuple[int, ...]] = [()]
    best = []
    for _ in range(most):
        found: dict[tuple[int, ...], float] = {}
        for state in states:
            found |= _one_more(state, kinds, far, pairs, bound, stock.recipe)
        rows = np.array(list(found))
        states = [tuple(rows[row].tolist()) for row in _sorted(rows, np.array(list(found.values())))[:KEPT]]
        best.append([int(order[rank]) for rank in states[0]])
    return best


def _ranked(stock: _Stock, side: int) -> "NDArray[np.int64]":
    """Return the units nearer to one boundary than to the other, the nearest first; the order depends on places only."""
    near, other = np.abs(stock.heights[:, side]), np.abs(stock.heights[:, 1 - side])
    units = np.flatnonzero(near < other - STEP)
    steps = np.floor(stock.heights[:, side] / STEP + OFFSET).astype(np.int64)
    keys = [(abs(int(steps[unit])), int(steps[unit]), *stock.places[unit].tolist(), stock.kinds[unit]) for unit in units]
    return np.asarray(units[sorted(range(len(units)), key=keys.__getitem__)])


def _refuse_too_many(stock: _Stock, units: "NDArray[np.int64]", most: int) -> None:
    counts = Counter(stock.kinds[unit] for unit in units)
    held = min(counts[kind] // number for kind, number in stock.recipe.items())
    if most >= held:
        message = (
            f"{most} formula units cannot be taken out at each boundary: the halves of the grains beside it hold {held}, and "
            "some must stay; remove fewer or make the grains thicker"
        )
        raise StructureError(message)


def _one_more(
    state: tuple[int, ...],
    kinds: list[str],
    far: "NDArray[np.float64]",
    pairs: "NDArray[np.float64]",
    bound: "NDArray[np.float64]",
    recipe: dict[str, int],
) -> dict[tuple[int, ...], float]:
    """Return the sets that one more formula unit makes of a set, with the energy that all of it costs."""
    taken = np.array(state, dtype=np.int64)
    before = pairs[np.ix_(taken, taken)].sum() / 2 - bound[taken].sum()
    bound = bound - pairs[:, taken].sum(axis=1)
    pools = _pools(taken, kinds, far, bound, recipe)
    choices = [itertools.combinations(pools[kind], number) for kind, number in recipe.items()]
    rows = np.array([[rank for part in parts for rank in part] for parts in itertools.product(*choices)])
    inner = pairs[rows[:, :, None], rows[:, None, :]].sum(axis=(1, 2)) / 2
    costs = before - bound[rows].sum(axis=1) + inner
    ranked = _sorted(np.sort(rows, axis=1), costs)[:KEPT]
    return {tuple(sorted((*state, *rows[row].tolist()))): float(costs[row]) for row in ranked}


def _pools(
    taken: "NDArray[np.int64]", kinds: list[str], far: "NDArray[np.float64]", bound: "NDArray[np.float64]", recipe: dict[str, int]
) -> dict[str, list[int]]:
    """Return the units of each kind among which to choose, the least bound first, as many as the limit of sets allows."""
    free = [rank for rank in range(len(kinds)) if rank not in set(taken.tolist())]
    pools = {}
    for kind, number in recipe.items():
        alike = [rank for rank in free if kinds[rank] == kind]
        near = max(number, sum(far[rank] < REACH for rank in alike))
        ranks = np.array(alike[:near])
        pools[kind] = [int(ranks[item]) for item in _sorted(ranks[:, None], -bound[ranks])]
    while prod(comb(len(pools[kind]), number) for kind, number in recipe.items()) > SETS:
        widest = max(recipe, key=lambda kind: (len(pools[kind]) - recipe[kind], kind))
        pools[widest].pop()
    return pools


def _sorted(rows: "NDArray[np.int64]", energies: "NDArray[np.float64]") -> "NDArray[np.int64]":
    """Return the order by energy, ties by the rows themselves."""
    order = np.argsort(energies, kind="stable")
    levels = np.empty(len(energies), dtype=np.int64)
    levels[order] = np.concatenate([[0], np.cumsum(np.diff(energies[order]) > TIE)])
    return np.asarray(np.lexsort((*rows.T[::-1], levels)))
