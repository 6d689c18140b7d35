"""An emulated launch under Nsight Compute's metric names, each saying how far it means the same.

Names and meanings follow the Nsight Compute 2025 documentation ("Metrics Structure", "Metrics Reference", "Metrics
Decoder"). `nsight_page.py` makes `docs/metrics.md` of this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from warpsmith.core.arch import Architecture
from warpsmith.core.counters import LaunchCounters, SharedTraffic
from warpsmith.core.profile import LaunchProfile, Metric
from warpsmith.profiler.traffic import SECTOR


class Fidelity(StrEnum):
    """How a value compares with what Nsight Compute would show."""

    SAME = "same"
    """The same thing is counted, exactly where every block ran."""
    PTX = "PTX"
    """Counted in PTX; Nsight Compute counts machine code, which ptxas fuses, hoists and unrolls."""
    MODEL = "model"
    """Follows from a model of a cache or of time; see docs/time-model.md."""


Value = Callable[[LaunchProfile, Architecture], float | None]


@dataclass(frozen=True, slots=True)
class Named:
    """One metric that an emulated profile has."""

    unit: str
    fidelity: Fidelity
    value: Value
    note: str = ""


def nsight_metrics(profile: LaunchProfile, arch: Architecture) -> dict[str, Metric]:
    """Every metric of `TABLE` that the launch has, by name. Sums are over the whole grid."""
    found = {}
    for name, named in TABLE.items():
        value = named.value(profile, arch)
        if value is not None:
            source = profile.duration.source if named.fidelity is Fidelity.MODEL else profile.counters.source
            found[name] = Metric(name=name, value=value, unit=named.unit, source=source)
    return found


def _count(value: Callable[[LaunchCounters], float]) -> Value:
    return lambda profile, _: value(profile.counters)


def _ratio(over: Callable[[LaunchCounters], float], under: Callable[[LaunchCounters], float]) -> Value:
    def value(profile: LaunchProfile, _: Architecture) -> float | None:
        counters = profile.counters
        return over(counters) / under(counters) if under(counters) else None

    return value


def _share(*limits: str) -> Value:
    """The busiest of some limits over the launch's time without its overhead, in percent."""

    def value(profile: LaunchProfile, _: Architecture) -> float | None:
        us = _busy_us(profile)
        return 100 * max(profile.limits.get(name, 0.0) for name in limits) / us if us else None

    return value


def _busy_us(profile: LaunchProfile) -> float:
    return profile.duration.us - profile.limits.get("launch", 0.0)


def _dram(profile: LaunchProfile) -> float | None:
    l2 = profile.counters.l2
    return None if l2 is None else (l2.dram_reads + l2.dram_writes) * SECTOR


def _dram_share(profile: LaunchProfile, arch: Architecture) -> float | None:
    moved, us = _dram(profile), _busy_us(profile)
    return None if moved is None or not us else 100 * moved / (us * arch.dram_gbps * 1e3)


def _dram_rate(profile: LaunchProfile, _: Architecture) -> float | None:
    moved, us = _dram(profile), _busy_us(profile)
    return None if moved is None or not us else moved / us * 1e6


def _l2(value: Callable[[LaunchCounters], float]) -> Value:
    return lambda profile, _: None if profile.counters.l2 is None else value(profile.counters)


def _occupancy_limit(resource: str) -> Value:
    def value(profile: LaunchProfile, _: Architecture) -> float | None:
        return profile.occupancy.limits.get(resource)

    return value


def _active_cycles(profile: LaunchProfile, arch: Architecture) -> float | None:
    used = min(1.0, profile.counters.grid_blocks / arch.sms)
    return _busy_us(profile) * arch.clock_mhz * used


def _reads(counters: LaunchCounters) -> tuple[float, float]:
    """(L2 sectors that loads ask for, those that hit)."""
    assert counters.l2 is not None
    return counters.l2.loads, counters.l2.load_hits


def _shared(counters: LaunchCounters) -> SharedTraffic:
    kinds = (counters.shared_load, counters.shared_store, counters.shared_atomic)
    return SharedTraffic(
        requests=sum(kind.requests for kind in kinds),
        wavefronts=sum(kind.wavefronts for kind in kinds),
        ideal_wavefronts=sum(kind.ideal_wavefronts for kind in kinds),
    )


def _conflicts(shared: SharedTraffic) -> float:
    return shared.wavefronts - shared.ideal_wavefronts


def _pipe(name: str) -> Value:
    return _count(lambda counters: counters.warp_instructions.get(name, 0.0))


_IDEAL_L1 = "An L1 that keeps all that a block loads and forgets between blocks; global loads only."
_COLD_L2 = "An L2 of the target's size, empty at first; local memory is not in it."
_NO_TAIL = "The most that can reside; blocks are taken to end together."

TABLE: Mapping[str, Named] = MappingProxyType(
    {
        "gpu__time_duration.sum": Named("ns", Fidelity.MODEL, lambda it, _: it.duration.us * 1e3),
        "sm__cycles_active.avg": Named(
            "cycle", Fidelity.MODEL, _active_cycles, "Without launch overhead, at the highest clock."
        ),
        "sm__warps_active.avg.pct_of_peak_sustained_active": Named(
            "%", Fidelity.MODEL, lambda it, _: 100 * it.occupancy.fraction, _NO_TAIL
        ),
        "launch__occupancy_limit_blocks": Named("block", Fidelity.SAME, _occupancy_limit("blocks")),
        "launch__occupancy_limit_registers": Named("block", Fidelity.SAME, _occupancy_limit("registers")),
        "launch__occupancy_limit_shared_mem": Named("block", Fidelity.SAME, _occupancy_limit("shared")),
        "launch__occupancy_limit_warps": Named("block", Fidelity.SAME, _occupancy_limit("threads")),
        "launch__registers_per_thread": Named(
            "register/thread", Fidelity.SAME, lambda it, _: float(it.resources.registers), "From the compiler's report."
        ),
        "launch__grid_size": Named("block", Fidelity.SAME, _count(lambda it: it.grid_blocks)),
        "launch__block_size": Named("thread/block", Fidelity.SAME, _count(lambda it: it.block_threads)),
        "launch__waves_per_multiprocessor": Named("1", Fidelity.SAME, lambda it, _: it.waves),
        "sm__throughput.avg.pct_of_peak_sustained_elapsed": Named(
            "%", Fidelity.MODEL, _share("issue", "fma", "alu", "half", "fp64", "sfu", "tensor", "lsu")
        ),
        "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": Named(
            "%", Fidelity.MODEL, _share("lsu", "l1", "shared", "l2", "dram")
        ),
        "sm__inst_executed.sum": Named("inst", Fidelity.PTX, _count(lambda it: it.issued)),
        "smsp__inst_executed.sum": Named("inst", Fidelity.PTX, _count(lambda it: it.issued)),
        "smsp__thread_inst_executed.sum": Named("inst", Fidelity.PTX, _count(lambda it: it.thread_instructions)),
        "smsp__thread_inst_executed_pred_on.sum": Named(
            "inst", Fidelity.PTX, _count(lambda it: it.active_instructions)
        ),
        "smsp__thread_inst_executed_per_inst_executed.ratio": Named(
            "1", Fidelity.PTX, _ratio(lambda it: it.thread_instructions, lambda it: it.issued)
        ),
        "smsp__thread_inst_executed_pred_on_per_inst_executed.ratio": Named(
            "1", Fidelity.PTX, _ratio(lambda it: it.active_instructions, lambda it: it.issued)
        ),
        "sm__inst_executed_pipe_alu.sum": Named("inst", Fidelity.PTX, _pipe("alu")),
        "sm__inst_executed_pipe_fma.sum": Named("inst", Fidelity.PTX, _pipe("fma")),
        "sm__inst_executed_pipe_fp16.sum": Named("inst", Fidelity.PTX, _pipe("half")),
        "sm__inst_executed_pipe_fp64.sum": Named("inst", Fidelity.PTX, _pipe("fp64")),
        "sm__inst_executed_pipe_xu.sum": Named("inst", Fidelity.PTX, _pipe("sfu")),
        "sm__inst_executed_pipe_lsu.sum": Named("inst", Fidelity.PTX, _pipe("lsu")),
        "sm__inst_executed_pipe_tensor.sum": Named("inst", Fidelity.PTX, _pipe("tensor")),
        "sm__inst_executed_pipe_fp32.avg.pct_of_peak_sustained_active": Named(
            "%", Fidelity.MODEL, _share("fma"), "The `fma` pipe."
        ),
        "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active": Named(
            "%", Fidelity.MODEL, _share("tensor"), "By FLOPs, not by instructions."
        ),
        "smsp__sass_average_branch_targets_threads_uniform.pct": Named(
            "%",
            Fidelity.PTX,
            lambda it, _: 100 * it.counters.branches.efficiency if it.counters.branches.executed else None,
            "Branches that send all active lanes one way; short ones may become predicates in machine code.",
        ),
        "smsp__sass_branch_targets_threads_divergent.sum": Named(
            "1", Fidelity.PTX, _count(lambda it: it.branches.divergent), "A divergent `brx` counts once."
        ),
        "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum": Named(
            "request", Fidelity.SAME, _count(lambda it: it.global_load.requests)
        ),
        "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum": Named(
            "sector", Fidelity.SAME, _count(lambda it: it.global_load.sectors)
        ),
        "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_ld.ratio": Named(
            "sector/request",
            Fidelity.SAME,
            _ratio(lambda it: it.global_load.sectors, lambda it: it.global_load.requests),
        ),
        "l1tex__t_sectors_pipe_lsu_mem_global_op_ld_lookup_hit.sum": Named(
            "sector",
            Fidelity.MODEL,
            _count(lambda it: max(0.0, it.global_load.sectors - it.global_load.l1_misses)),
            _IDEAL_L1,
        ),
        "l1tex__t_sectors_pipe_lsu_mem_global_op_ld_lookup_miss.sum": Named(
            "sector", Fidelity.MODEL, _count(lambda it: it.global_load.l1_misses), _IDEAL_L1
        ),
        "l1tex__t_sector_hit_rate.pct": Named(
            "%",
            Fidelity.MODEL,
            _ratio(
                lambda it: 100 * max(0.0, it.global_load.sectors - it.global_load.l1_misses),
                lambda it: it.global_load.sectors,
            ),
            _IDEAL_L1,
        ),
        "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum": Named(
            "request", Fidelity.SAME, _count(lambda it: it.global_store.requests)
        ),
        "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum": Named(
            "sector", Fidelity.SAME, _count(lambda it: it.global_store.sectors)
        ),
        "l1tex__average_t_sectors_per_request_pipe_lsu_mem_global_op_st.ratio": Named(
            "sector/request",
            Fidelity.SAME,
            _ratio(lambda it: it.global_store.sectors, lambda it: it.global_store.requests),
        ),
        "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum": Named(
            "wavefront", Fidelity.SAME, _count(lambda it: _shared(it).wavefronts), "Without the passes of atomics."
        ),
        "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum": Named(
            "1", Fidelity.SAME, _count(lambda it: _conflicts(_shared(it)))
        ),
        "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_ld.sum": Named(
            "1", Fidelity.SAME, _count(lambda it: _conflicts(it.shared_load))
        ),
        "l1tex__data_bank_conflicts_pipe_lsu_mem_shared_op_st.sum": Named(
            "1", Fidelity.SAME, _count(lambda it: _conflicts(it.shared_store))
        ),
        "l1tex__throughput.avg.pct_of_peak_sustained_active": Named("%", Fidelity.MODEL, _share("lsu", "l1", "shared")),
        "lts__t_sectors_op_read.sum": Named("sector", Fidelity.MODEL, _l2(lambda it: _reads(it)[0]), _IDEAL_L1),
        "lts__t_sectors_op_read_lookup_hit.sum": Named(
            "sector", Fidelity.MODEL, _l2(lambda it: _reads(it)[1]), _COLD_L2
        ),
        "lts__t_sectors_op_read_lookup_miss.sum": Named(
            "sector", Fidelity.MODEL, _l2(lambda it: _reads(it)[0] - _reads(it)[1]), _COLD_L2
        ),
        "lts__t_sectors_op_write.sum": Named("sector", Fidelity.SAME, _count(lambda it: it.global_store.sectors)),
        "lts__t_sector_hit_rate.pct": Named(
            "%", Fidelity.MODEL, _l2(lambda it: 100 * it.l2.hit_rate if it.l2 else 0.0), f"{_COLD_L2} Stores hit."
        ),
        "lts__throughput.avg.pct_of_peak_sustained_active": Named("%", Fidelity.MODEL, _share("l2")),
        "dram__bytes_read.sum": Named(
            "byte", Fidelity.MODEL, _l2(lambda it: it.l2.dram_reads * SECTOR if it.l2 else 0.0), _COLD_L2
        ),
        "dram__bytes_write.sum": Named(
            "byte",
            Fidelity.MODEL,
            _l2(lambda it: it.l2.dram_writes * SECTOR if it.l2 else 0.0),
            "With what is still in L2 at the end, which Nsight Compute leaves out.",
        ),
        "dram__bytes.sum.per_second": Named("byte/s", Fidelity.MODEL, _dram_rate),
        "dram__throughput.avg.pct_of_peak_sustained_elapsed": Named("%", Fidelity.MODEL, _dram_share),
        "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": Named("%", Fidelity.MODEL, _dram_share),
    }
)
"""Name -> what an emulated profile has under it."""
