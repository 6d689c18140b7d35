"""The process that times one baseline of one workload: a request from standard input, an answer to standard output."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from warpsmith.core.errors import DeviceError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.record import Record
from warpsmith.core.task import Baseline, Task, Workload
from warpsmith.profiler.nvml import NvmlSensor, Sensor
from warpsmith.profiler.timing import Timing
from warpsmith.sandbox.device.baseline_timing import Call, CudaGpu, TorchGpu, time_calls
from warpsmith.tasks import load_task
from warpsmith.tasks.sample import make_inputs, to_torch

if TYPE_CHECKING:
    import torch

EAGER, COMPILED = "torch eager", "torch.compile"
"""Baselines that every task has."""


class BaselineRequest(Record):
    """Which baseline to time, where, and on which inputs."""

    task: str
    """Name or path."""
    workload: str
    baseline: str
    uuid: str
    seed: int = Field(ge=0)
    """Input set i is minted from `seed + i`, as the kernels' are."""
    seconds: float = Field(gt=0)


class BaselineAnswer(Record):
    """Its times, or why there are none."""

    baseline: str
    version: str = ""
    timing: Timing | None = None
    absent: str = ""


def serve(request: BaselineRequest, gpu: TorchGpu, place: Callable[[torch.Tensor], torch.Tensor]) -> BaselineAnswer:
    """Time one baseline; what it raises is the reason why it is absent."""
    task = load_task(request.task)
    workload = next(item for item in task.bench if item.name == request.workload)
    baseline = next((item for item in task.baselines if item.name == request.baseline), None)
    if baseline is not None and importlib.util.find_spec(baseline.package.partition(".")[0]) is None:
        return BaselineAnswer(baseline=request.baseline, absent=f"{baseline.package} is not installed")
    try:
        timing = time_calls(
            gpu, _mint(task, workload, request, baseline, place), _sensor(request.uuid), seconds=request.seconds
        )
    except Exception as error:  # noqa: BLE001 - whatever a library raises is its answer
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
        return BaselineAnswer(baseline=request.baseline, absent=reason[:400])
    return BaselineAnswer(baseline=request.baseline, version=_version(baseline), timing=timing)


def _mint(
    task: Task,
    workload: Workload,
    request: BaselineRequest,
    baseline: Baseline | None,
    place: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[int], tuple[Call, int]]:
    function = _function(task, request.baseline, baseline)

    def mint(number: int) -> tuple[Call, int]:
        drawn = make_inputs(task, workload, request.seed + number)
        arguments: dict[str, Any] = {item.name: None for item in task.inputs}
        arguments |= {name: place(to_torch(value)) for name, value in drawn.items()}
        parameters = inspect.signature(task.reference).parameters
        arguments |= {name: value for name, value in dims_of(task, workload).items() if name in parameters}
        given: Mapping[str, Any] = arguments
        if baseline is not None and baseline.prepare is not None:
            given = baseline.prepare(**arguments)
        return lambda: function(**given), sum(value.nbytes for value in drawn.values())

    return mint


def _function(task: Task, name: str, baseline: Baseline | None) -> Callable[..., Any]:
    if baseline is not None:
        return baseline.run
    if name == COMPILED:
        import torch

        compiled: Callable[..., Any] = torch.compile(task.reference, dynamic=False)
        return compiled
    return task.reference


def _sensor(uuid: str) -> Sensor | None:
    try:
        return NvmlSensor(uuid)
    except DeviceError:
        return None


def _version(baseline: Baseline | None) -> str:
    from importlib.metadata import PackageNotFoundError, version

    name = baseline.package.partition(".")[0] if baseline else "torch"
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return name


def main() -> None:
    """Serve one request; what libraries print goes to standard error."""
    output = os.dup(1)
    os.dup2(2, 1)
    request = BaselineRequest.model_validate_json(sys.stdin.read())
    # The leased GPU, whatever number PyTorch would give it.
    os.environ["CUDA_VISIBLE_DEVICES"] = request.uuid
    import torch

    with torch.inference_mode():
        answer = serve(request, CudaGpu.current(), lambda tensor: tensor.cuda())
    os.write(output, answer.model_dump_json().encode())


if __name__ == "__main__":
    main()
