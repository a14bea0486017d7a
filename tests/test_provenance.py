"""Results checked against what they were made from, and the way from recipe to number."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from seiflow.calculators.recipes import calculator_shelf
from seiflow.cli import main
from seiflow.provenance.checks import check
from seiflow.provenance.compare import Noise, differences
from seiflow.provenance.nearby import TAKEN
from seiflow.provenance.recompute import DIFFERS, NOISE, NOT, SAME, obstacle, recompute
from seiflow.provenance.results import Results
from seiflow.provenance.steps import Step, natural, step_of, steps
from seiflow.provenance.trace import AS_USED, OTHER, Trace, show
from seiflow.provenance.verify import chosen, verify
from seiflow.records import digest_file, record_digest, write_record

pytestmark = pytest.mark.study

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def study(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a finished study, which is the one in use."""
    monkeypatch.chdir(copied)
    monkeypatch.setenv("GIT_DIR", "/dev/null")
    return copied


def results() -> Results:
    return Results.at(Path("results"))


def read(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def replace(path: str, old: str, new: str) -> None:
    """Replace the first text found in a file."""
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new, 1), encoding="utf-8")


def digit(path: str, key: str) -> None:
    """Change the last digit of a number of a record, and nothing else."""
    record = read(path)
    value = repr(record[key])
    replace(path, f'"{key}": {value}', f'"{key}": {value[:-1]}{(int(value[-1]) + 1) % 10}')


def silent(_: str) -> None:
    """Hear nothing."""


def wrong(sample: int = 0) -> list[str]:
    """Return what a verification of the study finds by digests."""
    return [str(finding) for finding in verify(results(), sample, silent).findings]


@pytest.mark.parametrize(
    "name",
    ["built.extxyz", "relaxation.json", "hops.json", "hops/hop_1.json", "migration.json", "phonons.json"],
)
def test_step_computed_again_is_the_same(study: Path, name: str) -> None:
    """The command made from what a step left gives the same record and structures, to the last digit."""
    del study
    step = step_of(results(), f"Cu/emt/{name}")
    assert obstacle(step, any_version=False) is None
    outcome = recompute(step, exact=True)
    assert (outcome.state, outcome.reason, outcome.differences) == (SAME, "", ())


def test_untouched_study_verifies(study: Path, run: Run) -> None:
    """Of an untouched study nothing differs, from the folder of results and from the study file; the store is left alone."""
    before = sorted(study.rglob("*"))
    told = run("seiflow", "verify", "results", "--sample", "1", "--seed", "3", cwd=study, store=study / "store")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[0] == "19 results read, 0 wrong by their digests"
    assert told.stdout.splitlines()[-1] == "nothing differs"
    assert run("seiflow", "verify", "study.yaml", "--sample", "0", cwd=study).returncode == 0
    assert sorted(study.rglob("*")) == before


@pytest.mark.parametrize(
    ("file", "change", "expected"),
    [
        ("results/Al/emt/migration.json", lambda file: digit(file, "percolation_barrier_3d_ev"), "edited: its content"),
        ("results/Al/emt/relaxed.extxyz", lambda file: replace(file, "Al ", "Al  "), "edited since it was written"),
        ("results/Al/emt/hops/hop_1.extxyz", lambda file: replace(file, "0.0", "0.1"), "edited since it was written"),
        ("results/Al/emt/built.extxyz", lambda file: replace(file, "4.0", "4.1"), "not the file that these were made from"),
        (
            "results/Al/emt/vacancies/site_1.json",
            lambda file: Path(file).unlink(),
            "missing, and these results were made from it",
        ),
        ("results/Al/emt/hops/hop_1.extxyz", lambda file: Path(file).unlink(), "missing (Al/emt/hops/hop_1.json)"),
        ("results/Al/emt/relaxation.json", lambda file: Path(file).unlink(), "missing, but Al/emt/relaxed.extxyz lies there"),
        ("mine/calculators/pair.yaml", lambda file: replace(file, "0.4", "0.5"), "edited since it was used"),
        ("mine/structures/Cu3Au.yaml", lambda file: Path(file).unlink(), "missing, not found"),
        ("results/table.csv", lambda file: replace(file, ",GPa", ",MPa"), "not the table that the records give"),
        (
            "results/Al/emt/phonons.json",
            lambda file: shutil.copy("results/Cu/emt/phonons.json", file),
            "says that its structure is 'Cu', but lies in a folder of 'Al'",
        ),
    ],
)
def test_change_is_found_by_its_digest(study: Path, file: str, change: Callable[[str], None], expected: str) -> None:
    """A changed digit, structure, recipe or table and a missing file are named, without computing anything."""
    del study
    assert wrong() == []
    change(file)
    found = wrong()
    told = {"mine/structures/Cu3Au.yaml": "recipe of Cu3Au: not found"}.get(file, f"{file}: {expected}")
    assert any(text.startswith(told) for text in found), found


def test_verdict_is_the_exit_status(study: Path, run: Run) -> None:
    """A difference ends the command with status 1 and one line that counts it."""
    digit("results/Al/emt/migration.json", "percolation_barrier_3d_ev")
    told = run("seiflow", "verify", "results", "--sample", "0", cwd=study)
    assert told.returncode == 1
    assert told.stderr == "error: results: 2 wrong by digests; of 0 steps to be computed again 0 differ and 0 could not be\n"
    assert "wrong: results/Al/emt/migration.json: edited" in told.stdout
    assert "wrong: results/table.csv: not the table that the records give" in told.stdout


def reseal(path: str, **keys: object) -> None:
    """Change a record and its digest, as somebody would who knows how."""
    record = read(path) | keys
    names = record["provenance"].pop("files_sha256")
    write_record(Path(path), record, [Path(path).parent / name for name in names])


def test_negative_sample_is_refused(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A number of steps below zero is no way to have nothing checked: the error says what is allowed."""
    assert main(["verify", str(study / "results"), "--sample", "-3"]) == 1
    assert "0 compares digests only" in capsys.readouterr().err


def test_number_edited_with_its_digest_is_found_by_computing(study: Path) -> None:
    """An edit that digests cannot show differs from the number computed again: a small one if no noise is allowed for."""
    del study
    path = "results/Cu/emt/elasticity.json"
    Path("results/table.csv").unlink()
    true = read(path)["bulk_modulus_gpa"]
    for value, exact, state in ((true * 1.01, False, DIFFERS), (true + 1e-7, False, NOISE), (true + 1e-7, True, DIFFERS)):
        reseal(path, bulk_modulus_gpa=value)
        assert wrong() == []
        outcome = recompute(Step(results(), "Cu/emt/elasticity.json"), exact=exact)
        assert outcome.state == state
        assert [difference.key for difference in outcome.differences] == ["bulk_modulus_gpa"]


def test_step_of_a_changed_input_is_not_computed_again(study: Path) -> None:
    """What was made from a structure that was changed is not recomputed, and the verdict says why."""
    del study
    Path("results/table.csv").unlink()
    replace("results/Al/emt/relaxed.extxyz", "0.00000000", "0.10000000")
    all_steps, wanted = steps(results()), "Al/emt/elasticity.json"
    seed = next(seed for seed in range(1000) if chosen(all_steps, 1, seed)[0].name == wanted)
    verdict = verify(results(), 1, silent, seed=seed)
    (outcome,) = verdict.outcomes
    assert outcome.state == NOT
    assert "results/Al/emt/relaxed.extxyz: not the file that these were made from" in outcome.reason
    outcome = recompute(Step(results(), "Al/emt/relaxation.json"))
    assert outcome.state == DIFFERS
    assert outcome.differences[0].key.startswith("relaxed.extxyz[0].positions_angstrom[0]")


def test_other_version_is_a_reason(study: Path) -> None:
    """A result of another version of a library is recomputed only on demand; another patch of python is no other version."""
    del study
    path = "results/Cu/emt/elasticity.json"
    provenance = read(path)["provenance"]
    reseal(path, provenance=provenance | {"versions": provenance["versions"] | {"ase": "3.0"}})
    step = Step(results(), "Cu/emt/elasticity.json")
    assert "version differs: made with ase 3.0, here" in str(obstacle(step, any_version=False))
    assert obstacle(step, any_version=True) is None
    python = provenance["versions"]["python"].rpartition(".")[0] + ".999"
    reseal(path, provenance=provenance | {"versions": provenance["versions"] | {"python": python}})
    assert obstacle(Step(results(), "Cu/emt/elasticity.json"), any_version=False) is None


@pytest.fixture
def weighed(tmp_path: Path, library: Callable[..., Path], run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file of weights with which one crystal was relaxed."""
    weights = tmp_path / "weights.bin"
    weights.write_bytes(b"trained")
    library(tmp_path / "mine", calculator={"weights": [str(weights)]})
    recipes = ["--structure", "mine/structures/Cu3Au.yaml", "--calculator", "mine/calculators/pair.yaml"]
    place = "results/Cu3Au/pair"
    study = {
        "library": ["mine"],
        "calculations": [{"structures": ["Cu3Au"], "calculators": ["pair"], "properties": ["relaxation"]}],
    }
    (tmp_path / "results").mkdir()
    (tmp_path / "results/study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    run("seiflow", "build", *recipes[:2], "--output", f"{place}/built.extxyz", cwd=tmp_path)
    out = ["--built", f"{place}/built.extxyz", "--relaxed", f"{place}/relaxed.extxyz", "--output", f"{place}/relaxation.json"]
    made = run("seiflow", "relax", *recipes, *out, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    monkeypatch.chdir(tmp_path)
    return weights


def test_swapped_weights_are_found(weighed: Path) -> None:
    """Other weights under the same name are named; weights that are not here are no fault of the results."""
    assert wrong() == []
    weighed.write_bytes(b"Trained")
    assert wrong() == [f"{weighed}: weights of pair swapped: not the file that was used (Cu3Au/pair/relaxation.json)"]
    trace = Trace.of(Path("results/Cu3Au/pair/relaxed.extxyz"))
    assert trace.nodes[str(weighed)].state == OTHER
    weighed.unlink()
    assert wrong() == []


def ancestors(path: Path) -> set[str]:
    """Return all files that a result is made from, by following digests alone."""
    digests = {digest_file(file): file for file in Path("results").rglob("*") if file.is_file() and file.suffix != ".log"}
    record = path if path.suffix == ".json" else path.with_name({"relaxed": "relaxation"}.get(path.stem, path.stem) + ".json")
    if not record.exists():
        return {str(path)}
    inputs = read(str(record))["provenance"]["inputs_sha256"].values()
    return {str(path)}.union(*(ancestors(digests[digest]) for digest in inputs))


def test_trace_leads_from_recipes_to_the_number(study: Path) -> None:
    """Every file that the digests lead to is one node, with its digest, each made from nodes before it, down to both recipes."""
    del study
    path = Path("results/Cu/emt/migration.json")
    trace = Trace.of(path)
    files = {key for key, node in trace.nodes.items() if node.what == "result"}
    assert files == ancestors(path)
    recipes = {Path(key).name for key, node in trace.nodes.items() if node.what == "recipe"}
    assert recipes == {"Cu.yaml", "emt.yaml"}
    order = list(trace.nodes)
    for key, node in trace.nodes.items():
        assert all(order.index(below) < order.index(key) for _, below in node.made_from)
        assert node.state in (AS_USED, ""), key
        assert node.sha256 in (None, digest_file(Path(key)))
    assert (
        trace.evaluations
        == read("results/Cu/emt/migration.json")["force_evaluations"]
        + read("results/Cu/emt/relaxation.json")["force_evaluations"]
    )


def test_trace_is_readable_and_complete(study: Path, run: Run) -> None:
    """The tree names the number asked for, settings that are not the default and versions; as JSON it holds every full digest."""
    told = run("seiflow", "trace", "results/Cu/emt/migration.json", "percolation_barrier_3d_ev", cwd=study)
    assert (told.returncode, told.stderr) == (0, "")
    lines = told.stdout.splitlines()
    assert lines[0] == f"percolation_barrier_3d_ev = {read('results/Cu/emt/migration.json')['percolation_barrier_3d_ev']}"
    assert "  | settings: migration.image_distance 5.0" in lines
    assert any(line.startswith("versions: ase ") for line in lines)
    assert lines[-1] == "everything that can be checked is what was used"
    data = json.loads(run("seiflow", "trace", "results/Cu/emt/migration.json", "--json", cwd=study).stdout)
    nodes = {node["id"]: node for node in data["nodes"]}
    assert nodes["results/Cu/emt/relaxed.extxyz"]["sha256"] == digest_file(study / "results/Cu/emt/relaxed.extxyz")
    told = run("seiflow", "trace", "results/Cu/emt/migration.json", "barrier", cwd=study)
    assert (told.returncode, "Traceback" in told.stderr) == (1, False)
    assert "percolation_barrier_3d_ev" in told.stderr


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("results/Al", f"a folder, and no result. {TAKEN}. Near it are results/Al/emt/elasticity.json, "),
        ("results/Cu/emt/hops", "Near it are results/Cu/emt/hops/hop_1.json"),
        ("results/Cu/emt/logs", "Near it are results/Cu/emt/elasticity.json"),
        (".", "Near it are results/Al/emt/elasticity.json, results/Al/emt/hops.json, "),
        ("results/Cu/emt/migratoin.json", f"no such file; did you mean results/Cu/emt/migration.json? {TAKEN}"),
        ("results/Cu/none/at/all/x.json", f"no such file. {TAKEN}. Near it are results/Cu/emt/elasticity.json"),
        ("/dev/x.json", f"no such file. {TAKEN} of a study, such as results/LiF/chgnet/migration.json"),
    ],
)
def test_trace_of_no_result_names_the_nearest(study: Path, capsys: pytest.CaptureFixture[str], asked: str, expected: str) -> None:
    """Asked about a folder, or a file that is not there, trace says what it takes and lists the results there, or near."""
    del study
    assert main(["trace", asked]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {asked}: ")
    assert expected in told
    assert told.count("\n") == 1


def test_trace_tells_what_changed(study: Path) -> None:
    """A recipe edited since, an edited structure and a missing one stand in the last line."""
    del study
    replace("mine/calculators/pair.yaml", "0.4", "0.5")
    assert "no longer what was used: mine/calculators/pair.yaml" in show(Trace.of(Path("results/Cu3Au/pair/elasticity.json")))
    replace("results/Cu/emt/relaxed.extxyz", "Cu ", "Cu  ")
    Path("results/Cu/emt/vacancies/site_1.json").unlink()
    last = show(Trace.of(Path("results/Cu/emt/migration.json"))).splitlines()[-1]
    assert last == "no longer what was used: results/Cu/emt/relaxed.extxyz, results/Cu/emt/vacancies/site_1.json"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("results/Cu/emt/phonons.json", '{"half": ', "damaged or cut off"),
        ("results/Cu/emt/phonons.json", "[1, 2]", "holds no result"),
        ("results/Cu/emt/phonons.json", '{"mine": 1}', "no result of seiflow"),
        ("results/Cu/emt/notes.json", '{"structure": "Cu", "calculator": "emt", "provenance": {}}', "no step of seiflow writes"),
        ("results/Cu/emt/deep/er/notes.json", '{"structure": "Cu", "calculator": "emt", "provenance": {}}', "no step of seiflow"),
        ("results/study.yaml", "calculations: 3", "cannot be used"),
        ("results/study.yaml", "}{", "cannot be used"),
    ],
)
def test_damaged_and_foreign_files_are_named(
    study: Path, capsys: pytest.CaptureFixture[str], file: str, text: str, expected: str
) -> None:
    """A file that is damaged or not of seiflow is named in a sentence by verify, and refused by trace."""
    del study
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_text(text, encoding="utf-8")
    main(["verify", "results", "--sample", "0"])
    traced = main(["trace", file])
    told = capsys.readouterr()
    assert expected in told.out
    assert traced == 1
    assert "unexpected" not in told.err


def test_results_without_what_newer_versions_write(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Records of a version that kept fewer digests are read, told apart, and computed again all the same."""
    del study
    path = "results/Cu/emt/elasticity.json"
    Path("results/table.csv").unlink()
    record = read(path)
    for key in ("record_sha256", "files_sha256", "weights_sha256", "git_revision"):
        del record["provenance"][key]
    Path(path).write_text(json.dumps(record), encoding="utf-8")
    checked = check(results())
    assert (checked.findings, checked.unsealed) == ([], 1)
    assert any("1 results hold no digest of themselves" in note for note in checked.notes)
    assert recompute(Step(results(), "Cu/emt/elasticity.json")).state == SAME
    assert main(["trace", path]) == 0
    assert "no digest of its own" in capsys.readouterr().out
    Path(path).write_text(json.dumps(record | {"provenance": {}}), encoding="utf-8")
    assert main(["trace", path]) == 0
    assert main(["verify", "results", "--sample", "0"]) == 0


def test_results_copied_from_another_machine(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Results alone, without study or library, say which recipes cannot be compared; with them they verify from any folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["verify", str(study / "results"), "--sample", "0"]) == 0
    assert main(["trace", str(study / "results/Cu3Au/pair/elasticity.json")]) == 0
    shutil.copytree(study / "results", "results")
    assert main(["verify", "results", "--sample", "0"]) == 1
    assert "library: no folder mine here" in capsys.readouterr().out
    Path("results/study.yaml").unlink()
    assert main(["verify", "results", "--sample", "0"]) == 1
    told = capsys.readouterr()
    assert "results holds no study.yaml" in told.out
    assert "wrong: recipe of Cu3Au: not found" in told.out
    assert main(["trace", "results/Cu3Au/pair/elasticity.json"]) == 0
    assert main(["verify", "nowhere"]) == 1
    assert main(["trace", "nowhere/Cu/emt/x.json"]) == 1
    Path("alone.json").write_text("{}", encoding="utf-8")
    assert main(["trace", "alone.json"]) == 1
    assert "unexpected" not in capsys.readouterr().err


def test_noise_is_that_of_the_calculator() -> None:
    """A number may differ by the noise and not by twice as much; what an iteration left over and its cost may be anything."""
    noise = Noise(energy_ev=1e-3, relative=1e-2)
    one = {"energy_ev": -100.0, "stiffness_gpa": [[100.0, 1e-9], [3.0, 50.0]], "largest_force_ev_per_angstrom": 0.001, "q": 1.0}
    one |= {"percolation_barrier_ev": {"a": 0.5}, "force_evaluations": 7, "space_group": "Fm-3m", "path": [1.0]}

    def worst(**changes: object) -> float:
        return max((difference.size for difference in differences(one, one | changes, noise)), default=0.0)

    assert worst() == worst(force_evaluations=9) == worst(largest_force_ev_per_angstrom=0.02) == 0
    assert worst(energy_ev=-100.0009) < 1 < worst(energy_ev=-100.002)
    assert worst(percolation_barrier_ev={"a": 0.5009}) < 1 < worst(percolation_barrier_ev={"a": 0.502})
    assert worst(stiffness_gpa=[[100.9, 0.9], [3.0, 50.0]]) < 1 < worst(stiffness_gpa=[[100.0, 2.0], [3.0, 50.0]])
    assert worst(q=1.009) < 1 < worst(q=1.02)
    for change in ({"space_group": "P1"}, {"path": [1.0, 1.0]}, {"q": None}, {"new": 1}):
        assert worst(**change) == float("inf")
    assert [found.key for found in differences(one, one | {"energy_ev": -100.0000000001, "force_evaluations": 9}, None)] == [
        "energy_ev",
        "force_evaluations",
    ]


def test_recipes_state_their_noise() -> None:
    """A calculator that gives other bits each time has more noise than one that does not; a recipe's own word counts first."""
    shelf = calculator_shelf()
    assert Noise.of(shelf.get("gpaw-pbe")).energy_ev > Noise.of(shelf.get("emt")).energy_ev > 0
    assert Noise.of(shelf.get("emt").model_copy(update={"noise_ev": 0.5})) == Noise(0.5, Noise.of(shelf.get("emt")).relative)


def test_record_digest_covers_all_but_itself() -> None:
    """The digest of a record changes with every number and with its provenance, and not with the digest that it holds."""
    record = {"a_ev": 1.0, "provenance": {"settings": {"x": 1}, "record_sha256": "old"}}
    same = {"a_ev": 1.0, "provenance": {"settings": {"x": 1}, "record_sha256": "new"}}
    assert record_digest(record) == record_digest(same)
    assert record_digest(record) != record_digest({**record, "a_ev": 1.0000000000000002})
    assert record_digest(record) != record_digest({**record, "provenance": {"settings": {"x": 2}}})


def test_files_belong_to_the_step_that_wrote_them(study: Path) -> None:
    """Every record and structure of a study belongs to one step, and hop_10 comes after hop_9."""
    del study
    found = results()
    wrote = [name for step in steps(found) for name in (step.name, step.companion) if name]
    assert sorted(wrote) == sorted(found.names)
    assert all(step_of(found, name).name == step.name for step in steps(found) for name in (step.name, step.companion) if name)
    assert sorted(["hop_10", "hop_9"], key=natural) == ["hop_9", "hop_10"]
