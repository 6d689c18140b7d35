"""Speed of the emulator: one JSON object on standard output.

For each kernel, thread instructions per second on one and two host threads with checks and counters off; their fraction
of the micro-benchmark (float32 fused multiply-adds through the same dispatch, same run); goals where there are any; the
fraction with counters on, as profiles run; and how much slower checks make it, as verdicts run. Then the time that
translating every CUDA seed takes, and the same work on numba's CUDA simulator and on Triton's interpreter.

    python benchmarks/emulator.py [--repeat N] [--no-peers]
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import geometric_mean
from typing import Any

import numpy as np
from emulator_peers import best_of, compare_with_numba, compare_with_triton
from emulator_suite import OWN, SUITE, Buffer, Kernel, Prepared, output
from emulator_translation import translations

from warpsmith.sandbox.emulator.launch import LoadedModule, launch, load
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.emulator.vm.bindings import isa_names

MICRO_ROUNDS = 20_000
PLAIN = Options(checks=False, counters=False)
TWO_THREADS_GOAL, CHECKED_MEAN_GOAL, CHECKED_WORST_GOAL = 1.8, 4.0, 12.0


def rate(kernel: Prepared, options: Options, repeat: int, clock: Callable[[], float] = time.process_time) -> float:
    """Thread instructions per second, the best of `repeat` launches.

    Processor time is what one host thread is measured by: a busy neighbour takes none of it. Two need the wall's.
    """
    best = 0.0
    for _ in range(repeat):
        start = clock()
        result = launch(kernel.loaded, kernel.entry, kernel.spec, kernel.memory, options)
        elapsed = clock() - start
        if result.fault is not None:
            raise RuntimeError(result.fault.message)
        best = max(best, result.thread_instructions / elapsed)
    return best


def micro_benchmark(repeat: int) -> float:
    """What the dispatch alone gives."""
    loaded: LoadedModule = load(parse_module((OWN / "fma_chain.ptx").read_text()))
    memory = Memory()
    out = memory.allocate("out", np.zeros(128, np.uint8), writable=True, initialised=False)
    spec = LaunchSpec((1, 1, 1), (32, 1, 1), 0, struct.pack("<Qi4x", out, MICRO_ROUNDS))
    return rate(Prepared(loaded, loaded.module.entries[0].name, spec, memory), PLAIN, repeat)


def measure(kernel: Kernel, repeat: int) -> dict[str, float | None]:
    """One kernel, plain, on two threads, counted and checked."""
    prepared = kernel.prepare()
    # Before and after, the better one: a busy neighbour must not flatter the kernel.
    before = micro_benchmark(repeat)
    one = rate(prepared, PLAIN, repeat)
    micro = max(before, micro_benchmark(repeat))
    wall = rate(prepared, PLAIN, repeat, time.perf_counter)
    two = rate(prepared, replace(PLAIN, threads=2), repeat, time.perf_counter)
    counted = rate(prepared, Options(checks=False), repeat)
    checked = rate(prepared, Options(counters=False), max(2, repeat // 4))
    return {
        "one_thread": one,
        "two_threads": two,
        "two_threads_ratio": two / wall,
        "fraction": one / micro,
        "goal": kernel.goal,
        "fraction_with_counters": counted / micro,
        "checks_slowdown": one / checked,
    }


def naive_seconds(size: int, checks: bool) -> float:
    """Wall seconds of the naive GEMM on one host thread."""

    def arguments(rng: np.random.Generator) -> list[Any]:
        a, b = rng.standard_normal((2, size, size)).astype(np.float32)
        return [Buffer(a), Buffer(b), output((size, size)), size, size, size]

    kernel = Kernel(OWN / "gemm_naive.cu", (size // 32, size // 8, 1), (32, 8, 1), arguments).prepare()
    options = Options(checks=checks, counters=False)
    return best_of(lambda: launch(kernel.loaded, kernel.entry, kernel.spec, kernel.memory, options).fault)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=12, help="launches of each kernel; the best one counts")
    parser.add_argument("--no-peers", action="store_true", help="leave numba and the Triton interpreter out")
    chosen = parser.parse_args()
    load_before = os.getloadavg()
    kernels = {kernel.name: measure(kernel, chosen.repeat) for kernel in SUITE}
    slowdowns = [found["checks_slowdown"] for found in kernels.values()]
    bound = [kernels[kernel.name]["two_threads_ratio"] for kernel in SUITE if kernel.compute_bound]
    report = {
        "unit": "thread instructions per second",
        "isa": isa_names()[0],
        "host": {"processors": os.cpu_count(), "load_before": load_before[0], "load_after": os.getloadavg()[0]},
        "micro_benchmark": micro_benchmark(chosen.repeat),
        "kernels": kernels,
        "two_threads": {"geometric_mean": geometric_mean(bound), "goal": TWO_THREADS_GOAL},
        "checks_slowdown": {
            "geometric_mean": geometric_mean(slowdowns),
            "worst": max(slowdowns),
            "goals": [CHECKED_MEAN_GOAL, CHECKED_WORST_GOAL],
        },
        "translation": translations(),
    }
    if not chosen.no_peers:
        report["numba_simulator"] = compare_with_numba(naive_seconds)
        report["triton_interpreter"] = compare_with_triton()
        for name in ("numba_simulator", "triton_interpreter"):
            if missing := report[name].get("missing"):
                print(f"{name} was not measured: {missing}", file=sys.stderr)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
