"""Certificates of structure files that users have, and which of them are the same."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.library.describe import cell_of
from seiflow.library.entries import Library
from seiflow.library.files import certificate_json, read_frames
from seiflow.structures.checks import Certificate, formula_units, inspect
from seiflow.structures.fingerprint import digest, same_structure, without_duplicates
from seiflow.structures.imported import NO_VOLUME
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from ase import Atoms

MOST_PHASES = 3
"""That are sought in one structure."""


@dataclass(frozen=True)
class Checked:
    """What was found out about a structure of a file.

    Attributes:
        label: The file, with the number of the structure if it holds several.
        atoms: The structure.
        phases: What it was checked against; empty if that is not known.
        others: Further sets of phases that it could consist of.
        digest: Identifier; null if the cell has no volume.
        certificate: What the checks found; null if the phases are not known.
        problems: Every reason why it is refused.
    """

    label: str
    atoms: "Atoms"
    phases: tuple[str, ...]
    others: tuple[tuple[str, ...], ...]
    digest: str | None
    certificate: Certificate | None
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Return it as JSON types."""
        return {
            "file": self.label,
            "formula": self.atoms.get_chemical_formula(),
            "phases": list(self.phases),
            "could_be": [list(names) for names in self.others],
            "digest": self.digest,
            "cell": cell_of(self.atoms),
            "certificate": certificate_json(self.certificate) if self.certificate else None,
            "problems": list(self.problems),
        }


def check_files(library: Library, files: Sequence[Path], names: Sequence[str] = ()) -> Iterator[Checked]:
    """Yield the verdict on every structure of some files.

    Args:
        library: Where phases are found.
        files: Structure files.
        names: Phases the structures consist of; by default they are found from the composition.
    """
    phases = [library.phases.get(name) for name in names]
    for path in files:
        frames = read_frames(path)
        for index, atoms in enumerate(frames):
            label = str(path) if len(frames) == 1 else f"{path}@{index}"
            yield check(label, atoms, [phases] if phases else candidates(atoms, library))


def check(label: str, atoms: "Atoms", options: "Sequence[Sequence[PhaseRecipe]]") -> Checked:
    """Return the verdict on a structure that consists of one of several sets of phases; a set that suits it is preferred."""
    solid = abs(np.linalg.det(np.asarray(atoms.cell))) > NO_VOLUME
    identifier = digest(atoms) if solid else None
    if not options:
        formula = atoms.get_chemical_formula()
        problem = f"no phases of the library make up {formula}; name them with --phases, or add what is missing"
        return Checked(label, atoms, (), (), identifier, None, (problem,))
    found = [(tuple(phase.name for phase in phases), inspect(atoms, phases)) for phases in options]
    found.sort(key=lambda item: bool(item[1].problems))
    names, certificate = found[0]
    others = tuple(other for other, verdict in found[1:] if not verdict.problems)
    return Checked(label, atoms, names, others, identifier, certificate, certificate.problems)


def candidates(atoms: "Atoms", library: Library) -> list[tuple[PhaseRecipe, ...]]:
    """Return the smallest sets of phases of the library that a structure's composition is made of.

    Sets in which an element has two oxidation states are not among them: with a metal beside its salt, a missing anion would
    pass for a surplus of metal.
    """
    elements = set(atoms.get_chemical_symbols())
    known = [library.phases.get(name) for name in library.phases.names]
    suited = [phase for phase in known if set(phase.composition) <= elements]
    for number in range(1, MOST_PHASES + 1):
        fits = [phases for phases in itertools.combinations(suited, number) if _makes_up(atoms, phases)]
        if fits:
            return fits
    return []


def _makes_up(atoms: "Atoms", phases: tuple[PhaseRecipe, ...]) -> bool:
    states = {state for phase in phases for state in phase.charges.items()}
    units = formula_units(atoms, phases)
    return len(states) == len({symbol for symbol, _ in states}) and len(units) == len(phases) and all(units.values())


def duplicates(checked: Sequence[Checked]) -> list[tuple[str, str]]:
    """Return pairs (structure, earlier one that is the same)."""
    solid = [item for item in checked if item.digest]
    kept = without_duplicates([item.atoms for item in solid])
    return [
        (item.label, solid[earlier].label)
        for index, item in enumerate(solid)
        if index not in kept
        for earlier in [next(other for other in kept if other < index and same_structure(solid[other].atoms, item.atoms))]
    ]
