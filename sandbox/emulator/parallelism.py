"""How many global loads of one warp can be in flight at once, read off the program's data flow."""

from __future__ import annotations

from collections.abc import Iterator

from warpsmith.sandbox.emulator.machine import LaunchResult
from warpsmith.sandbox.emulator.program import Address, Block, Entry, Instr, Operand, Pair, Register, Vector


def outstanding_loads(entry: Entry, result: LaunchResult) -> float:
    """Mean independent global loads per dependent step, weighted by how often each basic block ran; at least 1.

    Within a basic block ptxas hoists loads above the first use as far as registers allow, so a block with n loads
    in chains of depth d keeps about n/d in flight. Loads of different iterations are not credited.
    """
    loads = steps = 0.0
    for block, warps in zip(entry.blocks, result.block_warps, strict=True):
        count, depth = _loads_and_depth(entry, block)
        loads += count * float(warps)
        steps += depth * float(warps)
    return max(1.0, loads / steps) if steps else 1.0


def _loads_and_depth(entry: Entry, block: Block) -> tuple[int, int]:
    """(global loads, longest chain of loads that feed each other) in one basic block."""
    level: dict[int, int] = {}
    count = deepest = 0
    for instr in entry.instructions[block.start : block.stop]:
        written, read = written_registers(instr), list(read_registers(instr))
        here = max((level.get(register, 0) for register in read), default=0)
        if _is_global_load(instr):
            count, here = count + 1, here + 1
            deepest = max(deepest, here)
        for register in written:
            level[register] = here
    return count, deepest


def _is_global_load(instr: Instr) -> bool:
    if instr.opcode == "cp":
        return "async" in instr.modifiers and "global" in instr.modifiers
    return instr.opcode in ("ld", "wmma") and not {"shared", "param", "local", "const", "mma", "store"} & set(
        instr.modifiers
    )


def written_registers(instr: Instr) -> list[int]:
    """Indices of the registers an instruction writes."""
    if not instr.operands or instr.opcode in ("st", "red", "bra", "bar", "barrier", "cp", "ret", "exit"):
        return []
    return list(_registers(instr.operands[0])) if not isinstance(instr.operands[0], Address) else []


def read_registers(instr: Instr) -> Iterator[int]:
    """Indices of the registers an instruction reads, its guard apart."""
    first = 0 if not written_registers(instr) else 1
    for operand in instr.operands[first:]:
        yield from _registers(operand)


def _registers(operand: Operand) -> Iterator[int]:
    match operand:
        case Register(index=index):
            yield index
        case Address(base=Register(index=index)):
            yield index
        case Vector(items=items):
            for item in items:
                yield from _registers(item)
        case Pair(first=first, second=second):
            yield from _registers(first)
            yield from _registers(second)
        case _:
            return
