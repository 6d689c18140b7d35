"""PTX text becomes records: one test per form that compilers emit, and one per mistake beside it."""

import struct
import time

import pytest

from warpsmith.sandbox.emulator.program import (
    Address,
    Block,
    Entry,
    Immediate,
    Instr,
    Not,
    Pair,
    Param,
    Register,
    Sink,
    Special,
    Symbol,
    Variable,
    Vector,
)
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parse_module

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"


def entry(body: str, params: str = "", before: str = "", attributes: str = "") -> Entry:
    return parse_module(f"{HEAD}{before}\n.visible .entry k({params}) {attributes} {{ {body} }}").entries[0]


def only(body: str, params: str = "", before: str = "") -> Instr:
    """The first instruction of a body."""
    return entry(body, params, before).instructions[0]


def refused(text: str) -> PtxSyntaxError:
    with pytest.raises(PtxSyntaxError) as caught:
        parse_module(text)
    return caught.value


def test_version_target_and_entry_name_are_read() -> None:
    module = parse_module(HEAD + ".visible .entry _Z1kv() { ret; }")
    assert (module.version, module.target, module.entry("_Z1kv").name) == ((9, 0), "sm_90a", "_Z1kv")


def test_a_text_without_version_is_refused() -> None:
    assert "no .version" in refused(".visible .entry k() { ret; }").message


def test_an_opcode_keeps_its_modifiers_in_order() -> None:
    instr = only(".reg .b64 %rd<2>; .reg .f32 %f<4>; ld.global.nc.L2::128B.v4.f32 {%f0,%f1,%f2,%f3}, [%rd1+-16];")
    assert (instr.opcode, instr.modifiers) == ("ld", ("global", "nc", "L2::128B", "v4", "f32"))
    assert isinstance(instr.operands[0], Vector)
    assert [r.name for r in instr.operands[0].items if isinstance(r, Register)] == ["%f0", "%f1", "%f2", "%f3"]
    address = instr.operands[1]
    assert isinstance(address, Address)
    assert isinstance(address.base, Register)
    assert (address.base.name, address.base.type, address.offset) == ("%rd1", "b64", -16)


def test_a_blank_before_a_modifier_is_joined() -> None:
    assert only(".reg .b32 a; add .s32 a, a, 1;").text == "add.s32"


@pytest.mark.parametrize(
    ("literal", "bits", "type_"),
    [
        ("0f3F800000", 0x3F800000, "f32"),
        ("0d3FF0000000000000", 0x3FF0000000000000, "f64"),
        ("-0f3F800000", 0xBF800000, "f32"),
        ("17", 17, "s64"),
        ("-1", 2**64 - 1, "s64"),
        ("1U", 1, "u64"),
        ("0x1F", 31, "s64"),
        ("017", 15, "s64"),
        ("0b101", 5, "s64"),
        ("0xFFFFFFFFFFFFFFFF", 2**64 - 1, "u64"),
        ("(1 << 4) + 2", None, ""),
        ("((1 << 4) + 2)", 18, "s64"),
        ("(-7 / 2)", 2**64 - 3, "s64"),
        ("WARP_SZ", 32, "s64"),
        ("1.5", struct.unpack("<Q", struct.pack("<d", 1.5))[0], "f64"),
    ],
)
def test_literals_are_bits(literal: str, bits: int | None, type_: str) -> None:
    text = f".reg .b64 a; mov.b64 a, {literal};"
    if bits is None:
        with pytest.raises(PtxSyntaxError):
            only(text)
    else:
        assert Immediate(bits, type_) == only(text).operands[1]


@pytest.mark.parametrize("literal", ["09", "0x10000000000000000", "(1/0)", "9" * 5000, "0f123", "1x"])
def test_a_bad_literal_is_refused(literal: str) -> None:
    assert refused(f"{HEAD}.entry k() {{ .reg .b64 a; mov.b64 a, {literal}; }}").ptx_line == 4


def test_pairs_sinks_and_negated_predicates() -> None:
    made = entry(
        ".reg .pred %p<4>; .reg .b32 %r<3>; @!%p3 setp.ne.and.s32 %p1|%p2, %r1, 0, !%p3; elect.sync _|%p1, -1;"
    )
    first, second = made.instructions[:2]
    assert first.guard is not None
    assert (first.guard.negated, first.guard.register.name) == (True, "%p3")
    pair, source, zero, negated = first.operands
    assert isinstance(pair, Pair)
    assert isinstance(source, Register)
    assert Immediate(0, "s64") == zero
    assert isinstance(negated, Not)
    assert isinstance(second.operands[0], Pair)
    assert Sink() == second.operands[0].first


def test_special_registers_keep_their_component() -> None:
    assert (Special("%tid.x"), Special("%laneid")) == (
        only(".reg .b32 a; mov.u32 a, %tid.x;").operands[1],
        only(".reg .b32 a; mov.u32 a, %laneid;").operands[1],
    )


def test_the_same_name_in_two_scopes_is_two_registers() -> None:
    made = entry(".reg .b32 %r<3>; mov.u32 %r1, 1; { .reg .b32 %r1; mov.u32 %r1, 2; mov.u32 %r2, 3; } mov.u32 %r1, 4;")
    outer, inner, family, again = (instr.operands[0] for instr in made.instructions[:4])
    assert outer == again
    assert outer != inner
    assert family != outer
    assert len(made.registers) == 3


def test_a_register_outside_its_range_is_not_declared() -> None:
    assert only(".reg .b32 %r<10>; mov.u32 %r9, 0;").operands[0].name == "%r9"  # type: ignore[union-attr]
    with pytest.raises(PtxSyntaxError):
        only(".reg .b32 r<10>; mov.u32 r10, 0;")


def test_a_huge_register_range_costs_nothing_until_used() -> None:
    assert len(entry(".reg .b32 %r<2000000000>; mov.u32 %r1999999999, 0;").registers) == 1


def test_tensor_coordinates_follow_their_address_as_a_second_operand() -> None:
    instr = only(
        ".reg .b64 %rd<2>; .reg .b32 %r<4>; cp.async.bulk.tensor.2d.shared::cluster.global.tile"
        ".mbarrier::complete_tx::bytes [%r0], [%rd1, {%r1, %r2}], [%r3];"
    )
    assert [Address, Address, Vector, Address] == [type(operand) for operand in instr.operands]
    assert "shared::cluster" in instr.modifiers


def test_parameters_are_laid_out_naturally() -> None:
    made = entry(
        "ret;",
        ".param .u64 .ptr .global .align 16 a, .param .u8 b, .param .align 64 .b8 c[128], .param .f32 d",
    )
    assert (
        Param("a", 0, 8, "u64"),
        Param("b", 8, 1, "u8"),
        Param("c", 64, 128, "b8"),
        Param("d", 192, 4, "f32"),
    ) == made.params
    assert made.param_bytes == 196


def test_a_parameter_is_an_address() -> None:
    instr = only(".reg .b32 a; ld.param.u32 a, [k_param_3+12];", ".param .align 4 .b8 k_param_3[16]")
    assert Address(Symbol("k_param_3"), 12) == instr.operands[1]


def test_shared_variables_are_laid_out_and_dynamic_ones_follow() -> None:
    made = entry(
        ".shared .align 4 .b8 a[6]; .shared .align 128 .f32 b[2][4]; .reg .b64 x; mov.u64 x, dyn; ret;",
        before=".extern .shared .align 16 .b8 dyn[];",
    )
    assert dict(made.shared_offsets) == {"a": 0, "b": 128, "dyn": 160}
    assert made.shared_bytes == 160


def test_local_depot_is_local_memory() -> None:
    made = entry(".local .align 16 .b8 __local_depot0[20]; .reg .b64 %SPL; mov.u64 %SPL, __local_depot0;")
    assert (made.local_bytes, made.local_offsets) == (32, (("__local_depot0", 0),))


def test_a_module_variable_belongs_to_the_entries_that_name_it_or_its_address() -> None:
    text = (
        HEAD
        + '.global .align 1 .b8 word[3] = "hi";\n.global .align 8 .u64 words[2] = {generic(word), word+1};\n'
        + ".const .align 4 .u32 table[2][3] = {{1}, {2, -3}};\n.global .u32 unused;\n"
        + ".entry a() { .reg .b64 x; ld.global.u64 x, [words+8]; } .entry b() { .reg .b32 x; ld.const.u32 x, [table]; }"
    )
    module = parse_module(text)
    assert [v.name for v in module.variables] == ["word", "words", "table", "unused"]
    assert {"words", "word"} == {v.name for v in module.entry("a").variables}
    word, words, table, unused = module.variables
    assert word.init == b"hi\0"
    assert ((0, Symbol("word")), (8, Symbol("word", 1))) == words.relocations
    assert struct.pack("<6i", 1, 0, 0, 2, -3, 0) == table.init
    assert (unused.init, unused.size) == (None, 4)


def test_float_and_half_initialisers() -> None:
    module = parse_module(HEAD + ".const .f32 a[2] = {1, 0f40000000}; .const .f64 b = 1.5; .const .b32 c[] = {1,2};")
    assert [struct.pack("<2f", 1, 2), struct.pack("<d", 1.5), struct.pack("<2i", 1, 2)] == [
        v.init for v in module.variables
    ]


def test_too_many_initialisers_are_refused() -> None:
    assert "more initialisers" in refused(HEAD + ".const .u32 a[1] = {1, 2};").message


def test_blocks_start_at_labels_and_behind_jumps_but_not_behind_barriers() -> None:
    made = entry(
        ".reg .pred p; .reg .b32 a; bar.sync 0; @p bra L2; bra.uni L1; L1: add.u32 a, a, 1; @p bra L1; L2: ret;"
    )
    assert (
        Block(0, 2, (3, 1)),
        Block(2, 3, (2,)),
        Block(3, 5, (2, 3)),
        Block(5, 6, ()),
    ) == made.blocks
    assert [instr.target for instr in made.instructions] == [-1, 3, 2, -1, 2, -1]


def test_a_body_that_control_falls_out_of_gets_the_implied_return() -> None:
    made = entry(".reg .pred p; @p bra L; trap; L:")
    assert [instr.opcode for instr in made.instructions] == ["bra", "trap", "ret"]
    assert (Block(0, 1, (2, 1)), Block(1, 2, ()), Block(2, 3, ())) == made.blocks


def test_the_same_label_in_two_scopes_is_two_places() -> None:
    body = ".reg .pred q; { .reg .pred p; @p bra DONE; membar.gl; DONE: } "
    made = entry(body + body.replace(".reg .pred q; ", "") + "bra OUT; { bra OUT; } OUT: ret;")
    assert [made.instructions[i].target for i in range(7)] == [2, -1, 4, -1, 6, 6, -1]


def test_an_unknown_label_is_refused_with_its_place() -> None:
    problem = refused(HEAD + ".entry k() {\n  bra NOWHERE;\n}")
    assert (problem.message, problem.ptx_line, problem.column) == ("there is no label NOWHERE here", 5, 3)


def test_an_indirect_branch_is_kept_with_its_successors() -> None:
    made = entry(".reg .b32 i; A: ts: .branchtargets A, B; brx.idx i, ts; B: ret;")
    assert (Block(0, 1, (0, 1)), Block(1, 2, ())) == made.blocks
    assert Symbol("ts") == made.instructions[0].operands[1]


def test_a_call_keeps_its_results_callee_and_arguments() -> None:
    made = entry(
        "{ .reg .b32 temp_param_reg; .param .b64 param0; st.param.b64 [param0+0], 0; .param .b32 retval0;"
        " call.uni (retval0), vprintf, (param0, param0); }"
        "{ .param .b64 param0; st.param.b64 [param0+0], 0; }",
        before=".extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b);",
    )
    first, call, second = made.instructions[:3]
    assert (
        Vector((Symbol("retval0"),)),
        Symbol("vprintf"),
        Vector((Symbol("param0"), Symbol("param0"))),
    ) == call.operands
    assert Address(Symbol("param0")) == first.operands[0]
    assert first.operands[0] != second.operands[0]
    assert len([v for v in made.variables if v.space == "param"]) == 3


def test_functions_are_told_apart_by_whether_they_are_defined() -> None:
    module = parse_module(
        HEAD
        + ".func (.param .b32 r) f (.param .b32 a);\n.extern .func malloc (.param .b64 n);\n"
        + ".func (.param .b32 r) f (.param .b32 a) { { ret; } }"
    )
    assert (module.device_functions, module.extern_functions) == (("f",), ("malloc",))


def test_launch_bounds_give_the_most_threads() -> None:
    assert entry("ret;", attributes=".maxntid 128, 2, 1\n.minnctapersm 2\n.maxnreg 64").max_threads == 256
    assert entry("ret;", attributes='.pragma "nounroll"; .reqnctapercluster 2,1,1 .explicitcluster').max_threads is None


LOCATED = (
    HEAD
    + """.entry k() {
 .reg .b32 a;
 mov.u32 a, 0;
 .loc 1 10 3
 mov.u32 a, 1;
 .loc 1 0 3
 mov.u32 a, 2;
 .loc 2 261 5, function_name $L__info_string0, inlined_at 1 22 17
 mov.u32 a, 3;
 .loc 3 92 9, function_name $L__info_string1+4, inlined_at 2 261 5
 mov.u32 a, 4;
 .loc 3 7 1
 mov.u32 a, 5;
 .loc 1 8 47, function_name $L__info_string1, inlined_at 1 30 2
 mov.u32 a, 6;
}
.file 1 "/somewhere/candidate.cu"
.file 2 "/sdk/cooperative_groups.h"
.file 3 "/sdk/details/helpers.h"
.section .debug_str { $L__info_string0: .b8 95,90,0 { } }
"""
)


def test_lines_are_the_candidates_even_through_headers() -> None:
    lines = [instr.line for instr in parse_module(LOCATED).entries[0].instructions[:7]]
    assert lines == [0, 10, 10, 22, 22, 0, 8]
    assert parse_module(LOCATED).entries[0].instructions[0].ptx_line == 6


def test_lines_of_another_source_are_unknown() -> None:
    assert {0} == {instr.line for instr in parse_module(LOCATED, "kernel.py").entries[0].instructions}


def test_managed_variables_are_not_taken_for_plain_ones() -> None:
    (variable,) = parse_module(HEAD + ".visible .global .attribute(.managed) .align 4 .u32 x;").variables
    assert Variable("x", "managed", "u32", 4, 4, None, False) == variable


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ("mov.u32 a, 0;", "a is not declared"),
        (".reg .b32 a; .reg .b32 a;", "declared twice"),
        (".reg .v4 .b32 a;", "vector registers are not supported"),
        (".reg .b32 a; @a bra L; L:", "a predicate register"),
        (".reg .b32 a; mov.u32 a, 1", "',' or ';'"),
        ("L: L: ret;", "declared twice"),
        ("{" * 100, "nested deeper"),
        ("bra;", "a branch goes to a label"),
        (".texref t;", "a declaration"),
        (".shared .align 3 .b8 a[4];", "power of two"),
        (".local .b8 a[0];", "must be from 1"),
        ("/* no end", "never closed"),
        ("mov.u32 [%tid.x], 1;", "cannot be an address"),
        (".reg .b32 a; ld.u32 a, [" + "(" * 500 + "1", "nested too deeply"),
    ],
)
def test_a_mistake_is_named(body: str, part: str) -> None:
    assert part in refused(f"{HEAD}.entry k() {{ {body} }}").message


@pytest.mark.parametrize(
    "text",
    [
        HEAD + ".entry k() { ret; } .entry k() { ret; }",
        HEAD + ".alias a, b;",
        HEAD + ".visible .version 9.0",
        HEAD + "}",
        HEAD + ".version 9.0",
        ".version 9",
        HEAD + ".global .b8 a[1000000000] = {1};",
        HEAD + "".join(f".global .b8 a{i}[16000000] = {{1}};" for i in range(3)),
        HEAD + ".global .b8 a[2][2] = " + "{" * 200,
    ],
)
def test_a_wrong_module_is_refused(text: str) -> None:
    assert refused(text).ptx_line >= 1


def test_five_thousand_lines_take_well_under_a_second() -> None:
    body = "fma.rn.f32 %f1, %f2, 0f3F800000, %f3;\n ld.global.nc.u32 %r1, [%rd1+16];\n" * 2500
    text = f"{HEAD}.entry k() {{ .reg .f32 %f<9>; .reg .b32 %r<9>; .reg .b64 %rd<9>;\n{body} }}"
    begin = time.perf_counter()
    assert len(parse_module(text).entries[0].instructions) == 5001
    assert time.perf_counter() - begin < 1.0
