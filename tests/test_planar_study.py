"""Studies of boundaries, interfaces, slabs and imported structures, run by Snakemake; and steps found in the store."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ase.io import read as read_structure

from seiflow.records import digest_file

pytestmark = pytest.mark.study

Run = Callable[..., subprocess.CompletedProcess[str]]
Command = Callable[..., list[str]]

TILT = {"kind": "grain_boundary", "name": "Cu-310", "summary": "a test", "phase": "Cu", "plane": [3, 1, 0], "type": "mirror"}
LAYERS = {"kind": "interface", "name": "Cu-Ni", "summary": "a test", "phases": ["Cu", "Ni"], "planes": [[0, 0, 1], [0, 0, 1]]}
SLAB = {"kind": "slab", "name": "Cu-111", "summary": "a test", "phase": "Cu", "plane": [1, 1, 1], "thickness_angstrom": 8}
STUDY: dict[str, Any] = {
    "title": "Planes",
    "library": ["mine"],
    "calculations": [
        {"structures": ["Cu-310", "Cu-Ni", "Cu-111"], "calculators": ["emt"], "properties": ["boundary"]},
        {"structures": ["mine-too"], "calculators": ["emt"], "properties": ["relaxation"]},
        {"structures": ["Cu-310"], "calculators": ["emt"], "properties": ["elasticity"]},
    ],
    "settings": {"registry": {"candidates": 1}, "boundary": {"thicker_by": 1}, "elasticity": {"fmax": 0.002}},
}
ENERGIES = {"kind", "formula_units", "area_angstrom2", "boundaries", "boundaries_equivalent", "energy_j_per_m2"}
ENERGIES |= {
    "largest_strains",
    "strain_energy_j_per_m2",
    "excess_volume_angstrom",
    "work_of_adhesion_j_per_m2",
    "cleavage_energy_j_per_m2",
}
ENERGIES |= {"surfaces", "thicker", "converged", "force_evaluations", "warnings", "provenance", "structure", "calculator"}


def record(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def write_study(folder: Path, **changes: object) -> None:
    shelf = folder / "mine" / "structures"
    shelf.mkdir(parents=True, exist_ok=True)
    for recipe in (TILT | {"thickness_angstrom": 8}, LAYERS | {"thickness_angstrom": [7, 7]}, SLAB):
        (shelf / f"{recipe['name']}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | changes), encoding="utf-8")


@pytest.fixture(scope="module")
def planes(tmp_path_factory: pytest.TempPathFactory, run: Run, workflow: Command) -> Path:
    """Return a folder in which a study of one structure of each kind has been run, its steps kept in a store beside it."""
    folder = tmp_path_factory.mktemp("planes")
    write_study(folder)
    built = run("seiflow", "library", "build", "Cu-310", "--library", "mine", "--output", "mine.extxyz", cwd=folder)
    assert built.returncode == 0, built.stderr
    named = ["--name", "mine-too", "--phases", "Cu", "--library", "mine", "--planes", "0.25", "0.75"]
    added = run("seiflow", "library", "add", "mine.extxyz", *named, cwd=folder)
    assert added.returncode == 0, added.stderr
    done = run("snakemake", *workflow(), cwd=folder, store=folder / "store")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_each_structure_has_its_energies(planes: Path) -> None:
    """Boundary, interface and slab have complete records; their parts fit together and nothing is below zero."""
    for name in ("Cu-310", "Cu-Ni", "Cu-111"):
        found = record(planes, f"{name}/emt/boundary")
        assert set(found) == ENERGIES
        assert found["converged"] is True
        assert found["warnings"] == []
        assert found["energy_j_per_m2"] > 0
        assert abs(found["thicker"]["change_j_per_m2"]) < 0.02
        if name != "Cu-111":
            faces = found["surfaces"][0]["energy_j_per_m2"] + found["surfaces"][-1]["energy_j_per_m2"]
            assert found["energy_j_per_m2"] + found["work_of_adhesion_j_per_m2"] == pytest.approx(faces)
    assert record(planes, "Cu-Ni/emt/boundary")["strain_energy_j_per_m2"] > 0


def test_softer_metal_gives_way(planes: Path) -> None:
    """The strain of the interface is shared by the stiffness that the calculator itself gave: copper takes the larger part."""
    atoms = read_structure(planes / "results/Cu-Ni/emt/registered.extxyz")
    side = atoms.cell.lengths()[0]
    copper, nickel = (record(planes, f"{name}/emt/relaxation")["lattice"]["a_angstrom"] / 2**0.5 for name in ("Cu", "Ni"))
    assert abs(side / copper - 1) > abs(side / nickel - 1)
    assert nickel < side < copper


def test_structures_are_built_from_relaxed_crystals(planes: Path) -> None:
    """The net of a boundary is that of the crystal relaxed by the same calculator, and the record names that crystal's file."""
    atoms = read_structure(planes / "results/Cu-310/emt/relaxed.extxyz")
    a = record(planes, "Cu/emt/relaxation")["lattice"]["a_angstrom"]
    assert sorted(atoms.cell.lengths()[:2]) == pytest.approx(sorted([a, a * 10**0.5 / 2]), rel=1e-6)
    inputs = record(planes, "Cu-310/emt/registry")["provenance"]["inputs_sha256"]
    assert inputs == {"relaxed Cu": digest_file(planes / "results/Cu/emt/relaxed.extxyz")}
    assert set(record(planes, "Cu-310/emt/boundary")["provenance"]["recipes_sha256"]) == {"structure", "calculator", "phase Cu"}


def test_search_and_certificate_are_kept(planes: Path) -> None:
    """The registries tried are kept with their energies, and a structure carries its certificate."""
    tried = record(planes, "Cu-310/emt/registry")["tried"]
    assert len(tried) > 1
    assert all(each["energy_j_per_m2"] is not None for each in tried)
    for name in ("registered", "relaxed"):
        certificate = read_structure(planes / f"results/Cu-310/emt/{name}.extxyz").info["certificate"]
        assert certificate["problems"] == []
        assert certificate["net_charge_e"] == 0


def test_stiffness_of_a_boundary_stands_beside_the_crystals(planes: Path) -> None:
    """The cell of a boundary has a stiffness, positive and of the order of the crystal's."""
    found = record(planes, "Cu-310/emt/elasticity")
    crystal = record(planes, "Ni/emt/elasticity")
    assert found["born_stable"]
    assert 0.3 < found["bulk_modulus_gpa"] / crystal["bulk_modulus_gpa"] < 1.0


def test_imported_structure_relaxes_to_the_same_boundary(planes: Path) -> None:
    """A boundary written to a file and imported relaxes like any other, to no higher energy an atom than it was built with."""
    found = record(planes, "mine-too/emt/relaxation")
    own = record(planes, "Cu-310/emt/relaxation")
    assert found["formula_units"].keys() == own["formula_units"].keys()
    assert found["largest_force_ev_per_angstrom"] <= 0.02


def test_report_shows_planes(planes: Path) -> None:
    """The page has the table of boundaries, the registries tried, and a rotatable picture of each structure."""
    page = (planes / "results/report.html").read_text(encoding="utf-8")
    assert "Boundaries, interfaces, surfaces" in page
    assert "registries tried" in page
    for name in ("Cu-310", "Cu-Ni", "Cu-111", "mine-too"):
        assert (planes / f"results/figures/{name}.png").exists()
    table = (planes / "results/table.csv").read_text(encoding="utf-8")
    for key in ("grain_boundary_energy_j_per_m2", "interface_energy_j_per_m2", "surface_energy_j_per_m2"):
        assert key in table


def test_second_study_computes_nothing(planes: Path, tmp_path: Path, run: Run, workflow: Command) -> None:
    """A study in another folder finds every step in the store, and its results have the same bytes."""
    shutil.copytree(planes / "mine", tmp_path / "mine")
    write_study(tmp_path, title="Another")
    done = run("snakemake", *workflow(), cwd=tmp_path, store=planes / "store")
    assert done.returncode == 0, done.stdout + done.stderr
    for path in sorted((planes / "results").rglob("*.json")):
        assert (tmp_path / path.relative_to(planes)).read_bytes() == path.read_bytes(), path
        log = path.parent / "logs" / f"{path.stem}.log"
        found = (tmp_path / log.relative_to(planes)).read_text(encoding="utf-8").splitlines()
        assert found == ["found in the store, nothing is computed"], path


def test_explanation_asks_for_the_same_steps(planes: Path, run: Run) -> None:
    """Every step of the study is in the store under the key that the explanation gives: both are made of the same files."""
    told = run("seiflow", "cache", "explain", "study.yaml", "--cache", planes / "store", cwd=planes).stdout.splitlines()
    assert {line.split()[0] for line in told[:-1]} == {"hit"}
    assert len(told) == 1 + len(list((planes / "results").glob("*/*/*.json")))


def test_other_settings_and_damage_are_misses(planes: Path, tmp_path: Path, run: Run) -> None:
    """A step with another setting is computed, and so is one whose copy in the store was damaged."""
    store = tmp_path / "store"
    shutil.copytree(planes / "store", store)
    for kept in store.glob("Cu/emt/relax_crystal/*/record.json"):
        kept.chmod(0o644)
        kept.write_text("{}", encoding="utf-8")
    data = Path(__file__).parents[1]
    built = planes / "results/Cu/emt/built.extxyz"
    files = ["--structure", data / "structures/phases/Cu.yaml", "--calculator", data / "calculators/emt.yaml", "--built", built]
    for number, settings in enumerate(('{"elasticity": {}}', '{"relaxation": {"fmax": 0.001}}')):
        folder = tmp_path / f"Cu{number}" / "emt"
        folder.mkdir(parents=True)
        out = ["--relaxed", folder / "relaxed.extxyz", "--output", folder / "relaxation.json", "--log", folder / "relaxation.log"]
        done = run("seiflow", "relax", *files, *out, "--settings", settings, cwd=tmp_path, store=store)
        assert done.returncode == 0, done.stderr
        assert "found in the store" not in (folder / "relaxation.log").read_text(encoding="utf-8")
    again = run("seiflow", "relax", *files, *out, "--settings", settings, cwd=tmp_path, store=store)
    assert again.returncode == 0
    assert "found in the store" in (folder / "relaxation.log").read_text(encoding="utf-8")


def test_cut_off_structure_is_made_again(planes: Path, tmp_path: Path, run: Run, workflow: Command) -> None:
    """A structure cut off by a full disk is named, made again, and costs no good record."""
    folder = Path(shutil.copytree(planes, tmp_path / "copied"))
    path = folder / "results/Cu-111/emt/relaxed.extxyz"
    whole = path.read_bytes()
    path.write_bytes(whole[:300])
    before = record(folder, "Cu-111/emt/boundary")
    done = run("snakemake", *workflow(), cwd=folder, store=planes / "store")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "relaxed.extxyz: damaged or cut off; it is computed again" in done.stdout + done.stderr
    assert path.read_bytes() == whole
    assert record(folder, "Cu-111/emt/boundary") == before


def test_unusable_store_is_told(tmp_path: Path, run: Run, workflow: Command) -> None:
    """A store that cannot be written is told once, and the study goes on."""
    write_study(tmp_path, calculations=STUDY["calculations"][:1])
    (tmp_path / "file").write_text("", encoding="utf-8")
    told = run("snakemake", *workflow("--dry-run"), cwd=tmp_path, store=tmp_path / "file")
    assert told.returncode == 0
    assert "nothing can be kept here" in told.stderr


@pytest.mark.parametrize(
    ("structures", "properties", "recipe", "said"),
    [
        (["Cu"], ["boundary"], {}, "boundary of Cu: of a structure of kind phase these can be computed"),
        (["Cu-111"], ["migration"], {}, "migration of Cu-111: of a structure of kind slab"),
        (["Cu-310"], ["boundary"], {"plane": [0, 0, 0]}, r"(0 0 0) has no direction"),
        (["Cu-310"], ["boundary"], {"plane": [1.5, 0, 1]}, "is no plane; give three whole numbers"),
        (["Cu-310"], ["boundary"], {"type": "twist", "plane": [0, 0, 1], "sigma": 6}, "has Σ6; nearest"),
        (["Cu-310"], ["boundary"], {"phase": "Cuu"}, "unknown structure 'Cuu'; did you mean 'Cu'?"),
        (["Cu-310"], ["boundary"], {"termination": 7}, "termination"),
        (["Cu-310"], ["boundary"], {"kind": "grain_bondary"}, "unknown kind 'grain_bondary'; did you mean 'grain_boundary'?"),
    ],
)
def test_mistakes_are_found_before_the_first_job(
    tmp_path: Path, run: Run, structures: list[str], properties: list[str], recipe: dict[str, object], said: str
) -> None:
    """What cannot be computed of a structure, and a recipe that cannot be built, are told by the check, without a traceback."""
    write_study(tmp_path, calculations=[{"structures": structures, "calculators": ["emt"], "properties": properties}])
    path = tmp_path / "mine/structures/Cu-310.yaml"
    path.write_text(yaml.safe_dump(TILT | recipe), encoding="utf-8")
    told = run("seiflow", "check", "study.yaml", cwd=tmp_path)
    assert told.returncode == 1
    assert said in told.stderr
    assert "Traceback" not in told.stderr


def test_structure_named_like_its_phase_is_refused(tmp_path: Path, run: Run) -> None:
    """A boundary that takes the name of its own phase would be made of itself."""
    write_study(tmp_path, calculations=[{"structures": ["Cu"], "calculators": ["emt"], "properties": ["boundary"]}])
    (tmp_path / "mine/structures/Cu.yaml").write_text(yaml.safe_dump(TILT | {"name": "Cu"}), encoding="utf-8")
    told = run("seiflow", "check", "study.yaml", cwd=tmp_path)
    assert told.returncode == 1
    assert "Cu is named like a phase that it is made of" in told.stderr


def test_polar_slab_has_no_surface_energy(tmp_path: Path, run: Run) -> None:
    """A slab with a dipole is refused before the first job: its energy would grow with its thickness."""
    write_study(tmp_path, calculations=[{"structures": ["polar"], "calculators": ["chgnet"], "properties": ["boundary"]}])
    polar = SLAB | {"name": "polar", "phase": "LiF"}
    (tmp_path / "mine/structures/polar.yaml").write_text(yaml.safe_dump(polar), encoding="utf-8")
    told = run("seiflow", "check", "study.yaml", cwd=tmp_path)
    assert told.returncode == 1
    assert "the surface energy would grow with the thickness" in told.stderr


QUICK = {"registry": {"candidates": 0}, "planar": {"shakes": 1}, "segregation": {"image_distance": 5}}
QUICK |= {"migration": {"image_distance": 5}}


def test_interface_with_vacuum_has_one_interface(planes: Path, tmp_path: Path, run: Run, workflow: Command) -> None:
    """With vacuum above it an interface has the work of adhesion of the periodic one, and its energy without the surfaces."""
    wanted = [{"structures": ["open"], "calculators": ["emt"], "properties": ["boundary"]}]
    write_study(tmp_path, calculations=wanted, settings=QUICK)
    recipe = LAYERS | {"thickness_angstrom": [7, 7], "name": "open", "vacuum_angstrom": 12}
    (tmp_path / "mine/structures/open.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    done = run("snakemake", *workflow(), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    one, two = record(tmp_path, "open/emt/boundary"), record(planes, "Cu-Ni/emt/boundary")
    assert (one["boundaries"], two["boundaries"]) == (1, 2)
    assert one["work_of_adhesion_j_per_m2"] == pytest.approx(two["work_of_adhesion_j_per_m2"], abs=0.05)
    assert one["energy_j_per_m2"] == pytest.approx(two["energy_j_per_m2"], abs=0.05)
    assert one["excess_volume_angstrom"] is None


def test_sites_that_do_not_relax_leave_profile_and_hops_of_the_others(tmp_path: Path, run: Run, workflow: Command) -> None:
    """With few steps some vacancies do not relax: the study runs through, and both records and the table say which and why."""
    wanted = [{"structures": ["Cu-310"], "calculators": ["emt"], "properties": ["segregation", "migration"]}]
    few = {"segregation": {"image_distance": 5, "max_steps": 20}, "migration": {"image_distance": 5, "most_evaluations": 1}}
    write_study(tmp_path, calculations=wanted, settings=QUICK | few)
    done = run("snakemake", *workflow(), cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "results/Cu-310/emt/sites"
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
    lost = {name for name, site in found.items() if site["problem"]}
    assert {name for name, site in found.items() if not site["converged"]} == lost
    profile, paths = (record(tmp_path, f"Cu-310/emt/{name}") for name in ("segregation", "migration"))
    assert 0 < len(lost) < len(profile["profile"])
    assert {point["site"] for point in profile["profile"] if point["energy_ev"] is None} == lost
    assert {site["site"] for site in paths["sites"] if site["energy_ev"] is None} == lost
    told = run("seiflow", "table", "study.yaml", cwd=tmp_path).stdout
    assert "There is no energy where the vacancy did not relax. vacancy Cu_" in told
    assert "The vacancy did not relax at Cu_" in told
    assert (tmp_path / "results/figures/Cu-310-emt-segregation.svg").exists()


def test_profile_of_defects(tmp_path: Path, run: Run, workflow: Command) -> None:
    """Every site of a boundary has its distance and energy, the sites make up the cell, and the report draws them.

    Interstitial sites are those asked for, each with a record and a structure that holds one ion more than the supercell.
    """
    wanted = [{"structures": ["twin"], "calculators": ["emt"], "properties": ["segregation"]}]
    settings = QUICK | {"segregation": {"image_distance": 5, "interstitials": 1}}
    write_study(tmp_path, calculations=wanted, settings=settings)
    recipe = TILT | {"name": "twin", "plane": [1, 1, 1], "thickness_angstrom": 6}
    (tmp_path / "mine/structures/twin.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    done = run("snakemake", *workflow(), cwd=tmp_path, store=tmp_path / "store")
    assert done.returncode == 0, done.stdout + done.stderr
    found = record(tmp_path, "twin/emt/segregation")
    assert sum(point["multiplicity"] for point in found["profile"]) == record(tmp_path, "twin/emt/relaxation")["atoms"]
    assert found["lowest_energy_ev"] is not None
    assert {"relaxed Cu", "Cu_1", "relaxed"} <= set(found["provenance"]["inputs_sha256"])
    assert (tmp_path / "results/figures/twin-emt-segregation.svg").exists()
    (point,) = found["interstitial_profile"]
    places = record(tmp_path, "twin/emt/sites")
    assert [site["name"] for site in places["interstitials"]] == [point["site"]]
    assert record(tmp_path, f"twin/emt/sites/{point['site']}")["site"] == point["site"]
    assert len(read_structure(tmp_path / f"results/twin/emt/sites/{point['site']}.extxyz")) == places["atoms"] + 1
    assert found["bulk_interstitial"][0]["energy_ev"] > 0
    explained = run("seiflow", "cache", "explain", "study.yaml", cwd=tmp_path, store=tmp_path / "store").stdout
    assert {line.split()[0] for line in explained.splitlines()[:-1]} == {"hit"}
