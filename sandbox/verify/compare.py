"""Holds a run's outputs against the float64 oracle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.outcome import Stage, WorkloadCheck, Wrong
from warpsmith.core.task import Check, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.causes import guessed, not_finite, told_by_integers, told_by_values
from warpsmith.sandbox.verify.judged import judge
from warpsmith.sandbox.verify.measure import Floats, Measure, as_matrix, measure
from warpsmith.sandbox.verify.regions import Mask, describe, unfold
from warpsmith.tasks.convert import finite_limit, widened
from warpsmith.tasks.oracle import checked_tensors

_PASS = (0.0, 0.0, 0.0)
_TOO_MUCH_FOR_ROUNDING = 0.02
"""Relative error of a long sum in half precision, or of operands in fp8; what exceeds it has another cause."""
Explainer = Callable[[Task, Workload, str, Mapping[str, HostTensor], Mask, NDArray[Any], NDArray[Any]], str | None]
"""The mistake that gives an output's wrong values, in a sentence; arguments as `explain.explained` takes them."""
_Cause = Callable[[Mask, NDArray[Any], NDArray[Any]], str | None]
_MANY = 64
"""Elements from which a few wrong ones stand out among the rounded."""


def compare(
    task: Task,
    workload: Workload,
    got: Mapping[str, HostTensor],
    expected: Mapping[str, NDArray[Any]],
    honest: Mapping[str, HostTensor],
    *,
    inputs: Mapping[str, HostTensor] = MappingProxyType({}),
    seed: int = 0,
    explain: Explainer | None = None,
) -> WorkloadCheck | Wrong:
    """Decide whether outputs are right, and say what is wrong where they are not.

    Names, shapes and dtypes match exactly; integers are equal; NaN and Inf stand exactly where the honest result has
    them (an element within a rounding of the dtype's largest value may be either); and the error of every floating
    output, whole and by regions, is at most `tolerance.k` times the honest result's plus the floor.

    Args:
        task: Its tolerance decides.
        workload: Of the run.
        got: The run's outputs, and in-place inputs the reference returns.
        expected: `oracle(...)` on the same inputs.
        honest: `honest(...)` on the same inputs.
        inputs: Of the run; the task's own checks ask for them.
        seed: Of the inputs; recorded in the check.
        explain: Looks for the cause where the values do not tell it, which takes longer than all the rest: for those
            who show the report. `explain.explained` is one.
    """
    refusal = _layout(task, workload, got, expected)
    if refusal is not None:
        return refusal
    worst = _PASS
    for name in sorted(expected.keys() - task.judged, key=lambda name: (expected[name].dtype.kind == "f", name)):
        rows = _valid_rows(task, name, expected)
        cause = partial(explain, task, workload, name, inputs) if explain else None
        output = _Compared(task, workload, name, rows, cause)
        verdict = output.verdict(got[name], expected[name], honest[name])
        if isinstance(verdict, Wrong):
            return verdict
        worst = max(worst, verdict)
    for check in task.checks:
        refused = _judged(task, workload, check, got, expected, inputs)
        if refused is not None:
            return refused
    error, relative_l2, largest = worst
    return WorkloadCheck(workload=workload.name, seed=seed, error=error, relative_l2=relative_l2, largest=largest)


def _judged(
    task: Task,
    workload: Workload,
    check: Check,
    got: Mapping[str, HostTensor],
    expected: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, HostTensor],
) -> Wrong | None:
    """What the task's own check finds wrong, rows past a `valid` count left out."""
    for name, found in judge(task, workload, check, got, expected, inputs).items():
        rows = _valid_rows(task, name, expected)
        wrong = found.wrong[:rows] if found.wrong.ndim else found.wrong
        if wrong.any():
            where = describe(np.asarray(as_matrix(wrong), dtype=np.bool_), name, wrong.shape)
            row, column = (int(i) for i in np.argwhere(as_matrix(wrong))[0])
            value, known = as_matrix(got[name].array)[row, column], as_matrix(expected[name])[row, column]
            index = list(unfold(row, column, wrong.shape))
            message = f"Wrong in {where.text}: {check.says}.{found.why()}"
            return _wrong(workload, message, f"{name}{index} is {value}; the reference has {known:.6g} there")
    return None


def _layout(
    task: Task, workload: Workload, got: Mapping[str, HostTensor], expected: Mapping[str, NDArray[Any]]
) -> Wrong | None:
    declared = checked_tensors(task, workload)
    if set(got) != set(expected):
        names = f"{sorted(got)} where {sorted(expected)} are expected"
        return _wrong(workload, f"The run gave the outputs {names}.")
    for name in expected:
        dtype, shape = declared[name]
        if (got[name].dtype, got[name].shape) != (dtype, shape):
            found = f"{got[name].dtype} of shape {got[name].shape}"
            return _wrong(workload, f"{name} is {found}; it must be {dtype} of shape {shape}.")
    return None


def _valid_rows(task: Task, name: str, expected: Mapping[str, NDArray[Any]]) -> int | None:
    """How many leading rows count; None for all."""
    valid = getattr(task.tensor(name), "valid", None)
    return int(expected[valid].reshape(-1)[0]) if valid else None


def _wrong(workload: Workload, message: str, *details: str) -> Wrong:
    return Wrong(stage=Stage.COMPARE, message=message, workload=workload.name, details=details)


class _Compared:
    """One output under comparison."""

    def __init__(self, task: Task, workload: Workload, name: str, rows: int | None, explain: _Cause | None) -> None:
        self.task, self.workload, self.name, self.rows, self.explain = task, workload, name, rows, explain
        self.shape: tuple[int, ...] = ()

    def verdict(
        self, got: HostTensor, expected: NDArray[Any], honest: HostTensor
    ) -> Wrong | tuple[float, float, float]:
        """Error ratio, relative L2 and largest error; or what is wrong."""
        floating = got.dtype.is_floating
        values, ideal = (widened(got), widened(honest)) if floating else (got.array, honest.array)
        if self.rows is not None:
            values, expected, ideal = (array[: self.rows] for array in (values, expected, ideal))
        self.shape = expected.shape
        if expected.size == 0:
            return _PASS
        if not floating:
            return self._integers(values, expected)
        special = self._special(values, expected, ideal, finite_limit(got.dtype))
        if special is not None:
            return special
        finite = np.isfinite(values) & np.isfinite(expected) & np.isfinite(ideal)
        values, expected, ideal = (np.where(finite, array, 0.0) for array in (values, expected, ideal))
        result = measure(values, expected, ideal, got.dtype, self.task.tolerance)
        if result.passed:
            return result.ratio, result.relative_l2, result.largest
        return self._too_far(as_matrix(values), as_matrix(expected), result)

    def _integers(self, got: NDArray[Any], expected: NDArray[Any]) -> Wrong | tuple[float, float, float]:
        differs: Mask = as_matrix(got) != as_matrix(expected)
        if not differs.any():
            return _PASS
        where = describe(differs, self.name, self.shape)
        row, column = (int(i) for i in np.argwhere(differs)[0])
        first = self._element(as_matrix(got), as_matrix(expected), row, column)
        said = f"Integers are wrong in {where.text}; {first}. Integer outputs match exactly."
        given, right = as_matrix(got).astype(np.int64), as_matrix(expected).astype(np.int64)
        cause = self._explained(given, right, differs) or told_by_integers(given, right, differs)
        return _wrong(self.workload, f"{said} {cause}" if cause else said)

    def _special(self, got: Floats, expected: Floats, honest: Floats, limit: float) -> Wrong | None:
        """NaN and Inf where the honest result has none, or the other way round."""
        # Two roundings decide on which side of the largest finite value an element falls.
        borderline = np.isfinite(expected) & (np.abs(np.abs(expected) / limit - 1) < 1 / 128)
        alike = (got == honest) | (np.isnan(got) & np.isnan(honest)) | (np.isfinite(got) & np.isfinite(honest))
        differs: Mask = np.asarray(as_matrix(~alike & ~(borderline & ~np.isnan(got))), dtype=np.bool_)
        if not differs.any():
            return None
        where = describe(differs, self.name, self.shape)
        row, column = (int(i) for i in np.argwhere(differs)[0])
        value = as_matrix(got)[row, column]
        element = self._element(as_matrix(got), as_matrix(honest), row, column)
        cause = not_finite(float(value), float(as_matrix(honest)[row, column]), limit)
        return _wrong(self.workload, f"Not finite where it should be, or the reverse: {where.text}. {cause}", element)

    def _too_far(self, got: Floats, expected: Floats, result: Measure) -> Wrong:
        figures, exceeded = _figures(result), _exceeded(result)
        region = result.worst_region
        box = np.zeros(got.shape, dtype=np.bool_)
        box[slice(*region.rows), slice(*region.columns)] = True
        wrong = _gross(got, expected)
        if not wrong.any():
            wrong = _apart(got, expected)
        if not wrong.any():
            where = describe(box, self.name, self.shape)
            cause = self._explained(got, expected, np.ones_like(box)) or _slightly_off(result.relative_l2, got.size)
            worst = self._worst(got, expected, box)
            return _wrong(self.workload, f"Too inaccurate, worst in {where.text}: {exceeded}. {cause}", worst, *figures)
        where = describe(wrong, self.name, self.shape)
        cause = (
            told_by_values(got, expected, wrong, tail=where.tail)
            or self._explained(got, expected, wrong)
            or guessed(got, expected, wrong, tail=where.tail)
        )
        details = (self._worst(got, expected, wrong), *figures)
        return _wrong(self.workload, f"Wrong values in {where.text}: {exceeded}. {cause}", *details)

    def _explained(self, got: NDArray[Any], expected: NDArray[Any], wrong: Mask) -> str | None:
        """The mistake that would give these values, where somebody looks for it."""
        return self.explain(wrong, got, expected) if self.explain else None

    def _worst(self, got: Floats, expected: Floats, among: Mask) -> str:
        error = np.where(among, np.abs(got - expected), -1.0)
        row, column = (int(i) for i in np.unravel_index(int(error.argmax()), error.shape))
        return f"worst element: {self._element(got, expected, row, column)}"

    def _element(self, got: NDArray[Any], expected: NDArray[Any], row: int, column: int) -> str:
        index = list(unfold(row, column, self.shape))
        return f"{self.name}{index} is {got[row, column]:.6g}, expected {expected[row, column]:.6g}"


def _figures(result: Measure) -> tuple[str, ...]:
    """The measured errors, each beside its limit."""
    return (
        f"relative L2 error {result.relative_l2:.3g}, allowed {result.limits.relative_l2:.3g}",
        f"largest error over RMS {result.largest:.3g}, allowed {result.limits.largest:.3g}",
        f"RMS error of the worst region {result.worst_region.ratio:.3g} times what it may be",
    )


def _exceeded(result: Measure) -> str:
    """The first figure that is too large: a region can be, where the whole is not."""
    whole, largest, region = _figures(result)
    if result.relative_l2 > result.limits.relative_l2:
        return whole
    return largest if result.largest > result.limits.largest else region


_FEW = 4
"""Values that agree in being off by chance."""


def _slightly_off(relative_l2: float, values: int) -> str:
    """What an error that all values share is likely to come from."""
    precision = "a sum or an intermediate is kept in too low a precision; use float32"
    if values <= _FEW:
        return f"There are few values to judge by: a term is missing or counted twice, or {precision}."
    if relative_l2 < _TOO_MUCH_FOR_ROUNDING:
        return f"Every value is slightly off: {precision}."
    return f"Every value is off: a small part of the sum is missing or counted twice, or {precision}."


@np.errstate(over="ignore")
def _apart(got: Floats, expected: Floats) -> Mask:
    """The elements that make up nearly all of the error, each beside its own size, where they are few."""
    # Next to nothing where 0 is expected is not what the others are off by.
    least = max(1e-6 * float(np.sqrt(np.square(expected).mean())), float(np.finfo(np.float64).tiny))
    error = np.square((got - expected) / np.maximum(np.abs(expected) + _nearby(expected), least))
    ranked, few = np.sort(error, axis=None)[::-1], error.size // 8
    if error.size < _MANY or ranked[:few].sum() < 0.99 * ranked.sum():
        return np.zeros_like(error, dtype=np.bool_)
    wrong: Mask = error > 0.01 * ranked[0]
    return wrong


def _gross(got: Floats, expected: Floats) -> Mask:
    """Elements that no rounding explains: off by a twentieth of themselves and of their row's or column's RMS.

    None where they are only chance: elements that cancel, while most of the error lies elsewhere.
    """
    error = np.square(got - expected)
    wrong: Mask = np.sqrt(error) > 0.05 * (np.abs(expected) + _nearby(expected))
    return wrong if error[wrong].sum() > 0.5 * error.sum() else np.zeros_like(wrong)


def _nearby(expected: Floats) -> Floats:
    """The smaller RMS of each element's row and column, where those are long enough to have one; else the whole's."""
    squares = np.square(expected)
    lines = [squares.mean(axis=axis, keepdims=True) for axis in (0, 1) if squares.shape[axis] >= 8]
    scale: Floats = np.sqrt(
        np.minimum.reduce([np.broadcast_to(line, squares.shape) for line in lines or [squares.mean()]])
    )
    return scale
