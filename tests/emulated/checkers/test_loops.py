"""Loops that never end are told from loops that are long, and from those that wait for others."""

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

from ..conftest import inout

# Warp 0 turns in the loop, warp 1 waits for it at a barrier.
KERNEL = """.visible .entry k(.param .u64 y, .param .u32 n) {{
    .reg .b32 %r<8>; .reg .b64 %rd<4>; .reg .pred %p<4>; .shared .align 4 .b32 flag;
    ld.param.u64 %rd1, [y]; ld.param.u32 %r1, [n]; mov.u32 %r2, %tid.x; mov.u32 %r3, 0;
    setp.eq.u32 %p1, %r2, 0; @%p1 st.shared.u32 [flag], %r3; bar.sync 0;
    setp.ge.u32 %p2, %r2, 32; @%p2 bra DONE;
TURN:
    {loop}
    @%p3 bra TURN;
DONE:
    bar.sync 0; mul.wide.u32 %rd2, %r2, 4; add.s64 %rd1, %rd1, %rd2; st.global.u32 [%rd1], %r3;
    ret; }}"""
LONG = "add.u32 %r3, %r3, 1; setp.lt.u32 %p3, %r3, %r1;"
ENDLESS = {
    "nothing in it": "setp.ne.u32 %p3, %r1, 0;",
    "a step that was forgotten": "add.u32 %r3, %r2, 1; setp.lt.u32 %p3, %r3, %r1;",
    "a count that comes round": "add.u32 %r3, %r3, 1; and.b32 %r3, %r3, 7; setp.lt.u32 %p3, %r3, %r1;",
    "a plain load that a compiler would hoist": "ld.shared.u32 %r3, [flag]; setp.eq.u32 %p3, %r3, 0;",
}
COUNT = 200_000


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("resident", [None, 1])
def test_a_loop_in_which_everything_comes_round_is_a_deadlock(ptx, name, resident):
    y = np.zeros(64, np.int32)
    fault = ptx(KERNEL.format(loop=ENDLESS[name])).run(1, 64, inout(y), COUNT, resident=resident).fault
    assert FaultKind.DEADLOCK == fault.kind
    assert "never ends" in fault.message
    assert "1 at a barrier" in fault.message
    assert "1 in a loop without end" in fault.message


@pytest.mark.parametrize("resident", [None, 1])
def test_a_long_loop_ends(ptx, resident):
    y = np.zeros(64, np.int32)
    kernel = ptx(KERNEL.format(loop=LONG))
    assert kernel.run(1, 64, inout(y), COUNT, resident=resident).fault is None
    assert [COUNT] * 32 + [0] * 32 == y.tolist()


def test_a_loop_that_looks_at_what_others_may_change_is_left_to_the_budget_without_a_window(ptx):
    """One block alone cannot tell: another one may be on its way."""
    loop = "ld.volatile.global.u32 %r3, [%rd1]; setp.eq.u32 %p3, %r3, 0;"
    kernel, y = ptx(KERNEL.format(loop=loop)), np.zeros(64, np.int32)
    assert FaultKind.BUDGET == kernel.run(1, 64, inout(y), COUNT, budget=1 << 20).fault.kind
    assert FaultKind.DEADLOCK == kernel.run(1, 64, inout(y), COUNT, resident=1).fault.kind
    assert kernel.run(1, 64, inout(np.ones(64, np.int32)), COUNT, resident=1).fault is None
