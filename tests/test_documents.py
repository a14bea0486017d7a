"""YAML files are read strictly: every mistake is told with its file, its line and the nearest allowed name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from seiflow.documents import load, nearest, problems_of, read_yaml
from seiflow.errors import InputError


class Ingredient(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    grams: float = Field(gt=0)


class Dish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str = ""
    ingredients: list[Ingredient] = []
    spare: Ingredient | None = None


def written(folder: Path, text: str) -> Path:
    path = folder / "dish.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(path, Dish)
    return str(caught.value)


def test_valid_file_becomes_the_model(tmp_path: Path) -> None:
    """A valid file is read into the model."""
    dish = load(written(tmp_path, "title: bread\ningredients:\n  - {name: flour, grams: 500}\n"), Dish)
    assert dish == Dish(title="bread", ingredients=[Ingredient(name="flour", grams=500)])


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    """One message lists all mistakes of a file, each with the line it is on and what is allowed there."""
    text = "titel: bread\ningredients:\n  - {name: flour, grams: 500}\n  - name: salt\n    gramms: 10\n    grams: -1\n"
    path = written(tmp_path, text)
    lines = refusal(path).splitlines()
    assert lines[0] == f"{path}: not a valid Dish"
    assert sorted(lines[1:]) == [
        "  - line 1: titel: unknown key; did you mean 'title'? Known: ingredients, spare, title.",
        "  - line 5: ingredients.1.gramms: unknown key; did you mean 'grams'? Known: grams, name.",
        "  - line 6: ingredients.1.grams: Input should be greater than 0",
    ]


def test_unknown_key_of_an_optional_part_is_compared_with_the_keys_there(tmp_path: Path) -> None:
    """Below a key that may be null, the nearest match is sought among the keys of what may stand there."""
    assert "did you mean 'grams'?" in refusal(written(tmp_path, "spare:\n  name: flour\n  gram: 5\n"))


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("title: bread\ningredients: [flour\nspare: null\n", "line 3, column 6", "expected ',' or ']'"),
        ("title: bread\n\tspare: null\n", "line 2, column 1", "tab"),
        ("title: 'bread\n", "line 2, column 1", "end of stream"),
        ("title: bread: butter\n", "line 1, column 13", "mapping values are not allowed"),
    ],
)
def test_malformed_file_is_told_with_line_and_column(tmp_path: Path, text: str, where: str, what: str) -> None:
    """What is no YAML is refused with file, line, column and the parser's reason."""
    path = written(tmp_path, text)
    assert refusal(path).startswith(f"{path}, {where}: not valid YAML (")
    assert what in refusal(path)


def test_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    """A key that stands twice is refused, since YAML would silently drop the first."""
    path = written(tmp_path, "title: bread\ningredients: []\ntitle: butter\n")
    assert refusal(path).startswith(f"{path}, line 3, column 1: ")
    assert "'title'" in refusal(path)


@pytest.mark.parametrize(
    ("text", "value"), [("1e-5", 1e-5), ("2E3", 2000.0), ("1.5e-7", 1.5e-7), ("0.2.0", "0.2.0"), ("e-5", "e-5")]
)
def test_number_with_an_exponent_is_a_number(tmp_path: Path, text: str, value: object) -> None:
    """A tolerance written 1e-5, without a point, is no text."""
    file = tmp_path / "recipe.yaml"
    file.write_text(f"arguments: {{density_tolerance: {text}}}\n", encoding="utf-8")
    assert read_yaml(file) == {"arguments": {"density_tolerance": value}}


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that does not exist is named."""
    assert refusal(tmp_path / "dish.yaml") == f"{tmp_path / 'dish.yaml'}: no such file"


def test_folder_is_no_file(tmp_path: Path) -> None:
    """A folder in place of a file is refused with the reason."""
    assert "cannot be read" in refusal(tmp_path)


def test_binary_file_is_refused(tmp_path: Path) -> None:
    """A file that is no text is refused with its name."""
    path = tmp_path / "dish.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match=r"dish\.yaml: cannot be read"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["", "- bread\n", "bread\n"])
def test_file_that_holds_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    """An empty file, a list or a lone word is refused as a whole, without a traceback."""
    assert "the whole file: " in refusal(written(tmp_path, text))


def test_data_that_fit_have_no_problems() -> None:
    """Data that fit the model have no problems."""
    assert problems_of({"title": "bread"}, Dish) == []


def test_nearest_lists_what_is_known() -> None:
    """A name like no other is answered with all names, in order; an empty list is said to be empty."""
    assert nearest("zzz", ["b", "a"]) == ". Known: a, b."
    assert nearest("zzz", []) == ". Known: none."


@given(st.lists(st.text("abcdefgh", min_size=4, max_size=8), min_size=1, max_size=6, unique=True), st.data())
def test_one_wrong_letter_is_forgiven(names: list[str], data: st.DataObject) -> None:
    """A name with one letter too many is always answered with some known name that is near."""
    name = data.draw(st.sampled_from(names))
    assert "did you mean" in nearest(name + "x", names)
