"""Kernels that hold what no kernel may."""

from __future__ import annotations

from .case import STORE, at_store, before_kernel, tile

SCREEN = (
    tile(
        "a memo in a module variable",
        before_kernel("__device__ float memo[64];"),
        at_store("memo[threadIdx.x] = sum;"),
        gets="Rejected",
        says="memo",
    ),
    tile(
        "a memo in a function's static",
        at_store("static int calls; calls++; if (calls > 10000) return;"),
        gets="Rejected",
        says="outlive",
    ),
    tile(
        "managed memory",
        before_kernel("__device__ __managed__ int memo;"),
        at_store("memo = 1;"),
        gets="Rejected",
        says="managed memory",
    ),
    tile(
        "a module variable hidden in assembly",
        at_store('asm volatile("{ .global .u32 memo; st.global.u32 [memo], %0; }" :: "r"(K));'),
        gets="Rejected",
        says="module variable `memo`",
    ),
    tile("the clock", at_store("if (clock64() == 0) sum = 0;"), gets="Rejected", says="clock"),
    tile(
        "the clock by assembly",
        at_store('unsigned t; asm volatile("mov.u32 %0, %%clock;" : "=r"(t)); if (t == 1) sum = 0;'),
        gets="Rejected",
        says="clock",
    ),
    tile(
        "the global timer",
        at_store('unsigned long long t; asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(t)); if (t == 1) sum = 0;'),
        gets="Rejected",
        says="clock|timer",
    ),
    tile(
        "the multiprocessor's number",
        at_store('unsigned s; asm volatile("mov.u32 %0, %%smid;" : "=r"(s)); if (s == 200) sum = 0;'),
        gets="Rejected",
        says="smid|multiprocessor",
    ),
    tile(
        "the launch's number",
        at_store('unsigned long long g; asm volatile("mov.u64 %0, %%gridid;" : "=l"(g)); if (g > 9) sum = 0;'),
        gets="Rejected",
        says="gridid|launches",
    ),
    tile(
        "the driver's registers",
        at_store('unsigned e; asm volatile("mov.u32 %0, %%envreg3;" : "=r"(e)); if (e == 9) sum = 0;'),
        gets="Rejected",
        says="envreg",
    ),
    tile(
        "another entry through an open brace",
        (STORE, STORE + '\n    asm volatile("ret; } .visible .entry sneaky() { ret;");'),
        gets="Rejected",
        says="sneaky",
    ),
    tile(
        "a kernel the plan does not name",
        before_kernel('extern "C" __global__ void other(float* p) { *p = 1; }'),
        gets="Rejected",
        says="`other` that no",
    ),
    tile(
        "memory from the device's heap",
        at_store("float* p = (float*)malloc(4); if (p) { *p = sum; sum = *p; free(p); }"),
        gets="KernelFileError",
        says="`malloc` cannot be called",
    ),
    tile(
        "printing",
        at_store('if (n == 0) printf("%f", sum);'),
        gets="KernelFileError",
        says="`printf` cannot be called",
    ),
    tile(
        "a call through a pointer",
        before_kernel(
            "__device__ __noinline__ float one(float v) { return v; }\n"
            "__device__ __noinline__ float two(float v) { return v + 0.f; }"
        ),
        at_store("float (*f)(float) = K % 2 ? one : two; sum = f(sum);"),
        gets="Rejected",
        says="call|pointer",
    ),
    tile(
        "recursion",
        before_kernel(
            "__device__ __noinline__ float deep(float v, int k) { return k < 1 ? v : deep(v, k - 1) + 0.f; }"
        ),
        at_store("sum = deep(sum, K % 7);"),
        gets="Rejected",
        says="deep|loop",
    ),
    tile(
        "a launch from the device",
        at_store("gemm<<<1, 1>>>(x, w, b, y, M, N, K);"),
        gets="KernelFileError",
        says="host code",
    ),
    tile(
        "another file's text",
        before_kernel('#include "/etc/hostname"'),
        gets="Rejected",
        says="self-contained",
    ),
    tile("a system header", before_kernel("#include <fstream>"), gets="Rejected", says="<fstream> is not among"),
    tile("an include by digraph", before_kernel('%:include "/etc/hostname"'), gets="Rejected", says="self-contained"),
    tile(
        "an include by macro",
        before_kernel("#define WHERE </etc/hostname>\n#include WHERE"),
        gets="Rejected",
        says="macro",
    ),
    tile(
        "an include across a spliced line",
        before_kernel('#inc\\\nlude "/etc/hostname"'),
        gets="Rejected",
        says="self-contained",
    ),
    tile(
        "a question about headers",
        before_kernel("#if __has_include(</etc/hostname>)\n#endif"),
        gets="Rejected",
        says="__has_include",
    ),
    tile(
        "the time of compilation", before_kernel("constexpr char when[] = __TIME__;"), gets="Rejected", says="__TIME__"
    ),
    tile("forged locations", before_kernel('#line 1 "prelude.h"'), gets="Rejected", says="#line|directive"),
    tile(
        "cache lines thrown away",
        at_store('asm volatile("discard.global.L2 [%0], 128;" :: "l"(y));'),
        gets="Rejected",
        says="discard",
    ),
    tile(
        "cache priorities",
        at_store('asm volatile("applypriority.global.L2::evict_normal [%0], 128;" :: "l"(y));'),
        gets="Rejected",
        says="priorit",
    ),
    tile("a performance event", at_store('asm volatile("pmevent 1;");'), gets="Rejected", says="event"),
    tile(
        "host code",
        before_kernel("int main() { return 0; }"),
        gets="KernelFileError",
        says="`int main`: host code",
    ),
)
