"""`.param` variables of calls whose bytes are read otherwise than they were written go to local memory.

The executors keep an argument as values, one for each offset. A structure that is stored as words and loaded as bytes,
or whose address is taken, needs memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from warpsmith.sandbox.emulator.program import Address, Instr, Operand, Symbol, Vector
from warpsmith.sandbox.emulator.ptx.assembly import Assembly
from warpsmith.sandbox.emulator.ptx.layout import BYTES


def settle_params(out: Assembly) -> None:
    """Change those variables, and the instructions that reach them, in place."""
    names = {variable.name for variable in out.variables if variable.space == "param"}
    seen: dict[str, dict[int, int]] = {name: {} for name in names}
    moved: set[str] = set()
    for instr in out.instructions:
        for name, pieces in _accesses(instr):
            if name not in names:
                continue
            if pieces is None:
                moved.add(name)
                continue
            for offset, size in pieces:
                if seen[name].setdefault(offset, size) != size:
                    moved.add(name)
    moved |= {name for name in names if _overlaps(seen[name])}
    if not moved:
        return
    for i, variable in enumerate(out.variables):
        if variable.name in moved:
            out.variables[i] = replace(variable, space="local", align=max(variable.align, 8))
    for i, instr in enumerate(out.instructions):
        if any(name in moved for name, _ in _accesses(instr)):
            words = tuple("local" if word.partition("::")[0] == "param" else word for word in instr.modifiers)
            out.instructions[i] = instr._replace(modifiers=words)


def _accesses(instr: Instr) -> Iterator[tuple[str, list[tuple[int, int]] | None]]:
    """Variables that an instruction names, with (offset, bytes) of what it moves; None where it takes the address.

    Calls that stay are of the runtime's functions, which take their arguments whole.
    """
    if instr.opcode == "call":
        return
    moves = instr.opcode in ("ld", "st") and any(word.partition("::")[0] == "param" for word in instr.modifiers)
    for operand in instr.operands:
        if isinstance(operand, Address) and isinstance(operand.base, Symbol):
            start = operand.base.offset + operand.offset
            yield operand.base.name, _pieces(instr, start) if moves else None
        elif isinstance(operand, Symbol) and instr.opcode not in ("bra", "brx"):
            yield operand.name, None


def _pieces(instr: Instr, start: int) -> list[tuple[int, int]]:
    size = BYTES.get(instr.modifiers[-1], 4)
    moved: Operand = instr.operands[0 if instr.opcode == "ld" else 1]
    count = len(moved.items) if isinstance(moved, Vector) else 1
    return [(start + i * size, size) for i in range(count)]


def _overlaps(pieces: dict[int, int]) -> bool:
    end = 0
    for offset in sorted(pieces):
        if offset < end:
            return True
        end = offset + pieces[offset]
    return False
