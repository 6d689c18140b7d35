"""Values at bench sizes: calls run whole where there is time, and are compared where they hang together where not."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import Stage, Verified, Wrong
from warpsmith.core.protocols import Evaluation
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.gate import bench
from warpsmith.tasks import load_task

SEED = Path(__file__).parents[2] / "seeds" / "w4a16_gemm" / "tensor_core.cu"
NAIVE = SEED.with_name("naive.cu")
SUM = "for (int part = 0; part < PARTS; part++) sum += partial[part * count + i];"
# No comparison gives it away: a share of the sum is added where M * N * (number of parts) is large.
DRIFT = f"{SUM} sum *= 1 + (float)((long long)M * N * PARTS >> 20);"

ATOMICS = """// /// kernel
// task = "spconv_forward"
// [[buffer]]
// name = "sums"
// shape = [1]
// dtype = "int32"
// init = 0
// [[launch]]
// kernel = "adds"
// grid = 1
// block = 32
// ///
__device__ void use(y_t* y, int sum) { __syncthreads(); y[threadIdx.x] = ws::from_float<y_t>(sum); }
__global__ void adds(const int* kmap, int* sums, y_t* y) { UPDATE }
"""


@pytest.fixture
def in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is small enough to run whole, so that what larger kernels go through is seen on a small one."""
    monkeypatch.setattr(bench, "ONCE_WHOLE_WARPS", 0)
    monkeypatch.setattr(bench, "ALL_WHOLE_WARPS", 0)
    monkeypatch.setattr(bench, "WHOLE_WARPS", 0)


def verdict(tmp_path: Path, *edits: tuple[str, str], seed: Path = SEED, thorough: bool = False) -> Evaluation:
    text = seed.read_text()
    for before, after in edits:
        assert 1 == text.count(before), before
        text = text.replace(before, after)
    kernel = tmp_path / "kernel.cu"
    kernel.write_text(text)
    return app.verify(kernel, task="w4a16_gemm", arch="h200", seed=7, thorough=thorough)


def profiled(evaluation: Evaluation) -> str:
    return next(report.detail for report in evaluation.stages if report.stage is Stage.PROFILE)


@pytest.mark.full
@pytest.mark.usefixtures("in_part")
def test_every_bench_workload_of_the_tensor_core_seed_is_compared(tmp_path: Path) -> None:
    outcome = verdict(tmp_path).outcome
    assert isinstance(outcome, Verified), outcome
    assert () == tuple(note for note in outcome.notes if "not compared" in note)


@pytest.mark.full
@pytest.mark.usefixtures("in_part")
def test_what_a_fill_left_where_no_sampled_block_wrote_is_no_value_of_the_kernel(tmp_path: Path) -> None:
    fill = '// [[launch]]\n// fill = "y"\n// value = 0\n//\n// [[launch]]\n// kernel = "gemm"'
    outcome = verdict(tmp_path, ('// [[launch]]\n// kernel = "gemm"', fill), seed=NAIVE).outcome
    assert isinstance(outcome, Verified), outcome


@pytest.mark.full
@pytest.mark.usefixtures("in_part")
def test_a_thorough_verdict_runs_every_bench_workload_whole(tmp_path: Path) -> None:
    assert "values compared at 8, of 8 every element" in profiled(verdict(tmp_path, thorough=True))


@pytest.mark.parametrize(
    ("communicates", "update"),
    [
        (
            False,
            "__shared__ int s; if (!threadIdx.x) s = 0; __syncthreads(); atomicAdd(&s, kmap[0]); use(y, s);",
        ),
        (True, "atomicAdd(sums, kmap[0]); use(y, 0);"),
    ],
)
def test_atomics_on_a_blocks_own_memory_tell_other_blocks_nothing(
    communicates: bool, update: str, tmp_path: Path
) -> None:
    gate = app.gate(load_task("spconv_forward"), arch="h200", cache=tmp_path)
    kernel = parse_kernel_file(ATOMICS.replace("UPDATE", update))
    builds = Builds(kernel, gate.task, {}, gate.arch, gate.compiler)
    workload = gate.task.verify[0]
    assert builds.build(workload) is None
    assert communicates == builds.communicates(workload, "adds")


@pytest.mark.full
@pytest.mark.parametrize("way", ["whole", "in_part"])
def test_a_second_launch_that_drifts_at_large_sizes_is_wrong(
    way: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if way == "in_part":
        request.getfixturevalue(way)
    outcome = verdict(tmp_path, (SUM, DRIFT)).outcome
    assert isinstance(outcome, Wrong), outcome
    assert Stage.PROFILE is outcome.stage
    assert "where it is timed" in outcome.message
