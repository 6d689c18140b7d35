"""What the worker is asked and what it answers: JSON records; bulk bytes travel behind them, in the order they say.

A request is one of `protocol.Request`, a reply one of `protocol.Reply`. A candidate's misbehaviour is a `Fault` inside
a reply; `Refused` says that the worker or the driver could not do what was asked, and is nobody's verdict.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from warpsmith.core.protocols import Check
from warpsmith.core.record import Record

Dims: TypeAlias = tuple[int, int, int]


class DeviceInfo(Record):
    """One GPU as the driver describes it."""

    ordinal: int = Field(ge=0)
    uuid: str
    """`GPU-` and 32 hexadecimal digits in NVML's grouping; `MIG-…` for an instance."""
    name: str
    capability: tuple[int, int]
    sms: int
    memory_bytes: int
    l2_bytes: int
    clock_khz: int
    """Highest SM clock."""
    shared_per_block: int
    """Bytes of shared memory a block may have after opting in, static and dynamic together."""
    cooperative: bool
    virtual_memory: bool
    """Whether buffers can end at unmapped addresses."""
    pageable_memory: bool
    """Whether kernels reach ordinary host memory; a stray access may then hit it instead of faulting."""
    watchdog: bool
    """Whether the driver ends long kernels itself, as on a display's GPU."""


class BufferRole(StrEnum):
    """What becomes of a buffer in a call."""

    INPUT = "input"
    """Uploaded; has to be unchanged afterwards."""
    INPLACE = "inplace"
    """Uploaded and read back."""
    OUTPUT = "output"
    """Poisoned and read back."""
    SCRATCH = "scratch"
    """Poisoned."""
    PREPARED = "prepared"
    """Poisoned, written by prepare launches alone, read back; or uploaded, and then not to be changed."""


class DeviceBuffer(Record):
    """One buffer of a call."""

    name: str
    nbytes: int = Field(ge=0)
    role: BufferRole
    uploaded: bool = False
    """Its bytes are among the blobs."""
    init: int | None = None
    """0 or -1: every byte 0x00 or 0xFF at the start of the call, inside what is timed."""
    hidden: bool = False
    """Unmapped while prepare launches run."""


class Pointer(Record):
    """A parameter: the address of a buffer; null where the name is empty."""

    kind: Literal["Pointer"] = "Pointer"
    buffer: str = ""


class Value(Record):
    """A parameter's bytes, little-endian, in hexadecimal."""

    kind: Literal["Value"] = "Value"
    data: str = Field(pattern="^([0-9a-f]{2})+$")


class DeviceFill(Record):
    """A memset inside the call."""

    kind: Literal["DeviceFill"] = "DeviceFill"
    buffer: str
    value: int
    """Its lowest eight bits go into every byte."""


class DeviceLaunch(Record):
    """One kernel launch."""

    kind: Literal["DeviceLaunch"] = "DeviceLaunch"
    module: str
    """Digest of the loaded cubin."""
    entry: str
    """Mangled name."""
    kernel: str
    """The plan's name expression, for messages."""
    line: int
    grid: Dims
    block: Dims
    shared: int = Field(ge=0)
    cooperative: bool = False
    prepare: bool = False
    params: tuple[Annotated[Pointer | Value, Field(discriminator="kind")], ...]


DeviceStep: TypeAlias = Annotated[DeviceFill | DeviceLaunch, Field(discriminator="kind")]


class DeviceCall(Record):
    """One call of a plan: buffers, and what is done with them in order."""

    buffers: tuple[DeviceBuffer, ...]
    steps: tuple[DeviceStep, ...]


class FaultKind(StrEnum):
    """What a call did wrong."""

    ILLEGAL_ADDRESS = "illegal address"
    MISALIGNED = "misaligned address"
    REDZONE = "redzone"
    """Bytes beside a buffer have changed."""
    INPUT_WRITTEN = "input written"
    PREPARED_WRITTEN = "prepared buffer written"
    TRAP = "trap"
    """Illegal instruction, `trap`, a failed `assert`, a bad program counter or address space."""
    ENDLESS = "endless"
    """Still running at the limit, or ended by the driver's own watchdog."""
    TOO_LARGE = "too large"
    """Refused at launch for want of registers, shared memory or room for a cooperative grid."""
    LAUNCH = "launch"
    """The driver refused the launch for another reason."""


class Fault(Record):
    """What a call did wrong, and where as far as a GPU tells."""

    kind: FaultKind
    message: str
    kernel: str = ""
    line: int = 0
    result: str = ""
    """The driver's word for it."""


class Survey(Record):
    """Asks for every device; needs no context."""

    kind: Literal["Survey"] = "Survey"


class Open(Record):
    """Takes a device into use; the first request of a worker that runs anything."""

    kind: Literal["Open"] = "Open"
    uuid: str
    orders: str = ""
    """What the worker shall give up once the device is open (`confined.py`); empty: nothing."""


class LoadModule(Record):
    """Blobs: the cubin."""

    kind: Literal["LoadModule"] = "LoadModule"
    module: str
    """Digest of the cubin: its name from here on."""
    layouts: dict[str, tuple[tuple[int, int], ...]]
    """Mangled entry name -> (offset, size) of its parameters as the PTX says; the cubin has to agree."""


class RunCall(Record):
    """Blobs: the uploaded buffers, in the order of the call's."""

    kind: Literal["RunCall"] = "RunCall"
    call: DeviceCall
    seed: int = Field(ge=0)
    """Poison, and where buffers lie."""
    seconds: float = Field(gt=0)
    """The longest a launch, and a graph of all launches, may take."""
    checked: bool = True
    """Run a second time over other poison, through a graph: finds unwritten bytes."""


class Surveyed(Record):
    """Devices by ordinal, and the CUDA version the driver supports (13000 is 13.0)."""

    kind: Literal["Surveyed"] = "Surveyed"
    version: int
    devices: tuple[DeviceInfo, ...]


class Opened(Record):
    """The worker's device."""

    kind: Literal["Opened"] = "Opened"
    device: DeviceInfo
    held: tuple[str, ...] = ()
    """What of its confinement took hold."""


class Loaded(Record):
    """The module can be launched."""

    kind: Literal["Loaded"] = "Loaded"


class Ran(Record):
    """Blobs where there is no fault: INPLACE and OUTPUT buffers, then PREPARED ones, in the order of the call's."""

    kind: Literal["Ran"] = "Ran"
    fault: Fault | None = None
    ended: bool = False
    """The worker leaves after this reply: its context is of no further use."""
    unwritten: dict[str, int] = Field(default_factory=dict)
    """OUTPUT -> index of its first byte that nothing wrote."""
    checks: tuple[Check, ...] = ()


class Refused(Record):
    """What was asked could not be done; not the candidate's doing."""

    kind: Literal["Refused"] = "Refused"
    message: str
    result: str = ""
    """The driver's word for it, where it was the driver."""
    ended: bool = False
