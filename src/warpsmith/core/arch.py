"""The GPUs a kernel is judged for: limits and rates, each figure with its source.

Sources, by the short name that `Architecture.sources` uses:

* `guide`: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability" and
  "Throughput of Native Arithmetic Instructions".
* `whitepaper`: NVIDIA's A100, Ada, H100 architecture whitepapers, and the H200 and HGX B200 datasheets.
* `occupancy`: `cuda_occupancy.h` of the CUDA toolkit.
* `luo`: Luo et al., "Benchmarking and Dissecting the Nvidia Hopper GPU Architecture via Microbenchmarking",
  arXiv 2402.13499 (latencies of RTX 4090, A100 and H100 PCIe; mma against wgmma).
* `chips`: Chips and Cheese, measured L2 bandwidths of A100, H100 PCIe and RTX 4090.
* `estimate`: nobody published it that we know of; derived from the neighbouring generation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType

from warpsmith.core.errors import SettingsError

WARP = 32
"""Threads in a warp, on every architecture."""

PARTITIONS = 4
"""Schedulers in a multiprocessor, each issuing one warp instruction a clock."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """One GPU: what fits on it and how fast each part of it goes."""

    name: str
    target: str
    """Compile target: `sm_90a`."""
    sms: int
    """Multiprocessors."""
    clock_mhz: float
    """Highest SM clock the part runs at; bounds must not assume less."""
    warps_per_sm: int
    blocks_per_sm: int
    registers_per_sm: int
    register_unit: int
    """Registers are handed out to a warp in multiples of this."""
    registers_per_thread: int
    shared_per_sm: int
    """Bytes."""
    shared_per_block: int
    """Bytes a block may have after opting in, static and dynamic together."""
    shared_unit: int
    """Bytes; a block's share is rounded up to a multiple."""
    shared_reserved: int
    """Bytes the system takes from each block's share."""
    l1_bytes: int
    """L1 and shared memory together, bytes per multiprocessor."""
    l2_bytes: int
    l2_gbps: float
    """Sustained L2 reads of the whole chip, 10^9 bytes a second."""
    l2_per_sm: float
    """Bytes a clock one multiprocessor can draw from L2."""
    dram_gbps: float
    """Peak DRAM bandwidth, 10^9 bytes a second."""
    lanes: Mapping[str, float]
    """Lanes a clock and multiprocessor by pipe: fma alu half fp64 sfu lsu."""
    tensor: Mapping[str, float]
    """Dense FLOPs a clock and multiprocessor by operand type, with whichever accumulator is fastest:
    fp16 bf16 tf32 fp8 int8 fp64. A type that is absent has no tensor cores."""
    dram_latency: float
    """Cycles from a load to its first use, unloaded."""
    l2_latency: float
    l1_latency: float
    shared_latency: float
    tensor_latency: float
    """Cycles of one warp-level mma."""
    l2_atomics: float
    """Atomic lanes a clock that all L2 slices together retire, when addresses differ."""
    sources: Mapping[str, str]
    """Figure -> where it is from, for those that differ between parts."""
    arithmetic_latency: float = 4.0
    """Cycles between dependent fp32 or integer instructions (Volta and later)."""
    l1_per_sm: float = 128.0
    """Bytes a clock from L1 or shared memory to one multiprocessor's lanes."""
    float32_accumulation: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Operand type -> fraction of `tensor` left when sums are kept in fp32; 1 where absent."""
    warp_mma: float = 1.0
    """Fraction of `tensor` that warp-level `mma.sync` reaches; the rest needs warpgroup instructions."""
    launch_us: float = 1.5
    """Microseconds between two kernel nodes of one CUDA graph."""
    threads_per_block: int = 1024

    @property
    def issue_per_sm(self) -> int:
        """Warp instructions a clock and multiprocessor."""
        return PARTITIONS

    def runs_on(self, capability: tuple[int, int]) -> bool:
        """Whether code for it runs on a GPU of this compute capability; no other part's code is taken."""
        return self.target.removesuffix("a") == f"sm_{capability[0]}{capability[1]}"

    def microseconds(self, cycles: float) -> float:
        """Time of so many SM clocks."""
        return cycles / self.clock_mhz

    def tensor_flops(self, unit: str) -> float:
        """Peak dense FLOP/s of the tensor cores for an operand type; 0 where they lack it.

        Published peaks assume a lower clock than the highest (989 TFLOP/s of an H100 is 1830 MHz of 1980).
        """
        return self.tensor.get(unit, 0.0) * self.sms * self.clock_mhz * 1e6

    def lane_flops(self, pipe: str) -> float:
        """Peak FLOP/s of an ordinary pipe; a fused multiply-add counts two, a packed one four."""
        per_lane = 4.0 if pipe == "half" else 2.0
        return self.lanes[pipe] * per_lane * self.sms * self.clock_mhz * 1e6


def _lanes(**rates: float) -> Mapping[str, float]:
    return MappingProxyType(rates)


KIB = 1024
MIB = 1024 * KIB

_A100 = Architecture(
    name="a100",
    target="sm_80",
    sms=108,
    clock_mhz=1410,
    warps_per_sm=64,
    blocks_per_sm=32,
    registers_per_sm=65536,
    register_unit=256,
    registers_per_thread=255,
    shared_per_sm=164 * KIB,
    shared_per_block=163 * KIB,
    shared_unit=128,
    shared_reserved=KIB,
    l1_bytes=192 * KIB,
    l2_bytes=40 * MIB,
    l2_gbps=4800,
    l2_per_sm=64,
    dram_gbps=2039,
    lanes=_lanes(fma=64, alu=64, half=128, fp64=32, sfu=16, lsu=32),
    tensor=_lanes(fp16=2048, bf16=2048, tf32=1024, int8=4096, fp64=128),
    dram_latency=466,
    l2_latency=262,
    l1_latency=38,
    shared_latency=29,
    tensor_latency=33,
    l2_atomics=320,
    sources=MappingProxyType(
        {
            "sms, clock, l2_bytes, dram, tensor": "whitepaper (A100 SXM 80 GB)",
            "occupancy limits, lanes": "guide",
            "register_unit, shared_unit, shared_reserved": "occupancy",
            "latencies": "luo",
            "l2_gbps": "estimate between chips' measurement and the 5120 bytes a clock of the whitepaper",
            "l2_per_sm": "whitepaper",
            "l2_atomics": "estimate: 80 slices, half a sector of 32-bit lanes a clock each",
            "launch_us": "estimate from NVIDIA's published CUDA-graph node latencies",
        }
    ),
)

_RTX4090 = Architecture(
    name="rtx4090",
    target="sm_89",
    sms=128,
    clock_mhz=2520,
    warps_per_sm=48,
    blocks_per_sm=24,
    registers_per_sm=65536,
    register_unit=256,
    registers_per_thread=255,
    shared_per_sm=100 * KIB,
    shared_per_block=99 * KIB,
    shared_unit=128,
    shared_reserved=KIB,
    l1_bytes=128 * KIB,
    l2_bytes=72 * MIB,
    l2_gbps=5000,
    l2_per_sm=64,
    dram_gbps=1008,
    lanes=_lanes(fma=128, alu=64, half=64, fp64=2, sfu=16, lsu=32),
    tensor=_lanes(fp16=1024, bf16=512, tf32=256, fp8=2048, int8=2048),
    dram_latency=542,
    l2_latency=273,
    l1_latency=43,
    shared_latency=30,
    tensor_latency=33,
    l2_atomics=320,
    float32_accumulation=_lanes(fp16=0.5, fp8=0.5),
    sources=MappingProxyType(
        {
            "sms, clock, l2_bytes, dram, tensor": "whitepaper (Ada, GeForce RTX 4090)",
            "occupancy limits, lanes": "guide",
            "register_unit, shared_unit, shared_reserved": "occupancy",
            "latencies": "luo",
            "l2_gbps": "chips",
            "l2_per_sm, l2_atomics, tensor_latency, launch_us": "estimate",
        }
    ),
)

_H100 = Architecture(
    name="h100",
    target="sm_90a",
    sms=132,
    clock_mhz=1980,
    warps_per_sm=64,
    blocks_per_sm=32,
    registers_per_sm=65536,
    register_unit=256,
    registers_per_thread=255,
    shared_per_sm=228 * KIB,
    shared_per_block=227 * KIB,
    shared_unit=128,
    shared_reserved=KIB,
    l1_bytes=256 * KIB,
    l2_bytes=50 * MIB,
    l2_gbps=7000,
    l2_per_sm=64,
    dram_gbps=3350,
    lanes=_lanes(fma=128, alu=64, half=128, fp64=64, sfu=16, lsu=32),
    tensor=_lanes(fp16=4096, bf16=4096, tf32=2048, fp8=8192, int8=8192, fp64=256),
    dram_latency=479,
    l2_latency=263,
    l1_latency=41,
    shared_latency=29,
    tensor_latency=33,
    l2_atomics=384,
    warp_mma=0.63,
    sources=MappingProxyType(
        {
            "sms, clock, l2_bytes, dram, tensor": "whitepaper (H100 SXM5 80 GB); 66.9 TFLOP/s of fp32 give the clock",
            "occupancy limits, lanes": "guide",
            "register_unit, shared_unit, shared_reserved": "occupancy",
            "latencies, warp_mma": "luo (PCIe part)",
            "l2_gbps": "estimate: chips measured 5.7 TB/s on the PCIe part, published SXM matrix kernels draw 7",
            "l2_per_sm, l2_atomics, launch_us": "estimate",
        }
    ),
)

_H200 = replace(
    _H100,
    name="h200",
    dram_gbps=4800,
    sources=MappingProxyType({**_H100.sources, "dram": "whitepaper (H200 SXM 141 GB)", "everything else": "as h100"}),
)

_B200 = Architecture(
    name="b200",
    target="sm_100a",
    sms=148,
    clock_mhz=1965,
    warps_per_sm=64,
    blocks_per_sm=32,
    registers_per_sm=65536,
    register_unit=256,
    registers_per_thread=255,
    shared_per_sm=228 * KIB,
    shared_per_block=227 * KIB,
    shared_unit=128,
    shared_reserved=KIB,
    l1_bytes=256 * KIB,
    l2_bytes=126 * MIB,
    l2_gbps=10000,
    l2_per_sm=64,
    dram_gbps=8000,
    lanes=_lanes(fma=128, alu=64, half=128, fp64=64, sfu=16, lsu=32),
    tensor=_lanes(fp16=8192, bf16=8192, tf32=4096, fp8=16384, int8=16384, fp64=128),
    dram_latency=600,
    l2_latency=300,
    l1_latency=41,
    shared_latency=29,
    tensor_latency=33,
    l2_atomics=512,
    warp_mma=0.3,
    sources=MappingProxyType(
        {
            "dram, tensor": "whitepaper (HGX B200: 8 TB/s, 2.25 PFLOP/s dense fp16 give 8192 a clock)",
            "occupancy limits": "guide (compute capability 10.0)",
            "register_unit, shared_unit, shared_reserved": "occupancy",
            "sms, clock, l2_bytes": "estimate from device queries people have published",
            "lanes, latencies, l2_gbps, l2_per_sm, l2_atomics, warp_mma, launch_us": "estimate from h100",
        }
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {item.name: item for item in (_A100, _RTX4090, _H100, _H200, _B200)}
)
"""By name."""

_BY_TARGET = MappingProxyType({"sm_80": "a100", "sm_89": "rtx4090", "sm_90": "h200", "sm_100": "b200"})


def find_architecture(name: str) -> Architecture:
    """Look a GPU up by name (`h200`) or by compile target (`sm_90`, `sm_90a`), in any case.

    A target names its fastest-memory part: sm_80 the A100, sm_89 the RTX 4090, sm_90 the H200, sm_100 the B200.

    Raises:
        SettingsError: no such GPU; the message lists those there are.
    """
    key = name.strip().lower()
    key = _BY_TARGET.get(key.removesuffix("a") if key.startswith("sm_") else key, key)
    if key not in ARCHITECTURES:
        known = ", ".join((*ARCHITECTURES, *_BY_TARGET))
        raise SettingsError(f"no GPU or compile target is called {name!r}.", remedy=f"Known: {known}.")
    return ARCHITECTURES[key]


def recognise(name: str, capability: tuple[int, int], sms: int) -> Architecture | None:
    """The row of the table that a GPU is; None where there is none, a part of a GPU (MIG) for one.

    Args:
        name: As the driver gives it: `NVIDIA H100 80GB HBM3`.
        capability: Compute capability.
        sms: Multiprocessors it shows.
    """
    words = _words(name)
    for arch in ARCHITECTURES.values():
        known = arch.runs_on(capability) and arch.sms == sms and arch.name.upper() in words
        if known and not words & _OTHER_PARTS:
            return arch
    return None


def unrecognised(name: str, capability: tuple[int, int], sms: int) -> str:
    """Why `recognise` finds no row: bounds and residency of another part would be wrong."""
    words = _words(name)
    if "MIG" in words:
        return f"{name} ({sms} SMs) is a part of a GPU (MIG), whose share of bandwidth no table has"
    kin = next((arch for arch in ARCHITECTURES.values() if arch.name.upper() in words), None)
    if kin is None:
        return f"{name} ({capability[0]}.{capability[1]}, {sms} SMs) is not in the table of targets"
    facts = f"{kin.sms} SMs, {kin.clock_mhz:g} MHz, {kin.dram_gbps:g} GB/s"
    return f"{name} ({sms} SMs) is another part than the table's {kin.name} ({facts})"


_OTHER_PARTS = frozenset({"MIG", "PCIE", "NVL", "40GB", "D", "LAPTOP", "MAXQ"})
"""Words of names whose clocks or memory are not the table's, although the multiprocessors may be as many."""


def _words(name: str) -> frozenset[str]:
    """`NVIDIA A100-SXM4-80GB` -> {NVIDIA, A100, SXM4, 80GB}; a word and the number behind it count joined as well."""
    parts = name.upper().replace("-", " ").split()
    return frozenset((*parts, *(first + second for first, second in pairwise(parts))))
