"""What all settings share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, values cannot be changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
