"""Arguments that recipes name are held against what callables take, before any job and without running anything."""

from pathlib import Path

import pytest

from seiflow.calculators.recipes import CalculatorRecipe, Remedy, calculator_shelf
from seiflow.calculators.signatures import argument_problems

SOURCE = """\
raise RuntimeError("this must not run")

def plain(first, second=2, *, third, fourth=4, charge=0): ...

def open(first, **others): ...

class Kept:
    def __init__(self, first, *, third=3): ...

class Inherited(Kept): ...

other = plain
"""


def problems(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, **changes: object) -> list[str]:
    (folder / "named_arguments.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    recipe = calculator_shelf().get("emt").model_copy(update={"factory": f"named_arguments:{name}"} | changes)
    return [problem.removeprefix(f"calculator emt: named_arguments:{name} ") for problem in argument_problems(recipe)]


@pytest.mark.parametrize("name", calculator_shelf().names)
def test_shipped_recipe_names_what_its_callable_takes(name: str) -> None:
    """No shipped recipe or remedy holds an argument that nothing reads."""
    assert list(argument_problems(calculator_shelf().get(name))) == []


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("plain", {"arguments": {"first": 1, "third": 3}}, []),
        ("plain", {"arguments": {"first": 1}}, ["needs third; name them under arguments"]),
        (
            "plain",
            {"arguments": {"first": 1, "third": 3, "forth": 4}},
            ["takes no argument 'forth' (arguments); it takes first, fourth, second, third"],
        ),
        ("open", {"arguments": {"first": 1, "forth": 4}}, []),
        ("open", {}, ["needs first; name them under arguments"]),
        ("Kept", {"arguments": {"fourth": 4}}, ["takes no argument 'fourth' (arguments); it takes first, third", "needs first"]),
        ("Kept", {"arguments": {"first": 1}, "charge": True}, ["takes no argument 'charge', which its recipe promises"]),
        ("Kept", {"arguments": {"first": 1}, "program": "code"}, ["takes no argument 'command', which its recipe promises"]),
        ("Inherited", {"arguments": {"fourth": 4}}, []),
        ("other", {"arguments": {"fourth": 4}}, []),
        ("absent", {}, []),
    ],
)
def test_arguments_are_those_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, changes: dict[str, object], told: list[str]
) -> None:
    """What the source does not say plainly is left to the job that calls it."""
    found = problems(tmp_path, monkeypatch, name, **changes)
    assert len(found) == len(told)
    assert all(one.startswith(other) for one, other in zip(found, told, strict=True))


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([], "model {} is a file or folder that results depend on, and weights does not list it"),
        (["{}"], None),
        (["{}/a.pt"], None),
    ],
)
def test_model_by_path_is_among_the_weights(tmp_path: Path, weights: list[str], told: str | None) -> None:
    """A trained model that the recipe does not list could be trained again without a result becoming outdated."""
    model = tmp_path / "own"
    listed = [entry.format(model) for entry in weights]

    def found(factory: str, **arguments: object) -> list[str]:
        changes = {"factory": factory, "arguments": arguments, "weights": listed}
        problems = argument_problems(calculator_shelf().get("chgnet").model_copy(update=changes))
        return [problem for problem in problems if "results depend on" in problem]

    own, elsewhere = "seiflow.calculators.chgnet:chgnet", "named_elsewhere:potential"
    one, several = found(own, model=str(model)), found(own, model_paths=[str(model)])
    assert one + several == [] if told is None else told.format(model) in one[0] and len(several) == 1
    assert found(elsewhere, model=str(model)) == [], "a name with a slash, for all one knows"
    model.touch()
    assert bool(found(elsewhere, model=str(model))) == bool(told)


def test_misspelt_argument_of_a_remedy_is_found() -> None:
    """A remedy is asked for after hours; that it cannot be made must not be learnt then."""
    recipe: CalculatorRecipe = calculator_shelf().get("espresso-pbesol")
    wrong = recipe.model_copy(update={"remedies": [Remedy(name="more", arguments={"iteration": 200})]})
    (problem,) = argument_problems(wrong)
    assert "espresso:espresso takes no argument 'iteration' (remedy 'more'); it takes cutoff_ev, " in problem


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"elements": ["Ni"]}, []),
        ({"elements": ["Ni"], "magnetic": False}, ["moments (arguments) are for a calculator that heeds them"]),
        ({}, ["moments (arguments) of Ni, which its recipe does not list under elements"]),
    ],
)
def test_moments_that_nobody_heeds_are_found(changes: dict[str, object], told: list[str]) -> None:
    """Moments of elements that are not there, or of a calculator without, would change nothing."""
    recipe = calculator_shelf().get("vasp-pbe")
    arguments = recipe.arguments | {"moments": {"Ni": 0.6}}
    found = list(argument_problems(recipe.model_copy(update={"arguments": arguments} | changes)))
    assert len(found) == len(told)
    assert all(other in one for one, other in zip(found, told, strict=True))
