"""Registers that nothing wrote: no fault where nothing depends on them, and one where something does."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

HEAD = """.visible .entry k(.param .u64 y) {{ .reg .b32 %r<16>; .reg .b64 %rd<8>; .reg .pred %p<8>; .reg .f32 %f<4>;
    .reg .f64 %d<8>; .shared .b32 s[32]; ld.param.u64 %rd1, [y]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4;
    add.s64 %rd3, %rd1, %rd2; setp.lt.u32 %p1, %r1, 16;
    {body} ret; }}"""

PRODUCT = (
    "mov.f32 %f1, 0f00000000; mov.f32 %f2, %f1; mov.f32 %f3, %f1; "
    "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%f0,%f1,%f2,%f3}, {%r1,%r1}, {%r1}, {%f0,%f1,%f2,%f3}; "
    "st.global.f32 [%rd3], %f0;"
)

WMMA = (
    "mov.f64 %d1, 0d0000000000000000; mov.f64 %d2, %d1; "
    "wmma.mma.sync.aligned.row.row.m8n8k4.f64.f64.f64.f64.rn {%d3,%d4}, {%d1}, {%d2}, {%d5,%d6}; "
    "wmma.store.d.sync.aligned.row.m8n8k4.f64 [%rd1], {%d3,%d4}, 8;"
)
STMATRIX = "mov.u32 %r4, s; stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r4], {%r2};"


@pytest.fixture
def fault(ptx, written):
    def run(body):
        return ptx(HEAD.format(body=body)).run(1, 32, written(np.zeros(128, np.int32))).fault

    return run


TWINS = {
    "stored": ("mov.u32 %r2, 1; st.global.u32 [%rd3], %r2;", "st.global.u32 [%rd3], %r2;"),
    "stored after arithmetic": (
        "mov.u32 %r2, 3; add.s32 %r3, %r2, %r1; st.global.u32 [%rd3], %r3;",
        "add.s32 %r3, %r2, %r1; st.global.u32 [%rd3], %r3;",
    ),
    "written on one of two paths": (
        "mov.u32 %r2, 1; @!%p1 bra L; mov.u32 %r2, 2; L: st.global.u32 [%rd3], %r2;",
        "@!%p1 bra L; mov.u32 %r2, 2; L: st.global.u32 [%rd3], %r2;",
    ),
    "written under a predicate": (
        "@%p1 mov.u32 %r2, 1; @%p1 st.global.u32 [%rd3], %r2;",
        "@%p1 mov.u32 %r2, 1; st.global.u32 [%rd3], %r2;",
    ),
    "written under both predicates": (
        "@%p1 mov.u32 %r2, 1; @!%p1 mov.u32 %r2, 2; st.global.u32 [%rd3], %r2;",
        "@%p1 mov.u32 %r2, 1; @%p1 mov.u32 %r2, 2; st.global.u32 [%rd3], %r2;",
    ),
    "a branch": (
        "mov.u32 %r2, 1; setp.eq.s32 %p2, %r2, 0; @%p2 bra L; L: st.global.u32 [%rd3], %r1;",
        "setp.eq.s32 %p2, %r2, 0; @%p2 bra L; L: st.global.u32 [%rd3], %r1;",
    ),
    "selected": (
        "selp.b32 %r3, %r1, %r2, %p3; @%p1 st.global.u32 [%rd3], %r1; ",
        "selp.b32 %r3, %r1, %r2, %p1; st.global.u32 [%rd3], %r3;",
    ),
    "an atomic's operand": ("mov.u32 %r2, 1; red.global.add.u32 [%rd3], %r2;", "red.global.add.u32 [%rd3], %r2;"),
    "an accumulator of a matrix product": (f"mov.f32 %f0, 0f00000000; {PRODUCT}", PRODUCT),
    "an accumulator that wmma stores": (f"mov.f64 %d5, 0d0000000000000000; mov.f64 %d6, %d5; {WMMA}", WMMA),
    "a row that stmatrix stores": (f"mov.u32 %r2, 7; {STMATRIX}", STMATRIX),
    "a sum that nobody started": (
        "mov.u32 %r6, 0; mov.u32 %r2, 0; L: add.s32 %r2, %r2, 2; add.s32 %r6, %r6, 1; setp.lt.u32 %p2, %r6, 3; "
        "@%p2 bra L; st.global.u32 [%rd3], %r2;",
        "mov.u32 %r6, 0; L: add.s32 %r2, %r2, 2; add.s32 %r6, %r6, 1; setp.lt.u32 %p2, %r6, 3; "
        "@%p2 bra L; st.global.u32 [%rd3], %r2;",
    ),
}


@pytest.mark.parametrize("name", TWINS)
def test_a_value_that_matters_must_have_been_written(fault, name):
    good, bad = TWINS[name]
    assert fault(good) is None
    found = fault(bad)
    assert (FaultKind.UNINITIALISED, "register") == (found.kind, found.space)
    assert "register that nothing has written" in found.message


def test_an_address_must_have_been_written(fault):
    load = "ld.global.u32 %r5, [%rd4];"
    assert fault(f"mov.u64 %rd4, %rd3; {load}") is None
    assert (FaultKind.UNINITIALISED, "register") == (
        (found := fault(f"add.s64 %rd4, %rd5, %rd3; {load}")).kind,
        found.space,
    )


def test_what_a_selection_leaves_out_may_be_anything(fault):
    assert fault("setp.ge.u32 %p2, %r1, 0; selp.b32 %r3, %r1, %r2, %p2; st.global.u32 [%rd3], %r3;") is None
    found = fault("selp.b32 %r3, %r1, %r2, %p1; st.global.u32 [%rd3], %r3;")
    assert (FaultKind.UNINITIALISED, (16, 0, 0)) == (found.kind, found.thread)


def test_an_unwritten_register_that_nobody_uses_is_no_fault(fault):
    assert fault("add.s32 %r3, %r2, %r1; mov.u32 %r4, %r3; st.global.u32 [%rd3], %r1;") is None
