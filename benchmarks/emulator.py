"""Speed of the emulator's VM: one JSON object on standard output.

Thread instructions per second of four kernels on one and two host threads with checks and traffic counters off, and
their fraction of the micro-benchmark (float32 fused multiply-adds through the same dispatch, same run) beside its
target; the fraction with counters on, as profiles run; and how much slower checks make each kernel, as verdicts run.

    python benchmarks/emulator.py [--repeat N]
"""

from __future__ import annotations

import argparse
import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.compile.toolchain import find_toolchain
from warpsmith.sandbox.emulator.launch import LoadedModule, launch, load
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.emulator.vm.bindings import isa_names

KERNELS = Path(__file__).with_name("kernels")
SIZE = 256
ROWS, COLUMNS = 512, 1000


@dataclass(frozen=True, slots=True)
class Kernel:
    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arrays: Callable[[np.random.Generator], list[NDArray[np.generic]]]
    """Inputs, then the output last."""
    scalars: tuple[int, ...]
    target: float
    """Least fraction of the micro-benchmark on one thread."""


def _floats(rng: np.random.Generator) -> list[NDArray[np.generic]]:
    return [*rng.standard_normal((2, SIZE, SIZE)).astype(np.float32), np.zeros((SIZE, SIZE), np.float32)]


def _rows(rng: np.random.Generator) -> list[NDArray[np.generic]]:
    x = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    return [x, np.zeros_like(x)]


def _bf16(rng: np.random.Generator) -> list[NDArray[np.generic]]:
    bits = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32).view(np.uint32) >> 16
    return [*bits.astype(np.uint16), np.zeros((SIZE, SIZE), np.float32)]


GEMM = (SIZE, SIZE, SIZE)
SUITE = (
    Kernel("gemm_naive", (SIZE // 32, SIZE // 8, 1), (32, 8, 1), _floats, GEMM, 0.8),
    Kernel("softmax", (ROWS, 1, 1), (128, 1, 1), _rows, (COLUMNS,), 0.4),
    Kernel("gemm_tiled", (SIZE // 16, SIZE // 16, 1), (16, 16, 1), _floats, GEMM, 0.2),
    Kernel("gemm_mma_bf16", (SIZE // 64, SIZE // 64, 1), (128, 1, 1), _bf16, GEMM, 0.06),
)
MICRO_ROUNDS = 20_000


def compile_cuda(path: Path) -> str:
    """PTX of a CUDA file.

    Raises:
        RuntimeError: NVRTC refused it.
    """
    from cuda.bindings import nvrtc

    _, program = nvrtc.nvrtcCreateProgram(path.read_bytes(), path.name.encode(), 0, [], [])
    options = [b"-arch=compute_80", *(f"-I{folder}".encode() for folder in find_toolchain().include)]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    if error:
        raise RuntimeError(f"NVRTC refused {path}: {error}")
    _, size = nvrtc.nvrtcGetPTXSize(program)
    ptx = bytearray(size)
    nvrtc.nvrtcGetPTX(program, ptx)
    return ptx.decode().rstrip("\0")


def rate(loaded: LoadedModule, spec: LaunchSpec, memory: Memory, options: Options, repeat: int) -> float:
    """Thread instructions per second, the best of `repeat` launches."""
    name = loaded.module.entries[0].name
    best = 0.0
    for _ in range(repeat):
        start = time.perf_counter()
        result = launch(loaded, name, spec, memory, options)
        elapsed = time.perf_counter() - start
        if result.fault is not None:
            raise RuntimeError(result.fault.message)
        best = max(best, result.thread_instructions / elapsed)
    return best


def micro_benchmark(repeat: int) -> float:
    loaded = load(parse_module((KERNELS / "fma_chain.ptx").read_text()))
    memory = Memory()
    out = memory.allocate("out", np.zeros(128, np.uint8), writable=True, initialised=False)
    spec = LaunchSpec((1, 1, 1), (32, 1, 1), 0, struct.pack("<Qi4x", out, MICRO_ROUNDS))
    return rate(loaded, spec, memory, Options(checks=False, counters=False), repeat)


def measure(kernel: Kernel, repeat: int) -> dict[str, float]:
    loaded = load(parse_module(compile_cuda(KERNELS / f"{kernel.name}.cu")))
    memory = Memory()
    arrays = kernel.arrays(np.random.default_rng(0))
    addresses = [
        memory.allocate(
            f"tensor {i}",
            array.reshape(-1).view(np.uint8),
            writable=i == len(arrays) - 1,
            initialised=i < len(arrays) - 1,
        )
        for i, array in enumerate(arrays)
    ]
    params = struct.pack(f"<{len(addresses)}Q{len(kernel.scalars)}i8x", *addresses, *kernel.scalars)
    spec = LaunchSpec(kernel.grid, kernel.block, 0, params)
    # Before and after, the better one: a busy neighbour must not flatter the kernel.
    before = micro_benchmark(repeat)
    plain = Options(checks=False, counters=False)
    one = rate(loaded, spec, memory, plain, repeat)
    micro = max(before, micro_benchmark(repeat))
    two = rate(loaded, spec, memory, replace(plain, threads=2), repeat)
    counted = rate(loaded, spec, memory, Options(checks=False), repeat)
    checked = rate(loaded, spec, memory, Options(counters=False), max(1, repeat // 4))
    return {
        "one_thread": one,
        "two_threads": two,
        "fraction": one / micro,
        "target": kernel.target,
        "fraction_with_counters": counted / micro,
        "checks_slowdown": one / checked,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=12, help="launches of each kernel; the best one counts")
    repeat = parser.parse_args().repeat
    report = {
        "unit": "thread instructions per second",
        "isa": isa_names()[0],
        "micro_benchmark": micro_benchmark(repeat),
        "kernels": {kernel.name: measure(kernel, repeat) for kernel in SUITE},
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
