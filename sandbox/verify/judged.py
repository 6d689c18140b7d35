"""Outputs of which several are right, and properties of any right result, as a task's own functions judge them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Check, Property, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.blame import blaming
from warpsmith.tasks.convert import from_torch, to_torch, unit_roundoff

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, HostTensor]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a check finds of one output."""

    wrong: NDArray[np.bool_]
    """Of the output's shape."""
    reasons: Mapping[str, NDArray[np.bool_]]
    """What does not hold, and where; empty where the check does not tell."""

    def why(self) -> str:
        """The reasons in a sentence behind a blank, the most frequent first; nothing where the check does not tell."""
        counts = {reason: int(mask.sum()) for reason, mask in self.reasons.items()}
        told = sorted((reason for reason in counts if counts[reason]), key=lambda reason: -counts[reason])
        return f" Broken: {'; '.join(f'{reason} ({counts[reason]} places)' for reason in told)}." if told else ""


def judge(
    task: Task,
    workload: Workload,
    check: Check,
    got: Tensors,
    expected: Mapping[str, NDArray[Any]],
    inputs: Tensors,
    rows: NDArray[np.int64] | None = None,
) -> dict[str, Judgement]:
    """Ask a check which elements of its outputs are wrong.

    Args:
        task: Whose check it is.
        workload: Of the run.
        check: The question.
        got: Outputs of the run, of `rows` only where given.
        expected: The oracle's, of the same rows.
        inputs: What the run was given.
        rows: Positions along the task's `rows`; None for all.

    Returns:
        By output name.

    Raises:
        TaskError: the check raised or returned something else.
    """
    import torch

    arguments: dict[str, Any] = {
        "got": _copies(got),
        "expected": {name: torch.from_numpy(array.copy()) for name, array in expected.items()},
        "inputs": _copies(inputs),
        "dims": dims_of(task, workload),
    }
    if "rows" in inspect.signature(check.judge).parameters:
        extent = dims_of(task, workload)[task.rows] if task.rows else 0
        arguments["rows"] = torch.from_numpy(np.arange(extent) if rows is None else rows)
    what = f"the check of {', '.join(check.outputs)} at workload '{workload.name}'"
    found = _asked(task, what, check.judge, **arguments)
    told = f"{task.path}: {what}"
    return {name: _judgement(told, name, found, got[name].shape) for name in check.outputs}


def changed_inputs(task: Task, workload: Workload, prop: Property, inputs: Tensors, seed: int) -> tuple[Tensors, Any]:
    """The inputs a property asks for beside the given ones, and what it wants to remember of the change."""
    import torch

    what = f"the change of '{prop.name}' at workload '{workload.name}'"
    generator = torch.Generator().manual_seed(seed)
    found = _asked(task, what, prop.change, _copies(inputs), dims_of(task, workload), generator)
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[0], Mapping):
        raise TaskError(f"{task.path}: {what} returned no pair.", remedy="Return (inputs by name, what pairs needs).")
    changed = {}
    for name, tensor in inputs.items():
        value = found[0].get(name)
        if not isinstance(value, torch.Tensor) or tuple(value.shape) != tensor.shape:
            raise TaskError(f"{task.path}: {what} returned no {name} of shape {tensor.shape}.")
        try:
            changed[name] = from_torch(value.contiguous(), tensor.dtype)
        except ValueError as error:
            raise TaskError(f"{task.path}: {what}: {name}: {error}.") from error
    return changed, found[1]


def broken_property(
    task: Task, workload: Workload, prop: Property, first: Tensors, second: Tensors, known: Any, *, slack: float = 1.0
) -> str | None:
    """What of a property two runs do not show; None where it holds.

    Two right results lie within twice the tolerance of each other; `slack` scales that (a reference in float64 may
    err by next to nothing). Integers agree exactly.
    """
    what = f"the pairs of '{prop.name}' at workload '{workload.name}'"
    pairs = _asked(task, what, prop.pairs, _copies(first), _copies(second), known)
    if not isinstance(pairs, Mapping):
        raise TaskError(f"{task.path}: {what} are no dict.", remedy="Return {output: (one, other)}.")
    for name, pair in pairs.items():
        if name not in first or not _is_pair(pair):
            message = f"{task.path}: {what} have no pair of tensors of an output at {name!r}."
            raise TaskError(message, remedy="Return {output: (one, other)}.")
        one, other = pair
        if one.shape != other.shape:
            raise TaskError(f"{task.path}: {what}: {name} pairs {tuple(one.shape)} with {tuple(other.shape)}.")
        error, allowed = _distance(task, first[name], one, other)
        if error > slack * allowed:
            return (
                f"It does not hold that {prop.name}: {name} differs by {error:.3g} relative where "
                f"{slack * allowed:.3g} is allowed."
            )
    return None


def _is_pair(pair: Any) -> bool:
    import torch

    return isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(one, torch.Tensor) for one in pair)


def _distance(task: Task, tensor: HostTensor, one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Relative L2 distance of a pair, and how much two right results may show."""
    import torch

    if not tensor.dtype.is_floating:
        return float((one != other).sum()), 0.0
    one, other = one.to(torch.float64), other.to(torch.float64)
    same = (one == other) | (one.isnan() & other.isnan())
    if (~same & ~(one.isfinite() & other.isfinite())).any():
        return float("inf"), 0.0
    gap = torch.where(same, 0.0, one - other).square().sum().sqrt()
    size = torch.where(same & ~one.isfinite(), 0.0, one).square().sum().sqrt().clamp(min=1e-300)
    rounding = 2 * unit_roundoff(tensor.dtype)
    return float(gap / size), 2 * (task.tolerance.floor + task.tolerance.k * rounding)


def _asked(task: Task, what: str, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    with blaming(task.path, f"{what} raised"):
        return function(*args, **named)


def _judgement(what: str, name: str, found: Any, shape: tuple[int, ...]) -> Judgement:
    if not isinstance(found, Mapping) or name not in found:
        gave = f"names {', '.join(map(repr, found)) or 'nothing'}" if isinstance(found, Mapping) else "gave no mapping"
        meant = "`wrong` is a bool tensor, true where it is wrong, or a mapping from reasons to such tensors."
        raise TaskError(f"{what} {gave}, not the output {name}.", remedy=f'Return {{"{name}": wrong}}; {meant}')
    value = found[name]
    if not isinstance(value, Mapping):
        return Judgement(_mask(what, name, value, shape), {})
    masks = {str(reason): _mask(what, f"{name}, {reason!r}", mask, shape) for reason, mask in value.items()}
    wrong: NDArray[np.bool_] = np.logical_or.reduce([np.zeros(shape, dtype=np.bool_), *masks.values()])
    return Judgement(wrong, masks)


def _mask(what: str, name: str, value: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    import torch

    if not isinstance(value, torch.Tensor) or value.dtype != torch.bool or tuple(value.shape) != shape:
        raise TaskError(f"{what} gave no bool tensor {name} of shape {shape}.", remedy="True where it is wrong.")
    array: NDArray[np.bool_] = value.numpy()
    return array


def _copies(tensors: Tensors) -> dict[str, torch.Tensor]:
    return {name: to_torch(tensor).clone() for name, tensor in tensors.items()}
