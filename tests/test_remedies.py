"""Remedies: a density that does not converge is sought in other ways, each told, and given up with what was tried."""

from pathlib import Path
from typing import Any

import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from seiflow.calculators.factory import make_calculator
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.engine import Engine
from seiflow.errors import UnconvergedDensityError
from seiflow.journal import Journal

RECIPE = {
    "name": "stubborn",
    "summary": "EMT that converges only with little mixing",
    "factory": "test_remedies:Stubborn",
    "arguments": {"mixing": 0.7},
    "elements": ["Cu"],
    "charge": False,
    "seconds_per_atom": 1.0,
    "source": {"citation": "a test"},
}
LADDER = [
    {"name": "less mixing", "arguments": {"mixing": 0.3}},
    {"name": "very little mixing", "arguments": {"mixing": 0.05}},
]


class Stubborn(EMT):  # type: ignore[misc] # the base class is untyped
    """EMT that fails unless mixing is small; it stands for a code, whose failures are hard to order."""

    made: int = 0

    def __init__(self, mixing: float) -> None:
        """Count how often one is made."""
        super().__init__()
        self._mixing = mixing
        Stubborn.made += 1

    def calculate(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - of the base class
        if self._mixing > 0.1:
            message = f"the density did not converge with mixing {self._mixing}"
            raise UnconvergedDensityError(message)
        super().calculate(*arguments, **keywords)


def recipe(ladder: list[dict[str, Any]]) -> CalculatorRecipe:
    """Return the recipe with remedies."""
    return CalculatorRecipe.model_validate(RECIPE | {"remedies": ladder})


def test_remedies_are_tried_in_order_and_the_one_that_helps_stays() -> None:
    """The second remedy helps: energies are those of the code, and the next structure starts with it."""
    engine = Engine(make_calculator(recipe(LADDER)))
    copper = bulk("Cu", cubic=True)
    made = Stubborn.made
    energy = engine.evaluate(copper).energy
    reference = bulk("Cu", cubic=True)
    reference.calc = EMT()
    assert energy == pytest.approx(reference.get_potential_energy(), abs=1e-12)
    copper.rattle(0.05, seed=1)
    engine.evaluate(copper)
    assert Stubborn.made == made + 2
    assert engine.notes == (
        "A density became self-consistent only with a remedy of the recipe: very little mixing, after less mixing in vain.",
    )


def test_failure_names_what_was_tried() -> None:
    """Where no remedy helps, the message lists them all."""
    engine = Engine(make_calculator(recipe(LADDER[:1])))
    with pytest.raises(UnconvergedDensityError, match=r"with mixing 0\.3; tried: less mixing\. Look at the structure"):
        engine.evaluate(bulk("Cu"))


class Choosy(EMT):  # type: ignore[misc] # the base class is untyped
    """EMT that converges small cells only with much mixing, large ones only with little, and none of an odd number of atoms."""

    def __init__(self, mixing: float) -> None:
        """Measure nothing yet."""
        super().__init__()
        self._mixing = mixing
        self.measured_once: dict[str, float] = {}

    def calculate(self, atoms: Atoms, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 - of the base class
        if self._mixing != {2: 0.3, 4: 0.05}.get(len(atoms)):
            message = f"the density did not converge with mixing {self._mixing}"
            raise UnconvergedDensityError(message)
        self.measured_once[str(len(atoms))] = self._mixing
        super().calculate(atoms, *arguments, **keywords)


def test_each_structure_gets_every_remedy() -> None:
    """A remedy that an earlier structure went past is tried again, for one in between nothing helps, and all of it is told."""
    choosy = recipe(LADDER).model_copy(update={"factory": "test_remedies:Choosy"})
    engine = Engine(make_calculator(choosy))
    large, small, odd = bulk("Cu", cubic=True), bulk("Cu") * (2, 1, 1), bulk("Cu") * (3, 1, 1)
    note = "A density became self-consistent only with a remedy of the recipe: "
    engine.evaluate(large)
    assert engine.notes == (f"{note}very little mixing, after less mixing in vain.",)
    with pytest.raises(UnconvergedDensityError, match=r"mixing 0\.3; tried: very little mixing, less mixing\. Look"):
        engine.evaluate(odd)
    large.rattle(0.05, seed=1)
    engine.evaluate(large)
    engine.evaluate(small)
    assert engine.notes == (
        f"{note}very little mixing, after less mixing in vain.",
        f"{note}less mixing, after very little mixing in vain.",
    )
    with pytest.raises(UnconvergedDensityError, match=r"mixing 0\.05; tried: less mixing, very little mixing\. Look"):
        engine.evaluate(odd)


def test_what_was_measured_once_outlives_a_change_of_remedy() -> None:
    """The calculator made with a remedy does not measure again what the one before it has."""
    calculator: Any = make_calculator(recipe(LADDER).model_copy(update={"factory": "test_remedies:Choosy"}))
    for atoms in (bulk("Cu", cubic=True), bulk("Cu") * (2, 1, 1)):
        calculator.calculate(atoms, ["energy"])
    assert calculator.measured_once == {"4": 0.05, "2": 0.3}


def test_recipe_without_remedies_fails_at_once() -> None:
    """The error of the code is the message."""
    with pytest.raises(UnconvergedDensityError, match=r"with mixing 0\.7$"):
        Engine(make_calculator(recipe([]))).evaluate(bulk("Cu"))


def test_note_survives_a_kill(tmp_path: Path) -> None:
    """A job that goes on from its journal still tells the remedy that an earlier run needed."""
    path = tmp_path / "journal"
    copper = bulk("Cu")
    first = Engine(make_calculator(recipe(LADDER)), Journal(path, "c"))
    first.evaluate(copper)
    made = Stubborn.made
    again = Engine(make_calculator(recipe(LADDER)), Journal(path, "c"))
    assert again.evaluate(copper).energy == first.evaluate(copper).energy
    assert again.notes == first.notes
    assert Stubborn.made == made + 1
