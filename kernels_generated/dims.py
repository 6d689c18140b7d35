"""Finds a call's dimensions from the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from warpsmith.core.errors import KernelFileError, TaskError
from warpsmith.core.expression import Expression
from warpsmith.core.task import Task

_LARGEST = 2**31 - 1
_WIDEST_SCAN = 1 << 16
"""Values tried one by one once bisection has narrowed a dimension down."""


def solve_dims(task: Task, shapes: Mapping[str, Sequence[int]], given: Mapping[str, int]) -> dict[str, int]:
    """The value of every free dimension.

    A dimension that stands alone in a shape is read off; one that stands in an expression only, such as `G` in
    `K // G`, is the single value that fits every shape and constraint, taking expressions as monotone in it.

    Args:
        task: Declares tensors, dimensions and constraints.
        shapes: Input name -> extents, for each tensor that is present.
        given: Dimensions the caller states.

    Raises:
        TaskError: shapes contradict each other or the task, or leave a dimension open.
    """
    dims = read_off(task, shapes, given)
    equations = _equations(task, shapes)
    for name in task.dims:
        if name not in dims:
            dims[name] = _solve(task, name, dims, equations)
    _verify(task, dims, equations)
    return {name: dims[name] for name in task.dims}


def needed_keywords(task: Task) -> tuple[str, ...]:
    """Dimensions that stand alone in no input's shape: a caller may have to name them."""
    alone = {text for tensor in task.inputs if not tensor.optional for text in tensor.shape}
    return tuple(name for name in task.dims if name not in alone)


def read_off(task: Task, shapes: Mapping[str, Sequence[int]], given: Mapping[str, int]) -> dict[str, int]:
    """Dimensions that stand alone in a shape, and those the caller states."""
    unknown = sorted(set(given) - set(task.dims))
    if unknown:
        raise TaskError(
            f"{task.name} has no dimension {', '.join(unknown)}.", remedy=f"It has: {', '.join(task.dims)}."
        )
    dims = dict(given)
    for tensor in task.inputs:
        if tensor.name not in shapes:
            continue
        extents = shapes[tensor.name]
        if len(extents) != len(tensor.shape):
            raise TaskError(f"{tensor.name} has {len(extents)} dimensions; {_declared(tensor.shape)} is declared.")
        for text, extent in zip(tensor.shape, extents, strict=True):
            if text not in task.dims:
                continue
            if dims.setdefault(text, extent) != extent:
                raise TaskError(f"{tensor.name} {_declared(tensor.shape)} has {text} = {extent}, not {dims[text]}.")
    return dims


@dataclass(frozen=True, slots=True)
class _Equation:
    """One extent that is an expression."""

    tensor: str
    expression: Expression
    extent: int
    names: frozenset[str]
    """Free dimensions it depends on."""


def _equations(task: Task, shapes: Mapping[str, Sequence[int]]) -> list[_Equation]:
    return [
        _Equation(tensor.name, expression, extent, free_names(task, expression))
        for tensor in task.inputs
        if tensor.name in shapes
        for text, extent in zip(tensor.shape, shapes[tensor.name], strict=True)
        for expression in (Expression.parse(text),)
    ]


def free_names(task: Task, expression: Expression) -> frozenset[str]:
    """Names an expression reads, derived dimensions replaced by what they are derived from."""
    names: set[str] = set()
    for name in expression.names:
        derived = task.derived.get(name)
        names |= free_names(task, Expression.parse(derived)) if derived else {name}
    return frozenset(names)


def _solve(task: Task, name: str, dims: Mapping[str, int], equations: Sequence[_Equation]) -> int:
    """The one value of `name` that fits every equation and constraint whose other dimensions are known."""
    known = {*dims, name}
    ours = [item for item in equations if name in item.names and item.names <= known]
    if not ours:
        raise TaskError(f"the shapes do not tell {name}.", remedy=f"State it: {name}=….")
    low, high = 0, _LARGEST
    for item in ours:
        first, last = _range(task, name, dims, item)
        low, high = max(low, first), min(high, last)
    if high - low >= _WIDEST_SCAN:
        raise TaskError(f"the shapes leave {name} between {low} and {high}.", remedy=f"State it: {name}=….")
    constraints = [Expression.parse(text) for text in task.constraints]
    usable = [item for item in constraints if free_names(task, item) <= known]
    fitting = [value for value in range(low, high + 1) if _fits(task, {**dims, name: value}, ours, usable)]
    if len(fitting) != 1:
        what = "no value of" if not fitting else f"{len(fitting)} values of"
        raise TaskError(f"{what} {name} fit the shapes.", remedy=f"State it: {name}=…." if fitting else "")
    return fitting[0]


def _range(task: Task, name: str, dims: Mapping[str, int], item: _Equation) -> tuple[int, int]:
    """Least and largest value of `name` at which a monotone expression has its extent; an empty range where none."""

    def at(value: int) -> int:
        return _value(task, item.expression, {**dims, name: value})

    sign = 1 if at(_LARGEST) >= at(1) else -1
    target = sign * item.extent
    first = _bisect(lambda value: sign * at(value) >= target)
    last = _bisect(lambda value: sign * at(value) > target) - 1
    return first, last


def _bisect(holds: Callable[[int], bool]) -> int:
    """The least value from 1 at which a condition that stays true becomes true; one past the largest where never."""
    low, high = 1, _LARGEST + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _fits(task: Task, dims: Mapping[str, int], ours: Sequence[_Equation], constraints: Sequence[Expression]) -> bool:
    return all(_value(task, item.expression, dims) == item.extent for item in ours) and all(
        _value(task, item, dims) for item in constraints
    )


def _value(task: Task, expression: Expression, dims: Mapping[str, int]) -> int:
    env = dict(dims)
    try:
        for name, text in task.derived.items():
            if name in _reads(task, expression):
                env[name] = Expression.parse(text).evaluate(env)
        return expression.evaluate(env)
    except KernelFileError as error:
        raise TaskError(f"{task.name}: {error.message}") from error


def _reads(task: Task, expression: Expression) -> frozenset[str]:
    """Names an expression reads, directly or through derived dimensions."""
    names = set(expression.names)
    for name in expression.names & task.derived.keys():
        names |= _reads(task, Expression.parse(task.derived[name]))
    return frozenset(names)


def _verify(task: Task, dims: Mapping[str, int], equations: Sequence[_Equation]) -> None:
    for item in equations:
        value = _value(task, item.expression, dims)
        if value != item.extent:
            shown = ", ".join(f"{name} = {dims[name]}" for name in sorted(item.names))
            raise TaskError(
                f"{item.tensor} has extent {item.extent} where {item.expression.text} is {value} ({shown})."
            )
    for text in task.constraints:
        if not _value(task, Expression.parse(text), dims):
            shown = ", ".join(f"{name} = {dims[name]}" for name in task.dims)
            raise TaskError(f"{task.name} needs {text}; the call has {shown}.")


def _declared(shape: Sequence[str]) -> str:
    return f"[{', '.join(shape)}]"
