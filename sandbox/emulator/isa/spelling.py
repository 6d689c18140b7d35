"""From the words of an instruction to the one name its row has.

PTX has many spellings of one meaning: `add.s32` and `add.u32` wrap alike (`add.b32`), `add.f32` rounds to
nearest (`add.rn.f32`), caches are hinted at (`ld.global.nc.L1::no_allocate`). Nothing here says whether the row exists.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

Modifiers = tuple[str, ...]

INTEGER_TYPES = frozenset(f"{sign}{width}" for sign in "us" for width in (8, 16, 32, 64))
FLOAT_TYPES = frozenset(("f16", "bf16", "f16x2", "bf16x2", "f32", "f64", "tf32"))
ROUNDINGS = frozenset(("rn", "rz", "rm", "rp", "rna"))
INTEGRAL_ROUNDINGS = frozenset(("rni", "rzi", "rmi", "rpi"))
UNSIGNED_ORDERS = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
FEWEST = {"setp": 2, "cvt": 2}
"""Modifiers that an opcode's rule reads; one where it stands not here. An instruction with fewer has no row."""
INTEGER_BITS = {"f16": 11, "bf16": 8, "f32": 24, "f64": 53}
"""Bits of an integer each format holds exactly."""


@lru_cache(maxsize=4096)
def name_of(opcode: str, modifiers: Modifiers) -> str:
    """The canonical name of a lane instruction."""
    if opcode == "mad" and modifiers and modifiers[-1] in FLOAT_TYPES:
        opcode = "fma"
    rule = _RULES.get(opcode, _as_written) if len(modifiers) >= FEWEST.get(opcode, 1) else _as_written
    return ".".join((opcode, *rule(modifiers)))


def _as_written(modifiers: Modifiers) -> Modifiers:
    return modifiers


_WIDTHS = {f"{letter}{width}": f"b{width}" for letter in "bus" for width in (8, 16, 32, 64)} | {
    "f16": "b16",
    "bf16": "b16",
    "f16x2": "b32",
    "bf16x2": "b32",
    "f32": "b32",
    "f64": "b64",
}


def bits(type_name: str) -> str:
    """The untyped spelling: `s32`, `u32` and `f32` become `b32`. A type without one keeps its name."""
    return _WIDTHS.get(type_name, type_name)


def _untyped(modifiers: Modifiers) -> Modifiers:
    """Moves and selections: the type is only a width."""
    return tuple(bits(word) if word == modifiers[-1] else word for word in modifiers)


def _rounded(modifiers: Modifiers) -> Modifiers:
    """add, sub, mul, fma of floating types: rounding first and always there, then ftz, sat, relu."""
    rest = [word for word in modifiers if word not in ROUNDINGS and word not in ("approx", "full")]
    mode = [word for word in modifiers if word in ROUNDINGS or word in ("approx", "full")]
    return (*(mode or ["rn"]), *rest)


def _reciprocal(modifiers: Modifiers) -> Modifiers:
    """`.ftz` says something of f64 only where the result is approximate."""
    words = _rounded(modifiers)
    exact = words[-1] == "f64" and words[0] != "approx"
    return tuple(word for word in words if word != "ftz") if exact else words


def _arithmetic(modifiers: Modifiers) -> Modifiers:
    if modifiers[-1] in ("u16x2", "s16x2"):
        return (*modifiers[:-1], "b16x2")
    if modifiers[-1] in FLOAT_TYPES:
        return _rounded(modifiers)
    return modifiers if "sat" in modifiers else _wrapping(modifiers)


def _wrapping(modifiers: Modifiers) -> Modifiers:
    return (*modifiers[:-1], bits(modifiers[-1]))


def _multiplication(modifiers: Modifiers) -> Modifiers:
    if modifiers[-1] in FLOAT_TYPES:
        return _rounded(modifiers)
    return _wrapping(modifiers) if modifiers[0] == "lo" else modifiers


def _multiply_add(modifiers: Modifiers) -> Modifiers:
    return _wrapping(modifiers) if modifiers[0] == "lo" else modifiers


def _negation(modifiers: Modifiers) -> Modifiers:
    return _wrapping(modifiers) if modifiers[-1] in INTEGER_TYPES else modifiers


def _shift_right(modifiers: Modifiers) -> Modifiers:
    return (*modifiers[:-1], modifiers[-1].replace("b", "u"))


def _comparison(modifiers: Modifiers) -> Modifiers:
    """setp.CMP[.BOOL][.ftz].type, without BOOL, which `steps` deals with."""
    order, *middle, kind = modifiers
    if not set(middle) <= {"and", "or", "xor", "ftz"}:
        return modifiers
    kept = [word for word in middle if word == "ftz" and kind in ("f32", "f16")]
    if kind in FLOAT_TYPES:
        return (order, *kept, kind)
    order = UNSIGNED_ORDERS.get(order, order)
    if order in ("eq", "ne"):
        return (order, bits(kind))
    return (order, kind.replace("b", "u"))


def _conversion(modifiers: Modifiers) -> Modifiers:
    *words, target, source = modifiers
    mode = next((w for w in words if w in ROUNDINGS), "")
    integral = next((w for w in words if w in INTEGRAL_ROUNDINGS), "")
    sat, ftz = "sat" in words, "ftz" in words
    others = [w for w in words if w in ("relu", "satfinite")]
    if not set(words) <= ROUNDINGS | INTEGRAL_ROUNDINGS | {"sat", "ftz", "relu", "satfinite"}:
        return modifiers
    if target in INTEGER_TYPES:
        if source in INTEGER_TYPES:
            saturates = sat and not _contains(target, source)
            return ("sat", target, source) if saturates else (target, source)
        # Clamping is implied; flushing a subnormal can change only rounding up or down.
        directed = ftz and source == "f32" and integral in ("rmi", "rpi")
        return (integral, *(["ftz"] if directed else []), target, source)
    if source in INTEGER_TYPES and target in INTEGER_BITS:
        return _integer_to_float(mode, sat, target, source)
    if target == source:
        flush = ["ftz"] if ftz and source == "f32" else []
        return (*([integral] if integral else []), *flush, *(["sat"] if sat else []), target, source)
    flush = ["ftz"] if ftz and "f32" in (target, source) and "f64" in (target, source) else []
    return (*([mode] if mode else []), *flush, *(["sat"] if sat else []), *others, target, source)


def _contains(target: str, source: str) -> bool:
    """Whether every value of integer type `source` is one of `target`."""
    wider = int(target[1:]) > int(source[1:])
    if target[0] == source[0]:
        return wider or target == source
    return wider and target[0] == "s"


def _integer_to_float(mode: str, sat: bool, target: str, source: str) -> Modifiers:
    magnitude_bits = int(source[1:]) - (source[0] == "s")
    exact = magnitude_bits <= INTEGER_BITS[target] and not (target == "f16" and magnitude_bits > 15)
    words = [] if exact else [mode or "rn"]
    return (*words, *(["sat"] if sat else []), target, source)


def _address_conversion(modifiers: Modifiers) -> Modifiers:
    return tuple(word.split("::")[0] for word in modifiers)


def _space_test(modifiers: Modifiers) -> Modifiers:
    return (modifiers[0].split("::")[0],)


def _selection(modifiers: Modifiers) -> Modifiers:
    """slct.dtype.ctype."""
    *flush, result, kind = modifiers
    return (*flush, bits(result), kind)


def _extreme(modifiers: Modifiers) -> Modifiers:
    """Min and max: the rows of f32 have `.ftz` last, those of f16 first."""
    if modifiers[-1] == "f32" and "ftz" in modifiers:
        return (*(word for word in modifiers[:-1] if word != "ftz"), "ftz", "f32")
    return modifiers


_RULES: dict[str, Callable[[Modifiers], Modifiers]] = {
    "add": _arithmetic,
    "sub": _arithmetic,
    "mul": _multiplication,
    "mad": lambda m: _rounded(m) if m[-1] in FLOAT_TYPES else _multiply_add(m),
    "fma": _rounded,
    "div": lambda m: _rounded(m) if m[-1] in FLOAT_TYPES else m,
    "rcp": _reciprocal,
    "sqrt": _rounded,
    "neg": _negation,
    "min": _extreme,
    "max": _extreme,
    "mov": _untyped,
    "selp": _untyped,
    "slct": _selection,
    "shr": _shift_right,
    "setp": _comparison,
    "cvt": _conversion,
    "cvta": _address_conversion,
    "isspacep": _space_test,
}
