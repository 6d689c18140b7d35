"""Every matrix product of the table, generated: both executors give the same bits for random fragments."""

import random
import struct
from pathlib import Path

import numpy as np
import pytest

from warpsmith.sandbox.emulator import launch as vm
from warpsmith.sandbox.emulator.isa import execute
from warpsmith.sandbox.emulator.isa.fragments import ELEMENTS
from warpsmith.sandbox.emulator.isa.matrix import fragments_of
from warpsmith.sandbox.emulator.isa.number import FORMATS
from warpsmith.sandbox.emulator.isa.product_words import INTEGERS, MMA_PRODUCTS, WMMA_PRODUCTS, Product, Shape
from warpsmith.sandbox.emulator.machine import LaunchResult, LaunchSpec, Memory, Options
from warpsmith.sandbox.emulator.program import Module
from warpsmith.sandbox.emulator.ptx import parse_module

from .conftest import compiled

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n.visible .entry k(.param .u64 x, .param .u64 y) {\n"


def registers(words: Product, opcode: str, part: str) -> int:
    """Registers of a lane. `wmma` has eight for fp16 operands of every shape, which hold some elements twice."""
    if opcode == "wmma" and words.a == "f16" and part in "ab":
        return 8
    fragment = fragments_of(words, wmma=opcode == "wmma")[part]
    return max(1, fragment.rows * fragment.columns // 32 // fragment.element.per_register)


def spelling(words: Product, opcode: str) -> str:
    kinds = f"{words.d}.{words.a}.{words.b}.{words.c}"
    if opcode == "wmma":
        bits = f".{words.bits}.popc" if words.bits else ""
        kinds = f"{words.d}.{words.c}" if words.a == "f16" else kinds
        return f"wmma.mma{bits}.sync.aligned.row.col.{words.shape}.{kinds}{'.satfinite' * words.saturates}"
    sparse, saturates = ".sp::ordered_metadata" * words.sparse, ".satfinite" * words.saturates
    bits = f".{words.bits}.popc" if words.bits else ""
    return f"mma{sparse}.sync.aligned.{words.shape}.row.col{saturates}.{kinds}{bits}"


def program(words: Product, opcode: str) -> tuple[str, int]:
    """A kernel that loads every lane's fragments, multiplies and stores D; and the words a lane loads."""
    parts = fragments_of(words, wmma=opcode == "wmma")
    text = [".reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .b32 %w<99>; .reg .b64 %q<99>;"]
    names, at = {}, 0
    loads = []
    for part in "abcd":
        wide = parts[part].element.bits == 64
        found = []
        for _ in range(registers(words, opcode, part)):
            name = f"%{'q' if wide else 'w'}{at}"
            found.append(name)
            if part != "d":
                loads.append(f"ld.global.b{64 if wide else 32} {name}, [%rd1+{8 * at}];")
            at += 1
        names[part] = "{" + ", ".join(found) + "}"
    count = at
    text.append("mov.u32 %r0, %tid.x; ld.param.u64 %rd1, [x]; ld.param.u64 %rd2, [y];")
    text.append(f"mul.wide.u32 %rd3, %r0, {8 * (count + 1)}; add.s64 %rd1, %rd1, %rd3; add.s64 %rd2, %rd2, %rd3;")
    text += loads
    metadata = ""
    if words.sparse:
        text.append(f"ld.global.b32 %r1, [%rd1+{8 * count}];")
        metadata = ", %r1, 0x0"
    text.append(f"{spelling(words, opcode)} {names['d']}, {names['a']}, {names['b']}, {names['c']}{metadata};")
    for i, name in enumerate(names["d"].strip("{}").split(", ")):
        text.append(f"st.global.b{64 if name[1] == 'q' else 32} [%rd2+{8 * i}], {name};")
    return HEAD + "\n".join(text) + " ret; }", count + 1


def bits_of(kind: str, rng: random.Random) -> int:
    """Bits of one element: of everyday size, now and then a zero, an infinity or the largest."""
    if kind in INTEGERS or kind == "s32":
        return rng.getrandbits(ELEMENTS[kind].bits)
    form = FORMATS["f32" if kind == "tf32" else kind]
    value = rng.choice((0.0, 1.0, rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(-1e-3, 1e-3)))
    return form.infinite(negative=False) if rng.randrange(400) == 0 else form.from_float(value)


def register_of(fragment_kind: str, rng: random.Random) -> int:
    element = ELEMENTS[fragment_kind]
    return sum(bits_of(fragment_kind, rng) << element.bits * e for e in range(element.per_register))


def metadata_of(words: Product, rng: random.Random) -> int:
    """One lane's word: ordered pairs of indices; of tf32, which element of two."""
    if words.a == "tf32":
        return sum(rng.choice((0b0100, 0b1110)) << 4 * i for i in range(8))
    pairs = [(i, j) for j in range(4) for i in range(j)]
    return sum((first | second << 2) << 4 * i for i, (first, second) in enumerate(rng.choices(pairs, k=8)))


def operands(words: Product, opcode: str, each: int) -> np.ndarray:
    rng = random.Random(f"{opcode}.{words.name}")
    lanes = []
    for _ in range(32):
        found = [
            register_of(kind, rng)
            for part, kind in zip("abc", (words.a, words.b, words.c), strict=True)
            for _ in range(registers(words, opcode, part))
        ]
        found += [0] * (each - 1 - len(found))
        lanes.append([*found, metadata_of(words, rng)])
    return np.array(lanes, np.uint64)


def run(executor: object, module: Module, x: np.ndarray, y: np.ndarray) -> LaunchResult:
    memory = Memory()
    params = struct.pack(
        "<QQ",
        memory.allocate("x", x.reshape(-1).view(np.uint8), writable=False, initialised=True),
        memory.allocate("y", y.reshape(-1).view(np.uint8), writable=True, initialised=False),
    )
    spec = LaunchSpec((1, 1, 1), (32, 1, 1), 0, params)
    name = module.entries[0].name
    return executor.launch(module, name, spec, memory, Options(counters=False))  # type: ignore[attr-defined]


ROWS = [("mma", words) for words in MMA_PRODUCTS] + [("wmma", words) for words in WMMA_PRODUCTS]


@pytest.mark.parametrize(("opcode", "words"), ROWS, ids=[f"{opcode}.{words.name}" for opcode, words in ROWS])
def test_both_executors_multiply_alike(opcode: str, words: Product) -> None:
    text, each = program(words, opcode)
    module, x = parse_module(text), operands(words, opcode, each)
    slow, fast = np.zeros((32, each), np.uint64), np.zeros((32, each), np.uint64)
    assert [None, None] == [run(execute, module, x, slow).fault, run(vm, module, x, fast).fault]
    np.testing.assert_array_equal(canonical(slow, words), canonical(fast, words))
    assert fast.any()


def canonical(bits: np.ndarray, words: Product) -> np.ndarray:
    """Fragments with one NaN: its payload is the machine's choice."""
    if words.d == "f64":
        values = bits.view(np.float64)
    elif words.d == "f16":
        values = bits.view(np.float16)
    elif words.d == "f32":
        values = bits.view(np.float32)
    else:
        return bits
    return np.where(np.isnan(values), np.array(np.nan, values.dtype), values)


# Positions as the ISA's figures have them, written out anew: (row, column) of element i of a lane.
FIGURES = [
    ("m16n8k64.s32.s4.s4.s32", "a", lambda g, t, i: (g + 8 * (i // 8 % 2), 8 * t + i % 8 + 32 * (i // 16))),
    ("m16n8k64.s32.s4.s4.s32", "b", lambda g, t, i: (8 * t + i % 8 + 32 * (i // 8), g)),
    ("m16n8k256.s32.b1.b1.s32.and", "a", lambda g, t, i: (g + 8 * (i // 32 % 2), 32 * t + i % 32 + 128 * (i // 64))),
    ("m16n8k16.f64.f64.f64.f64", "a", lambda g, t, i: (g + 8 * (i % 2), t + 4 * (i // 2))),
    ("m16n8k32.f32.e4m3.e5m2.f32", "b", lambda g, t, i: (4 * t + i % 4 + 16 * (i // 4), g)),
    ("m16n8k16.f32.bf16.bf16.f32", "a", lambda g, t, i: (g + 8 * (i // 2 % 2), 2 * t + i % 2 + 8 * (i // 4))),
    ("m16n8k8.f32.tf32.tf32.f32", "a", lambda g, t, i: (g + 8 * (i % 2), t + 4 * (i // 2))),
    ("m8n8k32.s32.s4.u4.s32", "a", lambda g, t, i: (g, 8 * t + i)),
    ("m16n8k16.f32.f16.f16.f32", "c", lambda g, t, i: (g + 8 * (i // 2), 2 * t + i % 2)),
    ("sp.m16n8k32.f32.f16.f16.f32", "a", lambda g, t, i: (g + 8 * (i // 2 % 2), 2 * t + i % 2 + 8 * (i // 4))),
    ("sp.m16n8k32.f32.f16.f16.f32", "b", lambda g, t, i: (2 * t + i % 2 + 8 * (i // 2), g)),
]


@pytest.mark.parametrize(("name", "part", "position"), FIGURES)
def test_fragments_lie_as_in_the_figures_of_the_manual(name: str, part: str, position: object) -> None:
    words = next(words for words in MMA_PRODUCTS if words.name == name)
    fragment = fragments_of(words, wmma=False)[part]
    slots = fragment.rows * fragment.columns // 32
    for lane in range(32):
        expected = [position(lane // 4, lane % 4, i) for i in range(slots)]  # type: ignore[operator]
        assert expected == fragment.positions(lane, slots)


SOURCE = Path(__file__).with_name("wmma.cu").read_text()
WMMAS = {
    "half_float": (Shape(16, 16, 16), np.float16, np.float32),
    "half_half": (Shape(32, 8, 16), np.float16, np.float16),
    "signed_bytes": (Shape(16, 16, 16), np.int8, np.int32),
    "unsigned_bytes": (Shape(32, 8, 16), np.uint8, np.int32),
    "bytes_wide": (Shape(8, 32, 16), np.int8, np.int32),
    "doubles": (Shape(8, 8, 4), np.float64, np.float64),
    "tf32": (Shape(16, 16, 8), np.float32, np.float32),
}


@pytest.mark.parametrize("executor", [execute, vm], ids=["readable", "vm"])
@pytest.mark.parametrize("name", sorted(WMMAS))
def test_wmma_multiplies_what_memory_holds(executor: object, name: str) -> None:
    shape, kind, sums = WMMAS[name]
    rng = np.random.default_rng(5)
    a, b = (rng.integers(-4, 5, size).astype(kind) for size in ((shape.m, shape.k), (shape.n, shape.k)))
    module = compiled(SOURCE).module
    x = np.concatenate([a.reshape(-1), b.reshape(-1)])
    y = np.zeros(shape.m * shape.n, sums)
    only = Module(**{f: getattr(module, f) for f in module.__slots__} | {"entries": (module.entry(name),)})
    assert run(executor, only, x, y).fault is None
    expected = a.astype(np.float64) @ b.astype(np.float64).T
    np.testing.assert_array_equal(expected.reshape(-1), y.astype(np.float64))


@pytest.mark.parametrize("executor", [execute, vm], ids=["readable", "vm"])
@pytest.mark.parametrize(("name", "depth", "bits"), [("nibbles", 32, 4), ("single_bits", 128, 1)])
def test_wmma_of_less_than_a_byte_multiplies_what_memory_holds(
    executor: object, name: str, depth: int, bits: int
) -> None:
    x = np.random.default_rng(6).integers(0, 256, 2 * 8 * depth * bits // 8, np.uint8)
    flat = np.unpackbits(x, bitorder="little").reshape(-1, bits)
    numbers = flat @ np.array([1, 2, 4, -8])[:bits]
    a, b = numbers.reshape(2, 8, depth).astype(np.int64)
    module, y = compiled(SOURCE).module, np.zeros(64, np.int32)
    only = Module(**{f: getattr(module, f) for f in module.__slots__} | {"entries": (module.entry(name),)})
    assert run(executor, only, x, y).fault is None
    np.testing.assert_array_equal((a @ b.T).reshape(-1), y)
