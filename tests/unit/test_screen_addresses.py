"""What code may learn of where its buffers lie, each look beside its honest twin."""

import pytest

from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.screen.addresses import check_addresses

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"
REGISTERS = ".reg .b64 %rd<9>; .reg .b32 %r<9>; .reg .f32 %f<9>; .reg .pred %p<9>; .shared .align 8 .b64 kept[2];"
LOADS = "ld.param.u64 %rd1, [a]; ld.param.u64 %rd2, [b]; ld.param.u32 %r1, [n];"


def told(body: str, *, typed: bool = False) -> str:
    """What the check says of a kernel whose first two parameters point to x and y."""
    text = f"{HEAD}.entry k(.param .u64 a, .param .u64 b, .param .u32 n) {{ {REGISTERS} {LOADS} {body} ret; }}"
    found = check_addresses(parse_module(text).entry("k"), {0: "x", 8: "y"}, typed=typed)
    return found.message if found else ""


@pytest.mark.parametrize(
    "body",
    [
        "mul.wide.s32 %rd3, %r1, 4; add.s64 %rd4, %rd1, %rd3; ld.global.f32 %f1, [%rd4];",
        "and.b64 %rd3, %rd1, 15; setp.eq.s64 %p1, %rd3, 0;",
        "or.b64 %rd3, %rd1, %rd2; cvt.u32.u64 %r2, %rd3; and.b32 %r3, %r2, 127; setp.ne.s32 %p1, %r3, 0;",
        "and.b64 %rd3, %rd1, -16; ld.global.f32 %f1, [%rd3];",
        "setp.eq.s64 %p1, %rd1, 0;",
        "add.s64 %rd3, %rd1, 128; setp.lt.u64 %p1, %rd1, %rd3;",
        "add.s64 %rd3, %rd1, 128; sub.s64 %rd4, %rd3, %rd1; setp.gt.s64 %p1, %rd4, 7;",
        "setp.gt.s32 %p1, %r1, 3; selp.b64 %rd3, %rd1, %rd2, %p1; ld.global.f32 %f1, [%rd3];",
        "mov.u32 %r2, kept; shr.u32 %r3, %r2, 4; and.b32 %r4, %r3, 16383;",
        "ld.global.u64 %rd3, [%rd1]; setp.gt.u64 %p1, %rd3, 255;",
    ],
    ids=["indexing", "alignment", "alignment of both", "aligned down", "null", "a loop's end", "a distance", "a choice",
         "a descriptor", "a value of 64 bits"],
)  # fmt: skip
def test_using_an_address_as_one_is_free(body: str) -> None:
    assert told(body) == ""


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("shr.u64 %rd3, %rd1, 21;", "x"),
        ("and.b64 %rd3, %rd1, 4096; setp.eq.s64 %p1, %rd3, 0;", "x"),
        ("setp.gt.u64 %p1, %rd1, 139637976727552;", "x"),
        ("sub.s64 %rd3, %rd1, %rd2; setp.gt.s64 %p1, %rd3, 0;", "x and y"),
        ("setp.lt.u64 %p1, %rd1, %rd2;", "x and y"),
        ("cvt.u32.u64 %r2, %rd2; setp.gt.u32 %p1, %r2, 255;", "y"),
        ("mov.b64 {%r2, %r3}, %rd1;", "x"),
        ("cvt.rn.f32.u64 %f1, %rd1;", "x"),
        ("mul.hi.u64 %rd3, %rd1, 65536;", "x"),
        ("ld.param.u32 %r2, [a+4]; setp.gt.u32 %p1, %r2, 255;", "x"),
        ("mov.b64 %rd3, a; ld.u32 %r2, [%rd3]; setp.gt.u32 %p1, %r2, 255;", "x and y"),
        ("st.global.u64 [%rd2], %rd1;", "x"),
        ("st.shared.u64 [kept], %rd1; ld.shared.u32 %r2, [kept]; setp.gt.u32 %p1, %r2, 255;", "x"),
        ("mov.u32 %r2, kept; setp.gt.u32 %p1, %r2, 1023;", "shared memory"),
    ],
)
def test_a_look_at_an_address_is_refused(body: str, names: str) -> None:
    assert f"looks at the address of {names}. Where buffers lie differs" in told(body)


POLICY = "createpolicy.fractional.L2::evict_last.b64 %rd3, 1.0;"


@pytest.mark.parametrize(
    "use",
    [
        "ld.global.L2::cache_hint.f32 %f1, [%rd1], %rd3;",
        "st.global.L2::cache_hint.f32 [%rd1], %f1, %rd3;",
        "mov.b64 %rd4, %rd3; setp.gt.s32 %p1, %r1, 3; selp.b64 %rd5, %rd3, %rd4, %p1; "
        "ld.global.L2::cache_hint.f32 %f1, [%rd1], %rd5;",
    ],
)
def test_a_cache_policy_may_be_handed_to_an_access(use: str) -> None:
    assert told(f"{POLICY} {use}") == ""


@pytest.mark.parametrize(
    "use",
    [
        "setp.ne.s64 %p1, %rd3, 0;",
        "and.b64 %rd4, %rd3, 15;",
        "mov.b64 {%r2, %r3}, %rd3;",
        "st.global.u64 [%rd1], %rd3;",
        "mov.b64 %rd4, %rd3; cvt.u32.u64 %r2, %rd4;",
        "st.shared.u64 [kept], %rd3; ld.shared.u32 %r2, [kept]; add.u32 %r3, %r2, 1;",
    ],
)
def test_a_look_at_a_cache_policy_is_refused(use: str) -> None:
    assert "looks at the bits of a cache policy" in told(f"{POLICY} {use}")


def test_a_typed_language_may_exchange_pointers_through_shared_memory_but_not_compare_them() -> None:
    exchanged = "st.shared.u64 [kept], %rd1; ld.shared.u64 %rd3, [kept];"
    assert (
        told(
            f"{exchanged} ld.global.f32 %f1, [%rd3]; ld.shared.u32 %r2, [kept+8]; setp.gt.u32 %p1, %r2, 7;", typed=True
        )
        == ""
    )
    assert "address of x" in told(f"{exchanged} setp.gt.u64 %p1, %rd3, 4096;", typed=True)
