"""Mixed fidelity: a calculator that starts from a cheaper one ends where it would have ended, in fewer steps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from ase.build import bulk
from ase.calculators.emt import EMT

from seiflow.engine import Engine
from seiflow.errors import PhysicsError, StudyError
from seiflow.properties.migration import finding
from seiflow.properties.migration.climb import on_the_way
from seiflow.properties.migration.finding import BAND, find_way
from seiflow.properties.migration.hop import hop_barrier
from seiflow.properties.migration.network import hop_network, make_supercell
from seiflow.properties.migration.single_points import barrier_check
from seiflow.properties.migration.states import hop_ends, relax_vacancy
from seiflow.properties.migration.symmetry import site_symmetry
from seiflow.records import read_record
from seiflow.settings import MigrationSettings
from seiflow.structures.transfer import transferred
from seiflow.study import Study

SETTINGS = MigrationSettings(image_distance=5.0)

EMT_LATER = {
    "name": "emt-later",
    "summary": "EMT that starts from a pair potential",
    "factory": "ase.calculators.emt:EMT",
    "starts_from": "morse",
    "elements": ["Cu"],
    "charge": False,
    "seconds_per_atom": 1e-4,
    "source": {"citation": "a test"},
}
MORSE = EMT_LATER | {
    "name": "morse",
    "summary": "Morse potential",
    "factory": "ase.calculators.morse:MorsePotential",
    "arguments": {"epsilon": 0.34, "r0": 2.62, "rho0": 5.0, "rcut1": 1.5, "rcut2": 1.9},
    "starts_from": None,
}


def write(folder: Path, *recipes: dict[str, object]) -> Path:
    """Write calculators of a user's own."""
    (folder / "calculators").mkdir(parents=True, exist_ok=True)
    for recipe in recipes:
        (folder / "calculators" / f"{recipe['name']}.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return folder


def study(library: Path, *properties: str, calculator: str = "emt-later") -> dict[str, object]:
    """Return a study of copper."""
    block = {"structures": ["Cu"], "calculators": [calculator], "properties": list(properties)}
    return {"library": [str(library)], "calculations": [block], "settings": {"migration": {"image_distance": 5}}}


def test_structure_is_transferred_by_its_fractions() -> None:
    """Displacements scale with the cell, across its borders too, and other ions are refused."""
    small, large = bulk("Cu", a=3.6, cubic=True) * 2, bulk("Cu", a=3.7, cubic=True) * 2
    moved = small.copy()
    moved.positions += np.random.default_rng(3).normal(0, 0.1, moved.positions.shape)
    moved.wrap()
    found = transferred(moved, large)
    assert found is not None
    expected = moved.get_scaled_positions()
    gaps = found.get_scaled_positions() - expected
    assert np.abs(gaps - np.rint(gaps)).max() < 1e-12
    assert np.linalg.norm(found.positions - large.positions, axis=1).max() < 0.6
    assert np.allclose(found.cell, large.cell)
    del moved[3]
    assert transferred(moved, large) is None


def test_hop_from_another_saddle_has_the_same_barrier() -> None:
    """From a saddle that lies off by up to 0.1 Å the barrier is that of a search from nothing, within 1 meV, and costs less."""
    crystal = bulk("Cu", a=3.59, cubic=True)
    network = hop_network(crystal, "Cu", SETTINGS)
    supercell = make_supercell(crystal, network.supercell)
    symmetry = site_symmetry(supercell)
    engine = Engine(EMT())
    vacancies = {site.site: relax_vacancy(supercell, site, engine, SETTINGS) for site in network.sites}
    barriers, costs = [], []
    head_start = None
    for _ in range(2):
        engine = Engine(EMT())
        barrier, frames = hop_barrier(supercell, network.hops[0], vacancies, symmetry, engine, SETTINGS, head_start)
        barriers.append(barrier.barrier_forward_ev)
        costs.append(engine.force_evaluations)
        head_start = frames.saddle.copy()
        head_start.set_cell(head_start.cell * 1.01, scale_atoms=True)
        head_start.positions += np.random.default_rng(0).normal(0, 0.02, head_start.positions.shape)
    assert barriers[1] == pytest.approx(barriers[0], abs=1e-3)
    assert costs[1] <= costs[0]


def test_head_start_that_leads_nowhere_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    """From the initial state taken for a saddle the search starts afresh and finds the saddle."""
    crystal = bulk("Cu", a=3.59, cubic=True)
    network = hop_network(crystal, "Cu", SETTINGS)
    supercell = make_supercell(crystal, network.supercell)
    symmetry = site_symmetry(supercell)
    engine = Engine(EMT(), report=print)
    vacancies = {site.site: relax_vacancy(supercell, site, engine, SETTINGS) for site in network.sites}
    _, frames = hop_barrier(supercell, network.hops[0], vacancies, symmetry, engine, SETTINGS)
    barrier, _ = hop_barrier(supercell, network.hops[0], vacancies, symmetry, engine, SETTINGS, frames.initial)
    assert barrier.negative_modes == 1
    assert barrier.barrier_forward_ev == pytest.approx(
        frames.saddle.get_potential_energy() - frames.initial.get_potential_energy(), abs=1e-3
    )
    assert "the search starts afresh" in capsys.readouterr().out


@pytest.mark.parametrize("useful", [True, False])
def test_band_goes_through_the_saddle_of_the_cheaper_calculator(monkeypatch: pytest.MonkeyPatch, *, useful: bool) -> None:
    """Where the search fails, the band begins at the given saddle and costs less than one that does not; an end is no saddle."""
    crystal = bulk("Cu", a=3.59, cubic=True)
    network = hop_network(crystal, "Cu", SETTINGS)
    supercell = make_supercell(crystal, network.supercell)
    symmetry = site_symmetry(supercell)
    vacancies = {site.site: relax_vacancy(supercell, site, Engine(EMT()), SETTINGS) for site in network.sites}
    barrier, frames = hop_barrier(supercell, network.hops[0], vacancies, symmetry, Engine(EMT()), SETTINGS)
    ends = hop_ends(supercell, network.hops[0], vacancies, symmetry)

    def fails(*_: object, **__: object) -> None:
        message = "the saddle lies beside the hop"
        raise PhysicsError(message)

    monkeypatch.setattr(finding, "cross", fails)
    costs = []
    for start in (None, frames.saddle if useful else frames.initial):
        engine = Engine(EMT())
        point = None if start is None else on_the_way(start, ends.final.positions - ends.initial.positions)
        found = find_way(ends, engine, SETTINGS, band=True, start=point, most_evaluations=None)
        assert found.method == BAND
        height = found.crossing.saddle.energy - ends.energy_initial
        assert height == pytest.approx(barrier.barrier_forward_ev, abs=5e-3)
        costs.append(engine.force_evaluations)
    assert costs[1] < costs[0] if useful else costs[1] == costs[0]


@pytest.mark.study
def test_study_of_both_ends_with_the_result_of_the_dearer_alone(
    tmp_path: Path, run: Callable[..., object], workflow: Callable[..., list[str]]
) -> None:
    """The cheaper one is run too; the barrier of the dearer one is that it has by itself, and its record names the start."""
    library = write(tmp_path / "mine", EMT_LATER, MORSE)
    both = study(library, "migration", "barrier_check")
    both["calculations"].append({"structures": ["Cu"], "calculators": ["emt"], "properties": ["migration"]})  # type: ignore[attr-defined]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(both), encoding="utf-8")
    done = run("snakemake", *workflow(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    records = {name: read_record(tmp_path / f"results/Cu/{name}/hops/hop_1.json") for name in ("emt", "emt-later", "morse")}
    assert records["emt-later"]["barrier_forward_ev"] == pytest.approx(records["emt"]["barrier_forward_ev"], abs=1e-3)
    assert abs(records["morse"]["barrier_forward_ev"] - records["emt"]["barrier_forward_ev"]) > 0.1
    assert "head start" in records["emt-later"]["provenance"]["inputs_sha256"]
    assert records["emt-later"]["force_evaluations"] <= records["emt"]["force_evaluations"]
    (checked,) = read_record(tmp_path / "results/Cu/emt-later/barrier_check.json")["hops"]
    assert checked["cheaper_forward_ev"] == pytest.approx(records["morse"]["barrier_forward_ev"], abs=1e-6)
    assert checked["barrier_forward_ev"] == pytest.approx(records["emt"]["barrier_forward_ev"], abs=0.3)
    assert "single points" in (tmp_path / "results/report.html").read_text(encoding="utf-8")
    with pytest.raises(StudyError, match=r"barrier_check: the recipe of emt names no cheaper calculator"):
        Study(study(library, "barrier_check", calculator="emt"))


def test_single_points_of_one_calculator_are_its_barriers() -> None:
    """At its own structures a calculator's single points are its barriers, points beside the saddle are lower, and it rests."""
    crystal = bulk("Cu", a=3.59, cubic=True)
    network = hop_network(crystal, "Cu", SETTINGS)
    supercell = make_supercell(crystal, network.supercell)
    engine = Engine(EMT())
    vacancies = {site.site: relax_vacancy(supercell, site, engine, SETTINGS) for site in network.sites}
    barrier, frames = hop_barrier(supercell, network.hops[0], vacancies, site_symmetry(supercell), engine, SETTINGS)
    (hop,) = barrier_check("emt", {"hop_1": [frames.initial, frames.saddle, frames.final]}, Engine(EMT())).hops
    assert hop.barrier_forward_ev == pytest.approx(barrier.barrier_forward_ev, abs=1e-6)
    assert hop.cheaper_forward_ev == pytest.approx(hop.barrier_forward_ev, abs=1e-6)
    assert hop.before_ev < 0
    assert hop.after_ev < 0
    assert hop.before_ev == pytest.approx(hop.after_ev, abs=1e-4)
    assert hop.largest_force_ev_per_angstrom < SETTINGS.fmax * 1.01
    shifted = frames.saddle.copy()
    shifted.positions += 0.2 * (frames.final.positions - frames.saddle.positions)
    shifted.calc = frames.saddle.calc.__class__(shifted, energy=frames.saddle.get_potential_energy())
    found = barrier_check("emt", {"hop_1": [frames.initial, shifted, frames.final]}, Engine(EMT()))
    assert "towards the initial state: the barrier is higher" in found.warnings[0]


def test_single_points_of_hops_that_form_no_network_are_told(tmp_path: Path) -> None:
    """The cheap check needs the hops of the cheaper calculator, so a cut-off that leaves none is told for it too, once."""
    library = write(tmp_path / "mine", EMT_LATER, MORSE)
    for properties in (["barrier_check"], ["migration", "barrier_check"]):
        asked = study(library, *properties)
        asked["settings"] = {"migration": {"cutoff": 1.5}}
        (told,) = Study(asked).unsuited
        assert "do not percolate" in told


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"starts_from": "mors"}, r"emt-later starts from mors: unknown calculator 'mors'.*morse"),
        ({"starts_from": "emt-later"}, r"emt-later starts from emt-later, which starts from it"),
    ],
)
def test_wrong_start_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    """An unknown cheaper calculator, or a circle, is found before the first job."""
    library = write(tmp_path / "mine", EMT_LATER | changes, MORSE)
    with pytest.raises(StudyError, match=told):
        Study(study(library, "migration"))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"stress": False}, r"starts from morse: calculator morse gives no stress, so no cell would be relaxed"),
        ({"elements": ["Al"]}, r"starts from morse: calculator morse does not cover Cu"),
        ({"arguments": {"epsilon": 1, "rO": 2}}, r"morse: \S+ takes no argument 'rO' \(arguments\); it takes .*epsilon"),
    ],
)
def test_start_that_cannot_be_computed_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    """The cheaper calculator is held to what any other is, and some calculator must relax the cell."""
    typed = {"factory": "typed_morse:morse"} if "arguments" in changes else {}
    library = write(tmp_path / "mine", EMT_LATER | {"stress": "stress" not in changes}, MORSE | changes | typed)
    (tmp_path / "typed_morse.py").write_text("def morse(*, epsilon, r0): ...\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        with pytest.raises(StudyError, match=told):
            Study(study(library, "relaxation"))


def test_start_may_have_an_environment_that_conda_makes(tmp_path: Path) -> None:
    """What conda brings is not missed, and is missed without; what conda does not know is."""
    there = {"environment": "mace", "packages": ["nowhere_else"]}
    library = write(tmp_path / "mine", EMT_LATER, MORSE | there)
    Study(study(library, "relaxation"), conda=True)
    with pytest.raises(StudyError, match=r"starts from morse: .*nowhere_else is not installed"):
        Study(study(library, "relaxation"))
    library = write(tmp_path / "mine", EMT_LATER, MORSE | there | {"environment": "unheard"})
    with pytest.raises(StudyError, match=r"starts from morse: .*conda knows no environment unheard"):
        Study(study(library, "relaxation"), conda=True)


@pytest.mark.study
def test_calculator_without_stress_takes_the_cell_of_the_cheaper_one(
    tmp_path: Path, run: Callable[..., object], workflow: Callable[..., list[str]]
) -> None:
    """Ions are relaxed in that cell and the record says so; alone, and for a stiffness, such a calculator is refused."""
    library = write(tmp_path / "mine", EMT_LATER | {"stress": False}, MORSE)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study(library, "relaxation")), encoding="utf-8")
    done = run("snakemake", *workflow(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr  # type: ignore[attr-defined]
    records = {name: read_record(tmp_path / f"results/Cu/{name}/relaxation.json") for name in ("emt-later", "morse")}
    assert records["emt-later"]["lattice"] == records["morse"]["lattice"]
    assert records["emt-later"]["largest_stress_gpa"] is None
    assert any("gives no stress" in warning for warning in records["emt-later"]["warnings"])
    with pytest.raises(StudyError, match=r"elasticity: calculator emt-later gives no stress"):
        Study(study(library, "elasticity"))
    write(tmp_path / "mine", EMT_LATER | {"stress": False, "starts_from": None})
    with pytest.raises(StudyError, match=r"emt-later gives no stress, and Cu needs its cell relaxed"):
        Study(study(library, "relaxation"))
