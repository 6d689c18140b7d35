"""Whether what a kernel wrote at a bench shape is right, where only some blocks ran."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.outcome import Stage, Wrong
from warpsmith.core.task import Check, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.judged import judge
from warpsmith.sandbox.verify.measure import floors
from warpsmith.sandbox.verify.standard import MOST, farthest
from warpsmith.tasks.choices import chooses
from warpsmith.tasks.convert import finite_limit, unit_roundoff, widened
from warpsmith.tasks.oracle import bench_oracle, checked_tensors, honest, row_axis
from warpsmith.tasks.sample import make_inputs

CHUNK = 256
"""Written elements, in memory order, that are judged together."""
ROUNDINGS = 2.0
"""Roundings of the output's dtype that the honest result is taken to have. It is computed at bench shapes only for a
kernel that would be refused by these: where outputs cancel, as differences of a smooth field do, float32 is far off."""
ROWS, MOST_ROWS, ROWS_FLOPS = 96, 1024, 1e8
"""Rows looked at where the task's reference can be evaluated in part: at least so many; more while they cost less."""
SLACK = 2.0
"""A chunk may err by this much more than the whole."""
SHARE = 0.02
"""Share of chunks that may be off where the reference makes choices: one between near ties (routing, top-k) can turn
out otherwise in a large output. Where it makes none, no chunk may be off."""
_KEPT_BYTES = 2 << 30
_WIDE = (DType.FLOAT32, DType.FLOAT64)
_Key: TypeAlias = tuple[Hashable, ...]


def _key(task: Task, workload: Workload) -> _Key:
    """Stands for a task and all of a workload that inputs follow from: a name alone may be given twice."""
    dims, dtypes = frozenset(workload.dims.items()), frozenset(workload.dtypes.items())
    return task.source_digest, workload.name, workload.distribution, dims, dtypes, workload.absent


@dataclass(slots=True)
class BenchCache:
    """Bench inputs and what they should give, by task digest and workload, kept between candidates."""

    inputs: OrderedDict[_Key, dict[str, HostTensor]] = field(default_factory=OrderedDict)
    expected: dict[_Key, dict[str, NDArray[Any]]] = field(default_factory=dict)
    honest: dict[_Key, dict[str, HostTensor]] = field(default_factory=dict)
    seed: int = field(default_factory=lambda: secrets.randbits(31))
    """From the operating system: a candidate that knew the values could recognise them."""

    def inputs_of(self, task: Task, workload: Workload) -> dict[str, HostTensor]:
        """Mint once, keep while there is room."""
        key = _key(task, workload)
        if key not in self.inputs:
            self.inputs[key] = make_inputs(task, workload, seed=self.seed)
        self.inputs.move_to_end(key)
        while len(self.inputs) > 1 and self._bytes() > _KEPT_BYTES:
            self.inputs.popitem(last=False)
        return self.inputs[key]

    def expected_of(
        self, task: Task, workload: Workload, rows: NDArray[np.int64] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The reference's answer, whole (and kept) or of some rows; in float64 only where outputs are that wide."""
        key = _key(task, workload)
        wide = any(dtype in _WIDE for dtype, _ in checked_tensors(task, workload).values())
        if rows is not None:
            return bench_oracle(task, workload, self.inputs_of(task, workload), wide=wide, rows=rows)
        if key not in self.expected:
            self.expected[key] = bench_oracle(task, workload, self.inputs_of(task, workload), wide=wide)
        return self.expected[key]

    def honest_of(
        self, task: Task, workload: Workload, expected: Mapping[str, NDArray[Any]], rows: NDArray[np.int64] | None
    ) -> dict[str, HostTensor]:
        """The farthest honest result from what `expected_of` gave, whole (and kept) or of some rows."""
        key, inputs = _key(task, workload), self.inputs_of(task, workload)
        if rows is None and key in self.honest:
            return self.honest[key]
        found = farthest(task, workload, inputs, expected, honest(task, workload, inputs, rows), rows)
        if rows is None:
            self.honest[key] = found
        return found

    def _bytes(self) -> int:
        return sum(tensor.nbytes for inputs in self.inputs.values() for tensor in inputs.values())


def check_written(
    task: Task,
    workload: Workload,
    got: Mapping[str, HostTensor],
    written: Mapping[str, NDArray[np.bool_]],
    cache: BenchCache,
    seed: int,
    named: Collection[int] = (),
) -> Wrong | None:
    """Compare the outputs' written elements with the reference's; None where they agree.

    Args:
        task: Its tolerance and checks decide; where it has `rows`, a sample of the written ones is looked at.
        workload: A bench workload.
        got: Outputs of the run.
        written: Which elements of each, flat, were written.
        cache: Inputs of the run.
        seed: Draws the sample.
        named: Rows that are looked at in any case, where they were written.
    """
    share = SHARE if chooses(task) else 0.0
    look = _Look(task, workload, _sampled_rows(task, workload, got, written, seed, named), share)
    expected = cache.expected_of(task, workload, look.rows)
    # Seldom asked for, and dear: once for all outputs.
    beside = lru_cache(maxsize=1)(partial(cache.honest_of, task, workload, expected, look.rows))
    for name in [name for name in written if name in expected and name not in task.judged and not _counted(task, name)]:
        wrong = look.compared(name, got[name], written[name], expected[name], beside)
        if wrong is not None:
            return wrong
    for check in task.checks:
        wrong = look.judged(check, got, written, expected, cache.inputs_of(task, workload))
        if wrong is not None:
            return wrong
    return None


def _sampled_rows(
    task: Task,
    workload: Workload,
    got: Mapping[str, HostTensor],
    written: Mapping[str, NDArray[np.bool_]],
    seed: int,
    named: Collection[int],
) -> NDArray[np.int64] | None:
    """Written positions along the task's `rows`, a random choice of at most ROWS, beside those that are `named`; None
    for all of them.
    """
    dims = dims_of(task, workload)
    if not task.rows or dims[task.rows] <= ROWS:
        return None
    most = min(max(ROWS, int(ROWS_FLOPS * dims[task.rows] / max(task.cost(dims).flops, 1.0))), MOST_ROWS)
    found = np.zeros(dims[task.rows], np.bool_)
    for name, mask in written.items():
        axis = row_axis(task, name)
        if axis is not None:
            others = tuple(i for i in range(len(got[name].shape)) if i != axis)
            found |= mask.reshape(got[name].shape).any(axis=others)
    positions = np.flatnonzero(found).astype(np.int64)
    if len(positions) > most:
        random = np.random.default_rng(seed)
        asked = np.intersect1d(positions, np.array([*named], np.int64))
        asked = random.permutation(asked)[:ROWS]
        positions = np.union1d(random.choice(positions, most, replace=False), asked)
    return positions


@dataclass(frozen=True, slots=True)
class _Look:
    """The rows of one run that are looked at."""

    task: Task
    workload: Workload
    rows: NDArray[np.int64] | None
    share: float
    """Of what is looked at that may be off."""

    def compared(
        self,
        name: str,
        got: HostTensor,
        mask: NDArray[np.bool_],
        expected: NDArray[Any],
        beside: Callable[[], Mapping[str, HostTensor]],
    ) -> Wrong | None:
        """One output against the reference's: floats within the tolerance, integers equal, but for near ties."""
        seen = np.flatnonzero(self._part(name, mask.reshape(got.shape)))
        if not seen.size:
            return None
        values = self._part(name, widened(got) if got.dtype.is_floating else got.array).reshape(-1)[seen]
        ideal = expected.reshape(-1)[seen]
        if got.dtype.is_floating:
            problem = _far(values, ideal, got.dtype, self.task, self.share)
            if problem is not None:
                near = widened(beside()[name]).reshape(-1)[seen]
                problem = _far(values, ideal, got.dtype, self.task, self.share, near)
        else:
            problem = _other(values, ideal, self.share)
        if problem is None:
            return None
        shape = self._part(name, mask.reshape(got.shape)).shape
        where = self._place(name, np.unravel_index(int(seen[problem.element]), shape))
        allowed = f"where {problem.allowed:.3g} is allowed" if problem.allowed else "where none may be"
        return self._wrong(
            f"{name} is wrong where it is timed, though right at smaller sizes: {problem.share:.0%} of the "
            f"values looked at are off, by {problem.error:.3g} relative {allowed}. "
            f"{name}{where} is {problem.got:.6g}, expected {problem.expected:.6g}."
        )

    def judged(
        self,
        check: Check,
        got: Mapping[str, HostTensor],
        written: Mapping[str, NDArray[np.bool_]],
        expected: Mapping[str, NDArray[Any]],
        inputs: Mapping[str, HostTensor],
    ) -> Wrong | None:
        """A check of the task's own, on what was written whole. It knows which of several answers are right, so near
        ties excuse nothing.
        """
        shapes = {name: got[name].shape for name in check.outputs}
        masks = {name: self._part(name, written[name].reshape(shapes[name])) for name in check.outputs}
        if not self.task.rows and not all(mask.all() for mask in masks.values()):
            return None
        part = {name: _array_tensor(tensor, self._part(name, tensor.array)) for name, tensor in got.items()}
        wrong = judge(self.task, self.workload, check, part, expected, inputs, self.rows)
        for name, judgement in wrong.items():
            found = judgement.wrong
            lines = [_by_row(array, row_axis(self.task, name)) for array in (found, masks[name])]
            complete = lines[1].all(axis=1)
            bad = lines[0].any(axis=1) & complete
            if bad.any():
                where = self._place(name, np.argwhere(found)[0])
                return self._wrong(
                    f"{name} is wrong where it is timed, though right at smaller sizes: {int(bad.sum())} of "
                    f"{int(complete.sum())} rows looked at. It does not hold that {check.says}; first at {name}{where}."
                    f"{judgement.why()}"
                )
        return None

    def _part(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        axis = row_axis(self.task, name)
        return array if self.rows is None or axis is None else array.take(self.rows, axis=axis)

    def _place(self, name: str, index: Iterable[Any]) -> list[int]:
        """An index into the sampled part as one into the output."""
        place = [int(i) for i in index]
        axis = row_axis(self.task, name)
        if self.rows is not None and axis is not None:
            place[axis] = int(self.rows[place[axis]])
        return place

    def _wrong(self, message: str) -> Wrong:
        return Wrong(stage=Stage.PROFILE, message=message, workload=self.workload.name)


def _array_tensor(tensor: HostTensor, array: NDArray[Any]) -> HostTensor:
    return HostTensor(tensor.dtype, array.shape, np.ascontiguousarray(array))


def _by_row(array: NDArray[Any], axis: int | None) -> NDArray[Any]:
    """A matrix with the task's rows as rows; one row where the output has none."""
    if axis is None or not array.size:
        return array.reshape(1, -1)
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)


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


def _other(got: NDArray[Any], expected: NDArray[Any], share: float) -> _Problem | None:
    """Integers that differ, where they are more than near ties explain."""
    differs = got != expected
    if differs.mean() <= share:
        return None
    first = int(differs.argmax())
    return _Problem(float(differs.mean()), 1.0, 0.0, first, float(got[first]), float(expected[first]))


def _far(
    got: NDArray[np.float64],
    expected: NDArray[Any],
    dtype: DType,
    task: Task,
    share: float,
    beside: NDArray[np.float64] | None = None,
) -> _Problem | None:
    """What is off by more than roundings explain, or, where it is given, the error of the honest result."""
    ideal = expected.astype(np.float64)
    ordinary = np.isfinite(ideal) & (np.abs(ideal) < 0.99 * finite_limit(dtype))
    got, ideal = got[ordinary], ideal[ordinary]
    if not got.size:
        return None
    error = np.where(np.isfinite(got), got - ideal, np.inf)
    ratio, typical = _by_chunk(error, ideal), np.full(1, ROUNDINGS * unit_roundoff(dtype))
    if beside is not None:
        near = beside[ordinary]
        honest_ratio = _by_chunk(np.where(np.isfinite(near), near - ideal, 0.0), ideal)
        typical = np.maximum(typical, np.minimum(honest_ratio, MOST))
        typical[-1] = typical[-2:].max()  # The last chunk may have too few elements to tell.
    floor, _ = floors(dtype, task.tolerance)
    allowed = np.broadcast_to(SLACK * (floor + task.tolerance.k * typical), ratio.shape)
    bad = ratio > allowed
    if bad.mean() <= share:
        return None
    worst = int(np.abs(error).argmax())
    element = int(np.flatnonzero(ordinary)[worst])
    off, most = (float(np.median(values[bad])) for values in (ratio, allowed))
    return _Problem(float(bad.mean()), off, most, element, float(got[worst]), float(ideal[worst]))


def _by_chunk(error: NDArray[np.float64], ideal: NDArray[np.float64]) -> NDArray[np.float64]:
    """RMS of the error over that of what is right, by chunks; where that is little, over a tenth of the whole's."""
    edges = np.arange(0, error.size, CHUNK)
    sizes = np.diff([*edges, error.size])
    scale = np.sqrt(np.add.reduceat(np.square(ideal), edges) / sizes)
    whole = float(np.sqrt(np.mean(np.square(ideal))))
    found: NDArray[np.float64] = np.sqrt(np.add.reduceat(np.square(error), edges) / sizes)
    return found / np.maximum(scale, max(0.1 * whole, 1e-30))
