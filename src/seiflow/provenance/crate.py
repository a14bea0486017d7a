"""An archive as one RO-Crate: what is in it, and which run of which rule made each result from what.

It follows the profile Provenance Run Crate 0.5, which includes Workflow Run Crate, Process Run Crate and Workflow RO-Crate
(https://www.researchobject.org/workflow-run-crate). Each record is the result of a CreateAction of one command of seiflow; each
command is a step of the workflow.
"""

import json
import mimetypes
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from seiflow.errors import InputError
from seiflow.provenance.contents import RESULTS, Contents
from seiflow.provenance.steps import Step
from seiflow.records import digest_file, digest_text, versions

if TYPE_CHECKING:
    from rocrate.rocrate import ROCrate

Entity = Any
"""An entity of the untyped library."""

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
TERMS = {
    "resourceUsage": "https://w3id.org/ro/terms/workflow-run#resourceUsage",
    "environment": "https://w3id.org/ro/terms/workflow-run#environment",
    "sha256": "http://schema.org/sha256",
}
"""Of the profiles, written out so that nothing need be fetched to read an archive."""

FORMATS = {".yaml": "application/yaml", ".yml": "application/yaml", ".json": "application/json", ".smk": "text/x-snakemake"}
FORMATS |= {".extxyz": "chemical/x-xyz", ".md": "text/markdown", ".csv": "text/csv", ".svg": "image/svg+xml"}
NO_LICENCE = "No licence is stated: ask whoever gave you this archive before you use or share it."
COUNTED = {"propertyID": "force_evaluations", "unitCode": "C62"}  # UN/CEFACT: one
COMPLETED = "http://schema.org/CompletedActionStatus"


def study_crate(parts: Contents, steps: Iterable[Step], authors: Iterable[str] = (), licence: str | None = None) -> "ROCrate":
    """Return the crate of a study.

    Args:
        parts: The files.
        steps: Of its results.
        authors: Names, or URLs that identify a person; nobody is named otherwise.
        licence: URL or name of a licence.
    """
    made = _Crate(parts, authors, licence)
    made.add_files()
    made.add_steps(list(steps))
    return made.crate


class _Crate:
    def __init__(self, parts: Contents, authors: Iterable[str], licence: str | None) -> None:
        from rocrate.rocrate import ROCrate

        self.crate: ROCrate = ROCrate(version="1.1")
        self.crate.metadata.extra_terms = TERMS
        self._parts = parts
        root = self.crate.root_dataset
        root["name"] = parts.title
        root["description"] = f"Study computed with seiflow {versions()['seiflow']}: recipes, environment, results and provenance"
        root["datePublished"] = _today()
        root["license"] = self._entity(licence or "#licence", "CreativeWork", name=licence or "none stated", **_unsaid(licence))
        root["conformsTo"] = [self._entity(id_, "CreativeWork", name=name, version="0.5") for id_, name in PROFILES.items()]
        self.crate.metadata["conformsTo"] = [
            {"@id": id_} for id_ in ("https://w3id.org/ro/crate/1.1", "https://w3id.org/workflowhub/workflow-ro-crate/1.0")
        ]
        people = [self._entity(name if "://" in name else f"#{name}", "Person", name=name) for name in authors]
        self._agent = {"agent": _one(people)} if people else {}
        if people:
            root["author"] = _one(people)

    def _entity(self, id_: str, type_: object, **properties: object) -> Entity:
        """Return an entity, made on first use."""
        from rocrate.model import ContextEntity

        safe = quote(id_, safe=":/#?&=+,@%")
        found = self.crate.get(safe)
        return found or self.crate.add(ContextEntity(self.crate, safe, properties={"@type": type_, **properties}))

    def add_files(self) -> None:
        """Add every file with its size, format and digest."""
        for place, path in self._parts.files.items():
            if place != "Snakefile":
                properties = _described(place, path.stat().st_size, digest_file(path))
                self.crate.add_file(path, dest_path=place, properties=properties)
        for place, text in self._parts.texts.items():
            properties = _described(place, len(text.encode()), digest_text(text))
            self.crate.add_file(StringIO(text), dest_path=place, properties=properties)
        self.crate.get("README.md")["about"] = self.crate.root_dataset

    @cached_property
    def _workflow(self) -> Entity:
        path = self._parts.files["Snakefile"]
        described: dict[str, object] = {"@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"]}
        described |= _described("Snakefile", path.stat().st_size, digest_file(path))
        described |= {"name": "seiflow", "version": versions()["seiflow"]}
        found = self.crate.add_workflow(path, "Snakefile", main=True, lang="snakemake", properties=described)
        found["conformsTo"] = self._entity(
            "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE", "CreativeWork", name="ComputationalWorkflow"
        )
        return found

    def add_steps(self, steps: list[Step]) -> None:
        """Add what was run: each step, the whole of it, and the engine."""
        from importlib import metadata

        controls, results, inputs = [], [], list(self._parts.recipes.values())
        actions = [self._action(step) for step in steps]
        for step, action in zip(steps, actions, strict=True):
            control = self._entity(f"#control/{step.name}", "ControlAction", name=f"start of {step.name}")
            control["instrument"], control["object"], control["actionStatus"] = self._how_to(step.command), action, COMPLETED
            controls.append(control)
            made = action["result"]
            results += made if isinstance(made, list) else [made]
        run = self._entity("#run", "CreateAction", name="run of the study", description="All steps together", **self._agent)
        run["instrument"], run["actionStatus"] = self._workflow, COMPLETED
        run["object"] = [self.crate.get(place) for place in ["study.yaml", *sorted(set(inputs))]]
        run["result"] = _one(results)
        engine = self._software("snakemake", metadata.version("snakemake"))
        organise = self._entity("#organise", "OrganizeAction", name="Snakemake runs the steps", actionStatus=COMPLETED)
        organise["instrument"], organise["result"], organise["object"] = engine, run, _one(controls)
        self.crate.root_dataset["mentions"] = [run, *actions]

    def _how_to(self, command: str) -> Entity:
        """Return the step of the workflow that is a command, which is then a part of the workflow."""
        id_ = f"#step/{command}"
        found = self.crate.get(id_)
        if not found:
            found = self._entity(id_, "HowToStep", name=command, workExample=self._tool(command))
            self._workflow.append_to("step", found)
            self._workflow.append_to("hasPart", self._tool(command))
        return found

    def _tool(self, command: str) -> Entity:
        software = self._software("seiflow", versions()["seiflow"])
        return self._entity(
            f"#seiflow/{command}",
            "SoftwareApplication",
            name=f"seiflow {command}",
            softwareVersion=versions()["seiflow"],
            softwareRequirements=software,
        )

    def _software(self, name: str, version: str) -> Entity:
        return self._entity(f"#software/{name}/{version}", "SoftwareApplication", name=name, softwareVersion=version)

    def _action(self, step: Step) -> Entity:
        """Return the run of one command, with inputs, settings, weights and what came out."""
        found = self._entity(
            f"#run/{step.name}", "CreateAction", name=f"{step.command}: {step.folder}/{step.label}", **self._agent
        )
        found["instrument"] = self._tool(step.command)
        found["description"] = f"seiflow {step.command} of {step.structure} with {step.calculator}"
        found["actionStatus"] = COMPLETED
        wrote = [step.name] + ([step.companion] if step.companion else [])
        there = [self.crate.get(f"{RESULTS}/{name}") for name in wrote]
        found["result"] = _one([entity for entity in there if entity])
        found["object"] = _one([*self._inputs(step), *self._settings(step), *self._weights(step)])
        packages = [self._software(*pair) for pair in sorted(step.digests("versions").items())]
        if packages:
            found["softwareRequirements"] = _one(packages)
        count = step.record.get("force_evaluations")
        if count is not None:
            found["resourceUsage"] = self._value(f"#cost/{step.name}", "force evaluations", count, **COUNTED)
        return found

    def _inputs(self, step: Step) -> list[Entity]:
        results = step.results
        names = step.digests("recipes_sha256") or {"structure": ""}
        recipes = [results.recipe_file(what, step.structure, step.calculator) for what in names]
        places = [self._parts.recipes.get(path) for path in recipes if path]
        places += [self._parts.recipes.get(path) or f"{RESULTS}/{results.name(path)}" for path in step.inputs.values()]
        return [entity for place in places if place and (entity := self.crate.get(place))]

    def _settings(self, step: Step) -> list[Entity]:
        flat = dict(_flat(step.settings))
        return [self._value(f"#setting/{step.command}/{key}={text}", key, text) for key, text in flat.items()]

    def _value(self, id_: str, name: str, value: object, **properties: object) -> Entity:
        return self._entity(id_, "PropertyValue", name=name, value=value, **properties)

    def _weights(self, step: Step) -> list[Entity]:
        said = "Not included. Its package brings or fetches it, or it is given by path; seiflow calculators list tells"
        return [
            self._entity(f"#weights/{digest}", "CreativeWork", name=entry, sha256=digest, description=said)
            for entry, digest in step.digests("weights_sha256").items()
        ]


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", json.dumps(value)


def _described(place: str, size: int, digest: str) -> dict[str, str]:
    suffix = Path(place).suffix
    kind = FORMATS.get(suffix) or mimetypes.guess_type(place)[0] or "text/plain"
    return {"name": place, "contentSize": str(size), "encodingFormat": kind, "sha256": digest}


def _one(entities: list[Entity]) -> Entity:
    """Return a list, or its only item."""
    return entities[0] if len(entities) == 1 else entities


def _unsaid(licence: str | None) -> dict[str, str]:
    return {} if licence else {"description": NO_LICENCE}


def _today() -> str:
    """Return the date, or the one that the environment fixes for archives that are to be the same."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        now = datetime.fromtimestamp(int(given), UTC) if given else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        message = f"SOURCE_DATE_EPOCH: {given!r} is no number of seconds"
        raise InputError(message) from error
    return now.date().isoformat()
