"""Whole studies run by Snakemake: they finish, stay finished, resume, fail in part, and give the same bytes again."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from seiflow.records import digest_file

pytestmark = pytest.mark.study

Run = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., list[str]]

COMMON = {"structure", "calculator", "converged", "force_evaluations", "warnings", "provenance"}
RECORDS = {
    "relaxation": {"formula", "formula_units", "atoms", "space_group", "lattice", "volume_angstrom3", "energy_ev"}
    | {"largest_force_ev_per_angstrom", "largest_stress_gpa"},
    "elasticity": {"stiffness_gpa", "bulk_modulus_gpa", "shear_modulus_gpa", "young_modulus_gpa", "poisson_ratio", "pugh_ratio"}
    | {"universal_anisotropy", "born_stable", "stiffness_eigenvalues_gpa", "residual_gpa", "nonlinearity_gpa", "strain_limit"},
    "hops": {"supercell", "atoms", "image_distance_angstrom", "cutoff_angstrom", "sites", "hops"},
    "vacancies/site_1": {"site", "energy_ev", "largest_force_ev_per_angstrom"},
    "hops/hop_1": {"hop", "distance_angstrom", "method", "barrier_forward_ev", "barrier_backward_ev", "negative_modes", "path"},
    "migration": {"supercell", "image_distance_angstrom", "cutoff_angstrom", "charge_state", "hops", "percolation_barrier_ev"}
    | {"percolation_barrier_1d_ev", "percolation_barrier_2d_ev", "percolation_barrier_3d_ev"},
    "phonons": {"supercell", "displaced_supercells", "stable", "imaginary_modes", "gamma_frequencies_thz", "max_frequency_thz"}
    | {"dos", "heat_capacity", "heat_capacity_300k_j_per_mol_k"},
}
UNITS = re.compile(r"_(ev|gpa|angstrom|angstrom2|angstrom3|degree|thz|k|m3)$")
PURE_NUMBERS = {"poisson_ratio", "pugh_ratio", "universal_anisotropy", "strain_limit", "q"}
PURE_NUMBERS |= {"young_modulus_min_direction", "young_modulus_max_direction"}
LIBRARIES = {"python", "seiflow", "ase", "numpy", "scipy", "spglib", "phonopy"}


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def records(folder: Path) -> dict[str, bytes]:
    """Return all records of a study as they are on disk, by path."""
    results = folder / "results"
    return {str(path.relative_to(results)): path.read_bytes() for path in sorted(results.rglob("*.json"))}


def floats(value: object, key: str = "") -> Iterator[str]:
    """Yield the innermost key above every float of a record."""
    if isinstance(value, dict):
        for name, item in value.items():
            # {"a": 1.0, "b": 2.0} below a key with a unit needs no second one
            yield from floats(item, key if UNITS.search(key) else name)
    elif isinstance(value, list):
        for item in value:
            yield from floats(item, key)
    elif isinstance(value, float):
        yield key


def jobs(dry_run: str) -> set[str]:
    """Return the messages of the jobs that a dry run announces."""
    return set(re.findall(r"^Job \d+: (.+)$", dry_run, flags=re.MULTILINE))


def change(folder: Path, file: str, **keys: object) -> None:
    """Replace top-level keys of a YAML file."""
    path = folder / file
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text(encoding="utf-8")) | keys), encoding="utf-8")


@pytest.mark.parametrize("name", RECORDS)
@pytest.mark.parametrize("structure", ["Cu", "Al"])
def test_record_is_complete(finished: Path, structure: str, name: str) -> None:
    """Every record has its keys, says that it converged and at what cost, and names its structure and calculator."""
    record = read(finished / "results" / structure / "emt" / f"{name}.json")
    assert COMMON | RECORDS[name] <= set(record)
    assert record["converged"] is True
    assert (record["structure"], record["calculator"]) == (structure, "emt")
    assert record["warnings"] == []
    assert record["force_evaluations"] == 0 if name == "hops" else record["force_evaluations"] > 0


def test_every_float_has_a_unit_in_its_key(finished: Path) -> None:
    """Every floating-point number of a record stands under a key with its unit, or is known to have none."""
    for path in (finished / "results").rglob("*.json"):
        record = read(path)
        del record["provenance"]
        assert [key for key in floats(record) if not UNITS.search(key) and key not in PURE_NUMBERS] == [], path


def test_provenance_names_all_a_number_depends_on(finished: Path) -> None:
    """Provenance holds versions, the digests of both recipes and of every input, the settings, and no time or folder."""
    for path in (finished / "results").rglob("*.json"):
        provenance = read(path)["provenance"]
        assert set(provenance["versions"]) >= LIBRARIES
        assert set(provenance["recipes_sha256"]) == {"structure", "calculator"}
        assert provenance["inputs_sha256"]
        assert "git_revision" in provenance
        digests = [*provenance["recipes_sha256"].values(), *provenance["inputs_sha256"].values()]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
        assert provenance["settings"]
        assert str(finished) not in path.read_text(encoding="utf-8")


def test_provenance_holds_the_settings_of_the_study(finished: Path) -> None:
    """A setting made in the study is the one that the record names."""
    migration = read(finished / "results/Al/emt/migration.json")["provenance"]["settings"]
    phonons = read(finished / "results/Al/emt/phonons.json")["provenance"]["settings"]
    assert (migration["image_distance"], phonons["mesh_density"]) == (5.0, 20.0)


def test_inputs_are_chained_by_digest(finished: Path) -> None:
    """The digests in a record are those of the very files beside it."""
    folder = finished / "results/Cu/emt"
    hop = read(folder / "hops/hop_1.json")["provenance"]["inputs_sha256"]
    assert hop["relaxed"] == digest_file(folder / "relaxed.extxyz")
    assert hop["vacancy site_1"] == digest_file(folder / "vacancies/site_1.json")


def test_table_and_report_show_every_structure(finished: Path) -> None:
    """The study ends with a table in which each structure and calculator has rows, a page with the title, and figures."""
    with (finished / "results/table.csv").open(encoding="utf-8", newline="") as file:
        rows = [",".join(row) for row in csv.reader(file)]
    for structure, calculator in (("Cu", "emt"), ("Al", "emt"), ("Cu3Au", "pair")):
        assert any(structure in row and calculator in row for row in rows)
    page = (finished / "results/report.html").read_text(encoding="utf-8")
    assert "Two metals and an alloy" in page
    assert list((finished / "results/figures").glob("*.svg"))


def test_nothing_is_left_lying_about(finished: Path) -> None:
    """A finished study holds no journal, density, half-written file or failure."""
    marks = {".journal", ".densities", ".partial", ".failed"}
    assert [path.name for path in (finished / "results").rglob("*") if path.suffix in marks] == []


def test_own_phase_and_calculator_need_no_code(finished: Path) -> None:
    """A phase and a calculator from a user's own YAML are computed, and obey Cauchy's relation of pair potentials."""
    stiffness = read(finished / "results/Cu3Au/pair/elasticity.json")["stiffness_gpa"]
    assert stiffness[0][1] == pytest.approx(stiffness[3][3], rel=0.02)
    assert read(finished / "results/Cu3Au/pair/relaxation.json")["space_group"] == "Pm-3m (221)"


def test_second_run_has_nothing_to_do(finished: Path, run: Run, workflow: Command) -> None:
    """A finished study run again computes nothing."""
    again = run("snakemake", *workflow(), cwd=finished)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_snakemake_writes_its_own_report(finished: Path, run: Run, workflow: Command, tmp_path: Path) -> None:
    """Snakemake's report of a finished study holds the table and the page."""
    page = tmp_path / "snakemake.html"
    told = run("snakemake", *workflow("--report", str(page)), cwd=finished)
    assert told.returncode == 0, told.stdout + told.stderr
    text = page.read_text(encoding="utf-8")
    assert "results/table.csv" in text
    assert "results/report.html" in text


REPORT = "write table, figures and report"
ALLOY = "Cu3Au with pair"


@pytest.mark.parametrize(
    ("file", "keys", "expected"),
    [
        pytest.param("study.yaml", {"title": "Renamed"}, {REPORT}, id="title"),
        pytest.param(
            "study.yaml",
            {"settings": {"migration": {"image_distance": 5}, "phonons": {"image_distance": 5, "mesh_density": 30}}},
            {"phonons of Cu with emt", "phonons of Al with emt", REPORT},
            id="settings",
        ),
        pytest.param(
            "mine/structures/Cu3Au.yaml",
            {"cell": {"a": 3.76, "b": 3.76, "c": 3.76}},
            {"build Cu3Au", f"relax {ALLOY}", f"elasticity of {ALLOY}", REPORT},
            id="structure",
        ),
        pytest.param(
            "mine/calculators/pair.yaml",
            {"arguments": {"sigma": 2.4, "epsilon": 0.5, "rc": 6.0, "smooth": True}},
            {f"relax {ALLOY}", f"elasticity of {ALLOY}", REPORT},
            id="calculator",
        ),
    ],
)
def test_change_reruns_what_depends_on_it(
    copied: Path, run: Run, workflow: Command, file: str, keys: dict[str, object], expected: set[str]
) -> None:
    """A changed title, setting or recipe makes again what depends on it and nothing else; a new date alone changes nothing."""
    (copied / "mine/structures/Cu3Au.yaml").touch()
    change(copied, file, **keys)
    told = run("snakemake", *workflow("--dry-run"), cwd=copied)
    assert told.returncode == 0, told.stdout + told.stderr
    assert jobs(told.stdout + told.stderr) == expected


def test_damaged_and_deleted_records_are_made_again(copied: Path, run: Run, workflow: Command) -> None:
    """Records cut off by a full disk are named and computed again, deleted ones too, and end up as they were."""
    before = records(copied)
    cut_off = ["Cu3Au/pair/elasticity.json", "Al/emt/hops/hop_1.json"]
    for name in cut_off:
        (copied / "results" / name).write_bytes(before[name][:200])
    (copied / "results/Cu/emt/phonons.json").unlink()
    told = run("snakemake", *workflow(), cwd=copied)
    said = told.stdout + told.stderr
    assert told.returncode == 0, said
    for name in cut_off:
        assert f"results/{name}: damaged or cut off; it is computed again" in said
    assert records(copied) == before


def test_killed_study_ends_with_the_same_bytes(
    finished: Path, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], run: Run, workflow: Command
) -> None:
    """A study in another folder, killed in the middle of a hop and run again, reads back what it had and ends byte-identical."""
    shutil.copytree(finished / "mine", tmp_path / "mine")
    shutil.copy(finished / "study.yaml", tmp_path)
    change(tmp_path, "study.yaml", calculations=[{**COPPER, "properties": ["migration"]}])
    journal = tmp_path / "results/Cu/emt/hops/.hop_1.json.journal"
    process = start("snakemake", *workflow(), cwd=tmp_path)
    wait_for(lambda: journal.exists() and journal.stat().st_size > 0, process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "results/Cu/emt/hops/hop_1.json").exists(), "the kill came too late to test anything"

    assert run("snakemake", *workflow("--unlock"), cwd=tmp_path).returncode == 0
    done = run("snakemake", *workflow(), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    there, here = records(finished), records(tmp_path)
    assert set(here) == {f"Cu/emt/{name}.json" for name in ("relaxation", "vacancies/site_1", "hops", "hops/hop_1", "migration")}
    assert {name: there[name] for name in here} == here
    assert "resuming" in (tmp_path / "results/Cu/emt/logs/parts.log").read_text(encoding="utf-8")


COPPER = {"structures": ["Cu"], "calculators": ["emt"]}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until a condition holds, at most two minutes and not longer than the process runs."""
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.002)


def test_failed_job_leaves_the_others_and_a_reason(copied: Path, run: Run, workflow: Command) -> None:
    """A job that does not converge writes no number but its reason, the others finish, and the report tells the reason."""
    folder = copied / "results/Cu/emt"
    for name in ("elasticity", "hops", "migration"):
        (folder / f"{name}.json").unlink()
    for name in ("vacancies", "hops"):
        shutil.rmtree(folder / name)
    settings = {"migration": {"image_distance": 5, "max_steps": 1}}
    change(copied, "study.yaml", calculations=[{**COPPER, "properties": ["elasticity", "migration"]}], settings=settings)
    done = run("snakemake", *workflow(), cwd=copied)
    assert done.returncode == 1
    assert (folder / "elasticity.json").exists()
    assert not (folder / "migration.json").exists()
    assert not (folder / "vacancies/site_1.json").exists()
    reason = (folder / "vacancies/site_1.failed").read_text(encoding="utf-8")
    assert re.search(r"largest force [\d.]+ eV/Å after 1 steps, wanted 0.01", reason)
    assert "max_steps" in reason
    page = (copied / "results/report.html").read_text(encoding="utf-8")
    assert "after 1 steps, wanted 0.01" in page
    assert "Traceback" not in done.stdout + done.stderr
    summary = r"^Cu emt migration failed: .*after 1 steps.*\n  to do: .*\n\n2 of 3 done, 1 failed"
    assert re.search(summary, done.stdout, re.MULTILINE)


def test_setting_unsuited_to_one_structure_fails_its_jobs_alone(tmp_path: Path, run: Run, workflow: Command) -> None:
    """Hops that form no network and a supercell too small are told before the first job, and only what needs them is left out.

    Without keep-going, and for ``seiflow check``, the study is refused as a whole.
    """
    wanted = {"structures": ["Al"], "calculators": ["emt"], "properties": ["elasticity", "migration", "interstitial_migration"]}
    settings = {"migration": {"cutoff": 1.5}, "interstitial_migration": {"image_distance": 1.0}}
    study = {"results": "results", "calculations": [wanted], "settings": settings}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    reasons = [r"hops up to 1\.5 Å do not percolate", r"share neighbours; .*settings: interstitial_migration\.image_distance: \d"]

    checked = run("seiflow", "check", "study.yaml", cwd=tmp_path)
    stopped = run("snakemake", *workflow("--workflow-profile", "none"), cwd=tmp_path)
    for refused in (checked, stopped):
        assert refused.returncode == 1
        assert all(re.search(f"error: (.*\n)*.*{reason}", refused.stderr) for reason in reasons)
        assert not (tmp_path / "results/Al").exists()

    warned = run("seiflow", "check", "--keep-going", "study.yaml", cwd=tmp_path)
    assert warned.returncode == 0
    assert all(re.search(f"warning: .*{reason}", warned.stdout) for reason in reasons)

    done = run("snakemake", *workflow(), cwd=tmp_path)
    assert done.returncode == 1
    beforehand = (done.stdout + done.stderr).split("Job ")[0]
    assert all(re.search(f"warning: (.*\n)*.*{reason}", beforehand) for reason in reasons)
    assert {path.stem for path in (tmp_path / "results/Al/emt").glob("*.json")} == {"relaxation", "elasticity"}
    told = [
        (tmp_path / f"results/Al/emt/{name}.failed").read_text(encoding="utf-8") for name in ("hops", "interstitial_migration")
    ]
    assert all(re.search(reason, text) for reason, text in zip(reasons, told, strict=True))
    assert re.search(r"^2 of 4 done, 2 failed", done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stdout + done.stderr


def test_wrong_study_stops_snakemake_before_any_job(tmp_path: Path, run: Run, workflow: Command) -> None:
    """Snakemake on a study with mistakes names all of them, starts no job, shows no traceback of Python and exits with 1."""
    study = {"calculations": [{"structures": ["Copper", "LiF"], "calculators": ["emt"], "properties": ["elasticity"]}]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    told = run("snakemake", *workflow(), cwd=tmp_path)
    said = told.stdout + told.stderr
    assert told.returncode == 1
    assert "unknown structure 'Copper'" in said
    assert "emt does not cover F, Li of LiF" in said
    assert "Traceback" not in said
    assert not (tmp_path / "results").exists()
