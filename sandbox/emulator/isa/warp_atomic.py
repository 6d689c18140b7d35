"""atom and red: lanes act one after another, in the order in which they are handed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..program import Instr, Vector
from .address import BadAccess, require_alignment
from .block import width_of
from .number import BF16, F16, F32, F64, Format, packed, signed, wrap
from .row import Pipe, WarpRow
from .state import Thread, Warp
from .warp_memory import items, space_in

Update = Callable[[int, int, int], int]
"""(old value, operand, second operand) -> new value, all bits."""


def _signed_choice(choose: Callable[[int, int], int], width: int) -> Update:
    return lambda old, b, c: wrap(choose(signed(old, width), signed(b, width)), width)


def _wrapping_add(width: int) -> Update:
    return lambda old, b, c: wrap(old + b, width)


UPDATES: dict[str, Update] = {
    "inc.u32": lambda old, b, c: 0 if old >= b else old + 1,
    "dec.u32": lambda old, b, c: b if old == 0 or old > b else old - 1,
    "add.f32": lambda old, b, c: F32.add(old, b),
    "add.f64": lambda old, b, c: F64.add(old, b),
    "add.f16": lambda old, b, c: F16.add(old, b),
    "add.bf16": lambda old, b, c: BF16.add(old, b),
    "add.f16x2": lambda old, b, c: packed(F16.add)(old, b),
    "add.bf16x2": lambda old, b, c: packed(BF16.add)(old, b),
    "cas.b16": lambda old, b, c: c if old == b else old,
}
for _width in (32, 64):
    UPDATES |= {
        f"add.b{_width}": _wrapping_add(_width),
        f"and.b{_width}": lambda old, b, c: old & b,
        f"or.b{_width}": lambda old, b, c: old | b,
        f"xor.b{_width}": lambda old, b, c: old ^ b,
        f"exch.b{_width}": lambda old, b, c: b,
        f"cas.b{_width}": lambda old, b, c: c if old == b else old,
        f"min.u{_width}": lambda old, b, c: min(old, b),
        f"max.u{_width}": lambda old, b, c: max(old, b),
        f"min.s{_width}": _signed_choice(min, _width),
        f"max.s{_width}": _signed_choice(max, _width),
    }


def _extremes(form: Format) -> dict[str, Update]:
    return {
        f"min.{form.name}": lambda old, b, c: form.smaller(old, b),
        f"max.{form.name}": lambda old, b, c: form.larger(old, b),
        f"min.{form.name}x2": lambda old, b, c: packed(form.smaller)(old, b),
        f"max.{form.name}x2": lambda old, b, c: packed(form.larger)(old, b),
    }


VECTOR_UPDATES = UPDATES | _extremes(F16) | _extremes(BF16)
VECTOR_ROWS = {
    "v2": ("add.f32", *(f"{op}.{t}" for op in ("add", "min", "max") for t in ("f16", "bf16", "f16x2", "bf16x2"))),
    "v4": ("add.f32", *(f"{op}.{t}" for op in ("add", "min", "max") for t in ("f16", "bf16", "f16x2", "bf16x2"))),
    "v8": tuple(f"{op}.{t}" for op in ("add", "min", "max") for t in ("f16", "bf16")),
}
"""Operations of vectors in global memory: each element is an atomic of its own."""


def _update_vector(warp: Warp, instr: Instr, threads: list[Thread], update: Update) -> None:
    block, width = warp.block, width_of(instr.modifiers[-1])
    returns = instr.opcode == "atom"
    where, values = instr.operands[1:3] if returns else instr.operands[:2]
    sources = items(values)
    size = width // 8
    for thread in threads:
        start = block.address(thread, where, instr)
        try:
            require_alignment("global", start, size * len(sources))
            places = [
                block.place(thread, space_in(instr), start + i * size, size, write=True) for i in range(len(sources))
            ]
            before = [int.from_bytes(place.load(checked=block.options.checks), "little") for place in places]
        except BadAccess as bad:
            raise block.access_fault(bad, instr, thread) from None
        for place, old, source in zip(places, before, sources, strict=True):
            place.store(update(old, block.read(thread, source, width, instr), 0).to_bytes(size, "little"))
        for target, old in zip(items(instr.operands[0]), before, strict=True) if returns else ():
            block.write(thread, target, old, instr.modifiers[-1])


WIDE = 16
"""Bytes of a 128-bit atomic."""


def _vector_rows() -> Iterator[WarpRow]:
    for space in ("generic", "global"):
        for vector, names in VECTOR_ROWS.items():
            for name in names:
                operation, kind = name.split(".")

                def meaning(warp: Warp, instr: Instr, threads: list[Thread], name: str = name) -> None:
                    _update_vector(warp, instr, threads, VECTOR_UPDATES[name])

                for opcode in ("atom", "red"):
                    yield WarpRow(f"{opcode}.{space}.{operation}.{vector}.{kind}", meaning, Pipe.LSU)


def _update(warp: Warp, instr: Instr, threads: list[Thread], update: Update) -> None:
    block, width = warp.block, width_of(instr.modifiers[-1])
    returns = instr.opcode == "atom"
    where, *values = instr.operands[1:] if returns else instr.operands
    for thread in threads:
        address = block.address(thread, where, instr)
        b, c = (block.read(thread, v, width, instr) for v in (values[0], values[min(1, len(values) - 1)]))
        try:
            place = block.place(thread, space_in(instr), address, width // 8, write=True)
            old = int.from_bytes(place.load(checked=block.options.checks), "little")
        except BadAccess as bad:
            raise block.access_fault(bad, instr, thread) from None
        place.store(update(old, b, c).to_bytes(width // 8, "little"))
        if returns:
            block.write(thread, instr.operands[0], old, instr.modifiers[-1])


def _update_wide(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """atom.exch.b128 and atom.cas.b128: registers come as pairs of halves, lower first."""
    block = warp.block
    target, where, *values = instr.operands
    for thread in threads:
        given = [sum(block.read(thread, half, 64, instr) << 64 * i for i, half in enumerate(items(v))) for v in values]
        try:
            place = block.place(thread, space_in(instr), block.address(thread, where, instr), WIDE, write=True)
            old = int.from_bytes(place.load(checked=block.options.checks), "little")
        except BadAccess as bad:
            raise block.access_fault(bad, instr, thread) from None
        if "exch" in instr.modifiers or old == given[0]:
            place.store(given[-1].to_bytes(WIDE, "little"))
        for i, half in enumerate(items(target)) if isinstance(target, Vector) else ():
            block.write(thread, half, wrap(old >> 64 * i, 64), "b64")


def _wide_rows() -> Iterator[WarpRow]:
    for space in ("generic", "global", "shared"):
        for operation in ("exch", "cas"):
            yield WarpRow(f"atom.{space}.{operation}.b128", _update_wide, Pipe.LSU)


def _rows() -> Iterator[WarpRow]:
    for space in ("generic", "global", "shared"):
        for name, update in UPDATES.items():

            def meaning(warp: Warp, instr: Instr, threads: list[Thread], update: Update = update) -> None:
                _update(warp, instr, threads, update)

            yield WarpRow(f"atom.{space}.{name}", meaning, Pipe.LSU)
            if not name.startswith(("cas", "exch")):
                yield WarpRow(f"red.{space}.{name}", meaning, Pipe.LSU)


ROWS: tuple[WarpRow, ...] = (*_rows(), *_vector_rows(), *_wide_rows())
