"""Starting kernels, one folder per task: what a run begins with, and what the builtin Coder selects from and tunes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from warpsmith.core.kernel_file import parse_kernel_file

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Seed:
    """A kernel file that ships with a task."""

    name: str
    text: str
    tags: tuple[str, ...] = ()
    """Techniques, as its head block names them: `naive`, `split_k`."""
    path: Path | None = None
    """None for a user's own, which is no file of ours."""


def seeds_for(task_name: str) -> tuple[Seed, ...]:
    """The seeds of a task, the naive one first, then by name; none where nobody wrote any."""
    paths = sorted(path for path in (FOLDER / task_name).glob("*") if path.suffix in (".cu", ".py"))
    seeds = [_read(path) for path in paths if not path.stem.startswith("_")]
    return tuple(sorted(seeds, key=lambda seed: (seed.name != "naive", seed.name)))


def _read(path: Path) -> Seed:
    text = path.read_text(encoding="utf-8")
    return Seed(path.stem, text, parse_kernel_file(text, file=str(path)).tags, path)
