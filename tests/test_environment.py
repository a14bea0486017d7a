"""The files that say what is installed agree with each other."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
APART = {path.stem for path in (REPOSITORY / "workflows" / "envs").glob("*.yml")}  # extras with an environment of their own
TOGETHER = [line for extra, lines in EXTRAS.items() if extra not in APART for line in lines]
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *TOGETHER]]


def conda(name: str) -> tuple[SpecifierSet, set[str], list[str]]:
    """Return the python version, the other packages and the pip packages of an environment file."""
    listed = yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))["dependencies"]
    plain = [entry for entry in listed if isinstance(entry, str)]
    python = next(Requirement(entry) for entry in plain if entry.startswith("python"))
    pip = [entry for part in listed if isinstance(part, dict) for entry in part["pip"]]
    return python.specifier, {entry for entry in plain if not entry.startswith("python")}, pip


def pins() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line.strip() and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_conda_brings_python_and_pip_brings_the_rest() -> None:
    """The environment holds python, pip and this package by pip, so that dependencies stand in one place."""
    python, others, pip = conda("environment.yml")
    assert others == {"pip"}
    assert [entry.removeprefix("-e ").partition("[")[0] for entry in pip] == ["."]
    assert python == SpecifierSet(PROJECT["requires-python"])


def test_environment_of_the_rules_names_this_version() -> None:
    """The environment of the rules installs the version of this source tree."""
    python, others, pip = conda("workflows/envs/seiflow.yml")
    assert others == {"pip"}
    assert python == SpecifierSet(PROJECT["requires-python"])
    found = [Requirement(entry) for entry in pip]
    assert [requirement.name for requirement in found] == [PROJECT["name"]]
    assert found[0].specifier == SpecifierSet(f"=={PROJECT['version']}")


def test_every_constraint_is_a_pin() -> None:
    """Every line of the constraints pins one version."""
    lines = (REPOSITORY / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!]+", line)] == []


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
