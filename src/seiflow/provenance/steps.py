"""Steps of the pipeline, told from the files that they leave: the command of each, and the files that it was made from."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from seiflow.errors import InputError
from seiflow.provenance.results import Results
from seiflow.provenance.rules import BUILT, Rule, Source, label_of, rule_of
from seiflow.reference_forces import find_reference
from seiflow.shelves import phases_of
from seiflow.study import settings_sections


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        results: What it is part of.
        name: Of its record; ``built.extxyz`` has none and stands for itself.
    """

    results: Results
    name: str

    @cached_property
    def record(self) -> dict[str, Any]:
        """What it wrote; nothing for a structure that was only built.

        Raises:
            InputError: if it is damaged.
        """
        return {} if self.is_build else self.results.read(self.name)

    @property
    def is_build(self) -> bool:
        """Whether it built a structure from its recipe, and nothing else."""
        return self.name.endswith(BUILT)

    @property
    def structure(self) -> str:
        """Name of the structure."""
        return PurePosixPath(self.name).parts[0]

    @property
    def calculator(self) -> str:
        """Name of the calculator."""
        return PurePosixPath(self.name).parts[1]

    @property
    def folder(self) -> str:
        """Name of the folder of all results of the structure with the calculator."""
        return f"{self.structure}/{self.calculator}"

    @property
    def label(self) -> str:
        """What it is called below that folder: ``hops/hop_1``."""
        return PurePosixPath(self.name).relative_to(self.folder).with_suffix("").as_posix()

    @cached_property
    def command(self) -> str:
        """The command that makes it.

        Raises:
            InputError: if no command does.
        """
        return "build" if self.is_build else self.rule.command

    @cached_property
    def rule(self) -> Rule:
        """The rule that makes it, unless it was only built.

        Raises:
            InputError: if no rule does.
        """
        paths = self.label == "migration" and "migration" in self.settings
        found = rule_of(self.label, crystal=not paths)
        if found is None:
            message = f"{self.results.path(self.name)}: no step of seiflow writes such a file"
            raise InputError(message)
        return found

    @property
    def provenance(self) -> dict[str, Any]:
        """What the record says that it was made from."""
        found: dict[str, Any] = self.record.get("provenance", {})
        return found

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that it was made with."""
        found = self.provenance.get("settings")
        return found if isinstance(found, dict) else {}

    def digests(self, key: str) -> dict[str, str]:
        """Return the digests under a key of the provenance; none if an older version wrote it."""
        found = self.provenance.get(key)
        return {str(name): str(digest) for name, digest in found.items()} if isinstance(found, dict) else {}

    @property
    def companion(self) -> str | None:
        """Name of the structures that it writes besides the record."""
        if self.is_build or not self.rule.writes:
            return None
        return f"{self.folder}/{self.rule.writes.format(self.item)}"

    @property
    def item(self) -> str:
        """Name of the site or hop that it is of, where it is of one of several."""
        return PurePosixPath(self.name).stem

    @cached_property
    def inputs(self) -> dict[str, Path]:
        """The files that it was made from, by what they are; where several may be meant, the one with the digest recorded."""
        chosen = {}
        for what, digest in self.digests("inputs_sha256").items():
            candidates = list(self._candidates(what))
            there = [path for path in candidates if path.is_file()]
            same = [path for path in there if self.results.digest(path) == digest]
            chosen[what] = next(iter([*same, *there, *candidates, Path(what)]))
        return chosen

    def _candidates(self, what: str) -> Iterator[Path]:
        """Yield the files that an input may be, the likeliest first."""
        found = self.rule.source(what)
        if found is None:
            return
        source, item = found
        here = self.results.path(self.folder)
        if source.owner == "own":
            yield here / source.file.format(item)
        elif source.owner == "phases":
            yield self.results.folder / item / self.calculator / source.file
        elif source.owner == "cheaper":
            yield from (folder / source.file.format(item or self.item) for folder in self._cheaper())
        elif source.name == "built":
            yield from (here / "registered.extxyz", here / BUILT)
            yield from (folder / "relaxed.extxyz" for folder in self._cheaper())
        elif source.name == "reservoir":
            yield from sorted(self.results.folder.glob(f"*/{self.calculator}/{source.file}"))
        else:
            reference = find_reference(self.results.library, self.structure, str(self.settings.get("reference")))
            yield from [reference] if reference else []

    def _cheaper(self) -> Iterator[Path]:
        """Yield the folders of the same structure with other calculators, the one that this starts from first."""
        recipe = self.results.calculator(self.calculator)
        named = recipe.starts_from if recipe else None
        others = sorted(path for path in self.results.path(self.structure).glob("*") if path.is_dir())
        yield from sorted((path for path in others if path.name != self.calculator), key=lambda path: path.name != named)

    def arguments(self, output: Path) -> list[str]:
        """Return the command line that makes it again elsewhere, without its recipes.

        Args:
            output: The record to write; structures go beside it.
        """
        if self.is_build:
            return ["--output", str(output)]
        found = ["--settings", json.dumps(self._sections(), sort_keys=True), "--output", str(output)]
        found += ["--log", str(output.with_suffix(".log"))]
        if self.companion:
            found += [self.rule.frames[1], str(output.parent / Path(self.rule.writes.format(output.stem)).name)]
        if any(self.rule.item):
            found += [self.rule.item[1], output.stem]
        if self.command == "barrier-check":
            found += ["--cheaper", next(iter(self.inputs.values())).parent.parent.name]
        for argument, paths in self._files().items():
            found += [argument, *map(str, paths)]
        return found

    def _sections(self) -> dict[str, Any]:
        if len(self.sections) > 1:
            return self.settings
        settings = self.settings
        if self.command == "site-defect":  # does not depend on how many interstitials are tried, but must try enough
            asked = Step(self.results, f"{self.folder}/sites.json").settings
            settings = settings | {"interstitials": asked.get("interstitials", 0)}
        return {self.sections[0]: settings}

    @property
    def sections(self) -> tuple[str, ...]:
        """Sections of the settings that it was made with; several are kept under their names, one alone without."""
        kind = "boundary" if self.command == "paths" else self.structure_kind
        return settings_sections(self.rule.section, kind)

    @property
    def structure_kind(self) -> str:
        """Kind of the structure; ``phase`` if its recipe is not there."""
        recipe = self.results.structure(self.structure)
        return recipe.kind if recipe else "phase"

    def _files(self) -> dict[str, list[Path]]:
        """Return the inputs by argument, each list in the order in which the rule gives it."""
        recipe = self.results.structure(self.structure)
        order = {name: number for number, name in enumerate(phases_of(recipe))} if recipe else {}
        found: dict[str, list[Path]] = {}
        for what in sorted(self.inputs, key=lambda what: (order.get(what.partition(" ")[2], len(order)), natural(what))):
            found.setdefault(self._source(what).option, []).append(self.inputs[what])
        return found

    def _source(self, what: str) -> Source:
        found = self.rule.source(what)
        if found is None:
            message = f"{self.results.path(self.name)}: no step of seiflow takes an input called {what!r}"
            raise InputError(message)
        return found[0]


def natural(name: str) -> list[tuple[int, str]]:
    """Return what names are sorted by so that hop_10 comes after hop_9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def step_of(results: Results, name: str) -> Step:
    """Return the step that made a file, be it the record or the structures beside it.

    Raises:
        InputError: if no step is known that does.
    """
    place = PurePosixPath(name)
    least = 3
    if place.is_absolute() or len(place.parts) < least:
        message = f"{results.path(name)}: lies in no folder of a structure and calculator"
        raise InputError(message)
    if place.suffix == ".json" or place.name == BUILT:
        step = Step(results, name)
        _ = step.command  # refuse a file that no step writes
        return step
    structure, calculator, *rest = place.parts
    return step_of(results, f"{structure}/{calculator}/{label_of('/'.join(rest))}.json")


def steps(results: Results) -> list[Step]:
    """Return all steps of which there is a result, those that cannot be read included."""
    names = [name for name in results.names if name.endswith((".json", BUILT))]
    return [Step(results, name) for name in sorted(names, key=natural)]
