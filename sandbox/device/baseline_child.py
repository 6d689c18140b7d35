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
from warpsmith.tasks.sample import bound_dtypes, make_inputs, to_torch

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
    error: float | None = None
    """Relative L2 distance of its floating-point outputs from the reference's on the same device; None where it has
    none, or is known to compute something else."""
    note: str = ""
    """What it does not do just as the task says."""


LARGEST_ERROR = 0.05
"""Relative L2 distance beyond which a library computes something else: half precision keeps far below it."""


def serve(request: BaselineRequest, gpu: TorchGpu, place: Callable[[torch.Tensor], torch.Tensor]) -> BaselineAnswer:
    """Time one baseline; what it raises is the reason why it is absent."""
    task = load_task(request.task)
    workload = next(item for item in task.bench if item.name == request.workload)
    baseline = next((item for item in task.baselines if item.name == request.baseline), None)
    if baseline is not None and importlib.util.find_spec(baseline.package.partition(".")[0]) is None:
        return BaselineAnswer(baseline=request.baseline, absent=f"{baseline.package} is not installed")
    try:
        mint = _mint(task, workload, request, baseline, place)
        error = None if baseline is None or baseline.note else _error(task, workload, request, baseline, place)
        if error is not None and not error <= LARGEST_ERROR:
            absent = f"it computes something else: relative L2 error {error:.2g}"
            return BaselineAnswer(baseline=request.baseline, version=_version(baseline), absent=absent, error=error)
        timing = time_calls(gpu, mint, _sensor(request.uuid), seconds=request.seconds)
    except Exception as raised:  # noqa: BLE001 - whatever a library raises is its answer
        reason = f"{type(raised).__name__}: {str(raised).strip().splitlines()[0] if str(raised).strip() else ''}"
        return BaselineAnswer(baseline=request.baseline, absent=reason[:400])
    note = baseline.note if baseline else ""
    return BaselineAnswer(baseline=request.baseline, version=_version(baseline), timing=timing, error=error, note=note)


def _mint(
    task: Task,
    workload: Workload,
    request: BaselineRequest,
    baseline: Baseline | None,
    place: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[int], tuple[Call, int]]:
    function = _function(task, request.baseline, baseline)

    def mint(number: int) -> tuple[Call, int]:
        arguments, nbytes = arguments_of(task, workload, request.seed + number, place)
        return _bound(function, baseline, arguments), nbytes

    return mint


def arguments_of(
    task: Task, workload: Workload, seed: int, place: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[dict[str, Any], int]:
    """Everything a reference may ask for by name, tensors placed, and the bytes of the inputs."""
    import torch

    drawn = make_inputs(task, workload, seed)
    dims = dims_of(task, workload)
    arguments: dict[str, Any] = {**dims, "dtypes": bound_dtypes(workload), **{item.name: None for item in task.inputs}}
    arguments |= {name: place(to_torch(value)) for name, value in drawn.items()}
    if task.rows:
        arguments["rows"] = place(torch.arange(dims[task.rows]))
    return arguments, sum(value.nbytes for value in drawn.values())


def _bound(function: Callable[..., Any], baseline: Baseline | None, arguments: Mapping[str, Any]) -> Call:
    """A call on these arguments, on their device: what it makes besides lies there as well."""
    import torch

    device = next(value.device for value in arguments.values() if isinstance(value, torch.Tensor))
    given = arguments
    if baseline is not None and baseline.prepare is not None:
        with torch.device(device):
            given = baseline.prepare(**_asked(baseline.prepare, arguments))
    else:
        given = _asked(baseline.run if baseline else function, arguments)

    def call() -> Any:
        with torch.device(device):
            return function(**given)

    return call


def _asked(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    parameters = inspect.signature(inspect.unwrap(function)).parameters
    return {name: value for name, value in arguments.items() if name in parameters}


def _error(
    task: Task,
    workload: Workload,
    request: BaselineRequest,
    baseline: Baseline,
    place: Callable[[torch.Tensor], torch.Tensor],
) -> float | None:
    """How far a library's outputs are from the reference's, run on the same device and inputs."""
    arguments, _ = arguments_of(task, workload, request.seed, place)
    theirs = _outputs(task, _bound(baseline.run, baseline, arguments)())
    ours = _outputs(task, _bound(task.reference, None, arguments)())
    distances = [
        float((theirs[name].float() - ours[name].float()).norm() / ours[name].float().norm().clamp(min=1e-30))
        for name in theirs
        if name in ours and name not in task.judged
    ]
    return max(distances, default=None)


def _outputs(task: Task, returned: Any) -> dict[str, torch.Tensor]:
    if isinstance(returned, Mapping):
        return dict(returned)
    values = returned if isinstance(returned, tuple | list) else (returned,)
    return {item.name: value for item, value in zip(task.outputs, values, strict=False)}


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
