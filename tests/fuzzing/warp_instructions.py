"""Random instructions that touch memory or other lanes, from the table's rows.

Addresses lie in the thread's own bytes, or in memory that is only read. Collective instructions name the lanes that
the program knows to be together.
"""

from __future__ import annotations

import random
import re
from functools import cache

from warpsmith.sandbox.emulator.isa.matrix import fragments_of
from warpsmith.sandbox.emulator.isa.product_words import INTEGERS, MMA_PRODUCTS, Product
from warpsmith.sandbox.emulator.isa.row import WarpRow
from warpsmith.sandbox.emulator.isa.warps import warp_rows

from .lane_instructions import canonical, guarded
from .places import OWN, SMALL_SECTION, SMALLS, SOURCE_BYTES, Shape
from .registers import POOLS, distinct, register, source, width_of

BASES = {"global": "%a1", "shared": "%s1", "generic": "%a2", "local": "depot"}
"""The thread's own bytes by space."""
COMMUTE = ("add", "and", "or", "xor", "min", "max")


@cache
def rows_of(*opcodes: str) -> tuple[WarpRow, ...]:
    return tuple(row for row in warp_rows().values() if row.name.split(".")[0] in opcodes)


def element_bytes(kind: str) -> int:
    return 4 if kind.endswith("x2") else width_of(kind.removeprefix("b") if kind.startswith("bf") else kind) // 8


def access(rng: random.Random) -> str:
    """A load or store of any type and vector length."""
    while True:
        row = rng.choice(rows_of("ld", "st"))
        opcode, space, *vector, kind = row.name.split(".")
        count = int(vector[0][1:]) if vector else 1
        size = width_of(kind) // 8 * count
        writable = space in BASES
        if size <= OWN and (writable or (opcode == "ld" and space == "const")):
            break
    width = width_of(kind)
    # A vector of results must not name a register twice.
    values = distinct(rng, width, count) if opcode == "ld" else [register(rng, width) for _ in range(count)]
    text = f"{{{', '.join(values)}}}" if vector else values[0]
    name = row.name
    if opcode == "ld" and space == "global" and rng.randrange(2):
        before, where = indexed(rng, "%a0", SOURCE_BYTES, size)
        name = name.replace("ld.global", rng.choice(("ld.global", "ld.global.nc")))
    else:
        before, where = own(rng, space, size)
    operands = f"{text}, [{where}]" if opcode == "ld" else f"[{where}], {text}"
    return before + guarded(rng, f"{spelled(name)} {operands};")


def spelled(name: str) -> str:
    """A row's name as an instruction: a generic address has no word for its space, sums are of unsigned words."""
    return re.sub(r"\.add\.b(?=\d)", ".add.u", name.replace(".generic", ""))


def own(rng: random.Random, space: str, size: int) -> tuple[str, str]:
    """Instructions before the access, and its address among the thread's own bytes."""
    base = BASES.get(space, "table")
    if rng.randrange(2) or base in ("depot", "table"):
        return "", f"{base}+{rng.randrange(OWN // size) * size}"
    if base == "%s1":
        return f"and.b32 %s2, {register_32(rng)}, {OWN - size}; add.u32 %s2, %s2, %s1; ", "%s2"
    return indexed(rng, base, OWN, size)


def register_32(rng: random.Random) -> str:
    return f"%r{rng.randrange(POOLS['r'][1])}"


def indexed(rng: random.Random, base: str, bytes_there: int, size: int) -> tuple[str, str]:
    """A random aligned place in `bytes_there` (a power of two) behind a 64-bit base."""
    before = f"and.b32 %s2, {register_32(rng)}, {bytes_there - size}; cvt.u64.u32 %a3, %s2; add.s64 %a3, %a3, {base}; "
    return before, "%a3"


def atomic(rng: random.Random) -> str:
    """An update of the thread's own bytes, whose old value is kept, or of nobody's by a commutative operation."""
    row = rng.choice(rows_of("atom", "red"))
    opcode, space, operation, *rest = row.name.split(".")
    kind = rest[-1]
    size = element_bytes(kind) * (int(rest[0][1:]) if len(rest) > 1 and rest[0][0] == "v" else 1)
    if len(rest) > 1 or size > 8 or space not in BASES:
        return atomic(rng)
    before, where = own(rng, space, size)
    width = 8 * size
    values = [register(rng, width) for _ in range(2 if operation == "cas" else 1)]
    target = [register(rng, width)] if opcode == "atom" else []
    update = guarded(rng, f"{spelled(row.name)} {', '.join([*target, f'[{where}]', *values])};")
    if kind not in ("f32", "f64"):
        return before + update
    # What lies there may be a NaN of this processor's now.
    kept, plain = ("%e0", "b32") if kind == "f32" else ("%d0", "b64")
    access = spelled(f"{space}.{plain}") if space != "generic" else plain
    again = f" ld.{access} {kept}, [{where}];{canonical(kind, kept)} st.{access} [{where}], {kept};"
    return before + update + again


def contended(rng: random.Random) -> str:
    """An update that other threads make too, of the slot that its operation has."""
    kinds = [row for row in rows_of("red") if row.name.split(".")[2] in COMMUTE and row.name[-3] in "bus"]
    row = rng.choice([row for row in kinds if row.name.split(".")[1] != "generic"])
    _, space, operation, kind = row.name.split(".")
    slot = contended_slot(operation, kind)
    where = f"%a4+{slot}" if space == "global" else f"%s3+{slot}"
    return guarded(rng, f"{spelled(row.name)} [{where}], {register(rng, width_of(kind))};")


def contended_slot(operation: str, kind: str) -> int:
    """Byte offset of the slot for an operation: `min.u32` and `min.s32` do not commute with each other."""
    names = [f"{op}.{kind}" for op in ("add", "and", "or", "xor") for kind in ("b32", "b64")]
    names += [f"{op}.{sign}{width}" for op in ("min", "max") for sign in "us" for width in (32, 64)]
    return 8 * names.index(f"{operation}.{kind}")


def exchange(rng: random.Random, mask: str, *, whole: bool) -> str:
    """An instruction among the lanes that `mask` names."""
    row = rng.choice(rows_of("shfl", "vote", "match", "redux", "elect", "bar"))
    opcode, *words = row.name.split(".")
    if opcode == "shfl" and whole:
        control = "0" if words[0] == "up" else "31"
        if rng.randrange(3) == 0:
            control = str(int(control) | rng.choice((16, 24, 28)) << 8)
        found = f"{register(rng, 1)}" if rng.randrange(2) else ""
        target = "|".join(word for word in (register(rng, 32), found) if word)
        return f"shfl.sync.{words[0]}.b32 {target}, {register(rng, 32)}, {source(rng, 'u32')}, {control}, {mask};"
    if opcode == "vote":
        kind, width = ("b32", 32) if words[0] == "ballot" else ("pred", 1)
        return f"vote.sync.{words[0]}.{kind} {register(rng, width)}, {register(rng, 1)}, {mask};"
    if opcode == "match":
        agreed = f"|{register(rng, 1)}" if words[0] == "all" else ""
        value = register(rng, width_of(words[1]))
        return f"match.{words[0]}.sync.{words[1]} {register(rng, 32)}{agreed}, {value}, {mask};"
    if opcode == "redux" and words[-1] in ("u32", "s32", "b32"):
        return f"redux.sync.{words[0]}.{words[1]} {register(rng, 32)}, {register_32(rng)}, {mask};"
    if opcode == "elect":
        return f"elect.sync {register(rng, 32)}|{register(rng, 1)}, {mask};"
    if row.name == "bar.warp.sync":
        return f"bar.warp.sync {mask};"
    return exchange(rng, mask, whole=whole)


def meeting(rng: random.Random, shape: Shape) -> str:
    """All threads of the block exchange a word, or count something, at a barrier."""
    if rng.randrange(4) == 0:
        operation = rng.choice(("popc.u32", "and.pred", "or.pred"))
        target = register(rng, 32 if operation == "popc.u32" else 1)
        return f"bar.red.{operation} {target}, 0, {register(rng, 1)};"
    counted = f"bar.sync 1, {shape.threads};" if shape.whole else "bar.sync 1;"
    barrier = rng.choice(("bar.sync 0;", "barrier.sync 0;", counted))
    other = f"rem.u32 %s2, {register_32(rng)}, {shape.threads}; mad.lo.u32 %s2, %s2, 4, {shape.exchange};"
    return (
        f"st.shared.b32 [%s4], {register_32(rng)}; {barrier} {other} ld.shared.b32 {register_32(rng)}, [%s2]; {barrier}"
    )


def copy(rng: random.Random) -> str:
    """An asynchronous copy into the thread's own shared bytes, waited for at once."""
    size = rng.choice((4, 8, 16))
    before, place = indexed(rng, "%a0", SOURCE_BYTES, size)
    wait = rng.choice(("cp.async.commit_group; cp.async.wait_group 0;", "cp.async.wait_all;"))
    cache = "cg" if size == 16 else "ca"
    return (
        f"{before}cp.async.{cache}.shared.global [%s1+{rng.randrange(OWN // size) * size}], [{place}], {size}; {wait}"
    )


def matrix(rng: random.Random) -> str:
    """A product of a whole warp whose result does not depend on the order of its sums."""
    return product_text(rng, rng.choice(products()))


@cache
def products() -> tuple[Product, ...]:
    """Dense products whose result does not depend on the order of sums: of whole numbers, of small floats."""
    return tuple(item for item in MMA_PRODUCTS if not item.sparse and {item.a, item.b} <= INTEGERS | SMALLS.keys())


def product_text(rng: random.Random, item: Product) -> str:
    parts, before = fragments_of(item, wmma=False), list[str]()
    sizes = {part: max(1, at.rows * at.columns // 32 // at.element.per_register) for part, at in parts.items()}
    kinds = dict(zip("abc", (item.a, item.b, item.c), strict=True))
    sources = [_fragment(rng, before, kind, sizes[part]) for part, kind in kinds.items()]
    targets = ", ".join(distinct(rng, parts["d"].element.register_bits, sizes["d"]))
    operands = ", ".join(f"{{{part}}}" for part in (targets, *sources))
    bits, saturates = f".{item.bits}.popc" if item.bits else "", ".satfinite" * item.saturates
    words = f"sync.aligned.{item.shape}.row.col{saturates}.{item.d}.{item.a}.{item.b}.{item.c}{bits}"
    return " ".join((*before, f"mma.{words} {operands};"))


def _fragment(rng: random.Random, before: list[str], kind: str, count: int) -> str:
    """A lane's registers of a matrix: any bits for whole numbers, small numbers for the rest."""
    if kind in INTEGERS or kind == "s32":
        return ", ".join(register_32(rng) for _ in range(count))
    section, wide = SMALLS[kind] * SMALL_SECTION, kind == "f64"
    names = []
    for _ in range(count):
        names.append(f"%{'d' if wide else 'e'}{len(before)}")
        place, where = indexed(rng, "%a5", SMALL_SECTION, 8 if wide else 4)
        before.append(f"{place}ld.global.b{64 if wide else 32} {names[-1]}, [{where}+{section}];")
    return ", ".join(names)
