"""Steps of the pipeline, told from the files that they leave: the command of each, and the files that it was made from."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from seiflow.errors import InputError
from seiflow.provenance.results import Results
from seiflow.reference_forces import find_reference
from seiflow.shelves import phases_of

BUILT = "built.extxyz"
IN_FOLDERS = {"vacancies": "vacancy", "hops": "hop", "sites": "site-defect"}
"""Command by the folder of its results."""
BY_NAME = {"relaxation": "relax", "registry": "register"}
"""Command by the name of its result, where that is not the same."""
SAME_NAME = {"elasticity", "phonons", "softness", "defects", "charged_defects", "boundary", "segregation", "sites", "hops"}
SAME_NAME |= {"barrier_check", "interstitial_migration", "migration"}
STRUCTURES = {
    "relax": ("relaxed.extxyz", "--relaxed"),
    "register": ("registered.extxyz", "--registered"),
    "vacancy": ("{}.extxyz", "--frame"),
    "site-defect": ("{}.extxyz", "--frame"),
    "hop": ("{}.extxyz", "--frames"),
    "interstitial-migration": ("{}.extxyz", "--frames"),
    "paths": ("hops.extxyz", "--frames"),
}
"""What a command writes besides its record, beside it, and the argument that names it."""
SECTIONS = {"register": "registry", "hops": "migration", "vacancy": "migration", "hop": "migration", "barrier-check": "migration"}
SECTIONS |= {"sites": "segregation", "site-defect": "segregation"}
"""Section of the settings that a command takes, where it is not called the same."""
OF_PHASES = {"relaxed": "--crystals", "elasticity": "--stiffnesses", "migration": "--bulk"}
OF_OTHERS = {"vacancy": "--vacancies", "competing": "--competing", "head": "--head-start"}
LISTED = {"migration": "--hops", "barrier-check": "--hops", "segregation": "--sites"}
"""Arguments that take inputs: those called ``relaxed PHASE``, those called ``vacancy SITE``, and those called by bare names."""


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
        head, _, last = self.label.rpartition("/")
        if self.is_build:
            return "build"
        if head in IN_FOLDERS:
            return IN_FOLDERS[head]
        if head or (last not in SAME_NAME and last not in BY_NAME):
            message = f"{self.results.path(self.name)}: no step of seiflow writes such a file"
            raise InputError(message)
        if last == "migration" and "migration" in self.settings:
            return "paths"
        return BY_NAME.get(last, last.replace("_", "-"))

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
        if self.is_build or self.command not in STRUCTURES:
            return None
        record = PurePosixPath(self.name)
        return (record.parent / STRUCTURES[self.command][0].format(record.stem)).as_posix()

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
        results, here = self.results, self.results.path(self.folder)
        first, _, second = what.partition(" ")
        if what == "built":
            yield from (here / "registered.extxyz", here / BUILT)
            yield from (folder / "relaxed.extxyz" for folder in self._cheaper())
        elif what == "reservoir":
            yield from sorted(results.folder.glob(f"*/{self.calculator}/relaxation.json"))
        elif what == "reference":
            found = find_reference(results.library, self.structure, str(self.settings.get("reference")))
            yield from [found] if found else []
        elif what == "head start":
            yield from (folder / f"{self.label}.extxyz" for folder in self._cheaper())
        elif first == "vacancy":
            yield here / "vacancies" / f"{second}.json"
        elif second:
            file = {"relaxed": "relaxed.extxyz", "competing": "relaxation.json"}.get(first, f"{first}.json")
            yield results.folder / second / self.calculator / file
        else:
            yield from self._bare(what, here)

    def _bare(self, what: str, here: Path) -> Iterator[Path]:
        """Yield the files that an input may be which is called by the name of its file."""
        if self.command == "barrier-check":
            yield from (folder / "hops" / f"{what}.extxyz" for folder in self._cheaper())
        elif self.command == "migration" and what != "relaxed":
            yield here / "hops" / f"{what}.json"
        elif self.command == "segregation" and what != "relaxed":
            yield here / "sites" / f"{what}.json"
        elif what.endswith((".json", ".extxyz")):
            yield here / "sites" / what
        else:
            yield here / {"relaxed": "relaxed.extxyz", "registry": "registry.json"}.get(what, what)

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
            file, argument = STRUCTURES[self.command]
            found += [argument, str(output.parent / file.format(output.stem))]
        if self.command in ("vacancy", "site-defect", "hop"):
            found += ["--hop" if self.command == "hop" else "--site", output.stem]
        if self.command == "barrier-check":
            found += ["--cheaper", next(iter(self.inputs.values())).parent.parent.name]
        for argument, paths in self._files().items():
            found += [argument, *map(str, paths)]
        return found

    def _sections(self) -> Mapping[str, Any]:
        if self.command in ("boundary", "paths"):
            return self.settings
        if self.command == "relax":
            return {"planar" if self.structure_kind != "phase" else "relaxation": self.settings}
        settings = self.settings
        if self.command == "site-defect":  # does not depend on how many interstitials are tried, but must try enough
            asked = Step(self.results, f"{self.folder}/sites.json").settings
            settings = settings | {"interstitials": asked.get("interstitials", 0)}
        return {SECTIONS.get(self.command, self.command.replace("-", "_")): settings}

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
            found.setdefault(self._argument(what), []).append(self.inputs[what])
        return found

    def _argument(self, what: str) -> str:
        first, _, second = what.partition(" ")
        if second and first not in OF_OTHERS | OF_PHASES:
            message = f"{self.results.path(self.name)}: no step of seiflow takes an input called {what!r}"
            raise InputError(message)
        if second:
            return (OF_OTHERS | OF_PHASES)[first]
        if what.endswith((".json", ".extxyz")):
            return "--sites" if what.endswith(".json") else "--vacancies"
        listed = LISTED.get(self.command) if what != "relaxed" else None
        return listed or f"--{what}"


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
    makers = {"relaxed": "relaxation", "registered": "registry", "hops": "migration"}
    own = "/".join(place.parts[2:]) in ("relaxed.extxyz", "registered.extxyz", "hops.extxyz")
    return step_of(results, place.with_name(f"{makers[place.stem] if own else place.stem}.json").as_posix())


def steps(results: Results) -> list[Step]:
    """Return all steps of which there is a result, those that cannot be read included."""
    names = [name for name in results.names if name.endswith((".json", BUILT))]
    return [Step(results, name) for name in sorted(names, key=natural)]
