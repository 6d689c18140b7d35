"""Tensors after a run: what they hold, where they are written to, and how far they are from what a file expects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.emulation import ExpectationReport, TensorReport
from warpsmith.core.errors import SettingsError
from warpsmith.core.nearest import did_you_mean
from warpsmith.core.tensor import HostTensor

FIRST = 8
"""Leading elements that a report shows of every output."""
FIRST_DUMPED = 256
"""The same of a tensor that was asked for."""


@dataclass(frozen=True, slots=True)
class Dump:
    """`y`: show more of it. `y=out.npy`: write it to a file."""

    name: str
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Expectation:
    """`y=want.npy`: what a tensor should hold."""

    name: str
    file: Path
    values: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Values:
    """A tensor as numbers."""

    dtype: str
    array: NDArray[Any]
    floating: bool


def parse_dump(text: str) -> Dump:
    """Read `NAME` or `NAME=FILE.npy`.

    Raises:
        SettingsError: it is neither.
    """
    name, equals, file = text.partition("=")
    if not name or (equals and not file.endswith(".npy")):
        raise SettingsError(f"--dump {text} names no tensor or no .npy file.", remedy="Write y, or y=out.npy.")
    return Dump(name, Path(file) if equals else None)


def parse_expectation(text: str) -> Expectation:
    """Read `NAME=FILE.npy`, and the file.

    Raises:
        SettingsError: the text or the file cannot be read.
    """
    name, equals, file = text.partition("=")
    if not name or not equals:
        raise SettingsError(f"--expect {text} is no NAME=FILE.", remedy="Write y=want.npy.")
    return Expectation(name, Path(file), read_array(Path(file), "--expect"))


def read_array(path: Path, what: str) -> NDArray[Any]:
    """The array in a .npy file; never a pickled object.

    Raises:
        SettingsError: it is none.
    """
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{what}: {path} cannot be read: {error}.", remedy="Save it with numpy.save.") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise SettingsError(f"{what}: {path} holds no array of numbers.", remedy="Save one with numpy.save.")
    return array


def require_names(names: Iterable[str], known: Sequence[str], what: str) -> None:
    """Hold names against the tensors there are.

    Raises:
        SettingsError: one is not `known`.
    """
    for name in names:
        if name not in known:
            raise SettingsError(f"{what}: there is no tensor `{name}`.", remedy=did_you_mean(name, known))


def values_of(tensor: HostTensor) -> Values:
    """A tensor's numbers: bfloat16 and float8 as float32, everything else as it is."""
    return Values(tensor.dtype.value, _widened(tensor), tensor.dtype.is_floating)


def _widened(tensor: HostTensor) -> NDArray[Any]:
    if tensor.dtype is DType.BFLOAT16:
        return (tensor.array.astype(np.uint32) << 16).view(np.float32)
    if tensor.dtype in (DType.FLOAT8_E4M3, DType.FLOAT8_E5M2):
        from warpsmith.tasks.convert import widened

        return widened(tensor).astype(np.float32)
    return tensor.array


def report_tensors(tensors: Mapping[str, Values], dumps: Sequence[Dump] = ()) -> tuple[TensorReport, ...]:
    """Describe every tensor; write those that a dump names a file for."""
    files = {dump.name: dump.file for dump in dumps}
    return tuple(_report(name, item, name in files, files.get(name)) for name, item in tensors.items())


def _report(name: str, tensor: Values, dumped: bool, file: Path | None) -> TensorReport:
    numbers = tensor.array.reshape(-1).astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    if file is not None:
        try:
            np.save(file, tensor.array)
        except OSError as error:
            raise SettingsError(f"{file} cannot be written: {error}.", remedy="Choose another file.") from error
    first = numbers[: FIRST_DUMPED if dumped and file is None else FIRST]
    return TensorReport(
        name=name,
        dtype=tensor.dtype,
        shape=tensor.array.shape,
        smallest=float(finite.min()) if finite.size else None,
        largest=float(finite.max()) if finite.size else None,
        not_finite=int(numbers.size - finite.size),
        first=tuple(float(value) for value in first),
        file="" if file is None else str(file),
    )


def hold_against(tensor: Values, expectation: Expectation, tolerance: float) -> ExpectationReport:
    """Compare a tensor with the values of a file: integers exactly, floats by relative L2 error.

    NaN and infinities have to stand where the file has them.

    Raises:
        SettingsError: the file holds another number of elements.
    """
    want, shape = expectation.values, tensor.array.shape
    if want.size != math.prod(shape):
        raise SettingsError(
            f"--expect: {expectation.file} holds {want.size} elements; {expectation.name} has {math.prod(shape)}.",
            remedy="Save an array of the tensor's shape.",
        )
    difference = _differences(tensor.array.reshape(-1), want.reshape(-1))
    wanted = want.reshape(-1).astype(np.float64)
    norm = float(np.linalg.norm(wanted[np.isfinite(wanted)])) or 1.0
    relative = float(np.linalg.norm(difference)) / norm
    limit = tolerance if tensor.floating else 0.0
    worst = np.unravel_index(int(np.argmax(difference)), shape) if difference.size else ()
    return ExpectationReport(
        name=expectation.name,
        file=str(expectation.file),
        passed=relative <= limit,
        relative_l2=relative,
        largest=float(difference.max()) if difference.size else 0.0,
        limit=limit,
        worst=tuple(int(i) for i in worst),
    )


def _differences(got: NDArray[Any], want: NDArray[Any]) -> NDArray[np.float64]:
    """Absolute differences; 0 where both are the same NaN or infinity, infinite where only one is."""
    alike = got == want
    if got.dtype.kind == want.dtype.kind == "f":
        alike |= np.isnan(got) & np.isnan(want)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(got.astype(np.float64) - want.astype(np.float64))
    # Integers beyond 2^53 may differ where their float64 values do not.
    apart = np.maximum(np.nan_to_num(apart, nan=np.inf, posinf=np.inf), np.finfo(np.float64).tiny)
    return np.where(alike, 0.0, apart)
