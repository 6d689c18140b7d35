"""Reading kernel files: what a good one says, and that any text gives a file or a located error."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file import KernelFile, Launch, parse_kernel_file
from warpsmith.core.kernel_file.cpp_signatures import cpp_signatures
from warpsmith.core.kernel_file.lexer import lex

ROOT = Path(__file__).parents[2]
SCALE_ROWS = (Path(__file__).parent / "kernel_files" / "scale_rows.cu").read_text()
HEAD = """// /// kernel
// task = "copy"
//
// [[launch]]
// kernel = "copy"
// grid = "cdiv(N, 256)"
// block = 256
// ///
"""


def copy_file(parameters: str = "const x_t* x, y_t* y, int N", *, prefix: str = "", head: str = HEAD) -> KernelFile:
    return parse_kernel_file(f"{head}{prefix}__global__ void copy({parameters}) {{}}\n")


def parameter_names(kernel_file: KernelFile, kernel: str = "copy") -> list[str]:
    return [parameter.name for parameter in kernel_file.signatures[kernel].parameters]


def test_a_file_says_what_its_head_block_says() -> None:
    kernel_file = parse_kernel_file(SCALE_ROWS, file="scale_rows.cu")
    assert (kernel_file.task, kernel_file.language) == ("scale_rows", "cuda")
    assert kernel_file.constants == ("G",)
    assert kernel_file.tags == ("two_pass",)
    assert kernel_file.knobs == {"BM": (2, 4), "BN": (64, 32)}
    assert list(kernel_file.let) == ["TILES", "THREADS"]
    assert [(buffer.name, buffer.init, buffer.prepared) for buffer in kernel_file.buffers] == [
        ("partial", 0, False),
        ("packed", None, True),
    ]
    assert [launch.label for launch in kernel_file.launches] == ["prepare 1", "launch 1", "launch 2"]
    assert [fill.tensor for fill in kernel_file.fills] == ["y"]


def test_the_default_assignment_comes_first_and_where_drops_the_rest() -> None:
    kernel_file = parse_kernel_file(SCALE_ROWS)
    assert kernel_file.default_knobs() == {"BM": 2, "BN": 64}
    assert kernel_file.assignments() == ({"BM": 2, "BN": 64}, {"BM": 2, "BN": 32}, {"BM": 4, "BN": 32})


def test_a_file_without_knobs_has_one_assignment() -> None:
    assert copy_file().assignments() == ({},)


def test_steps_keep_file_order_and_know_their_line() -> None:
    steps = parse_kernel_file(SCALE_ROWS).steps
    lines = SCALE_ROWS.splitlines()
    assert [lines[step.line - 1] for step in steps] == ["// [[launch]]"] * 3
    assert [isinstance(step, Launch) for step in steps] == [False, True, True]


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.[cp][uy]")), ids=lambda path: path.name)
def test_every_example_parses(path: Path) -> None:
    kernel_file = parse_kernel_file(path.read_text(), file=path.name)
    assert kernel_file.launches
    assert kernel_file.language == ("triton" if path.suffix == ".py" else "cuda")


def test_arguments_bind_by_parameter_name_unless_args_says_otherwise() -> None:
    launch = parse_kernel_file(SCALE_ROWS).launches[2]
    given_by = {argument.parameter.name: argument.expression.text for argument in launch.arguments}
    assert given_by["x"] == "x"
    assert given_by["first"] == "2 * i"
    assert list(given_by) == ["x", "packed", "partial", "y", "TILES", "N", "first", "rows"]


def test_args_may_be_a_list_in_the_order_of_the_parameters() -> None:
    listed = HEAD.replace("// ///\n", '// args = ["x", "y", "2 * N"]\n// ///\n')
    launch = copy_file("const x_t* a, y_t* b, int count", head=listed).launches[0]
    assert [argument.expression.text for argument in launch.arguments] == ["x", "y", "2 * N"]


def test_a_python_file_with_the_same_shape_is_triton() -> None:
    kernel_file = parse_kernel_file((ROOT / "examples" / "softmax.py").read_text())
    parameters = kernel_file.signatures["softmax"].parameters
    assert [parameter.name for parameter in parameters if parameter.constexpr] == ["N", "ROWS", "BLOCK"]
    assert kernel_file.knobs["num_warps"] == (4, 8)


def test_windows_line_ends_and_a_licence_above_the_block_are_fine() -> None:
    text = (
        "// SPDX-License-Identifier: Apache-2.0\n\n" + HEAD + "__global__ void copy(const x_t* x, y_t* y, int N) {}\n"
    )
    assert parse_kernel_file(text.replace("\n", "\r\n")).launches[0].line == 6


@pytest.mark.parametrize(
    ("names", "parameters"),
    [
        (["x", "y"], "const x_t* __restrict__ x, y_t* __restrict__ y"),
        (["x", "y"], "x_t const * const x, y_t *y"),
        (["x", "n"], "const x_t x[], const unsigned long long n"),
        (["x", "n"], "const x_t* x /* the, input */, int n // rows, columns\n"),
        (["p", "n"], "Pair<int, x_t>* p, int n"),
        (["p", "n"], "std::array<x_t, (4 > 2)> p, int n = 3"),
        (["x_map", "n"], "const __grid_constant__ CUtensorMap x_map, int n"),
        ([], ""),
        ([], "void"),
    ],
)
def test_parameter_names_are_read_from_cpp(names: list[str], parameters: str) -> None:
    assert names == parameter_names(copy_file(parameters))


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "static ",
        'extern "C" ',
        "template <typename T = int>\n__global__ void other(T* t) {}\n",
        "// __global__ void copy(int wrong)\n",
        "/* __global__ void copy(int wrong) */\n",
        'constexpr const char* text = "__global__ void copy(int wrong)";\n',
        'constexpr const char* raw = R"x(__global__ void copy(int wrong) " )x";\n',
        "#define KERNEL __global__ void copy(int wrong)\n",
        "#define LONG \\\n  __global__ void copy(int wrong)\n",
        "constexpr char quote = '\"'; constexpr int million = 1'000'000;\n",
    ],
)
def test_only_real_kernels_are_read(prefix: str) -> None:
    assert parameter_names(copy_file(prefix=prefix)) == ["x", "y", "N"]


def test_attributes_and_templates_are_skipped() -> None:
    source = lex(
        "template <int TM, bool B = (1 > 0), typename T = int>\n"
        "__global__ void __launch_bounds__(TM * 32, 2) __cluster_dims__(1, 1, 1) gemm(const T* a, int M) { }"
    )
    signature = cpp_signatures(source.tokens)["gemm"]
    assert signature.template == ("TM", "B", "T")
    assert [parameter.name for parameter in signature.parameters] == ["a", "M"]
    assert signature.line == 2


def test_a_hostile_text_is_read_in_linear_time() -> None:
    for unit in (
        'R"(',
        "/",
        "(",
        "__global__ void f(",
        "<",
        '"',
        "'",
        "\\\n",
        "#/",
        "template<",
        "__global__ ",
        "__global__ void f(int a) ",
        "// [[launch]]\n",
    ):
        with contextlib.suppress(KernelFileError):
            parse_kernel_file(HEAD + unit * (60_000 // len(unit)))


@given(st.text(max_size=300))
def test_any_text_gives_a_file_or_a_kernel_file_error(text: str) -> None:
    with contextlib.suppress(KernelFileError):
        parse_kernel_file(text)


@given(st.text(max_size=120), st.text(max_size=120), st.booleans())
def test_any_head_and_any_source_give_a_file_or_a_kernel_file_error(toml: str, source: str, triton: bool) -> None:
    marker = "#" if triton else "//"
    head = "\n".join(f"{marker} {line}" for line in ["/// kernel", *toml.split("\n"), "///"])
    with contextlib.suppress(KernelFileError):
        parse_kernel_file(f"{head}\n{source}")


_VALUES = st.recursive(
    st.one_of(
        st.integers(), st.booleans(), st.floats(allow_nan=False), st.sampled_from(['"x"', '"N"', '"1 +"', '"copy"'])
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(map(str, items))}]"),
    max_leaves=4,
)
_KEYS = st.sampled_from(
    [
        "task",
        "requires",
        "constants",
        "tune",
        "let",
        "kernel",
        "grid",
        "block",
        "shared",
        "args",
        "name",
        "shape",
        "dtype",
    ]
)
_MORE_KEYS = st.sampled_from(
    ["init", "prepared", "fill", "value", "repeat", "when", "where", "constexpr", "num_warps", "BM", "launch", "tags"]
)
_LINES = st.one_of(
    st.tuples(_KEYS | _MORE_KEYS, _VALUES).map(lambda pair: f"{pair[0]} = {str(pair[1]).lower()}"),
    st.sampled_from(["[tune]", "[let]", "[[buffer]]", "[[launch]]", "[[prepare]]", 'task = "copy"', 'kernel = "copy"']),
)


@given(st.lists(_LINES, max_size=12))
def test_any_well_formed_toml_gives_a_file_or_an_error_with_a_line(lines: list[str]) -> None:
    head = "\n".join(f"// {line}" for line in ["/// kernel", *lines, "///"])
    with contextlib.suppress(KernelFileError):
        located(f"{head}\n__global__ void copy(const x_t* x, y_t* y, int N) {{}}\n")


def located(text: str) -> None:
    """Parse, and hold an error to standing at a line of the text."""
    try:
        parse_kernel_file(text)
    except KernelFileError as error:
        if not 1 <= error.line <= text.count("\n") + 1:
            raise AssertionError(f"no line: {error}") from error
        raise
