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
    l1_misses: float = 0
    """Sectors of loads that an L1 which keeps all that a block loads must ask L2 for: each once a block."""
    dram_sectors: float = 0
    """Sectors that the L2 model reads from DRAM for these instructions; 0 where L2 was not modelled."""

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


class Branches(Record):
    """Branch instructions (`bra`, `brx`) over the whole grid."""

    executed: float = 0
    """By warps; unconditional ones too."""
    divergent: float = 0
    """Those that sent active lanes to more than one place."""

    @property
    def efficiency(self) -> float:
        """Share that sent all lanes one way; 1 where there are none."""
        return 1 - self.divergent / self.executed if self.executed else 1.0


class Distances(Record):
    """Instructions from one that makes a value to the first that uses it: 1 is the next one.

    In PTX order along the path most often taken; weighted by how often each ran. ptxas may move both apart.
    """

    results: float = 0
    """Values made that something uses."""
    total: float = 0
    """Sum of their distances."""
    histogram: dict[str, float] = Field(default_factory=dict)
    """Values by distance: `1`, `2-3`, `4-7`, `8-15`, `16-31`, `32+`."""

    @property
    def mean(self) -> float:
        return self.total / self.results if self.results else 0.0


class L2Traffic(Record):
    """A model of L2, cold at first, over the whole grid; sectors of 32 bytes. Local memory is not in it."""

    simulated: bool
    """True: every block ran and its requests went through the cache. False: extrapolated from the sampled blocks."""
    loads: float = 0
    load_hits: float = 0
    stores: float = 0
    """They need nothing from DRAM, so all of them hit."""
    atomics: float = 0
    atomic_hits: float = 0
    dram_reads: float = 0
    dram_writes: float = 0
    """Modified sectors, each time they leave; what stays modified at the end counts once."""

    @property
    def hit_rate(self) -> float:
        """Of all requests; 1 where there are none."""
        asked = self.loads + self.stores + self.atomics
        return (self.load_hits + self.stores + self.atomic_hits) / asked if asked else 1.0


class LineCounters(Record):
    """What one source line cost, over the whole grid."""

    line: int = Field(ge=0)
    """Line of the kernel file; 0 collects what has none."""
    warp_instructions: float = 0
    pipes: dict[str, float] = Field(default_factory=dict)
    """The same by pipe."""
    thread_instructions: float = 0
    active_instructions: float = 0
    """Those whose guard held."""
    global_load: Traffic = Traffic()
    global_store: Traffic = Traffic()
    global_atomic: Traffic = Traffic()
    local: Traffic = Traffic()
    shared: SharedTraffic = SharedTraffic()
    """Loads, stores and atomics."""
    atomics: float = 0
    """Lanes that executed an atomic."""
    atomic_serial: float = 0
    """Same-address passes of atomics, summed over requests."""
    branches: Branches = Branches()
    distances: Distances = Distances()
    """From instructions of this line to the first use of what they make."""


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
    active_instructions: float = 0
    """Thread instructions whose guard held; 0 where it was not counted."""
    tensor_flops: dict[str, float] = Field(default_factory=dict)
    """Multiply-adds x 2 through tensor cores, by operand type (f16, bf16, tf32, s8)."""
    global_load: Traffic = Traffic()
    global_store: Traffic = Traffic()
    global_atomic: Traffic = Traffic()
    local: Traffic = Traffic()
    shared_load: SharedTraffic = SharedTraffic()
    shared_store: SharedTraffic = SharedTraffic()
    shared_atomic: SharedTraffic = SharedTraffic()
    branches: Branches = Branches()
    l2: L2Traffic | None = None
    """None where L2 was not modelled."""
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
    """Bytes of distinct sectors of global memory that the launch touches: what DRAM must move at least once."""
    heaviest_block: float = 1.0
    """Warp instructions of the busiest block that was looked at over the mean."""
    outstanding_loads: float = 1.0
    """Mean independent global loads in flight per warp between uses: memory-level parallelism."""
    distances: dict[str, Distances] = Field(default_factory=dict)
    """By what makes the value: arithmetic sfu tensor shared global."""
    dependent_steps: dict[str, float] = Field(default_factory=dict)
    """Latencies that a warp alone waits for one after another, summed over warps, by the same kinds; `issue` is in
    instructions. From data flow within basic blocks and around loops; empty where nobody looked."""
    sampling_errors: dict[str, float] = Field(default_factory=dict)
    """Relative standard errors from sampling blocks, by counter (`global_load.sectors`, `warp_instructions.fma`, ...);
    empty where every block ran, and then all counts are exact."""
    lines: tuple[LineCounters, ...] = ()

    @property
    def issued(self) -> float:
        """All warp instructions that take an issue slot."""
        return sum(self.warp_instructions.values())
