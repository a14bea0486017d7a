"""The certificate every structure must earn before anything is computed with it.

Charge by oxidation states, whole formula units of each phase, polyatomic groups whole, no two ions closer than the same ions
ever come in the bulk, polarity, equivalence of the two boundaries of a periodic bicrystal. Each check returns what it found,
so that the certificate can be stored beside the structure; :func:`certify` refuses what fails, with every reason.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.neighborlist import neighbor_list

from seiflow.errors import StructureError
from seiflow.structures.recipes import PhaseRecipe, Polyatomic
from seiflow.structures.units import bulk_contacts, contact_matrix, find_units, groups_of

if TYPE_CHECKING:
    from ase import Atoms
    from numpy.typing import NDArray

CLOSEST = 0.6
"""Shortest distance allowed between any two atoms, as a fraction of the sum of the covalent radii."""

CLOSEST_UNLIKE = 0.8
"""Shortest distance allowed between ions of opposite charge, as a fraction of the shortest one in the bulk."""

CLOSEST_LIKE = 0.75
"""The same for ions of like charge and for neutral atoms."""

SHORTEST_BOND = 0.75
"""Shortest bond allowed inside a polyatomic group, as a fraction of the longest one its recipe allows."""

HORIZON = 4.0
"""Å; distances beyond are of no interest to the certificate."""


@dataclass(frozen=True)
class Polarity:
    """What the charges of a slab do along its normal.

    Attributes:
        tasker: Type I, II or III of P. W. Tasker, J. Phys. C 12, 4977 (1979).
        dipole_e_angstrom: Dipole along the normal of one cell of the slab; null if the slab is charged.
        faces_equivalent: Whether an operation of the crystal turns the slab upside down.
    """

    tasker: str
    dipole_e_angstrom: float | None
    faces_equivalent: bool


@dataclass(frozen=True)
class GroupCount:
    """Polyatomic groups of one kind and the range of their bonds."""

    whole: int
    broken: int
    shortest_bond_angstrom: float | None
    longest_bond_angstrom: float | None


@dataclass(frozen=True)
class Certificate:
    """What the checks found; ``problems`` is empty for a sound structure.

    Attributes:
        atoms: Their number.
        formula_units: Of each phase; empty if the structure does not hold whole ones.
        net_charge_e: Sum of the oxidation states; null if it cannot be told.
        shortest_unlike_angstrom: Between ions of opposite charge that no polyatomic group joins; null above 4 Å.
        shortest_like_angstrom: Between ions of like charge, or neutral atoms, that no group joins; null above 4 Å.
        groups: Polyatomic groups by name.
        polarity: Of a slab.
        boundaries_equivalent: Whether the two boundaries of a periodic bicrystal are mapped onto each other by symmetry.
        problems: Every reason why the structure is refused.
        strains: Largest strain of each phase of an interface; its builder knows it.
    """

    atoms: int
    formula_units: dict[str, int]
    net_charge_e: int | None
    shortest_unlike_angstrom: float | None
    shortest_like_angstrom: float | None
    groups: dict[str, GroupCount]
    polarity: Polarity | None
    boundaries_equivalent: bool | None
    problems: tuple[str, ...]
    strains: dict[str, float] | None = None


def inspect(
    atoms: "Atoms",
    phases: PhaseRecipe | Sequence[PhaseRecipe],
    *,
    owners: "Sequence[int] | None" = None,
    polarity: Polarity | None = None,
    boundaries_equivalent: bool | None = None,
) -> Certificate:
    """Return the certificate of a structure that should consist of whole formula units of the given phases.

    Args:
        atoms: The structure.
        phases: One phase or several.
        owners: Index into ``phases`` for each atom; needed only where an element has different charges in different phases.
        polarity: Passed into the certificate; a builder of slabs knows it.
        boundaries_equivalent: Passed into the certificate; a builder of bicrystals knows it.
    """
    known = [phases] if isinstance(phases, PhaseRecipe) else list(phases)
    unknown = sorted(set(atoms.get_chemical_symbols()) - {symbol for phase in known for symbol in phase.charges})
    names = ", ".join(phase.formula for phase in known)
    fatal = [f"{symbol} belongs to no phase of {names}" for symbol in unknown]
    if not (np.isfinite(atoms.positions).all() and abs(np.linalg.det(np.asarray(atoms.cell))) > 1e-6):  # noqa: PLR2004 - Å³
        fatal.append("positions are not finite or the cell has no volume")
    if fatal or not len(atoms):
        reasons = tuple(fatal or ["there are no atoms"])
        return Certificate(len(atoms), {}, None, None, None, {}, polarity, boundaries_equivalent, reasons)
    units = formula_units(atoms, known)
    charges = _charges(atoms, known, owners)
    net = int(charges.sum()) if charges is not None else 0 if units else None
    problems = [] if units else [f"{atoms.get_chemical_formula()} is not made of whole formula units of {names}"]
    if net:
        problems.append(f"net charge {net:+d} e; it must be zero")
    groups = groups_of(known)
    counts = {group.name: _count(atoms, group, problems) for group in groups}
    unlike, like = _contacts(atoms, known, charges, problems)
    return Certificate(len(atoms), units, net, unlike, like, counts, polarity, boundaries_equivalent, tuple(problems))


def certify(
    atoms: "Atoms",
    phases: PhaseRecipe | Sequence[PhaseRecipe],
    *,
    name: str | None = None,
    owners: "Sequence[int] | None" = None,
    polarity: Polarity | None = None,
    boundaries_equivalent: bool | None = None,
) -> Certificate:
    """Return the certificate of a sound structure; ``name`` is what messages call it, the rest as for :func:`inspect`.

    Raises:
        StructureError: naming every check that failed.
    """
    certificate = inspect(atoms, phases, owners=owners, polarity=polarity, boundaries_equivalent=boundaries_equivalent)
    if certificate.problems:
        known = [phases] if isinstance(phases, PhaseRecipe) else phases
        title = name or " and ".join(phase.name for phase in known)
        message = f"{title}: refused.\n" + "\n".join(f"  - {problem}" for problem in certificate.problems)
        raise StructureError(message)
    return certificate


def formula_units(atoms: "Atoms", phases: Sequence[PhaseRecipe]) -> dict[str, int]:
    """Return the formula units of each phase; empty if the atoms do not make whole ones of phases with different formulas."""
    counts = atoms.symbols.formula.count()
    distinct = list({phase.formula: phase for phase in phases}.values())
    elements = sorted({symbol for phase in distinct for symbol in phase.composition} | set(counts))
    table = np.array([[phase.composition.get(symbol, 0) for phase in distinct] for symbol in elements], dtype=float)
    wanted = np.array([counts.get(symbol, 0) for symbol in elements], dtype=float)
    found = np.rint(np.linalg.lstsq(table, wanted, rcond=None)[0]).astype(int)
    if (table @ found != wanted).any() or (found < 0).any():
        return {}
    return {phase.name: int(number) for phase, number in zip(distinct, found, strict=True)}


def _charges(atoms: "Atoms", phases: Sequence[PhaseRecipe], owners: "Sequence[int] | None") -> "NDArray[np.int64] | None":
    """Return the oxidation state of each atom; None where phases disagree and nobody says which phase an atom belongs to."""
    if owners is not None:
        return np.array([phases[owner].charges[symbol] for owner, symbol in zip(owners, atoms.symbols, strict=True)])
    states = {symbol: {phase.charges[symbol] for phase in phases if symbol in phase.charges} for symbol in set(atoms.symbols)}
    if any(len(values) > 1 for values in states.values()):
        return None
    return np.array([next(iter(states[symbol])) for symbol in atoms.symbols], dtype=np.int64)


def _contacts(
    atoms: "Atoms", phases: Sequence[PhaseRecipe], charges: "NDArray[np.int64] | None", problems: list[str]
) -> tuple[float | None, float | None]:
    """Return the shortest unlike and like distances and add what is too close to ``problems``."""
    first, second, distances, shifts = neighbor_list("ijdS", atoms, HORIZON)
    outside = ~find_units(atoms, groups_of(phases)).inside(first, second, shifts)
    symbols = sorted(set(atoms.get_chemical_symbols()))
    kinds = np.array([symbols.index(symbol) for symbol in atoms.symbols])
    sign = np.zeros(len(distances)) if charges is None else np.sign(charges[first] * charges[second])
    bulk = contact_matrix(symbols, bulk_contacts(phases))[kinds[first], kinds[second]]
    radii = covalent_radii[atoms.numbers]
    allowed = np.where(outside, bulk * np.where(sign < 0, CLOSEST_UNLIKE, CLOSEST_LIKE), 0)
    allowed = np.maximum(allowed, CLOSEST * (radii[first] + radii[second]))
    problems += _too_close(atoms, first, second, distances, allowed)
    like = (sign > 0) if charges is not None and charges.any() else np.ones(len(distances), dtype=bool)
    return _shortest(distances[outside & (sign < 0)]), _shortest(distances[outside & like])


def _too_close(
    atoms: "Atoms",
    first: "NDArray[np.int64]",
    second: "NDArray[np.int64]",
    distances: "NDArray[np.float64]",
    allowed: "NDArray[np.float64]",
) -> Iterator[str]:
    close = (distances < allowed) & (first <= second)
    rows = zip(first[close], second[close], distances[close].round(4), allowed[close].round(4), strict=True)
    for i, j, distance, least in sorted({(int(i), int(j), float(d), float(a)) for i, j, d, a in rows}):
        names = f"atoms {i} ({atoms.symbols[i]}) and {j} ({atoms.symbols[j]})"
        yield f"{names} are {distance:.2f} Å apart, at least {least:.2f} Å is wanted; is a site wrong or doubled?"


def _count(atoms: "Atoms", group: Polyatomic, problems: list[str]) -> GroupCount:
    """Return the whole groups of one kind; add those that miss a ligand, share one or have a bond too short to ``problems``."""
    centres, ligands, bonds = neighbor_list("ijd", atoms, {(group.centre, group.ligand): group.bond_max})
    chosen = atoms.numbers[centres] == atomic_numbers[group.centre]
    if group.centre == group.ligand:
        chosen[:] = True
    centres, ligands, bonds = centres[chosen], ligands[chosen], bonds[chosen]
    every = np.flatnonzero(atoms.numbers == atomic_numbers[group.centre])
    found = {int(index): int((centres == index).sum()) for index in every}
    broken = {index: number for index, number in found.items() if number != group.count}
    problems += [
        f"{group.name} around atom {index} has {number} {group.ligand}, wants {group.count}" for index, number in broken.items()
    ]
    least = SHORTEST_BOND * group.bond_max
    problems += [
        f"{group.name} around atom {i} has a bond of {bond:.2f} Å, at least {least:.2f} Å is wanted"
        for i, bond in zip(centres.tolist(), bonds.tolist(), strict=True)
        if bond < least
    ]
    return GroupCount(len(every) - len(broken), len(broken), _shortest(bonds), float(bonds.max()) if len(bonds) else None)


def _shortest(distances: "NDArray[np.float64]") -> float | None:
    return float(distances.min()) if len(distances) else None
