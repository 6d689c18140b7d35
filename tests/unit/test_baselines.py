"""Baselines follow the kernels' protocol; what cannot run is named with its reason."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from warpsmith.profiler.timing import Method, disagreement
from warpsmith.sandbox.device.baseline_child import EAGER, BaselineRequest, serve
from warpsmith.sandbox.device.baseline_timing import Call, time_calls
from warpsmith.sandbox.device.baselines import names_of
from warpsmith.tasks import load_task

TINY = Path(__file__).parents[1] / "emulated" / "tiny" / "scaled_sum.py"


class HostGpu:
    """Stands for PyTorch's device where there is none: calls run at once, events are the host's clock."""

    name = "host"
    l2_bytes = 1 << 16

    def __init__(self, *, capturable: bool = True) -> None:
        self.capturable, self.flushed = capturable, 0

    def event(self) -> float:
        return time.perf_counter()

    def elapsed_us(self, start: float, end: float) -> float:
        return (end - start) * 1e6

    def flush(self, nbytes: int) -> None:
        self.flushed += nbytes

    def wait(self) -> None:
        pass

    def capture(self, work: Call) -> Call:
        if not self.capturable:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return work


def sets(calls: list[int], pause: float) -> Callable[[int], tuple[Call, int]]:
    def mint(number: int) -> tuple[Call, int]:
        def call() -> None:
            calls.append(number)
            if pause:
                time.sleep(pause)

        return call, 1 << 10

    return mint


def test_calls_rotate_through_input_sets_behind_flushes() -> None:
    calls: list[int] = []
    gpu = HostGpu()
    timing = time_calls(gpu, sets(calls, 1e-4), None, seconds=0.001)
    assert Method.CALL is timing.plan.method
    assert set(range(timing.plan.sets)) == {sample.input_set for sample in timing.samples} == set(calls)
    assert gpu.flushed >= timing.plan.samples * 3 * gpu.l2_bytes
    assert ("", ()) == (disagreement(timing), timing.notes)


def test_short_calls_are_captured_together() -> None:
    calls: list[int] = []
    timing = time_calls(HostGpu(), sets(calls, 0), None, seconds=0.001)
    assert Method.GRAPH is timing.plan.method
    assert set(range(timing.plan.sets)) == set(calls)


def test_what_cannot_be_captured_is_called_and_says_so() -> None:
    timing = time_calls(HostGpu(capturable=False), sets([], 1e-4), None, seconds=0.001)
    (note,) = timing.notes
    assert "called from Python, launch overhead included: operation not permitted when stream is capturing" == note


def asked(path: Path, baseline: str) -> BaselineRequest:
    return BaselineRequest(
        task=str(path), workload="sixteen million", baseline=baseline, uuid="GPU-0", seed=1, seconds=0.001
    )


@pytest.fixture
def task(tmp_path: Path) -> Iterator[Path]:
    text = TINY.read_text().replace("1 << 24", "1 << 12")
    text = text.replace("import Cost", "import Baseline, Cost")
    tolerance = "tolerance=Tolerance(floor=1e-6, floor_largest=1e-5),"
    extra = f'{tolerance}\n    baselines=(Baseline("fast", "no_such_package", print),),'
    path = tmp_path / "scaled_sum.py"
    path.write_text(text.replace(tolerance, extra))
    yield path
    sys.modules.pop("scaled_sum", None)


def test_eager_pytorch_is_timed_on_the_tasks_own_inputs(task: Path) -> None:
    seen: list[Any] = []

    def place(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(tensor)
        return tensor

    answer = serve(asked(task, EAGER), HostGpu(), place)
    assert ("", True) == (answer.absent, answer.timing is not None)
    assert {(torch.float32, 4096)} == {(tensor.dtype, tensor.numel()) for tensor in seen}
    assert answer.version.startswith("torch ")


def test_a_library_that_is_not_installed_is_absent_by_name(task: Path) -> None:
    answer = serve(asked(task, "fast"), HostGpu(), lambda tensor: tensor)
    assert (None, "no_such_package is not installed") == (answer.timing, answer.absent)
    assert ("torch eager", "torch.compile", "fast") == names_of(load_task(task))


def test_a_reference_that_fails_on_the_device_says_why(task: Path) -> None:
    def place(tensor: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("CUDA out of memory")

    assert "RuntimeError: CUDA out of memory" == serve(asked(task, EAGER), HostGpu(), place).absent
