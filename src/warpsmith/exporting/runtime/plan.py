"""What a kernel computes and launches, with sizes as functions of dimensions, and how a call's dimensions are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

_LARGEST = 2**31 - 1
_WIDEST_SCAN = 1 << 16


class Names(dict[str, int]):
    """Integers by name. What the plan derives from others is worked out when it is first read."""

    def __init__(self, values: Mapping[str, int], derived: Mapping[str, Value]) -> None:
        super().__init__(values)
        self.derived = derived

    def __missing__(self, name: str) -> int:
        value = self[name] = self.derived[name](self)
        return value

    def more(self, **values: int) -> Names:
        """The same names and some more."""
        return Names({**self, **values}, self.derived)


Value: TypeAlias = Callable[[Names], int]
"""An integer expression."""


def cdiv(dividend: int, divisor: int) -> int:
    """Divide, rounding up."""
    return -(-dividend // divisor)


def align(value: int, unit: int) -> int:
    """The next multiple of `unit`."""
    return -(-value // unit) * unit


def pow2ceil(value: int) -> int:
    """The next power of two."""
    return 1 << max(value - 1, 0).bit_length()


def ilog2(value: int) -> int:
    """The logarithm, rounded down."""
    if value < 1:
        raise ValueError(f"ilog2 of {value} does not exist")
    return value.bit_length() - 1


class Extent(NamedTuple):
    """One dimension of a tensor, or a condition."""

    text: str
    value: Value
    names: frozenset[str]
    """Free dimensions it depends on."""


class Input(NamedTuple):
    """A tensor that a caller gives."""

    name: str
    shape: tuple[Extent, ...]
    dtype: str
    """PyTorch's name, or a dtype variable."""
    role: str = "dynamic"
    """`static`: the same over many calls; `inplace`: overwritten; else `dynamic`."""
    optional: bool = False


class Output(NamedTuple):
    """A tensor that a call returns."""

    name: str
    shape: tuple[Extent, ...]
    dtype: str
    valid: str = ""
    """Name of the output that tells how many leading rows count."""


class Buffer(NamedTuple):
    """Scratch memory."""

    name: str
    shape: tuple[Value, ...]
    dtype: str
    init: int | None = None
    """Every byte is set to it before a call; None: its first contents do not matter."""
    prepared: bool = False
    """Written once for each set of static inputs, read-only afterwards."""


class Fill(NamedTuple):
    """A memset."""

    tensor: str
    value: int
    when: Value | None = None


class Launch(NamedTuple):
    """A kernel launch."""

    kernel: str
    grid: tuple[Value, ...]
    block: tuple[Value, ...]
    args: tuple[str | Value, ...]
    """A tensor's or buffer's name, or an integer."""
    shared: Value | None = None
    when: Value | None = None
    repeat: Value | None = None
    cooperative: bool = False
    prepare: bool = False


class Entry(NamedTuple):
    """A compiled kernel."""

    name: str
    params: tuple[int, ...]
    """Bytes of each parameter."""
    static_shared: int = 0


class Build(NamedTuple):
    """Machine code for one set of constants and dtypes."""

    code: str
    entries: Mapping[str, Entry]


class Plan(NamedTuple):
    """Everything about a kernel but its machine code."""

    task: str
    kernel: str
    """Digest of the kernel that warpsmith verified."""
    target: str
    """`h200 (sm_90a)`."""
    capability: tuple[int, int]
    sms: int
    """Multiprocessors that a GPU must have at least."""
    most_shared: int
    """Bytes of dynamic shared memory that a block may have."""
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    dims: tuple[str, ...]
    derived: Mapping[str, Value]
    constraints: tuple[Extent, ...]
    requires: Extent | None
    constants: tuple[str, ...]
    variables: tuple[str, ...]
    """Of dtypes."""
    builds: Mapping[tuple[Any, ...], Build]
    """By the values of constants, then the dtypes that variables stand for."""
    buffers: tuple[Buffer, ...]
    steps: tuple[Fill | Launch, ...]
    reference_dims: tuple[str, ...]
    """Dimensions that the reference takes."""
    takes_dtypes: bool
    rows: str
    """Where the reference takes positions along a dimension, that dimension."""


def solve(plan: Plan, shapes: Mapping[str, Sequence[int]], given: Mapping[str, int]) -> dict[str, int]:
    """The value of every free dimension.

    Raises:
        ValueError: shapes contradict each other or the task, or leave a dimension open.
    """
    dims = read_off(plan, shapes, given)
    for name in plan.dims:
        if name not in dims:
            dims[name] = _solve(plan, name, dims, shapes)
    for tensor, item, extent in _equations(plan, shapes):
        if item.value(Names(dims, plan.derived)) != extent:
            raise ValueError(f"{plan.task}: {tensor} has extent {extent} where {item.text} is another, with {dims}.")
    for item in plan.constraints:
        if not item.value(Names(dims, plan.derived)):
            raise ValueError(f"{plan.task} needs {item.text}; the call has {dims}.")
    return {name: dims[name] for name in plan.dims}


def read_off(plan: Plan, shapes: Mapping[str, Sequence[int]], given: Mapping[str, int]) -> dict[str, int]:
    """Dimensions that stand alone in a shape, and those that the caller states."""
    unknown = sorted(set(given) - set(plan.dims))
    if unknown:
        raise ValueError(f"{plan.task} has no dimension {', '.join(unknown)}; it has {', '.join(plan.dims)}.")
    dims = dict(given)
    for tensor in plan.inputs:
        if tensor.name not in shapes:
            continue
        extents = shapes[tensor.name]
        if len(extents) != len(tensor.shape):
            declared = ", ".join(item.text for item in tensor.shape)
            raise ValueError(f"{plan.task}: {tensor.name} has {len(extents)} dimensions; [{declared}] is declared.")
        for item, extent in zip(tensor.shape, extents, strict=True):
            if item.text in plan.dims and dims.setdefault(item.text, extent) != extent:
                raise ValueError(f"{plan.task}: {tensor.name} has {item.text} = {extent}, not {dims[item.text]}.")
    return dims


def _equations(plan: Plan, shapes: Mapping[str, Sequence[int]]) -> list[tuple[str, Extent, int]]:
    return [
        (tensor.name, item, extent)
        for tensor in plan.inputs
        if tensor.name in shapes
        for item, extent in zip(tensor.shape, shapes[tensor.name], strict=True)
    ]


def _solve(plan: Plan, name: str, dims: Mapping[str, int], shapes: Mapping[str, Sequence[int]]) -> int:
    """The one value that fits every shape and constraint, expressions being monotone in it."""
    known = {*dims, name}
    ours = [(item, extent) for _, item, extent in _equations(plan, shapes) if name in item.names <= known]
    if not ours:
        raise ValueError(f"{plan.task}: the shapes do not tell {name}. State it: {name}=….")

    def at(item: Extent, value: int) -> int:
        return item.value(Names({**dims, name: value}, plan.derived))

    low, high = 0, _LARGEST
    for item, extent in ours:
        sign = 1 if at(item, _LARGEST) >= at(item, 1) else -1
        low = max(low, _first(lambda value, i=item, s=sign, e=extent: s * at(i, value) >= s * e))  # type: ignore[misc]
        high = min(high, _first(lambda value, i=item, s=sign, e=extent: s * at(i, value) > s * e) - 1)  # type: ignore[misc]
    usable = [item for item in plan.constraints if item.names <= known]
    fitting = [
        value
        for value in range(low, min(high, low + _WIDEST_SCAN) + 1)
        if all(at(item, value) == extent for item, extent in ours) and all(at(item, value) for item in usable)
    ]
    if len(fitting) != 1 or high - low >= _WIDEST_SCAN:
        raise ValueError(f"{plan.task}: {len(fitting)} values of {name} fit the shapes. State it: {name}=….")
    return fitting[0]


def _first(holds: Callable[[int], bool]) -> int:
    """The least value from 1 at which a condition that stays true becomes true."""
    low, high = 1, _LARGEST + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
