"""What is generated from the code is in step with it, what is shipped is valid, and everything public is documented."""

import ast
import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from seiflow.cli import main

REPOSITORY = Path(__file__).parents[1]
SOURCES = sorted((REPOSITORY / "src/seiflow").rglob("*.py"))
STUDIES = sorted((REPOSITORY / "config").glob("*.yaml"))
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@pytest.mark.parametrize(("arguments", "name"), [(["schema"], "config.schema.json"), (["schema", "--markdown"], "README.md")])
def test_generated_file_is_in_step(capsys: pytest.CaptureFixture[str], arguments: list[str], name: str) -> None:
    """The schema and the page on study files are what the code makes now; `make docs` makes them again."""
    assert main(arguments) == 0
    shipped = (REPOSITORY / "config" / name).read_text(encoding="utf-8")
    assert shipped.rstrip("\n") == capsys.readouterr().out.rstrip("\n"), "run: make docs"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_shipped_study_is_valid(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, installed: Callable[[str], object]
) -> None:
    """Every shipped study fits the JSON Schema and has no mistake."""
    schema = json.loads((REPOSITORY / "config/config.schema.json").read_text(encoding="utf-8"))
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(study)
    for name in {name for block in study["calculations"] for name in block["calculators"]}:
        installed(name)
    monkeypatch.chdir(REPOSITORY)
    assert main(["check", str(path)]) == 0
    assert "no mistakes" in capsys.readouterr().out


def test_schema_refuses_what_the_code_refuses() -> None:
    """The schema is itself valid, and an editor that uses it marks an unknown key."""
    schema = json.loads((REPOSITORY / "config/config.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    study = yaml.safe_load(STUDIES[0].read_text(encoding="utf-8"))
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(study | {"titel": "x"}))
    assert len(errors) == 1
    assert "titel" in errors[0].message


def test_every_setting_is_described() -> None:
    """Every key of a study has a description on the page."""
    page = (REPOSITORY / "config/README.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    assert rows
    assert [row[1] for row in rows if not row[3].strip()] == []


def public(node: Documented, name: str) -> list[tuple[str, Documented]]:
    """Return a node and everything public below it."""
    found = [(name, node)]
    for child in node.body if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else []:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            found += public(child, f"{name}.{child.name}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY / "src")))
def test_everything_public_is_documented(path: Path) -> None:
    """Every public module, class, function and method has a docstring that is a sentence."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [name for name, node in public(tree, path.stem) if not (ast.get_docstring(node) or "").strip()]
    assert bare == []
