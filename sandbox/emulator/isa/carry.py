"""Extended-precision arithmetic: add.cc, addc, sub.cc, subc, mad.cc, madc as rows over an explicit carry.

The condition code's carry is a register of its own, `CARRY`; `steps_carry.py` strings the rows together.

PTX speaks of a borrow where it subtracts. The flag is the adder's carry all the same, of a + ~b + 1: set where nothing
is borrowed. Chains that mix additions and subtractions show it, NVIDIA's own 128-bit division (`addc` behind `subc.cc`)
among them; see also "Why is addition without overflow set CC.CF to 1?", Stack Overflow 66403252, measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..program import Register
from .number import wrap
from .row import LaneRow, Pipe

CARRY = Register(-1, "%carry", "pred")
"""The carry bit between instructions; its index is before the entry's own registers."""


def _rows() -> Iterator[LaneRow]:
    for width, wide in ((32, "u64"), (64, "u128")):
        kind = f"u{width}"
        pair, triple = (kind, kind), (kind, kind, "pred")

        def add(a: int, b: int, carry: int = 0, width: int = width) -> int:
            return wrap(a + b + carry, width)

        def carries(a: int, b: int, carry: int = 0, width: int = width) -> int:
            return a + b + carry >> width

        def subtract(a: int, b: int, carry: int, width: int = width) -> int:
            return wrap(a - b - 1 + carry, width)

        def covers(a: int, b: int, carry: int = 1) -> int:
            return int(a + carry > b)

        yield LaneRow(f"addc.b{width}", kind, triple, add, "a + b + c", Pipe.ALU)
        yield LaneRow(f"add.carry.b{width}", "pred", pair, carries, f"{kind}(a + b) < a", Pipe.ALU)
        text = f"({wide}(a) + b + c) >> {width} != 0"
        yield LaneRow(f"addc.carry.b{width}", "pred", triple, carries, text, Pipe.ALU)
        yield LaneRow(f"subc.b{width}", kind, triple, subtract, "a - b - 1 + c", Pipe.ALU)
        yield LaneRow(f"sub.carry.b{width}", "pred", pair, covers, "a >= b", Pipe.ALU)
        yield LaneRow(f"subc.carry.b{width}", "pred", triple, covers, f"{wide}(a) + c > {wide}(b)", Pipe.ALU)


ROWS: tuple[LaneRow, ...] = tuple(_rows())
