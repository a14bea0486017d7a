"""What all settings share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FARTHEST = 60.0
"""Å; images of a defect farther apart than this tell nothing more, and the atoms become too many."""

Positive = Annotated[float, Field(gt=0)]

Apart = Annotated[float, Field(gt=0, le=FARTHEST)]
"""Distance between images, Å."""


class Settings(BaseModel):
    """Base of all settings: unknown keys and infinite numbers are refused, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
