"""The best registries of a boundary or an interface: of a recipe of the library, or of a boundary newly thought of."""

from collections.abc import Sequence
from pathlib import Path

from seiflow.errors import InputError
from seiflow.library.building import relaxed_ingredients
from seiflow.library.entries import Library
from seiflow.library.recipe_files import THICKEST, Searched, validated
from seiflow.library.tables import plane_text
from seiflow.structures.build import Ingredient, candidates
from seiflow.structures.coincidence import mirror_sigma
from seiflow.structures.grain_boundary import FIRST_CUBIC, grains_of
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe
from seiflow.structures.registry import Candidate

MOST_REMOVED = 4
"""Formula units that a recipe may take out."""

FINEST_STEP = 0.05
"""Å."""


def searched_recipe(library: Library, name: str) -> Searched:
    """Return the recipe of a structure that has a registry.

    Raises:
        InputError: if there is none, or it has no registry.
    """
    recipe = library.recipe(name)
    if isinstance(recipe, GrainBoundaryRecipe | InterfaceRecipe):
        return recipe
    kind = recipe.kind.replace("_", " ")
    message = f"{name}: a registry is of two grains, this is of kind {kind}; name a grain boundary or an interface"
    raise InputError(message)


def new_boundary(
    library: Library,
    phase: str,
    plane: Sequence[int],
    kind: str,
    *,
    sigma: int | None = None,
    thickness: float = 10.0,
    name: str | None = None,
) -> GrainBoundaryRecipe:
    """Return the recipe of a grain boundary whose registry is still to be searched.

    Args:
        library: Where the phase is found.
        phase: Its name.
        plane: Miller indices in its conventional cell.
        kind: mirror, twofold or twist.
        sigma: Of the coincidence lattice of a twist.
        thickness: Of each grain, Å.
        name: Of the recipe; by default it is made of phase, plane and kind.

    Raises:
        InputError: if that is no grain boundary.
    """
    if not 0 < thickness <= THICKEST:
        message = f"--thickness {thickness:g}: it must be above zero and at most {THICKEST:g} Å"
        raise InputError(message)
    known = library.ingredient(phase).recipe
    indices = "".join(f"{'m' if value < 0 else ''}{abs(value)}" for value in plane)
    number = sigma or (mirror_sigma((plane[0], plane[1], plane[2])) if known.space_group >= FIRST_CUBIC and any(plane) else None)
    data = {
        "kind": "grain_boundary",
        "name": name or "-".join([phase, indices, kind, *([str(sigma)] if sigma else [])]),
        "summary": f"{phase}, {plane_text([plane])} {kind} boundary" + (f", Σ{number}" if number else ""),
        "phase": phase,
        "plane": list(plane),
        "type": kind,
        "sigma": sigma,
        "thickness_angstrom": thickness,
    }
    return validated(GrainBoundaryRecipe, data)


def ingredients_of(library: Library, recipe: Searched, crystals: Sequence[Path]) -> dict[str, Ingredient]:
    """Return the phases of a recipe, as relaxed elsewhere if files of their crystals are given."""
    if crystals:
        return relaxed_ingredients(library, recipe, crystals)
    return {phase: library.ingredient(phase) for phase in recipe.ingredients}


def best_registries(
    recipe: Searched, parts: dict[str, Ingredient], *, best: int = 5, step: float = 0.7, removed: int = 0
) -> Sequence[Candidate[GrainBoundaryRecipe] | Candidate[InterfaceRecipe]]:
    """Return the best registries in the ionic model, the best first.

    Args:
        recipe: Its registry is searched.
        parts: The phases that ``recipe.ingredients`` names.
        best: How many to return.
        step: Largest step of the grid of translations, Å.
        removed: Formula units that may be taken out at each boundary.

    Raises:
        InputError: if the search cannot be made.
        StructureError: if no registry gives a sound structure.
    """
    _refuse(recipe, best, step, removed)
    if isinstance(recipe, GrainBoundaryRecipe):
        part = parts[recipe.phase]
        grains_of(recipe, part.recipe, part.crystal)
    return candidates(recipe, parts, best=best, step=step, removed_max=removed)


def _refuse(recipe: Searched, best: int, step: float, removed: int) -> None:
    if best < 1:
        message = f"--best {best}: at least one registry must be wanted"
        raise InputError(message)
    if not FINEST_STEP <= step < float("inf"):
        message = f"--step {step:g}: it must be at least {FINEST_STEP:g} Å"
        raise InputError(message)
    if not 0 <= removed <= MOST_REMOVED:
        message = f"--removed {removed}: it must be from 0 to {MOST_REMOVED}"
        raise InputError(message)
    if removed and isinstance(recipe, InterfaceRecipe):
        message = f"{recipe.name}: formula units are taken out at grain boundaries only; leave --removed out"
        raise InputError(message)


HEADINGS = {
    "grain_boundary": ("number", "J/m²", "termination", "faces", "translation", "gap Å", "removed", "atoms"),
    "interface": ("number", "J/m²", "terminations", "turned", "translation", "gap Å", "atoms"),
}


def row(number: int, found: Candidate[GrainBoundaryRecipe] | Candidate[InterfaceRecipe]) -> tuple[str, ...]:
    """Return what people are told of a registry, in the order of the headings of its kind."""
    recipe = found.recipe
    shift = "{:.3f} {:.3f}".format(*recipe.translation)
    gap = f"{recipe.gap_angstrom or 0.0:.3f}"
    score, atoms = f"{found.score_j_per_m2:.3f}", str(len(found.atoms))
    if isinstance(recipe, InterfaceRecipe):
        turned = " ".join("yes" if each else "no" for each in recipe.turned)
        return (str(number), score, "{} {}".format(*recipe.terminations), turned, shift, gap, atoms)
    return (str(number), score, str(recipe.termination), recipe.faces or "unlike", shift, gap, str(recipe.removed), atoms)


def as_json(number: int, found: Candidate[GrainBoundaryRecipe] | Candidate[InterfaceRecipe]) -> dict[str, object]:
    """Return a registry as JSON types."""
    return {
        "number": number,
        "score_j_per_m2": found.score_j_per_m2,
        "atoms": len(found.atoms),
        "recipe": found.recipe.model_dump(mode="json", exclude_none=True),
    }
