"""What stands before and behind the random part of a program: addresses and first values, and what becomes of them."""

from __future__ import annotations

from .places import OWN, SLOT_BYTES, SLOTS, Shape
from .registers import POOLS

DUMP = sum(count * (8 if kind in ("b64", "f64") else 4) for kind, count in POOLS.values()) + 2 * OWN
"""Bytes a thread leaves at its end: its registers, its shared and its local bytes."""


def prologue(shape: Shape) -> str:
    """Addresses, the mask of the warp's lanes, and a value in every register and byte."""
    lines = [
        "ld.param.u64 %a0, [k_0]; ld.param.u64 %a5, [k_1]; ld.param.u64 %a4, [k_2];",
        "cvta.to.global.u64 %a0, %a0; cvta.to.global.u64 %a5, %a5; cvta.to.global.u64 %a4, %a4;",
        f"mov.u32 %s0, %tid.x; mov.u32 %s2, %ctaid.x; mad.lo.u32 %s7, %s2, {shape.threads}, %s0;",
        f"mad.lo.u32 %s1, %s0, {OWN}, window; mad.lo.u32 %s4, %s0, 4, window; add.u32 %s4, %s4, {shape.exchange};",
        f"mov.u32 %s3, window; add.u32 %s3, %s3, {shape.shared_slots()};",
        f"mad.wide.u32 %a1, %s7, {OWN}, %a4; add.s64 %a1, %a1, {SLOTS * SLOT_BYTES * (1 + shape.grid)};",
        f"mad.wide.u32 %a6, %s7, {DUMP}, %a4;",
        f"add.s64 %a6, %a6, {SLOTS * SLOT_BYTES * (1 + shape.grid) + shape.grid * shape.threads * OWN};",
        "cvt.u64.u32 %a2, %s1; cvta.shared.u64 %a2, %a2;",
        f"mov.u32 %s5, %warpid; setp.eq.u32 %q15, %s5, {shape.threads // 32};",
        f"selp.b32 %m0, {(1 << shape.threads % 32) - 1}, -1, %q15;",
        "mad.wide.u32 %a3, %s0, 4, %a0;",
    ]
    words = 0
    for prefix, (kind, count) in POOLS.items():
        for i in range(count):
            where = f"[%a3+{words * 64 % 2048}]"
            words += 1
            if kind == "pred":
                lines.append(f"ld.global.b32 %s5, {where}; setp.lt.s32 %{prefix}{i}, %s5, 0;")
            elif kind in ("b64", "f64"):
                lines.append(f"ld.global.b32 %s5, {where}; ld.global.b32 %s6, [%a3+{words * 64 % 2048}];")
                lines.append(f"mov.b64 %{prefix}{i}, {{%s5, %s6}};")
            else:
                lines.append(f"ld.global.{kind.replace('f32', 'b32')} %{prefix}{i}, {where};")
    for offset in range(0, OWN, 4):
        value = f"%r{offset // 4 % POOLS['r'][1]}"
        lines += [f"st.shared.b32 [%s1+{offset}], {value};", f"st.local.b32 [depot+{offset}], {value};"]
    lines.append("mov.b64 %a3, 0; setp.ne.u32 %q15, %s0, 0;")
    lines += [f"@!%q15 st.shared.b64 [%s3+{8 * slot}], %a3;" for slot in range(SLOTS)]
    return "\n".join([*lines, "bar.sync 0;"])


def epilogue(shape: Shape) -> str:
    """All that a thread holds goes to its place, and thread 0 adds the block's contended slots."""
    lines, offset = [], 0
    for prefix, (kind, count) in POOLS.items():
        for i in range(count):
            if kind == "pred":
                lines.append(f"selp.b32 %s5, 1, 0, %{prefix}{i}; st.global.b32 [%a6+{offset}], %s5;")
            elif kind == "b16":
                lines.append(f"cvt.u32.u16 %s5, %{prefix}{i}; st.global.b32 [%a6+{offset}], %s5;")
            else:
                lines.append(f"st.global.{kind.replace('f', 'b')} [%a6+{offset}], %{prefix}{i};")
            offset += 8 if kind in ("b64", "f64") else 4
    for at in range(0, OWN, 4):
        lines.append(f"ld.shared.b32 %s5, [%s1+{at}]; st.global.b32 [%a6+{offset + at}], %s5;")
        lines.append(f"ld.local.b32 %s5, [depot+{at}]; st.global.b32 [%a6+{offset + OWN + at}], %s5;")
    lines += ["bar.sync 0;", "setp.ne.u32 %q15, %s0, 0; @%q15 exit;"]
    lines.append(f"mov.u32 %s2, %ctaid.x; mad.wide.u32 %a3, %s2, {SLOTS * SLOT_BYTES}, %a4;")
    for slot in range(SLOTS):
        lines.append(
            f"ld.shared.b64 %rd0, [%s3+{8 * slot}]; st.global.b64 [%a3+{SLOTS * SLOT_BYTES + 8 * slot}], %rd0;"
        )
    return "\n".join([*lines, "exit;"])
