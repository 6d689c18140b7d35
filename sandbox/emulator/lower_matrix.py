"""Matrix products and their fragments as operations."""

from __future__ import annotations

from warpsmith.sandbox.emulator.bytecode import Value
from warpsmith.sandbox.emulator.emitter import Emitter, width_of
from warpsmith.sandbox.emulator.isa.fragments import Fragment, slots_of
from warpsmith.sandbox.emulator.isa.matrix import fragments_of, wmma_fragment
from warpsmith.sandbox.emulator.isa.product_words import INTEGERS, Product, Shape, product, quads_name
from warpsmith.sandbox.emulator.lower_memory import space_of
from warpsmith.sandbox.emulator.program import Immediate, Operand

FAST = frozenset(
    (
        *(f"{shape}.{kinds}" for shape in ("m16n8k8", "m16n8k16") for kinds in ("f32.f16", "f16.f16", "f32.bf16")),
        *(f"{shape}.f32.tf32" for shape in ("m16n8k4", "m16n8k8")),
        *(
            f"{shape}.s32.{a}.{b}{saturates}"
            for shape in ("m16n8k16", "m16n8k32")
            for a in ("s8", "u8")
            for b in ("s8", "u8")
            for saturates in ("", ".satfinite")
        ),
        "m8n8k4.f64.f64",
    )
)
"""Products with a handler of their own (vm/matrix.h)."""
SATURATES, XOR, AND, SPARSE, PESSIMISTIC = 1, 2, 4, 8, 16


def multiply(emitter: Emitter) -> None:
    """`mma` and `mma.sp`."""
    if quads_name(emitter.instr.modifiers) is not None:
        _quads(emitter)
        return
    words = product(emitter.instr.modifiers)
    assert words is not None
    kinds = f"{words.d}.{words.a}.{words.b}" if words.a in ("s8", "u8") else f"{words.d}.{words.a}"
    name = f"{words.shape}.{kinds}{'.satfinite' * words.saturates}"
    if words.sparse or name not in FAST or (emitter.pessimistic and words.d in ("f16", "f32")):
        _any_product(emitter, words, wmma=False)
        return
    kind = "f64" if words.d == "f64" else "b32"
    target, *sources = [emitter.items(operand) for operand in emitter.instr.operands]
    results = tuple(emitter.target(item, kind) for item in target)
    values = tuple(emitter.source(item, width_of(kind)) for group in sources for item in group)
    emitter.emit(f"mma.{name}", items=(*results, *values), written=results)


def _quads(emitter: Emitter) -> None:
    """Four fp16 products of m8n8k4 (vm/quads.h)."""
    words = emitter.instr.modifiers
    flags = (words[3] == "col", words[4] == "row", words[5] == "f32", words[8] == "f32", emitter.pessimistic)
    target, *sources = [emitter.items(operand) for operand in emitter.instr.operands]
    results = tuple(emitter.target(item, "b32") for item in target)
    values = tuple(emitter.source(item, 4) for group in sources for item in group)
    number = sum(1 << bit for bit, flag in enumerate(flags) if flag)
    emitter.emit("mma.quads", items=(*results, *values), written=results, imm=number)


def wmma(emitter: Emitter) -> None:
    if emitter.instr.modifiers[0] == "mma":
        words = product(emitter.instr.modifiers)
        assert words is not None
        _any_product(emitter, words, wmma=True)
    else:
        _move(emitter)


def _any_product(emitter: Emitter, words: Product, *, wmma: bool) -> None:
    parts = fragments_of(words, wmma=wmma)
    d, a, b, c, *sparsity = emitter.instr.operands
    flags = SATURATES * words.saturates | XOR * (words.bits == "xor") | AND * (words.bits == "and")
    flags |= PESSIMISTIC * emitter.pessimistic
    metadata: Value | int = 0
    selector = 0
    if words.sparse:
        flags |= SPARSE
        metadata = emitter.source(sparsity[0], 4)
        if not isinstance(sparsity[1], Immediate):
            raise emitter.refusal()
        selector = sparsity[1].bits
    described: list[int] = []
    values: list[Value] = []
    for part, operand in zip("abc", (a, b, c), strict=True):
        described += _described(emitter, parts[part], operand)
        width = width_of(f"b{parts[part].element.register_bits}")
        values += [emitter.source(item, width) for item in emitter.items(operand)]
    results = _targets(emitter, parts["d"], d)
    described += _described(emitter, parts["d"], d)
    family = "f64" if words.d == "f64" else "int" if words.a in INTEGERS else "f32"
    items = (flags, words.shape.k, metadata, *described, *values, *results)
    emitter.emit(f"product.{family}", items=items, written=results, imm=selector)


def _targets(emitter: Emitter, fragment: Fragment, operand: Operand) -> tuple[Value, ...]:
    kind = f"b{fragment.element.register_bits}"
    return tuple(emitter.target(item, kind) for item in emitter.items(operand))


def _described(emitter: Emitter, fragment: Fragment, operand: Operand) -> list[int]:
    """The words by which `Fragment` of vm/fragments.h knows it."""
    element = fragment.element
    count = len(emitter.items(operand))
    if slots_of(operand, element) * 32 < fragment.rows * fragment.columns:
        raise emitter.refusal(f"{emitter.instr.text} with {count} registers in a fragment")
    return [element.code, int(fragment.layout), fragment.rows, fragment.columns, count]


def _move(emitter: Emitter) -> None:
    """wmma.load.{a,b,c} r, [p]{, stride} and wmma.store.d [p], r{, stride}."""
    instr = emitter.instr
    words = instr.modifiers
    shape = Shape.parse(words[5])
    fragment = wmma_fragment(words[1], words[-1], shape.m, shape.n, shape.k)
    by_column = words[4] == "col"
    reading = words[0] == "load"
    registers, address = instr.operands[:2] if reading else instr.operands[1::-1]
    space = space_of(words)
    base, offset, flags = emitter.address(address, space)
    described = _described(emitter, fragment, registers)
    width = width_of(f"b{fragment.element.register_bits}")
    values = (
        _targets(emitter, fragment, registers)
        if reading
        else tuple(emitter.source(item, width) for item in emitter.items(registers))
    )
    if len(instr.operands) > 2:
        stride = emitter.source(instr.operands[2], 4)
    else:
        stride = emitter.constant(fragment.rows if by_column else fragment.columns)
    emitter.emit(
        "wmma.load" if reading else "wmma.store",
        a=base,
        b=stride,
        imm=offset,
        items=(int(by_column), *described, *values),
        written=values if reading else (),
        flags=flags,
        port=emitter.port(),
        bytes=int(space),
    )
