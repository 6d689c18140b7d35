"""Extended-precision arithmetic: add.cc, addc, sub.cc, subc, mad.cc, madc as rows over an explicit carry.

The condition code's carry is a register of its own, `CARRY`; `steps_carry.py` strings the rows together.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..program import Register
from .number import wrap
from .row import LaneRow, Pipe

CARRY = Register(-1, "%carry", "pred")
"""The carry (or borrow) bit between instructions; its index is before the entry's own registers."""


def _rows() -> Iterator[LaneRow]:
    for width, wide in ((32, "u64"), (64, "u128")):
        kind = f"u{width}"
        pair, triple = (kind, kind), (kind, kind, "pred")

        def add(a: int, b: int, carry: int = 0, width: int = width) -> int:
            return wrap(a + b + carry, width)

        def carries(a: int, b: int, carry: int = 0, width: int = width) -> int:
            return a + b + carry >> width

        def subtract(a: int, b: int, borrow: int, width: int = width) -> int:
            return wrap(a - b - borrow, width)

        def borrows(a: int, b: int, borrow: int = 0) -> int:
            return int(a < b + borrow)

        yield LaneRow(f"addc.b{width}", kind, triple, add, "a + b + c", Pipe.ALU)
        yield LaneRow(f"add.carry.b{width}", "pred", pair, carries, f"{kind}(a + b) < a", Pipe.ALU)
        text = f"({wide}(a) + b + c) >> {width} != 0"
        yield LaneRow(f"addc.carry.b{width}", "pred", triple, carries, text, Pipe.ALU)
        yield LaneRow(f"subc.b{width}", kind, triple, subtract, "a - b - c", Pipe.ALU)
        yield LaneRow(f"sub.carry.b{width}", "pred", pair, borrows, "a < b", Pipe.ALU)
        yield LaneRow(f"subc.carry.b{width}", "pred", triple, borrows, f"{wide}(a) < {wide}(b) + c", Pipe.ALU)


ROWS: tuple[LaneRow, ...] = tuple(_rows())
