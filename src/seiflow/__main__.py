"""Run as ``python -m seiflow``: how a job goes on with the interpreter of another environment."""

import sys

from seiflow.cli import main

if __name__ == "__main__":
    sys.exit(main())
