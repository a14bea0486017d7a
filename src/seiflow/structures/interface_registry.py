"""Registry search for interfaces: how one phase lies on the other, and which pairs of planes fit at all.

For one match, all terminations without dipole of both phases are tried, each as it stands and upside down where that differs,
with a grid of translations and a few gaps from the least that keeps ions apart. The grains stay rigid. The score is an
interface energy in the ionic model: what cutting both crystals costs, and what the pairs across the interface give back.
"""

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import StructureError
from seiflow.structures.bicrystal import Bicrystal, contact_gap, faces_across
from seiflow.structures.checks import inspect
from seiflow.structures.heterograins import TURNED, Side, contacts_across, heterograins, least_across
from seiflow.structures.interface import assembled, found_matches, sides_of
from seiflow.structures.ionic_model import CUTOFF, IonicModel, PairModel, ionic_model, labelled, model_across
from seiflow.structures.matching import Match
from seiflow.structures.nets import HALF
from seiflow.structures.planar_recipes import InterfaceRecipe
from seiflow.structures.registry import GAPS, J_PER_M2, SAME_GAP, SAME_SCORE, Candidate, energies_of, translations
from seiflow.structures.slab import Block

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from seiflow.structures.build import Ingredient

SAME_MATCH = 1e-5
"""Of strains, and of areas as a fraction."""


@dataclass(frozen=True)
class _Found:
    score: float
    recipe: InterfaceRecipe
    grains: Bicrystal


@dataclass(frozen=True)
class _Scale:
    """What scores a registry: least distances, the model of pairs, and the energy (eV) of cutting both crystals."""

    least: "NDArray[np.float64]"
    model: PairModel
    cutting: float


def interface_candidates(
    recipe: InterfaceRecipe, parts: "tuple[Ingredient, Ingredient]", *, best: int = 5, step: float = 0.7
) -> list[Candidate[InterfaceRecipe]]:
    """Return the best registries of an interface, the best first.

    Args:
        recipe: Planes, match and thickness are taken from it, the rest is searched.
        parts: The two phases.
        best: How many to return.
        step: Largest step of the grid of translations, Å.

    Raises:
        StructureError: if no match keeps the limits, every termination has a dipole, or no registry gives a sound structure.
    """
    crystals, phases = (parts[0].crystal, parts[1].crystal), (parts[0].recipe, parts[1].recipe)
    models = ionic_model(crystals[0], phases[0]), ionic_model(crystals[1], phases[1])
    across = model_across(models, contacts_across(phases, crystals))
    found: list[_Found] = []
    for standing, sides, match in _standings(recipe, parts):
        for cuts in itertools.product(*map(_without_dipole, sides)):
            blocks = [one.block(cut) for one, cut in zip(sides, cuts, strict=True)]
            if any(one.turned and _stands_as_before(block) for one, block in zip(sides, blocks, strict=True)):
                continue
            grains = heterograins(sides, match, (cuts[0], cuts[1]))
            least = least_across(grains.lower.symbols, grains.upper.symbols, phases, crystals)
            cutting = sum(_cost(block, model) for block, model in zip(blocks, models, strict=True)) * match.area
            changed = standing.model_copy(update={"terminations": cuts})
            found += _scored(changed, grains, _Scale(least, across, cutting), step)
    found.sort(key=lambda item: (round(item.score, 4), item.recipe.model_dump_json()))
    return _distinct(found, parts, best)


def _standings(
    recipe: InterfaceRecipe, parts: "tuple[Ingredient, Ingredient]"
) -> "Iterator[tuple[InterfaceRecipe, tuple[Side, Side], Match]]":
    """Yield the phases as they stand and upside down, with the chosen match as numbered for them."""
    wanted: Match | None = None
    for turned in sorted(itertools.product((False, True), repeat=2), key=lambda item: (item != recipe.turned, item)):
        standing = recipe.model_copy(update={"turned": turned})
        sides = sides_of(standing, parts)
        found, _ = found_matches(standing, sides)
        wanted = wanted or found[min(recipe.match, len(found) - 1)]
        number = next((index for index, match in enumerate(found) if _alike(match, wanted)), None)
        if number is not None:
            yield standing.model_copy(update={"match": number}), sides, found[number]


def _alike(one: Match, other: Match) -> bool:
    strains = np.allclose(one.largest_strains, other.largest_strains, rtol=0, atol=SAME_MATCH)
    return strains and abs(one.area / other.area - 1) < SAME_MATCH


def _without_dipole(one: Side) -> list[int]:
    found = [number for number, option in enumerate(one.options) if option.tasker != "III"]
    if not found:
        name = one.part.recipe.name
        message = f"{name} {one.stack.plane}: every termination has a dipole along the normal; choose another plane"
        raise StructureError(message)
    return found


def _stands_as_before(block: Block) -> bool:
    """Tell whether a block turned upside down is the one before it was turned."""
    return any(np.allclose(TURNED @ flip, keep, atol=1e-4) for flip in block.flipping for keep in block.keeping)


def _cost(block: Block, model: IonicModel) -> float:
    """Return the energy of both faces of a grain for each Å² of its area, without strain, eV/Å²."""
    from ase import Atoms

    cell = np.zeros((3, 3))
    cell[:2, :2] = block.net
    cell[2, 2] = block.height + 2 * CUTOFF
    atoms = Atoms(block.symbols, positions=block.positions, cell=cell, pbc=True)
    units = len(atoms) / sum(model.phase.composition.values())
    return (model.energy(atoms) - units * model.crystal_energy) / float(abs(np.linalg.det(block.net)))


def _scored(recipe: InterfaceRecipe, grains: Bicrystal, scale: _Scale, step: float) -> "Iterator[_Found]":
    """Yield each translation with its best gap."""
    for shift in translations(grains, step):
        least_gap = contact_gap(grains, shift, scale.least)
        fractions = shift @ np.linalg.inv(grains.net)
        fractions -= np.ceil(fractions - HALF)
        translation = tuple(float(round(value % 1.0, 6)) % 1.0 for value in fractions)
        energies = energy_of_pairs(
            grains, shift, [least_gap + more for more in GAPS], scale.model, alone=bool(recipe.vacuum_angstrom)
        )
        chosen = int(energies.argmin())
        score = (scale.cutting / 2 + float(energies[chosen])) / grains.area * J_PER_M2
        filled = {"translation": translation, "gap_angstrom": round(least_gap + GAPS[chosen], 3)}
        yield _Found(score, recipe.model_copy(update=filled), grains)


def energy_of_pairs(
    grains: Bicrystal, shift: "NDArray[np.float64]", gaps: list[float], model: PairModel, *, alone: bool
) -> "NDArray[np.float64]":
    """Return the energy of all pairs across an interface at each gap, the mean of both where they differ, eV."""
    interfaces = faces_across(grains, shift, CUTOFF)[: 1 if alone else 2]
    kinds = model.kinds(labelled(grains.lower.symbols, 0)), model.kinds(labelled(grains.upper.symbols, 1))
    return energies_of(interfaces, kinds, gaps, model) / len(interfaces)


def _distinct(found: list[_Found], parts: "tuple[Ingredient, Ingredient]", best: int) -> list[Candidate[InterfaceRecipe]]:
    kept: list[Candidate[InterfaceRecipe]] = []
    phases = [part.recipe for part in parts]
    for item in found:
        if len(kept) == best:
            break
        gap = item.recipe.gap_angstrom or 0.0
        if any(_the_same(item, other) for other in kept):
            continue
        atoms = assembled(item.recipe, item.grains, gap)
        if not inspect(atoms, phases, owners=atoms.arrays["grain"].tolist()).problems:
            recipe = InterfaceRecipe.model_validate(item.recipe.model_dump())
            kept.append(Candidate(recipe, item.score, atoms))
    if not kept:
        names = " and ".join(part.recipe.name for part in parts)
        message = f"{names}: no registry gives a sound structure; refine the grid of translations or choose other planes"
        raise StructureError(message)
    return kept


def _the_same(found: _Found, kept: Candidate[InterfaceRecipe]) -> bool:
    """Tell whether two registries differ by symmetry only: to the last digit the model finds them equal."""
    close = abs(found.score - kept.score_j_per_m2) < SAME_SCORE
    return close and abs((found.recipe.gap_angstrom or 0.0) - (kept.recipe.gap_angstrom or 0.0)) < SAME_GAP
