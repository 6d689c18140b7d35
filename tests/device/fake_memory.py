"""The address space of the fake driver: reservations, mappings and plain allocations, as bytes on the host.

A reservation or an allocation has one of the emulator's windows to itself, so that kernels can run over it there.
"""

from dataclasses import dataclass, field

import numpy as np

from warpsmith.sandbox.device.driver import Bytes, DriverFailure
from warpsmith.sandbox.emulator.machine import ADDRESS_BASE, ADDRESS_STRIDE, Allocation, Memory

PAGE = 2 << 20
"""What `cuMemGetAllocationGranularity` answers on today's GPUs."""
ALIGNMENT = 256
"""Of what `cuMemAlloc` gives ("suitably aligned for any kind of variable"; the programming guide says 256 bytes)."""


@dataclass
class Window:
    """A range of addresses, and what of it is mapped."""

    address: int
    nbytes: int
    start: int = 0
    handle: int | None = None
    data: Bytes | None = None


@dataclass
class Addresses:
    """All windows; a freed one is used again."""

    total: int
    windows: list[Window | None] = field(default_factory=list)
    handles: dict[int, Bytes] = field(default_factory=dict)
    next_handle: int = 1

    @property
    def used(self) -> int:
        plain = sum(it.data.size for it in self.windows if it and it.data is not None and it.handle is None)
        return plain + sum(data.size for data in self.handles.values())

    def allocate(self, nbytes: int) -> int:
        require(nbytes > 0, "cuMemAlloc", "INVALID_VALUE")
        require(self.used + nbytes <= self.total, "cuMemAlloc", "OUT_OF_MEMORY")
        window = self._window(nbytes)
        window.data = np.zeros(nbytes, np.uint8)
        window.start = window.address
        return window.address

    def free(self, address: int) -> None:
        window = self._at(address, "cuMemFree")
        require(window.address == address and window.handle is None and window.data is not None, "cuMemFree")
        self._drop(window)

    def reserve(self, nbytes: int) -> int:
        require(nbytes > 0 and nbytes % PAGE == 0, "cuMemAddressReserve")
        return self._window(nbytes).address

    def unreserve(self, address: int, nbytes: int) -> None:
        window = self._at(address, "cuMemAddressFree")
        require((window.address, window.nbytes, window.data) == (address, nbytes, None), "cuMemAddressFree")
        self._drop(window)

    def create(self, nbytes: int) -> int:
        require(nbytes > 0 and nbytes % PAGE == 0, "cuMemCreate")
        require(self.used + nbytes <= self.total, "cuMemCreate", "OUT_OF_MEMORY")
        handle, self.next_handle = self.next_handle, self.next_handle + 1
        self.handles[handle] = np.zeros(nbytes, np.uint8)
        return handle

    def release(self, handle: int) -> None:
        require(handle in self.handles, "cuMemRelease")
        del self.handles[handle]

    def map(self, address: int, nbytes: int, handle: int) -> None:
        """One mapping a reservation is all the fake can do."""
        window = self._at(address, "cuMemMap")
        fits = window.address <= address and address + nbytes <= window.address + window.nbytes
        require(fits and address % PAGE == 0 and nbytes % PAGE == 0, "cuMemMap")
        require(handle in self.handles and self.handles[handle].size == nbytes and window.data is None, "cuMemMap")
        window.start, window.handle, window.data = address, handle, self.handles[handle]

    def unmap(self, address: int, nbytes: int) -> None:
        window = self._at(address, "cuMemUnmap")
        require(window.data is not None and window.handle is not None, "cuMemUnmap")
        require((window.start, window.data.size) == (address, nbytes), "cuMemUnmap")
        window.handle = window.data = None

    def bytes_at(self, address: int, nbytes: int, call: str) -> Bytes:
        """Mapped bytes, shared; a copy or a memset that leaves them is refused."""
        window = self._at(address, call)
        require(window.data is not None, call)
        first = address - window.start
        require(0 <= first and first + nbytes <= window.data.size, call)
        return window.data[first : first + nbytes]

    def emulated(self) -> Memory:
        """The same bytes as the emulator's memory. Everything is writable and initialised, as on a GPU."""
        memory = Memory()
        for index, window in enumerate(self.windows):
            mapped = window is not None and window.data is not None
            data = window.data if mapped else np.empty(0, np.uint8)
            address = window.start if mapped else ADDRESS_BASE + index * ADDRESS_STRIDE
            memory.allocations.append(Allocation(f"window {index}", data, None, True, address))
        return memory

    def _window(self, nbytes: int) -> Window:
        index = self.windows.index(None) if None in self.windows else len(self.windows)
        window = Window(ADDRESS_BASE + index * ADDRESS_STRIDE, nbytes)
        self.windows[index : index + 1] = [window]
        return window

    def _at(self, address: int, call: str) -> Window:
        index = (address - ADDRESS_BASE) // ADDRESS_STRIDE
        window = self.windows[index] if 0 <= index < len(self.windows) else None
        require(window is not None, call)
        return window

    def _drop(self, window: Window) -> None:
        self.windows[self.windows.index(window)] = None


def require(condition: bool, call: str, otherwise: str = "INVALID_VALUE") -> None:
    """Answer as the driver does where a call is not as its documentation wants it."""
    if not condition:
        raise DriverFailure(call, f"CUDA_ERROR_{otherwise}")
