"""Timing through the worker, on the imagined driver; the same on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Crashed, Nondeterministic, OutOfBounds
from warpsmith.core.plan import BoundBuffer, BoundPlan
from warpsmith.core.protocols import RunRequest
from warpsmith.core.quantity import Source
from warpsmith.profiler.timing import Method, OutputCheck, TimingPlan, disagreement
from warpsmith.sandbox.device.lowering import lower
from warpsmith.sandbox.device.messages import Surveyed
from warpsmith.sandbox.device.pool import Pool, survey
from warpsmith.sandbox.device.process import WorkerCommand
from warpsmith.sandbox.device.replay import main, write_recording
from warpsmith.sandbox.device.timer import DeviceTimer, Mint, Stand, TimedRun, unsteady

from ..device.fake_driver import FakeDriver, device_info
from .launchers import FakeGpus, artifact, empty, pair, step, tensor

COUNT = 96


@pytest.fixture(scope="module", params=["fake GPU", pytest.param("GPU", marks=pytest.mark.gpu)])
def timer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeviceTimer]:
    if request.param == "GPU":
        found = survey(WorkerCommand())
        assert isinstance(found, Surveyed), found
        pool = Pool(found.devices)
    else:
        folder: Path = tmp_path_factory.mktemp("gpu")
        pool = FakeGpus(folder, options=("small-l2",)).pool
        pair(artifact(), folder)
    yield DeviceTimer(pool)
    pool.close()


def copies() -> Mint:
    """A call that copies; every input set has values of its own."""

    def mint(number: int) -> RunRequest:
        x = tensor(np.arange(COUNT, dtype=np.int32) + 1000 * number)
        plan = BoundPlan((), (step("copy", "x", "y", COUNT, grid=3),))
        return RunRequest(artifact(), plan, {"x": x}, {"y": empty(COUNT)}, seed=number)

    return mint


def test_every_input_sets_outputs_come_back(timer: DeviceTimer) -> None:
    run = timer.time(copies(), seconds=0.01)
    assert isinstance(run, TimedRun)
    assert run.timing.plan.sets == len(run.outputs)
    for number, outputs in enumerate(run.outputs):
        assert [1000 * number, 1000 * number + 1] == outputs["y"].array.tolist()[:2]


def test_times_are_measured_with_clocks_that_agree(timer: DeviceTimer) -> None:
    run = timer.time(copies(), seconds=0.01)
    assert isinstance(run, TimedRun)
    assert Source.MEASURED is run.timing.duration.source
    assert run.timing.plan.samples == len(run.timing.samples)
    assert "" == disagreement(run.timing)
    assert run.timing.plan.flush_bytes >= 3 << 20


def test_timed_calls_on_equal_inputs_give_equal_bytes(timer: DeviceTimer) -> None:
    run = timer.time(copies(), seconds=0.01)
    assert isinstance(run, TimedRun)
    assert set(range(run.timing.plan.sets)) == {check.input_set for check in run.timing.checks}
    assert unsteady(run.timing) is None


def test_results_that_change_between_timed_calls_are_nondeterministic(timer: DeviceTimer) -> None:
    run = timer.time(copies(), seconds=0.01)
    assert isinstance(run, TimedRun)
    changed = run.timing.model_copy(update={"checks": (OutputCheck(input_set=0, calls=9, digests=("a", "b")),)})
    assert isinstance(unsteady(changed), Nondeterministic)


def test_an_in_place_input_starts_each_call_as_it_was(timer: DeviceTimer) -> None:
    def mint(number: int) -> RunRequest:
        y, x = tensor(np.full(4, 10 + number, np.int32)), tensor(np.ones(32, np.int32))
        plan = BoundPlan((), (step("add_into", "y", "x"),))
        return RunRequest(artifact(), plan, {"y": y, "x": x}, {"y": empty(4)}, seed=number)

    run = timer.time(mint, seconds=0.01)
    assert isinstance(run, TimedRun)
    assert [[18 + number] * 4 for number in range(run.timing.plan.sets)] == [
        outputs["y"].array.tolist() for outputs in run.outputs
    ]


def test_several_launches_with_cleared_scratch_are_one_call(timer: DeviceTimer) -> None:
    def mint(number: int) -> RunRequest:
        x = tensor(np.full(32, number, np.int32))
        buffer = BoundBuffer("sum", (4,), DType.INT32, init=0)
        plan = BoundPlan((buffer,), (step("add_into", "sum", "x"), step("copy", "sum", "y", 4)))
        return RunRequest(artifact(), plan, {"x": x}, {"y": empty(4)}, seed=number)

    run = timer.time(mint, seconds=0.01)
    assert isinstance(run, TimedRun)
    assert [8 * number for number in range(run.timing.plan.sets)] == [it["y"].array[0] for it in run.outputs]


@pytest.mark.parametrize(("kernel", "kind"), [("store_at", OutOfBounds), ("stop", Crashed)])
def test_a_kernel_that_faults_while_it_is_timed_gets_its_outcome(
    timer: DeviceTimer, kernel: str, kind: type[object]
) -> None:
    arguments: tuple[str | int, ...] = ("y", 1 << 40) if kernel == "store_at" else ("y",)
    plan = BoundPlan((), (step(kernel, *arguments),))
    found = timer.time(lambda number: RunRequest(artifact(), plan, {}, {"y": empty(32)}), seconds=0.01)
    assert kind is type(found)
    assert isinstance(timer.time(copies(), seconds=0.01), TimedRun)


def test_a_graph_of_distinct_sets_runs_each_of_them(timer: DeviceTimer) -> None:
    plan = TimingPlan(method=Method.GRAPH, sets=4, warm_up=1, samples=3, flush_bytes=3 << 20)
    with timer.pool.lease() as worker:
        stand = Stand(worker, copies())
        stand.stage(plan)
        run = stand.finish(plan, stand.take(plan.samples, plan.warm_up))
    assert [0, 1000, 2000, 3000] == [int(outputs["y"].array[0]) for outputs in run.outputs]
    assert {0} == {sample.input_set for sample in run.timing.samples}
    assert all(sample.event_us * 4 <= sample.bracket_us for sample in run.timing.samples)
    assert unsteady(run.timing) is None


def test_a_recording_replays_in_a_program_that_neither_poisons_nor_pads(tmp_path: Path) -> None:
    """What Nsight Compute and compute-sanitizer are given to run."""
    pair(artifact(), tmp_path)
    write_recording(tmp_path / "calls", device_info().uuid, [lower(copies()(number)) for number in range(3)])
    driver = FakeDriver(tmp_path)
    assert 0 == main(lambda: driver, [str(tmp_path / "calls")])
    # The imagined driver notes an upload twice: for the stream, and for the memory.
    assert (3, 2 * 3) == (driver.calls.count("cuLaunchKernelEx"), driver.calls.count("cuMemcpyHtoDAsync"))
    assert "cuMemMap" not in driver.calls


def test_a_replay_that_faults_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair(artifact(), tmp_path)
    request = RunRequest(artifact(), BoundPlan((), (step("stop", "y"),)), {}, {"y": empty(32)})
    write_recording(tmp_path / "calls", device_info().uuid, [lower(request)])
    assert 1 == main(lambda: FakeDriver(tmp_path), [str(tmp_path / "calls")])
    assert "CUDA_ERROR_LAUNCH_FAILED" in capsys.readouterr().err
