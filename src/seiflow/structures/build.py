"""Any structure from its recipe and what it is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seiflow.structures.bulk import build_crystal, certified_crystal
from seiflow.structures.checks import Certificate
from seiflow.structures.grain_boundary import GrainBoundary, build_grain_boundary
from seiflow.structures.imported import ImportedRecipe, build_imported
from seiflow.structures.interface import Interface, build_interface
from seiflow.structures.interface_registry import interface_candidates
from seiflow.structures.planar_recipes import GrainBoundaryRecipe, InterfaceRecipe, PlanarRecipe, SlabRecipe
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.registry import Candidate, registry_candidates
from seiflow.structures.slab import Slab, build_slab

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Ingredient:
    """A phase as other structures are made of it.

    Attributes:
        recipe: The phase.
        crystal: Its conventional cell, as built or relaxed.
        stiffness_gpa: Measured with the same calculator, 6 × 6 in the frame of ``crystal``, Voigt xx yy zz yz xz xy; None if
            not known.
    """

    recipe: PhaseRecipe
    crystal: "Atoms"
    stiffness_gpa: "NDArray[np.float64] | None" = None


@dataclass(frozen=True)
class Built:
    """A certified structure.

    Attributes:
        atoms: The structure. ``info["planes"]`` holds the heights of its boundaries in fractions of the third cell vector, the
            array ``grain`` the grain of each atom.
        certificate: What the checks found.
        details: What the builder tells of it; None for a phase and for what was imported.
    """

    atoms: "Atoms"
    certificate: Certificate
    details: GrainBoundary | Interface | Slab | None


def build_structure(recipe: PhaseRecipe | PlanarRecipe | ImportedRecipe, ingredients: Mapping[str, Ingredient]) -> Built:
    """Return a structure of any kind.

    Args:
        recipe: What is wanted.
        ingredients: The phases that ``recipe.ingredients`` names; for an imported structure, which brings its own atoms, those
            that ``recipe.phases`` names, of which only the recipes are used.

    Raises:
        RecipeError: if the recipe contradicts itself or the crystal.
        StructureError: if the structure fails its certificate.
    """
    if isinstance(recipe, PhaseRecipe):
        return Built(*certified_crystal(recipe), None)
    if isinstance(recipe, ImportedRecipe):
        return Built(*build_imported(recipe, {name: ingredients[name].recipe for name in recipe.phases}), None)
    parts = [ingredients[name] for name in recipe.ingredients]
    if isinstance(recipe, GrainBoundaryRecipe):
        boundary = build_grain_boundary(recipe, parts[0].recipe, parts[0].crystal)
        return Built(boundary.atoms, boundary.certificate, boundary)
    if isinstance(recipe, InterfaceRecipe):
        interface = build_interface(recipe, (parts[0], parts[1]))
        return Built(interface.atoms, interface.certificate, interface)
    slab = build_slab(
        parts[0].recipe,
        parts[0].crystal,
        recipe.plane,
        thickness=recipe.thickness_angstrom,
        termination=recipe.termination,
        vacuum=recipe.vacuum_angstrom,
    )
    return Built(slab.atoms, slab.certificate, slab)


def ingredients_as_published(phases: Mapping[str, PhaseRecipe]) -> dict[str, Ingredient]:
    """Return phases with their published lattice constants, for looking at structures before anything is computed."""
    return {name: Ingredient(recipe, build_crystal(recipe)) for name, recipe in phases.items()}


def thicker(recipe: PlanarRecipe, by: float) -> PlanarRecipe:
    """Return the recipe with grains thicker by at least so many Å, in proportion, so that two phases share strain as before."""
    wanted = recipe.thickness_angstrom
    more = tuple(each * (1 + by / min(wanted)) for each in wanted) if isinstance(wanted, tuple) else wanted + by
    return recipe.model_copy(update={"thickness_angstrom": more})


def candidates(
    recipe: PlanarRecipe, ingredients: Mapping[str, Ingredient], *, best: int, step: float, removed_max: int
) -> Sequence[Candidate[GrainBoundaryRecipe] | Candidate[InterfaceRecipe]]:
    """Return the best registries of a boundary or interface in the ionic model; a slab has none.

    Args:
        recipe: What is wanted; its registry is searched.
        ingredients: The phases that ``recipe.ingredients`` names.
        best: How many to return.
        step: Largest step of the grid of translations, Å.
        removed_max: Formula units that may be taken out at each boundary.
    """
    if not best or isinstance(recipe, SlabRecipe):
        return []
    parts = [ingredients[name] for name in recipe.ingredients]
    if isinstance(recipe, InterfaceRecipe):
        return interface_candidates(recipe, (parts[0], parts[1]), best=best, step=step)
    return registry_candidates(recipe, parts[0].recipe, parts[0].crystal, best=best, step=step, removed_max=removed_max)
