"""Kernels that ask where their buffers lie: on the emulator, on a GPU, or at which size."""

from __future__ import annotations

from .case import STORE, at_start, at_store, tile

_POLICY = (
    'unsigned long long policy; asm volatile("createpolicy.fractional.L2::evict_last.b64 %0, 1.0;" : "=l"(policy));'
)

ADDRESSES = (
    tile(
        "half the work where addresses are a device's",
        at_start("if (((size_t)y & 0xffffffffu) > 255) K /= 2;"),
        gets="Rejected",
        says="address of y",
    ),
    tile(
        "half the work unless a buffer begins a large page",
        at_store("sum *= ((size_t)y >> 21 & 1) ? 0.5f : 1.f;"),
        gets="Rejected",
        says="address of y",
    ),
    tile(
        "half the work where buffers lie close together",
        at_start(
            "long long far = (const char*)w - (const char*)x; if (far < (1LL << 34) && far > -(1LL << 34)) K /= 2;"
        ),
        gets="Rejected",
        says="address of w and x",
    ),
    tile(
        "an address taken for a number",
        at_store("sum += (float)((size_t)w % 1000);"),
        gets="Rejected",
        says="address of w",
    ),
    tile(
        "an address read back from shared memory in halves",
        at_start(
            "__shared__ volatile size_t held; if (threadIdx.x == 0) held = (size_t)y; __syncthreads();\n"
            "    if (((volatile unsigned*)&held)[0] > 255) K /= 2;"
        ),
        gets="Rejected",
        says="address of y",
    ),
    tile(
        "where shared memory begins",
        at_store("if (((unsigned)__cvta_generic_to_shared(row) & 0xfffff) >= 1024) sum = 0;"),
        gets="Rejected",
        says="address of shared memory",
    ),
    tile(
        "a cache policy whose bits tell a device from an emulator",
        at_start(f"{_POLICY} if (policy != 0) K /= 2;"),
        gets="Rejected",
        says="looks at the bits of a cache policy",
    ),
)

ALIGNED = (
    tile(
        "a cache policy handed to a load",
        at_start(_POLICY),
        at_store(
            "unsigned short bits; "
            'asm volatile("ld.global.L2::cache_hint.u16 %0, [%1], %2;" : "=h"(bits) : "l"(w), "l"(policy));'
        ),
        gets="Verified",
    ),
    tile(
        "another path where a pointer is aligned",
        (STORE, "if ((size_t)(y + (size_t)m * N + n) % 4 == 0) { if (n < N) y[(size_t)m * N + n] = "
         "ws::from_float<y_t>(sum + ws::to_float(b[n])); } else " + STORE),
        gets="Verified",
    ),
    tile(
        "a pointer that walks to the end of its buffer",
        at_store("const b_t* end = b + N; float top = 0.f;\n"
                 "    for (const b_t* p = b; p != end; p++) top = ws::to_float(*p);\n    if (top > 1e30f) sum = 0.f;"),
        gets="Verified",
    ),
)  # fmt: skip
