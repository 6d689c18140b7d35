"""Lanes on different sides of a branch take part in one exchange where the PTX ISA lets them, in both executors."""

import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

# The upper half brings its lane and 100, the lower its lane: each side by an instruction and registers of its own.
SIDES = """
    .reg .b64 %wide<4>;
    setp.ge.u32 %p0, %r0, 16; @%p0 bra HIGH;
    mov.u32 %r2, %r0;
    {low}
    bra.uni JOIN;
HIGH:
    add.u32 %r6, %r0, 100;
    {high}
JOIN:
    st.global.u32 [%rd3], %r1;
    ret;
"""
LANES = range(32)
BROUGHT = [lane + 100 * (lane >= 16) for lane in LANES]
EVEN = 0x55555555
# What each side executes and what it gives.
EXCHANGES = {
    "shfl": (
        "shfl.sync.bfly.b32 %r1, %r2, 16, 31, -1;",
        "shfl.sync.bfly.b32 %r7|%p3, %r6, %r8, 31, -1; selp.b32 %r1, %r7, 7, %p3;",
        [BROUGHT[lane ^ 16] for lane in LANES],
    ),
    "shfl with each lane's own source": (
        "xor.b32 %r5, %r2, 1; shfl.sync.idx.b32 %r1, %r2, %r5, 31, -1;",
        "mov.u32 %r9, 0; shfl.sync.idx.b32 %r1, %r6, %r9, 0x181f, -1;",
        [lane ^ 1 if lane < 16 else BROUGHT[lane & 0x18] for lane in LANES],
    ),
    "vote": (
        "and.b32 %r3, %r2, 1; setp.eq.u32 %p1, %r3, 0; vote.sync.ballot.b32 %r1, %p1, -1;",
        "and.b32 %r4, %r6, 1; setp.eq.u32 %p2, %r4, 1; vote.sync.ballot.b32 %r1, !%p2, -1;",
        [EVEN] * 32,
    ),
    "match": (
        "cvt.u64.u32 %wide0, %r2; match.any.sync.b64 %r1, %wide0, -1;",
        "sub.u32 %r6, %r6, 116; cvt.u64.u32 %wide1, %r6; match.any.sync.b64 %r1, %wide1, -1;",
        [0x10001 << lane % 16 for lane in LANES],
    ),
    "redux": (
        "redux.sync.add.u32 %r1, %r2, -1;",
        "redux.sync.add.u32 %r1, %r6, -1;",
        [sum(BROUGHT)] * 32,
    ),
    "redux of signed numbers": (
        "redux.sync.add.s32 %r1, %r2, -1;",
        "redux.sync.add.s32 %r1, %r6, -1;",
        [sum(BROUGHT)] * 32,
    ),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_lanes_exchange_values_from_both_sides_of_a_branch(on, name):
    low, high, expected = EXCHANGES[name]
    assert expected == on.outputs("mov.u32 %r8, 16;" + SIDES.format(low=low, high=high))


APART = {
    "other mode": ("shfl.sync.bfly.b32 %r1, %r2, 16, 31, -1;", "shfl.sync.idx.b32 %r1, %r6, 0, 31, -1;"),
    "other mask": ("shfl.sync.bfly.b32 %r1, %r2, 16, 31, -1;", "shfl.sync.bfly.b32 %r1, %r6, 16, 31, 0xffff0001;"),
    "other type": ("redux.sync.add.u32 %r1, %r2, -1;", "redux.sync.add.s32 %r1, %r6, -1;"),
    "other width": (
        "match.any.sync.b32 %r1, %r2, -1;",
        "cvt.u64.u32 %wide1, %r6; match.any.sync.b64 %r1, %wide1, -1;",
    ),
    "one side alone": ("shfl.sync.bfly.b32 %r1, %r2, 16, 31, -1;", "mov.u32 %r1, 0; bar.sync 0;"),
}


@pytest.mark.parametrize("name", APART)
def test_exchanges_that_are_not_alike_wait_for_lanes_that_never_arrive(on, name):
    low, high = APART[name]
    fault = on.fault(SIDES.format(low=low, high=high))
    assert FaultKind.BARRIER == fault.kind
    assert "never arrive" in fault.message or "leaves it out" in fault.message


# Lanes below 16 meet on two sides of a branch while the others turn in a loop until lane 0 has.
WATCHED = """
    .shared .align 4 .b32 flag;
    setp.ne.u32 %p1, %r0, 0; @!%p1 st.volatile.shared.u32 [flag], 0; bar.sync 0;
    setp.ge.u32 %p0, %r0, 16; @%p0 bra WAIT;
    setp.ge.u32 %p2, %r0, 8; @%p2 bra UPPER;
    bar.warp.sync {lower};
    bra.uni TOLD;
UPPER:
    bar.warp.sync 0xffff;
TOLD:
    mov.u32 %r1, 1;
    st.volatile.shared.u32 [flag], %r1;
    bra.uni JOIN;
WAIT:
    ld.volatile.shared.u32 %r1, [flag]; setp.eq.u32 %p3, %r1, 0; @%p3 bra WAIT;
JOIN:
    st.global.u32 [%rd3], %r1;
    ret;
"""


def test_lanes_that_met_go_on_while_others_turn_in_a_loop(on):
    assert [1] * 32 == on.outputs(WATCHED.format(lower="0xffff"))
    assert FaultKind.BUDGET == on.fault(WATCHED.format(lower="0x1ffff"), budget=1 << 14).kind
