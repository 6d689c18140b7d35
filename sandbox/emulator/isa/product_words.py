"""What the words of `mma` and `wmma.mma` say, and which combinations there are.

Source: PTX ISA 9.0, sections "mma.sync", "mma.sp" and "wmma.mma": shapes and types by architecture up to sm_90.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

Words = tuple[str, ...]

INTEGERS = frozenset(("s8", "u8", "s4", "u4", "b1"))
EIGHT_BIT_FLOATS = ("e4m3", "e5m2")


@dataclass(frozen=True, slots=True)
class Shape:
    m: int
    n: int
    k: int

    @classmethod
    def parse(cls, word: str) -> Shape:
        m, rest = word[1:].split("n")
        n, k = rest.split("k")
        return cls(int(m), int(n), int(k))

    def __str__(self) -> str:
        return f"m{self.m}n{self.n}k{self.k}"


@dataclass(frozen=True, slots=True)
class Product:
    """D = A x B + C of one instruction."""

    shape: Shape
    d: str
    a: str
    b: str
    c: str
    saturates: bool = False
    bits: str = ""
    """`and` or `xor`: what b1 operands are combined by before ones are counted."""
    sparse: bool = False
    """A holds the nonzero half of its elements; a metadata operand says which."""

    @property
    def name(self) -> str:
        """Name of the row, behind `mma.` or `wmma.mma.`."""
        kinds = f"{self.d}.{self.a}.{self.b}.{self.c}"
        words = ["sp"] * self.sparse + [str(self.shape), kinds] + [self.bits] * bool(self.bits)
        return ".".join(words + ["satfinite"] * self.saturates)


def _is_shape(word: str) -> bool:
    return word[:1] == "m" and word[1:2].isdigit()


def product(words: Words) -> Product | None:
    """The product that an instruction's words name; None where a word is unknown.

    `mma[.sp[::ordered_metadata]].sync.aligned.SHAPE.row.col[.satfinite].D.A.B.C[.xor.popc]`; `wmma.mma` has its layouts
    before the shape, `.satfinite` last, `.xor.popc` before `.sync`, and leaves out A and B where they are fp16.
    """
    sparse = any(word in ("sp", "sp::ordered_metadata") for word in words)
    shapes = [word for word in words if _is_shape(word)]
    kinds = [word for word in words if word in _KINDS]
    bits = [word for word in words if word in ("and", "xor")]
    known = {"sp", "sp::ordered_metadata", "sync", "aligned", "row", "col", "satfinite", "popc", "rn", "mma"}
    rest = set(words) - known - {*shapes, *kinds, *bits}
    if rest or len(shapes) != 1 or not {"sync", "aligned"} <= set(words) or len(bits) > 1:
        return None
    if len(kinds) == 2:
        kinds = [kinds[0], "f16", "f16", kinds[1]]
    if len(kinds) != 4 or bool(bits) != (kinds[1] == "b1"):
        return None
    d, a, b, c = kinds
    # The saturation of floating sums is without effect on sm_80 and later.
    saturates = "satfinite" in words and d == "s32"
    return Product(Shape.parse(shapes[0]), d, a, b, c, saturates, bits[0] if bits else "", sparse)


_KINDS = frozenset(
    ("f16", "bf16", "tf32", "e4m3", "e5m2", "f32", "f64", "s8", "u8", "s4", "u4", "b1", "s32")
)  # fmt: skip


def _floats(shapes: str, kinds: tuple[str, ...], *, sparse: bool = False) -> Iterator[Product]:
    """`kinds`: `d.a.b.c` with one name for A and B, `f32.f16`."""
    for shape in shapes.split():
        for kind in kinds:
            d, a, *b = kind.split(".")
            yield Product(Shape.parse(shape), d, a, b[0] if b else a, d, sparse=sparse)


def _whole(shapes: str, kinds: tuple[str, str], *, sparse: bool = False) -> Iterator[Product]:
    for shape in shapes.split():
        for a in kinds:
            for b in kinds:
                for saturates in (False, True):
                    yield Product(Shape.parse(shape), "s32", a, b, "s32", saturates, sparse=sparse)


def _ones(shapes: str) -> Iterator[Product]:
    for shape in shapes.split():
        for bits in ("xor", "and"):
            yield Product(Shape.parse(shape), "s32", "b1", "b1", "s32", bits=bits)


_EIGHT = tuple(f"{d}.{a}.{b}" for d in ("f32", "f16") for a in EIGHT_BIT_FLOATS for b in EIGHT_BIT_FLOATS)

MMA_PRODUCTS: tuple[Product, ...] = (
    *_floats("m16n8k8 m16n8k16", ("f32.f16", "f16.f16", "f32.bf16")),
    *_floats("m16n8k4 m16n8k8", ("f32.tf32",)),
    *_floats("m16n8k16 m16n8k32", _EIGHT),
    *_floats("m8n8k4 m16n8k4 m16n8k8 m16n8k16", ("f64.f64",)),
    *_whole("m8n8k16 m16n8k16 m16n8k32", ("s8", "u8")),
    *_whole("m8n8k32 m16n8k32 m16n8k64", ("s4", "u4")),
    *_ones("m8n8k128 m16n8k128 m16n8k256"),
    *_floats("m16n8k16 m16n8k32", ("f32.f16", "f16.f16", "f32.bf16"), sparse=True),
    *_floats("m16n8k8 m16n8k16", ("f32.tf32",), sparse=True),
    *_floats("m16n8k64", _EIGHT[:4], sparse=True),
    *_whole("m16n8k32 m16n8k64", ("s8", "u8"), sparse=True),
    *_whole("m16n8k64 m16n8k128", ("s4", "u4"), sparse=True),
)
_HALF_SHAPES = "m16n16k16 m8n32k16 m32n8k16"
WMMA_PRODUCTS: tuple[Product, ...] = (
    *(
        Product(Shape.parse(shape), d, "f16", "f16", c)
        for shape in _HALF_SHAPES.split()
        for d in ("f16", "f32")
        for c in ("f16", "f32")
    ),
    *_floats(_HALF_SHAPES, ("f32.bf16",)),
    *(product for product in _whole(_HALF_SHAPES, ("s8", "u8")) if product.a == product.b),
    *_floats("m16n16k8", ("f32.tf32",)),
    *_floats("m8n8k4", ("f64.f64",)),
    *(product for product in _whole("m8n8k32", ("s4", "u4")) if product.a == product.b),
    *_ones("m8n8k128"),
)

QUADS = "m8n8k4"
QUAD_KINDS = (("f16", "f16"), ("f32", "f16"), ("f32", "f32"))
"""Types of d and c of four products at once (`quad_products.py`)."""


def quads_name(words: Words) -> str | None:
    """Row name of `mma.sync.aligned.m8n8k4.{row,col}.{row,col}.D.f16.f16.C` behind `mma.`; None for anything else."""
    if len(words) != 9 or words[:3] != ("sync", "aligned", QUADS) or words[6:8] != ("f16", "f16"):
        return None
    if not {words[3], words[4]} <= {"row", "col"} or (words[5], words[8]) not in QUAD_KINDS:
        return None
    return f"{QUADS}.{words[5]}.f16.f16.{words[8]}"


def quad_registers(words: Words) -> tuple[int, int, int, int]:
    """Registers of d, a, b, c."""
    return (8 if words[5] == "f32" else 4, 2, 2, 8 if words[8] == "f32" else 4)
