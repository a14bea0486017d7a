"""GPAW in a program of its own, of one or several MPI processes, that computes what it is told through a socket.

What each of the processes runs is :mod:`seiflow.calculators.gpaw_ranks`. The socket is a file in the program's folder, so the
first process is on the node of the job.
"""

import contextlib
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from ase.calculators.calculator import Calculator, all_changes

from seiflow.calculators.electronic import ElectronicState
from seiflow.calculators.machine import LAUNCHERS
from seiflow.calculators.processes import TiedProgram, told_last
from seiflow.errors import CalculatorError, UnconvergedDensityError
from seiflow.sockets import short_address

if TYPE_CHECKING:
    from ase import Atoms

    from seiflow.calculators.gpaw import GpawCalculator, GpawSettings

RANKS = "seiflow.calculators.gpaw_ranks"
SOCKET = "socket"

SECONDS_BETWEEN_LOOKS = 0.5
"""How often it is looked whether the program is still there."""

SECONDS_TO_START = 600
"""Until the first process reports; one that waits longer, for cores that are not free, is given up."""


@dataclass(frozen=True)
class Installation:
    """Which code computes: the version of GPAW, and where seiflow is."""

    gpaw: str
    seiflow: str

    @classmethod
    def this(cls) -> "Installation":
        """Return that of this process."""
        return cls(version("gpaw"), str(Path(__file__).parents[1]))

    def __str__(self) -> str:
        """Return both in words."""
        return f"GPAW {self.gpaw}, seiflow in {self.seiflow}"


@dataclass(frozen=True)
class Request:
    """What is asked of the processes: properties of a structure, or with none its electronic state.

    Attributes:
        measured_once: What is known of compositions (:attr:`seiflow.calculators.gpaw.GpawCalculator.measured_once`).
    """

    atoms: "Atoms"
    properties: tuple[str, ...]
    measured_once: Mapping[str, float]


@dataclass(frozen=True)
class Density:
    """Asks the processes to write the density into a folder, or to begin with the one there."""

    folder: Path
    write: bool


@dataclass(frozen=True)
class Reply:
    """What became of it.

    Attributes:
        results: As the calculator has them; empty if there are none.
        state: The electronic state, if that was asked for.
        unconverged: Why the density is not self-consistent; empty if it is.
        failed: Why the processes end without a result; empty if they do not.
        measured_once: What is known of compositions now.
    """

    results: Mapping[str, object] = field(default_factory=dict)
    state: ElectronicState | None = None
    unconverged: str = ""
    failed: str = ""
    measured_once: Mapping[str, float] = field(default_factory=dict)


class GpawProgram(Calculator):  # type: ignore[misc] # the base class is untyped
    """What :class:`seiflow.calculators.gpaw.GpawCalculator` is, computed by a program that is started for the first structure."""

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]
    _at_work: "ClassVar[Callable[[], GpawProgram | None]]" = staticmethod(lambda: None)

    def __init__(self, settings: "GpawSettings", command: str) -> None:
        """Remember settings and command line; nothing is started yet."""
        super().__init__()
        self._settings = settings
        self._command = command
        self._program: TiedProgram | None = None
        self._link: Connection | None = None
        self._output = Path()
        self._kept: Path | None = None
        self.measured_once: dict[str, float] = {}

    def calculate(
        self,
        atoms: "Atoms | None" = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Fill ``results`` with energy and forces, and with the stress if it is among ``properties``.

        Raises:
            UnconvergedDensityError: if the density did not become self-consistent.
            CalculatorError: if the program ended without a result, with the last lines of its output.
        """
        super().calculate(atoms, properties, system_changes)
        self.results = dict(self._ask(self.atoms, tuple(properties or ["energy"])).results)

    def electronic_state(self, atoms: "Atoms") -> ElectronicState:
        """Return potential and band edges of a structure.

        Raises:
            UnconvergedDensityError: if the density did not become self-consistent.
            CalculatorError: if the program ended without a result.
        """
        return cast("ElectronicState", self._ask(atoms, ()).state)

    def keep_density(self, folder: Path) -> None:
        """Write what the next structure would begin with, if the program is at work."""
        if self._link is not None:
            self._hear("density", Density(folder.absolute(), write=True))

    def take_density(self, folder: Path) -> None:
        """Let the program begin with what was written, once it is started."""
        self._kept = folder

    def close(self) -> None:
        """End the program; the next structure starts another."""
        if self._link is not None:
            self._link.close()
        if self._program is not None:
            self._program.end()
        self._link = self._program = None

    def _ask(self, atoms: "Atoms", properties: tuple[str, ...]) -> Reply:
        what = f"{atoms.get_chemical_formula()}, charge {self._settings.charge:+g}"
        return self._hear(what, Request(atoms.copy(), properties, self.measured_once))

    def _hear(self, what: str, request: Request | Density) -> Reply:
        """Return what became of a request."""
        try:
            link = self._link or self._started()
            link.send(request)
            reply = cast("Reply", self._heard(link))
        except (EOFError, ConnectionError) as error:
            message = f"{what}: GPAW ended without a result. Started by {self._command}, it said\n{self._last_words()}"
            self.close()
            raise CalculatorError(message) from error
        except BaseException:
            self.close()  # in the middle of a sentence
            raise
        self.measured_once.update(reply.measured_once)
        if reply.unconverged:
            raise UnconvergedDensityError(reply.unconverged)
        if reply.failed:
            self.close()
            hint = sharing_hint(self._command) if AssertionError.__name__ in reply.failed else ""
            raise CalculatorError(reply.failed + hint)
        return reply

    def _started(self) -> Connection:
        """Start the program and return the link to its first process, which has heard the settings.

        Another one that this process has at work, for cells of another charge, is ended: two would compete for the same cores.
        """
        other = GpawProgram._at_work()
        if other is not None:
            other.close()
        GpawProgram._at_work = weakref.ref(self)
        folder = Path(tempfile.mkdtemp(prefix="seiflow-gpaw-"))
        self._output = folder / "output"
        with socket.socket(socket.AF_UNIX) as listener, self._output.open("w", encoding="utf-8") as output:
            with short_address(folder / SOCKET) as address:
                listener.bind(address)
            listener.listen(1)
            self._program = TiedProgram(
                f"{self._command} python -m {RANKS} {SOCKET}", folder, output=output, errors=subprocess.STDOUT
            )
            self._link = self._accepted(listener)
        theirs, ours = cast("Installation", self._heard(self._link)), Installation.this()
        if theirs != ours:
            message = f"{self._command} starts another installation ({theirs}) than the one at work here ({ours})"
            raise CalculatorError(message)
        self._link.send(self._settings)
        kept, self._kept = self._kept, None
        if kept:
            self._link.send(Density(kept.absolute(), write=False))
            self._heard(self._link)
        return self._link

    def _accepted(self, listener: socket.socket) -> Connection:
        listener.settimeout(SECONDS_BETWEEN_LOOKS)
        until = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                accepted, _ = listener.accept()
                accepted.setblocking(True)  # noqa: FBT003 - as socket has it
                return Connection(accepted.detach())
            if self._has_ended():
                raise EOFError
        message = f"{self._command} did not begin within {SECONDS_TO_START} seconds; it said\n{self._last_words()}"
        raise CalculatorError(message)

    def _heard(self, link: Connection) -> object:
        while not link.poll(SECONDS_BETWEEN_LOOKS):
            if self._has_ended() and not link.poll():
                raise EOFError
        return link.recv()

    def _has_ended(self) -> bool:
        return self._program is None or self._program.process.poll() is not None

    def _last_words(self) -> str:
        """Return the last lines of the output, once the program that lost its link has said them."""
        if self._program is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._program.process.wait(10 * SECONDS_BETWEEN_LOOKS)
        return told_last(self._output.read_text(encoding="utf-8", errors="replace")) if self._output.is_file() else "(nothing)"


def answer(calculator: "GpawCalculator", request: Request | Density) -> Reply:
    """Return what a calculator finds of a structure, or does with a density."""
    if isinstance(request, Density):
        (calculator.keep_density if request.write else calculator.take_density)(request.folder)
        return Reply()
    calculator.measured_once.update(request.measured_once)
    try:
        if request.properties:
            calculator.calculate(request.atoms, list(request.properties))
            return Reply(results=dict(calculator.results), measured_once=dict(calculator.measured_once))
        return Reply(state=calculator.electronic_state(request.atoms), measured_once=dict(calculator.measured_once))
    except UnconvergedDensityError as error:
        return Reply(unconverged=str(error), measured_once=dict(calculator.measured_once))


def require_mpi(command: str) -> None:
    """Refuse to start a GPAW that knows no MPI by a launcher of MPI: each process would believe to be alone.

    Raises:
        CalculatorError: saying what to do.
    """
    from gpaw import cgpaw

    if not cgpaw.have_mpi and _by_launcher(command):
        again = f"{sys.executable} -m pip install --force-reinstall --no-cache-dir --no-deps gpaw=={version('gpaw')}"
        message = (
            f"{command!r} starts GPAW by MPI, but it was built without. Install the headers of MPI and ScaLAPACK "
            "(Debian: libopenmpi-dev, libscalapack-openmpi-dev), let GPAW_CONFIG name a file that says so "
            f"(sh workflows/envs/gpaw_config.sh prints one) and build it again: CC=g++ {again}. Or give the recipe one process"
        )
        raise CalculatorError(message)


def sharing_hint(command: str) -> str:
    """Return what several processes of a GPAW without ScaLAPACK cannot do; nothing for others."""
    from gpaw import cgpaw

    if hasattr(cgpaw, "new_blacs_context") or not _by_launcher(command):
        return ""
    return (
        "\nThis GPAW was built without ScaLAPACK: its processes can share k-points, but not one k-point. Give it as many "
        "processes as divide the number of k-points (1 for a cell with Γ alone), or build it with ScaLAPACK"
    )


def _by_launcher(command: str) -> bool:
    return any(Path(word).name in LAUNCHERS for part in shlex.split(command) for word in part.split())


def program_version(command: str) -> str:
    """Return the version of the GPAW that a command starts.

    Raises:
        CalculatorError: if the command does not start it.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the command is the user's own
            [*shlex.split(command), "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError as error:
        message = f"{command!r} cannot be started ({error.strerror}); the machine's file says how gpaw is (programs: gpaw)"
        raise CalculatorError(message) from error
    found = re.search(r"gpaw-(\d\S*)", done.stdout)
    if found is None:
        message = f"{command!r} does not start GPAW. Its last lines:\n{told_last(done.stdout + done.stderr)}"
        raise CalculatorError(message)
    return found[1]
