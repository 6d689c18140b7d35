"""Headers a CUDA kernel file may include, and what to say about the others that authors reach for."""

from __future__ import annotations

import re

_ALLOWED = frozenset({
    "assert.h", "cassert", "cfloat", "climits", "cmath", "cstddef", "cstdint", "cstdio", "float.h",
    "limits", "limits.h", "math.h", "math_constants.h", "stddef.h", "stdint.h", "stdio.h", "array",
    "functional", "tuple", "type_traits", "utility", "cuda_awbarrier_primitives.h", "cuda_bf16.h",
    "cuda_fp16.h", "cuda_fp4.h", "cuda_fp6.h", "cuda_fp8.h", "cuda_pipeline.h",
    "cuda_pipeline_primitives.h", "cooperative_groups.h", "mma.h", "vector_types.h",
    "cooperative_groups/memcpy_async.h", "cooperative_groups/reduce.h", "cooperative_groups/scan.h",
    "cuda/atomic", "cuda/barrier", "cuda/cmath", "cuda/functional", "cuda/pipeline", "cuda/ptx",
    "cuda/warp",
})  # fmt: skip
_FOLDERS = re.compile(r"(?:cub/(?:block|warp)/[a-z0-9_]+\.cuh|cuda/std/[a-z0-9_]+)", re.ASCII)

HOST = "host code is not part of a kernel file"
HOST_REMEDY = "Keep the kernels and describe their launches in the head block; the launcher allocates and launches."
_HOST = re.compile(
    r"(?:torch|ATen|c10|pybind11|thrust|cutlass|cute)/.*|cuda_runtime(?:_api)?\.h|cuda\.h|device_launch_parameters\.h"
    r"|cublas.*|cudnn.*|curand(?:_kernel)?\.h|cub/(?:cub\.cuh|device/.*)|nccl\.h|Python\.h"
)
_REMEDIES = {
    "algorithm": "`min` and `max` are built in, without std::; write sorts and scans out or use cub/block.",
    "cub/cub.cuh": "Include what you use, such as <cub/block/block_reduce.cuh>.",
    "iostream": "Nothing can be printed from a kernel that is checked.",
    "vector": "Use arrays; kernels do not allocate.",
    "string": "Use arrays; kernels do not allocate.",
    "stdlib.h": "Use arrays; kernels do not allocate. `abs`, `min` and `max` are built in.",
    "cstdlib": "Use arrays; kernels do not allocate. `abs`, `min` and `max` are built in.",
    "string.h": "memcpy and memset are built in.",
    "cstring": "memcpy and memset are built in.",
    "cuda_runtime.h": f"Leave the include out: the built-in variables and functions need none. {HOST_REMEDY}",
    "cuda_runtime_api.h": f"Leave the include out: the built-in variables and functions need none. {HOST_REMEDY}",
    "cuda.h": "Leave the include out: CUtensorMap is declared already.",
    "device_launch_parameters.h": "Leave the include out: threadIdx, blockIdx and the others are built in.",
    "curand_kernel.h": "Generate random numbers in the kernel (Philox is ten lines), seeded by an argument.",
    "cuda/std/algorithm": "`min` and `max` are built in, without std::; write sorts and scans out or use cub/block.",
}


def allowed(header: str) -> bool:
    """Whether `#include <header>` may stand in a kernel file."""
    return header in _ALLOWED or (_FOLDERS.fullmatch(header) is not None and header not in _REMEDIES)


def refusal(header: str) -> tuple[str, str]:
    """(message, remedy) for a header that is not allowed."""
    if _HOST.fullmatch(header):
        message = f"<{header}> is not available: {HOST}."
        return message, _REMEDIES.get(header, HOST_REMEDY)
    message = f"<{header}> is not among the headers a kernel file may include."
    return message, _REMEDIES.get(
        header,
        "Allowed are cuda_fp16.h, cuda_bf16.h, cuda_fp8.h, mma.h, cuda_pipeline.h, cooperative_groups.h, "
        "cub/block/*, cub/warp/*, cuda/barrier, cuda/pipeline, cuda/ptx, cuda/atomic, cuda/std/* and small C headers.",
    )
