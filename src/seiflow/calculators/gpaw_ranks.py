"""What every MPI process of a GPAW in a program of its own runs: ``gpaw python -m seiflow.calculators.gpaw_ranks SOCKET``.

The first process hears through the socket what is asked, tells the others, and says what was found (:mod:`.gpaw_program`). That a
density is not self-consistent is found by all of them. Any other error may be that of one process, for which the others would
wait for ever: it ends them all, and is told if the first one knows it.
"""

import socket
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, cast

from gpaw.mpi import broadcast, world

from seiflow.calculators.gpaw import GpawCalculator
from seiflow.calculators.gpaw_files import take_recorded_folders
from seiflow.calculators.gpaw_program import Density, Installation, Reply, Request, answer
from seiflow.errors import CalculatorError

if TYPE_CHECKING:
    from seiflow.calculators.gpaw import GpawSettings

NO_MORE = "no more"

SECONDS_TO_TELL = 3.0
"""How long the others leave the first process to tell of an error before they end all."""


def serve(path: str) -> None:
    """Answer requests until the other end of the socket is closed."""
    link = _connected(path) if world.rank == 0 else None
    if link is not None:
        link.send(Installation.this())
    settings = cast("GpawSettings", _heard_by_all(link))
    take_recorded_folders()
    calculator = GpawCalculator(settings)
    while isinstance(request := _heard_by_all(link), Request | Density):
        try:
            reply = answer(calculator, request)
        except CalculatorError as error:
            if link is not None:
                link.send(Reply(failed=str(error)))
            else:
                time.sleep(SECONDS_TO_TELL)
            raise
        if link is not None:
            link.send(reply)


def _connected(path: str) -> Connection:
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    return Connection(link.detach())


def _heard_by_all(link: Connection | None) -> object:
    """Return what the first process hears next; once there is no more it is something else than a request."""
    heard: object = None
    if link is not None:
        try:
            heard = link.recv()
        except EOFError:
            heard = NO_MORE
    return broadcast(heard, 0, comm=world)


def main() -> None:
    """Serve; an error of one process ends all."""
    try:
        serve(sys.argv[1])
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        if world.size > 1:
            world.abort(1)
        raise


if __name__ == "__main__":
    main()
