"""The worker's hold on one device: its context, stream and loaded modules."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import prod

from warpsmith.sandbox.device.driver import Driver, DriverFailure, FunctionFact, KernelLaunch
from warpsmith.sandbox.device.memory import LOOSE, GuardedMemory
from warpsmith.sandbox.device.messages import DeviceInfo, Dims

PLAIN_SHARED = 48 << 10
"""Bytes of shared memory a block may have without opting in (CUDA C++ Programming Guide, compute capabilities)."""
_POLL = 50e-6
"""Seconds between two looks at the stream, once it has been looked at for a while."""


class Endless(Exception):  # noqa: N818 - a fact about a kernel
    """Work on the stream has not ended in time."""


class LaunchRefused(Exception):  # noqa: N818 - a fact about a launch
    """The driver did not take a launch; nothing ran and the context is sound."""

    def __init__(self, result: str, message: str) -> None:
        super().__init__(message)
        self.result = result


class LayoutMismatch(Exception):  # noqa: N818 - a fact about a module
    """A cubin's parameters are not those of the PTX it should come from."""


@dataclass(slots=True)
class LoadedModule:
    """A module and its kernels by name."""

    handle: int
    functions: dict[str, int]


@dataclass(slots=True)
class Session:
    """One device in use."""

    driver: Driver
    device: DeviceInfo
    stream: int
    modules: dict[str, LoadedModule] = field(default_factory=dict)

    @classmethod
    def open(cls, driver: Driver, device: DeviceInfo) -> Session:
        """Take a device into use."""
        driver.open(device.ordinal)
        return cls(driver, device, driver.new_stream())

    def load(self, name: str, cubin: bytes, layouts: dict[str, tuple[tuple[int, int], ...]]) -> None:
        """Load a cubin once under a name, and hold its kernels' parameters against `layouts`.

        Raises:
            LayoutMismatch: they differ.
        """
        if name in self.modules:
            return
        module = LoadedModule(self.driver.load_module(cubin), {})
        for entry, layout in layouts.items():
            function = self.driver.function(module.handle, entry)
            found = self.driver.param_layout(function)
            if found != layout:
                raise LayoutMismatch(f"{entry} has parameters at {found} in the cubin, at {layout} in the PTX")
            module.functions[entry] = function
        self.modules[name] = module

    def memory(self, alignment: int = LOOSE) -> GuardedMemory:
        """An empty set of buffers."""
        return GuardedMemory(self.driver, self.stream, self.device.virtual_memory, alignment)

    def launch(self, module: str, entry: str, launch: KernelLaunch) -> None:
        """Enqueue a kernel of a loaded module, `launch.function` being filled in here.

        Raises:
            LaunchRefused: it does not fit the device, or the driver says no.
        """
        function = self.modules[module].functions[entry]
        try:
            if launch.shared + self.driver.fact(function, FunctionFact.STATIC_SHARED) > PLAIN_SHARED:
                self.driver.allow_shared(function, launch.shared)
            self.driver.launch(
                KernelLaunch(function, launch.grid, launch.block, launch.shared, launch.params, launch.cooperative),
                self.stream,
            )
        except DriverFailure as failure:
            if failure.call not in ("cuFuncSetAttribute", "cuLaunchKernelEx") or is_fatal(failure.result):
                raise
            raise LaunchRefused(failure.result, self._why(failure, function, launch)) from failure

    def _why(self, failure: DriverFailure, function: int, launch: KernelLaunch) -> str:
        facts = {fact: self.driver.fact(function, fact) for fact in FunctionFact}
        asked = (
            f"grid {_dims(launch.grid)}, block {_dims(launch.block)}, {launch.shared} bytes of dynamic shared memory"
        )
        has = (
            f"{facts[FunctionFact.REGISTERS]} registers a thread, {facts[FunctionFact.STATIC_SHARED]} bytes of static "
            f"shared memory, at most {facts[FunctionFact.MAX_THREADS]} threads a block"
        )
        if launch.cooperative:
            room = self.driver.resident_blocks(function, prod(launch.block), launch.shared) * self.device.sms
            has += f"; {room} blocks of it fit on the GPU at once, as a cooperative grid has to"
        return f"the driver refused the launch ({failure.result}): {asked} memory; the kernel has {has}"

    def wait(self, seconds: float) -> None:
        """Until the stream is empty.

        Raises:
            Endless: it is not, after `seconds`.
            DriverFailure: something on it failed.
        """
        start = time.monotonic()
        while not self.driver.done(self.stream):
            waited = time.monotonic() - start
            if waited > seconds:
                raise Endless(f"still running after {seconds:g} s")
            if waited > 20 * _POLL:
                time.sleep(_POLL)


FATAL = frozenset(
    f"CUDA_ERROR_{name}"
    for name in (
        *("ILLEGAL_ADDRESS", "LAUNCH_TIMEOUT", "ASSERT", "HARDWARE_STACK_ERROR", "ILLEGAL_INSTRUCTION"),
        *("MISALIGNED_ADDRESS", "INVALID_ADDRESS_SPACE", "INVALID_PC", "LAUNCH_FAILED", "ECC_UNCORRECTABLE"),
        *("CONTAINED", "EXTERNAL_DEVICE", "TENSOR_MEMORY_LEAK", "NVLINK_UNCORRECTABLE", "UNKNOWN"),
        *("CONTEXT_IS_DESTROYED", "DEVICE_UNAVAILABLE", "SYSTEM_NOT_READY"),
    )
)
"""Results after which the process has to end before CUDA can be used again ("the process must be terminated and
relaunched" in the documentation of `CUresult`), or that say that it already is so."""


def is_fatal(result: str) -> bool:
    """Whether the context is of no further use after this result."""
    return result in FATAL


def _dims(dims: Dims) -> str:
    return " x ".join(str(extent) for extent in dims)
