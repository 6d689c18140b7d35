"""What one compilation may take, and how it is asked for in a jailed process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from warpsmith.sandbox.jail.levels import Level, choose
from warpsmith.sandbox.jail.pool import pool
from warpsmith.sandbox.jail.worker import Answer, Limits, Program


@dataclass(frozen=True, slots=True)
class CompileLimits:
    """What one compilation may take."""

    seconds: int = 60
    memory_bytes: int = 4 << 30
    output_bytes: int = 64 << 20
    ptx_bytes: int = 4 << 20
    """Characters of PTX."""


def call(
    program: Program,
    request: dict[str, Any],
    limits: CompileLimits,
    level: Level | None = None,
    blobs: Sequence[bytes] = (),
) -> Answer:
    """Ask a fresh child of `program`, jailed as well as this machine can or at `level`.

    Raises:
        ToolchainError: it does not start.
    """
    held = Limits(
        seconds=limits.seconds,
        # What is loaded before takes a second or two of it.
        cpu_seconds=limits.seconds + 10,
        memory_bytes=limits.memory_bytes,
        output_bytes=limits.output_bytes,
        file_bytes=limits.output_bytes,
    )
    return pool().ask(program, held, level or choose(), request, blobs)
