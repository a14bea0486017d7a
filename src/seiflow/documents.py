"""YAML files read into typed models, with every mistake reported by file, line and nearest match."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from seiflow.errors import InputError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]
"""Where in a document something stands: keys and list indices from the top."""


# in C where PyYAML has it, ten times as fast
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _StrictLoader(_SafeLoader):  # type: ignore[misc, valid-type] # chosen when the module is loaded
    """Refuses a key that stands twice in one mapping, of which YAML would silently drop the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - the base's
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"key {key.value!r} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return found


# 1e-5 is a number, as in YAML 1.2; PyYAML takes it for a text, which nobody notices where any value is allowed
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:  # noqa: ANN401 - what a YAML file holds is known only after validation
    """Return what a YAML file holds; an unreadable or malformed one is an :class:`InputError` with its line."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError as error:
        message = f"{path}: no such file"
        raise InputError(message) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error})"
        raise InputError(message) from error
    except yaml.YAMLError as error:
        raise InputError(_malformed(path, error)) from error


def load(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into a model."""
    data = read_yaml(path)
    problems = problems_of(data, model)
    if problems:
        lines = lines_of(path)
        listed = "\n".join(f"  - {line_at(location, lines)}{text}" for location, text in problems)
        message = f"{path}: not a valid {model.__name__}\n{listed}"
        raise InputError(message)
    return model.model_validate(data)


FEW, SOME = 12, 4
"""Names that a message lists: all of so few, or else so many."""


def problems_of(data: object, model: type[BaseModel]) -> list[tuple[Location, str]]:
    """Return every mistake as (where, what is wrong and what is allowed); none if the data fits the model."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        return [(item["loc"], _sentence(item, model)) for item in error.errors()]
    return []


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return a hint: the nearest allowed name and, if they are few, all of them, or else some that are near."""
    names = sorted(allowed)
    match = difflib.get_close_matches(name, names, n=SOME, cutoff=0.5)
    hint = f"; did you mean {match[0]!r}?" if match else "."
    if len(names) <= FEW:
        return f"{hint} Known: {', '.join(names) or 'none'}."
    others = f" Or {', '.join(match[1:])}?" if len(match) > 1 else ""
    return f"{hint}{others} {len(names)} are known; seiflow list shows them."


def _sentence(problem: "ErrorDetails", model: type[BaseModel]) -> str:
    location = problem["loc"]
    place = ".".join(str(part) for part in location) or "the whole file"
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key{nearest(str(location[-1]), _siblings(location, model))}"
    if problem["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(problem["ctx"]["expected"]))
        return f"{place}: unknown value {problem['input']!r}{nearest(str(problem['input']), allowed)}"
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _siblings(location: Location, model: type[BaseModel]) -> list[str]:
    """Return the keys allowed where ``location`` ends, by walking down the model's JSON schema."""
    schema = model.model_json_schema()
    node: dict[str, Any] = schema
    for part in location[:-1]:
        node = _resolve(node, schema)
        node = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
    return list(_resolve(node, schema).get("properties", {}))


def _resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    options = [node, *node.get("anyOf", []), *node.get("allOf", [])]
    for option in options:
        if "$ref" in option:
            found: dict[str, Any] = schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
            return found
    return node


def _malformed(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
    return f"{where}: not valid YAML ({getattr(error, 'problem', None) or error}). Check indentation, colons and brackets there."


def lines_of(path: Path) -> dict[Location, int]:
    """Return the line of every key and list item of a YAML file."""
    found: dict[Location, int] = {}

    def walk(node: yaml.Node | None, location: Location) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[(*location, key.value)] = key.start_mark.line + 1
                walk(value, (*location, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                found[(*location, index)] = value.start_mark.line + 1
                walk(value, (*location, index))

    walk(yaml.compose(path.read_text(encoding="utf-8"), Loader=_SafeLoader), ())
    return found


def line_at(location: Location, lines: Mapping[Location, int]) -> str:
    """Return ``line N: `` for a location, or for the nearest one above it that has a line; nothing if none has."""
    for end in range(len(location), 0, -1):
        if location[:end] in lines:
            return f"line {lines[location[:end]]}: "
    return ""
