"""What the journal of a job keeps: failures that it got over, what is measured once, structures asked for twice, notes."""

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from seiflow.calculators.factory import calculator_context
from seiflow.calculators.recipes import calculator_shelf
from seiflow.engine import Engine
from seiflow.errors import CalculatorError, InputError, UnconvergedDensityError
from seiflow.jobs.task import Task
from seiflow.journal import Journal
from seiflow.settings import PropertySettings
from seiflow.shelves import phase_shelf


class Moody(Calculator):  # type: ignore[misc] # the base class is untyped
    """EMT that measures something once, fails where it is told to, and is interrupted after a number of evaluations."""

    implemented_properties: ClassVar[list[str]] = ["energy", "forces"]

    def __init__(self, fails_at: int = 0, left: int = 100, mood: float = 0.0) -> None:
        """Begin to count."""
        super().__init__()
        self.measured_once: dict[str, float] = {}
        self.evaluations = 0
        self._fails_at, self._left, self._mood = fails_at, left, mood

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.evaluations == self._left:
            raise KeyboardInterrupt
        self.evaluations += 1
        if self.evaluations == self._fails_at:
            message = f"failed at {self.evaluations}"
            raise UnconvergedDensityError(message)
        shift = self.measured_once.setdefault("shift", self.atoms.positions[0, 0] + self._mood)
        fresh = EMT()
        fresh.calculate(self.atoms, properties, all_changes)
        self.results = fresh.results | {"energy": fresh.results["energy"] + shift}


def walk(engine: Engine) -> tuple[list[float], list[str]]:
    """Evaluate six structures, one of them twice; return the energies, and what failed."""
    energies, failures = [], []
    for number in (1, 2, 3, 4, 2, 5, 6):
        atoms = bulk("Cu", a=3.6)
        atoms.positions[0, 0] = 0.1 * number
        try:
            energies.append(engine.evaluate(atoms).energy)
        except CalculatorError as error:
            failures.append(str(error))
    return energies, failures


def test_failure_that_a_job_got_over_is_not_computed_again(tmp_path: Path) -> None:
    """A job that went on in spite of a failure does so after a kill too, although the structure would not fail any more."""
    expected = walk(Engine(Moody(fails_at=3)))
    assert expected[1] == ["failed at 3"]
    with pytest.raises(KeyboardInterrupt):
        walk(Engine(Moody(fails_at=3, left=4), Journal(tmp_path / "journal", "c")))
    rest = Moody()
    assert walk(Engine(rest, Journal(tmp_path / "journal", "c"))) == expected
    assert rest.evaluations == 2


def test_failure_that_ended_a_job_is_tried_again(tmp_path: Path) -> None:
    """A failure is not kept when nothing is evaluated after it, nor when the recipe tries other remedies since."""
    journal = tmp_path / "journal"
    atoms = bulk("Cu", a=3.6)
    with pytest.raises(UnconvergedDensityError):
        Engine(Moody(fails_at=1), Journal(journal, "c")).evaluate(atoms)
    Engine(Moody(), Journal(journal, "c")).evaluate(atoms)
    walk(Engine(Moody(fails_at=3), Journal(journal, "d", "mixing")))
    assert walk(Engine(Moody(), Journal(journal, "d", "mixing")))[1] == ["failed at 3"]
    assert walk(Engine(Moody(), Journal(journal, "d", "smearing")))[1] == []


def test_what_is_measured_once_is_measured_once(tmp_path: Path) -> None:
    """What a calculator measured on its first structure holds after a kill; another calculator measures its own."""
    journal = tmp_path / "journal"
    expected, _ = walk(Engine(Moody()))
    with pytest.raises(KeyboardInterrupt):
        walk(Engine(Moody(left=3), Journal(journal, "c")))
    assert walk(Engine(Moody(mood=5.0), Journal(journal, "c")))[0] == expected
    assert walk(Engine(Moody(mood=5.0), Journal(journal, "d")))[0] == pytest.approx(np.add(expected, 5.0))


def test_structure_asked_for_twice_is_computed_once(tmp_path: Path) -> None:
    """A structure that a job comes back to is read back, in the same run and in later ones with the bits of the first time."""
    once = Moody()
    energies, _ = walk(Engine(once, Journal(tmp_path / "journal")))
    assert (len(energies), once.evaluations) == (7, 6)
    lines = (tmp_path / "journal").read_text(encoding="utf-8").splitlines()
    later = {**json.loads(lines[1]), "energy": 0.0}
    (tmp_path / "journal").write_text("\n".join([*lines, json.dumps(later), ""]), encoding="utf-8")
    assert walk(Engine(Moody(left=0), Journal(tmp_path / "journal")))[0] == energies


def test_notes_stand_in_one_order(tmp_path: Path) -> None:
    """What the engines of several charges have to tell is the same whether it was read back or not, each once."""
    task = Task(phase_shelf().path("Cu"), (), calculator_shelf().path("gpaw-pbe-fast"), PropertySettings(), tmp_path / "a.json")
    for name in ("b", "a", "b"):
        Journal(task.journal_file, name).note(f"remedy {name}")
    engines = {charge: Engine(EMT(), Journal(task.journal_file, str(charge))) for charge in (1, 0)}
    vars(task)["_engines"] = engines
    assert task.notes == ("remedy a", "remedy b")


def test_journal_of_code_that_has_changed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who corrects a calculator of his own, in a module without a version, gets no evaluations of the old one."""
    recipe = calculator_shelf().get("emt").model_copy(update={"factory": "of_a_user:EMT"})
    module = tmp_path / "of_a_user.py"
    monkeypatch.syspath_prepend(tmp_path)
    module.write_text("from ase.calculators.emt import EMT\n", encoding="utf-8")
    before = calculator_context(recipe)
    assert calculator_context(recipe) == before
    module.write_text("from ase.calculators.emt import EMT as Old\n\n\nclass EMT(Old): ...\n", encoding="utf-8")
    assert calculator_context(recipe) != before


def test_journal_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """A folder in the place of a journal is named, with what to do."""
    (tmp_path / "journal").mkdir()
    with pytest.raises(InputError, match=r"journal: the evaluations of an earlier run cannot be read.*or delete it"):
        Journal(tmp_path / "journal")
