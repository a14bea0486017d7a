"""The command line, as it starts: it reads nothing else before it is ready for Ctrl-C."""

import sys

TYPE_CHECKING = False  # known to type checkers; typing itself would have to be read first
if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run one command; returns the exit status."""
    try:
        from seiflow.cli_people import run

        return run(arguments)
    except KeyboardInterrupt:
        print("stopped; run again to go on from here", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
