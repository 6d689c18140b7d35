"""The tree an integer expression parses to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

ARITIES: dict[str, tuple[int, int | None]] = {
    "min": (2, None),
    "max": (2, None),
    "cdiv": (2, 2),
    "align": (2, 2),
    "pow2ceil": (1, 1),
    "ilog2": (1, 1),
}
"""Function -> fewest and most arguments."""
KEYWORDS = frozenset({"and", "or", "not"})


@dataclass(frozen=True, slots=True)
class Literal:
    value: int


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes per element of a tensor or buffer."""

    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Node, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Unary:
    """`-x` or `not x`."""

    operator: str
    operand: Node
    offset: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators of one precedence, applied from the left. A list rather than a tree keeps long sums shallow."""

    first: Node
    rest: tuple[tuple[str, Node, int], ...]
    """(operator, right operand, offset of the operator)."""


Node: TypeAlias = Literal | Name | Size | Call | Unary | Chain
