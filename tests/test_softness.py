"""Softness: forces against a reference give back a known factor, displaced crystals are what they claim, estimates stay apart."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import read, write

from seiflow.calculators.recipes import calculator_shelf
from seiflow.cli import main
from seiflow.engine import Engine
from seiflow.errors import InputError, PhysicsError
from seiflow.jobs.reference_forces import reference_forces
from seiflow.properties.displaced import AMPLITUDES, COPIES, PUSH, TYPICAL, displaced, shaken, small_cell
from seiflow.properties.softness import Softness, jackknife, reduce, slope, softness
from seiflow.records import read_record
from seiflow.reference_forces import ReferenceForces, file_name, find_reference, read_reference_forces
from seiflow.report import Target, collect, format_table, make_report, write_table
from seiflow.report.references import load_references
from seiflow.report.softness_view import is_scaled
from seiflow.settings import SoftnessSettings
from seiflow.shelves import data_folder, phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.structures.units import find_units

PHASES = ("LiF", "Li2O", "Li2CO3")
STUDY: dict[str, Any] = {"structures": ["Cu"], "calculators": ["emt"], "properties": ["elasticity", "softness"]}


class ScaledEMT(EMT):  # type: ignore[misc] # the base class is untyped
    """EMT with all energies, forces and stresses multiplied by a number."""

    factor = 0.8

    def calculate(self, atoms: Atoms, properties: list[str], system_changes: list[str]) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {name: np.asarray(value) * self.factor for name, value in self.results.items()}


class FailingEMT(EMT):  # type: ignore[misc] # the base class is untyped
    """EMT that is killed at one of its evaluations, and counts them."""

    left = 10**9
    made = 0

    def calculate(self, atoms: Atoms, properties: list[str], system_changes: list[str]) -> None:
        if type(self).left == 0:
            raise KeyboardInterrupt
        type(self).left -= 1
        type(self).made += 1
        super().calculate(atoms, properties, system_changes)


@pytest.fixture(scope="session")
def copper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return reference forces of copper by EMT, in a library of a user's own."""
    library = tmp_path_factory.mktemp("library")
    path = library / "references/forces" / file_name("Cu", "emt")
    reference_forces(phase_shelf().path("Cu"), calculator_shelf().path("emt"), path)
    return path


@pytest.fixture(scope="session")
def measured(copper: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results folder of a study of copper with a calculator that is EMT times 0.8, softness included."""
    folder = tmp_path_factory.mktemp("measured")
    return run_jobs(folder, copper, scaled_recipe(folder))


def scaled_recipe(folder: Path) -> Path:
    """Write the recipe of EMT times 0.8 and return its path."""
    recipe = yaml.safe_load(calculator_shelf().path("emt").read_text(encoding="utf-8"))
    recipe |= {"name": "scaled", "factory": "test_softness:ScaledEMT"}
    path = folder / "scaled.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


def run_jobs(folder: Path, reference: Path, calculator: Path) -> Path:
    """Run the jobs of a study by hand: build, relax, stiffness, softness."""
    results = folder / "results/Cu" / calculator.stem
    results.mkdir(parents=True)
    phase = str(phase_shelf().path("Cu"))
    built, relaxed = str(results / "built.extxyz"), str(results / "relaxed.extxyz")
    given = ["--structure", phase, "--calculator", str(calculator)]
    settings = json.dumps({"softness": {"reference": "emt"}})
    assert main(["build", "--structure", phase, "--output", built]) == 0
    assert main(["relax", *given, "--built", built, "--relaxed", relaxed, "--output", str(results / "relaxation.json")]) == 0
    assert main(["elasticity", *given, "--relaxed", relaxed, "--output", str(results / "elasticity.json")]) == 0
    softness_arguments = ["--reference", str(reference), "--settings", settings, "--output", str(results / "softness.json")]
    assert main(["softness", *given, *softness_arguments]) == 0
    return folder / "results"


def closest(atoms: Atoms, index: int) -> float:
    """Return the distance from an atom to the nearest other one, Å."""
    return float(np.delete(atoms.get_distances(index, range(len(atoms)), mic=True), index).min())


def random_forces(frames: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((5, 3)) for _ in range(frames)]


def test_a_calculator_is_as_stiff_as_itself(copper: Path) -> None:
    """Against its own forces, read back from the file, a calculator has the force scale one and nothing else differs."""
    found = softness(read_reference_forces(copper), Engine(EMT()))
    assert found.force_scale == pytest.approx(1, abs=1e-3)
    assert found.energy_scale == pytest.approx(1, abs=1e-3)
    assert found.force_correlation == pytest.approx(1, abs=1e-6)
    assert found.force_rms_ev_per_angstrom < 1e-3 * found.reference_force_rms_ev_per_angstrom
    assert found.force_scale_error < 1e-3
    assert found.warnings == ()


def test_a_scaled_calculator_has_its_factor(copper: Path) -> None:
    """Forces and energies times 0.8 give 0.8 in total, for each species and in each structure, without an error."""
    found = softness(read_reference_forces(copper), Engine(ScaledEMT()))
    scales = [found.force_scale, found.energy_scale, *(one.force_scale for one in (*found.species, *found.frames))]
    assert scales == pytest.approx([0.8] * len(scales), abs=1e-3)
    assert found.force_scale_error < 1e-3
    assert found.force_rms_ev_per_angstrom == pytest.approx(0.2 * found.reference_force_rms_ev_per_angstrom, rel=1e-2)


def test_slope_is_the_least_squares_solution() -> None:
    """The slope through the origin is the one of a general solver of linear equations."""
    x, y = np.concatenate(random_forces(2)).ravel(), np.concatenate(random_forces(2, seed=1)).ravel()
    assert slope(x, y) == pytest.approx(float(np.linalg.lstsq(x[:, None], y, rcond=None)[0][0]))
    with pytest.raises(PhysicsError, match="not displaced"):
        slope(np.zeros(3), y[:3])


def test_jackknife_is_the_standard_error_of_a_mean() -> None:
    """Where all structures weigh the same, leaving one out gives the standard error of the mean of their slopes."""
    known = [forces / np.linalg.norm(forces) for forces in random_forces(7)]
    slopes = np.random.default_rng(3).normal(0.8, 0.1, size=7)
    found = [forces * factor for forces, factor in zip(known, slopes, strict=True)]
    assert jackknife(known, found) == pytest.approx(slopes.std(ddof=1) / np.sqrt(7))


def test_what_one_number_does_not_describe_is_told() -> None:
    """Warnings tell of forces that differ by more than a factor, and of a scale that is not the same everywhere."""
    known, found = random_forces(4), random_forces(4, seed=1)
    frames = tuple(Atoms("Cu5", positions=np.zeros((5, 3))) for _ in known)
    reference = ReferenceForces("emt", frames[0], frames, tuple("abcd"))
    heights = [1.0, 2, 3, 4]
    told = " ".join(reduce(reference, known, found, heights, heights).warnings)
    assert "more than a factor" in told
    assert "from structure to structure" in told
    assert reduce(reference, known, known, heights, heights).warnings == ()


@pytest.mark.parametrize("name", PHASES)
def test_ions_are_displaced_as_wholes(name: str) -> None:
    """Every ion is shifted by the amplitude, a polyatomic one is turned by as much and keeps its bonds."""
    recipe = phase_shelf().get(name)
    crystal = small_cell(build_crystal(recipe))
    units = find_units(crystal, recipe.polyatomic)
    whole = crystal.positions + units.offsets @ crystal.cell
    moved = shaken(crystal, recipe, 0.1, np.random.default_rng(0)).positions + units.offsets @ crystal.cell
    for label in np.unique(units.labels):
        members = units.labels == label
        before, after = whole[members], moved[members]
        shift = after.mean(axis=0) - before.mean(axis=0)
        assert np.linalg.norm(shift) == pytest.approx(0.1)
        turned = after - shift - before
        bonds = [np.linalg.norm(one[:, None] - one[None], axis=-1) for one in (before, after)]
        assert bonds[0] == pytest.approx(bonds[1])
        if members.sum() > 1:
            assert 0 < np.sqrt((turned**2).sum(axis=1).mean()) <= 0.1


@pytest.mark.parametrize("name", [*PHASES, "Cu"])
def test_one_ion_is_pushed_far(name: str) -> None:
    """Two structures have one mobile ion pushed, towards another site and an interstitial one; the cell stays small."""
    recipe = phase_shelf().get(name)
    crystal = small_cell(build_crystal(recipe))
    copies = displaced(crystal, recipe, seed=0)
    assert len(crystal) <= 16
    assert len(copies) == COPIES * len(AMPLITUDES) + 2 == TYPICAL - 1
    for copy in copies[-2:]:
        moved = np.linalg.norm(copy.atoms.positions - crystal.positions, axis=1)
        pushed = int(moved.argmax())
        assert moved[pushed] == pytest.approx(PUSH)
        assert crystal.symbols[pushed] == recipe.mobile
        assert np.delete(moved, pushed).max() < 3 * AMPLITUDES[0]
        nearest = [
            np.sort(one.get_distances(pushed, np.delete(np.arange(len(one)), pushed), mic=True))[0]
            for one in (crystal, copy.atoms)
        ]
        assert 0.5 * nearest[0] < nearest[1] < nearest[0]


def test_equal_seeds_give_equal_structures() -> None:
    """What a seed gives is given again by it, and by no other."""
    recipe = phase_shelf().get("LiF")
    crystal = build_crystal(recipe)
    first, second, other = (displaced(crystal, recipe, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one.atoms.positions, two.atoms.positions) for one, two in zip(first, second, strict=True))
    assert not np.allclose(first[0].atoms.positions, other[0].atoms.positions)


@pytest.mark.parametrize("name", PHASES)
def test_shipped_forces_are_those_of_one_energy_surface(name: str) -> None:
    """Forces on a crystal add up to nothing, vanish at rest, and near rest half of them times the way is the energy."""
    path = find_reference([], name, SoftnessSettings().reference)
    assert path is not None
    found = read_reference_forces(path)
    rest = found.rest.get_potential_energy()
    assert np.abs(found.rest.get_forces()).max() < 0.05
    for frame, way in zip(found.displaced, found.ways, strict=True):
        forces = frame.get_forces()
        assert np.abs(forces.mean(axis=0)).max() < 0.01
        if way.startswith("all ions by 0.05"):
            work = -0.5 * ((forces + found.rest.get_forces()) * (frame.positions - found.rest.positions)).sum()
            assert frame.get_potential_energy() - rest == pytest.approx(work, rel=0.03)


def setups_of(phase: str, files: Iterable[str]) -> set[str]:
    """Return the setups of the elements of a phase, the only ones that its forces depend on."""
    elements = set(build_crystal(phase_shelf().get(phase)).symbols)
    return {file for file in files if Path(file).name.partition(".")[0] in elements}


@pytest.mark.parametrize("name", PHASES)
def test_shipped_forces_say_how_they_were_made(name: str) -> None:
    """A file names phase, calculator, seed, versions and digests, and the settings of the recipe, told in the docs."""
    chosen = SoftnessSettings().reference
    path = find_reference([], name, chosen)
    assert path is not None
    provenance = read(path, index=0).info["provenance"]
    recipe = calculator_shelf().get(chosen)
    assert (provenance["phase"], provenance["calculator"], provenance["seed"]) == (name, chosen, 0)
    arguments = provenance["arguments"]
    assert arguments == recipe.arguments
    methods = (Path(__file__).parent.parent / "docs" / "methods.md").read_text(encoding="utf-8")
    assert f"plane waves to {arguments['cutoff_ev']} eV" in methods
    assert setups_of(name, provenance["weights_sha256"]) == setups_of(name, recipe.weights) != set()
    assert {"seiflow", "ase", "gpaw"} <= set(provenance["versions"])
    assert all(len(digest) == 64 for digest in provenance["recipes_sha256"].values())
    read_reference_forces(path).require(phase_shelf().get(name), chosen, path)


def test_a_killed_run_goes_on(copper: Path, tmp_path: Path) -> None:
    """A run killed half-way writes nothing, computes only the rest when it is started again, and ends with the same bytes."""
    recipe = yaml.safe_load(calculator_shelf().path("emt").read_text(encoding="utf-8"))
    recipe |= {"factory": "test_softness:FailingEMT"}
    path = tmp_path / "emt.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    output = tmp_path / "forces.extxyz"
    FailingEMT.left = 6
    with pytest.raises(KeyboardInterrupt):
        reference_forces(phase_shelf().path("Cu"), path, output)
    assert not output.exists()
    FailingEMT.left = 10**9
    reference_forces(phase_shelf().path("Cu"), path, output)
    positions = [[frame.positions for frame in read(one, index=":")] for one in (output, copper)]
    forces = [[frame.get_forces() for frame in read(one, index=":")] for one in (output, copper)]
    assert np.array_equal(positions[0], positions[1])
    assert np.array_equal(forces[0], forces[1])
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".journal"] == []
    evaluations, FailingEMT.made = FailingEMT.made, 0
    reference_forces(phase_shelf().path("Cu"), path, tmp_path / "again.extxyz")
    assert evaluations == FailingEMT.made
    assert (tmp_path / "again.extxyz").read_bytes() == output.read_bytes()


def test_a_phase_without_reference_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the first job a study is told which phases have reference forces, and how others are made."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({"calculations": [STUDY]}), encoding="utf-8")
    assert main(["check", "study.yaml"]) == 1
    told = capsys.readouterr().err
    assert "softness of Cu: there are no reference forces of it by gpaw-pbe" in told
    assert f"these phases have them: {', '.join(sorted(PHASES))}" in told
    assert "seiflow calculators forces gpaw-pbe --phase Cu" in told


def test_a_library_brings_its_own_reference(
    copper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Reference forces in references/forces/ of a user's library are found, before those of the package."""
    monkeypatch.chdir(tmp_path)
    library = copper.parents[2]
    study = {"library": [str(library)], "calculations": [STUDY], "settings": {"softness": {"reference": "emt"}}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    assert main(["check", "study.yaml"]) == 0
    assert "softness" in capsys.readouterr().out
    own = tmp_path / "own/references/forces" / file_name("LiF", "gpaw-pbe")
    own.parent.mkdir(parents=True)
    own.write_bytes(copper.read_bytes())
    assert find_reference([tmp_path / "own"], "LiF", "gpaw-pbe") == own
    assert find_reference([], "LiF", "gpaw-pbe") == data_folder("references") / "forces" / own.name


def test_forces_of_something_else_are_refused(copper: Path, tmp_path: Path) -> None:
    """A file that holds another phase, another calculator, or no forces at all, is named with what is wrong."""
    found = read_reference_forces(copper)
    for phase, calculator in (("Al", "emt"), ("Cu", "gpaw-pbe")):
        with pytest.raises(InputError, match="holds forces of Cu by emt"):
            found.require(phase_shelf().get(phase), calculator, copper)
    bare = tmp_path / "bare.extxyz"
    write(bare, Atoms("Cu", cell=[4, 4, 4], pbc=True))
    few = tmp_path / "few.extxyz"
    write(few, read(copper, index=":2"))
    for path in (bare, few, tmp_path / "none.extxyz"):
        with pytest.raises(InputError, match=path.name):
            read_reference_forces(path)


def test_the_record_has_keys_with_units(measured: Path) -> None:
    """The record of a job holds what the property returns, its provenance and the digest of the reference."""
    record = read_record(measured / "Cu/scaled/softness.json")
    assert set(Softness.__dataclass_fields__) <= set(record)
    assert record["force_scale"] == pytest.approx(0.8, abs=1e-3)
    assert record["structures_compared"] == TYPICAL - 1
    assert record["forces_compared"] == 3 * 4 * (TYPICAL - 1)
    assert record["provenance"]["settings"] == {"reference": "emt"}
    assert set(record["provenance"]["inputs_sha256"]) == {"reference"}
    assert record["force_evaluations"] == TYPICAL


def test_estimates_stand_beside_what_was_computed(measured: Path, tmp_path: Path) -> None:
    """Corrected moduli are those computed over the force scale, in a column of their own; nothing else is corrected."""
    targets = [Target("Cu", "scaled", name) for name in ("relaxation", "elasticity", "softness")]
    collected = collect(measured, targets)
    write_table(tmp_path / "table.csv", collected, load_references(data_folder("references")))
    with (tmp_path / "table.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["property"]: row for row in csv.DictReader(file)}
    stiffness = read_record(measured / "Cu/scaled/elasticity.json")
    assert float(rows["c11_gpa"]["value"]) == pytest.approx(stiffness["stiffness_gpa"][0][0])
    corrected = {name for name, row in rows.items() if row["corrected_for_softness"]}
    assert {"c11_gpa", "c12_gpa", "c44_gpa", "bulk_modulus_gpa", "shear_modulus_gpa", "young_modulus_gpa"} <= corrected
    for name in corrected:
        assert float(rows[name]["corrected_for_softness"]) == pytest.approx(float(rows[name]["value"]) / 0.8, rel=1e-3)
    assert not {"lattice_a_angstrom", "poisson_ratio", "residual_gpa", "energy_ev", "force_scale"} & corrected


def test_only_what_scales_with_the_energy_surface_is_corrected() -> None:
    """Barriers and moduli scale; ratios, lengths, formation energies and stresses do not."""
    scaled = [
        "barrier_forward_ev[hop_1]",
        "percolation_barrier_3d_ev",
        "interstitial_barrier_forward_ev[hop_1 direct]",
        "c44_gpa",
    ]
    scaled += ["young_modulus_min_gpa", "shear_modulus_reuss_gpa", "knock_off_percolation_3d_ev", "percolation_barrier_ev[a]"]
    others = ["schottky_energy_ev", "intrinsic_activation_energy_ev", "saddle_energy_ev[hop_1]", "poisson_ratio", "residual_gpa"]
    others += ["largest_stress_gpa", "lattice_a_angstrom", "max_frequency_thz", "force_scale[Li]"]
    assert [key for key in scaled if not is_scaled(key)] == []
    assert [key for key in others if is_scaled(key)] == []


def test_report_and_table_label_the_estimate(measured: Path, tmp_path: Path) -> None:
    """Page and terminal show the force scale and say that corrected values are estimates; without softness neither appears."""
    results = tmp_path / "results"
    (results / "Cu").mkdir(parents=True)
    (results / "Cu/scaled").symlink_to(measured / "Cu/scaled")
    names = ["relaxation", "elasticity"]
    plain = make_report(results, [Target("Cu", "scaled", name) for name in names], data_folder("references"), "A study")
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "corrected" not in plain
    assert "Corrected for softness" not in page
    told = make_report(results, [Target("Cu", "scaled", name) for name in [*names, "softness"]], data_folder("references"), "A")
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Corrected for softness, estimate" in page
    assert "an estimate, no result" in page
    assert "corrected for softness, an estimate" in told
    stiffness = read_record(results / "Cu/scaled/elasticity.json")["stiffness_gpa"][0][0]
    line = next(line for line in told.splitlines() if line.startswith("  C11"))
    assert line.split() == ["C11", f"{stiffness:.1f}", "GPa", f"{stiffness / 0.8:.1f}", "GPa"]
    assert format_table(collect(results, []), {}).strip() == ""
