"""The command `warpsmith`."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from pathlib import Path


def main() -> None:
    """Run the command line and leave with its exit code."""
    code = 0

    def leave() -> None:
        """Registered first, so everybody else has tidied up. Python would end what still works in threads by unwinding
        them, which aborts the process where compiled code is not made for it, and the exit code is lost.
        """
        if any(thread.daemon for thread in threading.enumerate()):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    atexit.register(leave)
    _open_missing_streams()
    try:
        from warpsmith.cli.program import run
        from warpsmith.settings import ask_for_large_pages, let_threads_sleep

        let_threads_sleep()
        ask_for_large_pages()
        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before there was a command to tell of it
        sys.stderr.write("error: interrupted.\n")
        code = 130
    sys.exit(code)


def _open_missing_streams() -> None:
    """Stand in for a closed standard output or error, which Python leaves out."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for good
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
