"""Does the emulator give the GPU's bits, and is the kernel right there: every verify workload on both."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Failure, Wrong
from warpsmith.core.protocols import RunReply, RunRequest
from warpsmith.core.task import Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.device.lowering import lower
from warpsmith.sandbox.device.sanitizer import Tool
from warpsmith.sandbox.gate.trials import written_tensors
from warpsmith.sandbox.verify.standard import Standard
from warpsmith.silicon.box import Box, Unit
from warpsmith.silicon.rig import SEED, Rig, Subject
from warpsmith.tasks.sample import make_inputs

FILE = "agreement.json"


def agree_all(rig: Rig, box: Box, subjects: tuple[Subject, ...]) -> None:
    """The step: every subject once."""
    for subject in subjects:
        box.unit(FILE, subject.name, partial(agree, rig, subject))


def agree(rig: Rig, subject: Subject) -> Unit:
    """Hold GPU, emulator and oracle against each other at every verify workload inside the kernel's domain."""
    builds = rig.built(subject)
    if not isinstance(builds, Builds):
        return {"kernel": subject.candidate.identity, "not built": _said(builds)}
    found = [_workload(rig, subject, builds, item) for item in subject.task.verify if builds.inside(item)]
    return {"kernel": subject.candidate.identity, "toolchain": builds.toolchain, "workloads": found}


def check_all(rig: Rig, box: Box, subjects: tuple[Subject, ...]) -> None:
    """The step: compute-sanitizer's four checkers over each subject's first verify workload."""
    for subject in subjects:
        name = f"sanitizer/{subject.name}"
        box.unit(FILE, name, partial(sanitize, rig, subject), needs=20)


def sanitize(rig: Rig, subject: Subject) -> Unit:
    """What each checker says of one call."""
    builds = rig.built(subject)
    if not isinstance(builds, Builds):
        return {"not built": _said(builds)}
    workload = next(item for item in subject.task.verify if builds.inside(item))
    call = lower(_request(subject, builds, workload))
    return {tool.value: rig.tools.check(tool, call).model_dump(mode="json") for tool in Tool}


def _request(subject: Subject, builds: Builds, workload: Workload) -> RunRequest:
    inputs = make_inputs(subject.task, workload, SEED)
    return RunRequest(
        artifact=builds.artifact(workload),
        plan=builds.plan(workload),
        inputs=inputs,
        outputs=written_tensors(subject.task, workload, inputs),
        static=subject.task.static_inputs,
        seed=SEED,
        counters=False,
    )


def _workload(rig: Rig, subject: Subject, builds: Builds, workload: Workload) -> dict[str, Any]:
    request = _request(subject, builds, workload)
    device, emulated = rig.launcher.run(request), rig.emulator.run(request)
    answer: dict[str, Any] = {"workload": workload.name}
    for who, reply in (("gpu", device), ("emulator", emulated)):
        answer[who] = _said(reply.failure) if reply.failure else "ran"
    if device.failure is None:
        answer["oracle"] = _against_oracle(subject, workload, request, device)
    if device.failure is None and emulated.failure is None:
        answer["order is free"] = builds.sums_in_any_order(workload)
        answer["outputs"] = {
            name: difference(device.outputs[name], emulated.outputs[name]) for name in sorted(device.outputs)
        }
    return answer


def _against_oracle(subject: Subject, workload: Workload, request: RunRequest, reply: RunReply) -> dict[str, Any]:
    task = subject.task
    verdict = Standard(task, workload, request.inputs).verdict(reply.outputs, seed=SEED)
    if isinstance(verdict, Wrong):
        return {"right": False, "message": verdict.message}
    return {"right": True, "error of what is allowed": verdict.error}


def difference(gpu: HostTensor, emulated: HostTensor) -> dict[str, Any]:
    """How far apart two outputs are: elements whose bits differ, by how many steps of their dtype, and where."""
    mine, theirs = (_patterns(tensor) for tensor in (gpu, emulated))
    both_nan = _is_nan(gpu) & _is_nan(emulated)
    differ = (mine != theirs) & ~both_nan
    found: dict[str, Any] = {"elements": int(mine.size), "differing": int(differ.sum())}
    if differ.any():
        steps = np.abs(_ordered(mine, gpu.dtype) - _ordered(theirs, gpu.dtype))
        worst = int(np.where(differ, steps, -1).argmax())
        place = [int(i) for i in np.unravel_index(worst, gpu.shape)]
        found |= {"largest steps": int(steps[worst]), "at": place, "gpu bits": hex(int(mine[worst]))}
        found["emulator bits"] = hex(int(theirs[worst]))
    return found


def _patterns(tensor: HostTensor) -> np.ndarray[Any, np.dtype[np.uint64]]:
    width = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}[tensor.dtype.itemsize]
    return tensor.bytes.view(width).astype(np.uint64)


def _is_nan(tensor: HostTensor) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """NaN may carry any payload: two of them are one value."""
    from warpsmith.tasks.convert import widened

    if not tensor.dtype.is_floating:
        return np.zeros(tensor.array.size, np.bool_)
    return np.isnan(widened(tensor).reshape(-1))


def _ordered(patterns: np.ndarray[Any, np.dtype[np.uint64]], dtype: DType) -> np.ndarray[Any, np.dtype[Any]]:
    """Patterns as integers in the values' order, so that neighbours are one apart."""
    bits = 8 * dtype.itemsize
    values = patterns.astype(object) if bits == 64 else patterns.astype(np.int64)
    if not dtype.is_floating:
        return values
    top = 1 << (bits - 1)
    return np.where(values >= top, top - values, values)


def _said(outcome: Any) -> dict[str, str]:
    message = outcome.message if isinstance(outcome, Failure) else ""
    return {"outcome": getattr(outcome, "kind", type(outcome).__name__), "message": message}
