"""Integer expressions: values, limits, and what an error says."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression

ENV = {"M": 7, "N": 100, "K": 4096, "ZERO": 0}


def value(text: str) -> int:
    return Expression.parse(text).evaluate(ENV, {"x": 2})


def refusal(text: str) -> str:
    with pytest.raises(KernelFileError) as caught:
        value(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (3, "cdiv(M * N, 256)"),
        (-3, "cdiv(-7, 2)"),
        (-4, "-7 // 2"),
        (1, "-7 % 2"),
        (14, "2 + 3 * 4"),
        (20, "(2 + 3) * 4"),
        (5, "10 - 3 - 2"),
        (104, "align(N, 8)"),
        (128, "pow2ceil(N)"),
        (1, "pow2ceil(0)"),
        (12, "ilog2(K)"),
        (7, "min(M, N, K)"),
        (4096, "max(M, N, K)"),
        (200, "size(x) * N"),
        (255, "0xff"),
        (2, "- -2"),
    ],
)
def test_arithmetic_rounds_down_and_knows_the_tiling_functions(expected: int, text: str) -> None:
    assert expected == value(text)


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        (1, "0 < M <= 7 < N"),
        (0, "0 < M < 7 < N"),
        (1, "K % 8 == 0 and not ZERO"),
        (1, "M == 8 or N != 99"),
        (0, "not M"),
        (8, "(M > 3) * 8"),
        (1, "3 and 5"),
        (1, "1 or 0 and 0"),
    ],
)
def test_conditions_are_0_or_1_and_comparisons_chain(expected: int, text: str) -> None:
    assert expected == value(text)


def test_and_and_or_stop_early_so_a_guard_protects_a_division() -> None:
    assert value("ZERO > 0 and K % ZERO == 0") == 0
    assert value("ZERO == 0 or K % ZERO == 0") == 1
    assert "`%` divides 4096 by zero" in refusal("K % ZERO == 0 and ZERO > 0")


def test_names_and_sizes_are_told_apart() -> None:
    expression = Expression.parse("cdiv(M, BM) * size(x) + i")
    assert frozenset({"M", "BM", "i"}) == expression.names
    assert frozenset({"x"}) == expression.sized


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("In `K / 2`: `/` is not an operator here. Write `//` to round down or `cdiv(a, b)` to round up.", "K / 2"),
        ("`**` is not an operator here. Write the product out, or use `pow2ceil(x)` and `ilog2(x)`.", "2 ** 3"),
        ("`&` is not an operator here. Write `and` between conditions, or `%` for the low bits.", "K & 7"),
        ("`&&` is not an operator here. Write `and`.", "M && N"),
        ("`!` is not an operator here. Write `not`.", "!M"),
        ("`=` is not an operator here. Write `==` to compare.", "M = 7"),
        ("`?` is not an operator here. Multiply by a comparison", "M ? 1 : 2"),
        ("`if` is not part of an expression. Multiply by a comparison", "1 if M else 2"),
        ("`.` is not part of an expression. Expressions hold integers only.", "1.5"),
        ("`[` is not part of an expression. Expressions know sizes, not what tensors hold", "x[0]"),
        ("`;` is not part of an expression. Write integer arithmetic over dimensions, knobs and [let] names.", "M; N"),
        ("That is `\u041c` (U+041C CYRILLIC CAPITAL LETTER EM): write expressions in ASCII.", "\u041c + 1"),
        ("There is no function `ceil`. Use `cdiv`.", "ceil(M)"),
        ("There is no function `cdib`. Did you mean `cdiv`?", "cdib(M, 2)"),
        ("`cdiv` takes 2 arguments, not 1.", "cdiv(M)"),
        ("`min` is a function. Write `min(...)`.", "min"),
        ("`(` is not closed: the end stands where `)` should.", "(M + 1"),
        ("A number, a name or `(` should stand where the end is.", "M +"),
        ("A number, a name or `(` should stand where `)` is.", "cdiv(M, )"),
        ("`16k` is not an integer. Write it without a suffix.", "16k"),
        ("`010` starts with a zero.", "010"),
        ("`N2` is unknown. Did you mean `N`?", "N2"),
        ("`w` in `size(w)` is neither a tensor nor a buffer. Known are: x.", "size(w)"),
        ("`//` divides 7 by zero. Guard it: `max(x, 1)`, or `x > 0 and ...`.", "M // ZERO"),
        ("`cdiv` divides 7 by zero.", "cdiv(M, 0)"),
        ("`ilog2` of 0 does not exist. It takes 1 or more.", "ilog2(ZERO)"),
        ("`*` gives 1152921504606846976000, outside 64-bit integers.", "K * K * K * K * K * 1000"),
        ("does not fit a 64-bit integer", "9223372036854775808"),
        ("outside 64-bit integers", "pow2ceil(9223372036854775807)"),
        ("nests deeper than 24. Name parts of it under [let].", "(" * 30 + "1" + ")" * 30),
        ("has 2000 characters; at most 1024 are allowed.", "1" * 2000),
    ],
)
def test_what_is_refused_is_named_with_what_to_write_instead(message: str, text: str) -> None:
    assert message in refusal(text)


def test_an_error_points_at_the_character() -> None:
    with pytest.raises(KernelFileError) as caught:
        Expression.parse("K % 8 == 0 && N", line=12, column=20)
    assert (caught.value.line, caught.value.column) == (12, 31)


def test_a_long_sum_needs_no_deep_recursion() -> None:
    assert value("+".join(["1"] * 512)) == 512


def test_the_largest_64_bit_values_are_still_values() -> None:
    assert value("9223372036854775807") == 2**63 - 1
    assert value("-9223372036854775807 - 1") == -(2**63)
    assert "outside 64-bit" in refusal("9223372036854775807 + 1")


@given(st.one_of(st.text(max_size=60), st.text("MNKx0123456789+-*/%()<>=!&|, mincdvzeotr", max_size=60)))
def test_any_text_gives_a_value_or_a_kernel_file_error(text: str) -> None:
    with contextlib.suppress(KernelFileError):
        assert isinstance(value(text), int)


_TREES = st.recursive(
    st.one_of(st.integers(0, 50).map(str), st.sampled_from(["M", "N"])),
    lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "//", "%", "<", "=="]), inner).map(
        lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
    ),
    max_leaves=8,
)


@given(_TREES)
def test_arithmetic_agrees_with_python(text: str) -> None:
    try:
        expected = int(eval(text, {"M": 7, "N": 100}))
    except ZeroDivisionError:
        assert "by zero" in refusal(text)
    else:
        assert expected == value(text)
