"""Kernel files through the real compiler: the examples compile, and the plan's assertions catch what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.core.artifact import Artifact
from warpsmith.core.kernel_file import explain_compile_error, parse_kernel_file, translation_unit
from warpsmith.core.task import Cost, Output, Role, Task, Tensor, Workload
from warpsmith.sandbox.compile import compile_cuda

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "tests" / "unit" / "kernel_files" / "scale_rows.cu").read_text()
EMPTY = Task(
    name="",
    family="test",
    summary="",
    inputs=(),
    outputs=(),
    dims=(),
    reference=lambda: None,
    make_inputs={},
    verify=(),
    bench=(),
    cost=lambda dims: Cost(1, 1),
)
SCALE_ROWS = replace(
    EMPTY,
    name="scale_rows",
    inputs=(Tensor("x", ("M", "N"), "T"), Tensor("w", ("N",), "float16", Role.STATIC)),
    outputs=(Output("y", ("M", "N"), "T"),),
    dims=("M", "N"),
    fixed=("G",),
)
SCALE_DIMS = {"M": 5, "N": 128, "G": 2}
MOE = replace(
    EMPTY,
    name="moe_grouped_gemm",
    inputs=(
        Tensor("x", ("T", "H"), "bfloat16"),
        Tensor("w", ("E", "F", "H"), "bfloat16"),
        Tensor("ids", ("T", "TOPK"), "int32"),
        Tensor("gates", ("T", "TOPK"), "float32"),
    ),
    outputs=(Output("y", ("T", "F"), "bfloat16"),),
    dims=("T", "E", "H", "F"),
    fixed=("TOPK",),
)
SPCONV = replace(
    EMPTY,
    name="submanifold_conv3d",
    inputs=(
        Tensor("coords", ("NV", "4"), "int32"),
        Tensor("feats", ("NV", "CIN"), "float16"),
        Tensor("w", ("R * R * R", "CIN", "COUT"), "float16"),
    ),
    outputs=(Output("y", ("NV", "COUT"), "float16"),),
    dims=("NV",),
    fixed=("R", "CIN", "COUT"),
)
W4A16 = replace(
    EMPTY,
    name="w4a16_gemm",
    inputs=(
        Tensor("x", ("M", "K"), "float16"),
        Tensor("qweight", ("K // 8", "N"), "int32"),
        Tensor("scales", ("K // G", "N"), "float16"),
        Tensor("zeros", ("K // G", "N"), "uint8", optional=True),
    ),
    outputs=(Output("y", ("M", "N"), "float16"),),
    dims=("M", "N", "K"),
    fixed=("G",),
)


def compiled(text: str, task: Task, dims: dict[str, int], dtype: str = "bfloat16") -> Artifact | str:
    """The artifact, or the explained message."""
    kernel_file = parse_kernel_file(text)
    workload = Workload("w", dims, "normal", dtypes={"T": dtype})
    unit = translation_unit(kernel_file, task, workload, kernel_file.default_knobs())
    result = compile_cuda(unit, "sm_90a")
    return result if isinstance(result, Artifact) else explain_compile_error(result.message, task, kernel_file)


@pytest.mark.parametrize(
    ("name", "task", "dims"),
    [
        ("moe.cu", MOE, {"T": 4, "E": 4, "H": 32, "F": 64, "TOPK": 2}),
        ("spconv.cu", SPCONV, {"NV": 9, "R": 3, "CIN": 16, "COUT": 16}),
        ("w4a16.cu", W4A16, {"M": 1, "N": 128, "K": 128, "G": 64}),
    ],
)
def test_an_example_compiles_with_its_plan_holding(name: str, task: Task, dims: dict[str, int]) -> None:
    artifact = compiled((ROOT / "examples" / name).read_text(), task, dims)
    assert isinstance(artifact, Artifact), artifact


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_one_text_serves_every_dtype_of_the_task(dtype: str) -> None:
    artifact = compiled(TEXT, SCALE_ROWS, SCALE_DIMS, dtype)
    assert isinstance(artifact, Artifact), artifact
    assert set(artifact.entries) == {"pack", "sums<BM>", "scale"}


def test_macros_of_one_letter_reach_none_of_the_checks_behind_the_file() -> None:
    macros = "".join(f"#define {name} 3\n" for name in "TUIHFPE") + "#define count 7\n#define pointer float*\n"
    head, _, body = TEXT.partition("// ///\n")
    artifact = compiled(f"{head}// ///\n{macros}__device__ int three() {{ return T; }}\n{body}", SCALE_ROWS, SCALE_DIMS)
    assert isinstance(artifact, Artifact), artifact


@pytest.mark.parametrize(
    ("message", "old", "new"),
    [
        (
            "launch 1: argument 1 (`x`) of sums<BM> does not fit: `x` holds bfloat16. "
            "Declare the parameter `const x_t* x`.",
            "const x_t* __restrict__ x, float*",
            "const __half* __restrict__ x, float*",
        ),
        (
            "launch 1: argument 1 (`x`) of sums<BM> is read-only. Declare the parameter `const x_t* x`.",
            "const x_t* __restrict__ x, float*",
            "x_t* __restrict__ x, float*",
        ),
        (
            "launch 1: argument 4 (`N`) of sums<BM> is an integer. Declare the parameter `int N` or `long long`.",
            "int M, int N)",
            "int M, float N)",
        ),
        (
            "launch 2: argument 4 (`y`) of scale does not fit: `y` holds bfloat16. Declare the parameter `y_t* y`.",
            "y_t* y, int TILES",
            "float2x2* y, int TILES",
        ),
        (
            "launch 2: argument 2 (`packed`) of scale is read-only. Declare the parameter `const packed_t* packed`.",
            "const w_t* packed, const float*",
            "w_t* packed, const float*",
        ),
    ],
)
def test_a_parameter_that_does_not_fit_is_a_compile_error_in_the_plans_words(message: str, old: str, new: str) -> None:
    assert old in TEXT
    source = TEXT.replace(old, new).replace(
        "__global__ void pack", "struct float2x2 { float a; };\n__global__ void pack"
    )
    assert message in str(compiled(source, SCALE_ROWS, SCALE_DIMS))


@pytest.mark.parametrize("pointer", ["const uint4*", "const __nv_bfloat162*", "const unsigned short*", "const void*"])
def test_a_vector_type_of_the_element_fits(pointer: str) -> None:
    source = TEXT.replace("const x_t* __restrict__ x, float*", f"{pointer} xs, float*").replace(
        "    extern __shared__", "    const x_t* x = (const x_t*)xs;\n    extern __shared__"
    )
    source = source.replace('// shared = "TH', '// args = { xs = "x" }\n// shared = "TH')
    artifact = compiled(source, SCALE_ROWS, SCALE_DIMS)
    assert isinstance(artifact, Artifact), artifact


def test_a_dimension_that_is_no_parameter_is_explained() -> None:
    source = TEXT.replace("float* __restrict__ partial, int M, int N)", "float* __restrict__ partial, int M)")
    explained = str(compiled(source, SCALE_ROWS, SCALE_DIMS))
    assert 'identifier "N" is undefined' in explained
    assert "`N` is a dimension: make it a parameter of the kernel: `int N`." in explained


@pytest.mark.parametrize(
    "own",
    [
        "__device__ int ws(int a) { return a; }",
        "struct ws { int a; };",
        "template <class T> __device__ T ws(T a) { return a; }",
        "enum Words { ws, other };",
    ],
)
def test_a_file_may_have_a_ws_of_its_own_unless_it_uses_ours(own: str) -> None:
    ours = TEXT.replace("__global__ void pack", f"{own}\n__global__ void pack")
    source = ours.replace("ws::to_float(", "float(").replace("ws::from_float<y_t>(", "y_t(")
    artifact = compiled(source, SCALE_ROWS, SCALE_DIMS)
    assert isinstance(artifact, Artifact), artifact
    assert "give your own `ws` another name" in str(compiled(ours, SCALE_ROWS, SCALE_DIMS))


def test_a_local_variable_called_ws_hides_no_conversion() -> None:
    source = TEXT.replace("    float* row = tile", "    int ws = 0; M += ws;\n    float* row = tile")
    assert isinstance(compiled(source, SCALE_ROWS, SCALE_DIMS), Artifact)


def test_shared_memory_beyond_the_target_is_explained_though_only_the_assembler_knows() -> None:
    source = TEXT.replace("    extern __shared__ float tile[];", "    __shared__ float tile[100000];")
    explained = str(compiled(source, SCALE_ROWS, SCALE_DIMS))
    assert "uses too much shared data" in explained
    assert "use smaller tiles or fewer stages" in explained
