"""Where parameters and variables lie: byte offsets in the parameter buffer, shared and local windows."""

from __future__ import annotations

from collections.abc import Iterable

from warpsmith.sandbox.emulator.program import Variable

BYTES = {
    "b8": 1, "u8": 1, "s8": 1, "e4m3": 1, "e5m2": 1,
    "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2,
    "b32": 4, "u32": 4, "s32": 4, "f32": 4, "f16x2": 4, "bf16x2": 4,
    "b64": 8, "u64": 8, "s64": 8, "f64": 8, "texref": 8, "samplerref": 8, "surfref": 8,
    "b128": 16,
}  # fmt: skip
"""Bytes of one element; predicates have none and live in registers alone."""

MAX_WINDOW = 1 << 40


def align_up(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def place(variables: Iterable[Variable], space: str, granule: int) -> tuple[tuple[tuple[str, int], ...], int]:
    """Offsets of the variables of one space, in order, and the window's bytes.

    The window is a multiple of `granule`; extern arrays, whose size only the launch knows, start at its end.
    """
    inside = [v for v in variables if v.space == space]
    offsets: list[tuple[str, int]] = []
    end = 0
    for variable in inside:
        if not variable.extern:
            end = align_up(end, variable.align)
            offsets.append((variable.name, end))
            end += variable.size
    dynamic = [v for v in inside if v.extern]
    end = align_up(end, max([granule, *(v.align for v in dynamic)]))
    offsets += [(v.name, end) for v in dynamic]
    return tuple(offsets), end
