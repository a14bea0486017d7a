"""Crystals from phase recipes."""

from typing import TYPE_CHECKING

from seiflow.errors import RecipeError, StructureError
from seiflow.structures.checks import certify
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.space_group import space_group

if TYPE_CHECKING:
    from ase import Atoms


def build_crystal(recipe: PhaseRecipe) -> "Atoms":
    """Return the conventional cell of a phase, certified.

    Raises:
        RecipeError: if space group, cell and sites contradict each other.
        StructureError: if the crystal fails its certificate.
    """
    from ase.spacegroup import crystal
    from ase.spacegroup.spacegroup import SpacegroupError

    cell = recipe.cell
    try:
        atoms = crystal(
            symbols=[site.species for site in recipe.sites],
            basis=[site.position for site in recipe.sites],
            spacegroup=recipe.space_group,
            setting=recipe.origin_choice,
            cellpar=[cell.a, cell.b, cell.c, cell.alpha, cell.beta, cell.gamma],
            onduplicates="error",
        )
    except (SpacegroupError, ValueError) as error:
        message = f"{recipe.name}: space group {recipe.space_group} and sites do not fit together ({error})"
        raise RecipeError(message) from error
    atoms.info.clear()
    atoms.set_array("spacegroup_kinds", None)
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
