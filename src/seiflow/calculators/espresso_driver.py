"""One pw.x that serves many structures: ASE's server of the i-PI protocol, and what pw.x adds to it or lacks.

pw.x keeps the plane waves and the symmetry of its first structure. It does not look whether a later one still has that symmetry:
it would symmetrise density and forces into something wrong without a word. :class:`Symmetry` looks.

Source: Kapil et al., Comput. Phys. Commun. 236, 214 (2019), doi 10.1016/j.cpc.2018.09.020.
"""

import contextlib
import os
import secrets
import socket
import subprocess
import tempfile
import time
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase.calculators.socketio import IPIProtocol, SocketServer, actualunixsocketname
from ase.stress import full_3x3_to_voigt_6_stress
from ase.units import Bohr, Ha

from seiflow.calculators.espresso_output import ended, words
from seiflow.calculators.kpoints import Mesh
from seiflow.calculators.processes import TiedProgram
from seiflow.structures.space_group import SYMMETRY_TOLERANCE, operations, permutation

if TYPE_CHECKING:
    from collections.abc import Callable

    from ase import Atoms
    from numpy.typing import NDArray

Results = dict[str, "float | NDArray[np.float64]"]

TURNED = 1e-6
"""Largest change of an element of a rotation matrix in a cell that kept its symmetry."""

MOVED = 1e-5
"""Å; atoms that kept their symmetry are at most so much farther from their images than at the start."""

SECONDS_TO_PRINT = 20.0
"""What is printed may pass through mpirun, so it may come later than what goes through the socket."""


class Symmetry:
    """Operations that a structure has, to see whether others have them too; at least all that pw.x finds."""

    def __init__(self, atoms: "Atoms") -> None:
        """Find the operations; of a supercell those without translation, as pw.x does."""
        found = operations(atoms)
        identity = np.eye(3, dtype=int)
        pure = (found.rotations == identity).all(axis=(1, 2)).sum()
        shifts = found.translations - np.rint(found.translations)
        still = np.linalg.norm(shifts @ np.asarray(atoms.cell), axis=1) < SYMMETRY_TOLERANCE
        taken = still | (pure == 1)
        self._rotations, self._translations = found.rotations[taken], found.translations[taken]
        pairs = zip(self._rotations, self._translations, strict=True)
        self._order = np.array([permutation(atoms, rotation, shift) for rotation, shift in pairs])
        self._turns = self._cartesian(atoms)
        self._distance = self._farthest(atoms)

    def kept_by(self, atoms: "Atoms") -> bool:
        """Tell whether a structure of the same atoms has all the operations, and its cell did not turn."""
        turned = np.abs(self._cartesian(atoms) - self._turns).max()
        return bool(turned < TURNED) and self._farthest(atoms) < self._distance + MOVED

    def _cartesian(self, atoms: "Atoms") -> "NDArray[np.float64]":
        cell = np.asarray(atoms.cell)
        return np.asarray(cell.T @ self._rotations @ np.linalg.inv(cell).T)

    def _farthest(self, atoms: "Atoms") -> float:
        places = np.linalg.solve(atoms.cell.array.T, atoms.positions.T).T
        offsets = places @ self._rotations.transpose(0, 2, 1) + self._translations[:, None] - places[self._order]
        return float(np.linalg.norm((offsets - np.rint(offsets)) @ atoms.cell.array, axis=-1).max())


class Telling(IPIProtocol):  # type: ignore[misc] # the base class is untyped
    """The protocol as pw.x 6.7 lets itself be told what to compute: no stress, and no new cell, where none is needed.

    It reads the length of the text that initialises it as a number made of flags, and then receives a cell, or sends a virial,
    only if they say so (``update_flags`` in its source).
    """

    def __init__(self, connection: socket.socket, *, moving: bool) -> None:
        """Take over a connection to a pw.x whose cell may move, or may not."""
        super().__init__(connection)
        self.stress = True
        self._moving = moving
        self._cell: NDArray[np.float64] | None = None
        self._new_cell = True

    def calculate(self, positions: "NDArray[np.float64]", cell: "NDArray[np.float64]") -> dict[str, object]:
        """Send a structure and return what is computed of it."""
        self._new_cell = self._cell is None or not np.array_equal(cell, self._cell)
        self._cell = np.array(cell)
        found: dict[str, object] = super().calculate(positions, cell)
        return found

    def sendinit(self) -> None:
        """Say what is to be computed."""
        energy_and_forces, stress, cell = 16 + 8, 4 * self.stress, 2 * (self._moving and self._new_cell)
        self.sendmsg("INIT")
        self.send(0, np.int32)
        self.send(1 + energy_and_forces + stress + cell, np.int32)
        self.send(np.zeros(1), np.byte)

    def sendposdata(self, cell: "NDArray[np.float64]", icell: "NDArray[np.float64]", positions: "NDArray[np.float64]") -> None:
        """Send positions, and the cell if it is new."""
        if self._new_cell:
            super().sendposdata(cell, icell, positions)
            return
        self.sendmsg("POSDATA")
        self.send(len(positions), np.int32)
        self.send(positions / Bohr, np.float64)

    def sendrecv_force(self) -> tuple[float, "NDArray[np.float64]", "NDArray[np.float64]", object]:
        """Return energy, forces, virial (not a number if it was not asked for) and what else was sent."""
        if self.stress:
            found: tuple[float, NDArray[np.float64], NDArray[np.float64], object] = super().sendrecv_force()
            return found
        self.sendmsg("GETFORCE")
        message = self.recvmsg()
        if message != "FORCEREADY":
            raise ConnectionError(message)
        energy = self.recv(1, np.float64)[0]
        forces = self.recv((int(self.recv(1, np.int32)[0]), 3), np.float64)
        rest = self.recv(self.recv(1, np.int32)[0], np.byte)
        return energy * Ha, forces * (Ha / Bohr), np.full((3, 3), np.nan), rest


class Server(SocketServer):  # type: ignore[misc] # the base class is untyped
    """ASE's server; it tells pw.x what to compute if that understands it."""

    protocol: Any

    def __init__(self, name: str, *, telling: bool, moving: bool) -> None:
        """Listen at a Unix socket."""
        super().__init__(unixsocket=name)
        self._name = Path(actualunixsocketname(name))
        self._telling = telling
        self._moving = moving

    def ask(self, atoms: "Atoms", *, stress: bool) -> dict[str, Any]:
        """Return energy, forces and virial; the virial may be missing if no stress is wanted."""
        if self.protocol is None:
            self._accept()
            self._name.unlink()  # of no more use, and nobody would do it if this process were killed
            if self._telling:
                self.protocol = Telling(self.clientsocket, moving=self._moving)
        if isinstance(self.protocol, Telling):
            self.protocol.stress = stress
        found: dict[str, Any] = self.calculate(atoms)
        return found

    def end(self) -> None:
        """Stop listening, after the program has ended."""
        self._name.touch()  # ASE removes it
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a program which was ended did not end by itself
            self.close()


class Driver:
    """A pw.x at work, in a folder of its own, that goes when this object or this process goes.

    Attributes:
        folder: The folder.
        moving: Whether the cell may move.
    """

    def __init__(
        self, command: str, structure: "Atoms", mesh: Mesh, write: "Callable[[Path], str]", *, telling: bool, moving: bool
    ) -> None:
        """Start pw.x.

        Args:
            command: Command line of pw.x.
            structure: What it begins with.
            mesh: Of k-points.
            write: Writes the input into a folder and returns the name of its file.
            telling: Whether it understands :class:`Telling`.
            moving: Whether the cell may move.
        """
        folder = Path(tempfile.mkdtemp(prefix="seiflow-pw-"))
        name = f"seiflow_{os.getpid()}_{secrets.token_hex(4)}"
        self.moving = moving
        self._mesh = mesh
        self._first = structure.copy()
        self._symmetry = Symmetry(structure)
        self.folder = folder
        self._output, self._errors = folder / "pw.out", folder / "pw.err"
        self._read = 0
        line = f"{command} -in {write(folder)} --ipi {name}:UNIX"
        self._server = Server(name, telling=telling, moving=moving)
        with self._output.open("w", encoding="utf-8") as output, self._errors.open("w", encoding="utf-8") as errors:
            program = TiedProgram(line, folder, output=output, errors=errors)
        self._server.proc = program.process
        self.close = weakref.finalize(self, _end, program, self._server)

    def may_serve(self, structure: "Atoms", mesh: Mesh, strain: float) -> bool:
        """Tell whether the energy of a structure would be right.

        That takes the atoms, moments, k-points and symmetry of the first one, and a cell not strained further than by ``strain``.
        """
        first = self._first
        moments = (first.get_initial_magnetic_moments(), structure.get_initial_magnetic_moments())
        if self._server.proc.poll() is not None or mesh != self._mesh or not np.array_equal(first.numbers, structure.numbers):
            return False
        strained = np.abs(np.linalg.solve(first.cell.array, structure.cell.array) - np.eye(3)).max()
        near = strained <= strain if self.moving else np.array_equal(first.cell.array, structure.cell.array)
        return near and np.array_equal(*moments) and self._symmetry.kept_by(structure)

    def evaluate(self, structure: "Atoms", *, stress: bool) -> tuple[Results, str]:
        """Return what is computed of a structure, the energy being the free one, and what was printed of it.

        Nothing is computed if pw.x stopped; what it printed says why.
        """
        try:
            raw = self._server.ask(structure, stress=stress)
            printed = self._printed()
        except (OSError, AssertionError):  # of the socket, and of ASE where an answer is not as it should be
            return {}, self._last_words()
        except BaseException:
            self.close()
            raise
        results: Results = {"energy": raw["energy"], "forces": raw["forces"]}
        if stress:
            results["stress"] = -full_3x3_to_voigt_6_stress(raw["virial"]) / structure.get_volume()
        return results, printed

    def _printed(self) -> str:
        """Return what was printed since last time, once it is there."""
        until = time.monotonic() + SECONDS_TO_PRINT
        while True:
            new = self._output.read_bytes()[self._read :]
            text = new.decode(errors="replace")
            if ended(text) or time.monotonic() > until:
                self._read += len(new)
                return text
            time.sleep(0.05)

    def _last_words(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.proc.wait(SECONDS_TO_PRINT)
        text = words(self._output, self._errors, self._read)
        self.close()
        return text


def _end(program: TiedProgram, server: Server) -> None:
    program.end()
    server.end()
