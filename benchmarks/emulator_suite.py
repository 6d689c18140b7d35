"""The kernels that the emulator's speed is measured on."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.compile.toolchain import find_toolchain
from warpsmith.sandbox.emulator.launch import LoadedModule, load
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory
from warpsmith.sandbox.emulator.ptx import parse_module

OWN = Path(__file__).with_name("kernels")
TESTS = Path(__file__).parents[1] / "tests" / "emulated" / "kernels"

SIZE = 256
ROWS, COLUMNS = 512, 1000
ELEMENTS = 1 << 20


@dataclass(frozen=True, slots=True)
class Buffer:
    """A pointer argument."""

    data: NDArray[np.generic]
    writable: bool = False
    initialised: bool = True


Argument = Buffer | int | float


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch."""

    path: Path
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: Callable[[np.random.Generator], list[Argument]]
    goal: float | None = None
    """Thread instructions per second wanted of one thread with AVX-512; None where none is set."""
    compute_bound: bool = True
    shared: int = 0

    @property
    def name(self) -> str:
        return self.path.stem

    def prepare(self) -> Prepared:
        """Compile it and lay out its memory."""
        loaded = load(parse_module(compile_cuda(self.path)))
        entry, memory = loaded.module.entries[0], Memory()
        params = bytearray(entry.param_bytes)
        for param, argument in zip(entry.params, self.arguments(np.random.default_rng(0)), strict=True):
            code, value = ("<f", argument) if isinstance(argument, float) else ("<i", argument)
            if isinstance(argument, Buffer):
                code, value = "<Q", _mapped(memory, param.name, argument)
            struct.pack_into(code, params, param.offset, value)
        return Prepared(loaded, entry.name, LaunchSpec(self.grid, self.block, self.shared, bytes(params)), memory)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A kernel ready to launch, again and again."""

    loaded: LoadedModule
    entry: str
    spec: LaunchSpec
    memory: Memory


def _mapped(memory: Memory, name: str, buffer: Buffer) -> int:
    data = buffer.data.reshape(-1).view(np.uint8)
    return memory.allocate(name, data, writable=buffer.writable, initialised=buffer.initialised)


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


def output(shape: int | tuple[int, ...], dtype: type[np.generic] = np.float32) -> Buffer:
    """Memory that nobody has written."""
    return Buffer(np.zeros(shape, dtype), writable=True, initialised=False)


def _bf16(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _floats(rng: np.random.Generator) -> list[Argument]:
    a, b = rng.standard_normal((2, SIZE, SIZE)).astype(np.float32)
    return [Buffer(a), Buffer(b), output((SIZE, SIZE)), SIZE, SIZE, SIZE]


def _square(rng: np.random.Generator) -> list[Argument]:
    return _floats(rng)[:-1]


def _halves(rng: np.random.Generator) -> list[Argument]:
    a, b = rng.standard_normal((2, SIZE, SIZE)).astype(np.float16)
    return [Buffer(a), Buffer(b), output((SIZE, SIZE)), SIZE, SIZE, SIZE]


def _brain_floats(rng: np.random.Generator) -> list[Argument]:
    a, b = (_bf16(rng.standard_normal((SIZE, SIZE))) for _ in range(2))
    return [Buffer(a), Buffer(b), output((SIZE, SIZE)), SIZE, SIZE, SIZE]


def _rows(rng: np.random.Generator) -> list[Argument]:
    return [Buffer(rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)), output((ROWS, COLUMNS)), COLUMNS]


def _sum(rng: np.random.Generator) -> list[Argument]:
    x = rng.integers(-9, 9, ELEMENTS).astype(np.float32)
    return [Buffer(x), Buffer(np.zeros(1, np.float32), writable=True), ELEMENTS]


def _attention(rng: np.random.Generator) -> list[Argument]:
    heads, length, size = 4, 256, 64
    blocks = length // 64
    q, k, v = (Buffer(_bf16(rng.standard_normal((heads, length, size)))) for _ in range(3))
    starts = np.cumsum([0, *range(1, blocks + 1)]).astype(np.int32)
    columns = np.concatenate([np.arange(row + 1) for row in range(blocks)]).astype(np.int32)
    return [q, k, v, output((heads, length, size), np.uint16), Buffer(starts), Buffer(columns), length, 0.125]


SUITE = (
    Kernel(OWN / "gemm_naive.cu", (SIZE // 32, SIZE // 8, 1), (32, 8, 1), _floats, 8e9),
    Kernel(OWN / "softmax.cu", (ROWS, 1, 1), (128, 1, 1), _rows, 5e9, compute_bound=False),
    Kernel(OWN / "gemm_tiled.cu", (SIZE // 16, SIZE // 16, 1), (16, 16, 1), _floats, 2.5e9),
    Kernel(OWN / "gemm_mma_bf16.cu", (SIZE // 64, SIZE // 64, 1), (128, 1, 1), _brain_floats, 1e9),
    Kernel(TESTS / "gemm_register_tiled.cu", (SIZE // 64, SIZE // 64, 1), (256, 1, 1), _square, shared=8192),
    Kernel(TESTS / "wmma_gemm.cu", (SIZE * SIZE // 256 // 4, 1, 1), (128, 1, 1), _halves),
    Kernel(TESTS / "reduce_sum.cu", (64, 1, 1), (256, 1, 1), _sum, compute_bound=False),
    Kernel(TESTS / "block_sparse_attention.cu", (4, 4, 1), (64, 1, 1), _attention),
)
