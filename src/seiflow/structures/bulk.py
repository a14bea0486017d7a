"""Crystals from phase recipes."""

from typing import TYPE_CHECKING

from seiflow.errors import StructureError
from seiflow.structures.checks import certify
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.sites import crystal_from_sites
from seiflow.structures.space_group import space_group

if TYPE_CHECKING:
    from ase import Atoms


def build_crystal(recipe: PhaseRecipe) -> "Atoms":
    """Return the conventional cell of a phase, certified.

    Raises:
        RecipeError: if space group, cell and sites contradict each other.
        StructureError: if the crystal fails its certificate.
    """
    atoms = crystal_from_sites(recipe)
    certify(atoms, recipe)
    _check_space_group(atoms, recipe)
    return atoms


def _check_space_group(atoms: "Atoms", recipe: PhaseRecipe) -> None:
    symbol, number = space_group(atoms)
    if number != recipe.space_group:
        message = (
            f"{recipe.name}: the sites have space group {symbol} ({number}), the recipe says {recipe.space_group}; "
            "correct one of them"
        )
        raise StructureError(message)
