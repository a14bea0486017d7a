"""The units a crystal is made of when nothing may be cut: polyatomic groups, and single ions for the rest.

Distances between ions of different units are what tells a sound contact from an overlap; distances inside a group are its
bonds. The shortest of each kind in the bulk are the yardstick for boundaries.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from seiflow.structures.recipes import PhaseRecipe, Polyatomic
from seiflow.structures.sites import crystal_from_sites

if TYPE_CHECKING:
    from numpy.typing import NDArray

HORIZON = 6.0
"""Å; distances beyond are of no interest."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Units:
    """Which unit each atom belongs to.

    Attributes:
        labels: Number of the unit of each atom, n.
        offsets: Cell in which the atom must be taken so that its unit is in one piece, n × 3.
        endless: For each unit that joins its own periodic images, the lattice translations by which it repeats, k × 3.
    """

    labels: "NDArray[np.int64]"
    offsets: "NDArray[np.int64]"
    endless: "dict[int, NDArray[np.int64]]"

    def inside(self, first: "NDArray[np.int64]", second: "NDArray[np.int64]", shifts: "NDArray[np.int64]") -> "NDArray[np.bool_]":
        """Tell which pairs (atom, atom, cell of the second) lie within one unit."""
        same = self.labels[first] == self.labels[second]
        together = (self.offsets[second] - self.offsets[first] == shifts).all(axis=1)
        return np.asarray(same & together)


def find_units(atoms: Atoms, groups: Sequence[Polyatomic]) -> Units:
    """Return the units of a structure: atoms joined by the bonds of its polyatomic groups."""
    bonds: dict[int, list[tuple[int, NDArray[np.int64]]]] = {index: [] for index in range(len(atoms))}
    for group in groups:
        for i, j, shift in zip(*neighbor_list("ijS", atoms, {(group.centre, group.ligand): group.bond_max}), strict=True):
            bonds[int(i)].append((int(j), shift))
    labels = np.full(len(atoms), -1, dtype=np.int64)
    offsets = np.zeros((len(atoms), 3), dtype=np.int64)
    endless: dict[int, list[NDArray[np.int64]]] = {}
    for label, start in enumerate(range(len(atoms))):
        if labels[start] >= 0:
            continue
        labels[start] = label
        queue = [start]
        for i in queue:
            for j, shift in bonds[i]:
                if labels[j] < 0:
                    labels[j], offsets[j] = label, offsets[i] + shift
                    queue.append(j)
                elif (offsets[j] != offsets[i] + shift).any():
                    endless.setdefault(label, []).append(offsets[i] + shift - offsets[j])
    return Units(labels, offsets, {label: np.unique(np.array(shifts), axis=0) for label, shifts in endless.items()})


def groups_of(phases: Sequence[PhaseRecipe]) -> list[Polyatomic]:
    """Return the polyatomic groups of several phases, each once."""
    return list({group.name: group for phase in phases for group in phase.polyatomic}.values())


def shortest_contacts(atoms: Atoms, groups: Sequence[Polyatomic], horizon: float = HORIZON) -> dict[Pair, float]:
    """Return the shortest distance between ions of different units for each pair of species, Å."""
    content = (np.ascontiguousarray(part).tobytes() for part in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc))
    return dict(_contacts_of(*content, tuple(group.model_dump_json() for group in groups), horizon))


@functools.lru_cache(maxsize=16)
def _contacts_of(
    numbers: bytes, positions: bytes, cell: bytes, pbc: bytes, given: tuple[str, ...], horizon: float
) -> dict[Pair, float]:
    """Return the shortest contacts; the last few are remembered, because the same crystal is asked for often."""
    atoms = Atoms(
        np.frombuffer(numbers, dtype=np.int64),
        positions=np.frombuffer(positions).reshape(-1, 3),
        cell=np.frombuffer(cell).reshape(3, 3),
        pbc=np.frombuffer(pbc, dtype=bool),
    )
    groups = [Polyatomic.model_validate_json(text) for text in given]
    first, second, distances, shifts = neighbor_list("ijdS", atoms, horizon)
    outside = ~find_units(atoms, groups).inside(first, second, shifts)
    found: dict[Pair, float] = {}
    symbols = np.array(atoms.get_chemical_symbols())
    for one, other in itertools.combinations_with_replacement(sorted(set(symbols)), 2):
        chosen = distances[outside & (symbols[first] == one) & (symbols[second] == other)]
        if len(chosen):
            found[one, other] = float(chosen.min())
    return found


def bulk_contacts(phases: Sequence[PhaseRecipe]) -> dict[Pair, float]:
    """Return the shortest distance of each pair of species in the crystals of the phases, Å.

    A pair of species that no phase holds together gets the mean of the two distances of each species to itself, which is the
    sum of the radii of ions of like charge.
    """
    found: dict[Pair, float] = {}
    for phase in phases:
        for pair, distance in shortest_contacts(crystal_from_sites(phase), phase.polyatomic).items():
            found[pair] = min(distance, found.get(pair, distance))
    charges = {symbol: charge for phase in phases for symbol, charge in phase.charges.items()}
    for one, other in itertools.combinations(sorted(charges), 2):
        alike = charges[one] * charges[other] > 0
        if alike and (one, other) not in found and (one, one) in found and (other, other) in found:
            found[one, other] = (found[one, one] + found[other, other]) / 2
    return found


def contact_matrix(symbols: Sequence[str], contacts: Mapping[Pair, float]) -> "NDArray[np.float64]":
    """Return the yardstick distances of species against species, Å; zero where there is none."""
    return np.array([[contacts.get((min(one, other), max(one, other)), 0.0) for other in symbols] for one in symbols])
