"""Instructions whose result the PTX ISA leaves open, each as a kernel of its own, and the operands they are tried on.

PTX ISA, "Floating Point Instructions": `approx` forms state an error bound, not a result; "Matrix multiply-accumulate":
the order of a product's sum and the width of its intermediate results are unspecified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType

COUNT = 4096
"""Operands of each instruction."""
TILES = 32
"""Products of each matrix instruction."""
WARP = 32

Words = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Probe:
    """One instruction."""

    opcode: str
    result: DType
    operands: Words
    """As the kernel reads them."""
    body: str
    """C++ that reads `x` and writes `y` for the thread `i` of `n`."""
    threads: int
    words: int
    """Of the result, over all threads."""

    @property
    def kernel(self) -> str:
        return "probe_" + self.opcode.replace(".", "_").replace("::", "_")

    @property
    def text(self) -> str:
        head = f"__global__ void {self.kernel}(const unsigned* x, unsigned* y, int n) {{\n"
        return f"{head}  int i = blockIdx.x * blockDim.x + threadIdx.x;\n  if (i >= n) return;\n{self.body}}}\n"


def probes() -> tuple[Probe, ...]:
    """All of them, the ones that kernels use most first."""
    single = [_unary(name) for name in ("ex2", "rcp", "rsqrt", "lg2", "sin", "cos", "sqrt")]
    flushed = [_unary(f"{name}.approx.ftz") for name in ("ex2", "rcp", "rsqrt", "lg2", "sin", "cos", "sqrt")]
    packed = [
        _packed("ex2.approx.f16x2", DType.FLOAT16),
        _packed("tanh.approx.f16x2", DType.FLOAT16),
        _packed("ex2.approx.ftz.bf16x2", DType.BFLOAT16),
        _packed("tanh.approx.bf16x2", DType.BFLOAT16),
    ]
    return (
        *single,
        _unary("tanh"),
        *(_product(*facts) for facts in _PRODUCTS),
        *flushed,
        _binary("div.approx.f32"),
        _binary("div.full.f32"),
        *packed,
        _double("rcp.approx.ftz.f64"),
        _double("rsqrt.approx.ftz.f64"),
    )


def source(chosen: tuple[Probe, ...]) -> str:
    """One translation unit of their kernels."""
    return "\n".join(probe.text for probe in chosen)


def _unary(name: str) -> Probe:
    opcode = f"{name}.f32" if "." in name else f"{name}.approx.f32"
    body = (
        f'  float d;\n  asm volatile("{opcode} %0, %1;" : "=f"(d) : "f"(__uint_as_float(x[i])));\n'
        "  y[i] = __float_as_uint(d);\n"
    )
    return Probe(opcode, DType.FLOAT32, singles(COUNT), body, COUNT, COUNT)


def _binary(opcode: str) -> Probe:
    body = (
        f'  float d;\n  asm volatile("{opcode} %0, %1, %2;" : "=f"(d) : "f"(__uint_as_float(x[i])),'
        ' "f"(__uint_as_float(x[n + i])));\n  y[i] = __float_as_uint(d);\n'
    )
    return Probe(opcode, DType.FLOAT32, np.concatenate([singles(COUNT), singles(COUNT, 5)]), body, COUNT, COUNT)


def _packed(opcode: str, dtype: DType) -> Probe:
    body = f'  unsigned d;\n  asm volatile("{opcode} %0, %1;" : "=r"(d) : "r"(x[i]));\n  y[i] = d;\n'
    draw = np.random.default_rng(3)
    every = np.arange(1 << 16, dtype=np.uint32)  # Each half-precision value there is, beside any other.
    return Probe(opcode, dtype, every | (draw.permutation(every) << np.uint32(16)), body, 1 << 16, 1 << 16)


def _double(opcode: str) -> Probe:
    body = (
        f'  double d;\n  asm volatile("{opcode} %0, %1;" : "=d"(d) : "d"(__hiloint2double(x[2 * i + 1], x[2 * i])));\n'
        "  y[2 * i] = __double2loint(d);\n  y[2 * i + 1] = __double2hiint(d);\n"
    )
    draw = np.random.default_rng(4)
    exponents = draw.integers(-1074, 1024, COUNT)
    values = np.ldexp(draw.uniform(1, 2, COUNT) * draw.choice([-1.0, 1.0], COUNT), exponents)
    values[:6] = (0.0, -0.0, np.inf, -np.inf, np.nan, 1.0)
    return Probe(opcode, DType.FLOAT64, values.view(np.uint32), body, COUNT, 2 * COUNT)


def singles(count: int, seed: int = 1) -> Words:
    """Float32 patterns: special values, all exponents, and the ranges that kernels pass."""
    draw = np.random.default_rng(seed)
    special = np.array(
        [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.5,
            2.0,
            np.inf,
            -np.inf,
            np.nan,
            1e-45,
            -1e-45,
            1.1754944e-38,
            3.4028235e38,
            88.7,
            -104,
        ],
        np.float32,
    ).view(np.uint32)
    third = (count - special.size) // 3
    any_bits = draw.integers(0, 1 << 32, third, np.uint32)
    usual = draw.normal(0, 4, third).astype(np.float32).view(np.uint32)
    rest = draw.uniform(-130, 130, count - special.size - 2 * third).astype(np.float32).view(np.uint32)
    return np.concatenate([special, any_bits, usual, rest])


_PRODUCTS: tuple[tuple[str, str, int, int, int, str, DType], ...] = (
    ("m16n8k16.row.col.f32.f16.f16.f32", "f16", 4, 2, 4, "f", DType.FLOAT32),
    ("m16n8k16.row.col.f32.bf16.bf16.f32", "bf16", 4, 2, 4, "f", DType.FLOAT32),
    ("m16n8k16.row.col.f16.f16.f16.f16", "f16", 4, 2, 2, "r", DType.FLOAT16),
    ("m16n8k8.row.col.f32.tf32.tf32.f32", "tf32", 4, 2, 4, "f", DType.FLOAT32),
    ("m16n8k32.row.col.f32.e4m3.e4m3.f32", "e4m3", 4, 2, 4, "f", DType.FLOAT32),
    ("m16n8k32.row.col.s32.s8.s8.s32", "s8", 4, 2, 4, "r", DType.INT32),
)
"""Shape and types, operand type, registers of A, B and of the sum, their constraint, result."""


def _product(shape: str, kind: str, a: int, b: int, c: int, constraint: str, result: DType) -> Probe:
    """Each lane reads its own fragments as the instruction takes them; which element they are does not matter."""
    opcode, each = f"mma.sync.aligned.{shape}", a + b + c
    regs = [f"%{number}" for number in range(c + a + b + c)]
    parts = [regs[:c], regs[c : c + a], regs[c + a : c + a + b], regs[c + a + b :]]
    text = ", ".join("{" + ", ".join(part) + "}" for part in parts)
    held = "float" if constraint == "f" else "unsigned"
    read = "__uint_as_float(x[i * {e} + {k}])" if constraint == "f" else "x[i * {e} + {k}]"
    inputs = [f'"r"(x[i * {each} + {k}])' for k in range(a + b)]
    inputs += [f'"{constraint}"({read.format(e=each, k=k)})' for k in range(a + b, each)]
    outputs = ", ".join(f'"={constraint}"(d{k})' for k in range(c))
    store = "__float_as_uint(d{k})" if constraint == "f" else "d{k}"
    body = (
        f"  {held} {', '.join(f'd{k}' for k in range(c))};\n"
        f'  asm volatile("{opcode} {text};" : {outputs} : {", ".join(inputs)});\n'
        + "".join(f"  y[i * {c} + {k}] = {store.format(k=k)};\n" for k in range(c))
    )
    lanes = TILES * WARP
    operands = np.concatenate([_fragments(kind, lanes, a + b), _sums(kind, result, lanes, c)], axis=1)
    return Probe(opcode, result, np.ascontiguousarray(operands).reshape(-1), body, lanes, lanes * c)


def _fragments(kind: str, lanes: int, registers: int) -> Words:
    """Factors whose exponents differ, so that the order and the width of a sum show."""
    draw = np.random.default_rng(len(kind))
    shape = (lanes, registers)
    if kind == "s8":
        return draw.integers(0, 1 << 32, shape, np.uint32)
    if kind == "e4m3":
        codes = draw.integers(0, 0x7F, (*shape, 4), np.uint8) | draw.choice(np.array([0, 0x80], np.uint8), (*shape, 4))
        return np.ascontiguousarray(codes).view(np.uint32)[..., 0]
    parts = 1 if kind == "tf32" else 2
    values = draw.normal(0, 1, (*shape, parts)) * np.exp2(draw.integers(-9, 5, (*shape, parts)))
    if kind == "f16":
        return np.ascontiguousarray(values.astype(np.float16)).view(np.uint32)[..., 0]
    bits = values.astype(np.float32).view(np.uint32)
    if kind == "tf32":
        return np.ascontiguousarray(bits[..., 0] & np.uint32(0xFFFFE000))
    return np.ascontiguousarray((bits[..., 0] >> np.uint32(16)) | (bits[..., 1] & np.uint32(0xFFFF0000)))


def _sums(kind: str, result: DType, lanes: int, registers: int) -> Words:
    draw = np.random.default_rng(99)
    if result is DType.INT32:
        return draw.integers(0, 1 << 32, (lanes, registers), np.uint32)
    if result is DType.FLOAT16:
        halves: NDArray[Any] = draw.normal(0, 8, (lanes, registers, 2)).astype(np.float16)
        return np.ascontiguousarray(halves).view(np.uint32)[..., 0]
    scale = np.exp2(draw.integers(-12, 14, (lanes, registers)))
    return (draw.normal(0, 1, (lanes, registers)) * scale).astype(np.float32).view(np.uint32)
