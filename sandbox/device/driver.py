"""What is asked of the CUDA driver, in plain integers and bytes: handles, addresses and streams are integers.

Each method stands for one call of the CUDA Driver API, or for two that belong together, and names it. `bindings` asks
the real driver; tests bring one of their own that runs kernels on the emulator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.device.messages import DeviceInfo


class DriverFailure(Exception):  # noqa: N818 - the worker's internal value; it leaves as a message
    """The driver answered something else than CUDA_SUCCESS."""

    def __init__(self, call: str, result: str, text: str = "") -> None:
        super().__init__(f"{call} answered {result}{f': {text}' if text else ''}")
        self.call = call
        self.result = result
        """The name in `CUresult`: `CUDA_ERROR_ILLEGAL_ADDRESS`."""
        self.text = text


class FunctionFact(StrEnum):
    """Attributes of a kernel, by the end of their names in `CUfunction_attribute`."""

    MAX_THREADS = "MAX_THREADS_PER_BLOCK"
    STATIC_SHARED = "SHARED_SIZE_BYTES"
    LOCAL = "LOCAL_SIZE_BYTES"
    REGISTERS = "NUM_REGS"


@dataclass(frozen=True, slots=True)
class KernelLaunch:
    """Arguments of one `cuLaunchKernelEx`."""

    function: int
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    """Dynamic shared memory in bytes."""
    params: Sequence[bytes]
    """One value per kernel parameter, each as wide as the parameter."""
    cooperative: bool = False


class Driver(Protocol):
    """One process' way to the driver. Every method raises DriverFailure where the driver does not answer success."""

    def version(self) -> int:
        """The CUDA version the driver supports, 1000 x major + 10 x minor (`cuInit`, `cuDriverGetVersion`)."""
        ...

    def devices(self) -> tuple[DeviceInfo, ...]:
        """Every device, by ordinal (`cuInit`, `cuDeviceGetCount`, `cuDeviceGetAttribute`)."""
        ...

    def open(self, ordinal: int) -> None:
        """Make the device's primary context current in this thread (`cuDevicePrimaryCtxRetain`, `cuCtxSetCurrent`)."""
        ...

    def load_module(self, cubin: bytes) -> int:
        """Load machine code; what is handed over is never PTX (`cuModuleLoadData`)."""
        ...

    def function(self, module: int, name: str) -> int:
        """A kernel by its mangled name (`cuModuleGetFunction`)."""
        ...

    def param_layout(self, function: int) -> tuple[tuple[int, int], ...]:
        """(offset, size) in bytes of each parameter (`cuFuncGetParamInfo`, CUDA 12.4)."""
        ...

    def fact(self, function: int, fact: FunctionFact) -> int:
        """An attribute of a kernel (`cuFuncGetAttribute`)."""
        ...

    def allow_shared(self, function: int, nbytes: int) -> None:
        """Opt in to more dynamic shared memory than 48 KiB (`cuFuncSetAttribute`)."""
        ...

    def resident_blocks(self, function: int, threads: int, shared: int) -> int:
        """Blocks of a kernel on one multiprocessor (`cuOccupancyMaxActiveBlocksPerMultiprocessor`)."""
        ...

    def granularity(self) -> int:
        """Bytes that mappings are multiples of (`cuMemGetAllocationGranularity`)."""
        ...

    def reserve(self, nbytes: int) -> int:
        """Addresses that nothing lies behind (`cuMemAddressReserve`)."""
        ...

    def unreserve(self, address: int, nbytes: int) -> None:
        """Give them back (`cuMemAddressFree`)."""
        ...

    def create(self, nbytes: int) -> int:
        """Memory without an address (`cuMemCreate`)."""
        ...

    def release(self, handle: int) -> None:
        """Give it back once it is unmapped (`cuMemRelease`)."""
        ...

    def map(self, address: int, nbytes: int, handle: int) -> None:
        """Put memory behind reserved addresses, readable and writable (`cuMemMap`, `cuMemSetAccess`)."""
        ...

    def unmap(self, address: int, nbytes: int) -> None:
        """Take it away; an access then faults (`cuMemUnmap`)."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Plain memory, at least one byte (`cuMemAlloc`)."""
        ...

    def free(self, address: int) -> None:
        """Give it back (`cuMemFree`)."""
        ...

    def memory(self) -> tuple[int, int]:
        """(free, total) bytes of the device (`cuMemGetInfo`)."""
        ...

    def upload(self, address: int, data: NDArray[np.uint8], stream: int) -> None:
        """Copy host bytes to the device (`cuMemcpyHtoDAsync`)."""
        ...

    def download(self, data: NDArray[np.uint8], address: int, stream: int) -> None:
        """Copy device bytes into `data`, in stream order (`cuMemcpyDtoHAsync`)."""
        ...

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        """Copy on the device (`cuMemcpyDtoDAsync`)."""
        ...

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        """Set bytes (`cuMemsetD8Async`)."""
        ...

    def new_stream(self) -> int:
        """A stream that does not wait for the default one (`cuStreamCreate`)."""
        ...

    def done(self, stream: int) -> bool:
        """Whether everything in the stream has ended; raises what a kernel did wrong (`cuStreamQuery`)."""
        ...

    def begin_capture(self, stream: int) -> None:
        """Record what is enqueued from here instead of running it (`cuStreamBeginCapture`, thread-local mode)."""
        ...

    def end_capture(self, stream: int) -> int:
        """An executable graph of it (`cuStreamEndCapture`, `cuGraphInstantiate`, `cuGraphDestroy`)."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None:
        """Run a graph once (`cuGraphLaunch`)."""
        ...

    def destroy_graph(self, graph: int) -> None:
        """Forget it (`cuGraphExecDestroy`)."""
        ...

    def launch(self, launch: KernelLaunch, stream: int) -> None:
        """Enqueue a kernel; the parameters are copied (`cuLaunchKernelEx`)."""
        ...

    def new_event(self) -> int:
        """An event that keeps time (`cuEventCreate`)."""
        ...

    def record(self, event: int, stream: int) -> None:
        """Note the time when the stream gets here (`cuEventRecord`)."""
        ...

    def elapsed_us(self, start: int, end: int) -> float:
        """Microseconds between two recorded events that have happened (`cuEventElapsedTime`)."""
        ...

    def destroy_event(self, event: int) -> None:
        """Forget it (`cuEventDestroy`)."""
        ...

    def reset_persisting_l2(self) -> None:
        """Turn lines that were kept in L2 back into ordinary ones (`cuCtxResetPersistingL2Cache`)."""
        ...


Bytes = NDArray[np.uint8]


def as_bytes(array: NDArray[Any]) -> Bytes:
    """Any contiguous array as the flat bytes it consists of, shared."""
    return array.reshape(-1).view(np.uint8)
