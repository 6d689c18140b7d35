"""How long PTX takes to become bytecode: every CUDA seed's builds at its first knobs, and the largest test kernels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from emulator_peers import best_of
from emulator_suite import OWN, TESTS, compile_cuda

from warpsmith.core.arch import find_architecture
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.compile import compile_unit
from warpsmith.sandbox.emulator.lower import lower
from warpsmith.sandbox.emulator.packing import pack
from warpsmith.sandbox.emulator.program import Entry
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.seeds import seeds_for
from warpsmith.tasks import find_tasks, load_task

GOAL_MS = 50.0
"""Processor time wanted for the largest kernel."""
LARGEST = (TESTS / "block_sparse_attention.cu", OWN / "gemm_mma_bf16.cu")


def translations() -> dict[str, Any]:
    """Milliseconds by text: parsed, lowered and packed whole, and what the largest kernel in it takes of that."""
    texts = {path.stem: compile_cuda(path) for path in LARGEST} | dict(_seeds())
    return {name: _translation(text) for name, text in texts.items()} | {"goal_milliseconds": GOAL_MS}


def _translation(text: str) -> dict[str, Any]:
    module = parse_module(text)
    sizes = {entry.name: len(entry.instructions) for entry in module.entries}
    largest = max(module.entries, key=lambda entry: sizes[entry.name])

    def packed(*entries: Entry) -> Callable[[], None]:
        def work() -> None:
            for entry in entries:
                pack(entry, lower(module, entry))

        return work

    def parsed() -> None:
        parse_module(text)

    parsing, packing = (1e3 * best_of(work, 8, time.process_time) for work in (parsed, packed(*module.entries)))
    # A text is parsed whole: the largest kernel's part of it is that of its instructions.
    part = parsing * sizes[largest.name] / sum(sizes.values())
    alone = part + 1e3 * best_of(packed(largest), 8, time.process_time)
    return {
        "characters": len(text),
        "kernels": len(sizes),
        "instructions": sum(sizes.values()),
        "largest_kernel": sizes[largest.name],
        "milliseconds": parsing + packing,
        "largest_kernel_milliseconds": alone,
    }


def _seeds() -> Iterator[tuple[str, str]]:
    """PTX of each CUDA seed at its task's first bench workload.

    Raises:
        RuntimeError: a seed does not compile there.
    """
    arch = find_architecture("h200")
    for listed in find_tasks():
        task = load_task(listed.name)
        for seed in seeds_for(task.name):
            kernel = parse_kernel_file(seed.text, file=str(seed.path))
            if kernel.language != "cuda":
                continue
            builds = Builds(kernel, task, kernel.default_knobs(), arch, compile_unit)
            workload = next(item for item in task.bench if builds.inside(item))
            problem = builds.build(workload)
            if problem is not None:
                raise RuntimeError(f"{task.name}/{seed.name}: {problem}")
            yield f"{task.name}/{seed.name}", builds.artifact(workload).ptx
