"""The command `warpsmith`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from warpsmith.cli.program import run

    sys.exit(run(sys.argv[1:]))
