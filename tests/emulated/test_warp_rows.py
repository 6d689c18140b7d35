"""Instructions beyond the everyday ones, on both executors: vector atomics, movmatrix, alloca, clocks, policies."""

import pytest

from warpsmith.sandbox.emulator.isa.number import BF16
from warpsmith.sandbox.emulator.machine import FaultKind

from .executor import STORE, Executor


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("red.global.add.v4.f32 [%rd4], {%f1, %f1, %f2, %f2}", [0x42000000, 0x42000000, 0x42800000, 0x42800000]),
        ("red.add.v2.f32 [%rd4+8], {%f1, %f2}", [0, 0, 0x42000000, 0x42800000]),
        (
            "red.global.add.noftz.v2.f16x2 [%rd4], {%r4, %r5}",
            [0x50005400, 0x54005000, 0, 0],
        ),
        ("red.global.max.noftz.v2.bf16x2 [%rd4], {%r6, %r6}", [BF16.one << 16 | BF16.one] * 2 + [0, 0]),
        ("red.global.min.noftz.v4.f16 [%rd4], {%h1, %h2, %h2, %h1}", [0xBC00, 0xBC000000, 0, 0]),
        ("red.global.add.noftz.v8.bf16 [%rd4], {%h3, %h3, %h3, %h3, %h3, %h3, %h3, %h4}", [0x42004200] * 3 + [0x4200]),
    ],
)
def test_a_vector_s_elements_are_updated_one_by_one(on: Executor, instruction: str, expected: list[int]) -> None:
    body = f"""mov.u64 %rd4, %rd1; mov.f32 %f1, 1.0; mov.f32 %f2, 2.0; mov.b32 %r4, 0x3C004000; mov.b32 %r5, 0x40003C00;
    mov.b32 %r6, 0x3F803F80; mov.b16 %h1, 0xBC00; mov.b16 %h2, 0x3C00; mov.b16 %h3, 0x3F80; mov.b16 %h4, 0;
    {instruction}; ret;"""
    assert expected == on.outputs(body, 4, zeroed=True)


def test_a_vector_atomic_gives_what_was_there(on: Executor) -> None:
    body = f"""mov.f32 %f1, 1.0; setp.eq.u32 %p1, %r0, 3; mov.u32 %r1, 0;
    @%p1 atom.global.add.v2.f32 {{%f2, %f3}}, [%rd1+128], {{%f1, %f1}};
    @%p1 atom.global.add.v2.f32 {{_, %r1}}, [%rd1+128], {{%f1, %f1}}; {STORE} ret;"""
    assert [0, 0, 0, 0x3F800000] == on.outputs(body.replace("_, %r1", "%r2, %r1"), 4, zeroed=True)


def test_a_vector_atomic_needs_the_alignment_of_the_whole(on: Executor) -> None:
    body = "mov.f32 %f1, 1.0; red.global.add.v4.f32 [%rd1+8], {%f1, %f1, %f1, %f1}; ret;"
    assert FaultKind.MISALIGNED == on.fault(body, zeroed=True).kind


def test_movmatrix_transposes_eight_rows_of_eight_halves(on: Executor) -> None:
    body = f"""shl.b32 %r2, %r0, 1; add.u32 %r3, %r2, 1; shl.b32 %r3, %r3, 16; or.b32 %r2, %r2, %r3;
    movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r2; {STORE} ret;"""
    # Element (row, column) is 8 row + column.
    expected = [16 * (lane % 4) + lane // 4 | (16 * (lane % 4) + 8 + lane // 4) << 16 for lane in range(32)]
    assert expected == on.outputs(body)


def test_allocated_local_memory_is_a_thread_s_own_and_may_be_given_back(on: Executor) -> None:
    body = f"""stacksave.u64 %rd9; add.u32 %r2, %r0, 4; cvt.u64.u32 %rd4, %r2; alloca.u64 %rd5, %rd4, 8;
    st.local.u32 [%rd5], %r0; alloca.u64 %rd6, 16, 32; st.local.u32 [%rd6], 7; ld.local.u32 %r1, [%rd5];
    and.b64 %rd7, %rd6, 31; cvt.u32.u64 %r3, %rd7; add.u32 %r1, %r1, %r3; stackrestore.u64 %rd9; alloca.u64 %rd8, 4, 8;
    setp.ne.u64 %p1, %rd8, %rd5; @%p1 mov.u32 %r1, 999; {STORE} ret;"""
    assert list(range(32)) == on.outputs(body)


def test_clocks_grow_and_policies_are_only_hints(on: Executor) -> None:
    body = f"""createpolicy.fractional.L2::evict_last.b64 %rd4, 1.0; mov.u64 %rd5, %clock64; mov.u32 %r2, 0;
    L: add.u32 %r2, %r2, 1; setp.lt.u32 %p1, %r2, 9; @%p1 bra L; mov.u64 %rd6, %clock64; setp.gt.u64 %p2, %rd6, %rd5;
    ld.global.L2::cache_hint.u32 %r1, [%rd2], %rd4; @!%p2 mov.u32 %r1, 99; fence.proxy.async; {STORE} ret;"""
    assert list(range(32)) == on.outputs(body)


def test_a_breakpoint_ends_the_kernel(on: Executor) -> None:
    assert FaultKind.TRAP == on.fault("setp.eq.u32 %p1, %r0, 5; @%p1 brkpt; ret;").kind
    assert on.run("setp.eq.u32 %p1, %r0, 50; @%p1 brkpt; ret;").fault is None


def test_a_launch_without_clusters_is_one_of_clusters_of_a_block(on: Executor) -> None:
    body = f"""mov.u32 %r1, %clusterid.x; mov.u32 %r2, %ctaid.x; sub.u32 %r1, %r1, %r2; mov.u32 %r3, %cluster_nctarank;
    add.u32 %r1, %r1, %r3; mov.u32 %r4, %smid; setp.ge.u32 %p1, %r4, 132; @%p1 mov.u32 %r1, 9; {STORE} ret;"""
    assert [1] * 32 == on.outputs(body)
