"""Ctrl-C while a command starts."""

import os
import subprocess
from pathlib import Path

import pytest
from conftest import environment, program

PRESS = """
import os, signal, sys

def press(event, arguments):
    if event == "import" and arguments[0] == os.environ["STOP_AT"]:
        os.environ["STOP_AT"] = ""
        os.kill(os.getpid(), signal.SIGINT)

sys.addaudithook(press)
"""
"""Sends the signal that a terminal sends, as soon as a module is about to be read."""


@pytest.mark.parametrize(
    "module", ["argparse", "seiflow.cli_people", "seiflow.cli_jobs", "seiflow.library.commands", "seiflow.study", "numpy"]
)
@pytest.mark.parametrize("start", [["seiflow"], ["python", "-m", "seiflow"]], ids=["script", "module"])
def test_ctrl_c_while_a_command_starts_is_one_line(start: list[str], module: str, tmp_path: Path) -> None:
    """A command that is stopped while it reads modules, its own or those of libraries, says so in a line and ends with 130."""
    (tmp_path / "sitecustomize.py").write_text(PRESS, encoding="utf-8")
    (tmp_path / "study.yaml").write_text("calculations: []\n", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [program(start[0]), *start[1:], "check", "study.yaml"]
    variables = environment() | {"STOP_AT": module, "PYTHONPATH": path}
    told = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stderr) == (130, "stopped; run again to go on from here\n")
