"""`atom` and `red` as operations."""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import Flag
from warpsmith.sandbox.emulator.emitter import Emitter, width_of
from warpsmith.sandbox.emulator.lower_memory import ordering, space_of
from warpsmith.sandbox.emulator.program import Operand, Sink, Vector
from warpsmith.sandbox.emulator.ptx.layout import BYTES

ATOMIC_BITS = frozenset(("and", "or", "xor", "exch", "cas"))
ATOMIC_OPERATIONS = ATOMIC_BITS | {"add", "min", "max", "inc", "dec"}
HANDLED_ATOMICS = frozenset(
    (
        *(f"add.{t}" for t in ("u32", "u64", "f32", "f64", "f16", "bf16", "f16x2", "bf16x2")),
        *(f"{op}.{t}" for op in ("min", "max") for t in ("u32", "s32", "u64", "s64")),
        *(f"{op}.{t}" for op in ("and", "or", "xor", "exch", "cas") for t in ("b32", "b64")),
        *(f"{op}.{t}" for op in ("min", "max") for t in ("f16", "bf16", "f16x2", "bf16x2")),
        *("cas.b16", "inc.u32", "dec.u32"),
    )
)


def atomic(emitter: Emitter) -> None:
    """Atom and red; a vector is an atomic for each of its elements."""
    instr = emitter.instr
    operands = list(instr.operands)
    target = operands.pop(0) if instr.opcode == "atom" else Sink()
    values = emitter.items(operands[1])
    targets = emitter.items(target) if len(values) > 1 and not isinstance(target, Sink) else (target,) * len(values)
    second = operands[2] if "cas" in instr.modifiers else None
    kind = instr.modifiers[-1]
    if kind == "b128":
        _atomic_wide(emitter, target, operands)
        return
    for i, (value, kept) in enumerate(zip(values, targets, strict=True)):
        aligned = BYTES[kind] * len(values) if i == 0 and len(values) > 1 else 0
        _atomic(emitter, operands[0], i * BYTES[kind], value, second, kept, aligned)


def _atomic_wide(emitter: Emitter, target: Operand, operands: list[Operand]) -> None:
    """atom.exch.b128 and atom.cas.b128, on pairs of halves."""
    modifiers = emitter.instr.modifiers
    space = space_of(modifiers)
    base, offset, flags = emitter.address(operands[0], space)
    values = [emitter.source(half, 8) for operand in operands[1:] for half in emitter.items(operand)]
    halves = emitter.items(target) if isinstance(target, Vector) else (Sink(), Sink())
    written = tuple(emitter.target(half, "b64") for half in halves)
    compares = "cas" in modifiers
    if len(values) != (4 if compares else 2) or len(written) != 2:
        raise emitter.refusal()
    emitter.emit(
        "atom.cas.b128" if compares else "atom.exch.b128",
        a=base,
        items=(*written, *values, *(() if compares else values)),
        written=written,
        imm=offset,
        flags=flags | Flag.SYNCHRONISES | ordering(modifiers) | Flag.REPLACES * (not compares),
        port=emitter.port(),
        bytes=int(space),
        target=int(isinstance(target, Vector)),
    )


def _atomic(
    emitter: Emitter,
    address: Operand,
    further: int,
    value: Operand,
    other: Operand | None,
    target: Operand,
    aligned: int,
) -> None:
    """One atomic `further` bytes behind the address, which is a multiple of `aligned` where that is not 0."""
    modifiers = emitter.instr.modifiers
    operation = next((word for word in modifiers if word in ATOMIC_OPERATIONS), "")
    kind = modifiers[-1]
    if operation in ATOMIC_BITS:
        kind = f"b{8 * BYTES.get(kind, 0)}"
    elif operation == "add" and kind in ("s32", "s64"):
        kind = kind.replace("s", "u")
    if f"{operation}.{kind}" not in HANDLED_ATOMICS:
        raise emitter.refusal()
    space = space_of(modifiers)
    base, offset, flags = emitter.address(address, space)
    width = width_of(kind)
    first = emitter.source(value, width)
    keeps = not isinstance(target, Sink)
    written = emitter.target(target, kind) if keeps else None
    emitter.emit(
        f"atom.{operation}.{kind}",
        d=written,
        a=base,
        b=first,
        c=first if other is None else emitter.source(other, width),
        e=aligned,
        imm=offset + further,
        flags=flags | Flag.SYNCHRONISES | ordering(modifiers) | Flag.REPLACES * (operation == "exch"),
        port=emitter.port(),
        bytes=int(space),
        target=int(keeps),
    )
    if written is not None:
        emitter.finish(target, written, kind)
