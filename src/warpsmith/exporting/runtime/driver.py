"""The CUDA driver, by its C interface: what launching compiled code needs of it, and no more."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache

_MAX_DYNAMIC_SHARED = 8
"""CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES in cuda.h."""


class Driver:
    """`libcuda.so.1`. Every failure is a RuntimeError that names the call and the driver's reason."""

    def __init__(self) -> None:
        try:
            self._cuda = ctypes.CDLL("libcuda.so.1")
        except OSError as error:
            raise RuntimeError(f"the CUDA driver cannot be loaded: {error}") from error
        self._call("cuInit", ctypes.c_uint(0))
        self._contexts: dict[int, ctypes.c_void_p] = {}

    def enter(self, ordinal: int) -> None:
        """Make the primary context of a device, which is PyTorch's too, this thread's."""
        if ordinal not in self._contexts:
            device, context = ctypes.c_int(), ctypes.c_void_p()
            self._call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(ordinal))
            self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
            self._contexts[ordinal] = context
        self._call("cuCtxSetCurrent", self._contexts[ordinal])

    def load(self, code: bytes) -> int:
        """Load a cubin; answers its module."""
        module = ctypes.c_void_p()
        self._call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(code))
        return module.value or 0

    def function(self, module: int, name: str) -> int:
        """Find a kernel in a module."""
        function = ctypes.c_void_p()
        self._call(
            "cuModuleGetFunction", ctypes.byref(function), ctypes.c_void_p(module), ctypes.c_char_p(name.encode())
        )
        return function.value or 0

    def allow_shared(self, function: int, nbytes: int) -> None:
        """Let launches of a kernel have so much dynamic shared memory."""
        self._call("cuFuncSetAttribute", ctypes.c_void_p(function), _MAX_DYNAMIC_SHARED, ctypes.c_int(nbytes))

    def resident_blocks(self, function: int, threads: int, shared: int) -> int:
        """Blocks that one multiprocessor holds at once."""
        blocks = ctypes.c_int()
        name = "cuOccupancyMaxActiveBlocksPerMultiprocessor"
        size = ctypes.c_size_t(shared)
        self._call(name, ctypes.byref(blocks), ctypes.c_void_p(function), ctypes.c_int(threads), size)
        return blocks.value

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        """Set bytes, on a stream."""
        self._call(
            "cuMemsetD8Async",
            ctypes.c_uint64(address),
            ctypes.c_ubyte(value & 0xFF),
            ctypes.c_size_t(nbytes),
            ctypes.c_void_p(stream),
        )

    def launch(
        self,
        function: int,
        grid: Sequence[int],
        block: Sequence[int],
        shared: int,
        params: Sequence[bytes],
        cooperative: bool,
        stream: int,
    ) -> None:
        """Put a launch on a stream."""
        values = [ctypes.create_string_buffer(value, len(value)) for value in params]
        pointers = (ctypes.c_void_p * (len(values) + 1))(*(ctypes.addressof(value) for value in values))
        sizes = [ctypes.c_uint(size) for size in (*grid, *block, shared)]
        common = (ctypes.c_void_p(function), *sizes, ctypes.c_void_p(stream), pointers)
        if cooperative:
            self._call("cuLaunchCooperativeKernel", *common)
        else:
            self._call("cuLaunchKernel", *common, None)

    def _call(self, name: str, *arguments: object) -> None:
        result = getattr(self._cuda, name)(*arguments)
        if result:
            text = ctypes.c_char_p()
            self._cuda.cuGetErrorName(result, ctypes.byref(text))
            raise RuntimeError(f"{name} failed: {(text.value or b'unknown').decode()} ({result})")


@cache
def the_driver() -> Driver:
    """One for the process."""
    return Driver()
