"""Moves, packing and unpacking, and changes between address spaces.

`mov.b64 %rd, {%r1, %r2}` is the row `mov.pack.b64.b32x2`; `mov.b64 {%r1, %r2}, %rd` is one row an item,
`mov.unpack.b64.b32.0` and `.1` (item 0 is the least significant). `steps.py` builds both.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..machine import ADDRESS_BASE, CONST_WINDOW, LOCAL_WINDOW, PARAM_WINDOW, SHARED_WINDOW, WINDOW_BYTES
from .number import wrap
from .row import LaneRow, Pipe

PACKINGS = ((16, 8, 2), (32, 8, 4), (32, 16, 2), (64, 32, 2), (64, 16, 4))
"""(whole, item, count) of vector moves, in bits; 64-bit rows take at most four items."""

WINDOWS = {"shared": SHARED_WINDOW, "local": LOCAL_WINDOW, "const": CONST_WINDOW, "param": PARAM_WINDOW}


def _moves() -> Iterator[LaneRow]:
    for width in (16, 32, 64):
        kind = f"u{width}"
        yield LaneRow(f"mov.b{width}", kind, (kind,), lambda a: a, "a", Pipe.ALU)
    yield LaneRow("mov.pred", "pred", ("pred",), lambda a: a, "a", Pipe.ALU)


def _packs() -> Iterator[LaneRow]:
    for whole, item, count in PACKINGS:
        kind = f"u{whole}"

        def pack(*items: int, item: int = item) -> int:
            return sum(bits << item * i for i, bits in enumerate(items))

        letters = "abcd"[:count]
        text = " | ".join(f"{kind}({letter}) << {item * i}" for i, letter in enumerate(letters))
        name = f"mov.pack.b{whole}.b{item}x{count}"
        yield LaneRow(name, kind, (f"u{item}",) * count, pack, text, Pipe.ALU)
        for i in range(count):

            def unpack(a: int, item: int = item, i: int = i) -> int:
                return wrap(a >> item * i, item)

            name = f"mov.unpack.b{whole}.b{item}.{i}"
            yield LaneRow(name, f"u{item}", (kind,), unpack, f"a >> {item * i}", Pipe.ALU)


def _address_spaces() -> Iterator[LaneRow]:
    """Generic addresses: global ones as they are, the other spaces at windows of `machine.py`."""
    for width in (32, 64):
        kind = f"u{width}"
        for to in ("", ".to"):
            yield LaneRow(f"cvta{to}.global.{kind}", kind, (kind,), lambda a: a, "a", Pipe.NONE)
        for space, window in WINDOWS.items():

            def into(a: int, window: int = window, width: int = width) -> int:
                return wrap(a + window, width)

            def out_of(a: int, window: int = window, width: int = width) -> int:
                return wrap(a - window, width)

            base = f"{kind}({window:#x}ull)"
            yield LaneRow(f"cvta.{space}.{kind}", kind, (kind,), into, f"a + {base}", Pipe.ALU)
            yield LaneRow(f"cvta.to.{space}.{kind}", kind, (kind,), out_of, f"a - {base}", Pipe.ALU)
    for space, window in WINDOWS.items():

        def inside(a: int, window: int = window) -> int:
            return int(window <= a < window + WINDOW_BYTES)

        text = f"a - {window:#x}ull < {WINDOW_BYTES:#x}ull"
        yield LaneRow(f"isspacep.{space}", "pred", ("u64",), inside, text, Pipe.ALU)

    def is_global(a: int) -> int:
        return int(a >= ADDRESS_BASE)

    yield LaneRow("isspacep.global", "pred", ("u64",), is_global, f"a >= {ADDRESS_BASE:#x}ull", Pipe.ALU)


ROWS: tuple[LaneRow, ...] = (*_moves(), *_packs(), *_address_spaces())
