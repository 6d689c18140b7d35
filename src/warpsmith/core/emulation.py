"""What `warpsmith emulate` found: one run of one kernel, told to a person or as JSON."""

from __future__ import annotations

from pydantic import Field

from warpsmith.core.counters import LaunchCounters
from warpsmith.core.outcome import WorkloadCheck
from warpsmith.core.record import Record

Index = tuple[int, int, int]

COMPLETED = "Completed"
"""The outcome of a run that ended without a fault and, where something was expected, computed it."""


class EmulationSettings(Record):
    """How to run, in the words of the command line."""

    checks: bool = True
    """Uninitialised reads, races and counters. Bounds, alignment and barriers are always checked."""
    seed: int = Field(default=0, ge=0)
    """Order of blocks and warps, poison and base addresses; 0 is launch order."""
    data_seed: int = Field(default=0, ge=0)
    """Mints random inputs."""
    budget: int | None = Field(default=None, ge=1)
    """Warp instructions a launch may issue; None: the launcher's own limit."""
    trace: str = ""
    trace_limit: int = Field(default=200, ge=1)
    dumps: tuple[str, ...] = ()


class LaunchSettings(Record):
    """One launch of a file that has no plan, in the words of the command line."""

    kernel: str = ""
    """Empty: the only one there is."""
    grid: str
    block: str
    shared: int = Field(default=0, ge=0)
    """Bytes of dynamic shared memory."""
    args: tuple[str, ...] = ()
    expects: tuple[str, ...] = ()
    tolerance: float = Field(default=1e-3, ge=0, allow_inf_nan=False)
    """Largest relative L2 error of a floating tensor that is expected to hold something."""


class Excerpt(Record):
    """A place in the source, quoted."""

    line: int = Field(ge=0)
    """0 where the code carries no location."""
    column: int = Field(default=0, ge=0)
    text: str = ""
    """The line itself; empty where the source is not at hand."""


class FaultReport(Record):
    """One access or wait that no correct kernel makes."""

    kind: str
    """`out_of_bounds read_only misaligned uninitialised race barrier deadlock budget trap`."""
    message: str
    kernel: str
    source: Excerpt
    ptx: Excerpt
    block: Index
    thread: Index
    warp: int
    lane: int
    space: str = ""
    """`global shared local const param`, or empty where no memory is concerned."""
    address: int = 0
    """Device address in global memory, byte offset in the other spaces."""
    size: int = 0
    """Bytes accessed."""
    allocation: str = ""
    """The tensor or buffer hit, or the nearest one."""
    allocation_bytes: int | None = None
    offset: int | None = None
    """Bytes from the start of the allocation to the access; negative before it."""
    element: tuple[int, ...] | None = None
    """Index of the element concerned, where it lies inside a tensor of known shape."""
    distance: int = 0
    """Bytes past the end of the allocation (positive) or before its start (negative); 0 inside it."""
    other: Excerpt | None = None
    """Of a race or a misused barrier: where the other thread was."""
    other_thread: Index | None = None


class LaunchReport(Record):
    """One launch as it went."""

    kernel: str
    entry: str
    """The mangled name."""
    grid: Index
    block: Index
    shared: int
    """Bytes of shared memory of a block, static and dynamic."""
    blocks_run: int
    warp_instructions: int
    thread_instructions: int
    seconds: float
    """Wall time of the emulation on this machine; says nothing about a GPU."""
    counters: LaunchCounters | None = None
    printed: tuple[str, ...] = ()
    """What `printf` wrote, one item a call."""


class TensorReport(Record):
    """A tensor after the run."""

    model_config = Record.model_config | {"ser_json_inf_nan": "strings"}

    name: str
    dtype: str
    shape: tuple[int, ...]
    smallest: float | None = None
    """Of the finite values; None where there are none."""
    largest: float | None = None
    not_finite: int = 0
    """Elements that are NaN or infinite."""
    first: tuple[float, ...] = ()
    """Leading elements, as many as were asked for."""
    file: str = ""
    """Where the whole tensor was written."""


class ExpectationReport(Record):
    """A tensor beside the values a file says it should hold."""

    model_config = Record.model_config | {"ser_json_inf_nan": "strings"}

    name: str
    file: str
    passed: bool
    relative_l2: float
    largest: float
    """Largest absolute difference."""
    limit: float
    """Largest relative L2 that passes; 0 where every element has to be equal."""
    worst: tuple[int, ...]
    """Index of the element that differs most."""


class TraceValue(Record):
    """An operand in each of a step's lanes."""

    name: str
    """As the PTX says it: `%f3`, `[%rd4+8]`."""
    values: tuple[str, ...]
    """One a lane, in the order of `TraceStep.lanes`."""


class TraceStep(Record):
    """One executed instruction."""

    launch: int
    """From 1, in plan order."""
    number: int
    """Of this trace, from 1."""
    block: Index
    warp: int
    mask: int
    """Lanes of the warp that executed it."""
    lanes: tuple[int, ...]
    """Lanes shown, of those."""
    line: int
    ptx_line: int
    instruction: str
    reads: tuple[TraceValue, ...] = ()
    writes: tuple[TraceValue, ...] = ()
    """Empty where the instruction faulted."""
    completed: bool = True


class Emulation(Record):
    """One run on the emulator."""

    outcome: str
    """`Completed`, or the kind of failure in the words of `verify`."""
    message: str = ""
    line: int | None = None
    details: tuple[str, ...] = ()
    file: str
    task: str = ""
    workload: str = ""
    dims: dict[str, int] = Field(default_factory=dict)
    target: str
    toolchain: str = ""
    checks: bool
    seed: int
    data_seed: int
    fault: FaultReport | None = None
    launches: tuple[LaunchReport, ...] = ()
    outputs: tuple[TensorReport, ...] = ()
    check: WorkloadCheck | None = None
    """Against the task's reference in float64, where the run completed."""
    expectations: tuple[ExpectationReport, ...] = ()
    trace: tuple[TraceStep, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.outcome == COMPLETED
