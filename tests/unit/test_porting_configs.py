"""Configurations of `@triton.autotune` are written out where they consist of literals, and nothing is ever run."""

from __future__ import annotations

import ast

import pytest

from warpsmith.porting.triton_configs import MOST, written_out
from warpsmith.porting.triton_text import config_of

CONSTANTS = {
    "WARPS": ast.parse("(2, 4)", mode="eval").body,
    "LISTED": ast.parse("[triton.Config({'A': 1}), triton.Config({'A': 2})]", mode="eval").body,
    "LOOP": ast.parse("LOOP + LISTED", mode="eval").body,
}


def configs(text: str) -> list[dict[str, int] | None]:
    return [config_of(item) for item in written_out(ast.parse(text, mode="eval").body, CONSTANTS)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[triton.Config({'A': 1}), triton.Config({'A': 2}, num_warps=8)]", [{"A": 1}, {"A": 2, "num_warps": 8}]),
        ("LISTED", [{"A": 1}, {"A": 2}]),
        ("[*LISTED, triton.Config({'A': 3})]", [{"A": 1}, {"A": 2}, {"A": 3}]),
        ("LISTED[:0] + LISTED", []),
        ("[triton.Config({'A': 4})] + LISTED", [{"A": 4}, {"A": 1}, {"A": 2}]),
        ("[triton.Config({'A': a}, num_warps=w) for a in [16, 32] for w in WARPS]", [
            {"A": 16, "num_warps": 2}, {"A": 16, "num_warps": 4}, {"A": 32, "num_warps": 2}, {"A": 32, "num_warps": 4},
        ]),
        ("[triton.Config({'A': 2 * a, 'B': a // 2}) for a in range(4, 9) if a % 4 == 0]", [
            {"A": 8, "B": 2}, {"A": 16, "B": 4},
        ]),
        ("[triton.Config({'A': a, 'B': b}) for a in (1, 2) for b in (1, 2) if a * b < 4 and not a == b]", [
            {"A": 1, "B": 2}, {"A": 2, "B": 1},
        ]),
        ("[triton.Config({'A': a}, num_warps=w) for a, w in [(8, 1), (16, 2)]]", [
            {"A": 8, "num_warps": 1}, {"A": 16, "num_warps": 2},
        ]),
    ],
)  # fmt: skip
def test_literals_are_written_out(text: str, expected: list[dict[str, int]]) -> None:
    assert expected == configs(text)


@pytest.mark.parametrize(
    "text",
    [
        "get_configs()",
        "LOOP",
        "[triton.Config({'A': a}) for a in sizes()]",
        "[triton.Config({'A': a}) for a in [1, 2] if keep(a)]",
        "[triton.Config({'A': a}) for a in [1] if 1 // 0]",
        f"[triton.Config({{'A': a}}) for a in range({10**9})]",
        "[triton.Config({'A': a}) for a in range(1.5, 'x')]",
        "[triton.Config({'A': a}) for a, b in [1, 2]]",
        "UNKNOWN",
    ],
)
def test_what_would_have_to_run_is_left_open(text: str) -> None:
    assert [] == configs(text)


def test_a_value_that_would_have_to_run_leaves_its_configuration_open() -> None:
    assert [None, {"A": 2}] == configs("[triton.Config({'A': ask()}), triton.Config({'A': 2})]")


def test_no_more_are_written_out_than_knobs_may_combine() -> None:
    assert MOST == len(configs("[triton.Config({'A': a, 'B': b}) for a in range(100) for b in range(100)]"))
