"""fp32 and fp64 arithmetic.

Exact instructions are defined by `number.Format`: computed exactly, rounded once. Approximate ones are
defined as the function rounded to nearest, and their rows say how far the hardware may be from that (PTX ISA,
"Floating Point Instructions", maximum errors).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

from .number import F32, F64, Format
from .row import Deviation, LaneRow, Pipe

Meaning = Callable[..., int]
DIRECTED = {"rz": "RZ", "rm": "RM", "rp": "RP"}


def _variants(
    name: str, form: Format, arity: int, meaning: Meaning, cpp: str, pipe: Pipe, *, sat: bool = True
) -> Iterator[LaneRow]:
    """The row and, for f32, its `.ftz`, `.sat` and `.ftz.sat` siblings."""
    kinds = (form.name,) * arity
    yield LaneRow(f"{name}.{form.name}", form.name, kinds, meaning, cpp, pipe)
    if form is not F32:
        return
    flushed_cpp = f"ftz({_with_flushed_operands(cpp, arity)})"

    def flushed(*operands: int) -> int:
        return F32.flushed(meaning(*map(F32.flushed, operands)))

    yield LaneRow(f"{name}.ftz.f32", "f32", kinds, flushed, flushed_cpp, pipe)
    if not sat:
        return

    def saturated(*operands: int) -> int:
        return F32.saturated(meaning(*operands))

    def flushed_saturated(*operands: int) -> int:
        return F32.saturated(flushed(*operands))

    yield LaneRow(f"{name}.sat.f32", "f32", kinds, saturated, f"sat({cpp})", pipe)
    yield LaneRow(f"{name}.ftz.sat.f32", "f32", kinds, flushed_saturated, f"sat({flushed_cpp})", pipe)


def _with_flushed_operands(cpp: str, arity: int) -> str:
    words = cpp
    for letter in "abcd"[:arity]:
        words = "".join(_flush_letter(words, letter))
    return words


def _flush_letter(text: str, letter: str) -> Iterator[str]:
    """`a` as a whole word becomes `ftz(a)`."""
    for i, character in enumerate(text):
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        alone = not (before.isalnum() or before == "_" or after.isalnum() or after == "_")
        yield f"ftz({letter})" if character == letter and alone else character


def _arithmetic(form: Format) -> Iterator[LaneRow]:
    pipe = Pipe.FMA if form is F32 else Pipe.FP64
    slow = Pipe.SFU if form is F32 else Pipe.FP64
    fma = "__builtin_fmaf" if form is F32 else "__builtin_fma"
    table: tuple[tuple[str, int, Meaning, str, str, Pipe], ...] = (
        ("add", 2, form.add, "a + b", "add_dir(a, b, {})", pipe),
        ("sub", 2, form.subtract, "a - b", "add_dir(a, -b, {})", pipe),
        ("mul", 2, form.multiply, "a * b", "mul_dir(a, b, {})", pipe),
        ("fma", 3, form.fma, f"{fma}(a, b, c)", "fma_dir(a, b, c, {})", pipe),
        ("div", 2, form.divide, "a / b", "div_dir(a, b, {})", slow),
        ("sqrt", 1, form.square_root, "sqrt_(a)", "sqrt_dir(a, {})", slow),
        ("rcp", 1, lambda a, mode: form.divide(form.one, a, mode), "1 / a", "", slow),
    )
    one = "1.0f" if form is F32 else "1.0"
    for name, arity, meaning, nearest, directed, unit in table:
        for mode in ("rn", "rz", "rm", "rp"):

            def rounded(*operands: int, meaning: Meaning = meaning, mode: str = mode) -> int:
                return meaning(*operands, mode)

            if name == "rcp":
                text = f"{one} / a" if mode == "rn" else f"div_dir({one}, a, {DIRECTED[mode]})"
            else:
                text = nearest if mode == "rn" else directed.format(DIRECTED[mode])
            has_sat = name in ("add", "sub", "mul", "fma")
            yield from _variants(f"{name}.{mode}", form, arity, rounded, text, unit, sat=has_sat)


def _sign_and_extremes(form: Format) -> Iterator[LaneRow]:
    pipe = Pipe.ALU if form is F32 else Pipe.FP64
    absolute = "__builtin_fabsf(a)" if form is F32 else "__builtin_fabs(a)"
    yield from _variants("neg", form, 1, form.negated, "-a", pipe, sat=False)
    yield from _variants("abs", form, 1, form.magnitude, absolute, pipe, sat=False)
    yield from _variants("min", form, 2, form.smaller, "fmin_(a, b)", pipe, sat=False)
    yield from _variants("max", form, 2, form.larger, "fmax_(a, b)", pipe, sat=False)
    sign_and_magnitude = lambda a, b: a & form.sign_bit | form.magnitude(b)  # noqa: E731
    kinds = (form.name,) * 2
    text = "copysign_(a, b)"
    yield LaneRow(f"copysign.{form.name}", form.name, kinds, sign_and_magnitude, text, pipe)


def _nan_and_magnitude_extremes() -> Iterator[LaneRow]:
    """`min.NaN`, and `.xorsign.abs`: the smaller magnitude with the product's sign."""

    def propagating(choose: Meaning) -> Meaning:
        return lambda a, b: choose(a, b, propagate_nan=True)

    def by_magnitude(choose: Meaning) -> Meaning:
        def chosen(a: int, b: int) -> int:
            return choose(F32.magnitude(a), F32.magnitude(b)) ^ (a ^ b) & F32.sign_bit

        return chosen

    for name, choose in (("min", F32.smaller), ("max", F32.larger)):
        for word, meaning, function in (("", choose, f"f{name}_"), (".NaN", propagating(choose), f"f{name}_nan")):
            if word:
                yield from _variants(f"{name}{word}", F32, 2, meaning, f"{function}(a, b)", Pipe.ALU, sat=False)
            magnitudes = f"{function}(__builtin_fabsf(a), __builtin_fabsf(b))"
            text = f"flip_sign_if({magnitudes}, (bits_of(a) ^ bits_of(b)) >> 31)"
            row = f"{name}{word}.xorsign.abs"
            yield from _variants(row, F32, 2, by_magnitude(meaning), text, Pipe.ALU, sat=False)


def _tests(form: Format) -> Iterator[LaneRow]:
    table: tuple[tuple[str, Callable[[int], bool], str], ...] = (
        ("finite", lambda a: form.magnitude(a) < form.infinity, "is_finite(a)"),
        ("infinite", form.is_infinite, "is_infinite(a)"),
        ("number", lambda a: not form.is_nan(a), "a == a"),
        ("notanumber", form.is_nan, "a != a"),
        (
            "normal",
            lambda a: form.magnitude(a) < form.infinity and not (form.is_subnormal(a) or form.is_zero(a)),
            "is_finite(a) & !is_subnormal(a) & (a != 0)",
        ),
        ("subnormal", form.is_subnormal, "is_subnormal(a)"),
    )
    for name, holds, text in table:

        def tested(a: int, holds: Callable[[int], bool] = holds) -> int:
            return int(holds(a))

        yield LaneRow(f"testp.{name}.{form.name}", "pred", (form.name,), tested, text, Pipe.ALU)


def _rounded(function: Callable[[float], float], form: Format) -> Meaning:
    """A real function evaluated in binary64 and rounded to nearest."""

    def meaning(a: int) -> int:
        return form.from_float(function(form.to_float(a)))

    return meaning


def _power_of_two(x: float) -> float:
    return math.inf if x >= 1024 else 2.0**x


def _logarithm(x: float) -> float:
    if x == 0:
        return -math.inf
    return math.log2(x) if x > 0 else math.nan


def _periodic(function: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: math.nan if math.isinf(x) else function(x)


def _reciprocal_root(form: Format) -> Meaning:
    def meaning(a: int) -> int:
        if form.is_zero(a):
            return form.infinite(form.negative(a))
        root = F64.square_root(form.convert(a, F64))
        if F64.is_nan(root):
            return form.nan
        if F64.is_infinite(root):
            return 0
        return form.round(Fraction(1) / F64.value(root))

    return meaning


LOGARITHM = Deviation("2**-22 absolute for a in (0.5, 2), else relative", 2**-22, 2**-22)
# A machine divides the angle by 2 pi in single precision first. 2**-23 of 100 pi is 2**-14.7, and of angles up to 2 pi
# at most a last place of 4, which leaves 2**-22.3 of 2**-20.5.
PERIODIC = Deviation(
    "2**-20.5 absolute for a in [-2pi, 2pi], 2**-14.7 in [-100pi, 100pi]; the ISA gives no bound beyond",
    absolute=2**-22.3,
    argument=2**-23,
    within_one=True,
)


def _approximations() -> Iterator[LaneRow]:
    table: tuple[tuple[str, int, Meaning, str, Deviation], ...] = (
        ("ex2.approx", 1, _rounded(_power_of_two, F32), "ex2(a)", Deviation("2 ulp", 2**-22)),
        ("lg2.approx", 1, _rounded(_logarithm, F32), "lg2(a)", LOGARITHM),
        ("sin.approx", 1, _rounded(_periodic(math.sin), F32), "sine(a)", PERIODIC),
        ("cos.approx", 1, _rounded(_periodic(math.cos), F32), "cosine(a)", PERIODIC),
        ("tanh.approx", 1, _rounded(math.tanh, F32), "tanh_(a)", Deviation("2**-11 relative", 2**-11, within_one=True)),
        ("rcp.approx", 1, lambda a: F32.divide(F32.one, a), "rcp(a)", Deviation("1 ulp", 2**-23)),
        ("sqrt.approx", 1, F32.square_root, "sqrt_(a)", Deviation("2**-23 relative", 2**-23)),
        ("rsqrt.approx", 1, _reciprocal_root(F32), "rsqrt(a)", Deviation("2**-22.9 relative", 2**-22.9)),
        ("div.approx", 2, F32.divide, "a / b", Deviation("2 ulp for abs(b) in [2**-126, 2**126]", 2**-22)),
        ("div.full", 2, F32.divide, "a / b", Deviation("2 ulp", 2**-22)),
    )
    for name, arity, meaning, text, deviation in table:
        for row in _variants(name, F32, arity, meaning, text, Pipe.SFU, sat=False):
            yield replace(row, deviation=deviation)


def _wide_approximations() -> Iterator[LaneRow]:
    """`rcp.approx.ftz.f64` and `rsqrt.approx.f64`: seeds for a refinement, 20 good bits on hardware."""

    def upper_word(bits: int) -> int:
        return bits & 0xFFFFFFFF00000000

    def reciprocal(a: int) -> int:
        return upper_word(F64.divide(F64.one, upper_word(a)))

    root = _reciprocal_root(F64)
    yield LaneRow(
        "rcp.approx.ftz.f64",
        "f64",
        ("f64",),
        reciprocal,
        "upper_word(1.0 / upper_word(a))",
        Pipe.SFU,
        Deviation("2**-23 relative", 2**-23),
    )
    for name in ("rsqrt.approx", "rsqrt.approx.ftz"):
        yield LaneRow(
            f"{name}.f64",
            "f64",
            ("f64",),
            root,
            "rsqrt(a)",
            Pipe.SFU,
            Deviation("2**-22.9 relative", 2**-22.9),
        )


ROWS: tuple[LaneRow, ...] = (
    *_arithmetic(F32),
    *_arithmetic(F64),
    *_sign_and_extremes(F32),
    *_sign_and_extremes(F64),
    *_nan_and_magnitude_extremes(),
    *_tests(F32),
    *_tests(F64),
    *_approximations(),
    *_wide_approximations(),
)
