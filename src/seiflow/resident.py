"""One process that the small jobs of a group share: it imports packages and makes the calculator once, and forks for each job.

A group of Snakemake's runs many commands one after the other in one job of a cluster. To import PyTorch and load a model takes
longer than a small job computes. The first command therefore starts a resident process; it and the later ones hand their
arguments, folder, environment and streams over and wait for the exit status. Each job is computed by a fork of a process that has
computed nothing, so its result is that of a process of its own. The resident ends with the run that it was started in.

Only calculators on CPUs that start no program take part: CUDA cannot be used after a fork.
"""

import contextlib
import fcntl
import hashlib
import importlib
import itertools
import json
import os
import pkgutil
import select
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from seiflow.calculators.factory import make_ready
from seiflow.calculators.recipes import CalculatorRecipe
from seiflow.errors import SeiflowError
from seiflow.shelves import load_recipe
from seiflow.sockets import short_address

VARIABLE = "SEIFLOW_RESIDENT"
"""Environment variable with the process whose jobs share a resident; empty, none do."""

FEWEST = 3
"""Jobs of one run that are worth it."""

TARGETS = "--target-jobs"
"""After this word Snakemake names the jobs that one of its processes in a cluster's job is to run."""

STREAMS = (1, 2)
FOLDER_MODE = 0o700
SECONDS_BETWEEN_LOOKS = 1.0


def offer(command: Sequence[str]) -> None:
    """Let the jobs of a run of Snakemake share a resident, if its command line names so many and nobody has refused it."""
    words = [*command, TARGETS]
    jobs = itertools.takewhile(lambda word: not word.startswith("-"), words[words.index(TARGETS) + 1 :])
    if len(list(jobs)) >= FEWEST and os.environ.get(VARIABLE) != "":
        os.environ[VARIABLE] = str(os.getpid())


def run_there(arguments: Sequence[str], recipe_file: Path) -> int | None:
    """Return the exit status of a command run by the resident of its calculator; None if it is to be run here."""
    owner = os.environ.get(VARIABLE)
    if not owner or not _shareable(load_recipe(recipe_file, CalculatorRecipe)):
        return None
    try:
        connection = _connection(_folder(owner), recipe_file, owner)
    except OSError:
        return None
    request = {"arguments": list(arguments), "folder": str(Path.cwd()), "environment": dict(os.environ)}
    with connection:
        sys.stdout.flush()
        sys.stderr.flush()
        socket.send_fds(connection, [b"\n"], STREAMS)
        connection.sendall(json.dumps(request).encode() + b"\n")
        answer = connection.makefile().readline()
    if not answer:
        sys.stderr.write("error: the process that the jobs of this group share has ended; was there too little memory?\n")
        return 1
    status = int(answer)
    return status if status >= 0 else 128 - status


def _shareable(recipe: CalculatorRecipe) -> bool:
    return recipe.program is None and str(recipe.arguments.get("device", "cpu")) == "cpu"


def _folder(owner: str) -> Path:
    """Return the folder of the sockets, which is this user's alone."""
    folder = Path(tempfile.gettempdir()) / f"seiflow-{os.getuid()}-{owner}"
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != FOLDER_MODE or not stat.S_ISDIR(found.st_mode):
        message = f"{folder} belongs to somebody else"
        raise PermissionError(message)
    return folder


def _connection(folder: Path, recipe_file: Path, owner: str) -> socket.socket:
    """Return a connection to the resident, which is started if there is none yet."""
    what = f"{sys.executable}\0{recipe_file.absolute()}\0".encode() + recipe_file.read_bytes()
    place = folder / hashlib.sha256(what).hexdigest()[:16]
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            return _connected(place)
        place.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "seiflow.resident", str(place), str(recipe_file), owner]
        started = subprocess.Popen(  # noqa: S603 - this program itself
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        assert started.stdout is not None  # noqa: S101 - it is a pipe
        started.stdout.read()  # it closes the pipe when it listens
        return _connected(place)


def _connected(place: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        with short_address(place) as address:
            connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


def serve(place: Path, recipe_file: Path, owner: int) -> None:
    """Run commands until the run that wants them has ended."""
    for module in pkgutil.iter_modules(importlib.import_module("seiflow.jobs").__path__, "seiflow.jobs."):
        importlib.import_module(module.name)
    with contextlib.suppress(SeiflowError):  # each job finds the mistake again, and tells it
        make_ready(load_recipe(recipe_file, CalculatorRecipe))
    children: dict[int, socket.socket] = {}
    listener = socket.socket(socket.AF_UNIX)
    with short_address(place) as address:
        listener.bind(address)
    listener.listen(1000)
    ended, wake = socket.socketpair()
    wake.setblocking(False)  # noqa: FBT003 - the only way to say it
    ended.setblocking(False)  # noqa: FBT003 - likewise
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    sys.stdout.close()
    os.close(1)
    while _lives(owner):
        readable, _, _ = select.select([listener, ended, *children.values()], [], [], SECONDS_BETWEEN_LOOKS)
        if ended in readable:
            ended.recv(1000)
        for pid in [pid for pid, connection in children.items() if connection in readable]:
            os.kill(pid, signal.SIGTERM)  # whoever waited for it is gone
        _answer_ended(children)
        if listener in readable:
            connection = listener.accept()[0]
            with contextlib.suppress(OSError, ValueError):  # of one that is gone before it has asked
                children[_forked(connection, [listener, ended, wake, *children.values()])] = connection
    for pid in children:
        os.kill(pid, signal.SIGTERM)
    for file in place.parent.glob(f"{place.name}*"):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        place.parent.rmdir()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _answer_ended(children: dict[int, socket.socket]) -> None:
    """Tell the exit status of every job that has ended to whoever waits for it."""
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with children.pop(pid) as connection, contextlib.suppress(OSError):
                connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _forked(connection: socket.socket, inherited: Sequence[socket.socket]) -> int:
    """Return the process that computes what a connection asks for."""
    _, streams, _, _ = socket.recv_fds(connection, 1, len(STREAMS))
    request = json.loads(connection.makefile().readline())
    pid = os.fork()
    if pid == 0:
        for one in (connection, *inherited):
            one.close()
        _compute(request, streams)
    for stream in streams:
        os.close(stream)
    return pid


def _compute(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """Run a command as the process that asked for it would have run it."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for given, own in zip(streams, STREAMS, strict=True):
            os.dup2(given, own)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
        os.environ.clear()
        os.environ.update(request["environment"] | {VARIABLE: ""})
        os.chdir(request["folder"])
        from seiflow.cli import main

        status = main(request["arguments"])
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - nothing may go on as a second resident
        traceback.print_exc()
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
