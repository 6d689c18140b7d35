"""Loads, stores, atomics and asynchronous copies as operations."""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import Flag, Space, Value
from warpsmith.sandbox.emulator.emitter import Emitter, width_of
from warpsmith.sandbox.emulator.program import (
    STRONG,
    Address,
    Immediate,
    Instr,
    Not,
    Operand,
    Register,
    Sink,
    Symbol,
    Vector,
)
from warpsmith.sandbox.emulator.ptx.layout import BYTES

SPACES = {
    "global": Space.GLOBAL,
    "shared": Space.SHARED,
    "local": Space.LOCAL,
    "const": Space.CONST,
    "param": Space.PARAM,
}
FAST = {Space.GLOBAL: "global", Space.SHARED: "shared"}
VECTORS = {"v2": 2, "v4": 4}


def space_of(modifiers: tuple[str, ...]) -> Space:
    for word in modifiers:
        plain = word.partition("::")[0]
        if plain in SPACES:
            return SPACES[plain]
    return Space.GENERIC


def _element(emitter: Emitter, *, signed: bool) -> tuple[str, int]:
    """(type, elements) of an ld or st; the type named by what the handlers move."""
    modifiers = emitter.instr.modifiers
    kind = modifiers[-1]
    count = next((VECTORS[word] for word in modifiers if word in VECTORS), 1)
    if kind not in BYTES or kind == "b128" or "v8" in modifiers:
        raise emitter.refusal()
    size = BYTES[kind]
    if size * count > 16:
        raise emitter.refusal()
    sign = "s" if signed and kind[0] == "s" and size < 4 else "u"
    return f"{sign}{8 * size}", count


def _handler(opcode: str, space: Space, element: str, count: int) -> str:
    vector = f"v{count}." if count > 1 else ""
    return f"{opcode}.{FAST.get(space, 'any')}.{vector}{element}"


def ordering(modifiers: tuple[str, ...]) -> int:
    """Flags of an access: whether it synchronises, with whom, and what it orders."""
    flags = 0
    if STRONG.intersection(modifiers):
        flags |= Flag.SYNCHRONISES
    if "cta" in modifiers or "cluster" in modifiers:  # a cluster is one block here
        flags |= Flag.BLOCK_SCOPE
    if "acquire" in modifiers or "acq_rel" in modifiers:
        flags |= Flag.ACQUIRES
    if "release" in modifiers or "acq_rel" in modifiers:
        flags |= Flag.RELEASES
    return flags


def _read_only_path(instr: Instr) -> int:
    """`ld.global.nc` and `ldu`: the memory must not change while the kernel runs (PTX ISA, ld.global.nc and ldu)."""
    return Flag.READ_ONLY_PATH if instr.opcode == "ldu" or "nc" in instr.modifiers else 0


def load(emitter: Emitter) -> None:
    instr = emitter.instr
    space = space_of(instr.modifiers)
    target, address = instr.operands[0], instr.operands[1]
    element, count = _element(emitter, signed=True)
    targets = emitter.items(target)
    if len(targets) != count:
        raise emitter.refusal()
    if space is Space.PARAM and isinstance(address, Address) and isinstance(address.base, Symbol):
        _load_param(emitter, targets, address, element)
        return
    base, offset, flags = emitter.address(address, space)
    # A 32-bit value has no sign in its handler, but a wider register wants it.
    result = instr.modifiers[-1]
    values = [emitter.target(item, result) for item in targets]
    emitter.emit(
        _handler("ld", space, element, count),
        a=base,
        imm=offset,
        d=values[0] if count == 1 else None,
        items=tuple(values) if count > 1 else (),
        written=tuple(values) if count > 1 else (),
        flags=flags | ordering(instr.modifiers) | _read_only_path(instr),
        port=emitter.port(),
        bytes=int(space),
    )
    for item, value in zip(targets, values, strict=True):
        emitter.finish(item, value, result)


def _load_param(emitter: Emitter, targets: tuple[Operand, ...], address: Address, element: str) -> None:
    assert isinstance(address.base, Symbol)
    size, width = int(element[1:]) // 8, width_of(element)
    offset = address.base.offset + address.offset
    for i, item in enumerate(targets):
        at = offset + i * size
        if emitter.is_call_param(address.base.name):
            value = emitter.call_param(address.base.name, at, width)
        else:
            param = next((p for p in emitter.entry.params if p.name == address.base.name), None)
            if param is None or at < 0 or at + size > param.size:
                raise emitter.refusal(f"{emitter.instr.text} outside {address.base.name}")
            value = emitter.param(param.offset + at, size, width)
        if size < 4:
            # What was stored may have come from a wider register.
            extended = Value(4)
            emitter.emit(f"lane.cvt.{element[0]}32.{element}", d=extended, a=value)
            value = extended
        if isinstance(item, Sink):
            continue
        result = emitter.instr.modifiers[-1]
        written = emitter.target(item, result)
        emitter.emit("copy64" if width == 8 else "copy32", d=written, a=value)
        emitter.finish(item, written, result)


def store(emitter: Emitter) -> None:
    instr = emitter.instr
    space = space_of(instr.modifiers)
    address, source = instr.operands[0], instr.operands[1]
    element, count = _element(emitter, signed=False)
    values = [emitter.source(item, width_of(element)) for item in emitter.items(source)]
    if len(values) != count:
        raise emitter.refusal()
    if space is Space.PARAM:
        _store_call_param(emitter, address, values, element)
        return
    base, offset, flags = emitter.address(address, space)
    emitter.emit(
        _handler("st", space, element, count),
        a=base,
        imm=offset,
        items=tuple(values) if count > 1 else (),
        # A lone stored register sits where a load's result would: an operand that is read.
        e=values[0] if count == 1 else None,
        flags=flags | ordering(instr.modifiers),
        port=emitter.port(),
        bytes=int(space),
    )


def _store_call_param(emitter: Emitter, address: Operand, values: list[Value], element: str) -> None:
    if not isinstance(address, Address) or not isinstance(address.base, Symbol):
        raise emitter.refusal()
    if not emitter.is_call_param(address.base.name):
        raise emitter.refusal()
    size = int(element[1:]) // 8
    for i, value in enumerate(values):
        offset = address.base.offset + address.offset + i * size
        slot = emitter.call_param(address.base.name, offset, value.width)
        emitter.emit("copy64" if value.width == 8 else "copy32", d=slot, a=value)


def asynchronous_copy(emitter: Emitter) -> None:
    """cp.async and what waits for it."""
    instr = emitter.instr
    words = instr.modifiers[1:]
    if words == ("commit_group",):
        emitter.emit("cp.async.commit_group")
    elif words == ("wait_all",):
        emitter.emit("cp.async.wait_all")
    elif words == ("wait_group",) and isinstance(instr.operands[0], Immediate):
        emitter.emit("cp.async.wait_group", imm=instr.operands[0].bits)
    elif instr.modifiers[0] == "async" and words and words[0] in ("ca", "cg"):
        _copy(emitter)
    else:
        raise emitter.refusal()


SOURCE_SIZE, IGNORES_SOURCE = 1, 2
"""`CopyOperand` of vm/async.h."""


def _copy(emitter: Emitter) -> None:
    to, source, size, *rest = emitter.instr.operands
    hinted = any(word.endswith("cache_hint") for word in emitter.instr.modifiers)
    rest = rest[:-1] if hinted else rest
    if not isinstance(size, Immediate) or size.bits not in (4, 8, 16) or len(rest) > 1:
        raise emitter.refusal()
    ignores = bool(rest) and (isinstance(rest[0], Not) or (isinstance(rest[0], Register) and rest[0].type == "pred"))
    base, offset, flags = emitter.address(to, Space.SHARED)
    global_base, global_offset, _ = emitter.address(source, Space.GLOBAL)
    emitter.emit(
        "cp.async",
        a=base,
        b=global_base,
        c=emitter.source(rest[0], 4) if rest else None,
        e=global_offset & 0xFFFFFFFF,
        imm=offset,
        flags=flags,
        port=emitter.port(),
        bytes=size.bits,
        target=IGNORES_SOURCE if ignores else SOURCE_SIZE if rest else 0,
    )


def rows(emitter: Emitter) -> None:
    """Ldmatrix and stmatrix."""
    instr = emitter.instr
    reading = instr.opcode == "ldmatrix"
    count = next((int(word[1]) for word in instr.modifiers if word in ("x1", "x2", "x4")), 0)
    if "m8n8" not in instr.modifiers or instr.modifiers[-1] != "b16" or not count:
        raise emitter.refusal()
    registers, address = instr.operands if reading else instr.operands[::-1]
    items = emitter.items(registers) if isinstance(registers, Vector) else (registers,)
    if len(items) != count:
        raise emitter.refusal()
    base, offset, flags = emitter.address(address, Space.SHARED)
    if space_of(instr.modifiers) is Space.GENERIC:
        base, flags = emitter.to_shared(base, flags), Flag.WIDE
    values = tuple(emitter.target(item, "b32") if reading else emitter.source(item, 4) for item in items)
    emitter.emit(
        instr.opcode,
        a=base,
        imm=offset,
        items=values,
        written=values if reading else (),
        flags=flags,
        port=emitter.port(),
        bytes=count,
        target=int("trans" in instr.modifiers),
    )
