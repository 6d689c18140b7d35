"""Basic blocks and where control goes from each.

Blocks start at labels and behind instructions that may leave the sequence; barriers and calls do not end one.
"""

from __future__ import annotations

from warpsmith.sandbox.emulator.program import Block, Instr, Symbol
from warpsmith.sandbox.emulator.ptx.body import Body
from warpsmith.sandbox.emulator.ptx.lexer import Cursor
from warpsmith.sandbox.emulator.ptx.scope import Scope

TERMINATORS = ("bra", "brx", "ret", "exit", "trap")


def build(cursor: Cursor, body: Body) -> tuple[tuple[Instr, ...], tuple[Block, ...]]:
    """Instructions with their branch targets filled in, and the blocks in the order of the text."""
    instructions = list(body.instructions)
    count = len(instructions)
    starts = {0, *body.label_positions}
    starts.update(at + 1 for at, instr in enumerate(instructions) if instr.opcode in TERMINATORS)
    order = sorted(start for start in starts if start < count)
    block_at = {start: index for index, start in enumerate(order)}
    tables: dict[int, tuple[int, ...]] = {}
    for at, (scope, token) in body.branch_scopes.items():
        names = _labels(cursor, instructions[at], scope, token)
        targets = tuple(block_at[_position(cursor, name, scope, token)] for name in names)
        if instructions[at].opcode == "bra":
            instructions[at] = instructions[at]._replace(target=targets[0])
        else:
            instructions[at] = instructions[at]._replace(targets=targets)
        tables[at] = targets
    blocks = []
    for index, start in enumerate(order):
        stop = order[index + 1] if index + 1 < len(order) else count
        last = instructions[stop - 1]
        leaves = last.opcode in TERMINATORS and last.guard is None
        after = tables.get(stop - 1, ())
        if not leaves and index + 1 < len(order):
            after = (*after, index + 1)
        blocks.append(Block(start, stop, tuple(dict.fromkeys(after))))
    return tuple(instructions), tuple(blocks)


def _labels(cursor: Cursor, instr: Instr, scope: Scope, token: int) -> tuple[str, ...]:
    last = instr.operands[-1] if instr.operands else None
    if not isinstance(last, Symbol) or last.offset:
        raise cursor.error("a branch goes to a label", token)
    if instr.opcode == "bra":
        return (last.name,)
    names = scope.branch_table(last.name)
    if not names:
        raise cursor.error(f"{last.name} is not a list of .branchtargets", token)
    return names


def _position(cursor: Cursor, name: str, scope: Scope, token: int) -> int:
    position = scope.label(name)
    if position is None:
        raise cursor.error(f"there is no label {name} here", token)
    return position
