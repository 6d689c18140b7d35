"""What a launch is, what can go wrong in one, and what it counts: the contract of both executors.

`isa/execute.py` (slow, the definition) and `vm/` (fast) each give
`launch(module, entry_name, spec, memory, options) -> LaunchResult` over these records.
A wrong kernel is a `Fault` in the result, never an exception; an instruction outside the table raises
`UnsupportedInstruction` before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

ADDRESS_BASE = 0x7F00_0000_0000
"""Global addresses look like a device's; no host pointer is ever formed from one."""
ADDRESS_STRIDE = 1 << 36
"""Allocation i lives in its own 64 GiB window, so that finding it is a shift and no overrun meets a neighbour."""

WINDOW_BYTES = 1 << 32
SHARED_WINDOW = 0x7E00_0000_0000
"""Generic address of byte 0 of shared memory; `cvta.shared` adds it. Below every global address."""
LOCAL_WINDOW = SHARED_WINDOW + WINDOW_BYTES
CONST_WINDOW = SHARED_WINDOW + 2 * WINDOW_BYTES
PARAM_WINDOW = SHARED_WINDOW + 3 * WINDOW_BYTES
FUNCTION_WINDOW = SHARED_WINDOW + 4 * WINDOW_BYTES
"""Addresses of functions; no memory lies there."""


class UnsupportedInstruction(Exception):  # noqa: N818 - it names a fact, not our error
    """An instruction, special register or feature the emulator does not have."""

    def __init__(self, what: str, line: int, ptx_line: int) -> None:
        super().__init__(f"{what} (source line {line}, PTX line {ptx_line}) is not emulated")
        self.what, self.line, self.ptx_line = what, line, ptx_line


class VmLost(Exception):  # noqa: N818 - a fact about a launch
    """The process that ran the VM ended, or was ended, with the launch in it; memory is as it was before."""

    def __init__(self, why: str, *, over_limit: bool) -> None:
        super().__init__(why)
        self.over_limit = over_limit
        """Whether it asked for more time or memory than there is for it."""


class FaultKind(StrEnum):
    OUT_OF_BOUNDS = "out_of_bounds"
    READ_ONLY = "read_only"
    """A write to an input or other memory that is not the candidate's own."""
    MISALIGNED = "misaligned"
    UNINITIALISED = "uninitialised"
    RACE = "race"
    BARRIER = "barrier"
    DEADLOCK = "deadlock"
    BUDGET = "budget"
    TRAP = "trap"
    """`trap`, or a failed `assert`."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    message: str
    """One sentence a kernel engineer can act on: what, where, by how much."""
    line: int
    """Source line, 0 where unknown."""
    ptx_line: int
    opcode: str
    block: tuple[int, int, int]
    thread: tuple[int, int, int]
    address: int = 0
    space: str = ""
    allocation: str = ""
    """Name of the buffer hit or nearest, "shared" or "local"."""
    distance: int = 0
    """Bytes past the end (positive) or before the start (negative)."""
    size: int = 0
    """Bytes accessed."""
    other_line: int = 0
    """Race: source line of the other access."""
    other_thread: tuple[int, int, int] | None = None
    other_block: tuple[int, int, int] | None = None
    """Race: the block of the other access."""


@dataclass(slots=True)
class Allocation:
    name: str
    data: NDArray[np.uint8]
    """The bytes; the executor writes in place."""
    valid: NDArray[np.uint8] | None
    """One byte per byte, nonzero once written; None when everything was initialised."""
    writable: bool
    address: int
    """First byte's device address."""
    owner: object | None = None
    """What the bytes are those of, where they never change as long as it lives; None where they may."""


@dataclass(slots=True)
class Memory:
    """Device global memory: a list of allocations, each in its own window."""

    skew: int = 0
    """Added to the base address of what is allocated next: 0 gives 256-byte alignment, 16 the weakest promised."""
    allocations: list[Allocation] = field(default_factory=list)
    writable_variables: bool = False
    """Whether the kernel may write the module's own `.global` variables; in the gate it may not."""

    def allocate(
        self, name: str, data: NDArray[np.uint8], *, writable: bool, initialised: bool, owner: object | None = None
    ) -> int:
        """Map `data` (1-d uint8, kept by reference) and return its device address."""
        address = ADDRESS_BASE + len(self.allocations) * ADDRESS_STRIDE + self.skew
        valid = None if initialised else np.zeros(data.size, np.uint8)
        self.allocations.append(Allocation(name, data, valid, writable, address, owner))
        return address


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic_shared: int
    """Bytes."""
    params: bytes
    """The parameter buffer, laid out as the entry's params say."""
    blocks: tuple[int, ...] | None = None
    """Linear block indices to run (x fastest); None runs the whole grid."""
    cooperative: bool = False
    """All blocks are on the device together, and a grid barrier has its workspace; without, `grid.sync()` traps."""


@dataclass(frozen=True, slots=True)
class L2:
    """The cache that a launch's global traffic is run through afterwards: least recently used of `ways` lines a set."""

    bytes: int
    wave: int = 1 << 62
    """Blocks on the device at a time: those take turns, waves follow each other."""
    ways: int = 16
    """Lines of 128 bytes in a set."""


@dataclass(frozen=True, slots=True)
class Options:
    threads: int = 1
    """Host threads; the reference executor ignores it."""
    checks: bool = True
    """Uninitialised reads and races. Bounds, alignment, read-only and barriers are always checked."""
    counters: bool = True
    """Per-site sectors and wavefronts. Block counts are always kept."""
    budget: int = 1 << 34
    """Warp instructions over the whole launch."""
    seed: int = 0
    """Orders warps and blocks, and without `counters` the sides of diverged branches; 0 is launch order."""
    pessimistic: bool = False
    """Results whose bits the ISA leaves open are moved within the documented error, by seed. The reference executor
    refuses it."""
    sms: int = 132
    """Reported as `%nsmid`."""
    l2: L2 | None = None
    """Counted where it is given and `counters` is on. The reference executor ignores it."""
    groups: tuple[int, ...] | None = None
    """For each block of `LaunchSpec.blocks` the group whose counts it is added to, from 0: `LaunchResult.samples`. The
    reference executor ignores it."""
    resident: int | None = None
    """Blocks on the device at once (occupancy times SMs). Those that wait for each other in loops then take turns, and
    what waits for a block that finds no place is a DEADLOCK. None runs one block after the other. The reference
    executor ignores it."""


@dataclass(frozen=True, slots=True)
class SiteCounters:
    """One memory instruction's traffic; arrays of LaunchResult are indexed like `Entry.instructions`."""

    requests: int
    """Warp-level executions with at least one active lane."""
    lanes: int
    """Active lanes over all requests."""
    sectors: int
    """32-byte sectors touched (global and local)."""
    wavefronts: int
    """Passes through shared memory's 32 four-byte banks."""
    ideal_wavefronts: int
    """Passes had no two lanes conflicted."""
    atomic_serial: int = 0
    """Atomics: the largest number of lanes on one address, summed over requests."""
    fresh_sectors: int = 0
    """Loads of global memory: sectors that no earlier load of the block asked for."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What each group of blocks counted; the first axis is the group, the others are those of `LaunchResult`."""

    block_warps: NDArray[np.uint64]
    block_threads: NDArray[np.uint64]
    guarded_lanes: NDArray[np.uint64]
    divergent: NDArray[np.uint64]
    sites: dict[int, NDArray[np.uint64]]
    """By instruction index: (group, field of SiteCounters in its order)."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """Which sectors of one allocation the blocks that ran touched."""

    bytes: int
    """Size of the allocation."""
    distinct: int
    """Sectors that any block touched."""
    touches: NDArray[np.uint64]
    """Sectors a block touched, summed over blocks, by how many of the blocks touched them: 1, 2, ..., 64 or more."""


@dataclass(frozen=True, slots=True)
class Touches:
    """The same for one instruction, which touches one allocation (or mostly one)."""

    allocation: int
    touches: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class L2Counts:
    """What L2 saw of the blocks that ran, in 32-byte sectors; it was empty before."""

    cache: L2
    loads: int
    load_hits: int
    stores: int
    atomics: int
    atomic_hits: int
    fills: int
    """Read from DRAM."""
    written: int
    """Modified sectors that had to leave."""
    left_dirty: int
    """Modified sectors that were there at the end."""
    misses: dict[int, int]
    """By instruction index: sectors read from DRAM for it."""
    sites: dict[int, Touches]
    """By instruction index: sectors that it is a block's first to load, or to modify."""
    buffers: tuple[Sharing, ...]
    """By allocation."""


@dataclass(frozen=True, slots=True)
class LaunchResult:
    fault: Fault | None
    """The first fault; the launch stops there and its outputs mean nothing."""
    block_warps: NDArray[np.uint64]
    """Per basic block: times a warp entered it (diverged groups count apart)."""
    block_threads: NDArray[np.uint64]
    """Per basic block: lanes that entered it."""
    guarded_warps: NDArray[np.uint64]
    """Per instruction with a guard: executions in which any lane's guard held; 0 elsewhere."""
    sites: dict[int, SiteCounters]
    """By instruction index; memory instructions only."""
    blocks_run: int
    warp_instructions: int
    thread_instructions: int
    guarded_lanes: NDArray[np.uint64] | None = None
    """Per instruction with a guard: lanes whose guard held (a branch: that took it). None where not counted."""
    divergent: NDArray[np.uint64] | None = None
    """Per branch: executions that sent active lanes to more than one place."""
    samples: Samples | None = None
    l2: L2Counts | None = None
    """None where nobody asked for it, or where blocks asked for more than is kept."""
    printed: tuple[str, ...] = ()
    """What `printf` wrote."""
    fresh_sectors: int | None = None
    """32-byte sectors of global memory a block loads at least once, summed over blocks; None where not counted."""
    heaviest_block: int | None = None
    """Most warp instructions of one block; None where not counted."""
    busiest_lanes: int | None = None
    """Lanes that atomics brought to the global address with the most of them; None where not counted."""
    busiest_blocks: int = 0
    """Blocks those lanes came from."""
