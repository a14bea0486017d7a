"""The files that say what is installed agree with each other."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from seiflow.calculators.environments import conda_name
from seiflow.calculators.recipes import calculator_shelf

REPOSITORY = Path(__file__).parents[1]
METADATA: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT: dict[str, Any] = METADATA["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
ENVIRONMENTS = sorted((REPOSITORY / "workflows" / "envs").glob("*.yml"))
SHELF = calculator_shelf()
APART = {name for name in (SHELF.get(calculator).environment for calculator in SHELF.names) if name}
"""Extras with an environment of their own."""
TOGETHER = [line for extra, lines in EXTRAS.items() if extra not in APART for line in lines]
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *TOGETHER]]
CONSTRAINTS = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
CONTAINER = (REPOSITORY / "apptainer.def").read_text(encoding="utf-8")


def conda(path: Path) -> tuple[str, set[str], list[str]]:
    """Return what an environment file says of python, its other packages and its pip packages."""
    read = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert read["channels"] == ["conda-forge", "nodefaults"]
    plain = [entry for entry in read["dependencies"] if isinstance(entry, str)]
    python = next(entry for entry in plain if entry.startswith("python"))
    pip = [entry for part in read["dependencies"] if isinstance(part, dict) for entry in part["pip"]]
    return python, set(plain) - {python}, pip


def pins() -> dict[str, str]:
    pairs = [line.split("==") for line in CONSTRAINTS[1:]]
    return {canonicalize_name(name): version for name, version in pairs}


def python_of_constraints() -> str:
    """Return the version of Python, two numbers, that the constraints were found with."""
    found = re.fullmatch(r"# Python (\d+\.\d+), by make constraints", CONSTRAINTS[0])
    assert found, "make constraints writes which Python it ran with into the first line"
    return found[1]


def section(name: str) -> str:
    """Return a section of the container's definition."""
    found = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", CONTAINER, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def test_conda_brings_python_and_pip_brings_the_rest() -> None:
    """The environment holds the Python of the constraints, pip, and this package by pip with the pinned versions."""
    python, others, pip = conda(REPOSITORY / "environment.yml")
    assert python == f"python ={python_of_constraints()}"
    assert SpecifierSet(PROJECT["requires-python"]).contains(python_of_constraints())
    assert others == {"pip"}
    assert pip == ["-c constraints.txt", "."]


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_environment_of_the_rules_names_this_version(path: Path) -> None:
    """Each environment of the rules installs the version of this source tree, with the extra that it is named like."""
    python, others, pip = conda(path)
    assert python == f"python ={python_of_constraints()}"
    assert others - {"c-compiler", "cxx-compiler", "libxc", "blas-devel"} == {"pip"}
    found = [Requirement(entry) for entry in pip]
    assert [requirement.name for requirement in found] == [PROJECT["name"]]
    assert found[0].specifier == SpecifierSet(f"=={PROJECT['version']}")
    assert path.stem == "seiflow" or path.stem in found[0].extras
    assert found[0].extras <= set(EXTRAS)


def test_every_calculator_has_its_environment() -> None:
    """The jobs of every calculator have an environment with a file, and every file has calculators."""
    assert {conda_name(SHELF.get(name)) for name in SHELF.names} == {path.stem for path in ENVIRONMENTS}


def test_every_constraint_is_a_pin() -> None:
    """Every line of the constraints but the first pins one version, in alphabetical order, so that a change is easily seen."""
    assert [line for line in CONSTRAINTS[1:] if not re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.!]+", line)] == []
    assert sorted(CONSTRAINTS[1:]) == CONSTRAINTS[1:]


def test_constraints_are_made_of_all_that_lives_together() -> None:
    """The command that makes the constraints installs every extra that has no environment of its own."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    together = re.search(r"^EXTRAS := (.*)$", makefile, re.MULTILINE)
    target = re.search(r"^constraints:\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert together
    assert target
    assert "'.[$(EXTRAS),gpaw]'" in target[1]
    assert {*together[1].split(","), "gpaw"} == set(EXTRAS) - APART


def test_torch_is_the_same_everywhere() -> None:
    """Whoever names a version of torch, in text too, names that of the package."""
    wanted = next(line for line in PROJECT["dependencies"] if line.startswith("torch=="))
    files = [path for kind in ("*.md", "*.yml", "*.txt", "Makefile", "*.def") for path in REPOSITORY.glob(kind)]
    files += [path for folder in ("docs", "src", "workflows") for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
    texts = [path.read_text(encoding="utf-8") for path in files if path.suffix in {"", ".md", ".py", ".yml", ".txt", ".def"}]
    found = [name for text in texts for name in re.findall(r"torch==[0-9.]*[0-9]", text)]
    assert len(found) > 1
    assert set(found) == {wanted}


def test_container_takes_what_the_package_is_built_from() -> None:
    """The container's definition copies every file that building the wheel needs, and each is there."""
    taken = {line.split()[0] for line in section("files").splitlines() if line.strip()}
    wheel = METADATA["tool"]["hatch"]["build"]["targets"]["wheel"]
    packages = {Path(name).parts[0] for name in [*wheel["packages"], *wheel["force-include"]]}
    assert taken == packages | {"pyproject.toml", "constraints.txt", PROJECT["readme"], *PROJECT["license-files"]}
    assert all((REPOSITORY / name).exists() for name in taken)


def test_container_installs_pinned_versions() -> None:
    """The container installs torch first, then the package, both held to the constraints, and names no version itself."""
    installs = re.findall(r"^.*pip install (.*)$", section("post"), re.MULTILINE)
    options = "--no-cache-dir --constraint constraints.txt "
    assert [line.startswith(options) for line in installs] == [True, True]
    first, second = (line.removeprefix(options) for line in installs)
    assert first == "torch"
    extras = re.fullmatch(r"'\.\[(.*)\]'", second)
    assert extras
    assert set(extras[1].split(",")) == set(EXTRAS) - APART - {"dev", "bench"}
    assert "==" not in CONTAINER


@pytest.mark.parametrize("name", ["post", "environment", "runscript", "test"])
def test_container_scripts_are_shell(name: str) -> None:
    """Every script of the container is read by a POSIX shell without complaint."""
    told = subprocess.run(["sh", "-n"], input=section(name), capture_output=True, text=True, check=False)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    """Every requirement, of the extras too, is pinned to a version that it allows."""
    pinned = pins()
    assert canonicalize_name(requirement.name) in pinned
    assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)], prereleases=True)


def test_citation_names_this_version() -> None:
    """Who cites the package cites this version and its name."""
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["version"]) == PROJECT["version"]
    assert PROJECT["name"] in citation["title"].lower()


def test_rules_name_an_environment_that_exists() -> None:
    """Every environment that a rule names is a file."""
    for rules in (REPOSITORY / "workflows/rules").glob("*.smk"):
        for name in re.findall(r'"(\.\./envs/[^"]+)"', rules.read_text(encoding="utf-8")):
            assert (rules.parent / name).is_file()
