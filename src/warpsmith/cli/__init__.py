"""The command `warpsmith`."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    # Read when torch is first loaded. Its threads spin while they wait, which costs a reference of many small steps
    # several times its own work where other processes share the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from warpsmith.cli.program import run

    sys.exit(run(sys.argv[1:]))
