"""`cvt`: between integers, floating formats, packed halves and 8-bit floats.

Names keep one spelling: `cvt.s32.f32` always carries its rounding (`rni rzi rmi rpi`), conversions that are exact
carry none, and `.sat` is dropped where the clamp is implied (every float to integer conversion clamps).

Pipes follow the machine instruction that ptxas (CUDA 13.0, sm_80 and sm_90a) makes of a conversion. Rounding to fp16,
bf16, tf32 and fp8 is F2FP, "fast FP32-to-FP16 conversion" on the ALU pipe (Nsight Compute documentation, "Pipelines");
fp16 to fp32 is HADD2.F32, bf16 to fp32 a shift, `.sat` and `.ftz` alone an addition. What is left is F2F, F2I, I2F and
FRND, which the same page gives to the XU, here `SFU`. From sm_90 ptxas has I2FP for 32-bit integers to fp32, which is
charged as I2F: its pipe is not documented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

from .number import (
    BF16,
    E4M3,
    E5M2,
    F16,
    F32,
    F64,
    TF32,
    Format,
    clamp,
    integer_range,
    integer_value,
    wrap,
)
from .row import LaneRow, Pipe

INTEGERS = tuple(f"{sign}{width}" for sign in "us" for width in (8, 16, 32, 64))
FLOATS = (F16, BF16, F32, F64)
DIRECTED = {"rz": "RZ", "rm": "RM", "rp": "RP"}
READ = {"f16": "f16(a)", "bf16": "bf16(a)", "f32": "a", "f64": "a"}
CPP_TYPE = {"f16": "u16", "bf16": "u16", "f32": "f32", "f64": "f64"}
WHOLE = {"rn": "round_even", "rz": "trunc_", "rm": "floor_", "rp": "ceil_"}


def _between_integers() -> Iterator[LaneRow]:
    for target in INTEGERS:
        for source in INTEGERS:
            low, high = integer_range(target)
            width = int(target[1:])

            def truncate(a: int, source: str = source, width: int = width) -> int:
                return wrap(integer_value(a, source), width)

            def saturate(a: int, source: str = source, width: int = width, low: int = low, high: int = high) -> int:
                return wrap(clamp(integer_value(a, source), low, high), width)

            name = f"{target}.{source}"
            yield LaneRow(f"cvt.{name}", target, (source,), truncate, f"{target}(a)", Pipe.ALU)
            source_low, source_high = integer_range(source)
            if source_low < low or source_high > high:
                text = f"cvt_sat<{target}>(a)"
                yield LaneRow(f"cvt.sat.{name}", target, (source,), saturate, text, Pipe.ALU)


def _float_to_integer() -> Iterator[LaneRow]:
    for form in FLOATS:
        for target in INTEGERS:
            for mode, whole in WHOLE.items():

                def convert(a: int, form: Format = form, target: str = target, mode: str = mode) -> int:
                    return form.to_integer(a, target, mode)

                text = f"to_int<{target}>({whole}({READ[form.name]}))"
                name = f"cvt.{mode}i.{target}.{form.name}"
                yield LaneRow(name, target, (CPP_TYPE[form.name],), convert, text, Pipe.SFU)


def integer_is_exact(form: Format, source: str) -> bool:
    """Whether every value of the integer type is a value of the format."""
    low, high = integer_range(source)
    bits = max(high.bit_length(), (-low - 1).bit_length())
    return bits <= form.fraction_bits + 1 and Fraction(high) <= form.value(form.largest)


def _integer_to_float() -> Iterator[LaneRow]:
    for form in FLOATS:
        for source in INTEGERS:
            exact = integer_is_exact(form, source)
            for mode in ("rn",) if exact else ("rn", "rz", "rm", "rp"):

                def convert(a: int, form: Format = form, source: str = source, mode: str = mode) -> int:
                    return form.round(Fraction(integer_value(a, source)), mode)

                rounding = "" if exact else f".{mode}"
                name = f"cvt{rounding}.{form.name}.{source}"
                text = _integer_to_float_text(form, source, mode)
                yield LaneRow(name, CPP_TYPE[form.name], (source,), convert, text, Pipe.SFU)


def _integer_to_float_text(form: Format, source: str, mode: str) -> str:
    if form in (F32, F64):
        return f"{form.name}(a)" if mode == "rn" else f"cvt_dir<{form.name}>(a, {DIRECTED[mode]})"
    wide = "odd_f64(a)" if source in ("u32", "s32", "u64", "s64") else "f64(a)"
    if mode == "rn":
        return f"f64_to_{form.name}({wide})"
    return f"to_{form.name}_dir({wide}, {DIRECTED[mode]})"


def _row(
    target: Format, source: Format, name: str, meaning: Callable[..., int], text: str, pipe: Pipe = Pipe.SFU
) -> LaneRow:
    return LaneRow(name, CPP_TYPE[target.name], (CPP_TYPE[source.name],), meaning, text, pipe)


def _widening() -> Iterator[LaneRow]:
    for source, target in ((F16, F32), (BF16, F32), (F16, F64), (BF16, F64), (F32, F64)):

        def convert(a: int, source: Format = source, target: Format = target) -> int:
            return source.convert(a, target)

        text = f"{target.name}({READ[source.name]})"
        widened = {F16: Pipe.HALF, BF16: Pipe.ALU}.get(source, Pipe.SFU) if target is F32 else Pipe.SFU
        yield _row(target, source, f"cvt.{target.name}.{source.name}", convert, text, widened)


def _narrowing() -> Iterator[LaneRow]:
    """f32 and f64 to smaller formats, in every rounding, with `.relu` for halves."""
    pairs = ((F32, F16), (F32, BF16), (F64, F16), (F64, BF16), (F64, F32))
    for source, target in pairs:
        for mode in ("rn", "rz", "rm", "rp"):

            def convert(a: int, source: Format = source, target: Format = target, mode: str = mode) -> int:
                return source.convert(a, target, mode)

            name = f"cvt.{mode}.{target.name}.{source.name}"
            text = _narrowing_text(source, target, mode)
            pipe = Pipe.ALU if source is F32 and mode in ("rn", "rz") else Pipe.SFU
            yield _row(target, source, name, convert, text, pipe)
            if source is F32 and mode in ("rn", "rz"):

                def rectify(a: int, convert: Callable[[int], int] = convert, target: Format = target) -> int:
                    return target.rectified(convert(a))

                name = f"cvt.{mode}.relu.{target.name}.f32"
                yield _row(target, source, name, rectify, f"relu_{target.name}({text})", pipe)
            if source is F32 and target is F16 and mode == "rn":
                text = f"sat_f16({text})"
                yield _row(F16, F32, "cvt.rn.sat.f16.f32", lambda a: F16.saturated(F32.convert(a, F16)), text, Pipe.ALU)


def _narrowing_text(source: Format, target: Format, mode: str) -> str:
    if target is F32:
        return "f32(a)" if mode == "rn" else f"cvt_dir<f32>(a, {DIRECTED[mode]})"
    if mode != "rn":
        return f"to_{target.name}_dir(a, {DIRECTED[mode]})"
    return f"to_{target.name}(a)" if source is F32 else f"f64_to_{target.name}(a)"


def _same_format() -> Iterator[LaneRow]:
    """`cvt.rni.f32.f32`: to an integral value; `cvt.sat.f32.f32`; `cvt.ftz.f32.f32`; bf16 to f16 and back."""
    for form in FLOATS:
        read = READ[form.name]
        for mode, whole in WHOLE.items():

            def integral(a: int, form: Format = form, mode: str = mode) -> int:
                return form.integral(a, mode)

            text = f"{whole}({read})"
            text = f"to_{form.name}({text})" if form in (F16, BF16) else text
            yield _row(form, form, f"cvt.{mode}i.{form.name}.{form.name}", integral, text)
        saturated = f"sat_{form.name}(a)" if form in (F16, BF16) else "sat(a)"
        pipe = {F32: Pipe.FMA, F64: Pipe.FP64}.get(form, Pipe.HALF)
        yield _row(form, form, f"cvt.sat.{form.name}.{form.name}", form.saturated, saturated, pipe)
    yield from _flushing()
    yield _row(BF16, F16, "cvt.rn.bf16.f16", lambda a: F16.convert(a, BF16), "to_bf16(f16(a))")
    yield _row(F16, BF16, "cvt.rn.f16.bf16", lambda a: BF16.convert(a, F16), "to_f16(bf16(a))")
    yield _row(F16, F16, "cvt.f16.f16", lambda a: a, "a", Pipe.ALU)
    yield _row(BF16, BF16, "cvt.bf16.bf16", lambda a: a, "a", Pipe.ALU)
    yield _row(F32, F32, "cvt.f32.f32", lambda a: a, "a", Pipe.ALU)
    yield _row(F64, F64, "cvt.f64.f64", lambda a: a, "a", Pipe.ALU)


def _flushing() -> Iterator[LaneRow]:
    """`.ftz` where it can be seen: f32 beside f32 or f64, and rounding a subnormal up or down to an integer."""
    yield _row(F32, F32, "cvt.ftz.f32.f32", F32.flushed, "ftz(a)", Pipe.FMA)
    yield _row(F64, F32, "cvt.ftz.f64.f32", lambda a: F32.convert(F32.flushed(a), F64), "f64(ftz(a))")
    for mode in ("rn", "rz", "rm", "rp"):

        def integral(a: int, mode: str = mode) -> int:
            return F32.flushed(F32.integral(F32.flushed(a), mode))

        def narrow(a: int, mode: str = mode) -> int:
            return F32.flushed(F64.convert(a, F32, mode))

        yield _row(F32, F32, f"cvt.{mode}i.ftz.f32.f32", integral, f"ftz({WHOLE[mode]}(ftz(a)))")
        yield _row(F32, F64, f"cvt.{mode}.ftz.f32.f64", narrow, f"ftz({_narrowing_text(F64, F32, mode)})")
    for target in ("s32", "u32", "s64", "u64"):
        for mode in ("rm", "rp"):

            def whole(a: int, target: str = target, mode: str = mode) -> int:
                return F32.to_integer(F32.flushed(a), target, mode)

            text = f"to_int<{target}>({WHOLE[mode]}(ftz(a)))"
            yield LaneRow(f"cvt.{mode}i.ftz.{target}.f32", target, ("f32",), whole, text, Pipe.SFU)


def _packing() -> Iterator[LaneRow]:
    """`cvt.rn.f16x2.f32 d, a, b`: a goes to the upper half."""
    for target in (F16, BF16):
        for mode in ("rn", "rz"):
            for relu in ("", ".relu"):

                def pack(a: int, b: int, target: Format = target, mode: str = mode, relu: str = relu) -> int:
                    high, low = F32.convert(a, target, mode), F32.convert(b, target, mode)
                    if relu:
                        high, low = target.rectified(high), target.rectified(low)
                    return high << 16 | low

                one = _narrowing_text(F32, target, mode)
                one = f"relu_{target.name}({one})" if relu else one
                # The operand is the only `a` that stands alone in parentheses or before a comma.
                other = one.replace("(a)", "(b)").replace("(a,", "(b,")
                name = f"cvt.{mode}{relu}.{target.name}x2.f32"
                yield LaneRow(name, "u32", ("f32", "f32"), pack, f"pack16({other}, {one})", Pipe.ALU)


def _tf32(mode: str) -> Callable[[int], int]:
    def convert(a: int) -> int:
        if F32.is_nan(a):
            return F32.nan
        return F32.convert(a, TF32, mode) << 13

    return convert


def _eight_bit(target: Format) -> Callable[[int], int]:
    """f32 to an 8-bit float, `.satfinite`: beyond the largest magnitude, infinity too, becomes the largest."""

    def convert(a: int) -> int:
        if F32.is_nan(a):
            return target.nan
        sign = target.zero(F32.negative(a))
        largest = target.value(target.largest)
        if F32.is_infinite(a) or abs(F32.value(a)) > largest:
            return target.largest | sign
        return F32.convert(a, target)

    return convert


def _eight_bit_pairs() -> Iterator[LaneRow]:
    for form in (E4M3, E5M2):
        narrow = _eight_bit(form)

        def from_floats(a: int, b: int, narrow: Callable[[int], int] = narrow) -> int:
            return narrow(a) << 8 | narrow(b)

        def from_halves(a: int, narrow: Callable[[int], int] = narrow) -> int:
            return narrow(F16.convert(a >> 16, F32)) << 8 | narrow(F16.convert(a & 0xFFFF, F32))

        def to_halves(a: int, form: Format = form) -> int:
            return form.convert(a >> 8, F16) << 16 | form.convert(a & 0xFF, F16)

        n = form.name
        text = f"u16(to_{n}(a) << 8 | to_{n}(b))"
        yield LaneRow(f"cvt.rn.satfinite.{n}x2.f32", "u16", ("f32", "f32"), from_floats, text, Pipe.ALU)
        text = f"u16(to_{n}(high16(a)) << 8 | to_{n}(low16(a)))"
        yield LaneRow(f"cvt.rn.satfinite.{n}x2.f16x2", "u16", ("u32",), from_halves, text, Pipe.ALU)
        text = f"pack16(to_f16({n}(u8(a))), to_f16({n}(u8(a >> 8))))"
        yield LaneRow(f"cvt.rn.f16x2.{n}x2", "u32", ("u16",), to_halves, text, Pipe.ALU)


ROWS: tuple[LaneRow, ...] = (
    *_between_integers(),
    *_float_to_integer(),
    *_integer_to_float(),
    *_widening(),
    *_narrowing(),
    *_same_format(),
    *_packing(),
    LaneRow("cvt.rna.tf32.f32", "u32", ("f32",), _tf32("rna"), "to_tf32_away(a)", Pipe.ALU),
    LaneRow("cvt.rn.tf32.f32", "u32", ("f32",), _tf32("rn"), "to_tf32(a)", Pipe.ALU),
    *_eight_bit_pairs(),
)
