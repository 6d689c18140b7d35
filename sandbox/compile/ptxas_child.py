"""The jailed program that runs the assembler (`jail/child.py` runs it): PTX in, cubin and log out.

It may start one kind of program, the assembler. It imports the standard library alone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

_OPTIONS = ("-lineinfo", "-v", "--regAllocOptLevel=2")
"""As Triton 3.7 calls it."""
_PR_SET_PDEATHSIG = 1
_assembler = ""


def prepare(setup: dict[str, Any]) -> None:
    """Remember which assembler it is."""
    global _assembler
    _assembler = setup["assembler"]


def work(request: dict[str, Any], blobs: list[bytearray]) -> tuple[dict[str, Any], list[bytes]]:
    """Assemble the blob for `arch`; the cubin is the reply's blob, empty where there is none."""
    scratch = Path(os.environ["TMPDIR"])
    source, cubin, log = scratch / "module.ptx", scratch / "module.cubin", scratch / "log"
    source.write_bytes(blobs[0])
    libc = ctypes.CDLL(None)
    with log.open("wb") as said:
        ended = subprocess.run(
            [_assembler, *_OPTIONS, f"--gpu-name={request['arch']}", str(source), "-o", str(cubin)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=scratch,
            # It must not go on when this process is killed.
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
            check=False,
        )
    made = cubin.read_bytes() if ended.returncode == 0 else b""
    return {"status": ended.returncode, "log": log.read_text("utf-8", "replace")}, [made]
