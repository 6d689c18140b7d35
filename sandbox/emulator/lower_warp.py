"""Barriers, exchanges between lanes, matrix products and calls as operations."""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import Flag, Value
from warpsmith.sandbox.emulator.emitter import Emitter, width_of
from warpsmith.sandbox.emulator.isa.spelling_warp import warp_name
from warpsmith.sandbox.emulator.program import Not, Operand, Register, Sink, Symbol

SHUFFLES = ("up", "down", "bfly", "idx")
VOTES = ("all", "any", "uni", "ballot")
REDUCTIONS = {
    "add.u32": 0, "add.s32": 8, "min.u32": 1, "max.u32": 2, "min.s32": 3, "max.s32": 4,
    "and.b32": 5, "or.b32": 6, "xor.b32": 7,
}  # fmt: skip
BARRIER_REDUCTIONS = {"popc": 1, "and": 2, "or": 3}


def _predicate(emitter: Emitter, operand: Operand) -> tuple[Value, int]:
    """A predicate source and the flag that inverts it."""
    if isinstance(operand, Not):
        return emitter.register(operand.register), Flag.NEGATED
    return emitter.source(operand, 4), 0


def barrier(emitter: Emitter) -> None:
    """Bar and barrier, without clusters."""
    instr = emitter.instr
    words = [word for word in instr.modifiers if word not in ("cta", "aligned")]
    operands = list(instr.operands)
    if instr.opcode == "bar" and words == ["warp", "sync"]:
        emitter.emit("bar.warp.sync", a=emitter.source(operands[0], 4), flags=Flag.ANYWHERE)
        return
    if words[0] not in ("sync", "arrive", "red"):
        raise emitter.refusal()
    target: Operand = Sink()
    written = held = None
    kind = 0
    flags = Flag.ALIGNED if instr.opcode == "bar" or "aligned" in instr.modifiers else 0
    result = "pred"
    if words[0] == "red":
        kind = BARRIER_REDUCTIONS[words[1]]
        result = words[-1]
        target = operands.pop(0)
        held, negated = _predicate(emitter, operands.pop())
        flags |= negated
        written = emitter.target(target, result)
    identity = emitter.source(operands[0], 4)
    counted = len(operands) > 1
    emitter.emit(
        "bar.arrive" if words[0] == "arrive" else "bar.sync",
        a=identity,
        b=emitter.source(operands[1], 4) if counted else None,
        c=held,
        d=written,
        bytes=int(counted),
        imm=kind,
        flags=flags,
    )
    if written is not None:
        emitter.finish(target, written, result)


def shuffle(emitter: Emitter) -> None:
    instr = emitter.instr
    if instr.modifiers[0] != "sync" or instr.modifiers[1] not in SHUFFLES:
        raise emitter.refusal()
    target, a, b, c, members = instr.operands
    kept, inside = emitter.pair(target)
    written = emitter.target(kept, "b32")
    predicate = None if inside is None or isinstance(inside, Sink) else emitter.target(inside, "pred")
    emitter.emit(
        f"shfl.{instr.modifiers[1]}",
        d=written,
        a=emitter.source(a, 4),
        b=emitter.source(b, 4),
        c=emitter.source(c, 4),
        e=emitter.source(members, 4),
        items=() if predicate is None else (predicate,),
        written=() if predicate is None else (predicate,),
        target=int(predicate is not None),
        flags=Flag.ANYWHERE,
    )
    emitter.finish(kept, written, "b32")


def vote(emitter: Emitter) -> None:
    instr = emitter.instr
    if instr.modifiers[0] != "sync" or instr.modifiers[1] not in VOTES:
        raise emitter.refusal()
    target, source, members = instr.operands
    predicate, flags = _predicate(emitter, source)
    emitter.emit(
        "vote",
        d=emitter.target(target, "b32"),
        a=predicate,
        e=emitter.source(members, 4),
        imm=VOTES.index(instr.modifiers[1]),
        flags=flags | Flag.ANYWHERE,
    )


def active_mask(emitter: Emitter) -> None:
    emitter.emit("activemask", d=emitter.target(emitter.instr.operands[0], "b32"))


def match(emitter: Emitter) -> None:
    instr = emitter.instr
    if instr.modifiers[0] not in ("any", "all") or instr.modifiers[1] != "sync":
        raise emitter.refusal()
    target, source, members = instr.operands
    kept, same = emitter.pair(target)
    width = width_of(instr.modifiers[-1])
    predicate = None if same is None or isinstance(same, Sink) else emitter.target(same, "pred")
    emitter.emit(
        "match",
        d=emitter.target(kept, "b32"),
        a=emitter.source(source, width),
        e=emitter.source(members, 4),
        items=() if predicate is None else (predicate,),
        written=() if predicate is None else (predicate,),
        bytes=width,
        imm=int(instr.modifiers[0] == "all"),
        target=int(predicate is not None),
        flags=Flag.ANYWHERE,
    )


def reduction(emitter: Emitter) -> None:
    instr = emitter.instr
    kind = ".".join(instr.modifiers[1:])
    if kind not in REDUCTIONS:
        raise emitter.refusal()
    target, source, members = instr.operands
    emitter.emit(
        "redux",
        d=emitter.target(target, "b32"),
        a=emitter.source(source, 4),
        e=emitter.source(members, 4),
        imm=REDUCTIONS[kind],
        flags=Flag.ANYWHERE,
    )


def elect(emitter: Emitter) -> None:
    kept, chosen = emitter.pair(emitter.instr.operands[0])
    if chosen is None:
        raise emitter.refusal()
    predicate = emitter.target(chosen, "pred")
    emitter.emit(
        "elect",
        d=emitter.target(kept, "b32"),
        e=emitter.source(emitter.instr.operands[1], 4),
        items=(predicate,),
        written=(predicate,),
    )


def transpose(emitter: Emitter) -> None:
    target, source = emitter.instr.operands
    emitter.emit("movmatrix", d=emitter.target(target, "b32"), a=emitter.source(source, 4))


def policy(emitter: Emitter) -> None:
    """An opaque number: caches have no effect on values."""
    written = emitter.target(emitter.instr.operands[0], "b64")
    emitter.emit("copy64", d=written, a=emitter.constant(0, 8))
    emitter.finish(emitter.instr.operands[0], written, "b64")


def breakpoint_(emitter: Emitter) -> None:
    """Without a debugger it ends the kernel."""
    emitter.emit("trap")


def call(emitter: Emitter) -> None:
    """Calls of the two functions the device runtime supplies."""
    *results, name, arguments = emitter.instr.operands
    if not isinstance(name, Symbol):
        raise emitter.refusal()
    params = [item.name for item in emitter.items(arguments) if isinstance(item, Symbol)]
    if name.name == "vprintf" and len(params) == 2:
        form, values = (emitter.call_param(param, 0, 8) for param in params)
        emitter.emit("printf", a=form, b=values)
        for item in (item for result in results for item in emitter.items(result)):
            if isinstance(item, Symbol):
                emitter.emit("copy32", d=emitter.call_param(item.name, 0, 4), a=emitter.constant(0))
    elif name.name == "__assertfail" and len(params) == 5:
        message, file = (emitter.call_param(param, 0, 8) for param in params[:2])
        emitter.emit("assert", a=message, b=file, c=emitter.call_param(params[2], 0, 4))
    else:
        raise emitter.refusal(f"a call of {name.name}")


def memory_fence(emitter: Emitter) -> None:
    """Membar and fence: memory is sequentially consistent here, so that only the checker of races minds them."""
    if warp_name(emitter.instr) == "fence.proxy":
        emitter.emit("nothing")
        return
    emitter.emit("fence", imm=int(not {"cta", "cluster"} & set(emitter.instr.modifiers)))


def nothing(emitter: Emitter) -> None:
    """Hints that have no effect here."""
    if any(isinstance(operand, Register) for operand in emitter.instr.operands):
        raise emitter.refusal()
    emitter.emit("nothing")


def hint(emitter: Emitter) -> None:
    """Prefetches and sleeps may name registers, which they only read."""
    emitter.emit("nothing")
