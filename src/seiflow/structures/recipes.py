"""Recipes of structures: what a chemist writes in ``structures/``, as types that refuse contradictions."""

from functools import reduce
from math import gcd
from typing import Annotated, Literal, Self

from ase.data import atomic_numbers
from ase.formula import Formula
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Length = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Angle = Annotated[float, Field(gt=0, lt=180)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

NAME = r"^[A-Za-z0-9][A-Za-z0-9.+-]*$"


class Recipe(BaseModel):
    """Base of all recipes: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Cell(Recipe):
    """Conventional cell in the setting of the space group's International Tables number."""

    a: Length = Field(description="Å")
    b: Length = Field(description="Å")
    c: Length = Field(description="Å")
    alpha: Angle = Field(90.0, description="degree")
    beta: Angle = Field(90.0, description="degree")
    gamma: Angle = Field(90.0, description="degree")


class Site(Recipe):
    """One atom of the asymmetric unit."""

    species: str = Field(description="chemical symbol")
    position: tuple[float, float, float] = Field(description="fractional coordinates")

    @field_validator("species")
    @classmethod
    def _is_element(cls, symbol: str) -> str:
        if symbol not in atomic_numbers or symbol == "X":
            message = f"{symbol!r} is no chemical symbol"
            raise ValueError(message)
        return symbol


class Polyatomic(Recipe):
    """A group of atoms that must never be cut, such as a carbonate ion."""

    name: str = Field(description="what it is called in messages")
    centre: str = Field(description="symbol of the central atom")
    ligand: str = Field(description="symbol of the atoms bound to it")
    count: int = Field(gt=0, description="ligands of one centre")
    bond_max: Length = Field(description="longest bond, Å")


class Source(Recipe):
    """Where the crystal structure was published."""

    citation: str = Field(description="authors, journal, year, database entry")
    doi: str | None = Field(None, description="digital object identifier")


class PhaseRecipe(Recipe):
    """A crystalline phase."""

    kind: Literal["phase"] = Field("phase", description="phase")
    name: str = Field(pattern=NAME, description="what the structure is called in studies and results")
    summary: str = Field(description="one sentence for lists")
    formula: str = Field(description="reduced formula unit")
    space_group: int = Field(ge=1, le=230, description="International Tables number")
    origin_choice: int = Field(1, ge=1, le=2, description="origin choice where the International Tables give two")
    cell: Cell
    sites: list[Site] = Field(min_length=1, description="asymmetric unit")
    charges: dict[str, int] = Field(description="oxidation state of each species; zeros for a metal")
    mobile: str | None = Field(None, description="species that migrates; null if none is of interest")
    polyatomic: list[Polyatomic] = Field(default=[], description="groups that must stay whole")
    young_modulus_gpa: Length | None = Field(
        None, description="about how stiff it is; shares out the strain of an interface as long as no calculator has measured it"
    )
    source: Source

    @field_validator("formula")
    @classmethod
    def _is_formula(cls, text: str) -> str:
        try:
            counts = Formula(text).count()
        except ValueError as error:
            message = f"{text!r} is no chemical formula"
            raise ValueError(message) from error
        unknown = sorted(symbol for symbol in counts if symbol not in atomic_numbers or symbol == "X")
        if unknown or not counts:
            message = f"{text!r} holds no or unknown elements {', '.join(unknown)}"
            raise ValueError(message)
        if reduce(gcd, counts.values()) != 1:
            message = f"{text!r} is not reduced; write {Formula(text).reduce()[0]}"
            raise ValueError(message)
        return text

    @model_validator(mode="after")
    def _species_agree(self) -> Self:
        counts = self.composition
        for what, found in (("sites", {site.species for site in self.sites}), ("charges", set(self.charges))):
            if found != set(counts):
                message = f"formula {self.formula} has {_listed(counts)}, {what} have {_listed(found)}; they must be the same"
                raise ValueError(message)
        total = sum(self.charges[symbol] * number for symbol, number in counts.items())
        if total:
            message = f"charges of {self.formula} add up to {total:+d} e; they must add up to zero"
            raise ValueError(message)
        if self.mobile is not None and self.mobile not in counts:
            message = f"mobile species {self.mobile} is not in {self.formula}"
            raise ValueError(message)
        return self

    @property
    def ingredients(self) -> tuple[str, ...]:
        """Names of the phases that must be relaxed before this structure can be built."""
        return ()

    @property
    def composition(self) -> dict[str, int]:
        """Atoms of each species in one formula unit."""
        return dict(Formula(self.formula).count())


def _listed(symbols: "dict[str, int] | set[str]") -> str:
    return ", ".join(sorted(symbols)) or "nothing"
