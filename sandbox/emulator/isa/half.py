"""fp16 and bf16 arithmetic, single (u16 bits) and packed (u32 bits, low half first)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from .number import BF16, F16, Format, packed
from .row import Deviation, LaneRow, Pipe

Meaning = Callable[..., int]


def _both(
    name: str, form: Format, arity: int, meaning: Meaning, cpp: str, deviation: Deviation | None = None
) -> Iterator[LaneRow]:
    """The single and the packed row; `cpp` has `{a} {b} {c}` where the operands stand."""
    letters = "abc"[:arity]
    single = cpp.format(**{letter: letter for letter in letters})
    low = cpp.format(**{letter: f"lo({letter})" for letter in letters})
    high = cpp.format(**{letter: f"hi({letter})" for letter in letters})
    pipe = Pipe.HALF if deviation is None else Pipe.SFU
    yield LaneRow(f"{name}.{form.name}", "u16", ("u16",) * arity, meaning, single, pipe, deviation)
    yield LaneRow(
        f"{name}.{form.name}x2",
        "u32",
        ("u32",) * arity,
        packed(meaning),
        f"pack16({low}, {high})",
        pipe,
        deviation,
    )


def _then(after: Callable[[int], int], meaning: Meaning) -> Meaning:
    return lambda *operands: after(meaning(*operands))


def _arithmetic(form: Format) -> Iterator[LaneRow]:
    f = form.name
    table: tuple[tuple[str, int, Meaning, str], ...] = (
        ("add.rn", 2, form.add, f"add_{f}({{a}}, {{b}})"),
        ("sub.rn", 2, form.subtract, f"sub_{f}({{a}}, {{b}})"),
        ("mul.rn", 2, form.multiply, f"mul_{f}({{a}}, {{b}})"),
        ("fma.rn", 3, form.fma, f"fma_{f}({{a}}, {{b}}, {{c}})"),
    )
    for name, arity, meaning, cpp in table:
        yield from _both(name, form, arity, meaning, cpp)
        if form is F16:
            yield from _both(f"{name}.sat", form, arity, _then(form.saturated, meaning), f"sat_{f}({cpp})")
            flushed, flushed_cpp = _flushing(meaning), _flushing_text(cpp, arity)
            yield from _both(f"{name}.ftz", form, arity, flushed, flushed_cpp)
            yield from _both(f"{name}.ftz.sat", form, arity, _then(form.saturated, flushed), f"sat_{f}({flushed_cpp})")
    fma = f"fma_{f}({{a}}, {{b}}, {{c}})"
    yield from _both("fma.rn.relu", form, 3, _then(form.rectified, form.fma), f"relu_{f}({fma})")
    if form is F16:
        flushed, flushed_cpp = _then(form.rectified, _flushing(form.fma)), f"relu_{f}({_flushing_text(fma, 3)})"
        yield from _both("fma.rn.ftz.relu", form, 3, flushed, flushed_cpp)
    else:
        yield from _directed_fma()
    yield from _fma_of_filled_copies(form, fma)


def _directed_fma() -> Iterator[LaneRow]:
    """Fma of bf16 in the other roundings."""
    for mode in ("rz", "rm", "rp"):

        def fma(a: int, b: int, c: int, mode: str = mode) -> int:
            return BF16.fma(a, b, c, mode)

        cpp = f"fma_bf16_dir({{a}}, {{b}}, {{c}}, {mode.upper()})"
        yield from _both(f"fma.{mode}", BF16, 3, fma, cpp)
        yield from _both(f"fma.{mode}.relu", BF16, 3, _then(BF16.rectified, fma), f"relu_bf16({cpp})")


OUT_OF_BOUNDS = 0x7FF7
"""Magnitude of the NaN with which a tensor copy fills what lies beyond its tensor, for `.oob`.

NVIDIA documents what it does and not its bits; these are what independent emulators report of sm_90 machines.
"""


def _fma_of_filled_copies(form: Format, fma: str) -> Iterator[LaneRow]:
    """Fma that is zero where a factor is the NaN of a copy out of bounds."""

    def guarded(a: int, b: int, c: int) -> int:
        return 0 if OUT_OF_BOUNDS in (a & 0x7FFF, b & 0x7FFF) else form.fma(a, b, c)

    cpp = f"unless_filled({{a}}, {{b}}, {fma})"
    yield from _both("fma.rn.oob", form, 3, guarded, cpp)
    yield from _both("fma.rn.oob.relu", form, 3, _then(form.rectified, guarded), f"relu_{form.name}({cpp})")


def _flushing(meaning: Meaning) -> Meaning:
    return lambda *operands: F16.flushed(meaning(*map(F16.flushed, operands)))


def _flushing_text(cpp: str, arity: int) -> str:
    for letter in "abc"[:arity]:
        cpp = cpp.replace(f"{{{letter}}}", f"ftz_f16({{{letter}}})")
    return f"ftz_f16({cpp})"


def _sign_and_extremes(form: Format) -> Iterator[LaneRow]:
    f = form.name
    signs: tuple[tuple[str, Meaning, str], ...] = (
        ("neg", form.negated, "u16({a} ^ 0x8000)"),
        ("abs", form.magnitude, "u16({a} & 0x7FFF)"),
    )
    for name, meaning, cpp in signs:
        yield from _both(name, form, 1, meaning, cpp)
        if form is F16:
            yield from _both(f"{name}.ftz", form, 1, _flushing(meaning), _flushing_text(cpp, 1))
    for name, choose in (("min", form.smaller), ("max", form.larger)):

        def propagating(a: int, b: int, choose: Meaning = choose) -> int:
            return choose(a, b, propagate_nan=True)

        for word, meaning, cpp in (
            ("", choose, f"{name}_{f}({{a}}, {{b}})"),
            (".NaN", propagating, f"{name}_nan_{f}({{a}}, {{b}})"),
        ):
            flips = f"by_magnitude({name}{'_nan' * bool(word)}_{f}, {{a}}, {{b}})"
            magnitudes = _by_magnitude(form, meaning)
            yield from _both(f"{name}{word}", form, 2, meaning, cpp)
            yield from _both(f"{name}{word}.xorsign.abs", form, 2, magnitudes, flips)
            if form is F16:
                yield from _both(f"{name}.ftz{word}", form, 2, _flushing(meaning), _flushing_text(cpp, 2))
                flushed, flushed_cpp = _flushing(magnitudes), _flushing_text(flips, 2)
                yield from _both(f"{name}.ftz{word}.xorsign.abs", form, 2, flushed, flushed_cpp)


def _by_magnitude(form: Format, choose: Meaning) -> Meaning:
    """`.xorsign.abs`: the choice between magnitudes, with the sign of the product."""

    def chosen(a: int, b: int) -> int:
        return choose(form.magnitude(a), form.magnitude(b)) ^ (a ^ b) & form.sign_bit

    return chosen


def _through_float(function: Callable[[float], float], form: Format) -> Meaning:
    return lambda a: form.from_float(function(form.to_float(a)))


def _power_of_two(x: float) -> float:
    return math.inf if x >= 1024 else 2.0**x


def _relative(bits: float, *, within_one: bool = False) -> Deviation:
    return Deviation(f"2**-{bits:g} relative", 2**-bits, within_one=within_one)


def _approximations(form: Format) -> Iterator[LaneRow]:
    f = form.name
    # PTX spells the bf16 exponential with `.ftz` always and the fp16 one without.
    exponential = "ex2.approx" if form is F16 else "ex2.approx.ftz"
    ex2_bits, tanh_bits = (9.9, 10.987) if form is F16 else (7.0, 8.0)
    table = (
        (exponential, _power_of_two, f"to_{f}(ex2({f}({{a}})))", _relative(ex2_bits)),
        ("tanh.approx", math.tanh, f"to_{f}(tanh_({f}({{a}})))", _relative(tanh_bits, within_one=True)),
    )
    for name, function, cpp, deviation in table:
        yield from _both(name, form, 1, _through_float(function, form), cpp, deviation)


ROWS: tuple[LaneRow, ...] = (
    *_arithmetic(F16),
    *_arithmetic(BF16),
    *_sign_and_extremes(F16),
    *_sign_and_extremes(BF16),
    *_approximations(F16),
    *_approximations(BF16),
)
