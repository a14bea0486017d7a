"""Hops in charged cells: the calculator is told the charge, the record too, and what knows no charge is refused."""

import sys
from pathlib import Path

import pytest
import yaml
from ase.calculators.emt import EMT
from ase.io import write

from seiflow.errors import StudyError
from seiflow.jobs.migration import hop, vacancy
from seiflow.jobs.task import Task
from seiflow.records import read_record
from seiflow.settings import MigrationSettings, PropertySettings
from seiflow.shelves import phase_shelf
from seiflow.structures.bulk import build_crystal
from seiflow.study import Study

PER_CHARGE = -7.0
"""eV; what a charge costs the calculator of this test, whatever the structure."""

RECIPE = {
    "name": "charged-emt",
    "summary": "EMT that adds the same energy to every structure for each charge",
    "factory": "test_charged_hops:charged_emt",
    "elements": ["Cu"],
    "charge": True,
    "seconds_per_atom": 1e-4,
    "source": {"citation": "a test"},
}


class ChargedEMT(EMT):  # type: ignore[misc] # the base class is untyped
    """EMT with an energy for the charge."""

    charge = 0

    def calculate(self, *arguments: object, **keywords: object) -> None:
        super().calculate(*arguments, **keywords)
        self.results["energy"] += PER_CHARGE * self.charge


def charged_emt(charge: int = 0) -> ChargedEMT:
    """Return EMT for a charge."""
    calculator = ChargedEMT()
    calculator.charge = charge
    return calculator


def hop_record(folder: Path, charge: int) -> dict[str, object]:
    """Compute the hop of copper and return its record."""
    folder.mkdir()
    (folder / "charged-emt.yaml").write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    write(folder / "relaxed.extxyz", build_crystal(phase_shelf().get("Cu")))
    settings = PropertySettings(migration=MigrationSettings(image_distance=5.0, charge=charge))

    def task(output: str) -> Task:
        return Task(phase_shelf().path("Cu"), (), folder / "charged-emt.yaml", settings, folder / output)

    vacancy(task("site_1.json"), folder / "relaxed.extxyz", "site_1", folder / "site_1.extxyz")
    hop(task("hop_1.json"), folder / "relaxed.extxyz", "hop_1", [folder / "site_1.json"], folder / "hop_1.extxyz")
    return read_record(folder / "hop_1.json")


def test_charge_reaches_the_calculator_and_the_record(tmp_path: Path) -> None:
    """Both ends and the saddle have the energy of the charge, so the barrier stays; the record names the charge and the cost."""
    assert "test_charged_hops" in sys.modules
    neutral, charged = hop_record(tmp_path / "neutral", 0), hop_record(tmp_path / "charged", -1)
    for key in ("saddle_energy_ev", "initial_energy_ev", "final_energy_ev"):
        assert charged[key] == pytest.approx(neutral[key] - PER_CHARGE, abs=1e-6)
    assert charged["barrier_forward_ev"] == pytest.approx(neutral["barrier_forward_ev"], abs=1e-6)
    assert neutral["charge_state"] == "neutral cell"
    assert charged["charge_state"] == "cell of charge -1 e in a uniform background"
    assert charged["force_evaluations"] == neutral["force_evaluations"]
    assert int(str(charged["force_evaluations"])) > 10


@pytest.mark.parametrize(
    ("structure", "calculator", "told"),
    [
        ("LiF", "chgnet", r"migration\.charge: calculator chgnet knows no charge"),
        ("Li2O-111-mirror", "chgnet", r"migration\.charge: Li2O-111-mirror is no phase"),
    ],
)
def test_charged_hops_that_cannot_be_computed_are_refused(structure: str, calculator: str, told: str) -> None:
    """A potential without charge, or a boundary, is a mistake found before the first job."""
    block = {"structures": [structure], "calculators": [calculator], "properties": ["migration"]}
    with pytest.raises(StudyError, match=told):
        Study({"calculations": [block], "settings": {"migration": {"charge": -1}}})
