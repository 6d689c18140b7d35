"""The texts a compiler sees, and what its errors are turned into."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.core.kernel_file import (
    ends_too_soon,
    explain_compile_error,
    line_of_entry,
    parse_kernel_file,
    too_much,
    translation_unit,
)
from warpsmith.core.task import Cost, Output, Role, Task, Tensor, Workload

KERNEL_FILE = parse_kernel_file((Path(__file__).parent / "kernel_files" / "scale_rows.cu").read_text())
WORKLOAD = Workload("w", {"M": 5, "N": 128, "G": 2}, "normal", dtypes={"T": "bfloat16"})
TASK = Task(
    name="scale_rows",
    family="test",
    summary="Rows over their sums.",
    inputs=(Tensor("x", ("M", "N"), "T"), Tensor("w", ("N",), "float16", Role.STATIC)),
    outputs=(Output("y", ("M", "N"), "T"),),
    dims=("M", "N"),
    reference=lambda x, w: x * w,
    make_inputs={},
    verify=(WORKLOAD,),
    bench=(WORKLOAD,),
    cost=lambda dims: Cost(1, 1),
    fixed=("G",),
)
UNIT = translation_unit(KERNEL_FILE, TASK, WORKLOAD, {"BM": 2, "BN": 32})


def test_the_preamble_names_element_types_then_constants() -> None:
    assert UNIT.preamble.splitlines() == [
        "using x_t = __nv_bfloat16;",
        "using w_t = __half;",
        "using y_t = __nv_bfloat16;",
        "using partial_t = float;",
        "using packed_t = __half;",
        "constexpr int BM = 2;",
        "constexpr int BN = 32;",
        "constexpr int G = 2;",
        "constexpr int THREADS = 64;",
    ]


def test_the_candidate_text_is_untouched_and_names_come_in_plan_order() -> None:
    assert KERNEL_FILE.text == UNIT.text
    assert UNIT.names == ("pack", "sums<BM>", "scale")


@pytest.mark.parametrize(
    "check",
    [
        "using ws_plan_launch_2 = ws_plan::ws_of<decltype(&sums<BM>)>;",
        'static_assert(ws_plan_launch_2::ws_count == 4, "launch 1: sums<BM> does not take 4 arguments. ',
        "launch 1: argument 1 ('x') of sums<BM> does not fit: 'x' holds bfloat16. Declare the parameter 'const x_t* x'",
        "launch 1: argument 1 ('x') of sums<BM> is read-only.",
        "launch 1: argument 3 ('M') of sums<BM> is an integer. Declare the parameter 'int M' or 'long long'.",
        "launch 2: argument 2 ('packed') of scale is read-only.",
    ],
)
def test_the_appendix_holds_each_launch_against_its_signature(check: str) -> None:
    assert check in UNIT.appendix


def test_what_a_launch_may_write_is_not_asked_to_be_const() -> None:
    for writable in (
        "argument 4 ('y') of scale",
        "argument 2 ('packed') of pack",
        "argument 2 ('partial') of sums<BM>",
    ):
        assert f"{writable} does not fit" in UNIT.appendix
        assert f"{writable} is read-only" not in UNIT.appendix


@pytest.mark.parametrize(
    ("remedy", "message"),
    [
        (
            "`N` is a dimension: make it a parameter of the kernel: `int N`.",
            'candidate.cu(60): error: identifier "N" is undefined',
        ),
        (
            '`G` is a dimension: make it a parameter of the kernel: `int G`, or add it to `constants = ["G"]`.',
            'error: identifier "G" is undefined',
        ),
        ("`w` is a tensor: make it a parameter of the kernel: `w_t* w`.", 'error: identifier "w" is undefined'),
        ("`TILES` is a [let] expression: make it a parameter", 'error: identifier "TILES" is undefined'),
        ("`SMS` is known to the launch plan only: take `int SMS`", 'error: identifier "SMS" is undefined'),
        (
            "`TILE_K` is no knob: add `TILE_K = [64]` under [tune]. Known are: BM, BN, G.",
            'error: identifier "TILE_K" is undefined',
        ),
        ("`partials_t`: Did you mean `partial_t`?", 'error: identifier "partials_t" is undefined'),
        (
            "`BM` is defined already, from the head block: delete your own definition of it.",
            'error: variable "BM" has already been defined (previous definition at line 6 of preamble)',
        ),
        ("`x_t` is defined already, as the element type of `x`", 'error: type "x_t" has already been defined'),
        (
            "Sizes of arrays and template arguments must be known when compiling: use a knob or a fixed dimension (G)",
            "error: expression must have a constant value",
        ),
        ('Remove `extern "C"`', 'error: this declaration may not have extern "C" linkage'),
        (
            "`ws::to_float(x[i])` to read, `ws::from_float<y_t>(sum)` to write.",
            'error: more than one operator "*" matches these operands:',
        ),
        (
            "A block's shared memory is too large: use smaller tiles or fewer stages.",
            "ptxas error : Entry function 'f' uses too much shared data (0x10000 bytes, 0xc000 max)",
        ),
        (
            "Write `__device__` before a helper.",
            "error: A function ... and host functions are not allowed in JIT mode.",
        ),
        (
            'Round the range up, as in `constexpr = { BLOCK = "pow2ceil(N)" }`, and mask what lies beyond',
            "ValueError: arange's range must be a power of 2",
        ),
        (
            "declare a larger one `__device__ const`",
            "candidate.cu: error: the assembler says: File uses too much global constant data (0x13880 bytes, ...)",
        ),
        (
            "give it a last case",
            'candidate.cu(11): error: excessive recursion at instantiation of class "B<99800>"',
        ),
        ("Instantiate fewer templates", "candidate.cu(32): catastrophic error: out of memory"),
        ("Kernels are found by name: give each its own.", 'cannot determine which instance of overloaded function "f"'),
    ],
)
def test_a_compiler_message_ends_with_what_to_write(remedy: str, message: str) -> None:
    explained = explain_compile_error(message, TASK, KERNEL_FILE)
    assert explained.startswith(message)
    assert remedy in explained


def test_a_plan_assertion_is_said_in_the_plans_own_words() -> None:
    message = (
        "launch-plan(30): error: static assertion failed with \"launch 2: argument 4 ('y') of scale does not fit: "
        "'y' holds bfloat16. Declare the parameter 'y_t* y'.\""
    )
    assert explain_compile_error(message, TASK, KERNEL_FILE) == (
        "launch 2: argument 4 (`y`) of scale does not fit: `y` holds bfloat16. Declare the parameter `y_t* y`."
    )


def test_a_message_nobody_recognises_stays_as_it_is() -> None:
    message = 'candidate.cu(9): error: expected a ";"'
    assert explain_compile_error(message, TASK, KERNEL_FILE) == message


def test_a_character_that_no_compiler_reads_is_named() -> None:
    kernel_file = replace(KERNEL_FILE, text="int a = 1 \u2212 2;  // \u03b1\nint b;\n")
    explained = explain_compile_error("candidate.cu(1): error: unrecognized token", TASK, kernel_file)
    assert explained.endswith("Line 1 holds `\u2212` (U+2212 MINUS SIGN): write code in ASCII.")


def test_the_kernel_that_an_assembler_names_mangled_is_found_at_its_line() -> None:
    signature = KERNEL_FILE.launches[0].signature
    mangled = f"_Z{len(signature.name)}{signature.name}PKf"
    message = f"the assembler says: Entry function '{mangled}' uses too much shared data"
    assert signature.line == line_of_entry(message, KERNEL_FILE)
    assert line_of_entry(message.replace(signature.name, "another"), KERNEL_FILE) is None


GAVE_UP = "compiling takes more than 60 seconds."


@pytest.mark.parametrize(
    ("line", "says", "code"),
    [
        (2, "writes a loop out 100,000 times", "\n#pragma unroll 100000\nfor (;;) {}"),
        (1, "writes a loop out 5,000 times", '_Pragma("unroll 5000") for (;;) {}'),
        (1, "`big` on line 1 has 268,435,456 elements", "__device__ const float big[1 << 28] = {1};"),
        (2, "`wide` on line 2 has 1,048,576 elements", "int a[4];\nint wide[1024][1024];\n#pragma unroll 300\n"),
    ],
)
def test_what_a_compiler_gives_up_on_is_sought_in_the_text(line: int, says: str, code: str) -> None:
    found = too_much(GAVE_UP, replace(KERNEL_FILE, text=code))
    assert found is not None
    assert (line, True) == (found[0], says in found[1])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (GAVE_UP, "#pragma unroll 8\nfor (;;) {} float tile[64][64]; x[n] = y[1 << 20 > n];"),
        ('candidate.cu(9): error: expected a ";"', "#pragma unroll 100000\n"),
    ],
)
def test_modest_numbers_and_other_errors_are_not_to_blame(message: str, code: str) -> None:
    assert too_much(message, replace(KERNEL_FILE, text=code)) is None


@pytest.mark.parametrize(
    ("says", "code"),
    [("takes a power", "x = 9**9**9"), ("`range` in place of", "for i in tl.static_range(8):\n  x = i")],
)
def test_a_triton_text_says_what_runs_in_python(says: str, code: str) -> None:
    found = too_much(GAVE_UP, replace(KERNEL_FILE, text=code, language="triton"))
    assert found is not None
    assert says in found[1]


RAN_ON = "launch-plan(1): error: namespace definition is not allowed"


def test_a_brace_that_is_never_closed_is_found_where_the_compiler_blames_the_launch_plan() -> None:
    whole = KERNEL_FILE.text
    last = whole.rindex("}")
    end = ends_too_soon(RAN_ON, replace(KERNEL_FILE, text=whole[:last] + whole[last + 1 :]))
    assert end is not None
    assert "{" in whole.splitlines()[end[0] - 1]
    assert "a `}` is missing" in end[1]


def test_a_namespace_that_swallows_the_launch_plan_is_found_though_the_compiler_says_nothing_of_it() -> None:
    text = KERNEL_FILE.text + "namespace detail {\n"
    nowhere = "the text does not compile, and the compiler does not say where."
    end = ends_too_soon(nowhere, replace(KERNEL_FILE, text=text))
    assert end is not None
    assert "namespace detail" in text.splitlines()[end[0] - 1]
    assert ends_too_soon(nowhere, KERNEL_FILE) is None


def test_a_declaration_that_is_never_ended_is_found_on_the_last_line() -> None:
    text = KERNEL_FILE.text + "struct Pair { int a; }\n\n"
    end = ends_too_soon('launch-plan(1): error: expected a ";"', replace(KERNEL_FILE, text=text))
    assert end is not None
    assert "struct Pair" in text.splitlines()[end[0] - 1]
    assert "a `;` or `)` is missing" in end[1]


@pytest.mark.parametrize(
    "message",
    [
        'launch-plan(9): error: static assertion failed with "launch 1: no"',
        'launch-plan(28): error: identifier "scale" is undefined',
        "candidate.cu(9): error: expected an expression\nlaunch-plan(1): error: expected a declaration",
    ],
)
def test_an_error_of_the_files_own_or_of_a_launch_says_nothing_of_its_end(message: str) -> None:
    assert ends_too_soon(message, KERNEL_FILE) is None
