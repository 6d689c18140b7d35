"""What isolation costs a candidate: the same work in this process and in a jailed one, at every level here; JSON out.

    python benchmarks/jail.py [--repeats 15]

A candidate is compiled once and launched many times. Each repetition compiles a text of its own (NVRTC) and launches
what it made twice on the emulator, as a gate does with a candidate nobody has seen; workers are warm, as after a run's
first candidate, and what is started ahead for the next candidate is counted too. Goal: at most 50 ms a candidate.

`steps` are milliseconds of the wall clock, medians, worth nothing on a loaded machine (`load_average`). `processor` is
the processor time of this process and of those it started; bubblewrap's children are nobody's that can be asked.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from warpsmith.sandbox.compile import nvrtc_child
from warpsmith.sandbox.compile.jail import CompileLimits, call
from warpsmith.sandbox.compile.nvrtc import OPTIONS, program, request_for
from warpsmith.sandbox.compile.toolchain import find_toolchain
from warpsmith.sandbox.emulator.invocation import Invoke, invoke_here
from warpsmith.sandbox.emulator.jailed import JailedVm
from warpsmith.sandbox.emulator.launch import LoadedModule, launch, load
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.jail.levels import Level, survey
from warpsmith.sandbox.jail.pool import pool
from warpsmith.sandbox.jail.wire import Packet

GOAL_MS = 50.0
ELEMENTS = 1 << 20
TEXT = """
__global__ void scale(const float* x, float* y, int n)
{{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = {number}.0f * x[i];
}}
"""

Launch = Callable[[LoadedModule, LaunchSpec, Memory], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate is compiled and run."""

    compile: Callable[[str], str]
    """From a text to its PTX."""
    launch: Launch
    close: Callable[[], None] = lambda: None
    """Ends what waits for the next candidate."""


def here() -> Place:
    """This process, with nothing around it."""
    toolchain = find_toolchain()
    nvrtc_child.prepare({"library": str(toolchain.library), "preload": [str(path) for path in toolchain.builtins]})

    def compiled(text: str) -> str:
        reply, _ = nvrtc_child.work(request_for(text, ("scale",), OPTIONS, "sm_90a", toolchain), [])
        return str(reply["ptx"])

    return Place(compiled, lambda loaded, spec, memory: launched(loaded, spec, memory, invoke_here))


def jailed(level: Level) -> Place:
    """Processes at this level."""
    toolchain, vm = find_toolchain(), JailedVm(level)

    def compiled(text: str) -> str:
        request = request_for(text, ("scale",), OPTIONS, "sm_90a", toolchain)
        answer = call(program(toolchain), request, CompileLimits(), level)
        assert isinstance(answer, Packet), answer
        return str(answer.message["ptx"])

    def close() -> None:
        vm.close()
        pool().close()

    def run(loaded: LoadedModule, spec: LaunchSpec, memory: Memory) -> None:
        check(vm(loaded, name_of(loaded), spec, memory, Options()))

    return Place(compiled, run, close)


def launched(loaded: LoadedModule, spec: LaunchSpec, memory: Memory, invoke: Invoke) -> None:
    check(launch(loaded, name_of(loaded), spec, memory, Options(), invoke=invoke))


def check(result: object) -> None:
    assert getattr(result, "fault", "") is None, result


def name_of(loaded: LoadedModule) -> str:
    return loaded.module.entries[0].name


def candidate(place: Place, number: int) -> dict[str, float]:
    """Milliseconds of each step."""
    begin = time.perf_counter()
    ptx = place.compile(TEXT.format(number=number))
    steps = {"compile": time.perf_counter() - begin}
    loaded = load(parse_module(ptx))
    loaded.program(name_of(loaded))
    for step in ("first_launch", "next_launch"):
        memory = Memory()
        x, y = np.ones(ELEMENTS, np.float32).view(np.uint8), np.zeros(4 * ELEMENTS, np.uint8)
        addresses = [memory.allocate("x", x, writable=False, initialised=True)]
        addresses.append(memory.allocate("y", y, writable=True, initialised=False))
        params = b"".join(address.to_bytes(8, "little") for address in addresses) + ELEMENTS.to_bytes(4, "little")
        begin = time.perf_counter()
        place.launch(loaded, LaunchSpec((ELEMENTS // 256, 1, 1), (256, 1, 1), 0, params), memory)
        steps[step] = time.perf_counter() - begin
        assert number == int(y.view(np.float32)[-1])
    return {name: 1000 * seconds for name, seconds in steps.items()}


def processor(place: Place, repeats: int) -> float:
    """Milliseconds of processor time a candidate takes, starts included."""
    before = os.times()
    for number in range(1, repeats + 1):
        candidate(place, number)
    place.close()
    return 1000 * sum(b - a for a, b in zip(before[:4], os.times()[:4], strict=True)) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    places = {"in_process": here()} | {level.value: jailed(level) for level in Level if survey()[level].works}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in places}
    # Side by side, so that what else the machine does falls on all of them; the first round warms up.
    for number in range(1, repeats + 2):
        for name, place in places.items():
            runs[name].append(candidate(place, number))
    for place in places.values():
        place.close()
    spent = {name: processor(place, repeats) for name, place in places.items() if name != Level.BUBBLEWRAP.value}
    medians = {
        name: {step: statistics.median(run[step] for run in rounds[1:]) for step in rounds[0]}
        for name, rounds in runs.items()
    }
    base = medians["in_process"]
    costs = {name: sum(steps.values()) - sum(base.values()) for name, steps in medians.items() if name != "in_process"}
    figures = {
        "unit": "ms, wall clock, median",
        "repeats": repeats,
        "load_average": round(os.getloadavg()[0], 2),
        "steps": {name: {step: round(ms, 1) for step, ms in steps.items()} for name, steps in medians.items()},
        "processor": {name: round(ms, 1) for name, ms in spent.items()},
        "isolation_processor": {name: round(ms - spent["in_process"], 1) for name, ms in spent.items()},
        "isolation_a_candidate": {name: round(ms, 1) for name, ms in costs.items()},
        "goal": GOAL_MS,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
