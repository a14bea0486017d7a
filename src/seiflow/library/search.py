"""Structures of the library that answer a question, with the energies that finished studies found for them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.documents import nearest
from seiflow.errors import InputError
from seiflow.library.entries import SHORT, Entry, Library
from seiflow.library.tables import NOTHING, plane_text
from seiflow.records import read_record
from seiflow.shelves import STRUCTURES, StructureRecipe, phases_of
from seiflow.structures.space_group import operations

if TYPE_CHECKING:
    from ase import Atoms

RECORD = "boundary.json"

HEADINGS = ("name", "kind", "phases", "planes", "Σ", "strain", "atoms", "J/m²", "calculator", "digest")

Plane = tuple[int, int, int]


@dataclass(frozen=True)
class Energy:
    """Energy of a boundary as a calculator gave it."""

    calculator: str
    energy_j_per_m2: float


@dataclass(frozen=True)
class Query:
    """What is sought; None and empty for what does not matter.

    Attributes:
        phases: Each must be among those of the structure.
        kind: Kind of the structure.
        sigma: Index of the coincidence lattice.
        plane: Miller indices; planes that symmetry makes equal count as the same.
        max_strain: Largest strain of a phase; a structure in which nothing is strained has none.
        min_atoms: Least number of atoms.
        max_atoms: Largest number of atoms.
        max_energy_j_per_m2: Largest energy; structures without one are left out.
    """

    phases: tuple[str, ...] = ()
    kind: str | None = None
    sigma: int | None = None
    plane: Plane | None = None
    max_strain: float | None = None
    min_atoms: int | None = None
    max_atoms: int | None = None
    max_energy_j_per_m2: float | None = None


@dataclass(frozen=True)
class Hit:
    """A structure that answers, with one of its energies."""

    entry: Entry
    energy: Energy | None

    @property
    def atoms(self) -> int:
        """Number of atoms."""
        return len(self.entry.built.atoms)


def search(
    library: Library, query: Query, energies: Mapping[str, Sequence[Energy]], *, sort: str, problems: list[str]
) -> list[Hit]:
    """Return the structures that answer, one hit for each calculator that gave an energy.

    Args:
        library: Where to look.
        query: What is sought.
        energies: By name of the structure.
        sort: name, kind, sigma, strain, atoms or energy; what lacks it comes last.
        problems: What could not be built is added here.
    """
    require_known(library, query)
    hits = [
        Hit(entry, energy)
        for entry in library.entries(problems, lambda recipe: _may_answer(recipe, query))
        if _answers(entry, query, library)
        for energy in energies.get(entry.name) or (None,)
        if _low_enough(energy, query)
    ]
    return sorted(hits, key=lambda hit: _order(hit, sort))


def require_known(library: Library, query: Query) -> None:
    """Refuse names of phases and kinds that nothing has."""
    for name in query.phases:
        library.phases.path(name)
    kinds = set(filter(None, STRUCTURES))
    if query.kind is not None and query.kind not in kinds:
        message = f"unknown kind {query.kind!r}{nearest(query.kind, kinds)}"
        raise InputError(message)
    if query.plane is not None and not any(query.plane):
        message = "--plane 0 0 0: no plane; at least one index must differ from zero"
        raise InputError(message)


def read_energies(folders: Iterable[Path]) -> dict[str, list[Energy]]:
    """Return the energies of boundaries in result folders of studies, by name of the structure.

    Raises:
        InputError: if a folder does not exist or a record is damaged.
    """
    found: dict[str, list[Energy]] = {}
    for folder in folders:
        if not folder.is_dir():
            message = f"{folder}: no such folder; --results wants the results folder of a study"
            raise InputError(message)
        for path in sorted(folder.glob(f"*/*/{RECORD}")):
            energy = _energy(path)
            known = found.setdefault(path.parent.parent.name, [])
            if energy not in known:
                known.append(energy)
    return found


def _energy(path: Path) -> Energy:
    record = read_record(path)
    value = record.get("energy_j_per_m2")
    calculator = record.get("calculator", path.parent.name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isinstance(calculator, str):
        message = f"{path}: holds no energy_j_per_m2 of a calculator. Delete it and run the study again."
        raise InputError(message)
    return Energy(calculator, float(value))


def _may_answer(recipe: StructureRecipe, query: Query) -> bool:
    """Tell whether a recipe could answer, as far as can be told without building."""
    return set(query.phases) <= set(phases_of(recipe)) and query.kind in (None, recipe.kind)


def _answers(entry: Entry, query: Query, library: Library) -> bool:
    atoms = len(entry.built.atoms)
    return (
        query.sigma in (None, entry.sigma)
        and (query.max_strain is None or (entry.strain or 0.0) <= query.max_strain)
        and (query.min_atoms is None or atoms >= query.min_atoms)
        and (query.max_atoms is None or atoms <= query.max_atoms)
        and (query.plane is None or _has_plane(entry, query.plane, library))
    )


def _has_plane(entry: Entry, wanted: Plane, library: Library) -> bool:
    pairs = zip(entry.planes, entry.phases, strict=False)
    return any(wanted in _family(plane, library.ingredient(name).crystal) for plane, name in pairs)


def _family(plane: Plane, crystal: "Atoms") -> set[Plane]:
    """Return all planes that operations of the crystal make of one, and their opposites."""
    images = [np.array(plane) @ rotation * sign for rotation in operations(crystal).rotations for sign in (1, -1)]
    return {(int(h), int(k), int(m)) for h, k, m in images}


def _low_enough(energy: Energy | None, query: Query) -> bool:
    limit = query.max_energy_j_per_m2
    return limit is None or (energy is not None and energy.energy_j_per_m2 <= limit)


def _order(hit: Hit, key: str) -> tuple[bool, float, str, str, str]:
    entry = hit.entry
    numbers: dict[str, float | None] = {
        "sigma": entry.sigma,
        "strain": entry.strain,
        "atoms": hit.atoms,
        "energy": hit.energy.energy_j_per_m2 if hit.energy else None,
    }
    value = numbers.get(key, 0.0)
    text = entry.recipe.kind if key == "kind" else ""
    return value is None, value or 0.0, text, entry.name, hit.energy.calculator if hit.energy else ""


def row(hit: Hit) -> tuple[str, ...]:
    """Return a hit as a row of a table under ``HEADINGS``."""
    entry, energy = hit.entry, hit.energy
    return (
        entry.name,
        entry.recipe.kind,
        ", ".join(entry.phases),
        plane_text(entry.planes),
        NOTHING if entry.sigma is None else str(entry.sigma),
        NOTHING if entry.strain is None else f"{entry.strain:.2%}",
        str(hit.atoms),
        NOTHING if energy is None else f"{energy.energy_j_per_m2:.3f}",
        NOTHING if energy is None else energy.calculator,
        entry.digest[:SHORT],
    )


def as_json(hit: Hit) -> dict[str, object]:
    """Return a hit as JSON types."""
    entry, energy = hit.entry, hit.energy
    return {
        "name": entry.name,
        "kind": entry.recipe.kind,
        "phases": list(entry.phases),
        "planes": [list(plane) for plane in entry.planes],
        "sigma": entry.sigma,
        "strain": entry.strain,
        "atoms": hit.atoms,
        "energy_j_per_m2": energy.energy_j_per_m2 if energy else None,
        "calculator": energy.calculator if energy else None,
        "digest": entry.digest,
    }
