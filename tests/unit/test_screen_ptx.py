"""What compiled PTX may hold, each cheat beside its honest twin."""

import pytest

from warpsmith.sandbox.emulator.ptx import parse_module
from warpsmith.sandbox.screen.ptx import PtxProblem, screen_ptx

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"
REGISTERS = ".reg .b64 %rd<9>; .reg .b32 %r<9>; .reg .pred %p<9>;"


def verdict(body: str, before: str = "") -> PtxProblem | None:
    text = f"{HEAD}{before}\n.visible .entry k(.param .u64 x) {{ {REGISTERS}\n .loc 1 7 1\n {body} ret; }}\n"
    return screen_ptx(parse_module(text + '.file 1 "candidate.cu"'), ["k"])


def reason(body: str, before: str = "") -> str:
    found = verdict(body, before)
    assert found is not None
    return found.message


def test_a_plain_kernel_passes() -> None:
    assert verdict("mov.u32 %r1, %tid.x; ld.param.u64 %rd1, [x]; st.global.u32 [%rd1], %r1;") is None


def test_an_entry_that_the_plan_does_not_name_is_refused() -> None:
    text = HEAD + ".visible .entry k() { ret; } .global .u32 evil; .visible .entry evil_k() { ret; }"
    found = screen_ptx(parse_module(text), ["k"])
    assert found is not None
    assert "`evil_k` that no [[launch]] names" in found.message
    assert screen_ptx(parse_module(text), ["k", "evil_k"]) is None


def test_a_missing_entry_is_refused() -> None:
    found = screen_ptx(parse_module(HEAD + ".entry a() { ret; }"), ["a", "b"])
    assert found is not None
    assert "lacks the kernel `b`" in found.message


@pytest.mark.parametrize(
    "name", ["%clock", "%clock64", "%globaltimer", "%smid", "%warpid", "%gridid", "%pm0", "%envreg2"]
)
def test_a_special_register_that_tells_too_much_is_refused(name: str) -> None:
    assert f"special register {name} is not available" in reason(f"mov.u64 %rd1, {name};")


@pytest.mark.parametrize("name", ["%tid.y", "%ctaid.z", "%laneid", "%lanemask_lt", "%nsmid", "%cluster_ctarank"])
def test_a_special_register_of_the_launch_passes(name: str) -> None:
    assert verdict(f"mov.u32 %r1, {name};") is None


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("vprintf", "printf is not available in a kernel file. Remove it"),
        ("malloc", "declare a [[buffer]] in the plan"),
        ("cudaLaunchDeviceV2", "Add a [[launch]] to the plan"),
        ("whatever", "whatever is not available"),
    ],
)
def test_a_call_out_of_the_file_is_refused_with_its_remedy(function: str, said: str) -> None:
    call = f"{{ .param .b64 p; call.uni {function}, (p); }}"
    assert said in reason(call, f".extern .func {function} (.param .b64 a);")


def test_an_extern_function_that_nobody_calls_is_ignored() -> None:
    assert verdict("", ".extern .func malloc (.param .b64 a);") is None


def test_a_call_of_a_function_of_the_file_passes() -> None:
    assert verdict("call.uni f;", ".func f () { ret; }") is None


def test_a_called_function_is_screened_like_the_kernel() -> None:
    clock = ".func f () { .reg .b32 %c; mov.u32 %c, %clock; ret; }"
    assert "clock" in reason("call.uni f;", clock)
    assert verdict("", clock) is None


def test_a_function_that_may_call_itself_is_refused() -> None:
    assert "as a loop" in reason("call.uni f;", ".func f () { call.uni f; ret; }")


def test_a_call_through_a_pointer_is_refused() -> None:
    assert "through a pointer" in reason(
        "{ .param .b64 p; call %rd1, (p), proto; proto: .callprototype _ (.param .b64 _); }"
    )


TABLE = ".global .align 4 .b8 table[16] = {1, 2, 3};"
ADDRESS = "mov.u64 %rd1, table; add.s64 %rd2, %rd1, %rd3;"


@pytest.mark.parametrize(
    ("body", "before"),
    [
        (ADDRESS + "ld.global.u32 %r1, [%rd2+4];", TABLE),
        ("ld.global.nc.u32 %r1, [table+8];", TABLE),
        ("mov.u64 %rd1, table; cvta.global.u64 %rd2, %rd1; ld.u32 %r1, [%rd2]; st.global.u32 [%rd5], %r1;", TABLE),
        ("ld.const.u32 %r1, [table];", ".const .align 4 .u32 table[2] = {1, 2};"),
        ("ld.global.u64 %rd1, [names+8]; ld.u8 %r1, [%rd1]; st.global.u32 [%rd5], %r1;",
         '.global .b8 s[3] = "ab"; .global .align 8 .u64 names[2] = {generic(s), generic(s)};'),
        ("", ".global .align 4 .u32 never_used; .global .attribute(.managed) .u32 neither;"),
        ("mov.u64 %rd1, table; cp.async.ca.shared.global [%r1], [%rd1], 4;", TABLE),
    ],
)  # fmt: skip
def test_a_table_that_is_only_read_passes(body: str, before: str) -> None:
    assert verdict(body, before) is None


@pytest.mark.parametrize(
    ("body", "before"),
    [
        (ADDRESS + "st.global.u32 [%rd2], 1;", TABLE),
        ("st.global.u32 [table+4], 1;", TABLE),
        ("atom.global.add.u32 %r1, [table], 1;", TABLE),
        ("mov.u64 %rd1, table; cvta.global.u64 %rd2, %rd1; red.add.u32 [%rd2], 1;", TABLE),
        ("mov.u64 %rd1, table; st.global.u64 [%rd5], %rd1;", TABLE),
        ("st.u32 [%rd2], 1; add.s64 %rd2, %rd1, 4; mov.u64 %rd1, table;", TABLE),
        ("mov.u64 %rd1, table; selp.b64 %rd2, %rd1, %rd3, %p1; mov.b64 {%r1, %r2}, %rd2; mov.b64 %rd4, {%r1, %r2};"
         "st.u32 [%rd4], 1;", TABLE),
        ("ld.global.u64 %rd1, [names]; st.u8 [%rd1], 1;",
         '.global .b8 s[3] = "ab"; .global .align 8 .u64 names[1] = {generic(s)};'),
        ("mov.u64 %rd1, table; cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r1], 16;", TABLE),
        ("{ .global .u32 table; st.global.u32 [table], 1; }", ""),
        ("ld.global.u32 %r1, [table];", ".global .attribute(.managed) .u32 table;"),
    ],
)  # fmt: skip
def test_a_variable_that_could_remember_is_refused(body: str, before: str) -> None:
    assert "outlive" in reason(body, before)


def test_the_line_of_the_offence_is_given() -> None:
    assert verdict("st.global.u32 [table], 1;", TABLE) == PtxProblem(reason("st.global.u32 [table], 1;", TABLE), 7)


@pytest.mark.parametrize(
    "instruction", ["pmevent 1", "brkpt", "discard.global.L2 [%rd1], 128", "sust.b.1d.b32.trap [%rd1, {%r1}], %r2"]
)
def test_an_instruction_whose_effect_outlives_the_launch_is_refused(instruction: str) -> None:
    assert "is not available" in reason(f"{instruction};")
