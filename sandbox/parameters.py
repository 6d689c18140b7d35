"""A launch's scalar arguments as the bytes that a kernel's parameters take."""

from __future__ import annotations

import struct

from warpsmith.core.errors import KernelFileError
from warpsmith.core.plan import Arg, BoundLaunch, FloatArg, IntArg
from warpsmith.sandbox.emulator.program import Entry, Param


def matched(entry: Entry, step: BoundLaunch) -> tuple[tuple[Param, Arg], ...]:
    """Parameters and arguments in pairs.

    Raises:
        KernelFileError: there are more of the one than of the other.
    """
    if len(entry.params) != len(step.args):
        raise KernelFileError(
            f"{step.kernel} takes {len(entry.params)} parameters, its launch gives {len(step.args)}", line=step.line
        )
    return tuple(zip(entry.params, step.args, strict=True))


def encode(param: Param, arg: IntArg | FloatArg, step: BoundLaunch) -> bytes:
    """A scalar, little-endian and as wide as its parameter.

    Raises:
        KernelFileError: an integer does not fit.
    """
    if isinstance(arg, FloatArg):
        return struct.pack("<d" if param.size == 8 else "<f", arg.value)
    try:
        return arg.value.to_bytes(param.size, "little", signed=True)
    except OverflowError as error:
        raise KernelFileError(
            f"{arg.value} does not fit the {param.size}-byte parameter {param.name} of {step.kernel}",
            line=step.line,
            remedy="Declare the parameter as long long.",
        ) from error
