"""Structures that somebody else built: every atom stands in the recipe."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

import numpy as np
from pydantic import AfterValidator, Field, field_validator, model_validator

from seiflow.documents import problems_of
from seiflow.errors import RecipeError, StructureError
from seiflow.structures.checks import Certificate, certify
from seiflow.structures.fingerprint import digest
from seiflow.structures.recipes import NAME, Fraction, PhaseRecipe, Recipe, Site, Source

if TYPE_CHECKING:
    from ase import Atoms

LENGTH_DIGITS = 7
"""After the point, of a component of the cell in Å."""

FRACTION_DIGITS = 9
"""After the point, of a fractional coordinate."""

NO_VOLUME = 1e-6
"""Å³."""


def _finite(value: float) -> float:
    if not np.isfinite(value):
        message = f"{value} is no number"
        raise ValueError(message)
    return value


Number = Annotated[float, AfterValidator(_finite)]
Vector = tuple[Number, Number, Number]
Row = tuple[str, Number, Number, Number]


class ImportedRecipe(Recipe):
    """A structure given atom by atom."""

    kind: Literal["imported"] = Field(description="imported")
    name: str = Field(pattern=NAME, description="what the structure is called in studies and results")
    summary: str = Field(description="one sentence for lists")
    phases: tuple[str, ...] = Field(min_length=1, description="names of the recipes of the phases it consists of")
    source: Source
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the content; tells a file that was damaged or edited")
    planes: tuple[Fraction, ...] = Field((), description="heights of the boundaries, in fractions of the third cell vector")
    pbc: tuple[bool, bool, bool] = Field((True, True, True), description="whether it repeats along each cell vector")
    cell: tuple[Vector, Vector, Vector] = Field(description="cell vectors, a row each, Å")
    atoms: tuple[Row, ...] = Field(min_length=1, description="chemical symbol and three fractional coordinates, a row an atom")

    @field_validator("atoms")
    @classmethod
    def _are_elements(cls, rows: tuple[Row, ...]) -> tuple[Row, ...]:
        for symbol, *place in rows:
            Site(species=symbol, position=(place[0], place[1], place[2]))
        return rows

    @model_validator(mode="after")
    def _has_volume(self) -> Self:
        if abs(np.linalg.det(np.array(self.cell))) < NO_VOLUME:
            message = "the three cell vectors span no volume"
            raise ValueError(message)
        return self

    @property
    def ingredients(self) -> tuple[str, ...]:
        """Names of the phases that must be relaxed before this structure can be built: none, it brings its own atoms."""
        return ()


def build_imported(recipe: ImportedRecipe, phases: Mapping[str, PhaseRecipe]) -> "tuple[Atoms, Certificate]":
    """Return the structure of a recipe and its certificate.

    Args:
        recipe: What is wanted.
        phases: The phases that ``recipe.phases`` names; the structure is checked against them.

    Raises:
        StructureError: if the content is not that of the digest, or fails its certificate.
    """
    atoms = atoms_of(recipe)
    found = digest(atoms)
    if found != recipe.digest:
        message = (
            f"{recipe.name}: refused.\n  - the atoms have the digest {found[:12]}, the recipe says {recipe.digest[:12]}: the "
            "file was damaged or edited; restore it, or import the structure again"
        )
        raise StructureError(message)
    return atoms, certify(atoms, [phases[name] for name in recipe.phases], name=recipe.name)


def atoms_of(recipe: ImportedRecipe) -> "Atoms":
    """Return the structure of a recipe, unchecked, turned such that its first two cell vectors lie in the xy plane."""
    from ase import Atoms

    symbols = [row[0] for row in recipe.atoms]
    places = [row[1:] for row in recipe.atoms]
    atoms = Atoms(symbols, scaled_positions=places, cell=recipe.cell, pbc=recipe.pbc)
    atoms.set_cell(atoms.cell.standard_form()[0], scale_atoms=True)
    if recipe.planes:
        atoms.info["planes"] = list(recipe.planes)
    return atoms


def imported_recipe(
    atoms: "Atoms", *, name: str, summary: str, phases: Sequence[str], citation: str, planes: Sequence[float] = ()
) -> ImportedRecipe:
    """Return the recipe of a structure, its numbers rounded to what the recipe's file holds.

    Raises:
        RecipeError: if a name or a plane is impossible.
        StructureError: if the cell has no volume.
    """
    cell = np.round(np.asarray(atoms.cell), LENGTH_DIGITS) + 0.0
    if abs(np.linalg.det(cell)) < NO_VOLUME:
        message = f"{name}: refused.\n  - the cell has no volume; give the structure a box, with vacuum around a molecule"
        raise StructureError(message)
    places = np.round(np.linalg.solve(np.asarray(atoms.cell).T, atoms.positions.T).T, FRACTION_DIGITS)
    places[:, atoms.pbc] = np.round(places[:, atoms.pbc] % 1.0, FRACTION_DIGITS) % 1.0
    rows = [(symbol, *place) for symbol, place in zip(atoms.get_chemical_symbols(), (places + 0.0).tolist(), strict=True)]
    fields = {
        "kind": "imported",
        "name": name,
        "summary": summary,
        "phases": tuple(phases),
        "source": {"citation": citation},
        "digest": "0" * 64,
        "planes": tuple(planes),
        "pbc": tuple(atoms.pbc.tolist()),
        "cell": cell.tolist(),
        "atoms": rows,
    }
    problems = problems_of(fields, ImportedRecipe)
    if problems:
        message = f"{name}: refused.\n" + "\n".join(f"  - {text}" for _, text in problems)
        raise RecipeError(message)
    draft = ImportedRecipe.model_validate(fields)
    return draft.model_copy(update={"digest": digest(atoms_of(draft))})


def imported_yaml(recipe: ImportedRecipe) -> str:
    """Return a recipe as the text of its file: a line for each cell vector and each atom."""
    import yaml

    head = recipe.model_dump(mode="json", exclude={"cell", "atoms", "pbc", "planes"}, exclude_none=True)
    text: str = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=120)
    if recipe.planes:
        text += f"planes: [{', '.join(f'{height:g}' for height in recipe.planes)}]\n"
    text += f"pbc: [{', '.join(str(value).lower() for value in recipe.pbc)}]\ncell:\n"
    text += "".join(f"  - [{', '.join(f'{value:.{LENGTH_DIGITS}f}' for value in row)}]\n" for row in recipe.cell)
    lines = (f"  - [{_quoted(row[0])}, {', '.join(f'{value:.{FRACTION_DIGITS}f}' for value in row[1:])}]" for row in recipe.atoms)
    return text + "atoms:\n" + "\n".join(lines) + "\n"


def _quoted(symbol: str) -> str:
    import yaml

    return symbol if yaml.safe_load(symbol) == symbol else f'"{symbol}"'
