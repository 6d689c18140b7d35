"""`grid.sync()` reads where the driver keeps a cooperative launch's workspace, and nothing else may.

What is computed from `%envreg1` and `%envreg2` may only become the address of the barrier's counter, four bytes into
the workspace, and only the barrier's own two instructions may use that address. The form is the one NVRTC gives
`cooperative_groups.h`. The emulator sets the counter's top bit,
which every barrier turns over, by the seed.
"""

from __future__ import annotations

from warpsmith.sandbox.emulator.program import Address, Entry, Immediate, Instr, Operand, Register, Special, Vector

_COUNTING = frozenset(("atom.add.release.gpu.u32", "ld.acquire.gpu.u32"))
_COUNTER = 4
"""Byte offset of the counter in the workspace."""
_REMEDY = "Call grid.sync() of cooperative_groups.h, in a launch with `cooperative = true`, and leave %envreg alone."


def check_grid_barrier(entry: Entry) -> tuple[str, int] | None:
    """(message, line) of the first use of the workspace that is not the grid barrier's."""
    base = _workspace(entry)
    counter = {
        _index(instr.operands[0])
        for instr in entry.instructions
        if instr.opcode == "add" and _reads(instr) & base and _adds_four(instr)
    }
    for instr in entry.instructions:
        touched = _reads(instr) & (base | counter)
        workspace = any(isinstance(operand, Special) and _is_half(operand) for operand in instr.operands)
        if (touched or workspace) and not _allowed(instr, base, counter):
            return f"`{instr.text}` uses the workspace of the grid barrier. {_REMEDY}", instr.line
    return None


def _is_half(special: Special) -> bool:
    return special.name in ("%envreg1", "%envreg2")


def _workspace(entry: Entry) -> set[int]:
    """Registers that hold the workspace's address or half of it."""
    found: set[int] = set()
    size = -1
    while len(found) != size:
        size = len(found)
        for instr in entry.instructions:
            read = any(isinstance(operand, Special) and _is_half(operand) for operand in instr.operands)
            if instr.opcode in ("mov", "cvt", "bfi", "shl", "or") and (read or _reads(instr) & found):
                found.add(_index(instr.operands[0]))
    return found


def _allowed(instr: Instr, base: set[int], counter: set[int]) -> bool:
    if instr.text in _COUNTING:
        address = instr.operands[1]
        values = {_index(operand) for operand in instr.operands[2:]}
        return _is_counter(address, base, counter) and not values & (base | counter)
    if _reads(instr) & counter:
        return False
    if instr.opcode == "setp":
        return instr.operands[2] == Immediate(0, "s64")
    if instr.opcode == "add":
        return _adds_four(instr)
    sources = instr.operands[1:]
    numbers = [operand.bits for operand in sources if isinstance(operand, Immediate)]
    return instr.opcode in ("mov", "cvt", "bfi", "shl", "or") and set(numbers) <= {32}


def _is_counter(address: Operand, base: set[int], counter: set[int]) -> bool:
    if not isinstance(address, Address) or not isinstance(address.base, Register):
        return False
    place = (address.base.index in counter, address.base.index in base, address.offset)
    return place in ((True, False, 0), (False, True, _COUNTER))


def _adds_four(instr: Instr) -> bool:
    return any(isinstance(operand, Immediate) and operand.bits == _COUNTER for operand in instr.operands[1:])


def _index(operand: Operand) -> int:
    return operand.index if isinstance(operand, Register) else -1


def _reads(instr: Instr) -> set[int]:
    """Registers among the sources; a store's address is one."""
    found = set()
    sources = instr.operands if instr.opcode in ("st", "red", "call", "bra") else instr.operands[1:]
    for operand in sources:
        items = operand.items if isinstance(operand, Vector) else (operand,)
        for item in items:
            item = item.base if isinstance(item, Address) else item
            found.add(_index(item))
    return found - {-1}
