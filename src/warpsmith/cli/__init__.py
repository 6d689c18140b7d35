"""The command `warpsmith`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from warpsmith.cli.program import run
    from warpsmith.settings import let_threads_sleep

    let_threads_sleep()
    sys.exit(run(sys.argv[1:]))
