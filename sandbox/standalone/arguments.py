"""Arguments of a kernel in words: `f32[1024]=random`, `y:out:f32[32,32]`, `i32=1024`, `null`, `bytes=00ff`.

A pointer's word is `[NAME:][in:|out:|inout:]TYPE[SHAPE][=VALUE]`, a scalar's `[NAME:]TYPE=NUMBER`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.errors import SettingsError
from warpsmith.core.nearest import did_you_mean
from warpsmith.sandbox.standalone.tensors import Values, read_array

FORMS = "Write f32[1024]=random, y:out:f32[1024], i32=1024, null or bytes=00ff."
ROLES = ("in", "out", "inout")
LARGEST = 1 << 32
"""Bytes of one tensor."""
RANDOM_INTEGERS = 100
"""Random integers lie below this, so that they serve as small indices."""

_WORD = re.compile(
    r"(?P<prefixes>(?:[A-Za-z_]\w*:){0,2})(?P<type>\w+)(?:\[(?P<shape>[^\]]*)\])?(?:=(?P<value>.*))?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class ElementType:
    """An element or scalar type of arguments."""

    name: str
    storage: np.dtype[Any]
    floating: bool

    def encode(self, values: NDArray[Any]) -> NDArray[Any]:
        """Numbers as this type's bits, rounded to nearest even."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self.name == "bf16":
                bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
                rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
                return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)
            return values.astype(self.storage)

    def decode(self, bits: NDArray[Any]) -> NDArray[Any]:
        """The numbers that bits of this type stand for."""
        return (bits.astype(np.uint32) << 16).view(np.float32) if self.name == "bf16" else bits


_BITS = (8, 16, 32, 64)
_STORAGE = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "uint16", "bool": "bool"}
_STORAGE |= {f"i{bits}": f"int{bits}" for bits in _BITS} | {f"u{bits}": f"uint{bits}" for bits in _BITS}
TYPES = {name: ElementType(name, np.dtype(storage), name.startswith(("f", "bf"))) for name, storage in _STORAGE.items()}


@dataclass(frozen=True, slots=True)
class TensorArgument:
    """A pointer to memory of its own."""

    name: str
    type: ElementType
    data: NDArray[Any]
    """Of the type's storage, in the tensor's shape."""
    writable: bool
    initialised: bool

    def values(self) -> Values:
        """What it holds now."""
        return Values(self.type.name, self.type.decode(self.data), self.type.floating)


@dataclass(frozen=True, slots=True)
class ValueArgument:
    """Bytes passed by value: a scalar, a struct or a null pointer."""

    name: str
    data: bytes
    text: str


Argument = TensorArgument | ValueArgument


def parse_argument(text: str, default_name: str, random: np.random.Generator) -> Argument:
    """Read one argument and make its data.

    Raises:
        SettingsError: it cannot be read, or its file cannot.
    """
    if text == "null":
        return ValueArgument(default_name, bytes(8), text)
    found = _WORD.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"--arg {text!r} cannot be read.", remedy=FORMS)
    name, role = _prefixes(found["prefixes"], text)
    if found["type"] == "bytes":
        return _raw(name or default_name, found["value"], text)
    kind = TYPES.get(found["type"])
    if kind is None:
        raise SettingsError(
            f"--arg {text!r}: there is no type `{found['type']}`.", remedy=did_you_mean(found["type"], TYPES)
        )
    if found["shape"] is None:
        if role and name:
            raise SettingsError(f"--arg {text!r}: `{role}` is for tensors.", remedy=FORMS)
        return ValueArgument(name or role or default_name, _scalar(kind, found["value"], text), text)
    shape = _shape(kind, found["shape"], text)
    return _tensor(name or default_name, role, kind, shape, found["value"], text, random)


def _prefixes(text: str, whole: str) -> tuple[str, str]:
    """(name, role). Of two roles the first is a name: `out:out:f32[8]` is a parameter called `out`."""
    words = text.split(":")[:-1]
    if len(words) == 1:
        return ("", words[0]) if words[0] in ROLES else (words[0], "")
    if len(words) == 2 and words[1] in ROLES:
        return words[0], words[1]
    if len(words) == 2 and words[0] in ROLES:
        return words[1], words[0]
    if words:
        raise SettingsError(f"--arg {whole!r} has two names or roles.", remedy=f"Roles are {', '.join(ROLES)}.")
    return "", ""


def _shape(kind: ElementType, text: str, whole: str) -> tuple[int, ...]:
    parts = [part.strip() for part in re.split(r"[,x]", text)] if text.strip() else []
    if not all(re.fullmatch(r"\d{1,12}", part) for part in parts):
        raise SettingsError(f"--arg {whole!r}: [{text}] is no shape.", remedy="Write [1024] or [32,64].")
    shape = tuple(int(part) for part in parts)
    if prod(shape) * kind.storage.itemsize > LARGEST:
        raise SettingsError(f"--arg {whole!r} has more than {LARGEST} bytes.", remedy="Run a smaller case.")
    return shape


def _tensor(
    name: str,
    role: str,
    kind: ElementType,
    shape: tuple[int, ...],
    value: str | None,
    text: str,
    random: np.random.Generator,
) -> TensorArgument:
    if value is None and role != "out":
        raise SettingsError(f"--arg {text!r} has no value.", remedy="Add =random, =zero, =arange, =1.5 or =FILE.npy.")
    if value is None:
        bits = random.integers(0, 256, prod(shape) * kind.storage.itemsize, np.uint8)
        data = bits.view(np.uint8 if kind.name == "bool" else kind.storage).reshape(shape)
        return TensorArgument(name, kind, data & 1 if kind.name == "bool" else data, True, False)
    data = kind.encode(_numbers(kind, shape, value, text, random)).reshape(shape)
    return TensorArgument(name, kind, np.ascontiguousarray(data), role in ("out", "inout"), True)


def _numbers(
    kind: ElementType, shape: tuple[int, ...], value: str, text: str, random: np.random.Generator
) -> NDArray[Any]:
    count = prod(shape)
    if value == "random":
        if kind.floating:
            return random.standard_normal(count)
        return random.integers(0, 2 if kind.name == "bool" else RANDOM_INTEGERS, count)
    if value == "arange":
        return np.arange(count)
    if value in ("zero", "zeros", "one", "ones"):
        return np.full(count, int(value.startswith("one")))
    if value.endswith(".npy"):
        from pathlib import Path

        array = read_array(Path(value.removeprefix("@")), "--arg")
        if array.size != count:
            raise SettingsError(
                f"--arg {text!r}: the file holds {array.size} elements, the tensor {count}.", remedy="Match the shape."
            )
        return array.reshape(-1)
    return np.full(count, _number(kind, value, text))


def _scalar(kind: ElementType, value: str | None, text: str) -> bytes:
    if value is None:
        raise SettingsError(f"--arg {text!r} has neither a shape nor a value.", remedy=FORMS)
    return kind.encode(np.array([_number(kind, value, text)])).tobytes()


def _number(kind: ElementType, value: str, text: str) -> Any:
    """A literal as a number of the type; a number that does not fit is refused."""
    try:
        if kind.floating:
            return np.float64(float(value))
        number = int(value, 0)
    except ValueError:
        raise SettingsError(f"--arg {text!r}: {value!r} is no value of {kind.name}.", remedy=FORMS) from None
    limits = (0, 1) if kind.name == "bool" else (np.iinfo(kind.storage).min, np.iinfo(kind.storage).max)
    if not limits[0] <= number <= limits[1]:
        raise SettingsError(f"--arg {text!r}: {number} does not fit {kind.name}.", remedy="Choose a wider type.")
    return np.array(number, kind.storage)


def _raw(name: str, value: str | None, text: str) -> ValueArgument:
    try:
        data = bytes.fromhex(value or "")
    except ValueError:
        data = b""
    if not data:
        raise SettingsError(f"--arg {text!r} holds no bytes.", remedy="Write them in hexadecimal: bytes=00ff.")
    return ValueArgument(name, data, text)


def pack_pointer(address: int) -> bytes:
    """A device address as a parameter's bytes."""
    return struct.pack("<Q", address)
