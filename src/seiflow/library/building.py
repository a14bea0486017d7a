"""One structure of the library written to a file, of published crystals or of relaxed ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError
from seiflow.library.entries import Library
from seiflow.library.files import annotated, as_text, read_one
from seiflow.records import write_text
from seiflow.shelves import StructureRecipe
from seiflow.structures.build import Ingredient
from seiflow.structures.checks import certify
from seiflow.structures.fingerprint import digest
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.space_group import space_group

if TYPE_CHECKING:
    from ase import Atoms

LENGTH_TOLERANCE = 0.1
"""By how much relaxation may change a length of the conventional cell, as a fraction."""

ANGLE_TOLERANCE = 5.0
"""The same for an angle, degree."""


def build_file(library: Library, name: str, crystals: Sequence[Path], output: Path) -> str:
    """Write a structure as extended XYZ with name, digest and certificate inside; returns the digest.

    Args:
        library: Where the structure is found.
        name: Of the structure.
        crystals: Relaxed conventional cells, one for each ingredient of the recipe in its order; none for published ones.
        output: The file.

    Raises:
        InputError: if the crystals are not those of the phases.
        StructureError: if the structure fails its certificate.
    """
    recipe = library.recipe(name)
    ingredients = relaxed_ingredients(library, recipe, crystals) if crystals else None
    built = library.build(recipe, ingredients)
    identifier = digest(built.atoms)
    write_text(output, as_text(annotated(built.atoms, name, identifier, built.certificate), "extxyz"))
    return identifier


def relaxed_ingredients(library: Library, recipe: StructureRecipe, crystals: Sequence[Path]) -> dict[str, Ingredient]:
    """Return the phases of a recipe as relaxed elsewhere, one file for each in the recipe's order.

    Raises:
        InputError: if the crystals are not those of the phases.
    """
    wanted = recipe.ingredients
    if len(crystals) != len(wanted):
        needs = f"needs {len(wanted)}: {', '.join(wanted)}" if wanted else "is made of none; leave --crystals out"
        message = f"{len(crystals)} crystals for {recipe.name}, which {needs}"
        raise InputError(message)
    return {phase: _ingredient(library, phase, path) for phase, path in zip(wanted, crystals, strict=True)}


def _ingredient(library: Library, name: str, path: Path) -> Ingredient:
    published = library.ingredient(name)
    crystal = read_one(path)
    certify(crystal, published.recipe, name=f"{path} as {name}")
    _require_conventional(crystal, published.crystal, published.recipe, path)
    return Ingredient(published.recipe, crystal)


def _require_conventional(crystal: "Atoms", published: "Atoms", phase: PhaseRecipe, path: Path) -> None:
    """Refuse another cell than the one in which planes are named."""
    found, wanted = np.asarray(crystal.cell.cellpar()), np.asarray(published.cell.cellpar())
    limits = np.array([*(LENGTH_TOLERANCE * wanted[:3]), *[ANGLE_TOLERANCE] * 3])
    if len(crystal) != len(published) or (np.abs(found - wanted) > limits).any():
        message = (
            f"{path}: not the conventional cell of {phase.name}: {len(crystal)} atoms and {_listed(found)}, "
            f"wanted are {len(published)} atoms and about {_listed(wanted)}"
        )
        raise InputError(message)
    symbol, number = space_group(crystal)
    if number != phase.space_group:
        message = f"{path}: has space group {symbol} ({number}), {phase.name} has {phase.space_group}"
        raise InputError(message)


def _listed(cell: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> str:
    return " ".join(f"{value:.4g}" for value in cell)
