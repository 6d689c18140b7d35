"""The CUDA driver itself, through cuda-bindings: the only module that imports it to run something.

cuda-bindings comes with every CUDA build of torch and is what compiles kernels here, too; it loads `libcuda.so.1` when
first asked. Handles go through as integers, which its functions take for every handle type.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.sandbox.device.driver import DriverFailure, FunctionFact, KernelLaunch
from warpsmith.sandbox.device.messages import DeviceInfo

NO_LIBRARY, NO_BINDINGS = "LIBCUDA_NOT_FOUND", "CUDA_BINDINGS_NOT_FOUND"
"""Results of our own, where there is nobody to answer."""
_MOST_PARAMS = 4096 // 4
"""A kernel has at most 4 KiB of parameters up to CUDA 12; none of ours has more."""


class CudaDriver:
    """The real `Driver`."""

    def __init__(self) -> None:
        try:
            from cuda.bindings import driver
        except ImportError as error:
            raise DriverFailure("import cuda.bindings", NO_BINDINGS, str(error)) from error
        self._cuda: Any = driver
        self._ordinal = 0
        try:
            self._call("cuInit", 0)
        except RuntimeError as error:  # What cuda-bindings raises where libcuda.so.1 cannot be loaded.
            raise DriverFailure("cuInit", NO_LIBRARY, str(error)) from error

    def version(self) -> int:
        return int(self._call("cuDriverGetVersion"))

    def devices(self) -> tuple[DeviceInfo, ...]:
        return tuple(self._device(ordinal) for ordinal in range(self._call("cuDeviceGetCount")))

    def open(self, ordinal: int) -> None:
        self._ordinal = ordinal
        context = self._call("cuDevicePrimaryCtxRetain", self._call("cuDeviceGet", ordinal))
        self._call("cuCtxSetCurrent", context)

    def load_module(self, cubin: bytes) -> int:
        image = np.frombuffer(cubin, np.uint8)
        return int(self._call("cuModuleLoadData", image.ctypes.data))

    def function(self, module: int, name: str) -> int:
        return int(self._call("cuModuleGetFunction", module, name.encode()))

    def param_layout(self, function: int) -> tuple[tuple[int, int], ...]:
        layout: list[tuple[int, int]] = []
        while len(layout) < _MOST_PARAMS:
            try:
                offset, size = self._call("cuFuncGetParamInfo", function, len(layout))
            except DriverFailure as failure:
                if failure.result == "CUDA_ERROR_INVALID_VALUE":  # One index past the last.
                    break
                raise
            layout.append((int(offset), int(size)))
        return tuple(layout)

    def fact(self, function: int, fact: FunctionFact) -> int:
        attribute = getattr(self._cuda.CUfunction_attribute, f"CU_FUNC_ATTRIBUTE_{fact.value}")
        return int(self._call("cuFuncGetAttribute", attribute, function))

    def allow_shared(self, function: int, nbytes: int) -> None:
        attribute = self._cuda.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        self._call("cuFuncSetAttribute", function, attribute, nbytes)

    def resident_blocks(self, function: int, threads: int, shared: int) -> int:
        return int(self._call("cuOccupancyMaxActiveBlocksPerMultiprocessor", function, threads, shared))

    def granularity(self) -> int:
        flag = self._cuda.CUmemAllocationGranularity_flags.CU_MEM_ALLOC_GRANULARITY_MINIMUM
        return int(self._call("cuMemGetAllocationGranularity", self._properties(), flag))

    def reserve(self, nbytes: int) -> int:
        return int(self._call("cuMemAddressReserve", nbytes, 0, 0, 0))

    def unreserve(self, address: int, nbytes: int) -> None:
        self._call("cuMemAddressFree", address, nbytes)

    def create(self, nbytes: int) -> int:
        return int(self._call("cuMemCreate", nbytes, self._properties(), 0))

    def release(self, handle: int) -> None:
        self._call("cuMemRelease", handle)

    def map(self, address: int, nbytes: int, handle: int) -> None:
        self._call("cuMemMap", address, nbytes, 0, handle, 0)
        access = self._cuda.CUmemAccessDesc()
        access.location = self._properties().location
        access.flags = self._cuda.CUmemAccess_flags.CU_MEM_ACCESS_FLAGS_PROT_READWRITE
        self._call("cuMemSetAccess", address, nbytes, [access], 1)

    def unmap(self, address: int, nbytes: int) -> None:
        self._call("cuMemUnmap", address, nbytes)

    def allocate(self, nbytes: int) -> int:
        return int(self._call("cuMemAlloc", nbytes))

    def free(self, address: int) -> None:
        self._call("cuMemFree", address)

    def memory(self) -> tuple[int, int]:
        free, total = self._call("cuMemGetInfo")
        return int(free), int(total)

    def upload(self, address: int, data: NDArray[np.uint8], stream: int) -> None:
        # From pageable memory: the driver has taken the bytes when the call returns.
        self._call("cuMemcpyHtoDAsync", address, data.ctypes.data, data.size, stream)

    def download(self, data: NDArray[np.uint8], address: int, stream: int) -> None:
        self._call("cuMemcpyDtoHAsync", data.ctypes.data, address, data.size, stream)
        self._call("cuStreamSynchronize", stream)

    def copy(self, target: int, source: int, nbytes: int, stream: int) -> None:
        self._call("cuMemcpyDtoDAsync", target, source, nbytes, stream)

    def fill(self, address: int, value: int, nbytes: int, stream: int) -> None:
        self._call("cuMemsetD8Async", address, value, nbytes, stream)

    def new_stream(self) -> int:
        return int(self._call("cuStreamCreate", self._cuda.CUstream_flags.CU_STREAM_NON_BLOCKING.value))

    def done(self, stream: int) -> bool:
        try:
            self._call("cuStreamQuery", stream)
        except DriverFailure as failure:
            if failure.result == "CUDA_ERROR_NOT_READY":
                return False
            raise
        return True

    def begin_capture(self, stream: int) -> None:
        mode = self._cuda.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        graph = self._call("cuStreamEndCapture", stream)
        try:
            return int(self._call("cuGraphInstantiate", graph, 0))
        finally:
            self._call("cuGraphDestroy", graph)

    def launch_graph(self, graph: int, stream: int) -> None:
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        self._call("cuGraphExecDestroy", graph)

    def launch(self, launch: KernelLaunch, stream: int) -> None:
        config = self._cuda.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = launch.grid
        config.blockDimX, config.blockDimY, config.blockDimZ = launch.block
        config.sharedMemBytes = launch.shared
        config.hStream = stream
        if launch.cooperative:
            attribute = self._cuda.CUlaunchAttribute()
            attribute.id = self._cuda.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_COOPERATIVE
            attribute.value.cooperative = 1
            config.attrs, config.numAttrs = [attribute], 1
        # `void**`: one pointer for each parameter, to as many bytes as the kernel declares.
        values = [ctypes.create_string_buffer(value, len(value)) for value in launch.params]
        pointers = (ctypes.c_void_p * (len(values) + 1))(*(ctypes.addressof(value) for value in values))
        self._call("cuLaunchKernelEx", config, launch.function, ctypes.addressof(pointers), 0)

    def new_event(self) -> int:
        return int(self._call("cuEventCreate", self._cuda.CUevent_flags.CU_EVENT_DEFAULT.value))

    def record(self, event: int, stream: int) -> None:
        self._call("cuEventRecord", event, stream)

    def elapsed_us(self, start: int, end: int) -> float:
        return float(self._call("cuEventElapsedTime", start, end)) * 1e3

    def destroy_event(self, event: int) -> None:
        self._call("cuEventDestroy", event)

    def reset_persisting_l2(self) -> None:
        self._call("cuCtxResetPersistingL2Cache")

    def _call(self, name: str, *arguments: Any) -> Any:
        """One call of the driver; what it answers besides its result."""
        result, *answer = getattr(self._cuda, name)(*arguments)
        if result != self._cuda.CUresult.CUDA_SUCCESS:
            raise DriverFailure(name, result.name, self._words(result))
        return answer[0] if len(answer) == 1 else tuple(answer)

    def _words(self, result: Any) -> str:
        _, text = self._cuda.cuGetErrorString(result)
        return text.decode() if text else ""

    def _device(self, ordinal: int) -> DeviceInfo:
        device = self._call("cuDeviceGet", ordinal)

        def fact(name: str) -> int:
            attribute = getattr(self._cuda.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
            return int(self._call("cuDeviceGetAttribute", attribute, device))

        return DeviceInfo(
            ordinal=ordinal,
            uuid=_uuid(self._call("cuDeviceGetUuid", device).bytes),
            name=self._call("cuDeviceGetName", 128, device).split(b"\0")[0].decode(),
            capability=(fact("COMPUTE_CAPABILITY_MAJOR"), fact("COMPUTE_CAPABILITY_MINOR")),
            sms=fact("MULTIPROCESSOR_COUNT"),
            memory_bytes=int(self._call("cuDeviceTotalMem", device)),
            l2_bytes=fact("L2_CACHE_SIZE"),
            clock_khz=fact("CLOCK_RATE"),
            shared_per_block=fact("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
            cooperative=bool(fact("COOPERATIVE_LAUNCH")),
            virtual_memory=bool(fact("VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED")),
            pageable_memory=bool(fact("PAGEABLE_MEMORY_ACCESS")),
            watchdog=bool(fact("KERNEL_EXEC_TIMEOUT")),
        )

    def _properties(self) -> Any:
        properties = self._cuda.CUmemAllocationProp()
        properties.type = self._cuda.CUmemAllocationType.CU_MEM_ALLOCATION_TYPE_PINNED
        properties.location.type = self._cuda.CUmemLocationType.CU_MEM_LOCATION_TYPE_DEVICE
        properties.location.id = self._ordinal
        return properties


def _uuid(data: bytes) -> str:
    digits = bytes(data).hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))
