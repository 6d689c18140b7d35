"""Loads the VM's library and mirrors the records of `interface.h` for ctypes and numpy."""

from __future__ import annotations

import ctypes
import struct
from ctypes import POINTER, c_char_p, c_int, c_int64, c_uint32, c_uint64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import numpy as np

from warpsmith.core.errors import ToolchainError
from warpsmith.sandbox.emulator.vm.digest import source_digest

FOLDER = Path(__file__).parent
REMEDY = "Build it with `make`, or with `pip install -e .` in the source tree."


class VmNotBuilt(ToolchainError):  # noqa: N818 - says what is the case
    """The VM's library is missing or was built from other sources."""


OPERATION = np.dtype(
    [
        *((name, np.uint32) for name in ("handler", "d", "a", "b", "c", "e", "list", "site")),
        *((name, np.uint32) for name in ("flags", "port", "target", "bytes")),
        ("imm", np.int64),
    ]
)
OPERATION_LAYOUT = struct.Struct("<12Iq")
"""The same, a record at a time."""
SLOT = np.dtype([*((name, np.uint32) for name in ("offset", "width", "kind", "index")), ("bits", np.uint64)])
BLOCK = np.dtype([(name, np.uint32) for name in ("first", "instructions", "changes", "listens")])
ALLOCATION = np.dtype(
    [
        *((name, np.uint64) for name in ("address", "size", "data", "valid")),
        *((name, np.uint32) for name in ("writable", "unused")),
    ]
)
COUNTERS = np.dtype(
    [
        (name, np.uint64)
        for name in ("requests", "lanes", "sectors", "wavefronts", "ideal_wavefronts", "atomic_serial", "fresh_sectors")
    ]
)
SHARING = 64
"""`WS_SHARING`."""
PRINT_BYTES = 256
MOST_WAITING = 4096
"""`WS_MOST_WAITING`."""
WAITING = np.dtype(
    [("block", np.int64), ("warp", np.uint32), ("site", np.uint32), ("lanes", np.uint32), ("kind", np.uint32)]
)
"""`WsWaiting`."""
PRINTED = np.dtype(
    [
        ("format", np.uint64),
        ("block", np.int64),
        ("thread", np.uint32),
        ("unused", np.uint32),
        ("arguments", np.uint8, (PRINT_BYTES,)),
    ]
)


class FaultRecord(ctypes.Structure):
    """`WsFault`."""

    _fields_ = [
        *((name, c_uint32) for name in ("kind", "site", "other_site", "detail")),
        *((name, c_uint32) for name in ("thread", "other_thread", "space", "size")),
        ("block", c_int64),
        ("address", c_uint64),
        ("allocation", c_int64),
        ("distance", c_int64),
        ("other_block", c_int64),
    ]


class L2Record(ctypes.Structure):
    """`WsL2`."""

    _fields_ = [
        *((name, c_uint64) for name in ("loads", "load_hits", "stores", "atomics", "atomic_hits")),
        *((name, c_uint64) for name in ("fills", "written", "left_dirty", "simulated")),
    ]


class LaunchRecord(ctypes.Structure):
    """`WsLaunch`."""

    _fields_ = [
        *((name, c_void_p) for name in ("operations", "lists", "slots", "blocks", "allocations", "run")),
        *((name, c_void_p) for name in ("params", "block_warps", "block_threads", "guarded_warps")),
        *((name, c_void_p) for name in ("guarded_lanes", "divergent", "counters")),
        *((name, c_void_p) for name in ("rows", "row_of", "allocation_sharing", "port_sharing")),
        *((name, c_void_p) for name in ("distinct", "port_allocation", "port_misses", "printed", "waiting")),
        *((f"{name}_count", c_uint32) for name in ("operation", "slot", "block", "allocation", "site", "port")),
        *((name, c_uint32) for name in ("register_bytes", "shared_bytes", "dynamic_shared", "local_bytes")),
        *((name, c_uint32) for name in ("print_capacity", "sms")),
        ("grid", c_uint32 * 3),
        ("block", c_uint32 * 3),
        ("run_count", c_int64),
        ("seed", c_uint64),
        *((name, c_uint64) for name in ("address_base", "address_stride_bits")),
        *((f"{name}_window", c_uint64) for name in ("shared", "local", "const", "param")),
        ("window_bytes", c_uint64),
        ("constants", c_void_p),
        *((name, c_uint64) for name in ("constant_bytes", "param_bytes")),
        *((name, c_uint32) for name in ("threads", "checks", "count", "isa")),
        *((name, c_int64) for name in ("budget", "blocks_run", "next_run", "stop_after")),
        *((name, c_uint64) for name in ("heaviest_block", "busiest_lanes", "busiest_blocks")),
        *((name, c_void_p) for name in ("updates", "shadows", "traces")),
        ("l2_bytes", c_uint64),
        *((name, c_uint32) for name in ("l2_ways", "row_count")),
        ("wave", c_int64),
        ("l2", L2Record),
        *((name, c_uint32) for name in ("print_count", "resident", "orders", "ended", "waiting_count")),
        ("fault", FaultRecord),
    ]


def library_path() -> Path | None:
    for suffix in EXTENSION_SUFFIXES:
        path = FOLDER / f"_vm{suffix}"
        if path.exists():
            return path
    return None


@cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises:
        VmNotBuilt: it is missing, or its sources have changed since it was built.
    """
    path = library_path()
    if path is None:
        raise VmNotBuilt("the emulator's VM is not built.", remedy=REMEDY)
    loaded = ctypes.CDLL(str(path))
    loaded.ws_source_digest.restype = c_char_p
    loaded.ws_isa_name.restype = c_char_p
    loaded.ws_isa_name.argtypes = [c_uint32]
    loaded.ws_handler_name.restype = c_char_p
    loaded.ws_handler_name.argtypes = [c_uint32]
    loaded.ws_launch.restype = c_int
    loaded.ws_launch.argtypes = [POINTER(LaunchRecord)]
    if loaded.ws_source_digest().decode() != source_digest(FOLDER):
        raise VmNotBuilt(f"the emulator's VM was built from other sources than {FOLDER} holds.", remedy=REMEDY)
    return loaded


def _names(function: ctypes._NamedFuncPointer) -> tuple[str, ...]:
    found: list[str] = []
    while (name := function(len(found))) is not None:
        found.append(name.decode())
    return tuple(found)


@cache
def isa_names() -> tuple[str, ...]:
    """Instruction sets this processor can run the VM with, best first."""
    return _names(library().ws_isa_name)


@cache
def handler_ids() -> dict[str, int]:
    return {name: index for index, name in enumerate(_names(library().ws_handler_name))}
