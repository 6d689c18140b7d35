"""A driver that runs kernels on the emulator: it records calls and refuses what the real one refuses.

Rules are those of the CUDA Driver API's reference (module `cuda.bindings.driver` quotes it): each method names the
call it stands for, each refusal its result. A kernel's faults come to light at the next look at the stream and stay
("the context cannot be used, and must be destroyed").
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import numpy as np

from warpsmith.core.arch import find_architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.digest import digest_bytes
from warpsmith.profiler.occupancy import ResourceExceeded, occupancy
from warpsmith.sandbox.compile import CompileCache
from warpsmith.sandbox.device.driver import Bytes, DriverFailure, FunctionFact, KernelLaunch
from warpsmith.sandbox.device.messages import DeviceInfo
from warpsmith.sandbox.device.session import PLAIN_SHARED
from warpsmith.sandbox.emulated import load_ptx
from warpsmith.sandbox.emulator.launch import LoadedModule, launch
from warpsmith.sandbox.emulator.machine import FaultKind, LaunchSpec, Options
from warpsmith.sandbox.emulator.program import Entry

from .fake_memory import PAGE, Addresses, require

REGISTERS = 32
"""Of every kernel: the emulator knows nothing of machine code."""
MOST_GRID, MOST_BLOCK, MOST_THREADS = (2**31 - 1, 65535, 65535), (1024, 1024, 64), 1024
RESULTS = {
    FaultKind.OUT_OF_BOUNDS: "ILLEGAL_ADDRESS",
    FaultKind.READ_ONLY: "ILLEGAL_ADDRESS",
    FaultKind.MISALIGNED: "MISALIGNED_ADDRESS",
    FaultKind.TRAP: "LAUNCH_FAILED",
}
"""What a GPU says to a kernel's fault. What is not here it does not see, or never gets out of."""


def device_info(ordinal: int = 0, **changes: object) -> DeviceInfo:
    """A device such as an H200; its UUID is made from the ordinal."""
    arch = find_architecture("h200")
    facts = {
        "ordinal": ordinal,
        "uuid": f"GPU-00000000-0000-0000-0000-{ordinal:012x}",
        "name": "NVIDIA H200 (imagined)",
        "capability": (9, 0),
        "sms": arch.sms,
        "memory_bytes": 1 << 30,
        "l2_bytes": arch.l2_bytes,
        "clock_khz": 1_980_000,
        "shared_per_block": arch.shared_per_block,
        "cooperative": True,
        "virtual_memory": True,
        "pageable_memory": False,
        "watchdog": False,
    }
    return DeviceInfo.model_validate(facts | changes)


@dataclass
class Function:
    module: int
    loaded: LoadedModule
    entry: Entry
    shared: int
    """Dynamic shared memory it may have."""


@dataclass
class FakeDriver:
    """`pairs` holds the PTX a cubin was made from, as `<digest of the cubin>.ptx`; or it is a compile cache."""

    pairs: Path
    infos: tuple[DeviceInfo, ...] = (device_info(),)
    calls: list[str] = field(default_factory=list)
    budget: int = 1 << 22
    """Warp instructions after which a kernel counts as endless."""
    cuda_version: int = 13000
    faulty: bool = False
    """A device that gets the last bit of every mapped 4 KiB wrong, once a kernel has written there."""

    def __post_init__(self) -> None:
        self.device: DeviceInfo | None = None
        self.memory_: Addresses | None = None
        self.modules: dict[int, LoadedModule] = {}
        self.functions: dict[int, Function] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.capturing: dict[int, list[Callable[[], None]]] = {}
        self.events: dict[int, float] = {}
        self.streams: set[int] = set()
        self.next = 0x1000
        self.pending = self.spent = ""
        self.endless = False

    def version(self) -> int:
        return self.cuda_version

    def devices(self) -> tuple[DeviceInfo, ...]:
        return self.infos

    def open(self, ordinal: int) -> None:
        require(0 <= ordinal < len(self.infos), "cuDeviceGet", "INVALID_DEVICE")
        self.device = self.infos[ordinal]
        self.memory_ = Addresses(self.device.memory_bytes)

    def load_module(self, cubin: bytes) -> int:
        self._called("cuModuleLoadData")
        ptx = self._ptx_of(cubin) if cubin[:4] == b"\x7fELF" else ""
        require(bool(ptx), "cuModuleLoadData", "INVALID_IMAGE")
        loaded = load_ptx(ptx)
        built = int("".join(filter(str.isdigit, loaded.module.target)))
        major, minor = divmod(built, 10)
        own = self.device.capability
        # Code runs on its own major capability, at its minor one or a later one; that of `sm_90a` on 9.0 alone.
        fits = (major, minor) == own if loaded.module.target.endswith("a") else major == own[0] and minor <= own[1]
        require(fits, "cuModuleLoadData", "NO_BINARY_FOR_GPU")
        return self._keep(self.modules, loaded)

    def _ptx_of(self, cubin: bytes) -> str:
        """From a pair, or from the compile cache, where artifacts hold both."""
        pair = self.pairs / f"{digest_bytes(cubin)}.ptx"
        if pair.is_file():
            return pair.read_text()
        cache = CompileCache(self.pairs)
        kept = (cache.get(path.parent.name + path.stem) for path in self.pairs.glob("*/*.json"))
        return next((item.ptx for item in kept if item is not None and item.cubin == cubin), "")

    def function(self, module: int, name: str) -> int:
        self._called("cuModuleGetFunction")
        require(module in self.modules, "cuModuleGetFunction", "INVALID_HANDLE")
        loaded = self.modules[module]
        found = [entry for entry in loaded.module.entries if entry.name == name]
        require(bool(found), "cuModuleGetFunction", "NOT_FOUND")
        room = PLAIN_SHARED - found[0].shared_bytes
        return self._keep(self.functions, Function(module, loaded, found[0], room))

    def param_layout(self, function: int) -> tuple[tuple[int, int], ...]:
        return tuple((param.offset, param.size) for param in self._function(function).entry.params)

    def fact(self, function: int, fact: FunctionFact) -> int:
        entry = self._function(function).entry
        return {
            FunctionFact.MAX_THREADS: entry.max_threads or MOST_THREADS,
            FunctionFact.STATIC_SHARED: entry.shared_bytes,
            FunctionFact.LOCAL: entry.local_bytes,
            FunctionFact.REGISTERS: REGISTERS,
        }[fact]

    def allow_shared(self, function: int, nbytes: int) -> None:
        self._called("cuFuncSetAttribute")
        found = self._function(function)
        require(found.entry.shared_bytes + nbytes <= self.device.shared_per_block, "cuFuncSetAttribute")
        found.shared = nbytes

    def resident_blocks(self, function: int, threads: int, shared: int) -> int:
        entry = self._function(function).entry
        resources = Resources(registers=REGISTERS, static_shared=entry.shared_bytes)
        fits = occupancy(resources, shared, threads, find_architecture("h200"))
        return 0 if isinstance(fits, ResourceExceeded) else fits.blocks_per_sm

    def granularity(self) -> int:
        return PAGE

    def reserve(self, nbytes: int) -> int:
        return self._memory("cuMemAddressReserve").reserve(nbytes)

    def unreserve(self, address: int, nbytes: int) -> None:
        self._memory("cuMemAddressFree").unreserve(address, nbytes)

    def create(self, nbytes: int) -> int:
        return self._memory("cuMemCreate").create(nbytes)

    def release(self, handle: int) -> None:
        self._memory("cuMemRelease").release(handle)

    def map(self, address: int, nbytes: int, handle: int) -> None:
        require(self.device.virtual_memory, "cuMemMap", "NOT_SUPPORTED")
        self._memory("cuMemMap").map(address, nbytes, handle)

    def unmap(self, address: int, nbytes: int) -> None:
        self._memory("cuMemUnmap").unmap(address, nbytes)

    def allocate(self, nbytes: int) -> int:
        return self._memory("cuMemAlloc").allocate(nbytes)

    def free(self, address: int) -> None:
        self._memory("cuMemFree").free(address)

    def memory(self) -> tuple[int, int]:
        memory = self._memory("cuMemGetInfo")
        return memory.total - memory.used, memory.total

    def upload(self, address: int, data: Bytes, stream: int) -> None:
        self._not_captured(stream, "cuMemcpyHtoDAsync")
        self._memory("cuMemcpyHtoDAsync").bytes_at(address, data.size, "cuMemcpyHtoDAsync")[:] = data

    def download(self, data: Bytes, address: int, stream: int) -> None:
        self._not_captured(stream, "cuMemcpyDtoHAsync")
        data[:] = self._memory("cuMemcpyDtoHAsync").bytes_at(address, data.size, "cuMemcpyDtoHAsync")

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        memory, call = self._memory("cuMemcpyDtoDAsync"), "cuMemcpyDtoDAsync"
        to, since = memory.bytes_at(target, nbytes, call), memory.bytes_at(source, nbytes, call)
        self._enqueue(stream, lambda: np.copyto(to, since))

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        require(0 <= value <= 255, "cuMemsetD8Async")
        data = self._memory("cuMemsetD8Async").bytes_at(address, nbytes, "cuMemsetD8Async")
        self._enqueue(stream, lambda: data.fill(value))

    def new_stream(self) -> int:
        self._called("cuStreamCreate")
        self.next += 1
        self.streams.add(self.next)
        return self.next

    def done(self, stream: int) -> bool:
        self._not_captured(stream, "cuStreamQuery")
        if self.pending:
            self.spent, self.pending = self.pending, ""
            self._called("cuStreamQuery")
        return not self.endless

    def begin_capture(self, stream: int) -> None:
        self._called("cuStreamBeginCapture")
        require(stream in self.streams and stream not in self.capturing, "cuStreamBeginCapture", "ILLEGAL_STATE")
        self.capturing[stream] = []

    def end_capture(self, stream: int) -> int:
        self._called("cuStreamEndCapture")
        require(stream in self.capturing, "cuStreamEndCapture", "ILLEGAL_STATE")
        return self._keep(self.graphs, self.capturing.pop(stream))

    def launch_graph(self, graph: int, stream: int) -> None:
        self._called("cuGraphLaunch")
        require(graph in self.graphs, "cuGraphLaunch", "INVALID_VALUE")
        for work in self.graphs[graph]:
            self._enqueue(stream, work)

    def destroy_graph(self, graph: int) -> None:
        self._called("cuGraphExecDestroy")
        require(graph in self.graphs, "cuGraphExecDestroy", "INVALID_VALUE")
        del self.graphs[graph]

    def launch(self, launch: KernelLaunch, stream: int) -> None:
        call = "cuLaunchKernelEx"
        self._called(call)
        require(stream in self.streams, call, "INVALID_HANDLE")
        function = self._function(launch.function)
        entry, threads = function.entry, prod(launch.block)
        require(all(1 <= it <= most for it, most in zip(launch.grid, MOST_GRID, strict=True)), call)
        require(all(1 <= it <= most for it, most in zip(launch.block, MOST_BLOCK, strict=True)), call)
        require(threads <= MOST_THREADS, call)
        require(threads <= (entry.max_threads or MOST_THREADS), call, "LAUNCH_OUT_OF_RESOURCES")
        require(launch.shared <= function.shared, call)
        # The driver reads as many bytes as the kernel declares; a fake can tell.
        require([len(it) for it in launch.params] == [param.size for param in entry.params], call)
        if launch.cooperative:
            room = self.resident_blocks(launch.function, threads, launch.shared) * self.device.sms
            require(self.device.cooperative and prod(launch.grid) <= room, call, "COOPERATIVE_LAUNCH_TOO_LARGE")
        params = bytearray(max(entry.param_bytes, 1))
        for param, value in zip(entry.params, launch.params, strict=True):
            params[param.offset : param.offset + param.size] = value
        spec = LaunchSpec(launch.grid, launch.block, launch.shared, bytes(params))
        self._enqueue(stream, lambda: self._run(launch.function, spec))

    def new_event(self) -> int:
        self._called("cuEventCreate")
        return self._keep(self.events, 0.0)

    def record(self, event: int, stream: int) -> None:
        self._called("cuEventRecord")
        require(event in self.events, "cuEventRecord", "INVALID_HANDLE")
        self._enqueue(stream, lambda: self.events.__setitem__(event, time.perf_counter()))

    def elapsed_us(self, start: int, end: int) -> float:
        self._called("cuEventElapsedTime")
        require(bool(self.events.get(start)) and bool(self.events.get(end)), "cuEventElapsedTime", "INVALID_HANDLE")
        return (self.events[end] - self.events[start]) * 1e6

    def destroy_event(self, event: int) -> None:
        self._called("cuEventDestroy")
        require(event in self.events, "cuEventDestroy", "INVALID_HANDLE")
        del self.events[event]

    def reset_persisting_l2(self) -> None:
        self._called("cuCtxResetPersistingL2Cache")

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if self.spent:
            raise DriverFailure(call, self.spent)
        require(self.device is not None, call, "INVALID_CONTEXT")

    def _memory(self, call: str) -> Addresses:
        self._called(call)
        return self.memory_

    def _function(self, function: int) -> Function:
        require(function in self.functions, "cuFuncGetAttribute", "INVALID_HANDLE")
        return self.functions[function]

    def _keep(self, table: dict, value: object) -> int:
        self.next += 1
        table[self.next] = value
        return self.next

    def _not_captured(self, stream: int, call: str) -> None:
        self._called(call)
        require(stream in self.streams, call, "INVALID_HANDLE")
        require(stream not in self.capturing, call, "STREAM_CAPTURE_UNSUPPORTED")

    def _enqueue(self, stream: int, work: Callable[[], None]) -> None:
        require(stream in self.streams, "cuLaunchKernelEx", "INVALID_HANDLE")
        if stream in self.capturing:
            self.capturing[stream].append(work)
        elif not self.pending and not self.endless:
            work()

    def _run(self, handle: int, spec: LaunchSpec) -> None:
        function = self._function(handle)
        resident = self.resident_blocks(handle, prod(spec.block), spec.dynamic_shared) * self.device.sms
        options = Options(
            checks=False, counters=False, budget=self.budget, sms=self.device.sms, resident=max(resident, 1)
        )
        memory = self.memory_.emulated()
        before = [item.data.copy() for item in memory.allocations] if self.faulty else []
        fault = launch(function.loaded, function.entry.name, spec, memory, options).fault
        for item, old in zip(memory.allocations, before, strict=False):
            item.data[4095::4096] ^= (item.data != old)[4095::4096]
        if fault is None:
            return
        result = RESULTS.get(fault.kind, "")
        if result:
            self.pending = f"CUDA_ERROR_{result}"
        else:
            self.endless = True
