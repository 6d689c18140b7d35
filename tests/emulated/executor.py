"""Runs small PTX programs of two buffers on either executor."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from warpsmith.sandbox.emulator.machine import Fault, LaunchResult, LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.program import Module
from warpsmith.sandbox.emulator.ptx import parse_module

REGISTERS = ".reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<32>; .reg .f32 %f<16>; .reg .b64 %rd<16>;"
# %rd0 and %rd1 are the two buffers, %r0 the thread, %rd2 and %rd3 its word in each.
PROLOGUE = """
    ld.param.u64 %rd0, [k_0]; ld.param.u64 %rd1, [k_1];
    cvta.to.global.u64 %rd0, %rd0; cvta.to.global.u64 %rd1, %rd1;
    mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd2, %r0, 4; add.s64 %rd3, %rd1, %rd2; add.s64 %rd2, %rd0, %rd2;
"""


class Launcher(Protocol):
    def __call__(
        self, module: Module, entry_name: str, spec: LaunchSpec, memory: Memory, options: Options
    ) -> LaunchResult: ...


@dataclass
class Executor:
    """Runs kernels of two buffers of 64 words: `source` (read-only) and `out` (uninitialised unless asked)."""

    launch: Launcher
    out: np.ndarray = field(default_factory=lambda: np.zeros(64, np.uint32))

    def run(
        self,
        body: str,
        declarations: str = "",
        *,
        source: Sequence[int] = range(64),
        zeroed: bool = False,
        threads: int = 32,
        grid: int = 1,
        shared: int = 0,
        budget: int = 1 << 20,
    ) -> LaunchResult:
        module = parse_module(
            f".version 9.0\n.target sm_90a\n.address_size 64\n{declarations}\n"
            f".visible .entry k(.param .u64 k_0, .param .u64 k_1)\n{{ {REGISTERS} {PROLOGUE} {body} }}"
        )
        memory, data = Memory(), np.array(source, np.uint32)
        params = struct.pack(
            "<QQ",
            memory.allocate("source", data.view(np.uint8), writable=False, initialised=True),
            memory.allocate("out", self.out.view(np.uint8), writable=True, initialised=zeroed),
        )
        spec = LaunchSpec((grid, 1, 1), (threads, 1, 1), shared, params)
        return self.launch(module, "k", spec, memory, Options(budget=budget))

    def outputs(self, body: str, count: int = 32, declarations: str = "", **settings: Any) -> list[int]:
        assert self.run(body, declarations, **settings).fault is None
        return [int(word) for word in self.out[:count]]

    def fault(self, body: str, declarations: str = "", **settings: Any) -> Fault:
        found = self.run(body, declarations, **settings).fault
        assert found is not None
        return found


LOAD, STORE = "ld.global.u32 %r1, [%rd2];", "st.global.u32 [%rd3], %r1;"
