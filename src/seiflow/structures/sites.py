"""A crystal from its space group, cell and asymmetric unit."""

from typing import TYPE_CHECKING

from seiflow.errors import RecipeError
from seiflow.structures.recipes import PhaseRecipe

if TYPE_CHECKING:
    from ase import Atoms


def crystal_from_sites(recipe: PhaseRecipe) -> "Atoms":
    """Return the conventional cell of a phase, unchecked.

    Raises:
        RecipeError: if space group, cell and sites contradict each other.
    """
    from ase.spacegroup import crystal
    from ase.spacegroup.spacegroup import SpacegroupError

    cell = recipe.cell
    try:
        atoms: Atoms = crystal(
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
    return atoms
