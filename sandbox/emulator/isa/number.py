"""Binary floating-point formats and exact rounding: what every floating row of the table is defined by.

Bits in, bits out. A finite value is a `Fraction`, so a result is computed exactly and rounded once, in any of
PTX's modes: `rn` (nearest, ties to even), `rna` (nearest, ties away), `rz`, `rm` (down), `rp` (up).
Formats: IEEE 754-2019 section 3.4 (binary16/32/64); bf16, tf32, e4m3 and e5m2 as the PTX ISA names them
(e4m3 has no infinity and one NaN magnitude, OCP 8-bit Floating Point Specification 1.0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

ROUNDINGS = ("rn", "rz", "rm", "rp")


def wrap(value: int, width: int) -> int:
    """`value` modulo 2**width, as unsigned bits."""
    return value & ((1 << width) - 1)


def signed(bits: int, width: int) -> int:
    """Unsigned bits read as two's complement."""
    return bits - (1 << width) if bits >> (width - 1) & 1 else bits


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def integer_range(type_name: str) -> tuple[int, int]:
    """Smallest and largest value of `u8 … s64`."""
    width = int(type_name[1:])
    if type_name[0] == "s":
        return -(1 << (width - 1)), (1 << (width - 1)) - 1
    return 0, (1 << width) - 1


def integer_value(bits: int, type_name: str) -> int:
    width = int(type_name[1:])
    return signed(bits, width) if type_name[0] == "s" else bits


def round_quotient(numerator: int, denominator: int, mode: str) -> int:
    """Numerator / denominator (denominator > 0) as an integer, rounded in `mode`."""
    floor, rest = divmod(numerator, denominator)
    if rest == 0 or mode == "rm":
        return floor
    if mode == "rp":
        return floor + 1
    if mode == "rz":
        return floor + (numerator < 0)
    twice = 2 * rest
    if twice != denominator:
        return floor + (twice > denominator)
    if mode == "rna":
        return floor + (numerator > 0)
    return floor + (floor & 1)


@dataclass(frozen=True, slots=True)
class Format:
    """One floating-point format, and arithmetic on its bits."""

    name: str
    exponent_bits: int
    fraction_bits: int
    nan: int
    """The NaN that operations give."""
    has_infinity: bool = True

    @property
    def width(self) -> int:
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def sign_bit(self) -> int:
        return 1 << (self.width - 1)

    @property
    def infinity(self) -> int:
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @property
    def largest(self) -> int:
        """Bits of the largest finite magnitude."""
        return self.infinity - 1 if self.has_infinity else self.infinity + (1 << self.fraction_bits) - 2

    @property
    def lowest_exponent(self) -> int:
        """Exponent of the last fraction bit of subnormals: the smallest magnitude is 2**this."""
        return 2 - (1 << (self.exponent_bits - 1)) - self.fraction_bits

    def magnitude(self, bits: int) -> int:
        return bits & (self.sign_bit - 1)

    def negative(self, bits: int) -> bool:
        return bool(bits & self.sign_bit)

    def is_nan(self, bits: int) -> bool:
        return self.magnitude(bits) > (self.infinity if self.has_infinity else self.largest)

    def is_infinite(self, bits: int) -> bool:
        return self.has_infinity and self.magnitude(bits) == self.infinity

    def is_zero(self, bits: int) -> bool:
        return self.magnitude(bits) == 0

    def is_subnormal(self, bits: int) -> bool:
        return 0 < self.magnitude(bits) < 1 << self.fraction_bits

    def scaled(self, bits: int) -> int:
        """The finite value in units of 2**lowest_exponent."""
        magnitude = self.magnitude(bits)
        exponent, fraction = magnitude >> self.fraction_bits, magnitude & ((1 << self.fraction_bits) - 1)
        units = (fraction | 1 << self.fraction_bits) << (exponent - 1) if exponent else fraction
        return -units if self.negative(bits) else units

    def value(self, bits: int) -> Fraction:
        """The finite value."""
        unit = self.lowest_exponent
        return Fraction(self.scaled(bits) << unit) if unit >= 0 else Fraction(self.scaled(bits), 1 << -unit)

    def zero(self, negative: bool) -> int:
        return self.sign_bit if negative else 0

    def infinite(self, negative: bool) -> int:
        """Infinity of the sign; the largest finite value where the format has no infinity."""
        top = self.infinity if self.has_infinity else self.largest
        return top | self.zero(negative)

    def flushed(self, bits: int) -> int:
        """`.ftz`: a subnormal becomes a zero of its sign."""
        return bits & self.sign_bit if self.is_subnormal(bits) else bits

    def round(self, value: Fraction, mode: str = "rn", negative_zero: bool = False) -> int:
        """Bits of `value` rounded in `mode`; an exact zero has the sign asked for."""
        if value == 0:
            return self.zero(negative_zero)
        negative = value < 0
        numerator, denominator = abs(value.numerator), value.denominator
        # Scale so that the quotient has fraction_bits + 1 bits, or fewer for a subnormal.
        exponent = numerator.bit_length() - denominator.bit_length() - self.fraction_bits
        if exponent >= 0:
            below = numerator < denominator << (exponent + self.fraction_bits)
        else:
            shift = -(exponent + self.fraction_bits)
            below = (numerator << shift if shift >= 0 else numerator) < (
                denominator if shift >= 0 else denominator << -shift
            )
        exponent = max(exponent - below, self.lowest_exponent)
        if exponent >= 0:
            denominator <<= exponent
        else:
            numerator <<= -exponent
        units = round_quotient(-numerator if negative else numerator, denominator, mode)
        # Adding (not or-ing) lets a carry out of the fraction raise the exponent.
        biased = exponent - self.lowest_exponent
        bits = abs(units) + (biased << self.fraction_bits)
        if bits > self.largest:
            bits = self.overflow(negative, mode)
        return bits | self.zero(negative)

    def overflow(self, negative: bool, mode: str) -> int:
        """Magnitude bits of a result too large for the format."""
        toward_zero = mode == "rz" or (mode == "rm" and not negative) or (mode == "rp" and negative)
        return self.largest if toward_zero or not self.has_infinity else self.infinity

    def add(self, a: int, b: int, mode: str = "rn") -> int:
        if self.is_nan(a) or self.is_nan(b):
            return self.nan
        if self.is_infinite(a) or self.is_infinite(b):
            if self.is_infinite(a) and self.is_infinite(b) and a != b:
                return self.nan
            return a if self.is_infinite(a) else b
        # IEEE 754 section 6.3: an exact zero sum of unlike signs is +0, or -0 when rounding down.
        alike = self.negative(a) == self.negative(b)
        negative_zero = self.negative(a) if alike else mode == "rm"
        return self.round(self.value(a) + self.value(b), mode, negative_zero)

    def negated(self, bits: int) -> int:
        return bits ^ self.sign_bit

    def subtract(self, a: int, b: int, mode: str = "rn") -> int:
        return self.nan if self.is_nan(b) else self.add(a, self.negated(b), mode)

    def multiply(self, a: int, b: int, mode: str = "rn") -> int:
        if self.is_nan(a) or self.is_nan(b):
            return self.nan
        negative = self.negative(a) != self.negative(b)
        if self.is_infinite(a) or self.is_infinite(b):
            return self.nan if self.is_zero(a) or self.is_zero(b) else self.infinite(negative)
        return self.round(self.value(a) * self.value(b), mode, negative)

    def fma(self, a: int, b: int, c: int, mode: str = "rn") -> int:
        """A * b + c with one rounding."""
        if self.is_nan(a) or self.is_nan(b) or self.is_nan(c):
            return self.nan
        negative = self.negative(a) != self.negative(b)
        if self.is_infinite(a) or self.is_infinite(b):
            if self.is_zero(a) or self.is_zero(b):
                return self.nan
            product = self.infinite(negative)
            return self.nan if self.is_infinite(c) and c != product else product
        if self.is_infinite(c):
            return c
        zero_sign = negative if negative == self.negative(c) else mode == "rm"
        return self.round(self.value(a) * self.value(b) + self.value(c), mode, zero_sign)

    def divide(self, a: int, b: int, mode: str = "rn") -> int:
        if self.is_nan(a) or self.is_nan(b):
            return self.nan
        negative = self.negative(a) != self.negative(b)
        if self.is_infinite(a):
            return self.nan if self.is_infinite(b) else self.infinite(negative)
        if self.is_infinite(b):
            return self.zero(negative)
        if self.is_zero(b):
            return self.nan if self.is_zero(a) else self.infinite(negative)
        return self.round(self.value(a) / self.value(b), mode, negative)

    def square_root(self, a: int, mode: str = "rn") -> int:
        if self.is_nan(a) or (self.negative(a) and not self.is_zero(a)):
            return self.nan
        if self.is_infinite(a) or self.is_zero(a):
            return a
        value = self.value(a)
        # Enough bits below the result that a sticky one decides every rounding.
        scale = 2 * (self.width + 4) - 2 * min(self.lowest_exponent, 0)
        units = (value.numerator << scale) // value.denominator
        root = isqrt(units)
        sticky = root * root != units or (value.numerator << scale) % value.denominator != 0
        return self.round(Fraction(2 * root + sticky, 2 << (scale // 2)), mode)

    def compare(self, a: int, b: int) -> int | None:
        """-1, 0 or 1 as a <, ==, > b; None where either is NaN. Zeros of either sign are equal."""
        if self.is_nan(a) or self.is_nan(b):
            return None
        left, right = self._ordinal(a), self._ordinal(b)
        return (left > right) - (left < right)

    def _ordinal(self, bits: int) -> int:
        return -self.magnitude(bits) if self.negative(bits) else bits

    def smaller(self, a: int, b: int, *, propagate_nan: bool = False) -> int:
        """PTX `min`: the other operand where one is NaN (unless `.NaN`); -0 is below +0."""
        return self._extreme(a, b, -1, propagate_nan)

    def larger(self, a: int, b: int, *, propagate_nan: bool = False) -> int:
        return self._extreme(a, b, 1, propagate_nan)

    def _extreme(self, a: int, b: int, wanted: int, propagate_nan: bool) -> int:
        if self.is_nan(a) or self.is_nan(b):
            if propagate_nan or (self.is_nan(a) and self.is_nan(b)):
                return self.nan
            return b if self.is_nan(a) else a
        order = self.compare(a, b)
        if order == 0:
            # Only zeros compare equal with different bits.
            return a & b if wanted > 0 else a | b
        return a if order == wanted else b

    def saturated(self, bits: int) -> int:
        """`.sat`: clamped to [+0, 1]; NaN becomes +0."""
        if self.is_nan(bits) or self.negative(bits):
            return 0
        return min(bits, self.one)

    def rectified(self, bits: int) -> int:
        """`.relu`: negative becomes +0, NaN the canonical NaN."""
        if self.is_nan(bits):
            return self.nan
        return 0 if self.negative(bits) else bits

    @property
    def one(self) -> int:
        return ((1 << (self.exponent_bits - 1)) - 1) << self.fraction_bits

    def integral(self, bits: int, mode: str) -> int:
        """Rounded to an integer in `mode` (`rn` for `.rni` and so on), as a value of this format."""
        if self.is_nan(bits):
            return self.nan
        if self.is_infinite(bits) or self.is_zero(bits):
            return bits
        value = self.value(bits)
        whole = round_quotient(value.numerator, value.denominator, mode)
        return self.round(Fraction(whole), "rn", self.negative(bits))

    def to_integer(self, bits: int, type_name: str, mode: str) -> int:
        """Rounded and clamped to the integer type's range; NaN gives 0 (PTX ISA, `cvt`)."""
        low, high = integer_range(type_name)
        width = int(type_name[1:])
        if self.is_nan(bits):
            return 0
        if self.is_infinite(bits):
            return wrap(low if self.negative(bits) else high, width)
        value = self.value(bits)
        return wrap(clamp(round_quotient(value.numerator, value.denominator, mode), low, high), width)

    def convert(self, bits: int, target: Format, mode: str = "rn") -> int:
        """The value in another format."""
        if self.is_nan(bits):
            return target.nan
        if self.is_infinite(bits):
            return target.infinite(self.negative(bits))
        return target.round(self.value(bits), mode, self.negative(bits))

    def from_float(self, value: float, mode: str = "rn") -> int:
        """Bits of a Python float (itself taken as exact)."""
        if value != value:
            return self.nan
        if value in (float("inf"), float("-inf")):
            return self.infinite(value < 0)
        return self.round(Fraction(value), mode, str(value).startswith("-"))

    def to_float(self, bits: int) -> float:
        """As a Python float: exact, since every format fits in binary64."""
        if self.is_nan(bits):
            return float("nan")
        if self.is_infinite(bits):
            return float("-inf") if self.negative(bits) else float("inf")
        value = float(self.value(bits))
        return -0.0 if value == 0 and self.negative(bits) else value


F16 = Format("f16", 5, 10, 0x7FFF)
BF16 = Format("bf16", 8, 7, 0x7FFF)
TF32 = Format("tf32", 8, 10, 0x3FFFF)
F32 = Format("f32", 8, 23, 0x7FFFFFFF)
F64 = Format("f64", 11, 52, 0x7FFFFFFFFFFFFFFF)
E4M3 = Format("e4m3", 4, 3, 0x7F, has_infinity=False)
E5M2 = Format("e5m2", 5, 2, 0x7F)
FORMATS = {f.name: f for f in (F16, BF16, TF32, F32, F64, E4M3, E5M2)}


def halves(bits: int) -> tuple[int, int]:
    """Low and high 16 bits of a packed pair."""
    return bits & 0xFFFF, bits >> 16


def packed(function: Callable[..., int]) -> Callable[..., int]:
    """A 16-bit meaning applied to both halves of 32-bit operands."""

    def both(*operands: int) -> int:
        low = function(*(bits & 0xFFFF for bits in operands))
        high = function(*(bits >> 16 for bits in operands))
        return low | high << 16

    return both
