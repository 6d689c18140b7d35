"""An attack: a few words away from an honest kernel, and what must become of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

KERNELS = Path(__file__).parent / "kernels"
SEEDS = Path(__file__).parents[2] / "seeds"
NAIVE = {"voxels": "spconv_kernel_map", "layers": "spconv_forward", "quantized": "w4a16_gemm"}
"""Bases that are the naive seed of a task that ships, for a smaller one of the same name as the base."""


def _text_of(base: str) -> str:
    if base not in NAIVE:
        return (KERNELS / f"{base}.cu").read_text()
    task = f'task = "{NAIVE[base]}"'
    text = (SEEDS / NAIVE[base] / "naive.cu").read_text()
    assert 1 == text.count(task), base
    return text.replace(task, f'task = "{base}"')


@dataclass(frozen=True)
class Case:
    """An edited kernel file and its verdict."""

    name: str
    base: str
    """Name of a file in `kernels/`, or in NAIVE."""
    edits: tuple[tuple[str, str], ...]
    outcomes: str
    """Kinds of Outcome, any of which is right; `KernelFileError` where no candidate comes of it."""
    says: str = ""
    """A regular expression that message, workload or remedy must match: the right reason."""

    @property
    def text(self) -> str:
        text = _text_of(self.base)
        for before, after in self.edits:
            if text.count(before) != 1:
                raise ValueError(f"{self.name}: {before!r} stands {text.count(before)} times in {self.base}.cu")
            text = text.replace(before, after)
        return text


class Make(Protocol):
    """Makes a case of one base: `Case` without it."""

    def __call__(self, name: str, *edits: tuple[str, str], gets: str, says: str = "") -> Case: ...


def based_on(base: str) -> Make:
    """What makes cases of a kernel."""
    return lambda name, *edits, gets, says="": Case(name, base, edits, gets, says)


tile = based_on("tile")
split = based_on("split")
prepared = based_on("prepared")

START = "    float sum = 0.f;\n    for (int k0"
STORE = "if (n < N) y[(size_t)m * N + n] = ws::from_float<y_t>(sum + ws::to_float(b[n]));"
GRID = 'grid = ["cdiv(N, 64)", "M"]'
KERNEL = "__global__ void gemm(const x_t* x, const w_t* w, const b_t* b"
FMA = "sum = fmaf(row[c], ws::to_float(w[(size_t)(k0 + c) * N + n]), sum);"


def at_start(code: str) -> tuple[str, str]:
    return START, f"    {code}\n{START}"


def at_store(code: str) -> tuple[str, str]:
    return STORE, f"{code}\n    {STORE}"


def before_kernel(code: str) -> tuple[str, str]:
    return KERNEL, f"{code}\n{KERNEL}"
