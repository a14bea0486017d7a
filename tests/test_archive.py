"""Studies packed, checked against the profile of run crates, run again elsewhere; and archives that mean harm."""

import json
import os
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from seiflow.cli import main
from seiflow.errors import InputError
from seiflow.provenance.foreign import MARK, VARIABLE, foreign_problems, recipe_code
from seiflow.provenance.unpack import extract, inspect
from seiflow.records import digest_file
from seiflow.shelves import data_folder

pytestmark = pytest.mark.study

Run = Callable[..., subprocess.CompletedProcess[str]]

BIOSCHEMAS = "https://bioschemas.org/"
TERMS_1_1 = {"ComputationalWorkflow": "ComputationalWorkflow", "FormalParameter": "FormalParameter"}
TERMS_1_1 |= {"input": "ComputationalWorkflow#input", "output": "ComputationalWorkflow#output"}
"""In which the context of RO-Crate 1.1 is another than that of 1.3, which the library brings."""


@pytest.fixture(scope="module")
def packed(finished: Path, tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Return the archive of a finished study."""
    file = tmp_path_factory.mktemp("packed") / "study.crate.zip"
    told = run("seiflow", "archive", "study.yaml", "--output", file, cwd=finished)
    assert (told.returncode, told.stderr) == (0, "")
    return file


@pytest.fixture
def unpacked(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of an unpacked archive, which is the one in use and not trusted."""
    monkeypatch.delenv(VARIABLE, raising=False)
    assert main(["archive", str(packed), "--unpack", "--output", str(tmp_path / "unpacked")]) == 0
    monkeypatch.chdir(tmp_path / "unpacked")
    return tmp_path / "unpacked"


def graph(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the entities of a crate by id."""
    return {entity["@id"]: entity for entity in json.loads((folder / MARK).read_text(encoding="utf-8"))["@graph"]}


def ids(value: object) -> set[str]:
    """Return what a property of an entity refers to."""
    return {entry["@id"] for entry in (value if isinstance(value, list) else [value])}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the validator read the context of RO-Crate from the library, and nothing from anywhere else."""
    import requests
    import rocrate
    from rocrate_validator.utils.http import HttpRequester

    context = json.loads((Path(rocrate.__file__).parent / "data/ro-crate.jsonld").read_text(encoding="utf-8"))
    context["@context"] |= {term: BIOSCHEMAS + place for term, place in TERMS_1_1.items()}

    def get(_: object, url: str, **__: object) -> requests.Response:
        assert url == "https://w3id.org/ro/crate/1.1/context"
        response = requests.Response()
        response.status_code, response.url = 200, url
        response.headers["Content-Type"] = "application/ld+json"
        response._content = json.dumps(context).encode()  # noqa: SLF001 - the only way to make one
        return response

    monkeypatch.setattr(HttpRequester, "get", get, raising=False)
    monkeypatch.setattr(HttpRequester, "head", get, raising=False)


def issues(folder: Path, cache: Path) -> list[str]:
    """Return what the validator requires of a Provenance Run Crate and does not find."""
    from rocrate_validator import services

    settings = services.ValidationSettings(
        rocrate_uri=str(folder), profile_identifier="provenance-run-crate-0.5", offline=True, cache_path=cache
    )
    return [str(issue.message) for issue in services.validate(settings).get_issues()]


@pytest.mark.usefixtures("offline")
@pytest.mark.filterwarnings("ignore")
def test_archive_is_a_provenance_run_crate(unpacked: Path, tmp_path: Path) -> None:
    """The archive has all that Provenance Run Crate 0.5 requires, and so have the profiles that it includes."""
    assert issues(unpacked, tmp_path / "cache") == []
    data = json.loads((unpacked / MARK).read_text(encoding="utf-8"))
    for entity in data["@graph"]:
        entity.pop("instrument", None)
    (unpacked / MARK).write_text(json.dumps(data), encoding="utf-8")
    assert any("instrument" in text for text in issues(unpacked, tmp_path / "cache"))


def test_archive_holds_all_that_the_study_is(unpacked: Path, finished: Path) -> None:
    """Records, structures, table, recipes, rules and versions are in it, each with its digest; no machine or person is."""
    assert (unpacked / "library/calculators/pair.yaml").read_bytes() == (finished / "mine/calculators/pair.yaml").read_bytes()
    assert {path.stem for path in (unpacked / "library").rglob("*.yaml")} == {"Cu", "Al", "Cu3Au", "emt", "pair"}
    for path in sorted((finished / "results").rglob("*")):
        place = path.relative_to(finished)
        hidden = any(part.startswith(".") for part in place.parts)
        if path.is_file() and not hidden and not {"logs", "study.yaml"} & set(place.parts):
            assert (unpacked / place).read_bytes() == path.read_bytes()
    assert "numpy==" in (unpacked / "environment/constraints.txt").read_text(encoding="utf-8")
    entities = graph(unpacked)
    files = {key: entity for key, entity in entities.items() if "File" in entity["@type"]}
    there = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert set(files) == there - {MARK}
    assert all(entity["sha256"] == digest_file(unpacked / key) for key, entity in files.items())
    assert not any("Person" in entity["@type"] or entity.get("author") for entity in entities.values())
    assert str(finished) not in (unpacked / MARK).read_text(encoding="utf-8")


def test_every_result_has_the_run_that_made_it(unpacked: Path) -> None:
    """Each record is the result of one run of a command, whose objects are the files that its digests name, and its settings."""
    entities = graph(unpacked)
    runs = [entity for key, entity in entities.items() if key.startswith("#run/")]
    for path in (unpacked / "results").rglob("*.json"):
        place = path.relative_to(unpacked).as_posix()
        (run,) = [entity for entity in runs if place in ids(entity["result"])]
        provenance = json.loads(path.read_text(encoding="utf-8"))["provenance"]
        objects = [entities[key] for key in ids(run["object"])]
        files = {entity["sha256"] for entity in objects if "File" in entity["@type"]}
        assert files == {*provenance["recipes_sha256"].values(), *provenance["inputs_sha256"].values()}
        settings = {entity["name"]: json.loads(entity["value"]) for entity in objects if entity["@type"] == "PropertyValue"}
        assert settings == {key: value for key, value in provenance["settings"].items() if not isinstance(value, dict)}
    (main_run,) = [entity for entity in [*runs, entities["#run"]] if ids(entity["instrument"]) == {"Snakefile"}]
    assert "study.yaml" in ids(main_run["object"])


def test_author_and_licence_are_those_given(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """People and licence in the archive are those that the user names, and the date is the one that the environment fixes."""
    monkeypatch.chdir(finished)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    given = ["--author", "A. Nother", "--license", "https://spdx.org/licenses/CC-BY-4.0"]
    assert main(["archive", "study.yaml", "--output", str(tmp_path / "crate"), *given]) == 0
    entities = graph(tmp_path / "crate")
    root = entities["./"]
    assert entities[next(iter(ids(root["author"])))]["name"] == "A. Nother"
    assert ids(root["license"]) == {"https://spdx.org/licenses/CC-BY-4.0"}
    assert root["datePublished"] == "1970-01-02"
    assert main(["archive", "study.yaml", "--output", str(tmp_path / "crate")]) == 1


def test_study_runs_again_from_the_archive(unpacked: Path, finished: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing but the archive the rules in it give the same bytes; a foreign calculator only if trusted."""
    targets = ["again/Cu3Au/pair/elasticity.json", "again/Al/emt/elasticity.json"]
    command = ["--configfile", "study.yaml", "--config", "results=again", "--cores", "2", *targets]
    told = run("snakemake", *command, cwd=unpacked)
    assert told.returncode == 1
    assert "imports and calls ase.calculators.lj:LennardJones, refused unless trusted" in told.stdout + told.stderr
    assert not (unpacked / "again").exists()
    monkeypatch.setenv(VARIABLE, str(unpacked))
    told = run("snakemake", *command, cwd=unpacked)
    assert told.returncode == 0, told.stdout + told.stderr
    made = [path for path in (unpacked / "again").glob("*/*/*") if path.is_file()]
    assert len(made) == 8
    for path in made:
        assert path.read_bytes() == (finished / "results" / path.relative_to(unpacked / "again")).read_bytes()


def test_archive_verifies_where_it_is_unpacked(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By digests an archive is checked without trust; its numbers are not computed again before it is trusted."""
    assert main(["verify", "results", "--sample", "0"]) == 0
    assert main(["trace", "results/Cu3Au/pair/elasticity.json"]) == 0
    assert main(["verify", "results", "--sample", "1"]) == 1
    assert f"set {VARIABLE}={unpacked}" in capsys.readouterr().out


def test_tampered_results_are_not_archived(copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that are not what their recipes give are archived only if the user insists."""
    monkeypatch.chdir(copied)
    path = Path("mine/calculators/pair.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("0.4", "0.5"), encoding="utf-8")
    output = tmp_path / "crate.zip"
    assert main(["archive", "study.yaml", "--output", str(output)]) == 1
    assert not output.exists()
    assert main(["archive", "study.yaml", "--output", str(output), "--anyway"]) == 0
    assert zipfile.is_zipfile(output)


EVIL = """\
name: evil
summary: a calculator whose import alone does harm
factory: {factory}
elements: [Cu]
charge: false
seconds_per_atom: 1
source: {{citation: none}}
{more}
"""


def foreign(folder: Path, factory: str = "ase.calculators.emt:EMT", more: str = "", **study: object) -> None:
    """Write a study that came from an archive, with a calculator of its own."""
    (folder / "library/calculators").mkdir(parents=True)
    (folder / MARK).write_text("{}", encoding="utf-8")
    (folder / "library/calculators/evil.yaml").write_text(EVIL.format(factory=factory, more=more), encoding="utf-8")
    block = {"structures": ["Cu"], "calculators": ["evil"], "properties": ["relaxation"]}
    text = yaml.safe_dump({"library": ["library"], "calculations": [block]} | study)
    (folder / "study.yaml").write_text(text, encoding="utf-8")


def test_nothing_foreign_is_imported_before_it_is_trusted(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calculator's module from an archive is named, and not imported before the folder is trusted."""
    harm = tmp_path / "harm"
    (tmp_path / "path/evil").mkdir(parents=True)
    (tmp_path / "path/evil/__init__.py").write_text(f"open({str(harm)!r}, 'w')", encoding="utf-8")
    (tmp_path / "path/evil/potential.py").write_text("from ase.calculators.emt import EMT as make", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), os.environ.get("PYTHONPATH", "")]))
    folder = tmp_path / "foreign"
    foreign(folder, "evil.potential:make")
    told = run("seiflow", "archive", "--inspect", ".", cwd=folder)
    assert "library/calculators/evil.yaml: imports and calls evil.potential:make, refused unless trusted" in told.stdout
    told = run("seiflow", "check", "study.yaml", cwd=folder)
    assert told.returncode == 1
    assert "imports and calls evil.potential:make, refused unless trusted" in told.stderr
    assert not harm.exists()
    monkeypatch.setenv(VARIABLE, str(folder))
    assert run("seiflow", "check", "study.yaml", cwd=folder).returncode == 0
    assert not harm.exists()
    copper = ["--structure", str(data_folder("structures") / "phases/Cu.yaml")]
    run("seiflow", "build", *copper, "--output", "built.extxyz", cwd=folder)
    recipes = [*copper, "--calculator", "library/calculators/evil.yaml"]
    files = ["--built", "built.extxyz", "--relaxed", "relaxed.extxyz", "--output", "relaxation.json"]
    run("seiflow", "relax", *recipes, *files, cwd=folder)
    assert harm.exists(), "the module would do no harm if it were imported"


@pytest.mark.parametrize(
    ("more", "study", "expected"),
    [
        ("weights: [/etc/hostname]", {}, "reads /etc/hostname"),
        ("weights: [espresso:../../secret]", {}, "reads espresso:../../secret"),
        ("arguments: {asap_cutoff: {deep: [/etc/hostname]}}", {}, "hands '/etc/hostname' to"),
        ("arguments: {asap_cutoff: ../model.pth}", {}, "hands '../model.pth' to"),
        ("arguments: {asap_cutoff: model.pth}", {}, "hands 'model.pth' to"),
        ("remedies: [{name: other, arguments: {command: harm}}]", {}, "hands 'harm' to"),
        ("program: bash", {}, "starts the program bash"),
        ("", {"results": "../out"}, "../out leaves the folder"),
        ("", {"results": "/srv/out"}, "/srv/out leaves the folder"),
        ("", {"library": ["library", ".."]}, ".. leaves the folder"),
        ("", {"machine": "/etc/machine.yaml"}, "/etc/machine.yaml leaves the folder"),
        ("", {"machine": "machine.yaml"}, "machine.yaml: says which programs and interpreters are started"),
        ("", {"store": "~/elsewhere"}, "~/elsewhere leaves the folder"),
        ("", {"trusted": ["/"]}, "/ leaves the folder"),
    ],
)
def test_paths_of_a_foreign_study_stay_inside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: str,
    study: dict[str, object],
    expected: str,
) -> None:
    """A path in a recipe or study from an archive that leaves its folder is refused; the same study of the user's own is not."""
    foreign(tmp_path / "foreign", more=more, **study)
    monkeypatch.chdir(tmp_path / "foreign")
    assert main(["check", "study.yaml"]) == 1
    assert f"{expected}" in (told := capsys.readouterr().err)
    assert "unexpected" not in told
    Path(MARK).unlink()
    main(["check", "study.yaml"])
    assert "came from an archive" not in capsys.readouterr().err


def test_known_calculators_of_an_archive_need_no_trust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes that are the package's own, or name one of its calculators with other arguments, are not refused."""
    foreign(tmp_path, more="arguments: {asap_cutoff: true}")
    monkeypatch.chdir(tmp_path)
    assert foreign_problems([Path("library")], ["results"]) == []


def test_texts_of_the_package_need_no_trust(tmp_path: Path) -> None:
    """What the package's own recipes of a calculator hand over may be handed over by one from an archive; all else is refused."""
    own = (data_folder("calculators") / "sevennet-0.yaml").read_text(encoding="utf-8").replace("2500", "2600")
    (tmp_path / "calculators").mkdir()
    file = tmp_path / "calculators/sevennet-0.yaml"
    file.write_text(own, encoding="utf-8")
    assert not any(code.refused for code in recipe_code(tmp_path))
    file.write_text(own.replace("7net-0", "model.pth"), encoding="utf-8")
    assert [code.what for code in recipe_code(tmp_path) if code.refused] == [
        "hands 'model.pth' to seiflow.calculators.sevennet:sevennet"
    ]


def test_machine_of_an_archive_starts_nothing(tmp_path: Path, run: Run) -> None:
    """A machine file from an archive, which is mere data to look at, starts neither programs nor interpreters, and is named."""
    foreign(tmp_path, machine="machine.yaml")
    (tmp_path / "machine.yaml").write_text("pythons: {mace: ./harmful}", encoding="utf-8")
    (tmp_path / "harmful").write_text("#!/bin/sh\ntouch harm\n", encoding="utf-8")
    (tmp_path / "harmful").chmod(0o755)
    study = yaml.safe_load((tmp_path / "study.yaml").read_text(encoding="utf-8"))
    study["calculations"][0]["calculators"] = ["mace-mp-0"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    (tmp_path / "results").mkdir()
    assert any("study.yaml: says which programs" in line for line in inspect(tmp_path))
    for command in (["check", "study.yaml"], ["verify", "study.yaml"]):
        told = run("seiflow", *command, cwd=tmp_path)
        assert told.returncode == 1
        assert "machine.yaml: says which programs and interpreters are started" in told.stdout + told.stderr
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("command", [["forces", "evil", "--phase", "Cu"], ["fetch", "evil"]], ids=" ".join)
def test_calculator_of_an_archive_is_used_by_no_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """Reference forces and weights are refused too with a recipe from an archive that calls something unknown."""
    foreign(tmp_path, "os:mkdir", "arguments: {path: harm}\nfetched: true")
    monkeypatch.chdir(tmp_path)
    assert main(["calculators", *command, "--library", "library"]) == 1
    assert "imports and calls os:mkdir, refused unless trusted" in capsys.readouterr().err
    assert not Path("harm").exists()


def member(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize(
    "members",
    [
        [member("../outside.txt")],
        [member("a/../../outside.txt")],
        [member("/srv/outside.txt")],
        [member("a\\..\\..\\outside.txt")],
        [member("C:outside.txt")],
        [member("link", stat.S_IFLNK | 0o777)],
        [member("pipe", stat.S_IFIFO | 0o666)],
        [member("twice.txt"), member("TWICE.txt")],
    ],
    ids=["up", "up again", "absolute", "backslash", "drive", "link", "pipe", "twice"],
)
def test_archive_that_leaves_its_folder_is_refused_whole(tmp_path: Path, members: list[zipfile.ZipInfo]) -> None:
    """A path that leads out of the folder, a link, a device or a doubled name: nothing at all is unpacked."""
    file = tmp_path / "evil.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("good.txt", "good")
        for info in members:
            archive.writestr(info, "/etc/hostname")
    folder = tmp_path / "inside" / "deeper"
    folder.mkdir(parents=True)
    with pytest.raises(InputError, match=r"refused, nothing was unpacked"):
        extract(file, folder)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["evil.zip"]


def test_damaged_archives_are_named(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is no archive, one cut off, one with a changed byte and one that is not there end in a sentence each."""
    whole = packed.read_bytes()
    middle = len(whole) // 2
    for name, data in (
        ("no.zip", b"no"),
        ("cut.zip", whole[:middle]),
        ("bit.zip", whole[:middle] + b"\0\0\0" + whole[middle + 3 :]),
    ):
        (tmp_path / name).write_bytes(data)
        assert main(["archive", str(tmp_path / name), "--unpack", "--output", str(tmp_path / "out")]) == 1
        assert not (tmp_path / "out").exists()
    assert main(["archive", str(tmp_path / "none.zip"), "--inspect"]) == 1
    assert main(["archive", str(packed), "--unpack"]) == 1
    assert "unexpected" not in capsys.readouterr().err


def test_inspect_names_what_is_not_the_same_here(unpacked: Path) -> None:
    """Rules that are those of this seiflow are not named; changed ones, a profile and a stray program are."""
    assert not any("Snakefile" in line or "rules/" in line for line in inspect(unpacked))
    with (unpacked / "Snakefile").open("a", encoding="utf-8") as file:
        file.write("shell('true')\n")
    (unpacked / "sitecustomize.py").write_text("", encoding="utf-8")
    shutil.copytree(unpacked / "profiles/default", unpacked / "profiles/other")
    told = "\n".join(inspect(unpacked))
    assert "Snakefile: rules, profile or environment other than those of this seiflow" in told
    assert "sitecustomize.py: not known to be mere data" in told
    assert "profiles/other/config.yaml: rules" in told
