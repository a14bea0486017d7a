"""Supercells for point defects, and the distinct sites in them: of a structure of the library, or of a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.documents import nearest
from seiflow.errors import InputError, StructureError
from seiflow.library.checking import candidates
from seiflow.library.entries import Library
from seiflow.library.files import as_text, read_one
from seiflow.library.tables import NOTHING
from seiflow.records import write_text
from seiflow.settings_base import FARTHEST
from seiflow.structures.checks import inspect
from seiflow.structures.defect_sites import DefectSite, DefectSupercell, defect_supercell
from seiflow.structures.imported import NO_VOLUME
from seiflow.structures.space_group import operations

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.structures.recipes import PhaseRecipe, Polyatomic

RELAXED = 0.05
"""Å; how far atoms of relaxed structures are from their symmetric places."""


@dataclass(frozen=True)
class Chosen:
    """A structure in which sites are sought.

    Attributes:
        label: Its name or file.
        atoms: The structure.
        phases: What it consists of; empty if that is not known.
        grains: Phase of each grain; empty if that is not known or the same for all.
        groups: Polyatomic groups that may be in it, each name once.
        relaxed: Whether it comes from a file.
    """

    label: str
    atoms: "Atoms"
    phases: "tuple[PhaseRecipe, ...]"
    grains: tuple[str, ...]
    groups: "tuple[Polyatomic, ...]"
    relaxed: bool

    def grain(self, site: DefectSite) -> str:
        """Return the number of a site's grain, with its phase if grains are of different ones."""
        if site.grain is None:
            return NOTHING
        return f"{site.grain} {self.grains[site.grain]}" if self.grains else str(site.grain)


def choose_structure(library: Library, what: str, names: Sequence[str] = ()) -> Chosen:
    """Return a structure by its name, built with published lattice constants, or from a file.

    Args:
        library: Where structures and phases are found.
        what: Name or file.
        names: Phases that a file consists of; by default they are found from the composition.

    Raises:
        InputError: if there is neither such a name nor such a file, or the file has no cell to repeat.
    """
    if what in library.names:
        if names:
            message = f"--phases does not go with {what}, which the library knows; it is for files"
            raise InputError(message)
        entry = library.entry(what)
        phases = tuple(library.phases.get(name) for name in entry.phases)
        grains = entry.grains if len(set(entry.grains)) > 1 else ()
        return Chosen(what, entry.built.atoms, phases, grains, _groups(phases), relaxed=False)
    if not Path(what).exists():
        message = f"{what}: no such file, and no such structure{nearest(what, library.names)}"
        raise InputError(message)
    atoms = read_one(Path(what))
    _require_cell(atoms, what)
    atoms.info["planes"] = _heights(atoms, what)
    _require_grains(atoms, what)
    options = [tuple(library.phases.get(name) for name in names)] if names else candidates(atoms, library)
    known = options[0] if options else ()
    return Chosen(what, atoms, known, (), _groups([*known, *_suited(library, atoms)]), relaxed=True)


def sites_of(
    chosen: Chosen, species: str, *, image_distance: float = 8.0, symmetric: bool = True, tolerance: float
) -> DefectSupercell:
    """Return the supercell and its sites.

    Args:
        chosen: The structure.
        species: Symbol, or name of a polyatomic group.
        image_distance: Least distance between images of a defect, Å.
        symmetric: Whether the supercell must have the symmetry of the cell.
        tolerance: How far atoms may be from their symmetric places, Å.

    Raises:
        InputError: if there is no such species, or distance or tolerance make no sense.
        StructureError: if no space group is found.
    """
    if image_distance > FARTHEST:
        message = f"image distance of {image_distance:g} Å: at most {FARTHEST:g} Å, or the supercell has too many atoms"
        raise InputError(message)
    return defect_supercell(
        chosen.atoms,
        species=species,
        image_distance=image_distance,
        groups=chosen.groups,
        symmetric=symmetric,
        tolerance=tolerance,
    )


def notes(chosen: Chosen, tolerance: float) -> list[str]:
    """Return what is to be known of a structure from a file: what is not sound, and whether it is more symmetric than found."""
    if not chosen.relaxed:
        return []
    if not chosen.phases:
        found = ["no phases of the library make it up, so it was not checked; --phases names them"]
    else:
        found = [f"not sound: {problem}" for problem in inspect(chosen.atoms, chosen.phases).problems]
    if tolerance < RELAXED:
        try:
            now, then = (len(operations(chosen.atoms, value).rotations) for value in (tolerance, RELAXED))
        except StructureError:
            return found
        if then > now:
            found.append(
                f"{now} operations within {tolerance:g} Å, {then} within {RELAXED:g} Å: --tolerance {RELAXED:g} joins more sites"
            )
    return found


def write_supercell(path: Path, found: DefectSupercell) -> None:
    """Write a supercell as extended XYZ; ``info["sites"]`` tells the first atom of each site by its name."""
    atoms = found.atoms.copy()
    atoms.info["sites"] = {site.name: site.index for site in found.sites}
    write_text(path, as_text(atoms, "extxyz"))


def as_json(chosen: Chosen, found: DefectSupercell) -> dict[str, object]:
    """Return supercell and sites as JSON types."""
    return {
        "structure": chosen.label,
        "phases": [phase.name for phase in chosen.phases],
        "expansion": list(found.expansion),
        "atoms": len(found.atoms),
        "formula": found.atoms.get_chemical_formula(),
        "image_distance_angstrom": found.image_distance_angstrom,
        "sites": [
            {
                "name": site.name,
                "species": site.species,
                "index": site.index,
                "members": list(site.members),
                "multiplicity": site.multiplicity,
                "grain": site.grain,
                "distance_angstrom": site.distance_angstrom,
                "plane": site.plane,
            }
            for site in found.sites
        ],
    }


HEADINGS = ("site", "multiplicity", "grain", "from boundary Å", "boundary", "atom")


def row(chosen: Chosen, site: DefectSite) -> tuple[str, ...]:
    """Return what people are told of a site, in the order of ``HEADINGS``."""
    distance = NOTHING if site.distance_angstrom is None else f"{site.distance_angstrom:.2f}"
    plane = NOTHING if site.plane is None else str(site.plane)
    return site.name, str(site.multiplicity), chosen.grain(site), distance, plane, str(site.index)


def _groups(phases: "Sequence[PhaseRecipe]") -> "tuple[Polyatomic, ...]":
    """Return the groups of some phases; of those that share a name the first counts."""
    return tuple({group.name: group for phase in reversed(phases) for group in phase.polyatomic}.values())


def _suited(library: Library, atoms: "Atoms") -> "list[PhaseRecipe]":
    """Return the phases of the library whose species a structure holds."""
    elements = set(atoms.get_chemical_symbols())
    every = [library.phases.get(name) for name in library.phases.names]
    return [phase for phase in every if set(phase.composition) <= elements]


def _require_cell(atoms: "Atoms", label: str) -> None:
    flat = not atoms.pbc[:2].all()
    if flat or abs(np.linalg.det(np.asarray(atoms.cell))) < NO_VOLUME:
        what = "not periodic along its first two cell vectors" if flat else "without a cell of some volume"
        message = f"{label}: {what}; a supercell for a defect repeats a crystal, a boundary or a slab"
        raise InputError(message)


def _heights(atoms: "Atoms", label: str) -> list[float]:
    """Return the heights of the boundaries; a single one is read from a file as a bare number."""
    told = atoms.info.get("planes", [])
    try:
        heights = [float(value) for value in np.atleast_1d(np.asarray(told, dtype=float)).ravel()]
    except (TypeError, ValueError):
        heights = [np.nan]
    if not np.isfinite(heights).all():
        message = f"{label}: planes={told!r} in its header: heights of boundaries are fractions of the third cell vector"
        raise InputError(message)
    return heights


def _require_grains(atoms: "Atoms", label: str) -> None:
    grains = atoms.arrays.get("grain")
    if grains is not None and (grains.ndim != 1 or not np.issubdtype(grains.dtype, np.integer) or (grains < 0).any()):
        message = f"{label}: its column grain must hold a whole number for each atom, 0 for the first grain"
        raise InputError(message)
