"""What is fed damaged texts, and how it may answer. Anything else is a defect: another exception, a crash, a hang."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from warpsmith.core.errors import InputError, KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file import bind, inside_domain, parse_kernel_file
from warpsmith.core.task import Task
from warpsmith.sandbox.emulator.launch import LoadedModule, launch, load
from warpsmith.sandbox.emulator.machine import LaunchSpec, Memory, Options, UnsupportedInstruction
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parse_module

from .messages import message_case, receive
from .mutations import mutated, words_of
from .programs import random_program
from .running import disagreement

ROOT = Path(__file__).parents[2]
RUN_BUDGET = 1 << 13
"""Warp instructions of a damaged program: enough to enter every part of it."""
RUN_THREADS, RUN_BLOCKS, BUFFER_BYTES = 40, 2, 1 << 16


@dataclass(frozen=True)
class Target:
    case: Callable[[random.Random], str]
    """The text of a case."""
    answer: Callable[[str], str]
    """How the text was answered, in a word or two; raises nothing."""


@cache
def kernel_texts() -> tuple[str, ...]:
    folders = ("examples", "seeds", "tests/cheats/kernels", "tests/unit/kernel_files")
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".cu", ".py"))
    return tuple(text for path in paths if "/// kernel" in (text := path.read_text(encoding="utf-8")))


@cache
def kernel_words() -> tuple[str, ...]:
    return words_of(kernel_texts())


@cache
def tasks() -> dict[str, Task]:
    from warpsmith.tasks import find_tasks, load_task

    return {task.name: load_task(task.path) for task in find_tasks()}


def kernel_file_case(rng: random.Random) -> str:
    """Most of the damage goes to the head block, where the plan stands."""
    text = rng.choice(kernel_texts())
    end = text.index("/// kernel") + text[text.index("/// kernel") + 1 :].index("///") + 4
    if rng.randrange(4):
        return mutated(rng, text[:end], kernel_words()) + text[end:]
    return mutated(rng, text, kernel_words())


def read_kernel_file(text: str) -> str:
    """Parsed, and bound to small workloads where the task is a shipped one."""
    try:
        kernel = parse_kernel_file(text)
        task = tasks().get(kernel.task)
        if task is None:
            return "parsed"
        knobs = kernel.default_knobs()
        for workload in task.verify[:2]:
            if inside_domain(kernel, task, workload, knobs, sms=3):
                bind(kernel, task, workload, knobs, sms=3, resident={item.kernel: 1 for item in kernel.launches})
        return "bound"
    except InputError as refusal:
        return type(refusal).__name__


EXPRESSIONS = (
    "cdiv(N, BN) * max(M, 1)",
    "pow2ceil(2 * max(N, 1)) // (8 * SPLIT) + (K % 16 == 0)",
    "min(align(K, 128), 65535) if M <= 16 else 1",
    "M > 0 and N % 4 == 0 or not has_bias and size(x) < 16",
    "ilog2(N) - 1 + RESIDENT * SMS - i",
)


def expression_case(rng: random.Random) -> str:
    return mutated(rng, rng.choice(EXPRESSIONS), words_of(EXPRESSIONS))


def evaluate(text: str) -> str:
    names = ("M", "N", "K", "BN", "SPLIT", "SMS", "RESIDENT", "i", "has_bias")
    try:
        value = Expression.parse(text).evaluate(dict.fromkeys(names, 7), {"x": 2})
    except KernelFileError:
        return "KernelFileError"
    assert -(2**63) <= value < 2**63
    return "value"


@cache
def ptx_texts() -> tuple[str, ...]:
    """What NVRTC makes of small kernels of the tests, and random programs."""
    names = ("divergence", "moe_gemm", "reduce_sum", "wmma_gemm")
    paths = (ROOT / "tests" / "emulated" / "kernels" / f"{name}.cu" for name in names)
    compiled = tuple(compiled_text(path.read_text(encoding="utf-8")) for path in paths)
    return compiled + tuple(random_program(seed).text for seed in range(12))


def compiled_text(source: str) -> str:
    from cuda.bindings import nvrtc

    from warpsmith.sandbox.compile.toolchain import find_toolchain

    _, program = nvrtc.nvrtcCreateProgram(source.encode(), b"fuzz.cu", 0, [], [])
    options = [b"-arch=compute_80", *(f"-I{folder}".encode() for folder in find_toolchain().include)]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    assert error == 0
    _, size = nvrtc.nvrtcGetPTXSize(program)
    text = bytearray(size)
    nvrtc.nvrtcGetPTX(program, text)
    return text.decode().rstrip("\0")


@cache
def ptx_words() -> tuple[str, ...]:
    return words_of(ptx_texts())


def ptx_case(rng: random.Random) -> str:
    return mutated(rng, rng.choice(ptx_texts()), ptx_words())


def program_case(rng: random.Random) -> str:
    """Damage that mostly parses: to a random program, within its body."""
    text = rng.choice(ptx_texts()[4:])
    start = text.rindex("ld.param")
    return text[:start] + mutated(rng, text[start:], ptx_words())


def parse(text: str) -> str:
    try:
        parse_module(text)
    except PtxSyntaxError:
        return "PtxSyntaxError"
    return "module"


def run(text: str) -> str:
    """Parsed, lowered and run for a while on every entry; the first end that is not a result."""
    try:
        loaded = load(parse_module(text))
        ends = [run_entry(loaded, entry.name) for entry in loaded.module.entries]
    except PtxSyntaxError:
        return "PtxSyntaxError"
    except UnsupportedInstruction:
        return "Unsupported"
    return next((end for end in ends if end != "result"), "result")


def run_entry(loaded: LoadedModule, name: str) -> str:
    entry, memory = loaded.module.entry(name), Memory()
    params = bytearray(entry.param_bytes)
    for param in entry.params:
        if param.size == 8:
            data = np.resize(np.arange(256, dtype=np.uint8), BUFFER_BYTES)
            address = memory.allocate(param.name, data, writable=True, initialised=True)
            struct.pack_into("<Q", params, param.offset, address)
        elif param.size >= 4:
            struct.pack_into("<i", params, param.offset, 24)
    spec = LaunchSpec((RUN_BLOCKS, 1, 1), (RUN_THREADS, 1, 1), 256, bytes(params))
    result = launch(loaded, name, spec, memory, Options(budget=RUN_BUDGET, seed=len(name)))
    return f"fault: {result.fault.kind.value}" if result.fault else "result"


def agree(text: str) -> str:
    """A seed of a random program: both executors do the same."""
    found = disagreement(random_program(int(text)))
    assert not found, found
    return "agree"


TARGETS: dict[str, Target] = {
    "kernel-file": Target(kernel_file_case, read_kernel_file),
    "expression": Target(expression_case, evaluate),
    "ptx": Target(ptx_case, parse),
    "vm": Target(program_case, run),
    "wire": Target(message_case, receive),
    "programs": Target(lambda rng: str(rng.getrandbits(48)), agree),
}
