"""What a check tells of a study without mistakes: names that nothing uses, and magnetic elements without moments."""

from pathlib import Path

import pytest
import yaml

from seiflow.calculators.machine import VARIABLE
from seiflow.calculators.recipes import calculator_shelf
from seiflow.cli import main
from seiflow.errors import InputError
from seiflow.shelves import data_folder
from seiflow.study import Study
from seiflow.study_remarks import remarks


def study(folder: Path, moments: dict[str, float] | None, machine: dict[str, object] | None = None) -> Path:
    """Write a study of nickel and aluminium with a calculator that heeds moments."""
    (folder / "calculators").mkdir()
    recipe = yaml.safe_load((data_folder("calculators") / "emt.yaml").read_text(encoding="utf-8"))
    arguments = {} if moments is None else {"moments": moments}
    recipe |= {"name": "spins", "factory": "spins:make", "magnetic": True, "arguments": arguments}
    (folder / "calculators/spins.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (folder / "spins.py").write_text("def make(moments=None): ...\n", encoding="utf-8")
    blocks = [{"structures": ["Ni", "Al"], "calculators": ["spins"], "properties": ["relaxation"]}]
    data = {"calculations": blocks, "library": [str(folder)], "results": str(folder / "results")}
    if machine is not None:
        (folder / "machine.yaml").write_text(yaml.safe_dump(machine), encoding="utf-8")
        data["machine"] = str(folder / "machine.yaml")
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_magnetic_element_without_moment_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nickel is named, aluminium is not, and the check says what to write."""
    main(["check", str(study(tmp_path, None))])
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert len(told) == 1
    assert told[0].startswith("note: Ni of Ni begins without a magnetic moment: the recipe of spins names none")
    assert "moments: {Ni: NUMBER}" in told[0]


def test_element_with_moment_is_not(tmp_path: Path) -> None:
    assert remarks(Study.read(study(tmp_path, {"Ni": 0.6}))) == []


def test_names_of_the_machine_that_no_recipe_has_are_told(tmp_path: Path) -> None:
    """A misspelt program is named with those that recipes know; right ones are not."""
    machine = {
        "programs": {"pw": "srun pw.x", "vasp_std": "srun vasp_std"},
        "folders": {"espreso": "/pseudo", "vasp": "/potcars"},
    }
    told = remarks(Study.read(study(tmp_path, {"Ni": 0.6}, machine)))
    assert [text.split(";")[0] for text in told] == [
        "machine file, programs: no calculator recipe names pw",
        "machine file, folders: no calculator recipe names espreso",
    ]
    assert "pw.x" in told[0]
    assert "espresso" in told[1]


def test_processes_without_a_program_are_refused(tmp_path: Path) -> None:
    """Cores would be reserved that nothing uses."""
    path = study(tmp_path, None).parent / "calculators/spins.yaml"
    path.write_text(path.read_text(encoding="utf-8") + "processes: 4\n", encoding="utf-8")
    with pytest.raises(InputError, match="processes: 4 needs program"):
        calculator_shelf([tmp_path]).get("spins")
