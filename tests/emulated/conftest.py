"""Runs CUDA or PTX text on the VM."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from warpsmith.core.counters import LaunchCounters
from warpsmith.sandbox.counting.launch import count_launch
from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.launch import LoadedModule, launch, load
from warpsmith.sandbox.emulator.machine import L2, Fault, LaunchResult, LaunchSpec, Memory, Options, SiteCounters
from warpsmith.sandbox.emulator.ptx import parse_module

from .emulating import BODY, HEAD, PTX, REVERSE
from .executor import Executor


@pytest.fixture(scope="module")
def nothing_ships(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels that come with warpsmith take no part in what the module's tests load and certify."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warpsmith.kernels_generated.places.SHIPPED", tmp_path_factory.mktemp("nothing"))
        yield


@dataclass(frozen=True)
class Buffer:
    """A tensor of a launch."""

    data: np.ndarray
    writable: bool = False
    initialised: bool = True


def out(data: np.ndarray) -> Buffer:
    """A tensor that the kernel writes and nobody has written before."""
    return Buffer(data, writable=True, initialised=False)


def inout(data: np.ndarray) -> Buffer:
    return Buffer(data, writable=True)


def three(shape: int | Sequence[int]) -> tuple[int, int, int]:
    sizes = [shape] if isinstance(shape, int) else list(shape)
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


@dataclass
class Tried:
    """Kernels whose tests say that they end well, under further schedules."""

    schedules: int
    runs: dict[str, int] = field(default_factory=dict)
    alarms: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kernel: str, fault: Fault | None) -> None:
        self.runs[kernel] = self.runs.get(kernel, 0) + 1
        if fault is not None:
            self.alarms.setdefault(kernel, []).append(fault.message)

    def lines(self) -> str:
        rows = (
            {"kernel": name, "target": "sm_80", "runs": count, "alarms": self.alarms.get(name, [])}
            for name, count in self.runs.items()
        )
        return "".join(f"{json.dumps(row)}\n" for row in rows)


@dataclass(frozen=True)
class Kernel:
    """An entry ready to run."""

    loaded: LoadedModule
    name: str
    isa: str | None = None
    """The machine it runs on unless a run names another; None is the processor's best."""
    tried: Tried | None = None
    """What becomes of it under more schedules, where those are asked for."""

    def run(
        self,
        grid: int | Sequence[int],
        block: int | Sequence[int],
        *arguments: Buffer | float,
        shared: int = 0,
        cooperative: bool = False,
        skew: int = 0,
        isa: str | None = None,
        blocks: tuple[int, ...] | None = None,
        **options: Any,
    ) -> LaunchResult:
        """Run once; where it ends well and more schedules are asked for, under each of those on the same inputs."""
        before = [replace(a, data=a.data.copy()) if isinstance(a, Buffer) else a for a in arguments]
        spec = LaunchSpec(three(grid), three(block), shared, b"", blocks, cooperative)
        result = self._run(spec, arguments, skew, isa, options)
        if self.tried is not None and result.fault is None and options.get("checks", True):
            for seed in range(1, self.tried.schedules + 1):
                again = [replace(a, data=a.data.copy()) if isinstance(a, Buffer) else a for a in before]
                found = self._run(spec, again, 16 * (seed % 2), isa, options | {"seed": seed})
                self.tried.add(self.name, found.fault)
        return result

    def _run(
        self,
        spec: LaunchSpec,
        arguments: Sequence[Buffer | float],
        skew: int,
        isa: str | None,
        options: dict[str, Any],
    ) -> LaunchResult:
        entry = self.loaded.module.entry(self.name)
        memory = Memory(skew=skew)
        params = bytearray(entry.param_bytes)
        for param, argument in zip(entry.params, arguments, strict=True):
            if isinstance(argument, Buffer):
                address = memory.allocate(
                    param.name,
                    argument.data.reshape(-1).view(np.uint8),
                    writable=argument.writable,
                    initialised=argument.initialised,
                )
                struct.pack_into("<Q", params, param.offset, address)
            elif isinstance(argument, float):
                struct.pack_into("<f", params, param.offset, argument)
            else:
                struct.pack_into("<i", params, param.offset, argument)
        filled = replace(spec, params=bytes(params))
        return launch(self.loaded, self.name, filled, memory, Options(**options), isa=isa or self.isa)

    def site(self, result: LaunchResult, text: str, nth: int = 0) -> SiteCounters:
        """Counters of the nth instruction whose text begins so."""
        instructions = self.loaded.module.entry(self.name).instructions
        found = [i for i, instr in enumerate(instructions) if instr.text.startswith(text)]
        return result.sites[found[nth]]


@cache
def compiled(source: str) -> LoadedModule:
    from cuda.bindings import nvrtc

    from warpsmith.sandbox.compile.toolchain import find_toolchain

    _, program = nvrtc.nvrtcCreateProgram(source.encode(), b"candidate", 0, [], [])
    options = [
        b"-arch=compute_80",
        b"-lineinfo",
        b"--device-int128",
        *(f"-I{folder}".encode() for folder in find_toolchain().include),
    ]
    (error,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = bytearray(size)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert error == 0, log.decode()
    _, size = nvrtc.nvrtcGetPTXSize(program)
    ptx = bytearray(size)
    nvrtc.nvrtcGetPTX(program, ptx)
    return load(parse_module(ptx.decode().rstrip("\0")))


@cache
def parsed(body: str) -> LoadedModule:
    text = f".version 8.0\n.target sm_80\n.address_size 64\n{body}"
    return load(parse_module(text))


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Iterator[Tried | None]:
    """Further schedules of honest kernels, where `--schedules` asks for them; an alarm fails the session."""
    schedules = request.config.getoption("--schedules")
    found = Tried(schedules) if schedules else None
    yield found
    if found is not None:
        if report := request.config.getoption("--alarms"):
            Path(report).write_text(found.lines(), encoding="utf-8")
        else:
            assert {} == found.alarms


@pytest.fixture(scope="session")
def cuda(isa: str | None, tried: Tried | None) -> Callable[..., Kernel]:
    """`cuda(source, name)`: a kernel compiled by NVRTC; the name may be left out where there is one."""

    def make(source: str, name: str = "") -> Kernel:
        loaded = compiled(source)
        return Kernel(loaded, name or loaded.module.entries[0].name, isa, tried)

    return make


@pytest.fixture(scope="session")
def ptx(isa: str | None, tried: Tried | None) -> Callable[[str], Kernel]:
    """`ptx(body)`: the first entry of PTX text without its header."""

    def make(body: str) -> Kernel:
        loaded = parsed(body)
        return Kernel(loaded, loaded.module.entries[0].name, isa, tried)

    return make


@pytest.fixture(scope="session")
def count(cuda: Callable[..., Kernel], ptx: Callable[[str], Kernel]) -> Callable[..., LaunchCounters]:
    """`count(source, grid, block, *arguments)`: counters of CUDA C++ or, where it begins with a dot, of PTX.

    L2 is larger than anything that tests ask of it, unless `l2` is given.
    """

    def run(
        source: str, grid: int | Sequence[int], block: int | Sequence[int], *arguments: Buffer | float, **options: Any
    ) -> LaunchCounters:
        kernel = ptx(source) if source.startswith(".") else cuda(source)
        result = kernel.run(grid, block, *arguments, **{"l2": L2(1 << 20), **options})
        assert result.fault is None, result.fault
        entry = kernel.loaded.module.entry(kernel.name)
        spec = LaunchSpec(three(grid), three(block), options.get("shared", 0), b"", options.get("blocks"))
        return count_launch("k", entry, spec, result, 1 << 30)

    return run


@pytest.fixture(scope="session")
def buffer() -> Callable[..., Buffer]:
    return Buffer


@pytest.fixture(scope="session")
def fresh() -> Callable[[np.ndarray], Buffer]:
    """`fresh(array)`: an output that nobody has written."""
    return out


@pytest.fixture(scope="session")
def written() -> Callable[[np.ndarray], Buffer]:
    """`written(array)`: an output that holds values already."""
    return inout


@pytest.fixture(params=["readable", "vm"])
def on(request: pytest.FixtureRequest, isa: str | None) -> Executor:
    return Executor(execute.launch if request.param == "readable" else partial(vm.launch, isa=isa))


@pytest.fixture
def readable() -> Executor:
    return Executor(execute.launch)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "scaled_sum.cu"
    path.write_text(HEAD + BODY)
    return path


@pytest.fixture
def reverse(tmp_path: Path) -> Path:
    path = tmp_path / "reverse.cu"
    path.write_text(REVERSE)
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "copy.ptx"
    path.write_text(PTX)
    return path
