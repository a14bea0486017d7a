"""Registry search with the calculator: the best few registries of the ionic model are relaxed, the lowest is kept.

All that was tried is part of the result, with its energy, so that a reader sees how close the next one lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seiflow.errors import ConvergenceError
from seiflow.planar_settings import PlanarSettings
from seiflow.properties.planar import bulk_energy, owners
from seiflow.properties.settling import area_of, relax_planar
from seiflow.structures.build import Built, Ingredient, build_structure, candidates
from seiflow.structures.checks import formula_units, inspect
from seiflow.structures.fingerprint import same_structure
from seiflow.structures.registry import J_PER_M2

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.engine import Engine
    from seiflow.planar_settings import RegistrySettings
    from seiflow.structures.planar_recipes import PlanarRecipe


@dataclass(frozen=True)
class Tried:
    """One registry.

    Attributes:
        recipe: What differs from the structure's recipe: termination, faces, translation, gap, units removed.
        score_j_per_m2: Energy of the boundary in the ionic model, grains rigid; null for the recipe's own registry.
        energy_j_per_m2: Energy beyond that of the unstrained crystals per area of one boundary, relaxed with the calculator; free
            surfaces and strain are in it where there are any. Null if the relaxation failed.
        atoms: Their number.
        problem: Why it was not considered.
    """

    recipe: dict[str, object]
    score_j_per_m2: float | None
    energy_j_per_m2: float | None
    atoms: int
    problem: str | None


@dataclass(frozen=True)
class Registry:
    """The search.

    Attributes:
        recipe: The recipe with the chosen registry, all keys but the summary.
        structure: What the builder tells of the chosen structure: Σ and misorientation, or match and strains, terminations.
        tried: Every registry, the lowest energy first.
        chosen: Index of the chosen one.
        warnings: Sentences on what may spoil the result.
    """

    recipe: dict[str, object]
    structure: dict[str, object]
    tried: tuple[Tried, ...]
    chosen: int
    warnings: tuple[str, ...]


def registry(
    recipe: "PlanarRecipe", parts: Sequence[Ingredient], engine: "Engine", settings: "RegistrySettings"
) -> "tuple[Built, Registry]":
    """Return the structure in its best registry, as built, and the search.

    Args:
        recipe: The boundary, interface or slab.
        parts: Its phases, relaxed by the same calculator.
        engine: Relaxes.
        settings: How many registries and how far.

    Raises:
        ConvergenceError: if no registry relaxed.
    """
    ingredients = {part.recipe.name: part for part in parts}
    own = build_structure(recipe, ingredients)
    found = candidates(recipe, ingredients, best=settings.candidates, step=settings.step, removed_max=settings.removed_max)
    if not found:
        tried = Tried({}, None, None, len(own.atoms), None)
        return own, Registry(_told(recipe), _facts(own), (tried,), 0, ())
    others = [candidate for candidate in found if not same_structure(candidate.atoms, own.atoms)]
    recipes: list[tuple[PlanarRecipe, float | None, Built]] = [(recipe, None, own)]
    recipes += [(other.recipe, other.score_j_per_m2, build_structure(other.recipe, ingredients)) for other in others]
    results = []
    for number, (each, score, built) in enumerate(recipes, start=1):
        label = f"registry {number} of {len(recipes)}"
        energy, problem = _energy(built.atoms, parts, engine, settings, label)
        results.append((Tried(_difference(each, recipe), score, energy, len(built.atoms), problem), each, built))
    results.sort(key=lambda item: (item[0].energy_j_per_m2 is None, item[0].energy_j_per_m2))
    best, chosen, built = results[0]
    if best.energy_j_per_m2 is None:
        reasons = "; ".join(str(item[0].problem) for item in results)
        message = f"{recipe.name}: none of {len(results)} registries relaxed ({reasons}). Try another plane, or more candidates."
        raise ConvergenceError(message)
    failed = sum(item[0].problem is not None for item in results)
    warnings = (f"{failed} of {len(results)} registries did not relax and were left out.",) if failed else ()
    return built, Registry(_told(chosen), _facts(built), tuple(item[0] for item in results), 0, warnings)


def _energy(
    atoms: "Atoms", parts: Sequence[Ingredient], engine: "Engine", settings: "RegistrySettings", label: str
) -> tuple[float | None, str | None]:
    phases = [part.recipe for part in parts]
    tolerances = PlanarSettings(fmax=settings.fmax, stress_gpa=0.1, max_steps=settings.max_steps, shakes=0)
    try:
        relaxed = relax_planar(atoms, engine, tolerances, label=label)
    except ConvergenceError as error:
        return None, str(error)
    problems = inspect(relaxed, phases, owners=owners(relaxed, phases)).problems
    if problems:
        return None, "; ".join(problems)
    excess = relaxed.get_potential_energy() - bulk_energy(formula_units(relaxed, phases), parts)
    return excess / ((2 if relaxed.pbc[2] else 1) * area_of(relaxed)) * J_PER_M2, None


def _told(recipe: "PlanarRecipe") -> dict[str, object]:
    return recipe.model_dump(mode="json", exclude={"summary"})


def _facts(built: Built) -> dict[str, object]:
    return {name: value for name, value in vars(built.details).items() if name not in {"atoms", "certificate"}}


def _difference(recipe: "PlanarRecipe", other: "PlanarRecipe") -> dict[str, object]:
    mine, theirs = recipe.model_dump(mode="json"), other.model_dump(mode="json")
    return {key: value for key, value in mine.items() if value != theirs[key]}
