"""What one launch did, counted: the input of the time model and of the Judge."""

from __future__ import annotations

from pydantic import Field

from warpsmith.core.quantity import Source
from warpsmith.core.record import Record


class Traffic(Record):
    """Global or local memory instructions of one kind, over the whole grid."""

    requests: float = 0
    """Warp-level instructions executed."""
    sectors: float = 0
    """32-byte sectors over all requests, before any cache."""
    bytes: float = 0
    """Bytes the lanes asked for."""

    @property
    def sectors_per_request(self) -> float:
        return self.sectors / self.requests if self.requests else 0.0


class SharedTraffic(Record):
    """Shared-memory instructions of one kind, over the whole grid."""

    requests: float = 0
    wavefronts: float = 0
    """Passes through the 32 banks."""
    ideal_wavefronts: float = 0
    """Passes had no bank conflicted."""


class LineCounters(Record):
    """What one source line cost, over the whole grid."""

    line: int = Field(ge=0)
    """Line of the kernel file; 0 collects what has none."""
    warp_instructions: float = 0
    thread_instructions: float = 0
    global_load: Traffic = Traffic()
    global_store: Traffic = Traffic()
    shared: SharedTraffic = SharedTraffic()
    atomics: float = 0
    """Lanes that executed an atomic."""


class LaunchCounters(Record):
    """What one launch of a plan did, scaled from the counted blocks to the whole grid."""

    source: Source
    kernel: str
    """The plan's name expression, e.g. `gemm<BM, BN>`."""
    grid_blocks: int = Field(ge=1)
    block_threads: int = Field(ge=1, le=1024)
    blocks_counted: int = Field(ge=1)
    """Blocks actually run; fewer than grid_blocks means the rest is extrapolated."""
    warp_instructions: dict[str, float]
    """Issued warp instructions by pipe: alu fma half fp64 sfu tensor lsu control."""
    thread_instructions: float = Field(ge=0)
    tensor_flops: dict[str, float] = Field(default_factory=dict)
    """Multiply-adds x 2 through tensor cores, by operand type (f16, bf16, tf32, s8)."""
    global_load: Traffic = Traffic()
    global_store: Traffic = Traffic()
    local: Traffic = Traffic()
    shared_load: SharedTraffic = SharedTraffic()
    shared_store: SharedTraffic = SharedTraffic()
    atomic_lanes: float = 0
    atomic_serial: float = 0
    """Same-address passes of atomics, summed over requests."""
    atomic_hottest: float = 0
    """Same-address passes on the most contended global address, over the whole grid; 0 where it was not counted."""
    barriers: float = 0
    """Warp-level barrier arrivals."""
    block_unique_load_bytes: float = 0
    """32-byte sectors each block loads at least once, summed over blocks: what an ideal L1 still asks of L2.
    0 where it was not counted."""
    footprint_bytes: float = 0
    """Distinct bytes of all buffers the launch reads or writes, at most their size: what DRAM must move once."""
    heaviest_block: float = 1.0
    """Warp instructions of the busiest counted block over the mean."""
    outstanding_loads: float = 1.0
    """Mean independent global loads in flight per warp between uses: memory-level parallelism."""
    lines: tuple[LineCounters, ...] = ()

    @property
    def issued(self) -> float:
        """All warp instructions that take an issue slot."""
        return sum(self.warp_instructions.values())
