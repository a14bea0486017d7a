"""Registry search: how the second grain lies on the first.

Every termination of the plane is tried with like and unlike faces, a grid of translations reduced by symmetry, and a few gaps
from the least that keeps ions apart. On request, whole formula units are then taken out at the boundaries of the best, and the
gaps tried anew, down to smaller ones; the energy of each is taken against the crystal's for the formula units left. The grains
stay rigid. A cheap model ranks what is found; the best few, each a different structure, are for a calculator to judge.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from seiflow.errors import StructureError
from seiflow.structures.bicrystal import Bicrystal, Faces, PairsAcross, bicrystal, contact_gap, faces_across, put_together
from seiflow.structures.checks import inspect
from seiflow.structures.grain_boundary import angle_of, grains_of, least_distances
from seiflow.structures.ionic_model import CUTOFF, IonicModel, PairModel, ionic_model
from seiflow.structures.layers import Layers, layers
from seiflow.structures.nets import HALF
from seiflow.structures.planar_recipes import SMALLEST_GAP, GrainBoundaryRecipe, InterfaceRecipe
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.removal import removals
from seiflow.structures.slab import terminations

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ase import Atoms
    from numpy.typing import NDArray

GAPS = (-0.6, -0.4, -0.2, 0.0, 0.2, 0.4)
"""Å; tried on top of the least gap that keeps ions apart."""

GAP_STEP = 0.2
"""Å; of the gaps tried once formula units are taken out."""

SAME_SCORE = 1e-3
"""J/m²."""

SAME_GAP = 2e-3
"""Å."""

J_PER_M2 = 16.0217663
"""Of one eV/Å²."""


Recipe = TypeVar("Recipe", GrainBoundaryRecipe, InterfaceRecipe)


@dataclass(frozen=True)
class Candidate(Generic[Recipe]):
    """A registry worth computing.

    Attributes:
        recipe: The recipe with all that was searched filled in: terminations, translation, gap and the like.
        score_j_per_m2: Energy of the boundary with rigid grains in the cheap model.
        atoms: The structure.
    """

    recipe: Recipe
    score_j_per_m2: float
    atoms: "Atoms"


@dataclass(frozen=True)
class _Found:
    score: float
    termination: int
    faces: Faces
    fractions: tuple[float, float]
    gap: float
    grains: Bicrystal


def registry_candidates(
    recipe: GrainBoundaryRecipe,
    phase: PhaseRecipe,
    crystal: "Atoms",
    *,
    best: int = 5,
    step: float = 0.7,
    removed_max: int = 0,
) -> list[Candidate[GrainBoundaryRecipe]]:
    """Return the best registries of a boundary, the best first.

    Args:
        recipe: Plane, type, Σ and thickness are taken from it, the rest is searched.
        phase: The recipe of its phase.
        crystal: Conventional cell of the phase, as built or relaxed.
        best: How many to return.
        step: Largest step of the grid of translations, Å.
        removed_max: Take up to as many formula units out at each boundary of the best twice ``best`` registries.

    Raises:
        StructureError: if no registry gives a sound structure.
    """
    stack = layers(crystal, recipe.plane, phase.polyatomic)
    model = ionic_model(crystal, phase)
    angle = angle_of(recipe, stack)
    found: list[_Found] = []
    meetings: tuple[Faces, ...] = _meetings(recipe, stack)
    for (index, termination), faces in itertools.product(enumerate(terminations(stack, phase.charges)), meetings):
        if termination.tasker == "III" and faces == "like":
            continue
        grains = bicrystal(
            stack, termination, recipe.thickness_angstrom, kind=recipe.type, faces=faces, sigma=recipe.sigma, angle=angle
        )
        found += _scored(grains, index, faces, model, least_distances(grains.lower.symbols, phase, crystal), step)
    found.sort(key=lambda item: (round(item.score, 4), item.termination, item.faces, item.fractions, item.gap))
    kept = _distinct(found, recipe, phase, 2 * best if removed_max else best)
    for candidate in tuple(kept) if removed_max else ():
        for item in _thinned(candidate, phase, crystal, model, removed_max):
            if not _among(item, kept):
                kept.append(item)
    return sorted(kept, key=lambda item: (round(item.score_j_per_m2, 4), item.recipe.removed))[:best]


def _meetings(recipe: GrainBoundaryRecipe, stack: Layers) -> tuple[Faces, ...]:
    """Return which faces can meet: both ways only where a symmetry turns the crystal upside down."""
    if any(operation.flips for operation in stack.operations) and recipe.type != "twist":
        return ("like", "unlike")
    return ("like",) if recipe.type == "mirror" else ("unlike",)


def translations(grains: Bicrystal, step: float) -> "list[NDArray[np.float64]]":
    """Return a grid of translations (Å) that starts at none and holds one of each set of equivalent ones."""
    lengths = np.linalg.norm(grains.shifts, axis=1)
    hexagonal = np.isclose(*lengths) and np.isclose(abs(grains.shifts[0] @ grains.shifts[1]), lengths[0] ** 2 / 2)
    parts = 6 if hexagonal else 2
    numbers = [parts * int(np.ceil(length / step / parts)) for length in lengths]
    seen: set[tuple[int, int]] = set()
    chosen = []
    to_grid = np.linalg.inv(grains.shifts) * numbers
    for point in itertools.product(*map(range, numbers)):
        if point in seen:
            continue
        shift = (np.array(point) / numbers) @ grains.shifts
        chosen.append(shift)
        for matrix in grains.equal_shifts:
            image = (matrix @ (grains.origin + shift) - grains.origin) @ to_grid
            if np.allclose(image, np.rint(image), atol=1e-3):
                a, b = (int(value) for value in np.rint(image).astype(int) % numbers)
                seen.add((a, b))
    return chosen


def _scored(
    grains: Bicrystal, index: int, faces: Faces, model: IonicModel, least: "NDArray[np.float64]", step: float
) -> "Iterator[_Found]":
    """Yield each translation with its best gap."""
    apart = put_together(grains, np.zeros(2), 2 * CUTOFF)
    units = len(apart) / sum(model.phase.composition.values())
    excess = model.energy(apart) - units * model.crystal_energy
    for shift in translations(grains, step):
        least_gap = contact_gap(grains, shift, least)
        fractions = shift @ np.linalg.inv(grains.net)
        fractions -= np.ceil(fractions - HALF)
        a, b = (float(round(value % 1.0, 6)) % 1.0 for value in fractions)
        energies = energy_across(grains, shift, [least_gap + more for more in GAPS], model)
        chosen = int(energies.argmin())
        score = (excess + float(energies[chosen])) / (2 * grains.area) * J_PER_M2
        yield _Found(score, index, faces, (a, b), round(least_gap + GAPS[chosen], 3), grains)


def energy_across(
    grains: Bicrystal, shift: "NDArray[np.float64]", gaps: "Sequence[float]", model: IonicModel
) -> "NDArray[np.float64]":
    """Return the energy of all pairs across the two boundaries at each gap, eV."""
    boundaries = faces_across(grains, shift, CUTOFF)
    kinds = model.kinds(grains.lower.symbols), model.kinds(grains.upper.symbols)
    return energies_of(boundaries, kinds, gaps, model) * 2 / len(boundaries)


def energies_of(
    boundaries: "Sequence[PairsAcross]",
    kinds: "tuple[NDArray[np.int64], NDArray[np.int64]]",
    gaps: "Sequence[float]",
    model: PairModel,
) -> "NDArray[np.float64]":
    """Return the energy of pairs at each gap, summed over boundaries, eV.

    Args:
        boundaries: The pairs across each of them.
        kinds: Species of the atoms of both grains, as the model numbers them.
        gaps: Å.
        model: Gives the energy of a pair.
    """
    lower, upper = kinds
    totals = np.zeros(len(gaps))
    for pairs in boundaries:
        first, second = lower[pairs.lower], upper[pairs.upper]
        for index, gap in enumerate(gaps):
            distances = np.sqrt(pairs.lateral**2 + (pairs.rise + gap) ** 2)
            near = distances < CUTOFF
            totals[index] += float(model.tabulated(first[near], second[near], distances[near]).sum())
    return totals


def _thinned(
    candidate: Candidate[GrainBoundaryRecipe], phase: PhaseRecipe, crystal: "Atoms", model: IonicModel, removed_max: int
) -> "Iterator[Candidate[GrainBoundaryRecipe]]":
    """Yield a registry with one, two, … formula units less at each boundary, each at its best gap.

    The gaps tried go from a little more than that of the whole boundary down to a little less than what the units leave empty.
    What is only the loss of whole layers is left out: it is another registry of thinner grains.
    """
    _, _, grains = grains_of(candidate.recipe, phase, crystal)
    translation = np.array(candidate.recipe.translation) @ grains.net
    freed = crystal.get_volume() / len(crystal) * sum(phase.composition.values()) / grains.area
    layer = round(layers(crystal, candidate.recipe.plane, phase.polyatomic).spacing / freed)
    steps = int(np.ceil(removed_max * freed / GAP_STEP)) + 1
    tried: list[list[Candidate[GrainBoundaryRecipe]]] = [[] for _ in range(removed_max)]
    for step in range(-steps, 2):
        gap = round((candidate.recipe.gap_angstrom or 0.0) + step * GAP_STEP, 3)
        if gap < SMALLEST_GAP:
            continue
        whole = put_together(grains, translation, gap)
        try:
            found = removals(whole, model, removed_max)
        except StructureError:
            continue
        for number, removal in enumerate(found, start=1):
            if removal.peeled is not None and not any(lost % layer for lost in removal.peeled):
                continue
            atoms = whole.copy()
            del atoms[list(removal.atoms)]
            units = len(atoms) / sum(phase.composition.values())
            score = (removal.energy - units * model.crystal_energy) / (2 * grains.area) * J_PER_M2
            recipe = candidate.recipe.model_copy(update={"gap_angstrom": gap, "removed": number})
            tried[number - 1].append(Candidate(recipe, score, atoms))
    for items in tried:
        items.sort(key=lambda item: (round(item.score_j_per_m2, 4), item.recipe.gap_angstrom or 0.0))
        yield from itertools.islice((item for item in items if not inspect(item.atoms, phase).problems), 1)


def _among(item: Candidate[GrainBoundaryRecipe], kept: list[Candidate[GrainBoundaryRecipe]]) -> bool:
    found = item.recipe.gap_angstrom or 0.0, item.recipe.removed
    return any(
        abs(item.score_j_per_m2 - other.score_j_per_m2) < SAME_SCORE
        and abs(found[0] - (other.recipe.gap_angstrom or 0.0)) < SAME_GAP
        and found[1] == other.recipe.removed
        for other in kept
    )


def _the_same(found: _Found, kept: Candidate[GrainBoundaryRecipe]) -> bool:
    """Tell whether two registries differ by symmetry only: to the last digit the model finds them equal."""
    close = abs(found.score - kept.score_j_per_m2) < SAME_SCORE
    return close and abs(found.gap - (kept.recipe.gap_angstrom or 0.0)) < SAME_GAP


def _distinct(
    found: list[_Found], recipe: GrainBoundaryRecipe, phase: PhaseRecipe, best: int
) -> list[Candidate[GrainBoundaryRecipe]]:
    kept: list[Candidate[GrainBoundaryRecipe]] = []
    for item in found:
        if len(kept) == best:
            break
        atoms = put_together(item.grains, np.array(item.fractions) @ item.grains.net, item.gap)
        if any(_the_same(item, other) for other in kept) or inspect(atoms, phase).problems:
            continue
        filled = {
            "termination": item.termination,
            "faces": item.faces if recipe.type != "twist" else None,
            "translation": item.fractions,
            "gap_angstrom": item.gap,
            "removed": 0,
        }
        chosen = GrainBoundaryRecipe.model_validate(recipe.model_dump() | filled)
        kept.append(Candidate(chosen, item.score, atoms))
    if not kept:
        message = f"{recipe.name}: no registry of {recipe.plane} gives a sound structure; refine the grid of translations"
        raise StructureError(message)
    return kept
