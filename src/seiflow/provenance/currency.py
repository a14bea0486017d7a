"""Whether a result is still that of the recipes, inputs and settings of a study."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from seiflow.calculators.factory import weight_digests
from seiflow.errors import SeiflowError
from seiflow.provenance.results import Results
from seiflow.provenance.steps import Step
from seiflow.records import canonical
from seiflow.settings import PropertySettings
from seiflow.study import Study


@dataclass(frozen=True)
class Currency:
    """Compares results with what a study asks for now.

    Attributes:
        study: The study.
    """

    study: Study
    _weights: dict[str, dict[str, str] | None] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def results(self) -> Results:
        """The folder of results, with the recipes of the study."""
        return Results(Path(self.study.config.results), None, tuple(self.study.folders))

    @cached_property
    def wanted(self) -> dict[tuple[str, str], PropertySettings]:
        """Settings of each structure with each calculator."""
        return {(job.structure, job.calculator): job.settings for job in self.study.jobs}

    def outdated(self, step: Step) -> str | None:
        """Return what changed since a step was computed, in a few words; None if nothing did.

        Versions of libraries do not count: a new one makes no result outdated.

        Raises:
            InputError: if the record is damaged.
        """
        return self._other_recipe(step) or self._other_settings(step) or self._other_input(step)

    def _other_recipe(self, step: Step) -> str | None:
        for what, digest in step.digests("recipes_sha256").items():
            file = self.results.recipe_file(what, step.structure, step.calculator)
            if file is None or self.results.digest(file) != digest:
                return f"the recipe of the {what} was changed" if file else f"there is no recipe of the {what} any more"
        return None

    def _other_settings(self, step: Step) -> str | None:
        settings = self.wanted.get((step.structure, step.calculator))
        if step.is_build or settings is None:
            return None
        parts = settings.combined(*step.sections)
        wanted = parts if len(step.sections) > 1 else parts[step.sections[0]]
        found = step.provenance.get("settings")
        if step.command == "site-defect":  # does not depend on how many interstitials are tried
            wanted = {key: value for key, value in wanted.items() if key != "interstitials"}
        return None if canonical(found) == canonical(wanted) else "it was computed with other settings"

    def _other_input(self, step: Step) -> str | None:
        for what, digest in step.digests("inputs_sha256").items():
            path = step.inputs[what]
            if what == "built" and not path.is_file():
                continue  # made from the recipe alone
            if self.results.digest(path) != digest:
                return f"{path} was changed" if path.is_file() else f"{path} is gone"
        return None

    def damaged(self, step: Step) -> str | None:
        """Return which of the structures written with a record is not the one that was written; None if all are."""
        folder = self.results.path(step.name).parent
        for name, digest in step.digests("files_sha256").items():
            if self.results.digest(folder / name) != digest:
                return f"{folder / name} is not the file that was written with it"
        return None

    def other_weights(self, step: Step) -> str | None:
        """Return that weights are others than those a step was computed with; None if they are the same or not to be had here."""
        here = self._weights_here(step.calculator)
        return None if here in (None, step.digests("weights_sha256")) else "the weights of the calculator are others"

    def weights_changed(self) -> bool:
        """Tell whether a crystal or boundary was relaxed with other weights than the calculator has now."""
        relaxed = [job for job in self.study.jobs if job.name == "relaxation" and self._weights_here(job.calculator)]
        records = [Step(self.results, f"{job.structure}/{job.calculator}/relaxation.json") for job in relaxed]
        return any(self.results.path(step.name).is_file() and self.other_weights(step) for step in records)

    def _weights_here(self, calculator: str) -> dict[str, str] | None:
        """Return the digests of the weights of a calculator, computed once; None if they are not to be had here."""
        if calculator not in self._weights:
            recipe = self.results.calculator(calculator)
            try:
                self._weights[calculator] = weight_digests(recipe) if recipe else {}
            except SeiflowError:
                self._weights[calculator] = None
        return self._weights[calculator]
