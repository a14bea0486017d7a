"""What goes into an archive of a study: study, recipes, rules, environment and results, and how to run it again."""

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import yaml

from seiflow.calculators.environments import conda_file
from seiflow.documents import load
from seiflow.errors import InputError
from seiflow.provenance.results import Results
from seiflow.records import git_revision
from seiflow.reference_forces import FOLDER as FORCES
from seiflow.reference_forces import find_reference
from seiflow.shelves import data_folder, phases_of
from seiflow.study import StudyConfig

LIBRARY = "library"
"""Folder of the recipes in an archive."""

RESULTS = "results"
LEFT_OUT = {"logs"}
"""Folders of results that are not archived: they tell of one machine."""

OF_ONE_MACHINE = {"machine", "store", "trusted"}
"""Keys of a study that are not archived."""

README = """\
# {title}

A study computed with seiflow {version}: `study.yaml` says what was computed, `{library}/` holds the recipes it was computed from,
`results/` the results, `environment/` the versions of all packages, `Snakefile` and `workflows/` the rules.
`ro-crate-metadata.json` says which result was made from which files. Weights of calculators are not included; their digests and
where they come from are in there and in every result.

To look at the results, open `results/report.html`. To see where a number comes from, and to check results against recipes:

    seiflow trace results/STRUCTURE/CALCULATOR/NAME.json
    seiflow verify study.yaml

To compute all of it again on another machine:

    python3 -m venv again && . again/bin/activate
    pip install --constraint environment/constraints.txt {requirement}
    seiflow archive --inspect .
    seiflow check study.yaml
    snakemake --configfile study.yaml --config results=again-results --cores 2

Read what `--inspect` says may run code. A calculator that does not come with seiflow is refused until you set
`SEIFLOW_TRUST=$PWD`. `seiflow calculators list --library {library}` tells what a calculator still needs: weights, a program, an
environment. The same results differ in nothing but `git_revision` and the digests
that follow from it, on another kind of machine in the last digits too:

    diff -r results again-results
    seiflow verify again-results

The source was at revision {revision}.
"""


@dataclass(frozen=True)
class Contents:
    """Files of an archive.

    Attributes:
        files: Those that are copied, by their place in the archive.
        texts: Those that are written, by their place.
        recipes: Places of the recipes, by the file that they were read from.
        title: Of the study.
    """

    files: Mapping[str, Path]
    texts: Mapping[str, str]
    recipes: Mapping[Path, str]
    title: str


def contents(results: Results) -> Contents:
    """Collect the files of a study.

    Raises:
        InputError: if its results name no study, a recipe is missing, or the rules cannot be found.
    """
    if results.study is None:
        message = f"{results.folder}: {'; '.join(results.notes)}; name the study file instead"
        raise InputError(message)
    config = load(results.study, StudyConfig)
    recipes = dict(_recipes(results, config))
    files = {place: path for path, place in recipes.items()}
    files |= dict(_rules()) | dict(_results(results))
    texts = _study(config) | _environment()
    requirement = f"seiflow=={metadata.version('seiflow')}"
    texts["README.md"] = README.format(
        title=config.title,
        version=metadata.version("seiflow"),
        library=LIBRARY,
        requirement=requirement,
        revision=git_revision() or "unknown",
    )
    return Contents(files, texts, recipes, config.title)


def _study(config: StudyConfig) -> dict[str, str]:
    """Return the study as it is run from the archive: recipes and results lie beside it, machine and store are the user's own."""
    kept = config.model_dump(mode="json", exclude_unset=True, exclude=OF_ONE_MACHINE | {"library", "results"})
    study = StudyConfig.model_validate(kept | {"library": [LIBRARY], "results": RESULTS})
    text = yaml.safe_dump(study.model_dump(exclude_unset=True), sort_keys=False)
    return {"study.yaml": text, f"{RESULTS}/study.yaml": text}


def _recipes(results: Results, config: StudyConfig) -> Iterator[tuple[Path, str]]:
    """Yield the recipes of a study, those included that others name, with their places in the archive."""
    structures = {name for block in config.calculations for name in block.structures}
    calculators = {name for block in config.calculations for name in block.calculators}
    structures |= {phase for name in structures for phase in phases_of(results.structures.get(name))}
    waiting = sorted(calculators)
    while waiting:
        recipe = results.calculators.get(waiting.pop())
        if recipe.starts_from and recipe.starts_from not in calculators:
            calculators.add(recipe.starts_from)
            waiting.append(recipe.starts_from)
    for name in sorted(structures):
        yield results.structures.path(name), f"{LIBRARY}/structures/{name}.yaml"
    for name in sorted(calculators):
        yield results.calculators.path(name), f"{LIBRARY}/calculators/{name}.yaml"
        environment = results.calculators.get(name).environment
        own = conda_file(environment, results.library) if environment else None
        if own:
            yield own, f"{LIBRARY}/envs/{own.name}"
    for block in config.calculations:
        if "softness" in block.properties:
            chosen = (block.settings or config.settings).softness.reference
            found = [find_reference(results.library, name, chosen) for name in block.structures]
            yield from ((path, f"{LIBRARY}/{FORCES.as_posix()}/{path.name}") for path in found if path)


def _rules() -> Iterator[tuple[str, Path]]:
    """Yield the rules of the workflow, by their place in an archive."""
    top = data_folder("structures").parent
    snakefile = top / "Snakefile"
    if not snakefile.is_file():
        message = f"{snakefile}: the rules are not there, so no archive can be made; install seiflow anew, or use a clone of it"
        raise InputError(message)
    yield "Snakefile", snakefile
    for folder in ("workflows", "profiles/default"):
        for path in sorted((top / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(top).as_posix(), path


def _results(results: Results) -> Iterator[tuple[str, Path]]:
    for path in sorted(results.folder.rglob("*")):
        place = path.relative_to(results.folder)
        hidden = any(part.startswith(".") or part in LEFT_OUT for part in place.parts)
        if path.is_file() and not hidden and not path.is_symlink() and place.as_posix() != "study.yaml":
            yield f"{RESULTS}/{place.as_posix()}", path


def _environment() -> dict[str, str]:
    """Return the versions of everything in this environment, for pip and for conda."""
    found = {dist.metadata["Name"]: dist.version for dist in metadata.distributions() if dist.metadata["Name"]}
    own = {"seiflow", "pip", "setuptools", "wheel"}
    pins = "".join(f"{name}=={version.partition('+')[0]}\n" for name, version in sorted(found.items()) if name.lower() not in own)
    conda = {
        "name": "seiflow-again",
        "channels": ["conda-forge"],
        "dependencies": [
            f"python={platform.python_version()}",
            "pip",
            {"pip": ["--constraint constraints.txt", f"seiflow=={found['seiflow']}"]},
        ],
    }
    return {"environment/constraints.txt": pins, "environment/environment.yml": yaml.safe_dump(conda, sort_keys=False)}
