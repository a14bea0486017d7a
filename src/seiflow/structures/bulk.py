"""Crystals from phase recipes."""

import functools
from typing import TYPE_CHECKING

from seiflow.errors import StructureError
from seiflow.structures.checks import Certificate, certify
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
    return certified_crystal(recipe)[0]


def certified_crystal(recipe: PhaseRecipe) -> "tuple[Atoms, Certificate]":
    """Return the conventional cell of a phase and its certificate; raises as :func:`build_crystal` does."""
    atoms, certificate = _built(recipe.model_dump_json())
    return atoms.copy(), certificate


@functools.lru_cache(maxsize=16)
def _built(text: str) -> "tuple[Atoms, Certificate]":
    """Return the crystal of a recipe given as JSON; the last few are remembered, because the same one is asked for often."""
    recipe = PhaseRecipe.model_validate_json(text)
    atoms = crystal_from_sites(recipe)
    certificate = certify(atoms, recipe)
    _check_space_group(atoms, recipe)
    return atoms, certificate


def _check_space_group(atoms: "Atoms", recipe: PhaseRecipe) -> None:
    symbol, number = space_group(atoms)
    if number != recipe.space_group:
        message = (
            f"{recipe.name}: the sites have space group {symbol} ({number}), the recipe says {recipe.space_group}; "
            "correct one of them"
        )
        raise StructureError(message)
