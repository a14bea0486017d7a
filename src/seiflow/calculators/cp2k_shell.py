"""CP2K's shell as ASE talks to it, in a process that ends with this one and tells why it ended.

What ASE's own classes lack: theirs start a process that outlives a killed job, and a crash is an assertion that failed.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator
from ase.calculators.cp2k import CP2K, Cp2kShell, parse_input

from seiflow.calculators.processes import TiedProgram

ERRORS = "stderr.txt"
PROJECT = "cp2k"


class CP2KEndedError(Exception):
    """CP2K ended, or said what it should not; the text is what it said on its standard streams."""


class Shell(Cp2kShell):  # type: ignore[misc] # the base class is untyped
    """A dialogue with one process."""

    def __init__(self, command: str, folder: Path) -> None:
        """Start the process in a folder.

        Raises:
            CP2KEndedError: if no shell of CP2K answers.
        """
        self.isready = False
        self.version = 1.0
        self._debug = False
        self._errors = folder / ERRORS
        with self._errors.open("w", encoding="utf-8") as errors:
            self._program = TiedProgram(command, folder, output=subprocess.PIPE, errors=errors)
        self._child: Any = self._program.process  # whose streams are there
        while not self.isready:  # a banner may come first
            self.recv()
        self.send("VERSION")
        self.version = float(self.recv().rpartition(":")[2])
        self.expect("* READY")
        self.send("HARSH")
        self.expect("* READY")

    def send(self, line: str) -> None:
        """Say a line."""
        self.isready = False
        try:
            self._child.stdin.write(line + "\n")
        except BrokenPipeError as error:
            raise CP2KEndedError(self._last_words()) from error

    def recv(self) -> str:
        """Hear a line."""
        line = self._child.stdout.readline()
        if not line:
            raise CP2KEndedError(self._last_words())
        self.isready = line.strip() == "* READY"
        return str(line.strip())

    def expect(self, line: str) -> None:
        """Hear the line that must come."""
        received = self.recv()
        if received != line:
            message = f"{self._last_words()}\nCP2K's shell answered {received!r} instead of {line!r}"
            raise CP2KEndedError(message)

    def close(self) -> None:
        """End the process; its folder goes with it."""
        if hasattr(self, "_program"):
            self._program.end()

    def _last_words(self) -> str:
        return self._errors.read_text(encoding="utf-8", errors="replace")


class ShellCalculator(CP2K):  # type: ignore[misc] # the base class is untyped
    """ASE's calculator with such a dialogue, in which atoms of one element may be of several kinds."""

    def __init__(self, command: str, folder: Path, parameters: Mapping[str, object], kinds: Sequence[str]) -> None:
        """Start the process; parameters are those of ASE's calculator, whose own start is left out.

        Raises:
            CP2KEndedError: if no shell of CP2K answers.
        """
        self._debug = False
        self._force_env_id = None
        self._shell = None
        self._kinds = kinds
        self.command = PROJECT
        Calculator.__init__(self, label=PROJECT, **parameters)
        self._shell = Shell(command, folder)

    def close(self) -> None:
        """End the process; its folder goes with it."""
        if self._shell is not None:
            self._shell.close()

    def _generate_input(self) -> str:
        """Return ASE's input with the names of kinds instead of elements."""
        root = parse_input(super()._generate_input())
        coordinates = root.get_subsection("FORCE_EVAL/SUBSYS/COORD")
        places = (line.partition(" ")[2] for line in coordinates.keywords)
        coordinates.keywords = [f"{kind} {place}" for kind, place in zip(self._kinds, places, strict=True)]
        return "\n".join(root.write())
