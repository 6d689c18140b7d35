"""Jobs on a GPU, an imagined one: which is chosen, what the gate adds, what the command line says without one."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.cli.program import run
from warpsmith.core.errors import DeviceError, SettingsError
from warpsmith.core.outcome import Outcome, Racy, Stage, Unsupported, Verified
from warpsmith.core.protocols import Evaluation
from warpsmith.core.quantity import Source
from warpsmith.doctor import State, examine
from warpsmith.gpus import Trouble, architecture_of, choose_target, find_gpus
from warpsmith.profiler.ncu import CounterReport, Rung
from warpsmith.sandbox.device.lowering import Lowered
from warpsmith.sandbox.device.sanitizer import Sanitized, Tool
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.settings import Settings, read_settings
from warpsmith.tasks import load_task

from .fake_driver import device_info

WORKER = Path(__file__).parent / "fake_worker.py"
ROOT = Path(__file__).parents[2]
TASK = ROOT / "examples" / "tasks" / "row_softmax.py"
TRITON = ROOT / "examples" / "softmax.py"
CUDA = """// /// kernel
// task = "row_softmax"
//
// [[buffer]]
// name = "sums"
// shape = ["M"]
// dtype = "float32"
// init = 0
//
// [[buffer]]
// name = "raised"
// shape = ["M", "N"]
// dtype = "float32"
//
// [[launch]]
// kernel = "exponentials"
// grid = "M"
// block = 128
//
// [[launch]]
// kernel = "divide"
// grid = "cdiv(M * N, 128)"
// block = 128
// ///
__global__ void exponentials(const x_t* x, float* sums, float* raised, int N) {
    __shared__ float most[128], total[128];
    int row = blockIdx.x, t = threadIdx.x;
    most[t] = -INFINITY;
    for (int i = t; i < N; i += 128) most[t] = fmaxf(most[t], ws::to_float(x[row * N + i]));
    for (int half = 64; half; half /= 2) { __syncthreads(); if (t < half) most[t] = fmaxf(most[t], most[t + half]); }
    __syncthreads();
    total[t] = 0;
    for (int i = t; i < N; i += 128) {
        float e = expf(ws::to_float(x[row * N + i]) - most[0]);
        total[t] += e;
        raised[row * N + i] = e;
    }
    for (int half = 64; half; half /= 2) { __syncthreads(); if (t < half) total[t] += total[t + half]; }
    if (t == 0) atomicAdd(sums + row, total[0]);
}
__global__ void divide(const float* sums, const float* raised, y_t* y, int M, int N) {
    int i = blockIdx.x * 128 + threadIdx.x;
    if (i < M * N) y[i] = ws::from_float<y_t>(raised[i] / sums[i / N]);
}
"""


def settings(folder: Path, *options: str) -> Settings:
    worker = (sys.executable, str(WORKER), str(folder / "compiled"), *(options or ("1",)))
    return replace(read_settings(), cache=folder, gpu_worker=worker)


def evaluate(text: str, folder: Path, *options: str, profiled: bool = False) -> Evaluation:
    target = choose_target("auto", None, settings(folder, *options))
    assert "gpu" == target.device
    gate = app.gate(
        load_task(TASK), arch=target.arch.name, cache=folder / "compiled", profiled=profiled, pool=target.pool
    )
    try:
        return gate.evaluate(read_candidate(text), seed=3)
    finally:
        assert target.pool is not None
        target.pool.close()


def stages(evaluation: Evaluation) -> list[Stage]:
    return [stage.stage for stage in evaluation.stages]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


def kind(outcome: Outcome) -> str:
    return outcome.kind


@pytest.mark.full
def test_a_kernel_is_verified_on_the_emulator_and_on_the_gpu(folder: Path) -> None:
    evaluation = evaluate(CUDA, folder, "1", "small-l2", profiled=True)
    outcome = evaluation.outcome
    assert isinstance(outcome, Verified), outcome
    assert Stage.DEVICE in stages(evaluation)
    assert any("on a GPU as well" in note for note in outcome.notes)
    assert evaluation.profile is not None
    assert Source.MEASURED is evaluation.profile.source
    (timed,) = evaluation.profile.workloads
    assert any("measured on NVIDIA H200 (imagined)" in note for note in timed.notes)
    assert timed.duration.low_us <= timed.duration.us <= timed.duration.high_us
    # On an imagined GPU there are none, whether or not the tools are installed; the rung says so.
    assert any(note.startswith("counters: events: ") for note in timed.notes)
    assert all(launch.duration.source is Source.MODELLED for launch in timed.launches)
    assert any(
        "compute-sanitizer did not run: compute-sanitizer is not installed" in it.detail for it in evaluation.stages
    )


def test_a_gpu_that_computes_something_else_has_the_last_word(folder: Path) -> None:
    evaluation = evaluate(CUDA, folder, "1", "faulty")
    assert ("Wrong", Stage.DEVICE) == (kind(evaluation.outcome), getattr(evaluation.outcome, "stage", None))


def test_what_the_emulator_refuses_never_reaches_the_gpu(folder: Path) -> None:
    evaluation = evaluate(CUDA.replace("if (i < M * N) y[i]", "y[i]"), folder)
    assert "OutOfBounds" == kind(evaluation.outcome)
    assert Stage.DEVICE not in stages(evaluation)


@dataclass(frozen=True)
class Watchers:
    """compute-sanitizer as it would answer: its word on each checker."""

    says: Callable[[Tool], Sanitized]

    def check(self, tool: Tool, call: Lowered) -> Sanitized:
        return self.says(tool)

    def counters(self, calls: Sequence[Lowered]) -> CounterReport:
        return CounterReport(rung=Rung.EVENTS, reason="not asked", remedy="")


def clean(tool: Tool) -> Sanitized:
    return Sanitized(tool=tool, ran=True)


def racy(tool: Tool) -> Sanitized:
    failure = Racy(stage=Stage.DEVICE, message="two threads write most[0]") if tool is Tool.RACECHECK else None
    return Sanitized(tool=tool, ran=True, failure=failure)


def missing(tool: Tool) -> Sanitized:
    return Sanitized(tool=tool, ran=False, reason="compute-sanitizer is not installed")


def evaluate_unemulated(
    text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, says: Callable[[Tool], Sanitized], *, profiled: bool
) -> Evaluation:
    """A gate whose emulator lacks an instruction of the kernel; the imagined GPU has it."""
    lacking = Unsupported(stage=Stage.SCREEN, message="wgmma.mma_async is not emulated")
    monkeypatch.setattr("warpsmith.sandbox.builds.screen", lambda *args, **how: lacking)
    target = choose_target("auto", None, settings(folder, "1", "small-l2"))
    assert target.pool is not None
    gate = app.gate(load_task(TASK), arch="h200", cache=folder / "compiled", profiled=profiled, pool=target.pool)
    assert gate.gpu is not None
    watched = replace(gate, gpu=replace(gate.gpu, tools=Watchers(says)))
    with target:
        return watched.evaluate(read_candidate(text), seed=3)


@pytest.mark.parametrize("profiled", [False, pytest.param(True, marks=pytest.mark.full)])
def test_what_the_emulator_lacks_goes_on_through_the_sanitizer_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, profiled: bool
) -> None:
    evaluation = evaluate_unemulated(CUDA, folder, monkeypatch, clean, profiled=profiled)
    outcome = evaluation.outcome
    assert isinstance(outcome, Verified), outcome
    assert any(note.startswith("not emulated (wgmma.mma_async is not emulated)") for note in outcome.notes)
    assert {Stage.EMULATE, Stage.PROFILE}.isdisjoint(stages(evaluation))
    assert len(outcome.checks) > len(load_task(TASK).verify)
    if profiled:
        assert evaluation.profile is not None
        (timed,) = evaluation.profile.workloads
        assert (Source.MEASURED, ()) == (timed.duration.source, timed.launches)
        assert "not emulated: no counts and no modelled limits" in timed.notes


def test_what_nothing_watched_is_no_verdict(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = evaluate_unemulated(CUDA, folder, monkeypatch, missing, profiled=False).outcome
    assert "Unsupported" == kind(outcome)
    assert "nothing watched it there: compute-sanitizer did not run" in getattr(outcome, "message", "")


def test_what_the_sanitizer_finds_without_the_emulator_is_the_outcome(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = evaluate_unemulated(CUDA, folder, monkeypatch, racy, profiled=False).outcome
    assert ("Racy", Stage.DEVICE) == (kind(outcome), getattr(outcome, "stage", None))
    wrong = CUDA.replace("raised[i] / sums[i / N]", "raised[i]")
    assert "Wrong" == kind(evaluate_unemulated(wrong, folder, monkeypatch, clean, profiled=False).outcome)


def test_auto_takes_a_gpu_of_the_wanted_architecture(folder: Path) -> None:
    assert "gpu" == choose_target("auto", None, settings(folder)).device
    assert "gpu" == choose_target("cuda", "h200", settings(folder)).device
    assert "emulator" == choose_target("emulator", "h200", settings(folder)).device
    other = choose_target("auto", "a100", settings(folder))
    assert ("emulator", "a100") == (other.device, other.arch.name)
    assert "no match for an a100: NVIDIA H200" in other.remark


def test_cuda_insists_and_says_what_is_missing(folder: Path) -> None:
    with pytest.raises(DeviceError, match=r"no match for an a100.*--device emulator"):
        choose_target("cuda", "a100", settings(folder))
    with pytest.raises(DeviceError, match=r"shows no GPU.*CUDA_VISIBLE_DEVICES.*--device emulator"):
        choose_target("cuda", None, settings(folder, "0"))
    with pytest.raises(DeviceError, match=r"supports CUDA 12\.4; kernels are compiled by CUDA 13\.0"):
        choose_target("cuda", None, settings(folder, "1", "old"))
    with pytest.raises(SettingsError, match="quantum"):
        choose_target("quantum", None, settings(folder))


def test_a_worker_that_dies_is_an_error_of_the_machine_with_its_last_words(folder: Path) -> None:
    broken = replace(read_settings(), gpu_worker=(sys.executable, "-c", "raise SystemExit('no such thing')"))
    with pytest.raises(DeviceError, match=r"worker died: exit status 1\. no such thing"):
        find_gpus(broken)


def test_without_a_driver_auto_emulates(folder: Path) -> None:
    none = settings(folder, "0")
    assert isinstance(find_gpus(none), Trouble)
    assert ("emulator", "h200") == ((target := choose_target("auto", None, none)).device, target.arch.name)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "NVIDIA H200"}, "h200"),
        ({"name": "NVIDIA H100 80GB HBM3"}, "h100"),
        ({"name": "NVIDIA H100 PCIe", "sms": 114}, None),
        ({"name": "NVIDIA A100-SXM4-80GB", "capability": (8, 0), "sms": 108}, "a100"),
        ({"name": "NVIDIA GeForce RTX 4090", "capability": (8, 9), "sms": 128}, "rtx4090"),
        ({"name": "NVIDIA L4", "capability": (8, 9), "sms": 58}, None),
        ({"name": "NVIDIA H200 MIG 1g.18gb", "sms": 16}, None),
        ({"name": "NVIDIA H200 MIG 7g.141gb"}, None),
        ({"name": "NVIDIA H200", "uuid": "MIG-00000000-0000-0000-0000-000000000000"}, None),
        ({"name": "NVIDIA GH200 480GB"}, None),
        ({"name": "NVIDIA H100 NVL"}, None),
        ({"name": "NVIDIA A100-SXM4-40GB", "capability": (8, 0), "sms": 108}, None),
        ({"name": "NVIDIA A100 80GB PCIe", "capability": (8, 0), "sms": 108}, None),
        ({"name": "NVIDIA GeForce RTX 4090 D", "capability": (8, 9), "sms": 114}, None),
    ],
)
def test_a_gpu_is_the_row_of_the_table_that_it_is_and_no_part_of_one(
    changes: dict[str, object], expected: str | None
) -> None:
    arch = architecture_of(device_info(**changes))
    assert expected == (arch.name if arch else None)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "NVIDIA H100 PCIe", "sms": 114}, "another part than the table's h100"),
        ({"name": "NVIDIA H200 MIG 1g.18gb", "sms": 16}, "a part of a GPU (MIG)"),
        ({"name": "NVIDIA L4", "capability": (8, 9), "sms": 58}, "not in the table of targets"),
    ],
)
def test_a_gpu_that_is_no_row_of_the_table_is_refused_with_the_reason(
    changes: dict[str, object], why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("warpsmith.gpus.find_gpus", lambda settings: (device_info(**changes),))
    with pytest.raises(DeviceError, match=re.escape(why)):
        choose_target("cuda", None, read_settings())
    target = choose_target("auto", None, read_settings())
    assert ("emulator", True) == (target.device, why in target.remark)
    assert why in caplog.text


def test_the_doctor_describes_each_gpu(folder: Path) -> None:
    found = {item.name: item for item in examine(settings(folder, "2", "no-vmm"))}
    assert State.OK is found["gpu"].state
    assert "NVIDIA H200 (imagined), 9.0, 132 SMs, 1 GiB, GPU-00000000" in found["gpu"].detail
    assert 2 == found["gpu"].detail.count("no guard pages")


@pytest.mark.full
def test_the_command_line_runs_a_triton_kernel_on_the_gpu(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARPSMITH_CACHE", str(folder))
    monkeypatch.setenv("WARPSMITH_GPU_WORKER", shlex.join(settings(folder).gpu_worker))
    assert 0 == run(["verify", str(TRITON), "--task", str(TASK), "--device", "cuda", "--seed", "3", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert "device" in [stage["stage"] for stage in said["stages"]]


def test_asking_for_a_gpu_that_is_not_there_ends_with_3(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARPSMITH_GPU_WORKER", shlex.join(settings(folder, "0").gpu_worker))
    for command in (["verify", str(TRITON)], ["profile", str(TRITON)], ["optimize", "w4a16_gemm"]):
        assert 3 == run([*command, "--device", "cuda"])
        assert "shows no GPU" in capsys.readouterr().err
