"""A study is checked as a whole before anything is computed, and becomes each job once."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from seiflow.errors import InputError, StudyError
from seiflow.estimate import estimate
from seiflow.settings import parse_settings
from seiflow.study import Study
from seiflow.workflow import Plan, names_in, plan, sites_of_hop

Library = Callable[..., Path]
METALS: dict[str, Any] = {"structures": ["Cu", "Al"], "calculators": ["emt"], "properties": ["elasticity"]}


def problems(data: object) -> list[str]:
    with pytest.raises(StudyError) as caught:
        Study(data)
    return caught.value.problems


def refusal(folder: Path, text: str) -> list[str]:
    """Return the lines of the message with which a study file is refused."""
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        Study.read(path)
    return str(caught.value).splitlines()


def test_blocks_become_jobs_each_once() -> None:
    """Every property of every structure with every calculator is a job, relaxation too, and what is asked twice is done once."""
    jobs = Study({"calculations": [METALS, {**METALS, "structures": ["Cu"], "properties": ["phonons", "elasticity"]}]}).jobs
    found = [(job.structure, job.name) for job in jobs]
    expected = {("Cu", "relaxation"), ("Cu", "elasticity"), ("Cu", "phonons"), ("Al", "relaxation"), ("Al", "elasticity")}
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_settings_of_a_block_replace_those_of_the_study() -> None:
    """A block with settings has these and defaults for the rest, the others have those of the study."""
    study = Study(
        {
            "calculations": [
                {**METALS, "structures": ["Cu"]},
                {**METALS, "structures": ["Al"], "settings": {"elasticity": {"strain": 0.002}}},
            ],
            "settings": {"elasticity": {"strain": 0.003}, "relaxation": {"fmax": 0.005}},
        }
    )
    assert study.settings("Cu", "emt").elasticity.strain == 0.003
    assert study.settings("Al", "emt").elasticity.strain == 0.002
    assert study.settings("Al", "emt").relaxation.fmax != 0.005


def test_every_mistake_is_told_at_once() -> None:
    """One message lists all wrong names, uncovered elements, missing folders and contradicting settings of a study."""
    blocks = [
        {**METALS, "structures": ["Copper", "Alu"], "calculators": ["emt", "chgnett"]},
        {**METALS, "structures": ["LiF"]},
        {**METALS, "structures": ["Cu"]},
        {**METALS, "structures": ["Cu"], "settings": {"relaxation": {"fmax": 0.01}}},
    ]
    found = "\n".join(problems({"library": ["no/such/folder"], "calculations": blocks}))
    assert "no folder no/such/folder" in found
    assert "unknown structure 'Copper'" in found
    assert "unknown structure 'Alu'; did you mean 'Al'?" in found
    assert "unknown calculator 'chgnett'; did you mean 'chgnet'?" in found
    assert "calculator emt does not cover F, Li of LiF; these do: chgnet" in found
    assert "Cu with emt has other settings in an earlier block; one pair has one set of settings" in found
    assert len(problems({"library": ["no/such/folder"], "calculations": blocks})) == 6


def test_library_without_the_folders_of_recipes_is_refused(tmp_path: Path) -> None:
    """A recipe beside structures/ in place of in it would not be found: the message says where recipes are looked for."""
    study = {"library": [str(tmp_path)], "calculations": [METALS]}
    (told,) = problems(study)
    assert "has no structures/, calculators/ or references/" in told
    (tmp_path / "calculators").mkdir()
    Study(study)


def test_every_wrong_key_and_value_is_told_at_once() -> None:
    """One message lists all unknown keys, with the nearest, and all values out of range."""
    found = "\n".join(
        problems(
            {
                "titel": "x",
                "calculations": [{**METALS, "properties": ["elastic"]}],
                "settings": {"migration": {"imag_distance": 5}, "relaxation": {"fmax": -1}},
            }
        )
    )
    assert "titel: unknown key; did you mean 'title'?" in found
    assert "calculations.0.properties.0: unknown value 'elastic'; did you mean 'elasticity'?" in found
    assert "settings.migration.imag_distance: unknown key; did you mean 'image_distance'?" in found
    assert "settings.relaxation.fmax: Input should be greater than 0" in found


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title: x\ncalculations:\n- structures: [Cu]\n  calculator: [emt]\n  calculators: [emt]\n  properties: [phonons]\n", 4),
        ("calculations:\n- structures: [Cu]\n  calculators:\n  - emt\n  - emtt\n  properties: [phonons]\n", 5),
        ("calculations:\n- structures: [LiF]\n  calculators: [emt]\n  properties: [phonons]\n", 3),
        ("library:\n- here/not\ncalculations:\n- structures: [Cu]\n  calculators: [emt]\n  properties: [phonons]\n", 2),
    ],
    ids=["key", "name", "element", "folder"],
)
def test_mistake_is_told_with_file_and_line(tmp_path: Path, text: str, line: int) -> None:
    """A mistake in a study file is told with the file and the line it is on."""
    message = refusal(tmp_path, text)
    assert message[0] == f"{tmp_path / 'study.yaml'}: 1 problem"
    assert message[1].startswith(f"  - line {line}: ")


def test_malformed_study_is_told_with_file_and_line(tmp_path: Path) -> None:
    """A study that is no YAML is told with file, line and column, on one line."""
    message = refusal(tmp_path, "title: x\ncalculations:\n- structures: [Cu\n  calculators: [emt]\n")
    assert len(message) == 1
    assert message[0].startswith(f"{tmp_path / 'study.yaml'}, line 4, column 14: not valid YAML")


@pytest.mark.parametrize("data", [None, [], "study", {"calculations": []}, {"calculations": [None]}, {"calculations": "Cu"}])
def test_study_without_calculations_is_refused(data: object) -> None:
    """What is no study is refused with a message."""
    assert problems(data)


def test_calculator_must_give_stress(tmp_path: Path, library: Library) -> None:
    """A calculator without stress is refused, since every crystal's cell is relaxed."""
    folder = library(tmp_path / "mine", calculator={"stress": False})
    block = {"structures": ["Cu"], "calculators": ["pair"], "properties": ["elasticity"]}
    assert "calculator pair gives no stress" in problems({"library": [str(folder)], "calculations": [block]})[0]


def test_migration_needs_a_mobile_species(tmp_path: Path, library: Library) -> None:
    """Migration of a phase without a mobile species is refused."""
    folder = library(tmp_path / "mine")
    block = {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["migration"]}
    assert "its recipe names no mobile species" in problems({"library": [str(folder)], "calculations": [block]})[0]


def test_able_calculators_of_the_library_are_offered(tmp_path: Path, library: Library) -> None:
    """A user's own calculator is among those offered for an element that another does not cover."""
    folder = library(tmp_path / "mine")
    block = {"structures": ["LiF"], "calculators": ["emt"], "properties": ["elasticity"]}
    assert "these do: chgnet" in problems({"calculations": [block]})[0]
    assert ", pair" in problems({"library": [str(folder)], "calculations": [block]})[0]


def test_wrong_recipe_is_told_with_the_study(tmp_path: Path, library: Library) -> None:
    """A mistake in a user's recipe is told together with the study's own, with the recipe's file."""
    folder = library(tmp_path / "mine", structure={"charges": {"Cu": 1, "Au": 0}})
    block = {"structures": ["Cu3Au", "Coppper"], "calculators": ["pair"], "properties": ["elasticity"]}
    found = "\n".join(problems({"library": [str(folder)], "calculations": [block]}))
    assert f"{folder / 'structures/Cu3Au.yaml'}: not a valid PhaseRecipe" in found
    assert "charges of Cu3Au add up to +3 e" in found
    assert "unknown structure 'Coppper'" in found


def test_home_folder_is_understood(tmp_path: Path, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may be given relative to the home folder."""
    library(tmp_path / "mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    block = {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["elasticity"]}
    assert Study({"library": ["~/mine"], "calculations": [block]}).structures.get("Cu3Au").space_group == 221


def test_estimate_counts_jobs_and_names_the_cost() -> None:
    """The estimate of a study has a line for each property and one for all."""
    settings = {"migration": {"image_distance": 5}, "phonons": {"image_distance": 5}}
    block = {**METALS, "properties": ["elasticity", "migration", "phonons"]}
    lines = estimate(Study({"calculations": [block], "settings": settings})).splitlines()
    assert [line.split()[0] for line in lines] == ["relaxation", "elasticity", "migration", "phonons", "together"]
    assert lines[0].split()[1:3] == ["2", "jobs,"]
    assert lines[-1].endswith("core minutes")


def test_every_unsound_structure_is_told_at_once(tmp_path: Path, library: Library) -> None:
    """Before anything is computed, structures are built and networks sought, and all that fail are told together."""
    folder = library(tmp_path / "mine", structure={"cell": {"a": 1.5, "b": 1.5, "c": 1.5}})
    blocks = [
        {"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["elasticity"]},
        {**METALS, "structures": ["Cu", "Nickel"], "properties": ["migration"]},
    ]
    found = problems({"library": [str(folder)], "calculations": blocks, "settings": {"migration": {"cutoff": 2.0}}})
    assert "Å apart" in found[0]
    assert "unknown structure 'Nickel'" in found[1]
    assert "hops up to 2 Å do not percolate in three dimensions; the shortest cut-off that does is 2.556 Å" in found[2]


def make_plan(monkeypatch: pytest.MonkeyPatch, folder: Path, **keys: object) -> Plan:
    monkeypatch.chdir(folder)
    return Plan(Study({"calculations": [METALS], **keys}))


def test_plan_keeps_the_study_beside_its_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study is written beside the results as it was given, and left alone while it does not change."""
    made = make_plan(monkeypatch, tmp_path, title="first")
    path = tmp_path / made.file
    before = path.stat().st_mtime_ns
    assert yaml.safe_load(path.read_text(encoding="utf-8")) == {"title": "first", "calculations": [METALS]}
    make_plan(monkeypatch, tmp_path, title="first")
    assert path.stat().st_mtime_ns == before
    make_plan(monkeypatch, tmp_path, title="second")
    assert "second" in path.read_text(encoding="utf-8")


def test_plan_names_the_records_and_hands_settings_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wanted files follow from the jobs, and settings reach a command unchanged."""
    made = make_plan(monkeypatch, tmp_path, settings={"elasticity": {"strain": 0.002}})
    names = ("relaxation", "elasticity")
    assert made.records == [f"results/{structure}/emt/{name}.json" for structure in ("Cu", "Al") for name in names]

    class Wildcards:
        structure = "Cu"
        calculator = "emt"

    handed = parse_settings(made.settings("elasticity")(Wildcards()))
    assert handed.elasticity == made.study.settings("Cu", "emt").elasticity
    assert Path(made.structure_file(Wildcards())).name == "Cu.yaml"
    assert Path(made.calculator_file(Wildcards())).name == "emt.yaml"


def test_snakemake_is_told_mistakes_without_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong study ends Snakemake with the message, which names the file, and nothing to trace."""
    with pytest.raises(SystemExit) as caught:
        plan({"calculations": [{**METALS, "structures": ["Copper"]}]}, ["mine.yaml"])
    assert caught.value.code == 1
    assert "mine.yaml: 1 problem\n  - calculations.0.structures.0: unknown structure 'Copper'" in capsys.readouterr().err


def test_names_of_a_network_are_read(tmp_path: Path) -> None:
    """The hops of a network and the sites at the ends of each are read from its record; a hop it lacks is an error."""
    path = tmp_path / "hops.json"
    path.write_text('{"hops": [{"hop": "h", "site_initial": "b", "site_final": "a"}]}', encoding="utf-8")
    assert names_in(path, "hops", "hop") == ["h"]
    assert sites_of_hop(path, "h") == ["a", "b"]
    with pytest.raises(InputError, match="no hop 'x'"):
        sites_of_hop(path, "x")


@pytest.mark.parametrize(("structure", "name"), [("Li2O-111-mirror", "segregation"), ("Al", "interstitial_migration")])
def test_cell_whose_images_share_neighbours_is_told(structure: str, name: str) -> None:
    """A supercell too small for its own images is told before the first job, with the distance that suffices."""
    block = {"structures": [structure], "calculators": ["emt" if structure == "Al" else "chgnet"], "properties": [name]}
    (told,) = Study({"calculations": [block], "settings": {name: {"image_distance": 1.0}}}).unsuited
    found = re.search(rf"share neighbours.*settings: {name}\.image_distance: (\d\.\d)", told)
    assert found is not None
    assert not Study({"calculations": [block], "settings": {name: {"image_distance": float(found[1])}}}).unsuited


@pytest.mark.parametrize(
    "settings",
    [
        {"migration": {"fmax": float("inf")}},
        {"planar": {"stress_gpa": float("inf")}},
        {"charged_defects": {"elements_ev": {"F": float("nan")}}},
        {"segregation": {"image_distance": float("inf")}},
        {"defects": {"image_distance": 800.0}},
        {"migration": {"larger_image_distance": 800.0}},
    ],
)
def test_numbers_without_bounds_are_refused(settings: dict[str, dict[str, object]]) -> None:
    """A tolerance that anything meets, and a distance in other units than ångström, are mistakes of the study."""
    (told,) = problems({"calculations": [METALS], "settings": settings})
    ((section, keys),) = settings.items()
    assert f"settings.{section}.{next(iter(keys))}" in told
