"""Both executors on what a warp does together: exchanges, atomics, copies, matrices; and what they count."""

import pytest

from warpsmith.sandbox.emulator.machine import FaultKind

from .executor import STORE, Executor


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("up.b32 %r1|%p2, %r0, 1, 0", [0, *range(31)]),
        ("down.b32 %r1|%p2, %r0, 1, 31", [*range(1, 32), 31]),
        ("idx.b32 %r1|%p2, %r0, 5, 31", [5] * 32),
        ("bfly.b32 %r1|%p2, %r0, 16, 31", [lane ^ 16 for lane in range(32)]),
        ("down.b32 %r1|%p2, %r0, 4, 0x181f", [lane + 4 if lane % 8 < 4 else lane for lane in range(32)]),
    ],
)
def test_shuffles_move_values_between_lanes(on: Executor, mode: str, expected: list[int]) -> None:
    assert expected == on.outputs(f"shfl.sync.{mode}, -1; {STORE} ret;")


@pytest.mark.parametrize("mask", [-1, 0xFFFFF])
def test_a_shuffle_brings_no_value_from_a_lane_that_takes_no_part(on: Executor, mask: int) -> None:
    """Twenty lanes shift down; the others leave without, members or not. Lane 19 finds the largest number."""
    body = f"""mov.u32 %r1, 0; setp.ge.u32 %p1, %r0, 20; @%p1 bra E; shfl.sync.down.b32 %r1, %r0, 1, 31, {mask};
    E: {STORE} ret;"""
    assert [*range(1, 20), 0x7F7FFFFF, *[0] * 12] == on.outputs(body)


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("vote.sync.ballot.b32 %r1, %p1, -1;", 0x1F),
        ("vote.sync.any.pred %p2, %p1, -1; selp.u32 %r1, 1, 0, %p2;", 1),
        ("vote.sync.all.pred %p2, !%p1, -1; selp.u32 %r1, 1, 0, %p2;", 0),
        ("redux.sync.add.s32 %r1, %r0, -1;", 496),
        ("redux.sync.xor.b32 %r1, %r0, -1;", 0),
        ("mov.u32 %r2, -4; redux.sync.min.s32 %r1, %r2, -1;", 0xFFFFFFFC),
        ("match.all.sync.b32 %r1|%p2, 7, -1;", 0xFFFFFFFF),
    ],
)
def test_warp_wide_answers_are_the_same_in_every_lane(on: Executor, instruction: str, expected: int) -> None:
    assert [expected] * 32 == on.outputs(f"setp.lt.u32 %p1, %r0, 5; {instruction} {STORE} ret;")


def test_match_any_groups_equal_lanes(on: Executor) -> None:
    body = f"and.b32 %r2, %r0, 1; match.any.sync.b32 %r1, %r2, -1; {STORE} ret;"
    assert on.outputs(body, 2) == [0x55555555, 0xAAAAAAAA]


@pytest.mark.parametrize(
    "instruction",
    [
        "shfl.sync.idx.b32 %r1, %r0, 3, 31, -1;",
        "vote.sync.ballot.b32 %r1, %p3, -1;",
        "match.any.sync.b32 %r1, %r0, -1;",
        "redux.sync.add.u32 %r1, %r0, -1;",
        "elect.sync %r1|%p2, -1;",
        "movmatrix.sync.aligned.m8n8.trans.b16 %r1, %r0;",
        "ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [%r2];",
    ],
)
def test_lanes_right_behind_an_instruction_do_not_execute_it_for_those_that_wait_there(
    on: Executor, instruction: str
) -> None:
    """Lanes 0 to 15 wait for the others, which never come that way but go on at the very next instruction."""
    body = f"""mov.u32 %r1, 77; mov.u32 %r2, 0; setp.ge.u32 %p1, %r0, 16; setp.ne.u32 %p3, %r0, 99; @%p1 bra BEHIND;
    {instruction}
    BEHIND: @!%p1 st.global.u32 [%rd3], 55; @%p1 st.global.u32 [%rd3], %r1; ret;"""
    aligned = instruction.startswith(("movmatrix", "ldmatrix"))
    result = on.run(body, zeroed=True, shared=128)
    assert [77] * 16 == on.out[16:32].tolist()
    if aligned:
        assert result.fault is not None
        assert FaultKind.BARRIER == result.fault.kind
    else:
        assert result.fault is None
        assert [55] * 16 == on.out[:16].tolist()


@pytest.mark.parametrize(
    ("operation", "start", "expected"),
    [
        ("add.u32 [%rd1], %r0", 0, 496),
        ("max.s32 [%rd1], %r0", 0, 31),
        ("min.s32 [%rd1], -1", 0, 0xFFFFFFFF),
        ("or.b32 [%rd1], %r0", 0, 31),
        ("inc.u32 [%rd1], 9", 0, 2),
        ("dec.u32 [%rd1], 9", 3, 1),
        ("add.f32 [%rd1], 0f3F800000", 0, 0x42000000),
        ("add.noftz.f16x2 [%rd1], 0x3C003C00", 0, 0x50005000),
    ],
)
def test_atomics_act_lane_after_lane(on: Executor, operation: str, start: int, expected: int) -> None:
    first = f"mov.u32 %r9, {start}; setp.eq.u32 %p1, %r0, 0; @%p1 st.global.u32 [%rd1], %r9; bar.warp.sync -1;"
    body = f"{first} red.global.{operation}; ret;"
    assert on.outputs(body, 1) == [expected]


def test_compare_and_swap_returns_what_was_there(on: Executor) -> None:
    body = f"""mov.u32 %r9, 0; setp.eq.u32 %p1, %r0, 0; @%p1 st.global.u32 [%rd1+252], %r9;
    bar.warp.sync -1; add.u32 %r2, %r0, 1; atom.global.cas.b32 %r1, [%rd1+252], %r0, %r2; {STORE} ret;"""
    assert list(range(31)) == on.outputs(body)[:31]


COPY = """shl.b32 %r2, %r0, 4; mul.wide.u32 %rd4, %r0, 16; add.s64 %rd4, %rd0, %rd4;
    cp.async.cg.shared.global [%r2], [%rd4], 16{size}; cp.async.commit_group; {wait} ld.shared.u32 %r1, [%r2+12];
    st.global.u32 [%rd3], %r1; ret;"""


def test_an_asynchronous_copy_has_arrived_after_its_wait(on: Executor) -> None:
    assert on.outputs(COPY.format(size="", wait="cp.async.wait_group 0;"), 4, threads=4, shared=64) == [3, 7, 11, 15]


def test_an_asynchronous_copy_read_before_its_wait_is_found(on: Executor) -> None:
    assert on.fault(COPY.format(size="", wait=""), threads=4, shared=64).kind == FaultKind.UNINITIALISED
    assert (
        on.fault(COPY.format(size="", wait="cp.async.wait_group 1;"), threads=4, shared=64).kind
        == FaultKind.UNINITIALISED
    )


def test_an_asynchronous_copy_fills_with_zeros_beyond_its_source_size(on: Executor) -> None:
    assert on.outputs(COPY.format(size=", 8", wait="cp.async.wait_all;"), 4, threads=4, shared=64) == [0, 0, 0, 0]


LDMATRIX = """shl.b32 %r2, %r0, 4; shl.b32 %r3, %r0, 3; st.shared.v4.b32 [%r2], {{%r0,%r0,%r0,%r0}}; bar.sync 0;
    ldmatrix.sync.aligned.m8n8.x1{trans}.shared.b16 {{%r1}}, [%r2]; st.global.u32 [%rd3], %r1; ret;"""


def test_ldmatrix_gives_lane_l_the_row_l_over_four(on: Executor) -> None:
    assert [lane // 4 for lane in range(32)] == on.outputs(LDMATRIX.format(trans=""), shared=512)


def test_ldmatrix_transposed_gives_two_rows_to_a_lane(on: Executor) -> None:
    # Even halves of row r hold r, odd halves 0: column l/4 of rows 2(l%4) and 2(l%4)+1.
    expected = [0 if lane // 4 % 2 else 2 * (lane % 4) | (2 * (lane % 4) + 1) << 16 for lane in range(32)]
    assert expected == on.outputs(LDMATRIX.format(trans=".trans"), shared=512)


def test_a_matrix_instruction_needs_the_whole_warp(on: Executor) -> None:
    found = on.fault(LDMATRIX.format(trans=""), threads=16, shared=512)
    assert (found.kind, "needs all 32 lanes" in found.message) == (FaultKind.BARRIER, True)


@pytest.mark.parametrize(("saturate", "expected"), [(".satfinite", 0x7FFFFFFF), ("", 0x80000000 + 32 * 127 * 127 - 11)])
def test_an_integer_product_saturates_where_it_says_so(on: Executor, saturate: str, expected: int) -> None:
    body = f"""mov.u32 %r1, 0x7f7f7f7f; mov.u32 %r2, 0x7ffffff6;
    mma.sync.aligned.m16n8k32.row.col{saturate}.s32.s8.s8.s32
      {{%r4,%r5,%r6,%r7}}, {{%r1,%r1,%r1,%r1}}, {{%r1,%r1}}, {{%r2,%r2,%r2,%r2}};
    mov.u32 %r1, %r6; {STORE} ret;"""
    # 0x7ffffff6 is 10 short of 0x80000000, 9 of the largest: 2^31 - 10 + 32 * 127 * 127.
    assert on.outputs(body) == [expected + 1 if not saturate else expected] * 32


def test_a_double_product_of_eight_by_eight(on: Executor) -> None:
    # a[row][k] = lane: row 4 + k; b[k][column] = column where k is 0, else 0: d[row][column] = 4 row column + 1.
    body = """cvt.rn.f64.u32 %rd4, %r0; and.b32 %r2, %r0, 3; shr.u32 %r3, %r0, 2; setp.eq.u32 %p1, %r2, 0;
    selp.b32 %r3, %r3, 0, %p1; cvt.rn.f64.u32 %rd5, %r3; mov.f64 %rd6, 0d3FF0000000000000;
    mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%rd7,%rd8}, {%rd4}, {%rd5}, {%rd6,%rd6};
    cvt.rzi.u32.f64 %r4, %rd7; cvt.rzi.u32.f64 %r5, %rd8; shl.b32 %r6, %r0, 3; cvt.u64.u32 %rd9, %r6;
    add.s64 %rd9, %rd1, %rd9; st.global.v2.u32 [%rd9], {%r4,%r5}; ret;"""
    assert on.outputs(body, 64) == [4 * row * column + 1 for row in range(8) for column in range(8)]


def test_printf_writes_what_it_was_given(on: Executor) -> None:
    declarations = """.extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);
    .global .align 1 .b8 text[12] = {37, 100, 32, 37, 46, 49, 102, 33, 10, 0};"""
    body = """.local .align 8 .b8 depot[16]; mov.u64 %rd4, depot; cvta.local.u64 %rd4, %rd4; st.local.u32 [depot], %r0;
    mov.u64 %rd5, 0x3FF8000000000000; st.local.u64 [depot+8], %rd5; mov.u64 %rd6, text; cvta.global.u64 %rd6, %rd6;
    { .param .b64 p0; .param .b64 p1; .param .b32 back; st.param.b64 [p0], %rd6; st.param.b64 [p1], %rd4;
      call.uni (back), vprintf, (p0, p1); ld.param.b32 %r1, [back]; } ret;"""
    assert on.run(body, declarations, threads=2).printed == ("0 1.5!\n", "1 1.5!\n")


def test_blocks_and_lanes_are_counted(on: Executor) -> None:
    body = f"mov.u32 %r1, 0; setp.lt.u32 %p1, %r0, 8; @%p1 bra L; mov.u32 %r1, 1; L: {STORE} ret;"
    result = on.run(body, threads=64)
    assert (result.block_warps.tolist(), result.block_threads.tolist()) == ([2, 2, 2], [64, 56, 64])
    store = next(iter(result.sites.values()))
    assert 64 == result.sites[max(result.sites)].lanes == 32 * store.requests


def test_blocks_that_wait_for_each_other_make_progress(readable: Executor) -> None:
    body = """mov.u32 %r5, 1; atom.global.add.u32 %r2, [%rd1+252], %r5; L: ld.volatile.global.u32 %r3, [%rd1+252];
    setp.lt.u32 %p1, %r3, 3; @%p1 bra L; mov.u32 %r4, %ctaid.x; mul.wide.u32 %rd4, %r4, 4; add.s64 %rd4, %rd1, %rd4;
    st.global.u32 [%rd4], %r3; ret;"""
    assert readable.outputs(body, 3, zeroed=True, threads=1, grid=3) == [3, 3, 3]
