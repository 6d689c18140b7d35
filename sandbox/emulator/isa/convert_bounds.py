"""What bounds a conversion's result, as rows of their own (`steps_convert.py`), and tf32's and fp8's rare forms."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .number import BF16, E4M3, E5M2, F16, F32, TF32, Format, packed
from .row import LaneRow, Pipe

Meaning = Callable[..., int]


def _finite(form: Format) -> Meaning:
    """`.satfinite`: infinity becomes the largest magnitude."""
    return lambda a: form.largest | form.zero(form.negative(a)) if form.is_infinite(a) else a


def _halves() -> Iterator[LaneRow]:
    for form in (F16, BF16):
        n = form.name
        for word, meaning in (("satfinite", _finite(form)), ("relu", form.rectified)):
            function = f"{'finite' if word == 'satfinite' else 'relu'}_{n}"
            yield LaneRow(f"cvt.{word}.{n}.{n}", "u16", ("u16",), meaning, f"{function}(a)", Pipe.HALF)
            text = f"pack16({function}(lo(a)), {function}(hi(a)))"
            name = f"cvt.{word}.{n}x2.{n}x2"
            yield LaneRow(name, "u32", ("u32",), packed(meaning), text, Pipe.HALF)


def _tf32() -> Iterator[LaneRow]:
    def toward_zero(a: int) -> int:
        return F32.nan if F32.is_nan(a) else F32.convert(a, TF32, "rz") << 13

    def finite(a: int) -> int:
        if F32.is_nan(a):
            return F32.nan
        rounded = F32.convert(a, TF32, "rna")
        return _finite(TF32)(rounded) << 13

    yield LaneRow("cvt.rz.tf32.f32", "u32", ("f32",), toward_zero, "to_tf32_zero(a)", Pipe.SFU)
    yield LaneRow("cvt.rna.satfinite.tf32.f32", "u32", ("f32",), finite, "finite_tf32(to_tf32_away(a))", Pipe.SFU)
    yield LaneRow("cvt.relu.tf32.tf32", "u32", ("u32",), F32.rectified, "relu_tf32(a)", Pipe.ALU)


def _eight_bit() -> Iterator[LaneRow]:
    for form in (E4M3, E5M2):
        n = form.name

        def bounded(a: int, form: Format = form) -> int:
            """f32 to the format: negative gives 0, too large the largest."""
            if F32.is_nan(a):
                return form.nan
            if F32.negative(a):
                return 0
            if F32.is_infinite(a) or F32.value(a) > form.value(form.largest):
                return form.largest
            return F32.convert(a, form)

        def floats(a: int, b: int, bounded: Callable[[int], int] = bounded) -> int:
            return bounded(a) << 8 | bounded(b)

        def halves(a: int, bounded: Callable[[int], int] = bounded) -> int:
            return bounded(F16.convert(a >> 16, F32)) << 8 | bounded(F16.convert(a & 0xFFFF, F32))

        text = f"u16(to_{n}(relu_f32(a)) << 8 | to_{n}(relu_f32(b)))"
        yield LaneRow(f"cvt.rn.satfinite.relu.{n}x2.f32", "u16", ("f32", "f32"), floats, text, Pipe.SFU)
        text = f"u16(to_{n}(relu_f32(high16(a))) << 8 | to_{n}(relu_f32(low16(a))))"
        yield LaneRow(f"cvt.rn.satfinite.relu.{n}x2.f16x2", "u16", ("u32",), halves, text, Pipe.SFU)


ROWS: tuple[LaneRow, ...] = (*_halves(), *_tf32(), *_eight_bit())
