"""The command `warpsmith`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from warpsmith.cli.program import run
    from warpsmith.settings import ask_for_large_pages, let_threads_sleep

    let_threads_sleep()
    ask_for_large_pages()
    sys.exit(run(sys.argv[1:]))
