"""Structures that users bring along, made recipes of their library."""

from collections.abc import Mapping, Sequence
from functools import reduce
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml

from seiflow.documents import problems_of
from seiflow.errors import InputError, RecipeError, StructureError
from seiflow.library.entries import Library
from seiflow.library.files import write_new
from seiflow.structures.bulk import build_crystal
from seiflow.structures.fingerprint import same_structure
from seiflow.structures.imported import ImportedRecipe, build_imported, imported_recipe, imported_yaml
from seiflow.structures.recipes import PhaseRecipe
from seiflow.structures.space_group import asymmetric_unit, space_group, standard_cell

if TYPE_CHECKING:
    from ase import Atoms

CELL_DIGITS = 6
"""After the point, of lengths in Å and angles in degree."""

PLACE_DIGITS = 8
"""After the point, of fractional coordinates."""

KEYS = ("a", "b", "c", "alpha", "beta", "gamma")

GROUP_FIELDS = ("name", "centre", "ligand", "count", "bond_max")


def add_imported(
    library: Library,
    folder: Path,
    atoms: "Atoms",
    *,
    name: str,
    phases: Sequence[str],
    summary: str | None = None,
    citation: str,
    planes: Sequence[float] | None = None,
) -> Path:
    """Write a structure as a recipe into a folder of the user's; returns the file.

    Args:
        library: Where names must be free and phases are found.
        folder: The recipe is written to ``structures/imported`` in it.
        atoms: The structure.
        name: What it will be called.
        phases: What it consists of.
        summary: One sentence; a plain one by default.
        citation: Where the structure comes from.
        planes: Heights of the boundaries in fractions of the third cell vector; by default those that ``atoms.info`` holds.

    Raises:
        InputError: if the name is taken or the file cannot be written.
        StructureError: if the structure fails its certificate.
    """
    recipes = {phase: library.phases.get(phase) for phase in phases}
    recipe = imported_recipe(
        atoms,
        name=name,
        summary=summary or f"{atoms.get_chemical_formula()}, imported",
        phases=list(recipes),
        citation=citation,
        planes=[float(height) for height in (atoms.info.get("planes", []) if planes is None else planes)],
    )
    text = imported_yaml(recipe)
    build_imported(ImportedRecipe.model_validate(yaml.safe_load(text)), recipes)
    return shelve(library, folder / "structures" / "imported", name, text)


def add_phase(
    library: Library,
    folder: Path,
    atoms: "Atoms",
    *,
    name: str,
    charges: Mapping[str, int],
    mobile: str | None = None,
    polyatomic: Sequence[str] = (),
    summary: str | None = None,
    citation: str,
) -> Path:
    """Write a crystal as the recipe of a phase into a folder of the user's; returns the file.

    Args:
        library: Where the name must be free.
        folder: The recipe is written to ``structures/phases`` in it.
        atoms: The crystal in any cell.
        name: What it will be called.
        charges: Oxidation state of each species; their order is that of the formula.
        mobile: Species that migrates.
        polyatomic: Groups that stay whole, each ``name:centre:ligand:count:bond_max``.
        summary: One sentence; a plain one by default.
        citation: Where the structure comes from.

    Raises:
        InputError: if the name is taken, or charges and crystal disagree.
        StructureError: if the recipe does not give the crystal back.
    """
    if not atoms.pbc.all():
        message = f"{name}: refused.\n  - a phase is periodic in three directions, this structure is not; use --phases"
        raise StructureError(message)
    crystal = standard_cell(atoms)
    data = {
        "kind": "phase",
        "name": name,
        "summary": summary or f"{_formula(crystal, charges)}, imported",
        "formula": _formula(crystal, charges),
        "space_group": space_group(crystal)[1],
        "cell": dict(zip(KEYS, np.round(crystal.cell.cellpar(), CELL_DIGITS).tolist(), strict=True)),
        "sites": _sites(crystal),
        "charges": dict(charges),
        **({"mobile": mobile} if mobile else {}),
        **({"polyatomic": [_group(text) for text in polyatomic]} if polyatomic else {}),
        "source": {"citation": citation},
    }
    data = _with_origin(data, atoms)
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    return shelve(library, folder / "structures" / "phases", name, text)


def read_charges(words: Sequence[str]) -> dict[str, int]:
    """Return oxidation states from words such as ``Li=1``."""
    charges: dict[str, int] = {}
    for word in words:
        symbol, _, number = word.partition("=")
        try:
            value = int(number)
        except ValueError as error:
            message = f"--charges {word}: not SPECIES=CHARGE with a whole number, as in O=-2"
            raise InputError(message) from error
        if charges.setdefault(symbol, value) != value:
            message = f"--charges: {symbol} has two charges, {charges[symbol]:+d} and {value:+d}; a phase has one of each species"
            raise InputError(message)
    return charges


def require_free(library: Library, name: str) -> None:
    """Refuse a name that a structure of the library has."""
    if name in library.names:
        message = f"{library.path(name)}: a structure named {name!r} exists already; choose another name"
        raise InputError(message)


def shelve(library: Library, folder: Path, name: str, text: str) -> Path:
    """Write a new recipe, of whose name there must be none yet; returns the file."""
    require_free(library, name)
    path = folder / f"{name}.yaml"
    write_new(path, text)
    return path


def _formula(crystal: "Atoms", charges: Mapping[str, int]) -> str:
    counts = crystal.symbols.formula.count()
    if set(counts) != set(charges):
        listed = ", ".join(sorted(counts))
        message = f"the crystal has {listed}, --charges has {', '.join(sorted(charges))}; state the charge of each species"
        raise InputError(message)
    divisor = reduce(gcd, counts.values())
    numbers = {symbol: counts[symbol] // divisor for symbol in charges}
    return "".join(f"{symbol}{number if number > 1 else ''}" for symbol, number in numbers.items())


def _sites(crystal: "Atoms") -> list[dict[str, object]]:
    places = np.round(crystal.get_scaled_positions() % 1.0, PLACE_DIGITS) % 1.0
    chosen = asymmetric_unit(crystal).tolist()
    return [{"species": str(crystal.symbols[index]), "position": places[index].tolist()} for index in chosen]


def _group(text: str) -> dict[str, object]:
    parts = text.split(":")
    if len(parts) != len(GROUP_FIELDS):
        message = f"--polyatomic {text}: not {':'.join(GROUP_FIELDS)}, as in carbonate:C:O:3:1.5"
        raise InputError(message)
    return dict(zip(GROUP_FIELDS, parts, strict=True))


def _with_origin(data: dict[str, object], atoms: "Atoms") -> dict[str, object]:
    """Return the recipe with the origin choice, where a space group has two, that gives the crystal back."""
    problems = problems_of(data, PhaseRecipe)
    if problems:
        message = f"{data['name']}: refused.\n" + "\n".join(f"  - {text}" for _, text in problems)
        raise RecipeError(message)
    wanted = standard_cell(atoms, primitive=True)
    refused: list[str] = []
    for choice in (1, 2):
        chosen = data if choice == 1 else {**data, "origin_choice": choice}
        recipe = PhaseRecipe.model_validate(chosen)
        try:
            if same_structure(standard_cell(build_crystal(recipe), primitive=True), wanted):
                plain: dict[str, object] = recipe.model_dump(mode="json", exclude_defaults=True)
                return {"kind": "phase", **plain}
        except (RecipeError, StructureError) as error:
            refused.append(str(error))
    reason = refused[0] if refused else "the recipe builds another crystal than the file holds"
    message = f"{data['name']}: refused; no recipe gives the crystal of the file back.\n{reason}"
    raise StructureError(message)
