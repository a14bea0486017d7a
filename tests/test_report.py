"""The report shows every number, says why others are missing, fetches nothing, and is the same for the same results."""

import csv
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from seiflow.records import write_record
from seiflow.report import Target, collect, make_report, write_table
from seiflow.report.figures import directional_young_modulus
from seiflow.report.references import load_references
from seiflow.report.table import WIDTH

NAMES = ("relaxation", "elasticity", "phonons", "migration")
HOP = "A1-A1.1"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
FETCHING = {"script", "link", "img", "iframe", "object", "embed", "source", "video", "audio", "image", "use"}

Json = dict[str, Any]


def common(structure: str, calculator: str, evaluations: int) -> Json:
    provenance = {"versions": {"seiflow": "0.1.0"}, "inputs": {"relaxed.extxyz": "sha256:0a1b"}, "weights": "sha256:feed"}
    record: Json = {"structure": structure, "calculator": calculator, "converged": True}
    return record | {"force_evaluations": evaluations, "warnings": [], "provenance": provenance}


def relaxation(a: float) -> Json:
    angles = dict.fromkeys(("alpha_degree", "beta_degree", "gamma_degree"), 90.0)
    return {
        "formula": "LiF",
        "formula_units": 4,
        "atoms": 8,
        "space_group": "Fm-3m (225)",
        "lattice": dict.fromkeys(("a_angstrom", "b_angstrom", "c_angstrom"), a) | angles,
        "volume_angstrom3": a**3,
        "energy_ev": -39.1234,
        "largest_force_ev_per_angstrom": 0.00012,
        "largest_stress_gpa": 0.0031,
    }


def cubic_stiffness(c11: float, c12: float, c44: float) -> np.ndarray:
    stiffness = np.diag([c11] * 3 + [c44] * 3).astype(float)
    stiffness[:3, :3] += c12 * (1 - np.eye(3))
    return stiffness


def elasticity(c11: float, c12: float, c44: float) -> Json:
    bulk = (c11 + 2 * c12) / 3
    voigt = (c11 - c12 + 3 * c44) / 5
    reuss = 5 * (c11 - c12) * c44 / (4 * c44 + 3 * (c11 - c12))
    shear = (voigt + reuss) / 2
    young = 9 * bulk * shear / (3 * bulk + shear)
    stiffness = cubic_stiffness(c11, c12, c44)
    axes = np.array([[1.0, 0, 0], np.full(3, 3**-0.5)])
    along = directional_young_modulus(stiffness, axes)
    low, high = int(along.argmin()), int(along.argmax())
    return {
        "stiffness_gpa": stiffness.tolist(),
        "bulk_modulus_voigt_gpa": bulk,
        "bulk_modulus_reuss_gpa": bulk,
        "bulk_modulus_gpa": bulk,
        "shear_modulus_voigt_gpa": voigt,
        "shear_modulus_reuss_gpa": reuss,
        "shear_modulus_gpa": shear,
        "young_modulus_gpa": young,
        "young_modulus_min_gpa": along[low],
        "young_modulus_max_gpa": along[high],
        "young_modulus_min_direction": axes[low].tolist(),
        "young_modulus_max_direction": axes[high].tolist(),
        "poisson_ratio": young / (2 * shear) - 1,
        "pugh_ratio": bulk / shear,
        "universal_anisotropy": 5 * voigt / reuss - 5,
        "born_stable": True,
        "stiffness_eigenvalues_gpa": np.linalg.eigvalsh(stiffness).tolist(),
        "residual_gpa": 0.0213,
        "asymmetry_gpa": 0.0101,
        "nonlinearity_gpa": 0.0307,
        "strain_limit": 0.01,
        "elastic_deformation_energy_mj_per_m3": young * 1000 * 0.01**2 / 2,
        "strained_relaxations": 4,
    }


def phonons(highest: float) -> Json:
    frequency = np.linspace(0, highest * 1.1, 151)
    density = np.clip(frequency * (highest * 1.05 - frequency), 0, None) * (1 + 0.6 * np.sin(3 * frequency))
    temperature = np.arange(0, 1001, 50.0)
    reduced = 560.0 / np.maximum(temperature, 1)
    heat = 49.884 * reduced**2 * np.exp(-reduced) / (1 - np.exp(-reduced)) ** 2
    return {
        "supercell": [[2, 0, 0], [0, 2, 0], [0, 0, 2]],
        "displaced_supercells": 2,
        "stable": False,
        "imaginary_modes": [{"q": [0.5, 0.0, 0.5], "frequency_thz": -0.42}],
        "gamma_frequencies_thz": [0, 0, 0, 8.1, 8.1, 8.1],
        "max_frequency_thz": highest,
        "dos": {"frequency_thz": frequency, "density_per_thz": density},
        "heat_capacity": {"temperature_k": temperature, "cv_j_per_mol_k": heat},
        "heat_capacity_300k_j_per_mol_k": heat[6],
    }


def hop(barrier: float, name: str = HOP) -> Json:
    coordinate = np.linspace(0, 2.89, 7)
    return {
        "hop": name,
        "distance_angstrom": 2.893,
        "method": "symmetric saddle",
        "barrier_forward_ev": barrier,
        "barrier_backward_ev": barrier,
        "saddle_energy_ev": barrier - 312.4,
        "initial_energy_ev": -312.4,
        "final_energy_ev": -312.4,
        "straight_barrier_ev": barrier + 0.0123,
        "pushed_barrier_ev": None,
        "offset_angstrom": 0.217,
        "curvatures_ev_per_angstrom2": [-1.234, 0.456, 0.789],
        "curvature_residuals_ev_per_angstrom2": [0.001, 0.001, 0.001],
        "negative_modes": 1,
        "path": {"coordinate_angstrom": coordinate, "energy_ev": barrier * np.sin(np.pi * coordinate / 2.89) ** 2},
    }


def migration(barrier: float) -> Json:
    kept = ("hop", "distance_angstrom", "method", "barrier_forward_ev", "barrier_backward_ev")
    return {
        "supercell": [[2, 0, 0], [0, 2, 0], [0, 0, 2]],
        "image_distance_angstrom": 8.182,
        "cutoff_angstrom": 2.95,
        "charge_state": "neutral cell: the potential carries no charge",
        "hops": [{key: hop(barrier)[key] for key in kept} | {"multiplicity": 12}],
        "percolation_barrier_ev": dict.fromkeys("abc", barrier),
        "percolation_barrier_1d_ev": barrier,
        "percolation_barrier_2d_ev": barrier,
        "percolation_barrier_3d_ev": barrier,
    }


def write_case(results: Path, structure: str = "LiF", calculator: str = "chgnet", *, soft: float = 1.0) -> None:
    folder = results / structure / calculator
    records = {
        "relaxation": relaxation(4.091 / soft**0.02),
        "elasticity": elasticity(98.31 * soft, 43.17 * soft, 32.29 * soft),
        "phonons": phonons(17.23 * soft**0.5),
        "migration": migration(0.4713 * soft),
        f"hops/{HOP}": hop(0.4713 * soft),
    }
    for number, (name, record) in enumerate(records.items(), start=31):
        write_record(folder / f"{name}.json", common(structure, calculator, number) | record)


def write_references(folder: Path) -> Path:
    entries = [
        ("lattice_a_angstrom", 4.0173, "angstrom", "exp (rocksalt, Fm-3m)", "read", None),
        ("lattice_a_angstrom", 4.0834, "angstrom", "DFT PBE", "read", None),
        ("c11_gpa", 113.97, "GPa", "exp ultrasonic", "recalled", None),
        ("c12_gpa", 47.67, "GPa", "exp ultrasonic", "recalled", None),
        ("c44_gpa", 63.64, "GPa", "exp ultrasonic", "recalled", None),
        ("bulk_modulus_gpa", 69.649, "GPa", "DFT PBE", "read", None),
        ("vacancy_barrier_ev", 0.729, "eV", "DFT GGA, NEB", "read", "10.1021/jp112202s"),
        ("vacancy_barrier_ev", [0.65, 0.73], "eV", "exp conductivity", "recalled", None),
        ("heat_capacity_300k_j_per_mol_k", 41.001, "J/mol/K", "DFT PBE harmonic Cv", "read", None),
        ("heat_capacity_300k_j_per_mol_k", 41.8, "J/mol/K", "exp (JANAF)", "recalled", None),
    ]
    values = [
        {
            "id": f"T{number:03d}",
            "property": name,
            "value": value,
            "unit": unit,
            "method": method,
            "evidence": evidence,
            "source": {"authors": "Some B., Body A.", "journal": "J. Phys. Chem. C 115, 7044", "year": 2011, "doi": doi},
        }
        for number, (name, value, unit, method, evidence, doi) in enumerate(entries, start=1)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "LiF.yaml").write_text(yaml.safe_dump({"phase": "LiF", "values": values}), encoding="utf-8")
    return folder


def targets(structure: str = "LiF", calculator: str = "chgnet") -> list[Target]:
    return [Target(structure, calculator, name) for name in NAMES]


class Page(HTMLParser):
    """Keeps text, tags and attributes, and refuses tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        """Read a whole page."""
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_case(tmp_path / "results")
    return tmp_path / "results"


def table(results: Path, wanted: list[Target]) -> list[dict[str, str]]:
    references = load_references(write_references(results.parent / "references"))
    write_table(results / "table.csv", collect(results, wanted), references)
    with (results / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def report(results: Path, wanted: list[Target]) -> tuple[str, Page]:
    terminal = make_report(results, wanted, write_references(results.parent / "references"), "A study")
    return terminal, Page((results / "report.html").read_text(encoding="utf-8"))


def numbers(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for item in value.values() for number in numbers(item)]
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [float(value)] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", [*NAMES, f"hops/{HOP}"])
def test_every_number_of_a_record_is_in_the_table(results: Path, name: str) -> None:
    """Curves, matrices of the cell and the spectrum of the stiffness stay in the record; every other number is a row."""
    curves = {"path", "dos", "heat_capacity", "supercell", "gamma_frequencies_thz", "imaginary_modes", "provenance"}
    curves |= {"stiffness_eigenvalues_gpa", "curvatures_ev_per_angstrom2", "curvature_residuals_ev_per_angstrom2"}
    record = json.loads((results / "LiF" / "chgnet" / f"{name}.json").read_text(encoding="utf-8"))
    rows = table(results, targets())
    tabled = {{"true": 1.0, "false": 0.0}.get(row["value"], row["value"]) for row in rows}
    wanted = numbers({key: value for key, value in record.items() if key not in curves})
    assert wanted
    assert set(wanted) <= {float(value) for value in tabled}


def test_headline_numbers_are_on_the_page_and_in_the_terminal(results: Path) -> None:
    terminal, page = report(results, targets())
    for text in ("4.091 Å", "98.3 GPa", "43.2 GPa", "32.3 GPa", "0.471 eV", "symmetric saddle", "Fm-3m (225)"):
        assert text in page.text
    for text in ("4.091 Å", "98.3 GPa", "0.471 eV", "0.729 eV", "Fm-3m (225)"):
        assert text in terminal
    assert max(map(len, terminal.splitlines())) <= WIDTH


def test_each_published_value_has_its_own_row(results: Path) -> None:
    """Deviations are in per cent; a number without published value has one row and no reference."""
    rows = table(results, targets())
    barrier = [row for row in rows if row["property"] == f"barrier_forward_ev[{HOP}]"]
    assert [row["reference_value"] for row in barrier] == ["0.729", "0.65..0.73"]
    assert float(barrier[0]["deviation_percent"]) == pytest.approx(100 * (0.4713 / 0.729 - 1), abs=0.01)
    assert "10.1021/jp112202s" in barrier[0]["source"]
    unpublished = [row for row in rows if row["property"] == "universal_anisotropy"]
    assert [row["reference_id"] for row in unpublished] == [""]


def test_a_failed_job_gives_its_reason(results: Path) -> None:
    (results / "LiF" / "chgnet" / "phonons.json").unlink()
    (results / "LiF" / "chgnet" / "phonons.failed").write_text("largest force 0.3 eV/Å after 300 steps\n", encoding="utf-8")
    terminal, page = report(results, targets())
    for text in (terminal, page.text):
        assert "largest force 0.3 eV/Å after 300 steps" in text


def test_what_never_ran_says_so(results: Path) -> None:
    missing = collect(results, targets("LiF", "other")).missing
    assert {item.reason for item in missing} == {"not computed"}
    assert len(missing) == len(NAMES)


def test_a_failed_hop_explains_the_missing_barrier(results: Path) -> None:
    """The hops that exist are shown although the migration barrier is not."""
    folder = results / "LiF" / "chgnet"
    (folder / "migration.json").unlink()
    (folder / "hops" / "A1-A2.failed").write_text("the band did not converge", encoding="utf-8")
    _, page = report(results, targets())
    assert "hops/A1-A2" in page.text
    assert "the band did not converge" in page.text
    assert "0.471 eV" in page.text


def test_a_warning_of_a_hop_is_told_once(results: Path) -> None:
    """The migration tells those of its hops; without it the hop tells its own."""
    folder = results / "LiF" / "chgnet"
    told = "its path passes 0.100 eV below both ends"
    for name, warning in ((f"hops/{HOP}", told), ("migration", f"{HOP}: {told}")):
        record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        (folder / f"{name}.json").write_text(json.dumps(record | {"warnings": [warning]}), encoding="utf-8")
    for _ in range(2):
        terminal, page = report(results, targets())
        assert page.text.count(told) == " ".join(terminal.split()).count(told) == 1
        (folder / "migration.json").unlink(missing_ok=True)


def test_an_old_failure_is_forgotten(results: Path) -> None:
    (results / "LiF" / "chgnet" / "hops" / f"{HOP}.failed").write_text("killed", encoding="utf-8")
    (results / "LiF" / "chgnet" / "elasticity.failed").write_text("killed", encoding="utf-8")
    assert collect(results, targets()).missing == ()


@pytest.mark.parametrize("text", ['{"stiffness_gpa": [[1, 2', "[]", '{"converged": true}'])
def test_a_damaged_record_is_a_failure(results: Path, text: str) -> None:
    """A record that is cut off, or lacks a key, is never read in part."""
    (results / "LiF" / "chgnet" / "elasticity.json").write_text(text, encoding="utf-8")
    collected = collect(results, targets())
    assert collected.cases[0].elasticity is None
    assert [item.name for item in collected.missing] == ["elasticity"]
    _, page = report(results, targets())
    assert "elasticity.json" in page.text


def test_nothing_is_fetched(results: Path) -> None:
    _, page = report(results, targets())
    for tag, attributes in page.tags:
        links = [value for key, value in attributes.items() if key in {"src", "href", "xlink:href", "srcset", "data"} and value]
        outside = [link for link in links if not link.startswith("#")]
        assert tag not in FETCHING - {"use"} or not outside
        assert all(tag == "a" and link.startswith("https://doi.org/") for link in outside)
    source = (results / "report.html").read_text(encoding="utf-8")
    assert "@import" not in source
    assert "@font-face" not in source
    assert "url(http" not in source


def test_ids_are_unique_and_links_lead_somewhere(results: Path) -> None:
    write_case(results, calculator="stiff", soft=1.2)
    _, page = report(results, targets() + targets(calculator="stiff"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [value for _, attributes in page.tags for key, value in attributes.items() if key.endswith("href") and value]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)


def test_names_cannot_inject(results: Path) -> None:
    write_case(results, "<b>bold", "$x$<i>")
    (results / "<b>bold" / "$x$<i>" / "phonons.json").unlink()
    (results / "<b>bold" / "$x$<i>" / "phonons.failed").write_text("<script>alert(1)</script>", encoding="utf-8")
    _, page = report(results, targets("<b>bold", "$x$<i>"))
    assert not {"b", "i", "script"} & {tag for tag, _ in page.tags}
    assert "<script>alert(1)</script>" in page.text


def test_equal_results_give_equal_bytes(results: Path) -> None:
    def written() -> dict[str, bytes]:
        report(results, targets())
        paths = [results / "table.csv", results / "report.html", *(results / "figures").glob("*.svg")]
        return {path.name: path.read_bytes() for path in paths}

    first = written()
    assert len(first) == 2 + 5
    assert written() == first


def test_softness_is_stated(results: Path) -> None:
    _, page = report(results, targets())
    expected = np.mean([98.31 / 113.97, 43.17 / 47.67, 32.29 / 63.64, (98.31 + 2 * 43.17) / 3 / 69.649])
    assert f"{expected:.2f} \N{MULTIPLICATION SIGN}" in page.text
    assert "the potential is too soft" in page.text


def test_an_unstable_crystal_is_reported_as_such(results: Path) -> None:
    """Without a stable stiffness there are no averages, and the page says so instead of showing numbers."""
    path = results / "LiF" / "chgnet" / "elasticity.json"
    record = json.loads(path.read_text(encoding="utf-8")) | {"born_stable": False}
    needs_compliance = (
        "bulk_modulus_reuss_gpa",
        "bulk_modulus_gpa",
        "shear_modulus_reuss_gpa",
        "shear_modulus_gpa",
        "pugh_ratio",
    )
    needs_compliance += ("poisson_ratio", "universal_anisotropy", "elastic_deformation_energy_mj_per_m3", "young_modulus_gpa")
    needs_compliance += tuple(f"young_modulus_{which}_{what}" for which in ("min", "max") for what in ("gpa", "direction"))
    write_record(path, record | dict.fromkeys(needs_compliance))
    terminal, page = report(results, targets())
    assert "undefined: not stable" in page.text
    assert "Born stable" in terminal
    assert [row["value"] for row in table(results, targets()) if row["property"] == "young_modulus_gpa"] == [""]


def test_an_empty_study_still_has_a_report(tmp_path: Path) -> None:
    terminal, page = report(tmp_path / "results", targets())
    assert table(tmp_path / "results", targets()) == []
    assert "not computed" in page.text
    assert "not computed" in terminal


def test_isotropic_stiffness_has_one_young_modulus() -> None:
    """With C44 = (C11 - C12)/2 every direction has E = (C11 - C12)(C11 + 2 C12)/(C11 + C12)."""
    directions = np.random.default_rng(1).normal(size=(20, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    found = directional_young_modulus(cubic_stiffness(100.0, 40.0, 30.0), directions)
    assert found == pytest.approx(60.0 * 180.0 / 140.0)
