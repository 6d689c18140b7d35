"""Both executors on small PTX programs: what they compute, and each fault beside its honest twin."""

import pytest

from warpsmith.sandbox.emulator.machine import FaultKind, UnsupportedInstruction

from .executor import LOAD, STORE, Executor


def test_each_thread_copies_its_word(on: Executor) -> None:
    assert list(range(32)) == on.outputs(f"{LOAD} {STORE} ret;")


def test_a_vector_load_moves_four_words(on: Executor) -> None:
    body = "ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd0+16]; st.global.v2.u32 [%rd1], {%r3,%r4}; ret;"
    assert on.outputs(body, 2, threads=1) == [6, 7]


def test_a_signed_byte_load_extends_its_sign(on: Executor) -> None:
    body = "ld.global.s8 %r1, [%rd0]; st.global.u32 [%rd1], %r1; ret;"
    assert on.outputs(body, 1, source=[0x80], threads=1) == [0xFFFFFF80]


def test_both_sides_of_a_branch_run_and_meet_again(on: Executor) -> None:
    body = f"""and.b32 %r2, %r0, 1; setp.eq.s32 %p1, %r2, 0; @%p1 bra EVEN;
    mov.u32 %r1, 100; bra JOIN; EVEN: mov.u32 %r1, 200; JOIN: activemask.b32 %r3; add.u32 %r1, %r1, %r3; {STORE} ret;"""
    assert on.outputs(body) == [199, 99] * 16


def test_a_loop_runs_as_often_as_each_thread_asks(on: Executor) -> None:
    body = f"""mov.u32 %r1, 0; L: add.u32 %r1, %r1, 2; sub.u32 %r0, %r0, 1; setp.gt.s32 %p1, %r0, 0; @%p1 bra L;
    {STORE} ret;"""
    assert on.outputs(body, 4) == [2, 2, 4, 6]


def test_a_guard_keeps_the_old_value(on: Executor) -> None:
    body = f"mov.u32 %r1, 7; setp.lt.u32 %p1, %r0, 2; @!%p1 mov.u32 %r1, 9; {STORE} ret;"
    assert on.outputs(body, 4) == [7, 7, 9, 9]


SHARED_REVERSE = """shl.b32 %r2, %r0, 2; st.shared.u32 [%r2], %r0; {barrier}
    mov.u32 %r3, 63; sub.u32 %r3, %r3, %r0; shl.b32 %r3, %r3, 2; ld.shared.u32 %r1, [%r3];
    st.global.u32 [%rd3], %r1; ret;"""


def test_the_carry_passes_from_word_to_word(on: Executor) -> None:
    body = """mov.u32 %r2, -1; mad.lo.cc.u32 %r3, %r2, %r2, %r2; madc.hi.cc.u32 %r4, %r2, %r2, %r2; addc.u32 %r5, 0, 0;
    sub.cc.u32 %r6, 0, 1; subc.u32 %r7, 5, 0; st.global.v4.u32 [%rd1], {%r3,%r4,%r5,%r7}; ret;"""
    value = (2**32 - 1) ** 2 + (2**32 - 1) * (1 + 2**32)
    expected = [value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF, value >> 64, 4]
    assert on.outputs(body, 4, threads=1) == expected


def test_what_a_subtraction_leaves_is_the_carry_of_an_addition(on: Executor) -> None:
    """`addc` behind `sub.cc` adds 1 where nothing was borrowed; `subc` borrows where `add.cc` carried nothing."""
    body = """sub.cc.u32 %r2, 7, 5; addc.u32 %r3, 0, 0; sub.cc.u32 %r2, 5, 7; addc.u32 %r4, 0, 0;
    add.cc.u32 %r2, 0, 0; subc.u32 %r5, 0, 0; add.cc.u32 %r2, -1, 1; subc.u32 %r6, 0, 0;
    st.global.v4.u32 [%rd1], {%r3,%r4,%r5,%r6}; ret;"""
    assert [1, 0, 0xFFFFFFFF, 0] == on.outputs(body, 4, threads=1)


def test_shared_memory_carries_values_across_a_barrier(on: Executor) -> None:
    body = SHARED_REVERSE.format(barrier="bar.sync 0;")
    assert list(range(63, -1, -1)) == on.outputs(body, 64, threads=64, shared=256)


def test_without_the_barrier_the_other_half_is_read_before_or_while_it_is_written(on: Executor) -> None:
    found = on.fault(SHARED_REVERSE.format(barrier=""), threads=64, shared=256)
    assert found.kind in (FaultKind.UNINITIALISED, FaultKind.RACE)  # the readable executor sees no races
    assert "shared" == found.space


def test_shared_memory_is_reached_by_generic_address(on: Executor) -> None:
    body = """mov.u64 %rd4, tile; cvta.shared.u64 %rd5, %rd4; st.u32 [%rd5+4], %r0; ld.shared.u32 %r1, [tile+4];
    isspacep.shared %p1, %rd5; @!%p1 trap; isspacep.global %p1, %rd3; @!%p1 trap; st.u32 [%rd3], %r1; ret;"""
    assert on.outputs(body, 1, ".shared .align 4 .b8 tile[8];", threads=1) == [0]


def test_local_memory_is_each_threads_own(on: Executor) -> None:
    body = f".local .align 4 .b8 depot[8]; st.local.u32 [depot+4], %r0; ld.local.u32 %r1, [depot+4]; {STORE} ret;"
    assert list(range(32)) == on.outputs(body)


def test_constant_and_global_tables_are_read(on: Executor) -> None:
    tables = ".const .align 4 .u32 c[2] = {5, 6}; .global .align 4 .u32 g[2] = {7, 8};"
    body = "ld.const.u32 %r1, [c+4]; ld.global.u32 %r2, [g]; add.u32 %r1, %r1, %r2; st.global.u32 [%rd1], %r1; ret;"
    assert on.outputs(body, 1, tables, threads=1) == [13]


def test_a_pointer_in_a_table_is_an_address(on: Executor) -> None:
    tables = ".global .align 4 .u32 g[2] = {7, 8}; .global .align 8 .u64 p[1] = {generic(g)+4};"
    body = "ld.global.u64 %rd4, [p]; ld.u32 %r1, [%rd4]; st.global.u32 [%rd1], %r1; ret;"
    assert on.outputs(body, 1, tables, threads=1) == [8]


# -- faults -----------------------------------------------------------------------------------------------------


def test_a_store_one_word_past_the_end_is_out_of_bounds(on: Executor) -> None:
    found = on.fault("st.global.u32 [%rd1+256], %r0; ret;")
    assert (found.kind, found.allocation, found.distance) == (FaultKind.OUT_OF_BOUNDS, "out", 4)


def test_the_last_word_is_within_bounds(on: Executor) -> None:
    assert on.outputs("mov.u32 %r1, 3; st.global.u32 [%rd1+252], %r1; ret;", 64)[63:] == [3]


def test_a_fault_says_how_far_before_the_start(on: Executor) -> None:
    found = on.fault("ld.global.u32 %r1, [%rd1+-8]; ret;")
    assert (found.allocation, found.distance, found.size, found.opcode) == ("out", -8, 4, "ld.global.u32")


def test_a_fault_far_past_the_end_is_told_of_the_nearest_buffer(on: Executor) -> None:
    found = on.fault("mov.u64 %rd4, 1099511628000; add.s64 %rd4, %rd0, %rd4; ld.global.u32 %r1, [%rd4]; ret;")
    assert (found.kind, found.allocation) == (FaultKind.OUT_OF_BOUNDS, "")
    found = on.fault("mov.u64 %rd4, 68719476000; add.s64 %rd4, %rd0, %rd4; ld.global.u32 %r1, [%rd4]; ret;")
    # The second buffer begins 1 << 36 bytes behind the first, and 1 << 36 is 68719476736.
    assert (found.allocation, found.distance) == ("out", 68719476000 - (1 << 36))


def test_a_constant_table_is_reached_by_generic_address(on: Executor) -> None:
    body = """mov.u64 %rd4, c; cvta.const.u64 %rd4, %rd4; ld.u32 %r1, [%rd4+4]; st.global.u32 [%rd1], %r1; ret;"""
    assert on.outputs(body, 1, ".const .align 4 .u32 c[2] = {5, 6};", threads=1) == [6]


def test_a_null_pointer_is_in_no_allocation(on: Executor) -> None:
    assert on.fault("mov.u64 %rd4, 0; ld.global.u32 %r1, [%rd4]; ret;").kind == FaultKind.OUT_OF_BOUNDS


def test_a_shared_access_past_the_window_is_out_of_bounds(on: Executor) -> None:
    found = on.fault("st.shared.u32 [16], %r0; ret;", shared=16)
    assert (found.kind, found.allocation, found.distance) == (FaultKind.OUT_OF_BOUNDS, "shared", 4)


def test_a_write_to_an_input_is_refused(on: Executor) -> None:
    found = on.fault("st.global.u32 [%rd2], %r0; ret;")
    assert (found.kind, found.allocation) == (FaultKind.READ_ONLY, "source")


@pytest.mark.parametrize(("offset", "fails"), [(2, True), (4, True), (8, False)])
def test_a_vector_access_needs_its_whole_alignment(on: Executor, offset: int, fails: bool) -> None:
    result = on.run(f"ld.global.v2.u32 {{%r1,%r2}}, [%rd0+{offset}]; ret;")
    assert fails == (result.fault is not None and result.fault.kind is FaultKind.MISALIGNED)


def test_reading_an_output_before_writing_it_is_found(on: Executor) -> None:
    assert on.fault("ld.global.u32 %r1, [%rd3]; ret;").kind == FaultKind.UNINITIALISED
    assert list(range(32)) == on.outputs("st.global.u32 [%rd3], %r0; ld.global.u32 %r1, [%rd3]; ret;")


def test_a_trap_ends_the_launch(on: Executor) -> None:
    assert on.fault("setp.eq.s32 %p1, %r0, 5; @%p1 trap; ret;").kind == FaultKind.TRAP


def test_an_endless_loop_exceeds_its_budget(on: Executor) -> None:
    assert on.fault("L: bra L;", budget=500).kind == FaultKind.BUDGET


@pytest.mark.parametrize(
    "unknown", ["vadd.s32.u32 %r1, %r0, %r0", "mov.u32 %r4, %pm0", "ld.global.odd.u32 %r1, [%rd0]"]
)
def test_an_unknown_instruction_is_unsupported_before_anything_runs(on: Executor, unknown: str) -> None:
    with pytest.raises(UnsupportedInstruction, match=r"PTX line 11"):
        on.run(f"st.global.u32 [%rd3], %r0; {unknown}; ret;")
    assert not on.out.any()


# -- barriers and meetings --------------------------------------------------------------------------------------


def test_exited_threads_are_not_waited_for(on: Executor) -> None:
    body = "setp.gt.u32 %p1, %r0, 9; @%p1 ret; bar.sync 0; mov.u32 %r1, 1; st.global.u32 [%rd3], %r1; ret;"
    assert on.outputs(body) == [1] * 10 + [0] * 22


def test_lanes_may_reach_one_barrier_at_different_times(on: Executor) -> None:
    body = "setp.gt.u32 %p1, %r0, 9; @%p1 bra LATER; add.u32 %r1, %r0, 0; LATER: bar.sync 0; ret;"
    assert on.run(body).fault is None


def test_lanes_of_a_warp_at_different_barrier_instructions_are_misuse(on: Executor) -> None:
    found = on.fault("setp.gt.u32 %p1, %r0, 9; @%p1 bra B; bar.sync 0; ret; B: bar.sync 0; ret;")
    assert found.kind is FaultKind.BARRIER


def test_threads_at_different_barriers_are_misuse(on: Executor) -> None:
    found = on.fault("setp.gt.u32 %p1, %r0, 31; @%p1 bra B; bar.sync 1; ret; B: bar.sync 2; ret;", threads=64)
    assert found.kind is FaultKind.BARRIER


def test_a_barrier_for_more_threads_than_can_come_is_a_deadlock(on: Executor) -> None:
    assert on.fault("setp.gt.u32 %p1, %r0, 31; @%p1 ret; bar.sync 0, 64; ret;", threads=64).kind == FaultKind.DEADLOCK


def test_a_barrier_with_a_count_waits_for_that_many(on: Executor) -> None:
    body = "setp.gt.u32 %p1, %r0, 31; @%p1 bra B; bar.sync 1, 64; ret; B: bar.arrive 1, 64; ret;"
    assert on.run(body, threads=64).fault is None


@pytest.mark.parametrize(("operation", "expected"), [("popc.u32", 5), ("or.pred", 1), ("and.pred", 0)])
def test_a_reducing_barrier_gives_everyone_the_result(on: Executor, operation: str, expected: int) -> None:
    target = "%r1" if operation == "popc.u32" else "%p2"
    body = f"setp.lt.u32 %p1, %r0, 5; bar.red.{operation} {target}, 0, %p1;"
    body += "" if operation == "popc.u32" else " selp.u32 %r1, 1, 0, %p2;"
    assert [expected] * 64 == on.outputs(f"{body} {STORE} ret;", 64, threads=64)


def test_a_shuffle_waits_for_the_lanes_its_mask_names(on: Executor) -> None:
    body = f"""setp.lt.u32 %p1, %r0, 16; @%p1 bra SKIP; add.u32 %r5, %r0, 1; SKIP:
    shfl.sync.bfly.b32 %r1, %r0, 1, 31, -1; {STORE} ret;"""
    assert [lane ^ 1 for lane in range(32)] == on.outputs(body)


def test_a_lane_outside_its_own_mask_is_misuse(on: Executor) -> None:
    assert on.fault("shfl.sync.idx.b32 %r1, %r0, 0, 31, 0x0000ffff; ret;").kind == FaultKind.BARRIER


def test_lanes_with_masks_of_their_own_exchange_apart(on: Executor) -> None:
    masks = "setp.lt.u32 %p1, %r0, 16; selp.b32 %r4, 0x0000ffff, 0xffff0000, %p1; and.b32 %r2, %r0, 1;"
    body = f"{masks} setp.eq.u32 %p2, %r2, 1; vote.sync.ballot.b32 %r1, %p2, %r4; {STORE} ret;"
    assert on.outputs(body) == [0x0000AAAA] * 16 + [0xAAAA0000] * 16
    outside = body.replace("0x0000ffff, 0xffff0000", "0xffffffff, 0x0000ffff")
    found = on.fault(outside)
    assert (found.kind, found.thread) == (FaultKind.BARRIER, (16, 0, 0))


def test_lanes_with_masks_of_their_own_shuffle_in_a_loop(on: Executor) -> None:
    body = f"""and.b32 %r5, %r0, 24; mov.u32 %r4, 255; shl.b32 %r4, %r4, %r5; mov.u32 %r1, %r0; mov.u32 %r6, 4;
    L: shfl.sync.bfly.b32 %r2, %r1, %r6, 31, %r4; add.u32 %r1, %r1, %r2; shr.u32 %r6, %r6, 1;
    setp.ne.u32 %p1, %r6, 0; @%p1 bra L; {STORE} ret;"""
    assert on.outputs(body) == [sum(range(lane // 8 * 8, lane // 8 * 8 + 8)) for lane in range(32)]


def test_a_lane_that_never_comes_to_the_shuffle_is_misuse(on: Executor) -> None:
    body = "setp.eq.u32 %p1, %r0, 3; @%p1 bra L; shfl.sync.idx.b32 %r1, %r0, 0, 31, -1; ret; L: bar.sync 0; ret;"
    assert on.fault(body).kind == FaultKind.BARRIER


def test_a_spin_lock_between_lanes_makes_progress(on: Executor) -> None:
    body = f"""L: atom.shared.cas.b32 %r2, [0], 0, 1; setp.ne.s32 %p1, %r2, 0; @%p1 bra L;
    membar.cta; ld.shared.u32 %r3, [4]; add.u32 %r3, %r3, 1; st.shared.u32 [4], %r3; membar.cta;
    atom.shared.exch.b32 %r2, [0], 0;
    mov.u32 %r1, %r3; {STORE} ret;"""
    zero = "setp.eq.u32 %p1, %r0, 0; mov.u32 %r9, 0; @%p1 st.shared.v2.u32 [0], {%r9, %r9}; bar.sync 0;"
    assert sorted(on.outputs(zero + body, 4, threads=4, shared=8, budget=1 << 16)) == [1, 2, 3, 4]


def test_a_table_of_addresses_in_constant_memory_leads_to_what_it_names(on: Executor) -> None:
    declarations = """.const .align 4 .u32 seven = 7; .global .align 4 .u32 nine[2] = {8, 9};
    .const .align 8 .u64 table[2] = {generic(seven), generic(nine)+4};"""
    body = f"""and.b32 %r2, %r0, 1; mul.wide.u32 %rd4, %r2, 8; mov.u64 %rd5, table; add.s64 %rd5, %rd5, %rd4;
    ld.const.u64 %rd6, [%rd5]; ld.u32 %r1, [%rd6]; {STORE} ret;"""
    assert on.outputs(body, declarations=declarations) == [7, 9] * 16
