"""Programs that end with the process that started them, however that ends: a watcher beside each one holds the end of a pipe.

When the starter closes the pipe, exits or is killed, the watcher ends the program and removes its folder. The watcher is this
file, run as a script.
"""

import contextlib
import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO

SECONDS_TO_END = 10.0
"""After so many a program that was asked to end is killed."""

SECONDS_BETWEEN_LOOKS = 0.05

CANNOT_START = 127
"""Exit status of a shell that found no such program."""

LINES_TOLD = 15
"""Of a program's output, in messages."""


ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

UNBOUND = {"OMPI_MCA_hwloc_base_binding_policy": "none", "PRTE_MCA_hwloc_default_binding_policy": "none"}
"""Keeps Open MPI (to version 4, from 5 on) from binding processes to cores: those of all jobs of a node would get the same."""


class TiedProgram:
    """A program at work in a folder of its own, which goes when this object or this process goes."""

    def __init__(self, command: str, folder: Path, *, output: "IO[str] | int", errors: "IO[str] | int") -> None:
        """Start a command line in a folder; its standard input is a pipe, its streams are text.

        It runs with one thread in each process: programs built with OpenMP would take as many as there are cores, and the
        environment of a job names as many as it has MPI processes. A command line may say otherwise (``env OMP_NUM_THREADS=2``).
        MPI processes are not bound to cores unless the environment says how.
        """
        watched, self._lifeline = os.pipe()
        self.process = subprocess.Popen(  # noqa: S603 - the command is the user's own
            [sys.executable, "-I", "-S", __file__, str(watched), str(folder), *shlex.split(command)],
            cwd=folder,
            env=UNBOUND | os.environ | ONE_THREAD,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=errors,
            text=True,
            errors="replace",
            bufsize=1,
            pass_fds=(watched,),
            start_new_session=True,
        )
        os.close(watched)
        self.end = weakref.finalize(self, _end, self.process, self._lifeline, folder)
        """Ends the program and removes its folder; called a second time it does nothing."""

    def wait(self) -> int:
        """Wait until the program has ended by itself, which leaves its folder; return its exit status."""
        status = self.process.wait()
        self.end.detach()
        os.close(self._lifeline)
        _close_streams(self.process)
        return status


def _end(process: "subprocess.Popen[str]", lifeline: int, folder: Path) -> None:
    os.close(lifeline)
    process.wait()
    _close_streams(process)
    shutil.rmtree(folder, ignore_errors=True)


def _close_streams(process: "subprocess.Popen[str]") -> None:
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def told_last(text: str, mark: str | None = None) -> str:
    """Return the last lines of a program's output, or those from the line with a mark on, if there is one; for messages."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    first = max(len(lines) - LINES_TOLD, 0)
    marked = [number for number, line in enumerate(lines) if mark and mark in line]
    if marked:
        first = min(first, marked[-1])
    return "\n".join(lines[first : first + LINES_TOLD]) or "(nothing)"


def watch(lifeline: int, folder: Path, command: Sequence[str]) -> int:
    """Run a command until it ends, or until the writing end of a pipe is closed; return its exit status.

    In the second case the command is ended and the folder removed.
    """
    try:
        child = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - as above
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error}\n")
        return CANNOT_START
    while child.poll() is None:
        if _closed(lifeline, SECONDS_BETWEEN_LOOKS):
            _kill(child)
    if _closed(lifeline, 0.0):
        shutil.rmtree(folder, ignore_errors=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _closed(lifeline: int, seconds: float) -> bool:
    return bool(select.select([lifeline], [], [], seconds)[0])


def _kill(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(watch(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
