"""The blocks of a study file: which properties of which structures with which calculators, and which of them make sense."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from seiflow.settings import PropertySettings

PropertyName = Literal[
    "relaxation",
    "elasticity",
    "migration",
    "barrier_check",
    "interstitial_migration",
    "phonons",
    "softness",
    "defects",
    "charged_defects",
    "boundary",
    "segregation",
]

Names = Annotated[list[str], Field(min_length=1)]


class Calculation(BaseModel):
    """One block of a study: every property of every structure with every calculator named in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    structures: Names = Field(description="names of structure recipes")
    calculators: Names = Field(description="names of calculator recipes")
    properties: list[PropertyName] = Field(min_length=1, description="what is computed; relaxation always is")
    settings: PropertySettings | None = Field(None, description="replaces the study's settings for this block")


WITH_BOUNDARIES: frozenset[PropertyName] = frozenset(
    {"relaxation", "elasticity", "boundary", "segregation", "migration", "interstitial_migration"}
)

PROPERTIES: Mapping[str, frozenset[PropertyName]] = {
    "phase": frozenset(
        {
            "relaxation",
            "elasticity",
            "migration",
            "barrier_check",
            "interstitial_migration",
            "phonons",
            "softness",
            "defects",
            "charged_defects",
        }
    ),
    "grain_boundary": WITH_BOUNDARIES,
    "interface": WITH_BOUNDARIES,
    "slab": frozenset({"relaxation", "boundary"}),
    "imported": frozenset({"relaxation", "elasticity"}),
}
"""What can be computed of each kind of structure."""
