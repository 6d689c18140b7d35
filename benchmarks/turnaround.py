"""How long an author waits: source to verdict on the smallest verify workload, fresh and warm, and `warpsmith --help`.

Prints one JSON object; every figure is wall-clock seconds on this machine beside its target.

    python benchmarks/turnaround.py
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from math import prod
from pathlib import Path

KERNEL = Path(__file__).parents[1] / "seeds" / "w4a16_gemm" / "naive.cu"
TARGETS = {"fresh_process_s": 3.5, "warm_worker_s": 0.3, "help_s": 0.4}


def verdict(cache: Path) -> float:
    """Seconds from source text to verdict on the smallest verify workload; only compiled code may be cached."""
    from warpsmith import app
    from warpsmith.sandbox.gate.stages import read_candidate
    from warpsmith.tasks import load_task

    start = time.perf_counter()
    task = load_task("w4a16_gemm")
    smallest = min(task.verify, key=lambda workload: prod(workload.dims.values()))
    gate = app.gate(replace(task, verify=(smallest,), bench=()), arch="h200", cache=cache, profiled=False)
    evaluation = gate.evaluate(read_candidate(KERNEL.read_text()), seed=time.time_ns())
    if evaluation.outcome.kind != "Verified":
        raise SystemExit(f"the naive seed was not verified: {evaluation.outcome}")
    return time.perf_counter() - start


def wall(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    """Measure each figure five times and print medians."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = [wall([sys.executable, __file__, "--one", str(Path(folder) / f"fresh{index}")]) for index in range(5)]
        cache = Path(folder) / "warm"
        verdict(cache)
        warm = [verdict(cache) for _ in range(5)]
    shown = [wall([sys.executable, "-m", "warpsmith", "--help"]) for _ in range(5)]
    figures = {"fresh_process_s": fresh, "warm_worker_s": warm, "help_s": shown}
    print(
        json.dumps(
            {
                name: {"median": round(statistics.median(runs), 3), "target": TARGETS[name], "runs": len(runs)}
                for name, runs in figures.items()
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        verdict(Path(sys.argv[2]))
    else:
        main()
