"""The way from recipes to a number: every step before a result, with what it was made from and whether that is still the same."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from seiflow.errors import InputError
from seiflow.provenance.checks import weight_digest
from seiflow.provenance.results import Results
from seiflow.provenance.steps import Step, step_of
from seiflow.records import record_digest
from seiflow.settings import PropertySettings

SHORT = 12
"""Characters of a digest that are printed; --json has all."""

AS_USED, OTHER, MISSING = "as used", "NOT THE ONE THAT WAS USED", "missing"
UNEDITED, EDITED, UNKNOWN = "unedited", "EDITED", "no digest of its own"
FORCES = "force_evaluations"


@dataclass(frozen=True)
class Node:
    """A file on the way.

    Attributes:
        id: Its path, or the entry of weights.
        what: recipe, weights, result or file.
        state: Whether it is still the file that was used.
        sha256: Of the file as it was used; None if nobody recorded it.
        details: Of a result: what it says of itself.
        made_from: The nodes before it, by what this one calls them.
    """

    id: str
    what: str
    state: str
    sha256: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    made_from: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Trace:
    """All nodes before a file, itself included, by id; those that a node is made from stand before it."""

    target: str
    nodes: Mapping[str, Node]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, file: Path) -> "Trace":
        """Follow a result back.

        Raises:
            InputError: if there is no such file, or it is no result of seiflow.
        """
        results = Results.around(file)
        name = results.name(file)
        step = step_of(results, name)
        _ = step.record
        nodes: dict[str, Node] = {}
        _Follower(results, nodes).follow(step, results.path(name), None)
        return cls(str(results.path(name)), nodes, results.notes)

    @property
    def evaluations(self) -> int:
        """Force evaluations of all records together; a record that sums up others is left out."""
        sums = ("migration", "segregation", "paths")
        results = [node.details for node in self.nodes.values() if node.details.get("step") not in sums]
        records = {found["record"]: int(found.get(FORCES) or 0) for found in results if "record" in found}
        return sum(records.values())


class _Follower:
    """Makes the nodes, each once."""

    def __init__(self, results: Results, nodes: dict[str, Node]) -> None:
        self._results = results
        self._nodes = nodes

    def follow(self, step: Step, file: Path, recorded: str | None) -> str:
        """Add the node of a file that a step wrote and those before it; return its id."""
        key = str(file)
        if key in self._nodes:
            return key
        made_from = list(self._before(step))
        self._nodes[key] = Node(key, "result", self._state(file, recorded), recorded, _details(step, file), tuple(made_from))
        return key

    def _before(self, step: Step) -> Iterator[tuple[str, str]]:
        if step.is_build:
            for what in ("structure", *(f"phase {name}" for name in _phases(step))):
                path = self._results.recipe_file(what, step.structure, step.calculator)
                yield f"recipe of {what}", self._leaf(path, "recipe", self._results.digest(path) if path else None)
            return
        for what, digest in sorted(step.digests("recipes_sha256").items(), reverse=True):
            try:
                path = self._results.recipe_file(what, step.structure, step.calculator)
            except KeyError:
                path = None
            missing = f"recipe {step.structure if what == 'structure' else step.calculator if what == 'calculator' else what}"
            yield f"recipe of {what}", self._leaf(path, "recipe", digest, missing)
        for entry, digest in step.digests("weights_sha256").items():
            yield "weights", self._weights(entry, digest)
        for what, path in step.inputs.items():
            yield what, self._input(path, step.digests("inputs_sha256")[what])

    def _input(self, path: Path, digest: str) -> str:
        try:
            maker = step_of(self._results, self._results.name(path))
            _ = maker.record
        except (InputError, IndexError):
            return self._leaf(path, "file", digest)
        return self.follow(maker, path, digest)

    def _leaf(self, path: Path | None, what: str, digest: str | None, missing: str = "") -> str:
        key = str(path) if path else missing
        self._nodes.setdefault(key, Node(key, what, self._state(path, digest), digest))
        return key

    def _weights(self, entry: str, digest: str) -> str:
        here = weight_digest(entry)
        state = "not here" if here is None else AS_USED if here == digest else OTHER
        self._nodes.setdefault(entry, Node(entry, "weights", state, digest))
        return entry

    def _state(self, path: Path | None, digest: str | None) -> str:
        there = self._results.digest(path) if path else None
        if there is None:
            return MISSING
        return "" if digest is None else AS_USED if there == digest else OTHER


def _phases(step: Step) -> tuple[str, ...]:
    from seiflow.shelves import phases_of

    recipe = step.results.structure(step.structure)
    return phases_of(recipe) if recipe is not None and recipe.kind != "phase" else ()


def _details(step: Step, file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"step": step.command, "structure": step.structure}
    if step.is_build:
        return found
    record, provenance = step.record, step.provenance
    keys = (FORCES, "converged", "warnings")
    found |= {
        "calculator": step.calculator,
        "record": str(step.results.path(step.name)),
        **{key: record.get(key) for key in keys},
    }
    found |= {"settings": other_settings(step), "versions": step.digests("versions")}
    found |= {"git_revision": provenance.get("git_revision")}
    recorded, there = provenance.get("record_sha256"), record_digest(record)
    if file.suffix != ".json":
        recorded, there = step.digests("files_sha256").get(file.name), step.results.digest(file) or ""
    found["itself"] = UNKNOWN if recorded is None else UNEDITED if recorded == there else f"{EDITED} since it was written"
    return found


def other_settings(step: Step) -> dict[str, Any]:
    """Return the settings of a step that are not the default; all that are unknown now."""
    usual = PropertySettings().model_dump(mode="json")
    parts = step.settings if len(step.sections) > 1 else {step.sections[0]: step.settings}
    found: dict[str, Any] = {}
    for name, part in parts.items():
        given = part if isinstance(part, dict) else {}
        found |= {f"{name}.{key}": value for key, value in given.items() if usual.get(name, {}).get(key, ...) != value}
    return found


def show(trace: Trace, key: str | None = None) -> str:
    """Return the tree as lines for a terminal, each node once."""
    lines = [*(f"note: {note}" for note in trace.notes), *_numbers(trace, key)]
    seen: set[str] = set()
    lines += _tree(trace, trace.target, "", "", seen)
    return "\n".join([*lines, *_footer(trace)])


def _numbers(trace: Trace, key: str | None) -> Iterator[str]:
    """Yield the numbers that the way leads to."""
    record = trace.nodes[trace.target].details.get("record")
    if record is None or not trace.target.endswith(".json"):
        return
    content = json.loads(Path(record).read_text(encoding="utf-8"))
    if key is not None and key not in content:
        known = ", ".join(sorted(set(content) - {"provenance"}))
        message = f"{record}: holds no {key!r}; it holds {known}"
        raise InputError(message)
    for name, value in sorted(content.items()):
        if name == key or (key is None and isinstance(value, float)):
            yield f"{name} = {json.dumps(value)}"


def _tree(trace: Trace, key: str, indent: str, role: str, seen: set[str]) -> Iterator[str]:
    node = trace.nodes[key]
    label = f"{role}: {key}" if role else key
    if key in seen:
        yield from [f"{indent}{label} (above)"] if node.made_from else []
        return
    seen.add(key)
    digest = f"sha256 {node.sha256[:SHORT]}" if node.sha256 else ""
    yield indent + ", ".join(part for part in (label, digest, node.state) if part)
    for line in _told(node):
        yield f"{indent}  | {line}"
    for next_role, below in node.made_from:
        yield from _tree(trace, below, indent + "    ", next_role, seen)


def _told(node: Node) -> Iterator[str]:
    told = node.details
    if not told:
        return
    words = [f"seiflow {told['step']}: {told['structure']}" + (f" with {told['calculator']}" if "calculator" in told else "")]
    if told.get(FORCES) is not None:
        words.append(f"{told[FORCES]} force evaluations")
    if told.get("itself") not in (None, UNEDITED):
        words.append(told["itself"])
    if told.get("converged") is False:
        words.append("NOT CONVERGED")
    yield ", ".join(words)
    if told.get("settings"):
        yield "settings: " + ", ".join(f"{key} {json.dumps(value)}" for key, value in told["settings"].items())
    for warning in told.get("warnings") or ():
        yield f"warning: {warning}"


def _footer(trace: Trace) -> Iterator[str]:
    """Yield versions, said once if all results have the same."""
    found: dict[str, set[str]] = {}
    for node in trace.nodes.values():
        for name, version in node.details.get("versions", {}).items():
            found.setdefault(name, set()).add(version)
    revisions = {str(node.details["git_revision"]) for node in trace.nodes.values() if node.details.get("git_revision")}
    yield f"force evaluations on the way: {trace.evaluations}"
    if found:
        yield "versions: " + ", ".join(f"{name} {' and '.join(sorted(those))}" for name, those in sorted(found.items()))
    if revisions:
        yield f"revision: {' and '.join(sorted(revisions))}"
    changed = sorted(node.id for node in trace.nodes.values() if node.state in (OTHER, MISSING) or _edited(node))
    yield f"no longer what was used: {', '.join(changed)}" if changed else "everything that can be checked is what was used"


def _edited(node: Node) -> bool:
    return str(node.details.get("itself", "")).startswith(EDITED)


def as_json(trace: Trace) -> str:
    """Return everything as JSON."""
    found = {"target": trace.target, "notes": list(trace.notes), "nodes": [asdict(node) for node in trace.nodes.values()]}
    return json.dumps(found, indent=1)
