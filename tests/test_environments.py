"""Environments of their own: jobs go there by themselves, weights are fetched there, and what is missing is told beforehand.

A second virtual environment holds a package that the first one lacks, so that nothing here needs an ML potential to be installed.
"""

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from seiflow import __version__
from seiflow.calculators import environments
from seiflow.calculators.environments import VARIABLE, conda_name, enter, interpreter
from seiflow.calculators.factory import installation_problem, make_calculator
from seiflow.calculators.machine import VARIABLE as MACHINE
from seiflow.calculators.recipes import CalculatorRecipe, calculator_shelf
from seiflow.errors import CalculatorError
from seiflow.shelves import data_folder, load_recipe
from seiflow.study import Study
from seiflow.workflow import Plan

REPOSITORY = Path(__file__).parents[1]

PACKAGE = '''\
"""A potential whose weights are fetched when it is first made."""

from pathlib import Path

from ase.calculators.emt import EMT

print("welcome to far_potential")


def far(model, device):
    """Return a calculator."""
    weights = Path(f"~/.cache/far/{model}").expanduser()
    if device != "cpu":
        raise RuntimeError("no such device here")
    if not weights.exists():
        weights.parent.mkdir(parents=True)
        weights.write_text("numbers from the internet", encoding="utf-8")
    if weights.read_text(encoding="utf-8") != "numbers from the internet":
        raise ValueError("broken archive")
    return EMT()
'''

RECIPE = {
    "name": "far",
    "summary": "a potential that lives in an environment of its own",
    "factory": "far_potential:far",
    "arguments": {"model": "model.bin", "device": "cuda"},
    "elements": ["Cu"],
    "charge": False,
    "environment": "remote",
    "extra": "mace",
    "seconds_per_atom": 0.001,
    "packages": ["far_potential"],
    "fetched": True,
    "weights": ["~/.cache/far/model.bin"],
    "source": {"citation": "a test"},
}

STUDY = {
    "calculations": [{"structures": ["Cu"], "calculators": ["far", "emt"], "properties": ["elasticity"]}],
    "library": ["mine"],
    "store": None,
}

Seiflow = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment that has all that this one has, and a package more."""
    folder = tmp_path_factory.mktemp("environment")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "here.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n", encoding="utf-8")
    (packages / "far_potential.py").write_text(PACKAGE, encoding="utf-8")
    metadata = packages / "far_potential-1.2.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: far_potential\nVersion: 1.2\n", encoding="utf-8")
    return folder / "bin" / "python"


@pytest.fixture
def place(tmp_path: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a library, a study and a machine file that names the interpreter, and an empty home."""
    (tmp_path / "mine" / "calculators").mkdir(parents=True)
    write(tmp_path, {})
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    (tmp_path / "machine.yaml").write_text(yaml.safe_dump({"pythons": {"remote": str(remote)}}), encoding="utf-8")
    for name, value in (("HOME", tmp_path / "home"), (MACHINE, tmp_path / "machine.yaml")):
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    environments._asked.cache_clear()  # noqa: SLF001 - what an earlier test has asked
    return tmp_path


@pytest.fixture
def seiflow() -> Seiflow:
    """Return a function that runs a command of seiflow with this interpreter."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "seiflow", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    return run


def write(folder: Path, changes: dict[str, object]) -> CalculatorRecipe:
    """Write the recipe into the library of a folder."""
    path = folder / "mine" / "calculators" / "far.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"arguments": {"model": "model.bin", "device": "cpu"}} | changes), encoding="utf-8")
    return load_recipe(path, CalculatorRecipe)


def relax(seiflow: Seiflow, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build copper and relax it with the potential."""
    recipe = data_folder("structures") / "phases" / "Cu.yaml"
    built, calculator = folder / "built.extxyz", folder / "mine" / "calculators" / "far.yaml"
    assert seiflow("build", "--structure", recipe, "--output", built).returncode == 0
    given = ["--structure", recipe, "--calculator", calculator, "--built", built, "--relaxed", folder / "relaxed.extxyz"]
    return seiflow("relax", *given, "--output", folder / "relaxation.json")


def test_weights_are_fetched_in_the_environment_and_the_job_goes_there(place: Path, seiflow: Seiflow) -> None:
    """A job started here runs with the other interpreter and records what it found there, once its weights are fetched."""
    recipe, weights = write(place, {}), place / "home" / ".cache" / "far" / "model.bin"
    assert "seiflow calculators fetch far" in (installation_problem(recipe) or "")
    refused = relax(seiflow, place)
    assert refused.returncode == 1
    assert "fetch far" in (place / "relaxation.failed").read_text(encoding="utf-8")
    assert not weights.exists()

    fetched = seiflow("calculators", "fetch", "far", "--library", "mine")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (fetched.returncode, fetched.stderr) == (0, "")
    assert digest in fetched.stdout

    environments._asked.cache_clear()  # noqa: SLF001 - the weights are there now
    assert installation_problem(recipe) is None
    done = relax(seiflow, place)
    assert done.returncode == 0, done.stderr
    provenance = json.loads((place / "relaxation.json").read_text(encoding="utf-8"))["provenance"]
    assert provenance["versions"]["far_potential"] == "1.2"
    assert provenance["weights_sha256"] == {"~/.cache/far/model.bin": digest}
    assert not (place / "relaxation.failed").exists()


def test_calculators_are_listed_with_what_they_need(place: Path, seiflow: Seiflow) -> None:
    """The list tells the calculators that are ready from those that need something, and what."""
    listed = seiflow("calculators", "list", "--library", place / "mine").stdout
    ready, _, rest = listed.partition("not ready")
    assert " emt " in ready
    assert " far " not in ready
    assert "seiflow calculators fetch far" in rest


def test_a_graphics_card_is_not_needed_to_fetch(place: Path, seiflow: Seiflow) -> None:
    """Weights are fetched on the processor: where there is internet there is often no graphics card."""
    write(place, {"arguments": {"model": "model.bin", "device": "cuda"}})
    assert seiflow("calculators", "fetch", "far", "--library", "mine").returncode == 0


def test_damaged_weights_are_told(place: Path, seiflow: Seiflow) -> None:
    """Weights that are there but cannot be read are said to be damaged, with what to do, and nothing is overwritten."""
    weights = place / "home" / ".cache" / "far" / "model.bin"
    weights.parent.mkdir(parents=True)
    weights.write_text("half of the", encoding="utf-8")
    refused = seiflow("calculators", "fetch", "far", "--library", "mine")
    assert refused.returncode == 1
    assert "broken archive" in refused.stderr
    assert "delete them and fetch again" in refused.stderr
    assert weights.read_text(encoding="utf-8") == "half of the"


def test_weights_kept_elsewhere_are_told(place: Path, seiflow: Seiflow) -> None:
    """A package that puts its weights where the recipe does not expect them is found out when they are fetched."""
    write(place, {"weights": ["~/.cache/far/another.bin"]})
    refused = seiflow("calculators", "fetch", "far", "--library", "mine")
    assert refused.returncode == 1
    assert "keeps it elsewhere" in refused.stderr


def test_nothing_is_fetched_for_a_calculator_that_brings_all(place: Path, seiflow: Seiflow) -> None:
    """A calculator whose package brings its weights has nothing to fetch, which is no mistake."""
    assert place.is_dir()
    done = seiflow("calculators", "fetch", "emt")
    assert (done.returncode, "nothing to fetch" in done.stdout) == (0, True)


def test_fetched_weights_must_be_named(place: Path) -> None:
    """A recipe whose weights are fetched must say which files these are, because they are part of every result."""
    with pytest.raises(Exception, match="fetched: true needs weights"):
        write(place, {"weights": []})


def test_study_names_what_the_environment_lacks(place: Path) -> None:
    """A study finds out before the first job that weights or packages are missing in another environment."""
    with pytest.raises(Exception, match="seiflow calculators fetch far"):
        Study(STUDY)
    write(place, {"packages": ["nearer_potential"]})
    with pytest.raises(Exception, match=r"nearer_potential is not installed.*-m pip install 'seiflow.mace.'"):
        Study(STUDY)


def test_environment_that_no_machine_names_is_explained(place: Path) -> None:
    """Without an interpreter in the machine file the message says how to make the environment and where to name it."""
    recipe = write(place, {"environment": "another"})
    assert interpreter(recipe) is None
    problem = installation_problem(recipe) or ""
    for said in ("make environment NAME=another", "pip install 'seiflow[mace]'", "pythons: {another:", "--sdm conda"):
        assert said in problem
    with pytest.raises(CalculatorError, match="far_potential"):
        make_calculator(recipe)


def test_packages_that_are_here_need_no_other_environment(place: Path) -> None:
    """A calculator whose packages are installed here runs here unless the machine names an interpreter for it."""
    changes = {"environment": "another", "factory": "ase.calculators.emt:EMT", "arguments": {}, "packages": []}
    recipe = write(place, changes | {"weights": [], "fetched": False})
    assert installation_problem(recipe) is None
    assert make_calculator(recipe) is not None


def test_interpreter_that_is_not_there_is_named(place: Path, seiflow: Seiflow) -> None:
    """A wrong path in the machine file is named by the check and by a job, and so is an interpreter without seiflow."""
    (place / "machine.yaml").write_text("pythons: {remote: ~/no/such/python}\n", encoding="utf-8")
    recipe = write(place, {})
    assert f"no Python interpreter {place / 'home/no/such/python'}" in (installation_problem(recipe) or "")
    assert "no Python interpreter" in relax(seiflow, place).stderr
    bare = place / "bare"
    venv.EnvBuilder(with_pip=False, symlinks=True).create(bare)
    (place / "machine.yaml").write_text(f"pythons: {{remote: {bare}/bin/python}}\n", encoding="utf-8")
    problem = installation_problem(recipe) or ""
    assert "seiflow cannot be used there (" in problem
    assert f"-m pip install 'seiflow[mace]=={__version__}'" in problem


def test_another_version_of_seiflow_is_refused(place: Path) -> None:
    """An environment with another version of seiflow is refused, because one study would mix the two."""
    other = place / "python"
    other.write_text("#!/bin/sh\nprintf '0.0.1\\nnull'\n", encoding="utf-8")
    other.chmod(0o755)
    (place / "machine.yaml").write_text(f"pythons: {{remote: {other}}}\n", encoding="utf-8")
    assert f"has seiflow 0.0.1, this is {__version__}" in (installation_problem(write(place, {})) or "")


def test_process_is_replaced_once(place: Path, remote: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command is handed on with its arguments and a mark, and whoever bears the mark stays."""
    calls: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *call: calls.append(call))
    recipe = write(place, {})
    enter(recipe, ["relax", "--output", "a file"])
    path, arguments, variables = calls[0]
    assert (path, arguments[1:]) == (str(remote), ["-P", "-m", "seiflow", "relax", "--output", "a file"])
    monkeypatch.setenv(VARIABLE, variables[VARIABLE])
    enter(recipe, ["relax"])
    enter(calculator_shelf().get("emt"), ["relax"])
    assert len(calls) == 1


@pytest.mark.parametrize("path", sorted((REPOSITORY / "workflows" / "envs").glob("*.yml")), ids=lambda path: path.stem)
def test_conda_environments_are_whole(path: Path) -> None:
    """Every conda environment installs this version of seiflow, with all that the calculators need whose jobs go there."""
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    (found,) = [Requirement(entry) for part in listed if isinstance(part, dict) for entry in part["pip"]]
    assert (found.name, str(found.specifier)) == ("seiflow", f"=={__version__}")
    recipes = [calculator_shelf().get(name) for name in calculator_shelf().names]
    here = [recipe for recipe in recipes if conda_name(recipe) == path.stem]
    assert here
    assert {recipe.extra for recipe in here if recipe.extra} <= found.extras
    assert "charged" in found.extras or not any(recipe.electronic for recipe in here), "charged defects need it"


CONDA = """\
#!/bin/sh
case "$1" in
  info) echo '{"conda_prefix": "/nowhere", "root_prefix": "/nowhere", "platform": "linux-64", "envs": []}';;
  --version) echo "conda 25.1.0";;
  config) echo '{"get": {"channel_priority": "strict"}}';;
esac
"""


def test_snakemake_takes_the_environment_of_the_calculator(
    place: Path,
    run: Callable[..., subprocess.CompletedProcess[str]],
    workflow: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With conda jobs of a calculator get its environment, others that of seiflow, and nothing is asked of the machine."""
    (place / "conda").write_text(CONDA, encoding="utf-8")
    (place / "conda").chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv(MACHINE)
    write(place, {"environment": "mace", "weights": [], "fetched": False})
    listed = run("snakemake", *workflow("--sdm", "conda", "--list-conda-envs"), cwd=place)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    assert "envs/seiflow.yml" in listed.stdout
    assert "envs/mace.yml" in listed.stdout
    write(place, {"environment": "unheard", "weights": [], "fetched": False})
    refused = run("snakemake", *workflow("--sdm", "conda", "--list-conda-envs"), cwd=place)
    assert refused.returncode == 1
    assert "conda knows no environment unheard" in refused.stderr


def test_conda_environments_of_the_user_come_first(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in ``envs`` of a user's folder is taken for the environment of that name; fetched weights are looked for still."""
    (place / "mine" / "envs").mkdir()
    (place / "mine" / "envs" / "own.yml").write_text("dependencies: [pip]\n", encoding="utf-8")
    monkeypatch.delenv(MACHINE)
    write(place, {"environment": "own"})
    with pytest.raises(Exception, match="fetch far"):
        Study(STUDY, conda=True)
    write(place, {"environment": "own", "weights": [], "fetched": False})
    plan = Plan(Study(STUDY, conda=True))

    class Job:
        structure, calculator = "Cu", "far"

    assert plan.environment(Job()) == str(place / "mine" / "envs" / "own.yml")
    Job.calculator = "emt"
    assert plan.environment(Job()) == "../envs/seiflow.yml"
