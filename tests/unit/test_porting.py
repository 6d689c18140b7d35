"""Kernels from elsewhere become kernel files; what their host code leaves open is asked, never guessed."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from warpsmith.cli.program import run
from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.kernel_file import check, parse_kernel_file
from warpsmith.core.task import Cost, Output, Task, Tensor
from warpsmith.porting import Draft, make_draft


def task(name: str, inputs: tuple[Tensor, ...], outputs: tuple[Output, ...], dims: tuple[str, ...]) -> Task:
    return Task(
        name=name,
        family="tiny",
        summary="s",
        inputs=inputs,
        outputs=outputs,
        dims=dims,
        reference=lambda **_: None,
        make_inputs={},
        verify=(),
        bench=(),
        cost=lambda _: Cost(1, 1),
    )


SUMS = task("row_sums", (Tensor("x", ("M", "N"), "float16"),), (Output("y", ("M",), "float32"),), ("M", "N"))
PRODUCT = task(
    "product",
    (Tensor("a", ("M", "K"), "float16"), Tensor("b", ("K", "N"), "float16")),
    (Output("c", ("M", "N"), "float16"),),
    ("M", "N", "K"),
)

KERNELS = """
#include <torch/extension.h>
#include <cuda_fp16.h>
#define CDIV(a, b) (((a) + (b) - 1) / (b))
constexpr int THREADS = 256;
namespace detail {
template <typename T, int BLOCK>
__global__ void sums(const T* __restrict__ input, float* partial, int rows, int cols) { }
}
__global__ void finish(const float* partial, float* out, int rows, int n) { }
"""
EXTENSION = (
    KERNELS
    + """
static int up(int a, int b) { return (a + b - 1) / b; }
void launch_finish(const float* p, torch::Tensor out, int rows, int n, cudaStream_t stream) {
  finish<<<up(rows, 128), 128, 0, stream>>>(p, out.data_ptr<float>(), rows, n);
}
torch::Tensor row_sums(torch::Tensor x) {
  TORCH_CHECK(x.is_cuda(), "x must be on the GPU");
  TORCH_CHECK(x.size(1) % 8 == 0, "cols");
  x = x.contiguous();
  const int rows = x.size(0), cols = x.size(1);
  auto out = torch::empty({rows}, x.options().dtype(torch::kFloat));
  if (rows == 0) return out;
  const int blocks = CDIV(cols, THREADS);
  auto partial = torch::zeros({rows, blocks}, x.options().dtype(torch::kFloat32));
  dim3 grid(blocks, rows);
  AT_DISPATCH_FLOATING_TYPES_AND_HALF(x.scalar_type(), "sums", ([&] {
    detail::sums<scalar_t, THREADS><<<grid, THREADS, THREADS * sizeof(float), at::cuda::getCurrentCUDAStream()>>>(
        x.data_ptr<scalar_t>(), partial.data_ptr<float>(), rows, cols);
  }));
  launch_finish(partial.data_ptr<float>(), out, rows, blocks, 0);
  return out;
}
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) { m.def("row_sums", &row_sums); }
"""
)


def head(draft: Draft) -> dict[str, Any]:
    mark = "//" if draft.language == "cuda" else "#"
    block = draft.text.split(f"{mark} /// kernel\n")[1].split(f"{mark} ///\n")[0]
    return tomllib.loads("\n".join(line.removeprefix(mark) for line in block.splitlines()))


def cuda(host: str, *, of: Task = SUMS, kernels: str = "", **bindings: str) -> Draft:
    kernels = kernels or "__global__ void k(const float* x, float* y, int n) {}\n"
    return make_draft(kernels + host, "some.cu", of, bindings)


def asked(draft: Draft) -> str:
    return "\n".join(map(str, draft.questions))


def test_a_torch_extension_with_dispatch_helpers_and_scratch_becomes_a_complete_kernel_file() -> None:
    draft = make_draft(EXTENSION, "row_sums.cu", SUMS, {})
    assert "" == asked(draft)
    said = head(draft)
    assert "N % 8 == 0" == said["requires"]
    assert [{"name": "partial", "shape": ["M", "cdiv(N, 256)"], "dtype": "float32", "init": 0}] == said["buffer"]
    first, second = said["launch"]
    assert "detail::sums<x_t, 256>" == first["kernel"]
    assert ["cdiv(N, 256)", "M"] == first["grid"]
    assert "256 * 4" == first["shared"]
    assert {"input": "x", "rows": "M", "cols": "N"} == first["args"]
    assert {"out": "y", "rows": "M", "n": "cdiv(N, 256)"} == second["args"]
    assert "torch" not in draft.text
    assert "#include <cuda_fp16.h>" in draft.text
    check(parse_kernel_file(draft.text), SUMS)


def test_cuda_in_a_string_of_python_is_found_and_asked_about_at_the_lines_of_the_python_file() -> None:
    source = f'import torch\nfrom torch.utils.cpp_extension import load_inline\n\nsource = """{EXTENSION}"""\n'
    assert "" == asked(make_draft(source, "ext.py", SUMS, {}))
    wrong = source.replace("up(rows, 128), 128", "up(rows, 128), width")
    line = next(number for number, text in enumerate(wrong.splitlines(), 1) if "width" in text)
    assert f"line {line}: " in asked(make_draft(wrong, "ext.py", SUMS, {}))


def test_branches_of_the_host_become_conditions_of_launches() -> None:
    branch = "if (M <= 16 && M != 3) k<<<1, 32>>>(x, y, M); else k<<<M, 64>>>(x, y, M);"
    host = f"void f(const float* x, float* y, int M) {{ {branch} }}"
    small, large = head(cuda(host))["launch"]
    assert "M <= 16 and M != 3" == small["when"]
    assert "not (M <= 16 and M != 3)" == large["when"]


@pytest.mark.parametrize(
    ("host", "question"),
    [
        ("void f(float* x, float* y, int n) { k<<<n, 32>>>(x, y, n); }", "--bind n="),
        ("void f(float* q, float* y) { k<<<1, 32>>>(q, y, 1); }", "--bind q="),
        ("void f(float* x, float* y) { for (int s = 0; s < 4; ++s) k<<<1, 32>>>(x, y, s); }", "in a loop"),
        ("void f(float* x, float* y, int M) { int b = 1; b += M; k<<<b, 32>>>(x, y, M); }", "`b` has several values"),
        (
            "void f(float* x, float* y, int M) { int b = 1; if (M > x[0]) b = 2; k<<<b, 32>>>(x, y, M); }",
            "`b` has several",
        ),
        ("void f(float* x, float* y, int M) { k<<<sqrt(M), 32>>>(x, y, M); }", "no integer expression"),
        ("void f(float* x, float* y, int M) { k<<<1, 32>>>(x + M, y, M); }", "is no tensor"),
        ("void f(float* x, float* y) { k<<<1, 32>>>(x, y); }", "is given 2 arguments"),
        ("void f(T x, T y) { auto z = x.transpose(0, 1); k<<<1, 32>>>(z.data_ptr<float>(), y, 1); }", "another tensor"),
    ],
)
def test_what_the_host_does_not_say_is_asked_and_no_unfinished_file_is_taken(host: str, question: str) -> None:
    draft = cuda(host)
    assert question in asked(draft)
    if "?" in draft.text.split("// ///\n")[0]:
        with pytest.raises(KernelFileError):
            parse_kernel_file(draft.text)


def test_a_binding_answers_the_question() -> None:
    host = "void f(float* in, float* out, int n) { k<<<(n + 255) / 256, 256>>>(in, out, n); }"
    assert "--bind n=" in asked(cuda(host))
    draft = cuda(host, **{"in": "x", "out": "y", "n": "M * N"})
    assert "" == asked(draft)
    assert "cdiv(M * N, 256)" == head(draft)["launch"][0]["grid"]


def test_a_view_has_the_memory_of_its_tensor_but_not_its_sizes() -> None:
    host = "void f(T x, T y) { auto z = x.view({-1}); k<<<z.size(0), 32>>>(z.data_ptr<float>(), y, 1); }"
    assert "are not those of the task's `x`" in asked(cuda(host))


def test_an_input_taken_without_const_is_told() -> None:
    draft = cuda(
        "void f(float* x, float* y, int M) { k<<<M, 32>>>(x, y, M); }",
        kernels="__global__ void k(float* x, float* y, int n) {}\n",
    )
    assert "pointer to const" in asked(draft)


def test_memory_set_to_zero_becomes_a_fill() -> None:
    host = "void f(float* x, float* y, int M) { cudaMemset(y, 0, M * sizeof(float)); k<<<M, 32>>>(x, y, M); }"
    assert {"fill": "y", "value": 0} == head(cuda(host))["launch"][0]


def test_several_hosts_that_launch_need_an_entry() -> None:
    host = "void f(float* x, float* y, int M) { k<<<M, 32>>>(x, y, M); }\n"
    both = host + host.replace("void f", "void g").replace("<<<M, 32", "<<<M, 64")
    with pytest.raises(KernelFileError, match="--entry"):
        cuda(both)
    chosen = make_draft("__global__ void k(const float* x, float* y, int n) {}\n" + both, "a.cu", SUMS, {}, "g")
    assert "64" == head(chosen)["launch"][0]["block"]


TRITON = """
import torch
import triton
import triton.language as tl

EPSILON = 1e-5

@triton.autotune(
    configs=[
        triton.Config({"BLOCK_M": 128, "BLOCK_N": 64}, num_stages=3, num_warps=8),
        triton.Config({"BLOCK_M": 64, "BLOCK_N": 64}, num_stages=4, num_warps=4),
    ],
    key=["M", "N", "K"],
)
@triton.heuristics({"EVEN": lambda args: args["K"] % 32 == 0})
@triton.jit
def product(a_ptr, b_ptr, c_ptr, M, N, K, stride_am, stride_ak,
            BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, EVEN: tl.constexpr, ACT: tl.constexpr):
    x = leaky(tl.load(a_ptr) + EPSILON)

@triton.jit
def leaky(x):
    return tl.where(x >= 0, x, 0.01 * x)

def matmul(a, b):
    assert a.shape[1] == b.shape[0], "sizes"
    assert a.shape[0] % 2 == 0 and a.is_contiguous()
    M, K = a.shape
    K, N = b.shape
    c = torch.empty((M, N), device=a.device, dtype=torch.float16)
    grid = lambda META: (triton.cdiv(M, META["BLOCK_M"]) * triton.cdiv(N, META["BLOCK_N"]),)
    product[grid](a, b, c, M, N, K, a.stride(0), a.stride(1), ACT=0)
    return c
"""


def test_triton_configurations_become_knobs_restricted_to_what_was_listed() -> None:
    draft = make_draft(TRITON, "matmul.py", PRODUCT, {})
    assert "" == asked(draft)
    said = head(draft)
    assert [128, 64] == said["tune"]["BLOCK_M"]
    file = parse_kernel_file(draft.text)
    assert [
        {"BLOCK_M": 128, "BLOCK_N": 64, "num_stages": 3, "num_warps": 8},
        {"BLOCK_M": 64, "BLOCK_N": 64, "num_stages": 4, "num_warps": 4},
    ] == [dict(it) for it in file.assignments()]
    (launch,) = said["launch"]
    assert "cdiv(M, BLOCK_M) * cdiv(N, BLOCK_N)" == launch["grid"]
    assert {"a_ptr": "a", "b_ptr": "b", "c_ptr": "c", "stride_am": "K", "stride_ak": "1"} == launch["args"]
    assert {"EVEN": "K % 32 == 0", "ACT": "0"} == launch["constexpr"]
    assert "M % 2 == 0" == said["requires"]
    assert "EPSILON = tl.constexpr(1e-05)" in draft.text
    assert "import torch" not in draft.text


@pytest.mark.parametrize(
    ("before", "after", "question"),
    [
        ('"BLOCK_M": 128', '"BLOCK_M": size', "no configuration of literals"),
        ("ACT=0", "ACT=act", "`act` is no dimension"),
        ("product[grid](a, ", "product[grid](a.t(), ", "`.t()`"),
        ("    product[", "    for _ in range(2): product[", "in a loop"),
        ("a.stride(0)", "a.stride(2)", "has no dimension `2`"),
    ],
)
def test_what_a_triton_host_does_not_say_is_asked(before: str, after: str, question: str) -> None:
    assert before in TRITON
    assert question in asked(make_draft(TRITON.replace(before, after), "matmul.py", PRODUCT, {}))


def test_nothing_of_the_file_is_run(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    make_draft("print('run')\n" + TRITON, "matmul.py", PRODUCT, {})
    assert "" == capsys.readouterr().out


@pytest.mark.parametrize(("name", "text"), [("a.cu", "int x;"), ("a.py", "x = 1"), ("a.py", "def ("), ("a.cu", "/*")])
def test_a_file_without_a_kernel_is_refused(name: str, text: str) -> None:
    with pytest.raises(KernelFileError):
        make_draft(text, name, SUMS, {})


NORM = """
#include <torch/extension.h>
#include <cuda_fp16.h>
__global__ void rms(const half* __restrict__ in, const half* __restrict__ w, half* __restrict__ out, int n) {
  __shared__ float part[128];
  const half* row = in + (long long)blockIdx.x * n;
  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += 128) { float v = __half2float(row[i]); sum += v * v; }
  part[threadIdx.x] = sum; __syncthreads();
  for (int o = 64; o > 0; o /= 2) { if (threadIdx.x < o) part[threadIdx.x] += part[threadIdx.x + o]; __syncthreads(); }
  float scale = rsqrtf(part[0] / n + 1e-6f);
  for (int i = threadIdx.x; i < n; i += 128)
    out[(long long)blockIdx.x * n + i] = __float2half(__half2float(row[i]) * scale * __half2float(w[i]));
}
torch::Tensor forward(torch::Tensor inp, torch::Tensor gain) {
  auto out = torch::empty_like(inp);
  rms<<<inp.size(0), 128>>>((const half*)inp.data_ptr<at::Half>(), (const half*)gain.data_ptr<at::Half>(),
                            (half*)out.data_ptr<at::Half>(), inp.size(1));
  return out;
}
"""


def test_the_command_lists_what_is_open_and_with_bindings_writes_a_file_that_the_emulator_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.cu").write_text(NORM)
    assert 0 == run(["tasks", "new", "norm"])
    assert 1 == run(["import", "old.cu", "--task", "norm.py", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert not found["complete"]
    assert any("--bind inp=" in it["remedy"] for it in found["questions"])

    bound = ["--bind", "inp=x", "--bind", "gain=weight", "--out", "imported.cu"]
    assert 0 == run(["import", "old.cu", "--task", "norm.py", *bound])
    assert 0 == run(["emulate", "imported.cu", "--task", "norm.py", "--workload", "ragged columns"])
    assert 2 == run(["import", "old.cu", "--task", "norm.py", *bound]), "a file that is there is not replaced"
    assert "--force" in capsys.readouterr().err


ALLOCATING = """
#define CHECK(call) do { if ((call) != cudaSuccess) return; } while (0)
__global__ void first(const __half* x, float* part, int rows, int cols) { }
__global__ void second(const float* part, float* y, int rows) { }
void sums(const __half* x, float* y, int M, int N) {
    float* part;
    STATEMENT
    first<<<M, 128>>>(x, part, M, N);
    second<<<(M + 127) / 128, 128>>>(part, y, M);
    cudaFree(part);
}
"""


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("cudaMalloc(&part, M * sizeof(float));", "M"),
        ("CHECK(cudaMalloc(&part, M * N * sizeof(float)));", "M * N"),
        ("cudaError_t status = cudaMalloc((void**)&part, sizeof(float) * (M + 1));", "M + 1"),
        ("CHECK_CUDA(cudaMalloc((void **) &part, (M + N) * sizeof(float)));", "M + N"),
    ],
)
def test_memory_that_is_allocated_by_count_is_a_buffer(statement: str, shape: str) -> None:
    draft = make_draft(ALLOCATING.replace("STATEMENT", statement), "sums.cu", SUMS, {})
    (buffer,) = head(draft)["buffer"]
    assert ("part", "float32") == (buffer["name"], buffer["dtype"])
    values = {"M": 7, "N": 5}
    assert Expression.parse(shape).evaluate(values) == Expression.parse(str(buffer["shape"])).evaluate(values)
    assert "part" not in asked(draft)
    check(parse_kernel_file(draft.text), SUMS)


@pytest.mark.parametrize(
    "statement",
    [
        "cudaMalloc(&part, 4096);",
        "CHECK(cudaMalloc(&part, M + N * sizeof(float)));",
        "cudaMalloc(&part, sizeof(float) * M / 2);",
        "cudaMalloc(&part, M * sizeof(Pair));",
        "cudaMalloc(&part, unknown * sizeof(float));",
    ],
)
def test_memory_whose_elements_cannot_be_told_is_asked_for(statement: str) -> None:
    draft = make_draft(ALLOCATING.replace("STATEMENT", statement), "sums.cu", SUMS, {})
    assert "`part` is allocated, and is no tensor of the task" in asked(draft)
