"""What a kernel file may ask of the preprocessor: honest text passes, its bad twin does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warpsmith.sandbox.screen.source import SourceProblem, check_source, includes

HONEST = """// /// kernel
// task = "softmax"
// ///
#include <cuda_fp16.h>   // half
#include <mma.h>
# include <cub/block/block_reduce.cuh>
#include <cuda/std/array>
#define TILE(a, b) \\
    ((a) * (b))
#pragma unroll
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#endif
// #include "/etc/passwd" in a comment, and __TIME__
/* #include <cuda_runtime.h>
   #line 9 "system.cu" */
__global__ void k(float* x) {
    const char* text = "#include \\"/etc/passwd\\" __FILE__ /*";
    asm volatile(R"(
        add.f32 %0, %0, 0f3F800000; // #include
    )" : "+f"(x[0]));
    char quote = '"'; int big = 1'000'000;
}
"""


def problem(text: str) -> SourceProblem:
    found = check_source(text)
    assert found is not None
    return found


def test_an_honest_kernel_passes() -> None:
    assert check_source(HONEST) is None


def test_headers_are_listed_once_in_order() -> None:
    expected = ("cuda_fp16.h", "mma.h", "cub/block/block_reduce.cuh", "cuda/std/array")
    assert expected == includes(HONEST + "#include <mma.h>\n")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('#include "/etc/passwd"', "one self-contained text"),
        ('%:include "/etc/passwd"', "one self-contained text"),
        ('#inc\\\nlude "/etc/passwd"', "one self-contained text"),
        ('  /**/ # /**/ include /**/ "x"', "one self-contained text"),
        ('#define A "/etc/passwd"\n#include A', "not through a macro"),
        ("#include <../../etc/passwd>", "not among the headers"),
        ("#include <cuda/std/../../../../etc/passwd>", "not among the headers"),
        ("#include <cuda_runtime.h>", "host code is not part of a kernel file"),
        ("#include <torch/extension.h>", "host code is not part of a kernel file"),
        ("#include <algorithm>", "not among the headers"),
        ("#include_next <mma.h>", "the directive #include_next"),
        ('#import "x"', "the directive #import"),
        ('#line 999 "system.cu"', "the directive #line"),
        ('# 999 "system.cu"', "not available"),
        ("#if __has_include(</etc/passwd>)\n#endif", "__has_include"),
        ("const char* t = __TIME__;", "__TIME__"),
        ("const char* t = __FILE__;", "__FILE__"),
        ("const int number = __COUNTER__;", "__COUNTER__"),
        ('R"(" /*)"\n#include "/etc/passwd"\n//*/', "one self-contained text"),
        ('#if 0\nR"(\n#endif\n#include "/etc/passwd"\n)"', "raw string starts with #"),
        ('R"(never closed', "never closed"),
        ("/\\ \n/ comment", "followed by blanks"),
        ("// x ??/\n", "trigraph"),
        ("int a;\rint b;", "carriage return"),
        ("a\0b", "zero byte"),
        ("PYBIND11_MODULE(a, b) {}", "host code"),
        ('"\\\\\n\n#include "/etc/passwd"', "one self-contained text"),
    ],
)
def test_a_trick_is_refused(text: str, part: str) -> None:
    assert part in problem(text).message


def test_the_line_is_the_authors_even_behind_splices_and_raw_strings() -> None:
    text = 'int a; \\\n int b;\nasm(R"(\n\\\n)");\n\n  #include "x"\n'
    assert problem(text).line == 7


def test_windows_line_ends_are_lines() -> None:
    assert problem("int a;\r\nint b;\r\n#include <vector>\r\n").line == 3


def test_a_refusal_states_its_remedy() -> None:
    assert "Leave the include out" in problem("#include <cuda_runtime.h>").remedy
    assert "Include what you use" in problem("#include <cub/cub.cuh>").remedy


def test_a_text_too_long_is_refused() -> None:
    assert "At most" in problem("/" * 300_000).remedy


@given(st.text(alphabet="#%:include<>\"/*\\\nR(x) '", max_size=60))
@settings(max_examples=300, deadline=1000)
def test_no_text_smuggles_a_quoted_include_at_the_start_of_a_plain_line(text: str) -> None:
    """An include on a line of its own is seen behind any prefix that leaves no comment or raw string open."""
    closed = "*/" not in text and "/*" not in text and 'R"' not in text.replace("\\\n", "") and not text.endswith("\\")
    found = check_source(f'{text}\n#include "/etc/passwd"\n')
    assert found is not None or not closed
