"""The jailed program that runs the VM (`jail/child.py` runs it), over memory that it shares with who asks.

It imports the standard library alone. No pointer comes from outside: a launch says at which places of the shared memory
offsets into it stand, and those become addresses here.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from typing import Any

_POINTER = struct.Struct("<Q")
_library: list[ctypes.CDLL] = []
_shared: list[mmap.mmap] = []
_handle: list[int] = []


def prepare(setup: dict[str, Any]) -> None:
    """Load the VM."""
    library = ctypes.CDLL(setup["library"])
    library.ws_launch.restype = ctypes.c_int
    library.ws_launch.argtypes = [ctypes.c_void_p]
    _library.append(library)
    _handle.append(setup["shared"])


def work(request: dict[str, Any], blobs: list[bytearray]) -> tuple[dict[str, Any], list[bytes]]:
    """Run the launch whose record stands at `record`."""
    if not _shared or len(_shared[-1]) != request["size"]:
        _shared.clear()
        _shared.append(mmap.mmap(_handle[0], request["size"]))
    memory = _shared[-1]
    first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for place in request["places"]:
        _POINTER.pack_into(memory, place, first + _POINTER.unpack_from(memory, place)[0])
    return {"status": _library[0].ws_launch(first + request["record"])}, []
