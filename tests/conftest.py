"""What several tests share: the repository, the installed programs, and one whole study that is run once."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["SEIFLOW_STORE"] = ""

import pytest
import yaml

from seiflow.calculators.factory import installation_problem
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell that starts the tests in the background has them ignore Ctrl-C, and the programs they start would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]
PROGRAMS = Path(sys.executable).parent

STUDY = """\
title: Two metals and an alloy
library: [mine]
calculations:
  - structures: [Cu, Al]
    calculators: [emt]
    properties: [elasticity, migration, phonons]
  - structures: [Cu3Au]
    calculators: [pair]
    properties: [elasticity]
settings:
  migration: {image_distance: 5}
  phonons: {image_distance: 5, mesh_density: 20}
"""

ALLOY = """\
name: Cu3Au
summary: ordered copper-gold alloy, a phase that the package does not know
formula: Cu3Au
space_group: 221
cell: {a: 3.75, b: 3.75, c: 3.75}
sites:
  - {species: Au, position: [0, 0, 0]}
  - {species: Cu, position: [0, 0.5, 0.5]}
charges: {Cu: 0, Au: 0}
source:
  citation: a test
"""

PAIR_POTENTIAL = """\
name: pair
summary: Lennard-Jones, the same between all atoms; a calculator that the package does not know
factory: ase.calculators.lj:LennardJones
arguments: {sigma: 2.4, epsilon: 0.4, rc: 6.0, smooth: true}
elements: [H-Og]
charge: false
seconds_per_atom: 0.0002
source:
  citation: a test
"""

Run = Callable[..., subprocess.CompletedProcess[str]]
Library = Callable[..., Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run whole studies last, so that a mistake in a detail shows first."""
    items.sort(key=lambda item: item.get_closest_marker("study") is not None)


def program(name: str) -> str:
    """Return the path of a program installed beside python; without it a test is skipped, on a build server it fails."""
    path = PROGRAMS / name
    if path.exists():
        return str(path)
    message = f"{name} is not installed in {PROGRAMS}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="session")
def installed() -> Callable[[str], CalculatorRecipe]:
    """Return a function that gives the recipe of a calculator; one not installed skips a test, on a build server it fails."""

    def get(name: str) -> CalculatorRecipe:
        recipe = calculator_shelf().get(name)
        problem = installation_problem(recipe)
        if problem and os.environ.get("CI") == "true":
            pytest.fail(problem)
        if problem:
            pytest.skip(problem)
        return recipe

    return get


def environment() -> dict[str, str]:
    """Return an environment in which programs find each other, and records name no revision: it may change while tests run."""
    return os.environ | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", "GIT_DIR": os.devnull}


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the top of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def run() -> Run:
    """Return a function that runs an installed program in a folder, with a store or none, and returns what it said."""

    def call(name: str, *arguments: str | Path, cwd: Path, store: str | Path = "") -> subprocess.CompletedProcess[str]:
        command = [program(name), *map(str, arguments)]
        variables = environment() | {"SEIFLOW_STORE": str(store)}
        return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)

    return call


@pytest.fixture(scope="session")
def workflow() -> Callable[..., list[str]]:
    """Return a function that gives the command line of Snakemake on a study in a folder, with the repository's rules."""

    def command(*arguments: str, study: str = "study.yaml") -> list[str]:
        rules = ["--snakefile", str(REPOSITORY / "Snakefile"), "--directory", ".", "--configfile", study]
        return [*rules, "--cores", "2", *arguments]

    return command


@pytest.fixture
def start() -> Callable[..., subprocess.Popen[bytes]]:
    """Return a function that starts a program in a process group of its own."""

    def begin(name: str, *arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [program(name), *arguments],
            cwd=cwd,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    return begin


@pytest.fixture(scope="session")
def library() -> Library:
    """Return a function that makes a folder with recipes of a user's own; keywords replace keys of the two recipes."""

    def make(folder: Path, structure: dict[str, object] | None = None, calculator: dict[str, object] | None = None) -> Path:
        for kind, text, changes in (("structures", ALLOY, structure), ("calculators", PAIR_POTENTIAL, calculator)):
            recipe = yaml.safe_load(text) | (changes or {})
            (folder / kind).mkdir(parents=True)
            (folder / kind / f"{recipe['name']}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        return folder

    return make


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, run: Run, workflow: Callable[..., list[str]], library: Library) -> Path:
    """Return a folder in which a study of two metals, and of an alloy and a calculator of the user's own, has been run."""
    folder = tmp_path_factory.mktemp("finished")
    library(folder / "mine")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    done = run("snakemake", *workflow(), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """Return a copy of the finished study that a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "copied"))
