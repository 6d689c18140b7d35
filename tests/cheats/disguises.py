"""Kernels that reach what the screen forbids by other words, or that no device would launch."""

from __future__ import annotations

from .case import at_start, at_store, before_kernel, tile

_PASTE = "#define JOINED(a, b) a##b\n#define JOIN(a, b) JOINED(a, b)\n"
_READS = at_store("if (when[7] == 55) sum = 0;")
_GLOBAL = "__global__ void gemm"

DISGUISES = (
    tile(
        "the time of compilation, its name joined by a macro",
        before_kernel(f"{_PASTE}__device__ const char when[] = JOIN(__TI, ME__);"),
        _READS,
        gets="Rejected",
        says="joined to __TIME__",
    ),
    tile(
        "the date of compilation, its name joined by a header's macro",
        before_kernel("#include <cuda/std/cstdint>\n__device__ const char when[] = _CCCL_PP_CAT(__DA, TE__);"),
        _READS,
        gets="Rejected",
        says="joined to __DATE__",
    ),
    tile(
        "a name joined by the digraph of ##",
        before_kernel("#define JOIN(a, b) a %:%: b\n__device__ const char when[] = JOIN(__FI, LE__);"),
        _READS,
        gets="Rejected",
        says="joined to __FILE__",
    ),
    tile(
        "a question about headers, its name joined",
        before_kernel(f"{_PASTE}#if JOIN(__has_inc, lude)(</etc/hostname>)\n#endif"),
        gets="Rejected",
        says="joined to __has_include",
    ),
    tile(
        "a question about headers through a header's macro",
        before_kernel("#include <cuda/std/cstdint>\n#if _CCCL_HAS_INCLUDE(</etc/hostname>)\n#endif"),
        gets="Rejected",
        says="_CCCL_HAS_INCLUDE",
    ),
    tile(
        "the file's name from a builtin",
        before_kernel("__device__ char first() { return __builtin_FILE()[0]; }"),
        at_store("if (first() == 1) sum = 0;"),
        gets="Rejected",
        says="__builtin_FILE",
    ),
    tile(
        "the time of compilation in universal characters",
        before_kernel("__device__ const char when[] = __T\\u0049ME__;"),
        _READS,
        gets="CompileFailed",
        says="is undefined",
    ),
    tile(
        "an include by a trigraph",
        before_kernel('??=include "/etc/hostname"'),
        gets="Rejected",
        says="holds a trigraph",
    ),
    tile(
        "an include behind what may be a raw string",
        before_kernel('#if 0\nR"(\n#endif\n#include "/etc/hostname"\n//)"\n'),
        gets="Rejected",
        says="raw string",
    ),
    tile("a location in assembly", at_store('asm volatile(".loc 1 5 0;");'), gets="CompileFailed", says="assembler"),
    tile("another file's bytes", before_kernel('#embed "/etc/hostname"'), gets="Rejected", says="#embed"),
    tile(
        "a block of another size than is launched",
        (_GLOBAL, "__global__ void __block_size__((128, 1, 1)) gemm"),
        gets="OverBudget",
        says="__block_size__ asks for",
    ),
    tile(
        "clusters that the grid need not fill",
        (_GLOBAL, "__global__ void __cluster_dims__(2, 1, 1) gemm"),
        gets="Rejected",
        says="clusters",
    ),
    tile(
        "registers that nobody gives back",
        at_start('asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");'),
        gets="Unsupported",
    ),
    tile(
        "an argument written to",
        ("int M, int N, int K)", "int M, int N, const __grid_constant__ int K)"),
        at_store("*const_cast<int*>(&K) = 0;"),
        gets="OutOfBounds",
        says="param memory, which is read-only",
    ),
    tile(
        "a verdict written over the compiler's words on a terminal",
        before_kernel("#error \x1b[2K\x1b[32mVerified"),
        gets="KernelFileError",
        says=r"U\+001B",
    ),
    tile(
        "a store that a compiler turns into a trap",
        before_kernel("__constant__ float tab[4] = {1, 1, 1, 1};"),
        at_store("const_cast<float*>(tab)[0] = 2; sum *= tab[1];"),
        gets="Crashed|Rejected",
        says="such as a store to a __constant__ table|tab",
    ),
    tile(
        "half the work at an alignment that allocators do not give",
        at_start("if (((size_t)y & 127) >= 64) K /= 2;"),
        gets="Nondeterministic",
        says="y differs",
    ),
    tile(
        "half the work where two buffers are not aligned alike",
        at_start("if (((size_t)y & 255) != ((size_t)x & 255)) K /= 2;"),
        gets="Nondeterministic",
        says="y differs",
    ),
)

SAME_BLOCK = (
    tile(
        "a block of the size that is launched",
        (_GLOBAL, "__global__ void __block_size__((64, 1, 1)) gemm"),
        gets="Verified",
    ),
    tile("words of other languages in comments", at_store("// gr\u00f6\u00dfer \u03b1 \u2264 \u4e2d"), gets="Verified"),
    tile("a limit on registers", (_GLOBAL, "__global__ void __maxnreg__(32) gemm"), gets="Verified"),
)
