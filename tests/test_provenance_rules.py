"""What provenance knows of the rules is what the rules, the commands and the jobs themselves say."""

import inspect
import re
from importlib import import_module

import pytest
from conftest import REPOSITORY

from seiflow.cli_people import parser
from seiflow.provenance.rules import RULES, Rule, label_of, rule_of
from seiflow.settings import PropertySettings

COMMON = {"structure", "calculator", "settings", "output", "log"}
"""Options of all commands; some have ``phases`` and ``processes`` too."""

TEXT = "\n".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "workflows/rules").glob("*.smk")))


def block(command: str) -> str:
    """Return the rule that calls a command."""
    found = [text for text in re.split(r"^(?=rule |checkpoint )", TEXT, flags=re.MULTILINE) if f'"seiflow {command} ' in text]
    assert len(found) == 1
    return found[0]


def options(rule: Rule) -> set[str]:
    """Return the options that the table gives a rule."""
    named = {source.option for source in rule.sources} | {rule.frames[1], rule.item[1]}
    return {name.removeprefix("--") for name in named if name} | ({"cheaper"} if rule.command == "barrier-check" else set())


def test_every_rule_is_known() -> None:
    """The rules that make records are those of the table, each once."""
    called = set(re.findall(r'"seiflow ([a-z-]+) ', TEXT)) - {"build", "report", "status"}
    assert sorted(rule.command for rule in RULES) == sorted(called)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.command)
def test_table_says_what_the_rule_says(rule: Rule) -> None:
    """Options, record, structures and section of the settings are those of the rule in the workflow."""
    text = block(rule.command)
    given = set(re.findall(r" --([a-z-]+)", text))
    assert given - COMMON - {"phases", "processes"} == options(rule)
    assert given >= COMMON
    outputs = re.search(r"output:\n(.*?)\n    log:", text, flags=re.DOTALL)
    assert outputs is not None
    places = re.findall(r'\{PAIR\}/([^"]+)"', re.sub(r"\{\{\w+\}\}", "{}", outputs[1]))
    assert places == [f"{rule.record}.json", *([rule.writes] if rule.writes else [])]
    section = re.search(r'PLAN\.settings\("(\w+)"\)', text)
    assert section is not None
    assert section[1] in ({"barrier_check"} if rule.command == "barrier-check" else {rule.section})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.command)
def test_table_says_what_command_and_job_take(rule: Rule) -> None:
    """The command takes the options of the table, and the job the arguments; the settings have the section."""
    commands = next(action for action in parser()._actions if action.choices)  # noqa: SLF001 - argparse has no other way
    assert isinstance(commands.choices, dict)
    taken = {name.removeprefix("--") for action in commands.choices[rule.command]._actions for name in action.option_strings}  # noqa: SLF001
    assert taken - COMMON - {"phases", "processes", "help", "-h"} == options(rule)
    arguments = inspect.signature(getattr(import_module(f"seiflow.jobs.{rule.module}"), rule.job)).parameters
    named = {source.argument for source in rule.sources} | {rule.frames[0], rule.item[0]}
    assert set(arguments) - {"task", "cheaper"} == {name for name in named if name}
    assert rule.section in PropertySettings.model_fields


def test_a_record_has_one_rule() -> None:
    """A result is made by one rule, and the structures beside it lead to the same record."""
    for rule in RULES:
        label = rule.record.format("x")
        assert rule_of(label, crystal=rule.command != "paths") == rule
        assert not rule.writes or label_of(rule.writes.format("x")) == label
    assert rule_of("notes", crystal=True) is None
    assert rule_of("deep/er/notes", crystal=True) is None
