"""What the result of a step depends on, as plain data: the key under which the cache keeps it is the digest of that.

Nothing in it tells where a file lies, who runs or when. A recipe counts by the fields that numbers depend on, not by its text;
weights count by content; a result that a step is made from by its numbers, not by where those came from.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seiflow.records import digest_file, digest_text

if TYPE_CHECKING:
    from pydantic import BaseModel

    from seiflow.calculators.recipes import CalculatorRecipe

WORDS = frozenset({"summary", "source"})
"""Fields of a recipe for people."""

NOT_OF_RESULTS = WORDS | {
    "elements",  # what a study may ask for
    "deterministic",
    "noise_ev",
    "noise_relative",
    "seconds_per_atom",
    "memory_mb",
    "processes",
    "extra",
    "fetched",
    "environment",  # the versions of the packages in it count
    "starts_from",  # the structures that come from there count
    "weights",  # count by content
}
"""Fields of a calculator's recipe that no number depends on."""

LONGEST = 2000
"""Characters of a field that is kept as it is; of a longer one, such as the atoms of an imported structure, the digest is."""


def recipe_identity(recipe: "BaseModel") -> dict[str, Any]:
    """Return the fields of a structure's recipe that results depend on."""
    return _short(recipe.model_dump(mode="json", exclude=set(WORDS)))


def calculator_identity(recipe: "CalculatorRecipe", weights: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a calculator's recipe that results depend on.

    Args:
        recipe: Of the calculator.
        weights: The sha256 of its files by their entry in the recipe; paths of them among the arguments are replaced by it.
    """
    files = {Path(entry).expanduser(): digest for entry, digest in weights.items()}
    fields = recipe.model_dump(mode="json", exclude=set(NOT_OF_RESULTS))
    return _short({name: _by_content(value, files) for name, value in fields.items()})


def weights_identity(weights: Mapping[str, str]) -> dict[str, str | list[str]]:
    """Return the sha256 of the files of a calculator by their names, without the folders of those given by path."""
    found: dict[str, list[str]] = {}
    for entry, digest in sorted(weights.items()):
        name = Path(entry).name if entry.startswith(("/", "~")) else entry
        found.setdefault(name, []).append(digest)
    return {name: digests[0] if len(digests) == 1 else sorted(digests) for name, digests in found.items()}


def input_identity(path: Path) -> str:
    """Return the sha256 of a file that a step is made from; of a record without its provenance, which no step reads."""
    if path.suffix == ".json":
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return exact_digest({key: value for key, value in record.items() if key != "provenance"})
        except (OSError, ValueError, AttributeError):
            pass  # no record; whoever reads it will say so
    return digest_file(path)


def exact(value: object) -> str:
    """Return JSON in which equal values have equal texts, floats to the last bit."""
    return json.dumps(value, sort_keys=True)


def exact_digest(value: object) -> str:
    """Return the sha256 of a value of JSON types."""
    return digest_text(exact(value))


def _by_content(value: Any, files: Mapping[Path, str]) -> Any:  # noqa: ANN401 - any JSON value
    """Replace the path of a known file, or of a folder of such, by a digest of what is there."""
    if isinstance(value, dict):
        return {key: _by_content(item, files) for key, item in value.items()}
    if isinstance(value, list):
        return [_by_content(item, files) for item in value]
    if isinstance(value, str) and "/" in value:
        place = Path(value).expanduser()
        below = {path.relative_to(place).as_posix(): digest for path, digest in files.items() if path.is_relative_to(place)}
        return f"files {exact_digest(below)}" if below else value
    return value


def _short(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value if len(exact(value)) <= LONGEST else exact_digest(value) for name, value in fields.items()}
