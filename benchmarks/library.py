"""What a call of a loaded kernel costs beside its work: our operator against a plain `torch.library` one.

The kernel is replaced by nothing: both operators take the same CPU tensors and give back one that is made once. What
is left is PyTorch's dispatch, and ours: shapes to workload, guards, choice of a kernel, tensors in and out. Prints one
JSON object; figures are processor microseconds a call of one thread, the least of several rounds, so that other work on
the machine matters little.

    python benchmarks/library.py
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from warpsmith.core.candidate import Candidate
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.protocols import RunReply, RunRequest
from warpsmith.kernels_generated.kernel import Kernel
from warpsmith.kernels_generated.library import Entry
from warpsmith.kernels_generated.manifest import Lineage, Manifest, WorkloadFigures
from warpsmith.seeds import seeds_for
from warpsmith.tasks import load_task

ROUNDS, CALLS = 15, 400


class Nothing:
    """A launcher that launches nothing: outputs come back as they went in."""

    def run(self, request: RunRequest) -> RunReply:
        return RunReply(None, request.outputs, (), {})


def entry(folder: Path, text: str) -> Entry:
    """A seed as if it had been accepted: nothing here reads its evidence."""
    candidate = Candidate(task="w4a16_gemm", language="cuda", text=text, knobs=parse_kernel_file(text).default_knobs())
    figures = tuple(
        WorkloadFigures(workload=item.name, time_us=2.0, source="modelled", bound_us=1.0, bound_limit="dram")
        for item in load_task("w4a16_gemm").bench
    )
    lineage = Lineage(run="none", coder="none", judge="none", strategy="none", rounds=0)
    manifest = Manifest.model_validate(
        {
            "task": "w4a16_gemm",
            "task_digest": "none",
            "candidate": candidate.identity,
            "language": "cuda",
            "text_digest": candidate.text_digest,
            "knobs": candidate.knobs,
            "target": "h200",
            "toolchain": "none",
            "evidence": {
                "checks": [{"workload": "w", "seed": 0, "error": 0, "relative_l2": 0, "largest": 0}],
                "schedules": 1,
            },
            "source": "modelled",
            "workloads": figures,
            "lineage": lineage,
            "created": "2026-01-01T00:00:00Z",
        }
    )
    return Entry(folder, manifest, text)


def plain() -> Callable[..., torch.Tensor]:
    """The least operator that `torch.library` makes of a Python function."""
    made = torch.empty(4, 128, dtype=torch.float16)

    @torch.library.custom_op("warpsmith_benchmark::plain", mutates_args=(), device_types="cpu")
    def operator(x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return made.clone()

    return operator


def cost(call: Callable[[], Any]) -> float:
    """Processor microseconds of one call."""
    for _ in range(CALLS):
        call()
    rounds = []
    for _ in range(ROUNDS):
        start = time.thread_time()
        for _ in range(CALLS):
            call()
        rounds.append((time.thread_time() - start) / CALLS * 1e6)
    return min(rounds)


def main() -> None:
    """Measure one kernel, four kernels to choose among, and the plain operator."""
    torch.set_num_threads(1)
    x = torch.randn(4, 256).half()
    codes = torch.randint(-(2**31), 2**31, (32, 128), dtype=torch.int64).to(torch.int32)
    scales = torch.rand(2, 128).half()
    task = load_task("w4a16_gemm")
    text = seeds_for("w4a16_gemm")[0].text
    with tempfile.TemporaryDirectory() as folder:
        one = Kernel([entry(Path(folder), text)], task, launcher=Nothing())
        several = [entry(Path(folder), f"{text}// {number}\n") for number in range(4)]
        four = Kernel(several, task, launcher=Nothing())
        operators: Mapping[str, Callable[..., Any]] = {"plain": plain(), "one kernel": one, "four kernels": four}
        figures = {name: round(cost(lambda: call(x, codes, scales)), 1) for name, call in operators.items()}  # noqa: B023
    report = {"processor_us_a_call": figures, "calls": CALLS, "rounds": ROUNDS, "torch": torch.__version__}
    print(json.dumps({**report, "source": "measured on this machine's CPU, with no kernel launched"}))


if __name__ == "__main__":
    main()
