"""What tasks are timed against: PyTorch on every task's own reference, and libraries, absent by name or right."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from math import prod
from pathlib import Path

import pytest
import torch

from warpsmith.core.task import Baseline, Task, Workload
from warpsmith.sandbox.device.baseline_child import EAGER, BaselineAnswer, BaselineRequest, serve
from warpsmith.sandbox.device.baselines import names_of
from warpsmith.tasks import find_tasks, load_task

from .test_baselines import HostGpu

TASKS = [file.name for file in find_tasks()]
LIBRARIES = [(task, item.name) for task in TASKS for item in load_task(task).baselines]


def smallest(task: Task) -> Workload:
    """The smallest verify workload whose dimensions all count."""
    whole = [item for item in task.verify if all(item.dims.values())]
    return min(whole, key=lambda item: prod(item.dims.values()))


def answer(monkeypatch: pytest.MonkeyPatch, task: Task, baseline: str) -> BaselineAnswer:
    """Time a baseline at the task's smallest workload, on the processor."""
    workload = smallest(task)
    small = replace(task, bench=(workload,))
    monkeypatch.setattr("warpsmith.sandbox.device.baseline_child.load_task", lambda name: small)
    request = BaselineRequest(
        task=task.name, workload=workload.name, baseline=baseline, uuid="GPU-0", seed=1, seconds=0.001
    )
    return serve(request, HostGpu(), lambda tensor: tensor)


@pytest.mark.parametrize("name", TASKS)
def test_every_tasks_reference_is_timed_as_pytorch_eager(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With positions, dtypes and dimensions where its signature asks for them."""
    found = answer(monkeypatch, load_task(name), EAGER)
    assert ("", True) == (found.absent, found.timing is not None)


def test_every_shipped_task_is_timed_against_a_library() -> None:
    assert [] == [name for name in TASKS if not load_task(name).baselines]
    assert ("torch eager", "torch.compile", "cuBLAS on fp16 weights", "vllm marlin") == names_of(
        load_task("w4a16_gemm")
    )


@pytest.mark.parametrize(("task", "library"), LIBRARIES)
def test_a_library_is_right_or_absent_by_name(monkeypatch: pytest.MonkeyPatch, task: str, library: str) -> None:
    loaded = load_task(task)
    baseline = next(item for item in loaded.baselines if item.name == library)
    found = answer(monkeypatch, loaded, library)
    if importlib.util.find_spec(baseline.package) is None:
        assert (None, f"{baseline.package} is not installed") == (found.timing, found.absent)
    else:
        assert ("", True) == (found.absent, found.timing is not None)
        assert found.error is not None
        assert found.error < 0.02


def test_what_computes_something_else_has_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def half(x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(x), qweight.shape[1], dtype=x.dtype)

    task = replace(load_task("w4a16_gemm"), baselines=(Baseline("nothing", "torch", half),))
    found = answer(monkeypatch, task, "nothing")
    assert (None, "it computes something else: relative L2 error 1") == (found.timing, found.absent)
    known = replace(task, baselines=(Baseline("nothing", "torch", half, note="leaves out the product"),))
    assert (None, "leaves out the product") == ((told := answer(monkeypatch, known, "nothing")).error, told.note)


def test_libraries_are_no_part_of_what_a_verdict_belongs_to(tmp_path: Path) -> None:
    shipped = load_task("moe_routing_metadata")
    own = tmp_path / "moe_routing_metadata.py"
    own.write_text(Path(shipped.path).read_text())
    assert () == load_task(own).baselines
    assert shipped.baselines
