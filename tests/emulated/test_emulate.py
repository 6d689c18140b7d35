"""`warpsmith emulate` end to end: kernel files, plain CUDA and PTX, faults, traces, and what people get wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from warpsmith.cli.program import run

Captured = pytest.CaptureFixture[str]

TINY = Path(__file__).parent / "tiny" / "scaled_sum.py"
HEAD = """// /// kernel
// task = "scaled_sum"
//
// [[launch]]
// kernel = "scaled_sum"
// grid = "cdiv(N, 128)"
// block = 128
// ///
"""
BODY = """__global__ void scaled_sum(const x_t* x, const b_t* b, y_t* y, int N, int A)
{
    const int i = blockIdx.x * 128 + threadIdx.x;
    if (i < N) y[i] = A * x[i] + b[i];
}
"""
REVERSE = """#include <stdio.h>
template <int T> __global__ void reverse(const float* x, float* y, int n, float a) {
    __shared__ float tile[T];
    int i = blockIdx.x * T + threadIdx.x;
    if (i == 1) printf("x[%d] = %.1f\\n", i, x[i]);
    tile[threadIdx.x] = x[i];
    __syncthreads();
    if (i < n) y[i] = a * tile[T - 1 - threadIdx.x];
}
"""
ARGUMENTS = ["--arg", "f32[128]=arange", "--arg", "out:f32[128]", "--arg", "i32=128", "--arg", "f32=0.5"]
LAUNCH = ["--grid", "2", "--block", "64", "--kernel", "reverse<64>", *ARGUMENTS]
PTX = """.version 8.0
.target sm_80
.address_size 64
.visible .entry _Z4copyPKjPj(.param .u64 p0, .param .u64 p1)
{
    .reg .b32 %r<4>; .reg .b64 %rd<6>;
    ld.param.u64 %rd0, [p0]; ld.param.u64 %rd1, [p1];
    mov.u32 %r0, %tid.x;
    mul.wide.u32 %rd2, %r0, 4;
    add.s64 %rd3, %rd0, %rd2;
    ld.global.u32 %r1, [%rd3];
    add.s64 %rd4, %rd1, %rd2;
    st.global.u32 [%rd4], %r1;
    ret;
}
"""


def emulate(captured: Captured, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    code = run(["emulate", *(str(item) for item in arguments), "--json"])
    found = json.loads(captured.readouterr().out)
    return code, found


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "scaled_sum.cu"
    path.write_text(HEAD + BODY)
    return path


@pytest.fixture
def reverse(tmp_path: Path) -> Path:
    path = tmp_path / "reverse.cu"
    path.write_text(REVERSE)
    return path


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    path = tmp_path / "copy.ptx"
    path.write_text(PTX)
    return path


# -- kernel files -------------------------------------------------------------------------------------------------


def test_a_kernel_file_runs_and_is_held_against_its_reference(tiny: Path, capsys: Captured) -> None:
    code, found = emulate(capsys, tiny, "--task", TINY, "--workload", "N=1000,A=2")
    assert (0, "Completed", True) == (code, found["outcome"], found["passed"])
    assert {"N": 1000, "A": 2} == found["dims"]
    (launch,) = found["launches"]
    assert ([8, 1, 1], [128, 1, 1], 8) == (launch["grid"], launch["block"], launch["blocks_run"])
    # 7 full blocks of 4 warps load x and b; the last has 3 whole warps and one of 8 lanes.
    assert 2 * (7 * 4 + 4) == launch["counters"]["global_load"]["requests"]
    assert 4 * 1000 == launch["counters"]["global_store"]["bytes"]
    assert 1 >= found["check"]["error"]
    assert 0 == run(["emulate", str(tiny), "--task", str(TINY)])
    assert "compared with the task's reference in float64" in capsys.readouterr().out


def test_fast_runs_without_checks_and_counters_and_computes_the_same(tiny: Path, capsys: Captured) -> None:
    code, found = emulate(capsys, tiny, "--task", TINY, "--workload", "ragged", "--fast", "--seed", "5")
    assert (0, False, None) == (code, found["checks"], found["launches"][0]["counters"])
    assert found["check"] == emulate(capsys, tiny, "--task", TINY, "--workload", "ragged")[1]["check"]


def test_a_fault_shows_line_caret_thread_address_and_distance(tiny: Path, capsys: Captured) -> None:
    tiny.write_text(HEAD + BODY.replace("i < N", "i < N + 3"))
    code, found = emulate(capsys, tiny, "--task", TINY, "--workload", "N=1000,A=2")
    fault = found["fault"]
    assert (1, "OutOfBounds", 12) == (code, found["outcome"], found["line"])
    assert "    if (i < N + 3) y[i] = A * x[i] + b[i];" == fault["source"]["text"]
    assert fault["source"]["column"] > 0
    assert ([7, 0, 0], [104, 0, 0], 3, 8) == (fault["block"], fault["thread"], fault["warp"], fault["lane"])
    assert (4000, 4, 4000) == (fault["offset"], fault["distance"], fault["allocation_bytes"])
    assert [] == found["outputs"]
    run(["emulate", str(tiny), "--task", str(TINY), "--workload", "N=1000,A=2"])
    shown = capsys.readouterr().out
    assert "4 bytes past the end of `x` (4000 bytes)" in shown
    assert "  12 |     if (i < N + 3)" in shown
    assert "     |     ^" in shown


def test_a_wrong_value_and_an_unwritten_one_end_with_1(tiny: Path, capsys: Captured) -> None:
    tiny.write_text(HEAD + BODY.replace("A * x", "x[0] * x"))
    assert (1, "Wrong") == (_outcome(capsys, tiny, "--workload", "ragged"))
    tiny.write_text(HEAD + BODY.replace("i < N", "i < N - 1"))
    assert (1, "Unwritten") == (_outcome(capsys, tiny, "--workload", "ragged"))
    tiny.write_text(HEAD + BODY.replace("N) y", "N y"))
    assert (1, "CompileFailed") == (_outcome(capsys, tiny))


def _outcome(captured: Captured, tiny: Path, *arguments: str) -> tuple[int, str]:
    code, found = emulate(captured, tiny, "--task", TINY, *arguments)
    return code, found["outcome"]


def test_a_kernel_file_may_print_while_somebody_looks_and_not_in_the_gate(tiny: Path, capsys: Captured) -> None:
    tiny.write_text(HEAD + BODY.replace("    if (i", '    if (i == 0) printf("A is %d\\n", A);\n    if (i'))
    code, found = emulate(capsys, tiny, "--task", TINY, "--workload", "N=1,A=7")
    assert (0, ["A is 7\n"]) == (code, found["launches"][0]["printed"])
    assert 2 == run(["verify", str(tiny), "--task", str(TINY)])


# -- plain files --------------------------------------------------------------------------------------------------


def test_plain_cuda_runs_with_arguments_in_words(reverse: Path, tmp_path: Path, capsys: Captured) -> None:
    code, found = emulate(capsys, reverse, *LAUNCH, "--dump", f"y={tmp_path / 'y.npy'}")
    assert (0, ["x[1] = 1.0\n"]) == (code, found["launches"][0]["printed"])
    expected = np.arange(128, dtype=np.float32).reshape(2, 64)[:, ::-1].reshape(-1) / 2
    assert expected.tolist() == np.load(tmp_path / "y.npy").tolist()
    assert 0 == emulate(capsys, reverse, *LAUNCH, "--expect", f"y={tmp_path / 'y.npy'}")[0]
    np.save(tmp_path / "y.npy", expected + (np.arange(128) == 77))
    code, found = emulate(capsys, reverse, *LAUNCH, "--expect", f"y={tmp_path / 'y.npy'}")
    assert (1, "Wrong", [77]) == (code, found["outcome"], found["expectations"][0]["worst"])


def test_a_race_shows_both_lines(reverse: Path, capsys: Captured) -> None:
    reverse.write_text(REVERSE.replace("    __syncthreads();\n", "\n"))
    code, found = emulate(capsys, reverse, *LAUNCH, "--seed", "1")
    fault = found["fault"]
    assert (1, "race", "shared") == (code, fault["kind"], fault["space"])
    assert {6, 8} == {fault["source"]["line"], fault["other"]["line"]}
    assert "tile[threadIdx.x] = x[i];" in (fault["source"]["text"] + fault["other"]["text"])


def test_plain_ptx_runs_by_its_c_plus_plus_name(copy: Path, capsys: Captured) -> None:
    arguments = ["--kernel", "copy", "--grid", "1", "--block", "32", "--arg", "x:u32[32]=arange"]
    code, found = emulate(capsys, copy, *arguments, "--arg", "y:out:u32[32]")
    assert (0, [0, 1, 2, 3, 4, 5, 6, 7]) == (code, found["outputs"][0]["first"])
    code, found = emulate(capsys, copy, *arguments, "--arg", "y:out:u32[31]")
    fault = found["fault"]
    assert (1, "y", 4, 13) == (code, fault["allocation"], fault["distance"], fault["ptx"]["line"])
    code, found = emulate(capsys, copy, *arguments, "--arg", "y:out:u32[33]")
    assert ["4 of 132 bytes of y were never written, first byte 128"] == found["notes"]


def test_a_plain_file_may_write_its_own_variables(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "count.cu"
    path.write_text("__device__ int seen = 40;\n__global__ void count(int* y) { seen += 2; y[0] = seen; }\n")
    code, found = emulate(capsys, path, "--grid", "1", "--block", "1", "--arg", "out:i32[1]")
    assert (0, [42]) == (code, found["outputs"][0]["first"])


def test_a_plain_file_may_include_the_runtime_but_has_no_host_code(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "twice.cu"
    kernel = "#include <cuda_runtime.h>\n__global__ void twice(int* y) { y[threadIdx.x] *= 2; }\n"
    launch = ["--grid", "1", "--block", "4", "--arg", "inout:i32[4]=arange"]
    path.write_text(kernel)
    code, found = emulate(capsys, path, *launch)
    assert (0, [0, 2, 4, 6]) == (code, found["outputs"][0]["first"])
    path.write_text(kernel + "int main() { int* y; cudaMalloc(&y, 16); twice<<<1, 4>>>(y); }\n")
    code, found = emulate(capsys, path, *launch)
    assert (1, "CompileFailed", 3) == (code, found["outcome"], found["line"])
    assert "nvcc -ptx -lineinfo" in found["message"]


def test_an_instruction_of_a_newer_target_names_the_older_one(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "cluster.cu"
    path.write_text('__global__ void k(int* y) { asm("fence.proxy.tensormap::generic.release.gpu;"); y[0] = 1; }\n')
    code, found = emulate(capsys, path, "--grid", "1", "--block", "1", "--arg", "out:i32[1]")
    assert (1, "Unsupported") == (code, found["outcome"])
    assert found["message"].endswith("--arch a100")


def test_an_instruction_that_is_not_there_is_unsupported(copy: Path, capsys: Captured) -> None:
    copy.write_text(PTX.replace("mov.u32 %r0, %tid.x;", "mov.u32 %r0, %tid.x; tcgen05.wait::ld.sync.aligned;"))
    arguments = ["--grid", "1", "--block", "32", "--arg", "u32[32]=arange", "--arg", "out:u32[32]"]
    code, found = emulate(capsys, copy, *arguments)
    assert (1, "Unsupported") == (code, found["outcome"])
    assert "tcgen05" in found["message"]


# -- traces -------------------------------------------------------------------------------------------------------


def test_a_thread_is_followed_with_operands_and_results(reverse: Path, capsys: Captured) -> None:
    _, found = emulate(capsys, reverse, *LAUNCH, "--trace", "block=1 thread=3")
    steps = found["trace"]
    assert {(1, 0, 0)} == {tuple(step["block"]) for step in steps}
    assert {(3,)} == {tuple(step["lanes"]) for step in steps}
    (loaded,) = (step for step in steps if step["instruction"].startswith("ld.shared"))
    # Thread 3 of block 1 reads tile[60], which is x[124].
    assert ("shared+240", "124") == (loaded["reads"][0]["values"][0], loaded["writes"][0]["values"][0])
    assert steps[-1]["instruction"] == "ret"


def test_a_warp_shows_its_mask_and_a_line_everybody_who_executes_it(reverse: Path, capsys: Captured) -> None:
    _, found = emulate(capsys, reverse, *LAUNCH, "--trace", "block=0 warp=1")
    assert {1} == {step["warp"] for step in found["trace"]}
    assert 32 == len(
        found["trace"][0]["reads"][0]["values"] if found["trace"][0]["reads"] else found["trace"][0]["lanes"]
    )
    _, found = emulate(capsys, reverse, *LAUNCH, "--trace", "line=5")
    (call,) = (step for step in found["trace"] if step["instruction"].startswith("call"))
    assert ([0, 0, 0], 0, 1 << 1) == (call["block"], call["warp"], call["mask"])


def test_a_trace_is_bounded_and_says_so(reverse: Path, capsys: Captured) -> None:
    _, found = emulate(capsys, reverse, *LAUNCH, "--trace", "line=8", "--trace-limit", "3")
    assert 3 == len(found["trace"])
    assert "stops after 3 steps" in found["notes"][0]
    run(["emulate", str(reverse), *LAUNCH, "--trace", "line=8", "--trace-limit", "3"])
    assert "mask ffffffff" in capsys.readouterr().out


def test_a_fault_is_traced_to_its_instruction(copy: Path, capsys: Captured) -> None:
    launch = ["--grid", "1", "--block", "32", "--arg", "x:u32[32]=arange", "--arg", "y:out:u32[31]"]
    _, found = emulate(capsys, copy, *launch, "--trace", "fault", "--trace-limit", "3")
    assert 3 == len(found["trace"])
    last = found["trace"][-1]
    assert (False, [31], "y+124") == (last["completed"], last["lanes"], last["reads"][0]["values"][0])


# -- what people get wrong ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "2"], "--block is missing"),
        (["--grid", "0", *LAUNCH[2:]], "is no size"),
        (["--grid", "2", "--block", "64"], "template over T"),
        (["--grid", "2", "--block", "64", "--kernel", "revers<64>"], "no kernel `revers<64>`"),
        (["--grid", "2", "--block", "64", "--kernel", "reverse<64>"], "takes 4 arguments (x, y, n, a); 0 are given"),
        ([*LAUNCH[:-4], "--arg", "i64=128", "--arg", "f32=1"], "has 8 bytes; the parameter n has 4"),
        ([*LAUNCH, "--trace", "warp=2"], "no warp 2"),
        ([*LAUNCH, "--trace", "block=2 thread=0"], "no block (2, 0, 0)"),
        ([*LAUNCH, "--trace", "thread"], "cannot be read"),
        ([*LAUNCH, "--dump", "z"], "no tensor `z`"),
        ([*LAUNCH, "--expect", "y=absent.npy"], "cannot be read"),
        ([*LAUNCH, "--expect", "z"], "is no NAME=FILE"),
        ([*LAUNCH, "--workload", "x"], "--workload does not fit"),
        (["--block", "64"], "--block does not fit"),
        ([], "has no head block, so it is a plain file"),
    ],
)
def test_what_does_not_fit_a_plain_file_ends_with_2_and_a_remedy(
    arguments: list[str], message: str, reverse: Path, capsys: Captured
) -> None:
    code, found = emulate(capsys, reverse, *arguments)
    assert 2 == code
    assert message in found["error"]["message"]
    assert found["error"]["remedy"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workload", "rugged"], "has no workload"),
        (["--workload", "N=4"], "`A` has no value"),
        (["--knob", "B=3"], "no knob `B`"),
        (["--dump", "x"], "no tensor `x`"),
        (["--trace", "thread=128"], "no thread"),
        (["--arch", "h300"], "h300"),
    ],
)
def test_what_does_not_fit_a_kernel_file_ends_with_2(
    arguments: list[str], message: str, tiny: Path, capsys: Captured
) -> None:
    code, found = emulate(capsys, tiny, "--task", TINY, *arguments)
    assert 2 == code
    assert message in found["error"]["message"]


def test_a_mistake_in_ptx_is_named_by_file_line_and_column(copy: Path, capsys: Captured) -> None:
    copy.write_text(PTX.replace("ld.global.u32 %r1, [%rd3];", "ld.global.u32 %r1, [%rd3;"))
    code, found = emulate(capsys, copy, "--grid", "1", "--block", "32")
    assert (2, str(copy), 11) == (code, found["error"]["file"], found["error"]["line"])
    assert found["error"]["column"]
    copy.write_text(PTX)
    code, found = emulate(capsys, copy, "--grid", "1", "--block", "32", "--kernel", "cpoy")
    assert (2, str(copy)) == (code, found["error"]["file"])


def test_a_launch_the_device_would_refuse_is_over_budget(reverse: Path, capsys: Captured) -> None:
    code, found = emulate(capsys, reverse, *LAUNCH, "--shared", "300000")
    assert (1, "OverBudget") == (code, found["outcome"])
    reverse.write_text(REVERSE.replace("if (i < n) y[i]", "while (n) ((volatile float*)y)[i]"))
    code, found = emulate(capsys, reverse, *LAUNCH, "--budget", "1000")
    assert (1, "OverBudget") == (code, found["outcome"])


def test_a_grid_of_more_blocks_than_are_run_is_over_budget_at_once(tiny: Path, reverse: Path, capsys: Captured) -> None:
    """Their order alone would take more memory than many machines have."""
    code, found = emulate(capsys, reverse, "--grid", "2147483647", *LAUNCH[2:])
    assert (1, "OverBudget") == (code, found["outcome"])
    assert "2,147,483,647 blocks, more than the 67,108,864" in found["message"]
    tiny.write_text(tiny.read_text().replace('"cdiv(N, 128)"', '"2147483647"'))
    code, found = emulate(capsys, tiny, "--task", TINY)
    assert (1, "OverBudget", []) == (code, found["outcome"], found["outputs"])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--budget", value) for value in ("0", "-1", "nan", "9223372036854775807", "many")),
        *(("--tolerance", value) for value in ("-1", "nan", "inf", "1e400", "some")),
        *(("--trace-limit", value) for value in ("0", "1e9", "9223372036854775807")),
        *(("--shared", value) for value in ("-1", "1.5")),
        *(("--seed", value) for value in ("-1", "nan")),
    ],
)
def test_a_number_that_is_none_is_refused_by_the_name_of_its_option(
    option: str, value: str, reverse: Path, capsys: Captured
) -> None:
    code, found = emulate(capsys, reverse, *LAUNCH, option, value)
    assert (2, "UsageError") == (code, found["error"]["kind"])
    assert option in found["error"]["message"]
    assert found["error"]["remedy"]


@pytest.mark.parametrize("name", ["absent.ptx", "absent.cu"])
def test_a_missing_file_is_told_before_what_its_options_lack(name: str, tmp_path: Path, capsys: Captured) -> None:
    for options in (["--grid", "1"], ["--block", "1"], []):
        code, found = emulate(capsys, tmp_path / name, *options)
        assert 2 == code
        assert name in found["error"]["message"], options


PLAIN = """#include <assert.h>
__device__ float ws(float a) { return 2 * a; }
__global__ void twice(const float* x, float* y) {
    assert(x[threadIdx.x] < LIMIT);
    y[threadIdx.x] = ws(x[threadIdx.x]);
}
"""


def test_a_task_that_judges_by_a_check_of_its_own_gets_the_inputs_it_asks_for(capsys: Captured) -> None:
    seed = Path(__file__).parents[2] / "seeds" / "nsa_block_topk" / "naive.cu"
    code, found = emulate(capsys, seed, "--fast")
    assert (0, "Completed") == (code, found["outcome"])


def test_a_launch_that_the_device_refuses_shows_no_outputs(reverse: Path, capsys: Captured) -> None:
    code, found = emulate(capsys, reverse, *LAUNCH, "--shared", "999999")
    assert (1, "OverBudget", []) == (code, found["outcome"], found["outputs"])


@pytest.mark.parametrize(
    ("code", "which"),
    [
        ("assert(i < 100);", "the assertion `i < 100`"),
        ("assert(i >= 0); assert(i < 100);", "one of the assertions `i >= 0`, `i < 100`"),
        ("assert((i < 100)\n        && N);", "the assertion `(i < 100) && N`"),
    ],
)
def test_a_kernel_files_failed_assertion_is_quoted(tmp_path: Path, capsys: Captured, code: str, which: str) -> None:
    path = tmp_path / "scaled_sum.cu"
    path.write_text(HEAD + BODY.replace("    if (i < N)", f"    {code}\n    if (i < N)"))
    status, found = emulate(capsys, path, "--task", str(TINY), "--workload", "N=200,A=2")
    assert (1, "Crashed") == (status, found["outcome"])
    assert f"failed {which}" in found["message"]
    assert found["line"] in (12, 13)


def test_a_plain_file_may_use_our_names_and_its_failed_assertion_is_quoted(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "twice.cu"
    launch = ["--grid", "1", "--block", "32", "--arg", "f32[32]=arange", "--arg", "out:f32[32]"]
    path.write_text(PLAIN.replace("LIMIT", "32"))
    code, found = emulate(capsys, path, *launch)
    assert (0, "Completed") == (code, found["outcome"])
    path.write_text(PLAIN.replace("LIMIT", "20"))
    code, found = emulate(capsys, path, *launch)
    assert (1, "Crashed", 4, [20, 0, 0]) == (code, found["outcome"], found["line"], found["fault"]["thread"])
    assert "failed the assertion `x[threadIdx.x] < 20` (twice.cu:4)" in found["message"]
