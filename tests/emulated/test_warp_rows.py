"""Instructions beyond the everyday ones, on both executors: vector atomics, movmatrix, alloca, clocks, policies."""

import pytest

from warpsmith.sandbox.emulator.isa.number import BF16
from warpsmith.sandbox.emulator.machine import FaultKind, UnsupportedInstruction

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


WIDE = ".reg .b128 %w<4>; .reg .b64 %lo, %hi; .reg .pred %z; setp.eq.u32 %z, %r0, 0;"


def test_a_128_bit_register_is_loaded_moved_and_stored_whole(on: Executor) -> None:
    body = f"""{WIDE} @%z ld.global.b128 %w0, [%rd0+16]; @%z mov.b128 %w1, %w0; @%z mov.b128 {{%lo, %hi}}, %w1;
    @%z mov.b128 %w2, {{%hi, %lo}}; @%z st.global.b128 [%rd1], %w2; @%z st.global.b128 [%rd1+16], %w1; ret;"""
    assert [6, 7, 4, 5, 4, 5, 6, 7] == on.outputs(body, 8, zeroed=True)


def test_a_128_bit_access_needs_its_whole_alignment(on: Executor) -> None:
    assert FaultKind.MISALIGNED == on.fault(f"{WIDE} ld.global.b128 %w0, [%rd0+8]; ret;").kind


def test_128_bit_atomics_exchange_and_compare_both_halves(on: Executor) -> None:
    """Lane 0 exchanges; then a comparison that fails in the upper half alone, then one that holds."""
    body = f"""{WIDE} mov.b64 %lo, 1; mov.b64 %hi, 2; mov.b128 %w0, {{%lo, %hi}}; mov.b64 %hi, 3;
    mov.b128 %w1, {{%lo, %hi}}; mov.b64 %lo, 8; mov.b64 %hi, 9; mov.b128 %w2, {{%lo, %hi}};
    @%z atom.global.exch.b128 %w3, [%rd1], %w0;
    @%z st.global.b128 [%rd1+16], %w3;
    @%z atom.global.cas.b128 %w3, [%rd1], %w1, %w2;
    @%z st.global.b128 [%rd1+32], %w3;
    @%z atom.relaxed.gpu.global.cas.b128 %w3, [%rd1], %w0, %w2;
    @%z st.global.b128 [%rd1+48], %w3; ret;"""
    expected = [8, 0, 9, 0, 0, 0, 0, 0, 1, 0, 2, 0, 1, 0, 2, 0]
    assert expected == on.outputs(body, 16, zeroed=True)


def test_a_128_bit_exchange_works_in_shared_memory_and_by_generic_addresses(on: Executor) -> None:
    body = f"""{WIDE} .shared .align 16 .b8 s[16]; mov.b64 %lo, 5; mov.b64 %hi, 6; mov.b128 %w0, {{%lo, %hi}};
    @%z st.shared.b128 [s], %w0; mov.u64 %rd4, s; cvta.shared.u64 %rd4, %rd4; mov.b128 %w1, {{%hi, %lo}};
    @%z atom.exch.b128 _, [%rd4], %w1; @%z atom.shared.exch.b128 %w2, [s], %w0;
    @%z st.global.b128 [%rd1], %w2; ret;"""
    assert [6, 0, 5, 0] == on.outputs(body, 4, zeroed=True)


@pytest.mark.parametrize("text", ["add.u64 %w0, %w1, 1", "ld.global.v2.b128 {%w0, %w1}, [%rd0]", "not.b128 %w0, %w1"])
def test_what_has_no_128_bit_form_is_refused(on: Executor, text: str) -> None:
    with pytest.raises(UnsupportedInstruction):
        on.run(f"{WIDE} {text}; ret;")


@pytest.mark.parametrize(
    ("instruction", "expected"),
    [
        ("vadd.u32.u32.u32 %r1, %r4.b1, %r5.h1", 0x22 + 0x8877),
        ("vadd.s32.s32.s32 %r1, %r4.b3, %r5.b3", 0x44 - 0x78),
        ("vsub.s32.u32.u32.sat %r1, 0, -1", -0x80000000),
        ("vsub.u32.u32.u32.sat %r1, 0, 1", 0),
        ("vabsdiff.u32.s32.s32 %r1, %r5.h0, 1", 0x6665),
        ("vabsdiff.u32.s32.s32.add %r1, %r5.h0, 1, 5", 0x666A),
        ("vmin.s32.s32.s32 %r1, %r5, %r4", 0x88776666 - 2**32),
        ("vmax.u32.u32.u32.min %r1, %r5, %r4, 7", 7),
        ("vadd.u32.u32.u32.sat %r1.b2, 200, 100, %r4", 0x44FF2211),
        ("vadd.s32.s32.s32.sat %r1.h1, -30000, -30000, %r4", 0x80002211),
        ("vshl.u32.u32.u32.clamp %r1, 3, 40", 0),
        ("vshl.u32.u32.u32.wrap %r1, 3, 33", 6),
        ("vshr.s32.s32.u32.clamp %r1, -8, 40", -1),
        ("vshr.u32.u32.u32.wrap.add %r1, %r5.b3, 1, 100", 0x44 + 100),
        ("vmad.u32.u32.u32 %r1, %r4.b0, 3, 4", 0x37),
        ("vmad.s32.s32.u32.sat.shr7 %r1, -1, -1, 0", -0x2000000),
        ("vmad.u32.u32.u32.po %r1, 2, 3, 4", 11),
        ("vmad.s32.u32.u32 %r1, -%r4.b0, 3, 4", 4 - 3 * 0x11),
        ("vmad.s32.u32.u32 %r1, %r4.b0, 3, -%r6", 3 * 0x11 - 5),
        ("vmad.s32.u32.u32.sat.shr7 %r1, %r4.b0, -%r6, 0", -1),
        ("vmad.u32.u32.u32 %r1, -%r4.b0, -%r6, 1", 5 * 0x11 + 1),
        ("vset.s32.u32.lt %r1, -1, 1", 1),
        ("vset.u32.u32.lt.add %r1, -1, 1, 41", 41),
        ("vset.u32.u32.ge %r1.b1, 5, 5, %r4", 0x44330111),
    ],
)
def test_scalar_video_instructions(on: Executor, instruction: str, expected: int) -> None:
    body = f"mov.b32 %r4, 0x44332211; mov.b32 %r5, 0x88776666; mov.b32 %r6, 5; {instruction}; {STORE} ret;"
    assert [expected % 2**32] * 4 == on.outputs(body, 4)


@pytest.mark.parametrize(
    "text",
    [
        "vadd.u32.u32 %r1, %r2, %r3",
        "vadd.u32.u32.u32 %r1.b0, %r2, %r3",
        "vadd.u32.u32.u32.clamp %r1, %r2, %r3",
        "vshl.u32.u32.s32.clamp %r1, %r2, %r3",
        "vmad.u32.u32.u32 %r1.b0, %r2, %r3, %r4",
        "vmad.u32.u32.u32.po %r1, -%r2, %r3, %r4",
        "vmad.u32.u32.u32 %r1, -%r2, %r3, -%r4",
        "vadd.u32.u32.u32 %r1, -%r2, %r3",
        "vadd4.u32.u32.u32 %r1.b02, %r2, %r3, %r4",
        "vadd4.u32.u32.u32 %r1.b4, %r2, %r3, %r4",
        "vadd4.u32.u32.u32 %r1, %r2.b012, %r3, %r4",
        "vadd2.u32.u32.u32 %r1, %r2.b10, %r3, %r4",
        "vadd2.u32.u32.u32 %r1, -%r2, %r3, %r4",
        "add.u32 %r1, -%r2, %r3",
        "add.u32 %r1, %r2.b0, %r3",
        "vadd.u32.u32.u32 %r1, %r2.b7, %r3",
    ],
)
def test_a_video_instruction_of_unknown_words_is_refused(on: Executor, text: str) -> None:
    with pytest.raises(UnsupportedInstruction):
        on.run(f"{text}; ret;")
