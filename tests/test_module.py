"""The built wheel in an environment of its own: its rules run from a user's repository, and in the container's own test."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.study

REPOSITORY = Path(__file__).parents[1]
WITH_THE_PACKAGE = ["Snakefile", "workflows", "profiles", "structures", "calculators", "references"]
PAGE = (REPOSITORY / "docs/modules.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^```(?:python|yaml)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SNAKEFILE, STUDY, RENAMED, HANDLERS, SEVERAL = DOCUMENTED
ALUMINIUM = "calculations:\n  - {structures: [Al], calculators: [emt], properties: [elasticity]}\n"

Library = Callable[..., Path]
Called = subprocess.CompletedProcess[str]


class Installed:
    """An environment that holds the wheel, and what it depends on from that of the tests."""

    def __init__(self, folder: Path) -> None:
        """Build the wheel and install it below a folder."""
        wheels = folder / "wheels"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
        self._do([*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", f"--wheel-dir={wheels}", str(REPOSITORY)])
        self.programs = folder / "venv" / "bin"
        venv.create(self.programs.parent, symlinks=True)
        self.python = str(self.programs / "python")
        wanted = "import sysconfig; print(sysconfig.get_path('purelib'))"
        packages = Path(self._do([self.python, "-c", wanted]).stdout.strip())
        (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
        install = ["install", "--quiet", "--no-deps", "--ignore-installed", str(next(wheels.iterdir()))]
        self._do([*pip, "--python", self.python, *install])
        self.data = packages / "seiflow" / "data"
        self.store = folder / "store"

    def call(self, *command: str | Path, cwd: Path, path: str | None = None) -> Called:
        """Run a command as in the activated environment."""
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        variables |= {"GIT_DIR": os.devnull, "SEIFLOW_STORE": str(self.store)}
        variables["PATH"] = path or f"{self.programs}{os.pathsep}{variables['PATH']}"
        words = list(map(str, command))
        return subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300, check=False)

    def snakemake(self, *arguments: str | Path, cwd: Path, path: str | None = None) -> Called:
        """Run Snakemake with the interpreter of the environment."""
        return self.call(self.python, "-m", "snakemake", *arguments, cwd=cwd, path=path)

    @staticmethod
    def _do(command: list[str]) -> Called:
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    if importlib.util.find_spec("hatchling") is None:
        message = "hatchling, which builds the wheel, is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return Installed(tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def own(installed_wheel: Installed, tmp_path_factory: pytest.TempPathFactory, library: Library) -> Path:
    """Return a user's repository as the documentation has it, in which all of it has been run."""
    folder = tmp_path_factory.mktemp("own")
    library(folder / "recipes")
    (folder / "Snakefile").write_text(SNAKEFILE, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    done = installed_wheel.snakemake("--cores", "2", "all", "young", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def records(folder: Path) -> dict[str, bytes]:
    """Return all records below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.json"))}


def test_wheel_brings_rules_environments_captions_and_profiles(installed_wheel: Installed) -> None:
    """Every file that the rules and the library are made of is in the installed package, byte for byte."""
    for name in WITH_THE_PACKAGE:
        top = REPOSITORY / name
        files = [path for path in [top, *top.rglob("*")] if path.is_file() and path.suffix != ".pyc"]
        assert files
        for path in files:
            assert (installed_wheel.data / path.relative_to(REPOSITORY)).read_bytes() == path.read_bytes()


def test_ten_lines_and_a_study_run_from_a_repository_of_ones_own(own: Path) -> None:
    """The documented Snakefile and study compute the package's phases and the user's own, and the user's rule reads a result."""
    assert len(SNAKEFILE.splitlines()) <= 11
    assert "young_modulus_gpa" in (own / "young.txt").read_text(encoding="utf-8")
    made = records(own / "results")
    assert {"Al/emt/migration.json", "Al/emt/hops/hop_1.json", "Cu3Au/pair/elasticity.json"} <= set(made)
    assert "Aluminium, and an alloy of my own" in (own / "results/report.html").read_text(encoding="utf-8")


def test_second_run_of_the_repository_has_nothing_to_do(own: Path, installed_wheel: Installed) -> None:
    """What is done stays done, also for Snakemake in another process."""
    again = installed_wheel.snakemake("--dry-run", "all", "young", cwd=own)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_rules_may_be_renamed(own: Path, installed_wheel: Installed, tmp_path: Path) -> None:
    """With a prefix before every rule, and a rule for all of the user's own, checkpoints are found and the bytes are the same."""
    (tmp_path / "recipes").symlink_to(own / "recipes")
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    renamed = SNAKEFILE.replace("use rule * from seiflow\n", RENAMED)
    assert renamed != SNAKEFILE
    (tmp_path / "Snakefile").write_text(renamed, encoding="utf-8")
    done = installed_wheel.snakemake("--cores", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seiflow_migration" in done.stdout + done.stderr
    assert (tmp_path / "young.txt").exists()
    assert records(tmp_path / "results") == records(own / "results")


def test_container_tests_itself_with_a_study(installed_wheel: Installed, tmp_path: Path) -> None:
    """The test of the container's definition passes in an environment with the wheel: Snakemake on the printed rules."""
    text = (REPOSITORY / "apptainer.def").read_text(encoding="utf-8")
    script = re.search(r"^%test\n(.*?)(?=^%)", text, re.MULTILINE | re.DOTALL)
    assert script
    done = installed_wheel.call("sh", "-c", script[1], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Al .*emt", done.stdout)


TWO = "oxides:\n  results: one\n  calculations:\n    - {structures: [Al], calculators: [emt], {key}: [elasticity]}\n"
TWO += "fluorides:\n  results: two\n" + "".join(f"  {line}\n" for line in ALUMINIUM.splitlines())


def test_two_studies_in_one_repository(installed_wheel: Installed, tmp_path: Path) -> None:
    """Two modules plan two studies into folders of their own; a mistake in one is named with its line in the common file."""
    (tmp_path / "Snakefile").write_text("from seiflow.snakefile import SNAKEFILE\n" + SEVERAL, encoding="utf-8")
    (tmp_path / "config.yaml").write_text(TWO.replace("{key}", "properties"), encoding="utf-8")
    planned = installed_wheel.snakemake("--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert all(f"{name}/Al/emt/elasticity.json" in planned.stdout + planned.stderr for name in ("one", "two"))

    (tmp_path / "config.yaml").write_text(TWO.replace("{key}", "propertis"), encoding="utf-8")
    refused = installed_wheel.snakemake("--dry-run", cwd=tmp_path)
    said = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert re.search(
        r"config\.yaml: .*line 4: calculations\.0\.propertis: unknown key; did you mean 'properties'", said, re.DOTALL
    )
    assert "Traceback" not in said


def test_handlers_are_handed_on(installed_wheel: Installed, tmp_path: Path) -> None:
    """With the documented handlers, a study in which a job fails locks its results while it runs, and is reported on."""
    hopeless = ALUMINIUM + "settings: {relaxation: {fmax: 1.0e-9, max_steps: 1}}\n"
    (tmp_path / "study.yaml").write_text(hopeless, encoding="utf-8")
    look = '    shell("cp results/.run held.json")\n'
    (tmp_path / "Snakefile").write_text(SNAKEFILE + HANDLERS + look, encoding="utf-8")
    done = installed_wheel.snakemake("--cores", "1", cwd=tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "results/report.html").exists()
    assert json.loads((tmp_path / "held.json").read_text(encoding="utf-8"))["process"] is not None
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("snakefile", "study", "expected"),
    [
        pytest.param(None, None, r"no study: there is no config/config\.yaml here.*--configfile", id="none"),
        pytest.param(None, ALUMINIUM.replace("emt", "etm"), r"study\.yaml.*line 2: .*'etm'; did you mean 'emt'", id="name"),
        pytest.param(None, ALUMINIUM.replace("calculations", "calculation"), r"line 1: .*did you mean 'calculations'", id="key"),
        pytest.param(
            SNAKEFILE.replace("    config: config\n", ""), ALUMINIUM, r"empty study.*config: config", id="module without config"
        ),
        pytest.param(
            SNAKEFILE.replace("    config: config\n", '    config: config\n    prefix: "sub"\n'),
            ALUMINIUM,
            r"prefix of a module would move results to sub/results.*key results",
            id="prefix",
        ),
    ],
)
def test_mistakes_end_with_what_to_do(
    installed_wheel: Installed, tmp_path: Path, snakefile: str | None, study: str | None, expected: str
) -> None:
    """A run without a study, or with a mistake in it or in the module, says in one message what to do and starts no job."""
    arguments = ["--dry-run"]
    if study:
        (tmp_path / "study.yaml").write_text(study, encoding="utf-8")
        arguments += [] if snakefile else ["--configfile", "study.yaml"]
    if snakefile:
        (tmp_path / "Snakefile").write_text(snakefile, encoding="utf-8")
    rules = tmp_path / "Snakefile" if snakefile else installed_wheel.data / "Snakefile"
    told = installed_wheel.snakemake("--snakefile", rules, *arguments, cwd=tmp_path)
    said = told.stdout + told.stderr
    assert told.returncode == 1, said
    assert re.search(expected, said, re.DOTALL), said
    assert "Traceback" not in said


def test_command_that_is_not_on_the_path_is_named(installed_wheel: Installed, tmp_path: Path) -> None:
    """Snakemake started without its environment being active says so before the first job, and how to go on."""
    (tmp_path / "study.yaml").write_text(ALUMINIUM, encoding="utf-8")
    arguments = ["--snakefile", installed_wheel.data / "Snakefile", "--configfile", "study.yaml", "--cores", "1"]
    told = installed_wheel.snakemake(*arguments, cwd=tmp_path, path="/usr/bin:/bin")
    assert told.returncode == 1
    assert f"export PATH={installed_wheel.programs}:$PATH" in told.stdout + told.stderr
    assert not (tmp_path / "results").exists()


def test_profiles_come_along(installed_wheel: Installed, tmp_path: Path) -> None:
    """A profile is found by its name wherever the package lies; an unknown one is refused with the nearest."""
    found = installed_wheel.call("seiflow", "snakefile", "--profile", "default", cwd=tmp_path).stdout.strip()
    assert Path(found) == installed_wheel.data / "profiles/default"
    refused = installed_wheel.call("seiflow", "snakefile", "--profile", "defaults", cwd=tmp_path)
    assert refused.returncode == 1
    assert "did you mean 'default'?" in refused.stderr
