"""Where kernels lie, and what their files are called: `<library>/<task>/<digest[:12]>/kernel.json` and so on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SHIPPED = Path(__file__).resolve().parent
"""Kernels that come with warpsmith."""
MANIFEST = "kernel.json"
EVALUATION = "evaluation.json"
"""The gate's whole answer: every check, stage and counter. Read only where it is asked for."""
REVOKED = "revoked.json"
"""Marks a kernel that failed when it was judged again."""
KERNEL_FILES = {"cuda": "kernel.cu", "triton": "kernel.py"}
"""Language -> name of the kernel file."""
FOLDER_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Refusal:
    """A folder that holds no kernel to trust."""

    folder: Path
    reason: str


def search_path(library: Path | None) -> tuple[Path, ...]:
    """The folders `load` looks in, in order: the given one, then what ships."""
    folders = [library.resolve()] if library else []
    return tuple(dict.fromkeys((*folders, SHIPPED)))
