"""Finds the mistake that reproduces a wrong output: the reference is asked again on inputs changed as a bug would.

A kernel that leaves out a scale computes what the reference gives for scales of one; one that drops a tile of K, what
it gives where the last k of an operand are zero. Where a change brings the reference to the wrong values, it names the
bug.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.measure import as_matrix
from warpsmith.sandbox.verify.regions import Mask
from warpsmith.tasks.binding import shape_of
from warpsmith.tasks.convert import narrowed, widened
from warpsmith.tasks.oracle import oracle

Values = NDArray[Any]
Inputs = Mapping[str, HostTensor]

EXPLAINED, BEYOND_DOUBT = 0.1, 0.01
"""Distance left over by a change that explains the wrong values, beside their distance from the right ones; and by one
after which no other is tried."""
LEAST = 8
"""Wrong elements from which an agreement is no chance: hundreds of changes are tried."""
WORK, MOST = 3e9, 600
"""Operations and bytes that all changes tried may take together, and how many those may be."""
_TILES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class _Change:
    """What a bug does to the inputs."""

    says: str
    """Ends `The values there are what the reference gives ...`."""
    name: str = ""
    """The input, where it is one that changes."""
    apply: Callable[[Values], Values] | None = None
    """Its values to others; None: the input is not given at all."""
    dims: Mapping[str, int] = field(default_factory=dict)
    """Dimensions that the reference is told instead."""


def explained(
    task: Task, workload: Workload, output: str, inputs: Inputs, wrong: Mask, got: Values, expected: Values
) -> str | None:
    """The change of the inputs under which the reference gives the wrong values, in a sentence; None where none does.

    Args:
        task: Its reference is asked.
        workload: Of the run.
        output: Name of the wrong output.
        inputs: What the run was given.
        wrong: Matrix, true where it is grossly wrong.
        got: Values of the run as a matrix, finite.
        expected: Values that are right, of the same shape; the output may have more rows that do not count.
    """
    if wrong.sum() < LEAST:
        return None
    cost = task.cost(dims_of(task, workload))
    most = min(MOST, int(WORK / max(cost.work, 1)))
    best, found, apart = EXPLAINED, None, _distance(got, expected, wrong)
    for change in islice(_changes(task, workload, inputs), most):
        other = _given(task, workload, output, change, inputs)
        if other is None or len(other) < len(got) or other.shape[1] != got.shape[1]:
            continue
        left = _distance(got, other[: len(got)], wrong) / apart
        if left < 0.5 * best or (found is None and left < best):
            best, found = left, change
        if best < BEYOND_DOUBT:
            break
    return f"The values there are what the reference gives {found.says}." if found else None


def _given(task: Task, workload: Workload, output: str, change: _Change, inputs: Inputs) -> Values | None:
    """The output under a change, as a matrix; None where the reference cannot take it or it is not finite."""
    changed = {name: value for name, value in inputs.items() if name != change.name}
    if change.apply is not None:
        given = inputs.get(change.name) or _blank(task, workload, change.name)
        changed[change.name] = narrowed(
            change.apply(widened(given) if given.dtype.is_floating else given.array), given.dtype
        )
    try:
        values = oracle(task, replace(workload, dims={**workload.dims, **change.dims}), changed)[output]
    except TaskError:
        return None
    return as_matrix(values) if values.dtype.kind != "f" or np.isfinite(values).all() else None


def _blank(task: Task, workload: Workload, name: str) -> HostTensor:
    """Zeros for an optional input that is not given."""
    tensor = task.tensor(name)
    dtype, shape = task.dtype_of(tensor, workload), shape_of(task, tensor, workload)
    return HostTensor(dtype, shape, np.zeros(shape, dtype.storage))


def _distance(got: Values, other: Values, among: Mask) -> float:
    """How far apart two matrices are: in L2, or in elements where they are integers."""
    if got.dtype.kind != "f":
        return float((got[among] != other[among]).sum())
    return float(np.linalg.norm(got[among] - other[among]))


def _changes(task: Task, workload: Workload, inputs: Inputs) -> Iterator[_Change]:
    """Likely ones first."""
    given = [tensor for tensor in task.inputs if tensor.name in inputs and inputs[tensor.name].array.size]
    for tensor in given:
        if tensor.optional:
            yield _Change(f"without {tensor.name}, which is optional: it is ignored", tensor.name, None)
        yield from _of_all_values(tensor, inputs[tensor.name].dtype)
        if inputs[tensor.name].array.dtype.kind == "i" and (inputs[tensor.name].array == -1).any():
            says = f"where {tensor.name} holds 0 in place of -1: holes are not skipped"
            yield _Change(says, tensor.name, lambda values: np.maximum(values, 0))
        if _is_packed(inputs[tensor.name]):
            yield from _repacked(tensor.name)
    for tensor in task.inputs:
        if tensor.optional and tensor.name not in inputs:
            yield from _assumed(tensor, task.dtype_of(tensor, workload))
    yield from _swapped(given, inputs)
    for tensor in given:
        yield from _reread(tensor, inputs[tensor.name])
    yield from _told_otherwise(task, workload)
    axes = [(tensor, axis, inputs[tensor.name].shape[axis]) for tensor in given for axis in range(len(tensor.shape))]
    for kind in (_along, _among):
        for tensor, axis, extent in axes:
            if extent > 1:
                yield from kind(tensor, axis, extent)


def _assumed(tensor: Tensor, dtype: DType) -> Iterator[_Change]:
    """A constant in place of an optional input that is not given."""
    for value in range(1 if dtype.is_floating else 16):
        says = f"where {tensor.name}, which is not given here, is {value} throughout"
        yield _Change(says, tensor.name, lambda values, value=value: np.full_like(values, value))  # type: ignore[misc]


def _of_all_values(tensor: Tensor, dtype: DType) -> Iterator[_Change]:
    name = tensor.name
    if dtype.is_floating:
        yield _Change(f"where {name} is 1 throughout: it is never multiplied in", name, np.ones_like)
        yield _Change(f"where {name} is 0 throughout: it has no effect", name, np.zeros_like)
        yield _Change(f"for the opposite of {name}: its sign is turned", name, np.negative)
        yield _Change(f"for the absolute values of {name}: its sign is lost", name, np.abs)
        if dtype.itemsize >= 2:
            yield _Change(f"for {name} rounded to three bits of mantissa: it passes through fp8", name, _rounded(3))
        if dtype in (DType.FLOAT16, DType.FLOAT32):
            yield _Change(f"for {name} rounded to bfloat16", name, _rounded(7))
        if dtype is DType.FLOAT32:
            yield _Change(f"for {name} rounded to tf32 or float16", name, _rounded(10))
    else:
        yield _Change(f"where {name} is larger by one throughout", name, lambda values: values + values.dtype.type(1))
        yield _Change(f"where {name} is smaller by one throughout", name, lambda values: values - values.dtype.type(1))


def _is_packed(value: HostTensor) -> bool:
    """Whether words hold several codes: their top bits are in use, as those of an index never are."""
    return value.dtype is DType.INT32 and float(np.median(np.abs(value.array.astype(np.float64)))) > 1 << 24


def _repacked(name: str) -> Iterator[_Change]:
    yield _Change(f"for {name} with the nibbles of each word in reverse order", name, _reversed_nibbles)
    yield _Change(f"for {name} with the bytes of each word in reverse order", name, _reversed_bytes)
    yield _Change(f"for {name} with the top bit of each nibble turned: signed codes", name, _signed_nibbles)


def _swapped(given: list[Tensor], inputs: Inputs) -> Iterator[_Change]:
    for first in given:
        for second in given:
            one, other = inputs[first.name], inputs[second.name]
            if first.name != second.name and (one.dtype, one.shape) == (other.dtype, other.shape):
                values = widened(other) if other.dtype.is_floating else other.array
                says = f"where {first.name} holds what {second.name} does: one is read in the other's place"
                yield _Change(says, first.name, lambda _, values=values: values)  # type: ignore[misc]


def _along(tensor: Tensor, axis: int, extent: int) -> Iterator[_Change]:
    """Terms left out at an end, places shifted by one, halves taken for a braid, along one dimension."""
    where, index = f"along {_dimension(tensor, axis)} of {tensor.name}", np.arange(extent)

    def taken(says: str, places: NDArray[np.int64]) -> _Change:
        return _Change(f"{says} {where}", tensor.name, _taken(axis, places))

    yield taken("where each place is read from the one behind it", np.minimum(index + 1, extent - 1))
    yield taken("where each place is read from the one before it", np.maximum(index - 1, 0))
    rests = {extent % tile for tile in _TILES} - {0}
    for count in sorted({*_TILES, *rests, extent // 2}):
        if 0 < count < extent:
            for end, places in (("last", slice(-count, None)), ("first", slice(count))):
                some = f"the {end} {count} of {extent}" if count > 1 else f"the {end} place"
                says = f"without {some} {where}: those are left out"
                yield _Change(says, tensor.name, _without(axis, places))
    yield taken("for the reverse order", index[::-1])
    if extent % 2 == 0 and extent > 2:
        yield taken("where halves are read in place of even and odd places", index.reshape(2, -1).T.reshape(-1))
        yield taken("where even and odd places are read in place of halves", index.reshape(-1, 2).T.reshape(-1))


def _among(tensor: Tensor, axis: int, extent: int) -> Iterator[_Change]:
    """Places left out by a bit of their index, and groups of places that are swapped or reversed."""
    name, where = tensor.name, f"along {_dimension(tensor, axis)} of {tensor.name}"
    index = np.arange(extent)
    for size in (tile for tile in _TILES if 2 * tile <= extent):
        for bit, which in ((0, "even"), (1, "odd")):
            out = index // size % 2 == bit
            places = f"{which} places" if size == 1 else f"every second {size} places ({which} ones)"
            yield _Change(f"without {places} {where}: those are left out", name, _without(axis, out))
        if extent % (2 * size) == 0:
            says = f"where neighbouring {f'groups of {size} ' if size > 1 else ''}places are swapped {where}"
            yield _Change(says, name, _taken(axis, index ^ size))
            if size > 1:
                says = f"where places are reversed in every group of {2 * size} {where}"
                yield _Change(says, name, _taken(axis, index ^ (2 * size - 1)))


def _told_otherwise(task: Task, workload: Workload) -> Iterator[_Change]:
    """Dimensions that the reference is told, one off, halved or doubled."""
    asked = inspect.signature(task.reference).parameters
    for name in (name for name in task.dims if name in asked):
        size = workload.dims[name]
        for other in dict.fromkeys((size - 1, size + 1, size // 2, 2 * size)):
            if other > 0 and other != size:
                yield _Change(f"for {name} = {other}, where it is {size}", dims={name: other})


def _reread(tensor: Tensor, value: HostTensor) -> Iterator[_Change]:
    """Rows and columns mixed up."""
    if len(value.shape) < 2:
        return
    first, second = (_dimension(tensor, axis) for axis in (len(value.shape) - 2, len(value.shape) - 1))
    says = f"where {tensor.name} is taken to lie transposed in memory ({second} before {first})"
    yield _Change(says, tensor.name, _transposed)


def _dimension(tensor: Tensor, axis: int) -> str:
    text = tensor.shape[axis]
    return text if text.isidentifier() else f"`{text}`" if not text.isdigit() else f"dimension {axis}"


def _rounded(bits: int) -> Callable[[Values], Values]:
    """To so many bits of mantissa, to nearest."""

    def change(values: Values) -> Values:
        mantissa, exponent = np.frexp(values)
        rounded: Values = np.ldexp(np.rint(np.ldexp(mantissa, bits + 1)), exponent - bits - 1)
        return rounded

    return change


def _taken(axis: int, places: NDArray[np.int64]) -> Callable[[Values], Values]:
    return lambda values: np.take(values, places, axis)


def _without(axis: int, out: slice | NDArray[np.bool_]) -> Callable[[Values], Values]:
    """Some places zero; of integers with holes, which are told by -1, those."""

    def change(values: Values) -> Values:
        changed = np.moveaxis(values.copy(), axis, 0)
        changed[out] = -1 if values.dtype.kind == "i" and (values == -1).any() else 0
        return np.moveaxis(changed, 0, axis)

    return change


def _transposed(values: Values) -> Values:
    *lead, rows, columns = values.shape
    return np.ascontiguousarray(values.reshape(*lead, columns, rows).swapaxes(-1, -2))


def _nibbles(values: Values) -> Values:
    return values.view(np.uint32)[..., None] >> np.arange(0, 32, 4, dtype=np.uint32) & np.uint32(15)


def _reversed_nibbles(values: Values) -> Values:
    shifts = np.arange(28, -4, -4).astype(np.uint32)
    words: Values = (_nibbles(values) << shifts).sum(axis=-1, dtype=np.uint32).view(values.dtype)
    return words


def _reversed_bytes(values: Values) -> Values:
    return values.byteswap()


def _signed_nibbles(values: Values) -> Values:
    words: Values = (values.view(np.uint32) ^ np.uint32(0x88888888)).view(values.dtype)
    return words
