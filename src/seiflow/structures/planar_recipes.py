"""Recipes of structures with a plane: grain boundaries, heterointerfaces, slabs."""

from math import gcd
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from seiflow.structures.recipes import NAME, Fraction, Recipe

MILLER_INDICES = 3


def _plane(value: object) -> object:
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


Miller = Annotated[tuple[int, int, int], BeforeValidator(_plane)]
SMALLEST_GAP = -5.0
"""Å."""

Gap = Annotated[float, Field(ge=SMALLEST_GAP, le=20, allow_inf_nan=False)]
Thickness = Annotated[float, Field(gt=0, le=200, allow_inf_nan=False)]
Area = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Termination = Annotated[int, Field(ge=0)]


class GrainBoundaryRecipe(Recipe):
    """Two grains of one phase that meet in a plane; the cell is periodic and holds two boundaries."""

    kind: Literal["grain_boundary"] = Field(description="grain_boundary")
    name: str = Field(pattern=NAME, description="what the structure is called in studies and results")
    summary: str = Field(description="one sentence for lists")
    phase: str = Field(description="name of the phase's recipe")
    plane: Miller = Field(description="Miller indices of the boundary in the conventional cell, whole numbers")
    type: Literal["mirror", "twofold", "twist"] = Field(
        description="how the second grain follows from the first: mirrored in the plane, or turned about its normal by half a "
        "turn, or by the angle of a coincidence lattice"
    )
    sigma: int | None = Field(None, gt=1, description="of the coincidence lattice; for twist boundaries only")
    angle_degree: float | None = Field(
        None, gt=0, le=180, description="of a twist, to 0.1 degree, where its sigma has several; by default the smallest"
    )
    thickness_angstrom: Thickness = Field(10.0, description="least thickness of a grain")
    termination: Termination = Field(0, description="where to cut; the number in the list of the plane's terminations")
    faces: Literal["like", "unlike"] | None = Field(
        None,
        description="whether the same face of both grains or opposite ones meet; by default those that leave the boundaries "
        "without charge",
    )
    translation: tuple[Fraction, Fraction] = Field(
        (0.0, 0.0), description="of the second grain, in fractions of the two vectors of the boundary's net"
    )
    gap_angstrom: Gap | None = Field(
        None,
        description="room added at each boundary to the spacing of the crystal; by default the least that leaves no ions of "
        "the two grains closer than in the crystal, before anything is removed",
    )
    removed: int = Field(
        0, ge=0, le=4, description="whole formula units taken out at each boundary: those that leave the lowest ionic energy"
    )

    @model_validator(mode="after")
    def _sigma_goes_with_twist(self) -> Self:
        if (self.sigma is not None) != (self.type == "twist"):
            state = "needs sigma, the index of its coincidence lattice" if self.type == "twist" else "takes no sigma"
            message = f"a {self.type} boundary {state}"
            raise ValueError(message)
        if self.angle_degree is not None and self.type != "twist":
            message = f"a {self.type} boundary takes no angle_degree; its angle follows from its type"
            raise ValueError(message)
        if self.type == "twist" and self.faces == "like":
            message = "the grains of a twist boundary meet with opposite faces; leave faces out"
            raise ValueError(message)
        return self

    @property
    def ingredients(self) -> tuple[str, ...]:
        """Names of the phases that must be relaxed before this structure can be built."""
        return (self.phase,)


class InterfaceRecipe(Recipe):
    """Two phases that meet in a plane, on a net that both share."""

    kind: Literal["interface"] = Field(description="interface")
    name: str = Field(pattern=NAME, description="what the structure is called in studies and results")
    summary: str = Field(description="one sentence for lists")
    phases: tuple[str, str] = Field(description="names of the two phases' recipes, the lower grain first")
    planes: tuple[Miller, Miller] = Field(description="Miller indices of the plane of each phase in its conventional cell")
    thickness_angstrom: tuple[Thickness, Thickness] = Field((10.0, 10.0), description="least thickness of each grain")
    strain_limit: Annotated[float, Field(gt=0, le=0.1)] = Field(
        0.03, description="largest strain of either phase along any direction in the plane, without unit"
    )
    area_limit_angstrom2: Area = Field(120.0, description="largest area in which a match of the two nets is sought")
    match: int = Field(0, ge=0, description="the number in the list of matches within the limits, the smallest area first")
    terminations: tuple[Termination, Termination] = Field((0, 0), description="where to cut each phase")
    turned: tuple[bool, bool] = Field((False, False), description="whether each grain stands upside down")
    translation: tuple[Fraction, Fraction] = Field(
        (0.0, 0.0), description="of the second grain, in fractions of the two vectors of the interface's net"
    )
    gap_angstrom: Gap | None = Field(
        None,
        description="room at each interface on top of half the spacings of the two crystals; by default the least that leaves no "
        "ions of the two grains closer than in the crystals",
    )
    vacuum_angstrom: Annotated[float, Field(ge=8, le=50)] | None = Field(
        None, description="room above the second grain, which leaves one interface; without it the cell is periodic and has two"
    )

    @model_validator(mode="after")
    def _two_phases(self) -> Self:
        if self.phases[0] == self.phases[1]:
            message = f"both phases are {self.phases[0]}; two grains of one phase meet in a grain_boundary"
            raise ValueError(message)
        return self

    @property
    def ingredients(self) -> tuple[str, ...]:
        """Names of the phases that must be relaxed before this structure can be built."""
        return self.phases


class SlabRecipe(Recipe):
    """A slab of one phase with vacuum above it."""

    kind: Literal["slab"] = Field(description="slab")
    name: str = Field(pattern=NAME, description="what the structure is called in studies and results")
    summary: str = Field(description="one sentence for lists")
    phase: str = Field(description="name of the phase's recipe")
    plane: Miller = Field(description="Miller indices of the faces in the conventional cell, whole numbers")
    thickness_angstrom: Thickness = Field(15.0, description="least thickness")
    termination: Termination = Field(0, description="where to cut; the number in the list of the plane's terminations")
    vacuum_angstrom: Annotated[float, Field(ge=8, le=50)] = Field(15.0, description="room above the slab")

    @property
    def ingredients(self) -> tuple[str, ...]:
        """Names of the phases that must be relaxed before this structure can be built."""
        return (self.phase,)


PlanarRecipe = GrainBoundaryRecipe | InterfaceRecipe | SlabRecipe
