"""Loads, stores, prefetches, asynchronous copies and matrix loads: rows that reach memory.

Names drop what changes no value: caches, hints, orders and scopes (the race checker reads those from the
instruction). `ld.f32` and `ld.u32` are `b32`; signed narrow loads keep their sign, since they extend it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from ..program import Address, Instr, Not, Operand, Register, Symbol, Vector
from .address import BadAccess, in_allocation, require_alignment
from .block import width_of
from .row import Pipe, WarpRow
from .state import Copy, Thread, Warp

SPACES = ("generic", "global", "shared", "local", "const", "param")


def items(operand: Operand) -> tuple[Operand, ...]:
    """The operands of a vector, or the one operand."""
    return operand.items if isinstance(operand, Vector) else (operand,)


def space_in(instr: Instr) -> str:
    """State space among the modifiers; generic where none is named."""
    for word in instr.modifiers:
        space = word.split("::")[0]
        if space in SPACES:
            return space
    return "generic"


def _call_parameter(thread: Thread, operand: Operand) -> tuple[bytearray, int] | None:
    """The `.param` variable of a call that an address names, with the offset; None for a kernel parameter."""
    base = operand.base if isinstance(operand, Address) else operand
    if isinstance(base, Symbol) and base.name in thread.call_params:
        offset = base.offset + (operand.offset if isinstance(operand, Address) else 0)
        return thread.call_params[base.name], offset
    return None


def load(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    space, kind = space_in(instr), instr.modifiers[-1]
    targets, size = items(instr.operands[0]), width_of(kind) // 8
    for thread in threads:
        parameter = _call_parameter(thread, instr.operands[1]) if space == "param" else None
        if parameter is not None:
            buffer, start = parameter
            data = bytes(buffer[start : start + size * len(targets)])
        else:
            address = warp.block.address(thread, instr.operands[1], instr)
            data = reached(warp, instr, thread, space, address, size * len(targets))
        for i, target in enumerate(targets):
            bits = int.from_bytes(data[i * size : (i + 1) * size], "little")
            warp.block.write(thread, target, bits, kind)


def reached(warp: Warp, instr: Instr, thread: Thread, space: str, address: int, size: int) -> bytes:
    """The bytes at an address, or the fault of reading them."""
    try:
        return warp.block.load(thread, space, address, size)
    except BadAccess as bad:
        raise warp.block.access_fault(bad, instr, thread) from None


def stored(warp: Warp, instr: Instr, thread: Thread, space: str, address: int, data: bytes) -> None:
    try:
        warp.block.store(thread, space, address, data)
    except BadAccess as bad:
        raise warp.block.access_fault(bad, instr, thread) from None


def store(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    space, width = space_in(instr), width_of(instr.modifiers[-1])
    sources = items(instr.operands[1])
    for thread in threads:
        data = b"".join(
            warp.block.read(thread, source, width, instr).to_bytes(width // 8, "little") for source in sources
        )
        parameter = _call_parameter(thread, instr.operands[0]) if space == "param" else None
        if parameter is not None:
            buffer, start = parameter
            buffer[start : start + len(data)] = data
        else:
            address = warp.block.address(thread, instr.operands[0], instr)
            stored(warp, instr, thread, space, address, data)


def nothing(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """Fences, prefetches and hints: no value changes, and execution here is sequentially consistent."""


def copy_async(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """cp.async [shared], [global], size{, source size or ignore-source predicate}.

    The bytes arrive at the wait, the last legal moment. Until then the target counts as unwritten, so that reading it
    early is found.
    """
    block = warp.block
    for thread in threads:
        target = block.address(thread, instr.operands[0], instr)
        source = block.address(thread, instr.operands[1], instr)
        size = block.read(thread, instr.operands[2], 32, instr)
        read = size
        extra = instr.operands[3:-1] if "L2::cache_hint" in instr.modifiers else instr.operands[3:]
        if extra and _is_predicate(extra[0]):
            read = 0 if block.read(thread, extra[0], 1, instr) else size
        elif extra:
            read = min(size, block.read(thread, extra[0], 32, instr))
        try:
            _source(warp, source, size, read)
            block.place(thread, "shared", target, size, write=True).poison()
        except BadAccess as bad:
            raise block.access_fault(bad, instr, thread) from None
        thread.copies.append(Copy(source, target, size, read, instr))


def _is_predicate(operand: Operand) -> bool:
    return isinstance(operand, Not) or (isinstance(operand, Register) and operand.type == "pred")


def _source(warp: Warp, address: int, size: int, read: int) -> bytes:
    """The `read` bytes a copy of `size` takes; the address has the alignment of the whole."""
    require_alignment("global", address, size)
    if read == 0:
        return b""
    place = in_allocation(warp.block.layout.allocations, address, read, write=False)
    return place.load(checked=warp.block.options.checks)


def commit_copies(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    for thread in threads:
        thread.copy_groups.append(thread.copies)
        thread.copies = []


def wait_group(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    for thread in threads:
        pending = warp.block.read(thread, instr.operands[0], 32, instr)
        while len(thread.copy_groups) > pending:
            _deliver(warp, thread, thread.copy_groups.popleft())


def wait_all(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    for thread in threads:
        deliver_everything(warp, thread)


def deliver_everything(warp: Warp, thread: Thread) -> None:
    while thread.copy_groups:
        _deliver(warp, thread, thread.copy_groups.popleft())
    _deliver(warp, thread, thread.copies)
    thread.copies = []


def deliver_up_to(warp: Warp, thread: Thread, barrier: int) -> None:
    """Complete the thread's copies that the mbarrier at a shared address tracks, and those before them."""
    waiting = [*thread.copy_groups, thread.copies]
    tracked = [
        (i, j) for i, group in enumerate(waiting) for j, c in enumerate(group) if c.arrival and c.target == barrier
    ]
    if not tracked:
        return
    last, end = tracked[-1]
    for group in waiting[:last]:
        _deliver(warp, thread, group)
        group.clear()
    due = waiting[last][: end + 1]
    del waiting[last][: end + 1]
    _deliver(warp, thread, due)


def _deliver(warp: Warp, thread: Thread, copies: list[Copy]) -> None:
    for copy in copies:
        if copy.arrival is not None:
            copy.arrival(warp, thread, copy)
            continue
        try:
            data = _source(warp, copy.source, copy.size, copy.read)
            warp.block.store(thread, "shared", copy.target, data.ljust(copy.size, b"\0"))
        except BadAccess as bad:
            raise warp.block.access_fault(bad, copy.instr, thread) from None


def load_matrices(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """ldmatrix: lanes 8i..8i+7 name the rows of 8x8 matrix i; lane l gets elements (l/4, 2(l%4)) and its neighbour.

    `.trans` exchanges rows and columns.
    """
    targets, transposed = items(instr.operands[0]), "trans" in instr.modifiers
    space = space_in(instr)
    for i, target in enumerate(targets):
        rows = []
        for thread in threads[8 * i : 8 * i + 8]:
            address = warp.block.address(thread, instr.operands[1], instr)
            data = reached(warp, instr, thread, space, address, 16)
            rows.append([int.from_bytes(data[2 * c : 2 * c + 2], "little") for c in range(8)])
        for thread in threads:
            row, column = thread.lane // 4, thread.lane % 4 * 2
            pair = [rows[column + e][row] if transposed else rows[row][column + e] for e in range(2)]
            warp.block.write(thread, target, pair[0] | pair[1] << 16, "b32")


def store_matrices(warp: Warp, instr: Instr, threads: list[Thread]) -> None:
    """stmatrix: the inverse of ldmatrix."""
    sources, transposed = items(instr.operands[1]), "trans" in instr.modifiers
    space = space_in(instr)
    for i, source in enumerate(sources):
        matrix = [[0] * 8 for _ in range(8)]
        for thread in threads:
            bits = warp.block.read(thread, source, 32, instr)
            for e, value in enumerate((bits & 0xFFFF, bits >> 16)):
                row, column = thread.lane // 4, thread.lane % 4 * 2 + e
                if transposed:
                    row, column = column, row
                matrix[row][column] = value
        for row, thread in enumerate(threads[8 * i : 8 * i + 8]):
            address = warp.block.address(thread, instr.operands[0], instr)
            data = b"".join(value.to_bytes(2, "little") for value in matrix[row])
            stored(warp, instr, thread, space, address, data)


def _loads_and_stores() -> Iterator[WarpRow]:
    """Up to 16 bytes a lane; the 32-byte vectors of sm_100 have no row."""
    for space, count, width in product(SPACES, (1, 2, 4), (8, 16, 32, 64)):
        if count * width > 128:
            continue
        vector = f".v{count}" if count > 1 else ""
        yield WarpRow(f"ld.{space}{vector}.b{width}", load, Pipe.LSU)
        if space != "const":
            yield WarpRow(f"st.{space}{vector}.b{width}", store, Pipe.LSU)
        if width < 64:
            yield WarpRow(f"ld.{space}{vector}.s{width}", load, Pipe.LSU)


def _matrices() -> Iterator[WarpRow]:
    for count in (1, 2, 4):
        for trans in ("", ".trans"):
            for space in ("shared", "generic"):
                yield WarpRow(f"ldmatrix.x{count}{trans}.{space}", load_matrices, Pipe.LSU)
                yield WarpRow(f"stmatrix.x{count}{trans}.{space}", store_matrices, Pipe.LSU)


ROWS: tuple[WarpRow, ...] = (
    *_loads_and_stores(),
    *_matrices(),
    WarpRow("cp.async", copy_async, Pipe.LSU),
    WarpRow("cp.async.commit_group", commit_copies, Pipe.LSU),
    WarpRow("cp.async.wait_group", wait_group, Pipe.LSU),
    WarpRow("cp.async.wait_all", wait_all, Pipe.LSU),
    *(WarpRow(name, nothing, Pipe.LSU) for name in ("prefetch", "prefetchu", "discard", "applypriority")),
)
