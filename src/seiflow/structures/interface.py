"""Interfaces of two phases from their recipes, certified."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from seiflow.errors import InputError, RecipeError, StructureError
from seiflow.structures.bicrystal import Bicrystal, contact_gap, put_together
from seiflow.structures.checks import Certificate, certify
from seiflow.structures.grain_boundary import boundaries_equivalent
from seiflow.structures.heterograins import Shared, Side, heterograins, least_across, nets_of, side
from seiflow.structures.layers import Plane
from seiflow.structures.matching import Match, matches
from seiflow.structures.planar_recipes import InterfaceRecipe
from seiflow.structures.slab import Termination, choose

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.structures.build import Ingredient

LISTED = 10
"""Other matches that an interface tells of."""


@dataclass(frozen=True)
class Alternative:
    """A match that was not chosen: area (Å²) and largest strain of each phase."""

    number: int
    area_angstrom2: float
    largest_strains: tuple[float, float]


@dataclass(frozen=True)
class Interface:
    """Two phases on a shared net; the normal of the interface is that of the first two cell vectors.

    Attributes:
        atoms: The structure; its array ``grain`` tells the first phase (0) from the second (1).
        planes: Miller indices of each phase.
        terminations: Where each phase is cut.
        match: How the two nets are joined.
        alternatives: The first other matches within the limits.
        other_matches: How many other matches there are.
        strains: Of each phase: xx, yy and xy (not doubled), x along the first cell vector.
        largest_strains: Of each phase, along any direction, without sign.
        strain_shared_by: What decides which phase takes how much: the stiffness of both, their Young moduli, or equal shares.
        translation: Of the second grain in fractions of the net.
        gap_angstrom: Room added at each interface to half the spacings of the two crystals.
        thickness_angstrom: Of each grain.
        area_angstrom2: Of one interface.
        interfaces: How many the cell holds.
        interfaces_equivalent: Whether a symmetry operation maps the two onto each other; null if there is one.
        vacuum_angstrom: Room above the second grain; null in a periodic cell.
        certificate: What the checks found.
    """

    atoms: "Atoms"
    planes: tuple[Plane, Plane]
    terminations: tuple[Termination, Termination]
    match: Match
    alternatives: tuple[Alternative, ...]
    other_matches: int
    strains: tuple[tuple[float, float, float], tuple[float, float, float]]
    largest_strains: tuple[float, float]
    strain_shared_by: Shared
    translation: tuple[float, float]
    gap_angstrom: float
    thickness_angstrom: tuple[float, float]
    area_angstrom2: float
    interfaces: int
    interfaces_equivalent: bool | None
    vacuum_angstrom: float | None
    certificate: Certificate


def build_interface(recipe: InterfaceRecipe, parts: "tuple[Ingredient, Ingredient]") -> Interface:
    """Return an interface, certified.

    Args:
        recipe: What is wanted.
        parts: The two phases, in the order of the recipe.

    Raises:
        RecipeError: if a plane, termination or match does not exist.
        StructureError: if no match keeps the limits, or the structure fails its certificate.
    """
    if parts[0].recipe.formula == parts[1].recipe.formula:
        message = f"{recipe.name}: both phases are {parts[0].recipe.formula}, and formula units of each could not be told apart"
        raise RecipeError(message)
    try:
        sides = sides_of(recipe, parts)
        (first, second), found, shared = _cuts(recipe, sides), *found_matches(recipe, sides)
    except InputError as error:
        message = f"{recipe.name}: {error}"
        raise RecipeError(message) from error
    except StructureError as error:
        message = f"{recipe.name}: {error}"
        raise StructureError(message) from error
    match = _numbered(recipe, found)
    grains = heterograins(sides, match, recipe.terminations)
    gap = _least_gap(recipe, parts, grains) if recipe.gap_angstrom is None else recipe.gap_angstrom
    atoms = assembled(recipe, grains, gap)
    equivalent = None if recipe.vacuum_angstrom else boundaries_equivalent(atoms, grains, gap)
    owners = atoms.arrays["grain"].tolist()
    phases = [part.recipe for part in parts]
    certificate = certify(atoms, phases, name=recipe.name, owners=owners, boundaries_equivalent=equivalent)
    certificate = replace(certificate, strains=dict(zip(recipe.phases, match.largest_strains, strict=True)))
    others = [
        Alternative(number, other.area, other.largest_strains) for number, other in enumerate(found) if number != recipe.match
    ]
    return Interface(
        atoms=atoms,
        planes=recipe.planes,
        terminations=(first, second),
        match=match,
        alternatives=tuple(others[:LISTED]),
        other_matches=len(others),
        strains=match.strains,
        largest_strains=match.largest_strains,
        strain_shared_by=shared,
        translation=recipe.translation,
        gap_angstrom=gap,
        thickness_angstrom=(grains.lower.height, grains.upper.height),
        area_angstrom2=match.area,
        interfaces=1 if recipe.vacuum_angstrom else 2,
        interfaces_equivalent=equivalent,
        vacuum_angstrom=recipe.vacuum_angstrom,
        certificate=certificate,
    )


def sides_of(recipe: InterfaceRecipe, parts: "tuple[Ingredient, Ingredient]") -> tuple[Side, Side]:
    """Return the two phases as they stand in a recipe."""
    rows = zip(parts, recipe.planes, recipe.thickness_angstrom, recipe.turned, strict=True)
    first, second = (side(part, plane, thickness, turned=turned) for part, plane, thickness, turned in rows)
    return first, second


def found_matches(recipe: InterfaceRecipe, sides: tuple[Side, Side]) -> tuple[tuple[Match, ...], Shared]:
    """Return the matches within the limits of a recipe, and by what the strain is shared.

    Raises:
        StructureError: if there is none.
    """
    nets, shared = nets_of(sides)
    return matches(nets, strain_limit=recipe.strain_limit, area_limit=recipe.area_limit_angstrom2), shared


def strained_crystals(recipe: InterfaceRecipe, parts: "tuple[Ingredient, Ingredient]") -> "tuple[Atoms, Atoms]":
    """Return the crystal of each phase on the net of the interface, one layer of its plane, not relaxed."""
    sides = sides_of(recipe, parts)
    match = _numbered(recipe, found_matches(recipe, sides)[0])
    first, second = (one.crystal(stretch) for one, stretch in zip(sides, match.stretches, strict=True))
    return first, second


def assembled(recipe: InterfaceRecipe, grains: Bicrystal, gap: float) -> "Atoms":
    """Return the cell, periodic or with vacuum.

    Raises:
        StructureError: if the gap leaves the grains no room.
    """
    if gap <= -min(grains.lower.height, grains.upper.height):
        message = f"{recipe.name}: refused.\n  - a gap of {gap:g} Å pushes one grain through the other; raise gap_angstrom"
        raise StructureError(message)
    atoms = put_together(grains, np.array(recipe.translation) @ grains.net, gap)
    if recipe.vacuum_angstrom is None:
        return atoms
    lower = atoms.arrays["grain"] == 0
    heights = np.concatenate([grains.lower.positions[:, 2], grains.upper.positions[:, 2] + grains.lower.height + gap])
    total = grains.lower.height + grains.upper.height + gap + recipe.vacuum_angstrom
    along = np.where(lower[:, None], 0.0, grains.origin + np.array(recipe.translation) @ grains.net)
    flat = np.vstack([grains.lower.positions[:, :2], grains.upper.positions[:, :2]]) + along
    atoms.set_cell([*np.column_stack([grains.net, np.zeros(2)]), [0.0, 0.0, total]])
    atoms.positions[:] = np.column_stack([flat, heights])
    atoms.pbc = [True, True, False]
    atoms.wrap(pbc=[True, True, False])
    atoms.info["planes"] = [round((grains.lower.height + gap / 2) / total, 6)]
    return atoms


def _cuts(recipe: InterfaceRecipe, sides: tuple[Side, Side]) -> tuple[Termination, Termination]:
    """Return the terminations; those with a dipole are refused."""
    rows = zip(sides, recipe.terminations, recipe.phases, strict=True)
    chosen = [(choose(one.options, number, one.stack.plane), one, name) for one, number, name in rows]
    for termination, one, name in chosen:
        if termination.tasker == "III":
            charge = abs(termination.surface_charge_e_per_angstrom2)
            whole = [str(number) for number, other in enumerate(one.options) if other.tasker != "III"]
            advice = f"take termination {' or '.join(whole)} of it" if whole else "choose another plane"
            message = (
                f"refused.\n  - {name} {one.stack.plane} cut at {termination.bottom_face} and {termination.top_face} has a "
                f"dipole: its faces would carry ±{charge:.3f} e/Å², and the energy would grow with its thickness; {advice}"
            )
            raise StructureError(message)
    return chosen[0][0], chosen[1][0]


def _numbered(recipe: InterfaceRecipe, found: tuple[Match, ...]) -> Match:
    if recipe.match < len(found):
        return found[recipe.match]
    rows = [
        f"{number}: {match.area:.1f} Å², {match.largest_strains[0]:.2%} and {match.largest_strains[1]:.2%}"
        for number, match in enumerate(found[:LISTED])
    ]
    message = f"{recipe.name}: {len(found)} matches are within the limits, no number {recipe.match}; they are {'; '.join(rows)}"
    raise RecipeError(message)


def _least_gap(recipe: InterfaceRecipe, parts: "tuple[Ingredient, Ingredient]", grains: Bicrystal) -> float:
    phases, crystals = (parts[0].recipe, parts[1].recipe), (parts[0].crystal, parts[1].crystal)
    least = least_across(grains.lower.symbols, grains.upper.symbols, phases, crystals)
    return contact_gap(grains, np.array(recipe.translation) @ grains.net, least)
