"""Which planes of two phases of the library fit, and the recipe of an interface from one of the matches."""

from collections.abc import Sequence
from dataclasses import dataclass

from seiflow.errors import InputError, RecipeError, StructureError
from seiflow.library.entries import Library
from seiflow.library.recipe_files import THICKEST, validated
from seiflow.library.tables import plane_text
from seiflow.structures.build import Ingredient
from seiflow.structures.heterograins import side
from seiflow.structures.interface_proposals import Proposal, low_index_planes, propose
from seiflow.structures.interface_registry import interface_candidates
from seiflow.structures.layers import Plane, checked_plane
from seiflow.structures.matching import WIDER, WIDEST
from seiflow.structures.planar_recipes import InterfaceRecipe
from seiflow.structures.registry import Candidate

EVERY = 1000
"""Matches of one pair of planes, more than there are."""

HIGHEST_INDEX = 4
"""Beyond, planes have nets too large to match, and there are too many."""

LARGEST_AREA = 400.0
"""Å²; beyond, a periodic cell has a thousand atoms and the matches are too many to be told."""

LARGEST_STRAIN = 0.1
"""That a recipe may allow."""

LATTICES_DIFFER = 0.005
"""By how much calculators disagree on lattice constants, as a fraction."""


@dataclass(frozen=True)
class Limits:
    """What a match may be.

    Attributes:
        strain: Largest of either phase along any direction in the plane.
        area: Largest of the shared net, Å².
        thickness: Of each grain, Å.
    """

    strain: float = 0.03
    area: float = 120.0
    thickness: float = 10.0


@dataclass(frozen=True)
class Fits:
    """Which planes of two phases fit.

    Attributes:
        parts: The two phases.
        limits: What a match had to keep.
        proposals: By area, then by the larger strain.
        left_out: A sentence for each plane that no interface can have.
    """

    parts: tuple[Ingredient, Ingredient]
    limits: Limits
    proposals: tuple[Proposal, ...]
    left_out: tuple[str, ...]

    def as_json(self, most: int) -> dict[str, object]:
        """Return the first matches as JSON types."""
        return {
            "phases": [part.recipe.name for part in self.parts],
            "strain_limit": self.limits.strain,
            "area_limit_angstrom2": self.limits.area,
            "thickness_angstrom": self.limits.thickness,
            "found": len(self.proposals),
            "matches": [
                {
                    "number": number,
                    "planes": [list(plane) for plane in item.planes],
                    "match": item.match,
                    "area_angstrom2": item.area_angstrom2,
                    "largest_strains": list(item.largest_strains),
                    "misorientation_degree": item.misorientation_degree,
                    "atoms": item.atoms,
                }
                for number, item in enumerate(self.proposals[:most])
            ],
            "left_out": list(self.left_out),
        }


def fits(
    library: Library,
    names: tuple[str, str],
    planes: tuple[str, str] | None = None,
    *,
    highest: int = 1,
    limits: Limits,
) -> Fits:
    """Return the matches of two phases: all of two given planes, or the smallest of each pair of planes with low indices.

    Args:
        library: Where the phases are found.
        names: Of the phases, the lower grain first.
        planes: Miller indices of each phase as text; by default all with indices up to ``highest``.
        highest: See ``planes``.
        limits: What a match may be.

    Raises:
        InputError: if phases, planes or limits are wrong.
        StructureError: if nothing fits; names the match with the least strain.
    """
    _refuse(limits, highest)
    if names[0] == names[1]:
        message = (
            f"both phases are {names[0]}; two grains of one phase meet in a grain boundary: seiflow library register --phase"
        )
        raise InputError(message)
    parts = library.ingredient(names[0]), library.ingredient(names[1])
    wanted = [
        [_read_plane(planes[index])] if planes else low_index_planes(part.crystal, highest) for index, part in enumerate(parts)
    ]
    left_out: list[str] = []
    first, second = (
        [plane for plane in some if _can_be_cut(part, plane, limits.thickness, left_out)]
        for part, some in zip(parts, wanted, strict=True)
    )
    if not first or not second:
        listed = "\n".join(f"  - {text}" for text in left_out)
        advice = "choose other planes" if planes else "raise --index"
        message = f"no plane is left for {names[0]} and {names[1]}; {advice}\n{listed}"
        raise StructureError(message)
    tried = (first, second)
    found = _proposed(parts, tried, limits, limits.strain, each=EVERY if planes else 1)
    if not found:
        raise StructureError(_nothing_fits(parts, tried, limits))
    return Fits(parts, limits, tuple(found), tuple(left_out))


def chosen(fitting: Fits, number: int) -> Proposal:
    """Return a match by its number in the list."""
    if not 0 <= number < len(fitting.proposals):
        last = len(fitting.proposals) - 1
        message = f"--number {number}: the matches found are numbered from 0 to {last}"
        raise InputError(message)
    return fitting.proposals[number]


def best_registry(fitting: Fits, number: int, name: str) -> Candidate[InterfaceRecipe]:
    """Return the interface of a match with the registry that the ionic model likes best.

    Args:
        fitting: The matches.
        number: In their list.
        name: Of the recipe.

    Raises:
        RecipeError: if it cannot be called so.
        StructureError: if no registry gives a sound structure.
    """
    recipe = interface_recipe(fitting, number, name)
    return interface_candidates(recipe, fitting.parts, best=1)[0]


def interface_recipe(fitting: Fits, number: int, name: str) -> InterfaceRecipe:
    """Return the recipe of a match, its registry not yet searched."""
    item = chosen(fitting, number)
    limits = fitting.limits
    sides = [f"{part.recipe.name} {plane_text([plane])}" for part, plane in zip(fitting.parts, item.planes, strict=True)]
    data = {
        "kind": "interface",
        "name": name,
        "summary": f"{sides[0]} on {sides[1]}, {max(item.largest_strains):.1%} strain",
        "phases": [part.recipe.name for part in fitting.parts],
        "planes": [list(plane) for plane in item.planes],
        "thickness_angstrom": [limits.thickness, limits.thickness],
        "strain_limit": limits.strain,
        "area_limit_angstrom2": limits.area,
        "match": item.match,
    }
    return validated(InterfaceRecipe, data)


def near_limit(fitting: Fits, number: int) -> str | None:
    """Return a warning if a change of the lattices as small as that between calculators may take a match beyond its limit."""
    strain, limit = max(chosen(fitting, number).largest_strains), fitting.limits.strain
    if strain < limit - LATTICES_DIFFER:
        return None
    return (
        f"a strain of {strain:.2%} is near the limit of {limit:.2%}; crystals relaxed by a calculator may lie beyond it. "
        "Try seiflow library build with --crystals, or write it with a higher --max-strain"
    )


HEADINGS = ("number", "planes", "Å²", "strains", "misorientation °", "atoms")


def row(number: int, item: Proposal) -> tuple[str, ...]:
    """Return what people are told of a match, in the order of ``HEADINGS``."""
    strains = "{:.2%} {:.2%}".format(*item.largest_strains)
    area, angle = f"{item.area_angstrom2:.1f}", f"{abs(item.misorientation_degree):.2f}"
    return str(number), plane_text(item.planes), area, strains, angle, str(item.atoms)


def _refuse(limits: Limits, highest: int) -> None:
    for option, value, largest, unit in (
        ("--max-strain", limits.strain, LARGEST_STRAIN, ", without unit: 0.03 is 3 %"),
        ("--max-area", limits.area, LARGEST_AREA, " Å²"),
        ("--thickness", limits.thickness, THICKEST, " Å"),
    ):
        if not 0 < value <= largest:
            message = f"{option} {value:g}: it must be above zero and at most {largest:g}{unit}"
            raise InputError(message)
    if not 1 <= highest <= HIGHEST_INDEX:
        message = f"--index {highest}: it must be from 1 to {HIGHEST_INDEX}; name planes with higher indices with --planes"
        raise InputError(message)


def _read_plane(text: str) -> Plane:
    words = text.replace(",", " ").split()
    try:
        return checked_plane([int(word) for word in words])
    except ValueError as error:
        message = f'plane {text!r}: three whole numbers are wanted, the Miller indices in the conventional cell, as "1 1 0"'
        raise RecipeError(message) from error


def _can_be_cut(part: Ingredient, plane: Plane, thickness: float, left_out: list[str]) -> bool:
    """Tell whether a plane can be that of an interface; if not, the reason is added to ``left_out``."""
    try:
        options = side(part, plane, thickness, turned=False).options
    except StructureError:
        groups = " or ".join(group.name for group in part.recipe.polyatomic)
        left_out.append(f"{part.recipe.name} {plane_text([plane])}: every termination cuts a {groups}")
        return False
    if all(option.tasker == "III" for option in options):
        left_out.append(f"{part.recipe.name} {plane_text([plane])}: every termination has a dipole")
        return False
    return True


def _proposed(
    parts: tuple[Ingredient, Ingredient], tried: tuple[Sequence[Plane], Sequence[Plane]], limits: Limits, strain: float, each: int
) -> list[Proposal]:
    return propose(parts, tried, strain_limit=strain, area_limit=limits.area, thickness=limits.thickness, each=each)


def _nothing_fits(parts: tuple[Ingredient, Ingredient], tried: tuple[Sequence[Plane], Sequence[Plane]], limits: Limits) -> str:
    names = " and ".join(part.recipe.name for part in parts)
    message = f"no match of {names} within a strain of {limits.strain:.1%} of each phase and an area of {limits.area:g} Å²"
    wider, near = limits.strain, list[Proposal]()
    while not near and wider < WIDEST:
        wider *= WIDER
        near = _proposed(parts, tried, limits, wider, each=EVERY)
    if not near:
        return f"{message}; the nets are too large or too different: raise --max-area, or choose other planes"
    best = min(near, key=lambda item: (round(max(item.largest_strains), 6), round(item.area_angstrom2, 2), item.planes))
    one, other = best.largest_strains
    return (
        f"{message}; the least strained one is {plane_text(best.planes)} with {best.area_angstrom2:.1f} Å² and strains of "
        f"{one:.2%} and {other:.2%}: raise --max-strain or --max-area, or choose other planes"
    )
