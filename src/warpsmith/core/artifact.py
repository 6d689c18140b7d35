"""A compiled candidate for one build key."""

from __future__ import annotations

from pydantic import Field

from warpsmith.core.record import Record


class Resources(Record):
    """What ptxas reports for one entry on one architecture."""

    registers: int = Field(ge=0)
    """Per thread."""
    static_shared: int = Field(ge=0)
    """Bytes per block."""
    spill_stores: int = Field(default=0, ge=0)
    """Bytes per thread."""
    spill_loads: int = Field(default=0, ge=0)
    stack: int = Field(default=0, ge=0)
    """Stack frame bytes per thread."""
    constant: int = Field(default=0, ge=0)
    max_threads: int | None = None
    """`__launch_bounds__`, where given."""
    dynamic_shared: int = Field(default=0, ge=0)
    """Bytes of dynamic shared memory a launch must give where the compiler decides it, as Triton's does."""
    hidden_pointers: int = Field(default=0, ge=0)
    """Pointers behind the plan's arguments: the first receives the scratch, null where there is none."""
    scratch: int = Field(default=0, ge=0)
    """Bytes of global scratch for each block, reached through the first hidden pointer."""


class Toolchain(Record):
    """What compiled it; a verdict belongs to it."""

    compiler: str
    """`nvrtc 13.0.88` or `triton 3.7.1`."""
    options: tuple[str, ...]


class Artifact(Record):
    """PTX, cubin and resources of one build key."""

    architecture: str
    """Compiled for, e.g. `sm_90a`."""
    ptx: str
    cubin: bytes = b""
    entries: dict[str, str]
    """Plan's name expression -> mangled entry name."""
    resources: dict[str, Resources]
    """By mangled entry name."""
    toolchain: Toolchain
    warnings: tuple[str, ...] = ()

    model_config = Record.model_config | {"ser_json_bytes": "base64", "val_json_bytes": "base64"}
