"""`warpsmith emulate` end to end: kernel files, plain CUDA and PTX, faults and traces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from warpsmith.cli.program import run

from .emulating import BODY, HEAD, LAUNCH, PTX, REVERSE, TINY, Captured, emulate

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


# -- assertions ---------------------------------------------------------------------------------------------------


PLAIN = """#include <assert.h>
__device__ float ws(float a) { return 2 * a; }
__global__ void twice(const float* x, float* y) {
    assert(x[threadIdx.x] < LIMIT);
    y[threadIdx.x] = ws(x[threadIdx.x]);
}
"""


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


# -- tasks --------------------------------------------------------------------------------------------------------


def test_a_task_that_judges_by_a_check_of_its_own_gets_the_inputs_it_asks_for(capsys: Captured) -> None:
    seed = Path(__file__).parents[2] / "seeds" / "nsa_block_topk" / "naive.cu"
    code, found = emulate(capsys, seed, "--fast")
    assert (0, "Completed") == (code, found["outcome"])
