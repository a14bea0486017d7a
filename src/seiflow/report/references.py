"""Published values with their sources, read from ``references/*.yaml`` to stand beside computed ones.

Values marked ``recalled`` were quoted from memory: a sanity band, never a test that a result passes or fails.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from seiflow.errors import InputError

Text = Annotated[str, Field(min_length=1)]


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        message = "the range runs backwards; write [lowest, highest]"
        raise ValueError(message)
    return value


Range = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ascending)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where a value was published."""

    authors: Text = Field(description="authors, or the body that keeps the data")
    journal: Text = Field(description="journal, volume and page; or database, handbook, web")
    year: int | None = Field(description="year of publication")
    doi: Text | None = Field(description="digital object identifier, without https://doi.org/")


class Reference(_Strict):
    """One published value of one property of a phase."""

    id: Text = Field(description="unique over all files")
    property: Text = Field(description="name of the quantity, unit included, as in the results where it is one of them")
    value: FiniteFloat | Range = Field(description="a number, or [lowest, highest]")
    unit: Text = Field(description="unit as printed")
    method: Text = Field(description="experiment or calculation, with temperature or functional")
    evidence: Literal["review", "read", "recalled"] = Field(
        description="stated in a review, read in a public source, or quoted from memory"
    )
    source: Source
    note: Text | None = Field(None, description="what to mind when comparing")


class _ReferenceFile(_Strict):
    phase: Text
    values: tuple[Reference, ...]


def load_references(folder: Path) -> dict[str, tuple[Reference, ...]]:
    """Read every ``*.yaml`` of a folder.

    Returns:
        The references of each phase, in the order of the file.

    Raises:
        InputError: if a file is damaged, a phase has two files, or an id is used twice.
    """
    if not folder.is_dir():
        message = f"{folder}: no such folder of references."
        raise InputError(message)
    found: dict[str, tuple[Reference, ...]] = {}
    owners: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        content = _read(path)
        if content.phase in found:
            message = f"{path}: phase {content.phase} already has a file; put all its values into one."
            raise InputError(message)
        for reference in content.values:
            if reference.id in owners:
                message = f"{path}: id {reference.id} is already used in {owners[reference.id].name}; give it another."
                raise InputError(message)
            owners[reference.id] = path
        found[content.phase] = content.values
    return found


def find(references: Mapping[str, tuple[Reference, ...]], phase: str, quantity: str) -> tuple[Reference, ...]:
    """Return the references for one property of one phase; none for a phase that has no file."""
    return tuple(reference for reference in references.get(phase, ()) if reference.property == quantity)


def deviation(value: float, reference: Reference) -> float | None:
    """Return by how much a value lies off a reference, relative to the reference.

    A range counts by its nearer end, and a value inside it deviates by zero. None where the ratio has no meaning: the
    reference is zero, or the value is not finite.
    """
    low, high = reference.value if isinstance(reference.value, tuple) else (reference.value, reference.value)
    nearest = min(max(value, low), high)
    if not math.isfinite(value):
        return None
    if value == nearest:
        return 0.0
    return (value - nearest) / abs(nearest) if nearest else None


def _read(path: Path) -> _ReferenceFile:
    try:
        return _ReferenceFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc'])) or 'the file'}: {problem['msg']}" for problem in error.errors()
        )
        message = f"{path}: {problems}. references/README.md describes the format."
        raise InputError(message) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path}: cannot be read ({error}). Mend or restore the file."
        raise InputError(message) from error
