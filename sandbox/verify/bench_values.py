"""Whether what a kernel wrote at a bench shape is right, where only some blocks ran."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Stage, Wrong
from warpsmith.core.task import Task, Tolerance, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.convert import finite_limit, unit_roundoff, widened
from warpsmith.tasks.oracle import bench_oracle
from warpsmith.tasks.sample import make_inputs

CHUNK = 256
"""Written elements, in memory order, that are judged together."""
ROUNDINGS = 2.0
"""Roundings of the output's dtype that the honest result is taken to have: it is not computed at bench shapes."""
SLACK = 2.0
"""A chunk may err by this much more than the whole."""
SHARE = 0.02
"""Share of chunks that may be off. A choice between near ties (routing, top-k) can turn out otherwise in a large
output; a kernel that gets less than this wrong at bench shapes alone has less to win than a model can tell apart."""
_KEPT_BYTES = 2 << 30
_WIDE = (DType.FLOAT32, DType.FLOAT64)


@dataclass(slots=True)
class BenchCache:
    """Bench inputs and what they should give, by task digest and workload, kept between candidates."""

    inputs: OrderedDict[tuple[str, str], dict[str, HostTensor]] = field(default_factory=OrderedDict)
    expected: dict[tuple[str, str], dict[str, NDArray[Any]]] = field(default_factory=dict)
    seed: int = field(default_factory=lambda: secrets.randbits(31))
    """From the operating system: a candidate that knew the values could recognise them."""

    def inputs_of(self, task: Task, workload: Workload) -> dict[str, HostTensor]:
        """Mint once, keep while there is room."""
        key = (task.source_digest, workload.name)
        if key not in self.inputs:
            self.inputs[key] = make_inputs(task, workload, seed=self.seed)
        self.inputs.move_to_end(key)
        while len(self.inputs) > 1 and self._bytes() > _KEPT_BYTES:
            self.inputs.popitem(last=False)
        return self.inputs[key]

    def expected_of(self, task: Task, workload: Workload) -> dict[str, NDArray[Any]]:
        """The reference's answer; in float64 only where outputs are as wide as float32."""
        key = (task.source_digest, workload.name)
        if key not in self.expected:
            wide = any(task.dtype_of(output, workload) in _WIDE for output in task.outputs)
            self.expected[key] = bench_oracle(task, workload, self.inputs_of(task, workload), wide=wide)
        return self.expected[key]

    def _bytes(self) -> int:
        return sum(tensor.nbytes for inputs in self.inputs.values() for tensor in inputs.values())


def check_written(
    task: Task,
    workload: Workload,
    got: Mapping[str, HostTensor],
    written: Mapping[str, NDArray[np.bool_]],
    expected: Mapping[str, NDArray[Any]],
) -> Wrong | None:
    """Compare the floating outputs' written elements with the reference's; None where they agree.

    Args:
        task: Its tolerance decides.
        workload: A bench workload.
        got: Outputs of the run.
        written: Which elements of each, flat, were written.
        expected: The reference's outputs, unrounded.
    """
    for name, mask in written.items():
        if name in expected and got[name].dtype.is_floating and mask.any() and not _counted(task, name):
            problem = _far(
                widened(got[name]).reshape(-1)[mask], expected[name].reshape(-1)[mask], got[name].dtype, task
            )
            if problem:
                where = np.unravel_index(int(np.flatnonzero(mask)[problem.element]), got[name].shape)
                message = (
                    f"{name} is wrong where it is timed, though right at smaller sizes: {problem.share:.0%} of the "
                    f"values looked at are off, by {problem.error:.3g} relative where {problem.allowed:.3g} is "
                    f"allowed. {name}{[int(i) for i in where]} is {problem.got:.6g}, expected {problem.expected:.6g}."
                )
                return Wrong(stage=Stage.PROFILE, message=message, workload=workload.name)
    return None


@dataclass(frozen=True, slots=True)
class _Problem:
    share: float
    error: float
    allowed: float
    element: int
    got: float
    expected: float


def _counted(task: Task, name: str) -> bool:
    return bool(getattr(task.tensor(name), "valid", None))


def _far(got: NDArray[np.float64], expected: NDArray[Any], dtype: DType, task: Task) -> _Problem | None:
    ideal = expected.astype(np.float64)
    ordinary = np.isfinite(ideal) & (np.abs(ideal) < 0.99 * finite_limit(dtype))
    got, ideal = got[ordinary], ideal[ordinary]
    if not got.size:
        return None
    allowed = _allowed(dtype, task.tolerance)
    error = np.where(np.isfinite(got), got - ideal, np.inf)
    edges = np.arange(0, got.size, CHUNK)
    sizes = np.diff([*edges, got.size])
    scale = np.sqrt(np.add.reduceat(np.square(ideal), edges) / sizes)
    whole = float(np.sqrt(np.mean(np.square(ideal))))
    ratio = np.sqrt(np.add.reduceat(np.square(error), edges) / sizes) / np.maximum(scale, max(0.1 * whole, 1e-30))
    bad = ratio > SLACK * allowed
    if bad.mean() <= SHARE:
        return None
    worst = int(np.abs(error).argmax())
    typical = float(np.median(ratio[bad]))
    element = int(np.flatnonzero(ordinary)[worst])
    return _Problem(float(bad.mean()), typical, SLACK * allowed, element, float(got[worst]), float(ideal[worst]))


def _allowed(dtype: DType, tolerance: Tolerance) -> float:
    cap = {DType.FLOAT32: 2e-5, DType.FLOAT64: 1e-9}.get(dtype, np.inf)
    return min(tolerance.floor, cap) + tolerance.k * ROUNDINGS * unit_roundoff(dtype)
