"""Both executors run compiled kernels alike: outputs bit for bit, counts of blocks and guards, printed text."""

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from warpsmith.sandbox.compile.toolchain import find_toolchain
from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.machine import LaunchResult, LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.program import Module
from warpsmith.sandbox.emulator.ptx import parse_module

SOURCE = Path(__file__).with_name("conformance.cu")
WORDS = 512
ARCH = {"sm_80": "compute_80", "sm_90a": "compute_90a"}

LAUNCHES: dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
    "integer_mix": ((2, 1, 1), (96, 1, 1)),
    "float_mix": ((2, 1, 1), (48, 1, 1)),
    "half_mix": ((2, 1, 1), (64, 1, 1)),
    "block_scan": ((2, 1, 1), (128, 1, 1)),
    "diverging": ((1, 1, 1), (64, 1, 1)),
    "histogram": ((2, 1, 1), (64, 1, 1)),
    "tiled": ((1, 1, 1), (8, 8, 1)),
    "wmma_product": ((1, 1, 1), (32, 1, 1)),
    "mma_product": ((1, 1, 1), (32, 1, 1)),
    "integer_mma": ((1, 1, 1), (32, 1, 1)),
    "pipelined": ((1, 1, 1), (32, 1, 1)),
    "printing": ((1, 1, 1), (32, 1, 1)),
}


def compiled(arch: str) -> Module:
    from cuda.bindings import nvrtc

    error, program = nvrtc.nvrtcCreateProgram(SOURCE.read_bytes(), b"conformance.cu", 0, [], [])
    options = [f"-arch={ARCH[arch]}".encode(), b"-default-device"]
    options += [f"-I{path}".encode() for path in find_toolchain().include]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert error == 0, log.decode()
    _, size = nvrtc.nvrtcGetPTXSize(program)
    ptx = bytearray(size)
    nvrtc.nvrtcGetPTX(program, ptx)
    return parse_module(ptx.decode().rstrip("\0"))


@pytest.fixture(scope="module", params=sorted(ARCH))
def module(request: pytest.FixtureRequest) -> Module:
    return compiled(request.param)


def run(launch: Callable[..., LaunchResult], module: Module, name: str) -> tuple[LaunchResult, np.ndarray]:
    grid, block = LAUNCHES[name]
    source = np.random.default_rng(7).integers(0, 1 << 32, WORDS, np.uint32)
    out = np.zeros(WORDS, np.uint32)
    memory = Memory()
    params = struct.pack(
        "<QQi4x",
        memory.allocate("x", source.view(np.uint8), writable=False, initialised=True),
        memory.allocate("y", out.view(np.uint8), writable=True, initialised=False),
        90,
    )
    spec = LaunchSpec(grid, block, 0, params[: module.entry(name).param_bytes])
    result = launch(module, name, spec, memory, Options())
    return result, out


def traffic(result: LaunchResult, module: Module, name: str) -> dict[int, tuple[int, int]]:
    """Requests and lanes of each load, store and atomic that ran."""
    opcodes = [instr.opcode for instr in module.entry(name).instructions]
    return {
        i: (site.requests, site.lanes)
        for i, site in result.sites.items()
        if opcodes[i] in ("ld", "st", "atom", "red") and site.requests
    }


@pytest.mark.parametrize("name", sorted(LAUNCHES))
def test_both_executors_run_a_compiled_kernel_alike(name: str, module: Module, isa: str | None) -> None:
    slow, expected = run(execute.launch, module, name)
    fast, got = run(partial(vm.launch, isa=isa), module, name)
    assert (slow.fault, fast.fault) == (None, None)
    if name == "float_mix":
        # A libm's last bit may differ from the definition's in an approximate function.
        np.testing.assert_allclose(got.view(np.float32), expected.view(np.float32), rtol=1e-5)
    else:
        np.testing.assert_array_equal(expected, got)
    assert expected.any()
    np.testing.assert_array_equal(slow.block_warps, fast.block_warps)
    np.testing.assert_array_equal(slow.block_threads, fast.block_threads)
    np.testing.assert_array_equal(slow.guarded_warps, fast.guarded_warps)
    assert (slow.warp_instructions, slow.thread_instructions, slow.printed) == (
        fast.warp_instructions,
        fast.thread_instructions,
        fast.printed,
    )
    assert traffic(slow, module, name) == traffic(fast, module, name)
