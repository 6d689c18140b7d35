"""Instructions of the PTX ISA that the emulator does not run, each with an example that is refused by name.

Source: PTX ISA 9.0, chapter 9 "Instruction Set", up to sm_103.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Absent:
    names: str
    """As the page shows them."""
    example: str
    """One instruction, over registers `p` (pred), `h` (b16), `r t u v` (b32), `f g` (f32), `a b` (b64)."""
    needs: str
    """What has them."""
    why: str


HOPPER = "sm_90's engines come after sm_80 is whole"
NEWER = "kernels are compiled for sm_80 and sm_90a here"
TEXTURE = "a kernel file has no textures or surfaces to bind"

ABSENT: tuple[Absent, ...] = (
    Absent("wgmma.*", "wgmma.fence.sync.aligned", "sm_90a", HOPPER),
    Absent("cp.async.bulk.*, cp.reduce.async.bulk.*", "cp.async.bulk.commit_group", "sm_90", HOPPER),
    Absent("tensormap.replace, tensormap.cp_fenceproxy, prefetch.tensormap", "prefetch.tensormap [a]", "sm_90", HOPPER),
    Absent("fence.proxy.tensormap", "fence.proxy.tensormap::generic.release.gpu", "sm_90", HOPPER),
    Absent("barrier.cluster.*, mapa, getctarank", "barrier.cluster.arrive", "sm_90", HOPPER),
    Absent("st.async, red.async, mbarrier of a cluster", "st.async.weak.shared::cluster.b32 [a], r", "sm_90", HOPPER),
    Absent("multimem.*", "multimem.red.global.add.u32 [a], r", "sm_90", "memory of several devices"),
    Absent("tcgen05.*, clusterlaunchcontrol.*, st.bulk", "st.bulk.shared::cta [a], b, 0", "sm_100", NEWER),
    Absent("ld.v8, ld.v4.b64, st.v8, st.v4.b64", "ld.global.v8.b32 {r,t,u,v,r,t,u,v}, [a]", "sm_100", NEWER),
    Absent("add, sub, mul, fma of f32x2 and of f32 with halves", "add.f32x2 a, a, b", "sm_100", NEWER),
    Absent("redux of f32, min and max of three", "redux.sync.min.f32 f, g, -1", "sm_100a", NEWER),
    Absent("cvt with .rs, e2m1, e2m3, e3m2, ue8m0", "cvt.rn.satfinite.e2m1x2.f32 h, f, g", "sm_100a", NEWER),
    Absent(
        "ldmatrix and stmatrix of other shapes than m8n8",
        "ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8 {r, t}, [a]",
        "sm_100a",
        NEWER,
    ),
    Absent(
        "mma with .kind, .block_scale",
        "mma.sync.aligned.m16n8k32.row.col.kind::f8f6f4.f32.e4m3.e2m1.f32 {f,f,f,f}, {r,r,r,r}, {t,t}, {g,g,g,g}",
        "sm_120a",
        NEWER,
    ),
    Absent("tex, tld4, txq, istypep", "txq.width.b32 r, [a]", "any", TEXTURE),
    Absent("suld, sust, sured, suq", "suq.width.b32 r, [a]", "any", TEXTURE),
    Absent("shfl, vote, match without .sync", "vote.ballot.b32 r, p", "before sm_70", "no target has them"),
)
"""In the order of the page. Registers of vector type (`.reg .v4 .f32`), which no compiler writes, are refused by the
parser."""
