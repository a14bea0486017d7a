"""Recipes of structures: what a chemist writes in ``structures/``, as types that refuse contradictions."""

from functools import reduce
from math import gcd
from typing import Annotated, Literal, Self

from ase.data import atomic_numbers
from ase.formula import Formula
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Length = Annotated[float, Field(gt=0)]
Angle = Annotated[float, Field(gt=0, lt=180)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

NAME = r"^[A-Za-z0-9][A-Za-z0-9.+-]*$"
MILLER_INDICES = 3


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
    def composition(self) -> dict[str, int]:
        """Atoms of each species in one formula unit."""
        return dict(Formula(self.formula).count())


class GrainBoundaryRecipe(Recipe):
    """Two grains of one phase that meet in a plane; the cell is periodic and holds two boundaries."""

    kind: Literal["grain_boundary"] = Field(description="grain_boundary")
    name: str = Field(pattern=NAME, description="what the structure is called in studies and results")
    summary: str = Field(description="one sentence for lists")
    phase: str = Field(description="name of the phase's recipe")
    plane: tuple[int, int, int] = Field(description="Miller indices of the boundary in the conventional cell, whole numbers")
    type: Literal["mirror", "twofold", "twist"] = Field(
        description="how the second grain follows from the first: mirrored in the plane, or turned about its normal by half a "
        "turn, or by the angle of a coincidence lattice"
    )
    sigma: int | None = Field(None, gt=1, description="of the coincidence lattice; for twist boundaries only")
    thickness_angstrom: Length = Field(10.0, description="least thickness of a grain")
    termination: int = Field(0, ge=0, description="where to cut; the number in the list of the plane's terminations")
    faces: Literal["like", "unlike"] | None = Field(
        None,
        description="whether the same face of both grains or opposite ones meet; by default those that leave the boundaries "
        "without charge",
    )
    translation: tuple[Fraction, Fraction] = Field(
        (0.0, 0.0), description="of the second grain, in fractions of the two vectors of the boundary's net"
    )
    gap_angstrom: float | None = Field(
        None,
        ge=-5,
        le=20,
        description="room added at each boundary to the spacing of the crystal; by default the least that leaves no ions of "
        "the two grains closer than in the crystal",
    )

    @field_validator("plane", mode="before")
    @classmethod
    def _is_plane(cls, value: object) -> object:
        numbers = list(value) if isinstance(value, list | tuple) else []
        if len(numbers) != MILLER_INDICES or not all(type(number) is int for number in numbers):
            message = f"{value} is no plane; give three whole numbers, the Miller indices in the conventional cell, as [2, 1, 0]"
            raise ValueError(message)
        if not any(numbers):
            message = "(0 0 0) has no direction; at least one index must differ from zero"
            raise ValueError(message)
        divisor = gcd(*numbers)
        if divisor > 1:
            message = f"{numbers} has the common divisor {divisor}; write {[number // divisor for number in numbers]}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _sigma_goes_with_twist(self) -> Self:
        if (self.sigma is not None) != (self.type == "twist"):
            state = "needs sigma, the index of its coincidence lattice" if self.type == "twist" else "takes no sigma"
            message = f"a {self.type} boundary {state}"
            raise ValueError(message)
        if self.type == "twist" and self.faces == "like":
            message = "the grains of a twist boundary meet with opposite faces; leave faces out"
            raise ValueError(message)
        return self


def _listed(symbols: "dict[str, int] | set[str]") -> str:
    return ", ".join(sorted(symbols)) or "nothing"
