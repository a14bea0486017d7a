"""The certificate every structure must earn before anything is computed with it.

Charge by oxidation states, stoichiometry, polyatomic groups whole, no two atoms too close. Each check returns what it
found, so that the certificate can be stored beside the structure; :func:`certify` refuses what fails.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from seiflow.errors import StructureError
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from ase import Atoms

CLOSEST = 0.6
"""Shortest distance allowed, as a fraction of the sum of the covalent radii."""

HORIZON = 4.0
"""Å; distances beyond are of no interest to the certificate."""


@dataclass(frozen=True)
class Certificate:
    """What the checks found; ``problems`` is empty for a sound structure."""

    atoms: int
    formula_units: int | None
    net_charge_e: int
    shortest_unlike_angstrom: float | None
    shortest_like_angstrom: float | None
    whole_groups: dict[str, int]
    problems: tuple[str, ...]


def inspect(atoms: "Atoms", recipe: PhaseRecipe) -> Certificate:
    """Return the certificate of a structure that should consist of whole formula units of one phase."""
    units = _formula_units(atoms, recipe)
    charge = sum(recipe.charges[symbol] for symbol in atoms.symbols)
    first, second, distances = neighbor_list("ijd", atoms, HORIZON)
    problems = []
    if units is None:
        problems.append(f"{atoms.get_chemical_formula()} is not a whole number of {recipe.formula}")
    if charge:
        problems.append(f"net charge {charge:+d} e; it must be zero")
    problems += _overlaps(atoms, first, second, distances)
    groups = {}
    for group in recipe.polyatomic:
        whole, broken = _groups(atoms, group.centre, group.ligand, group.count, group.bond_max)
        groups[group.name] = whole
        problems += [
            f"{group.name} around atom {index} has {found} {group.ligand}, wants {group.count}" for index, found in broken
        ]
    same = atoms.numbers[first] == atoms.numbers[second]
    return Certificate(
        atoms=len(atoms),
        formula_units=units,
        net_charge_e=int(charge),
        shortest_unlike_angstrom=_shortest(distances[~same]),
        shortest_like_angstrom=_shortest(distances[same]),
        whole_groups=groups,
        problems=tuple(problems),
    )


def certify(atoms: "Atoms", recipe: PhaseRecipe) -> Certificate:
    """Return the certificate of a sound structure.

    Raises:
        StructureError: naming every check that failed.
    """
    certificate = inspect(atoms, recipe)
    if certificate.problems:
        message = f"{recipe.name}: refused.\n" + "\n".join(f"  - {problem}" for problem in certificate.problems)
        raise StructureError(message)
    return certificate


def _formula_units(atoms: "Atoms", recipe: PhaseRecipe) -> int | None:
    counts = atoms.symbols.formula.count()
    units = {counts.get(symbol, 0) / number for symbol, number in recipe.composition.items()}
    only = units.pop()
    return int(only) if not units and only == int(only) and only > 0 else None


def _overlaps(atoms: "Atoms", first: np.ndarray, second: np.ndarray, distances: np.ndarray) -> list[str]:
    radii = covalent_radii[atoms.numbers]
    close = (distances < CLOSEST * (radii[first] + radii[second])) & (first <= second)
    pairs = set(zip(first[close].tolist(), second[close].tolist(), distances[close].round(4).tolist(), strict=True))
    return [
        f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]}) are {distance:.2f} Å apart; is a site wrong or doubled?"
        for i, j, distance in sorted(pairs)
    ]


def _groups(atoms: "Atoms", centre: str, ligand: str, count: int, bond_max: float) -> tuple[int, list[tuple[int, int]]]:
    pairs = neighbor_list("i", atoms, {(centre, ligand): bond_max})
    centres = np.flatnonzero(atoms.numbers == atomic_numbers[centre])
    found = [(int(index), int((pairs == index).sum())) for index in centres]
    broken = [(index, number) for index, number in found if number != count]
    return len(found) - len(broken), broken


def _shortest(distances: np.ndarray) -> float | None:
    return float(distances.min()) if len(distances) else None
