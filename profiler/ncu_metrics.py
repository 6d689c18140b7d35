"""Which Nsight Compute metrics are collected, under which names a chip offers them, and why one is missing.

CudaForge (arXiv 2511.01884, table 8, and its `run_ncu.py`) gives its Judge the 24 in `CUDAFORGE`. Names differ between
chips, so each is looked up in what `ncu --query-metrics` lists for the GPU at hand. `OWN` adds the duration and the
counts that the emulator makes too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType

from pydantic import model_validator

from warpsmith.core.record import Record

CUDAFORGE: tuple[str, ...] = (
    "sm__cycles_active.avg",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "launch__occupancy_limit_blocks",
    "launch__occupancy_limit_registers",
    "launch__occupancy_limit_shared_mem",
    "launch__registers_per_thread",
    "sm__inst_executed.sum",
    "sm__inst_executed_pipe_fp32.avg.pct_of_peak_sustained_active",
    "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active",
    "dram__bytes_read.sum",
    "dram__bytes_write.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "dram__bytes.sum.per_second",
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed",
    "l1tex__t_sector_hit_rate.pct",
    "l1tex__throughput.avg.pct_of_peak_sustained_active",
    "lts__t_sector_hit_rate.pct",
    "lts__throughput.avg.pct_of_peak_sustained_active",
    "smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct",
    "smsp__warp_issue_stalled_short_scoreboard_per_warp_active.pct",
    "smsp__warp_issue_stalled_long_scoreboard_per_warp_active.pct",
    "smsp__warp_issue_stalled_barrier_per_warp_active.pct",
    "smsp__warp_issue_stalled_branch_resolving_per_warp_active.pct",
    "smsp__sass_average_branch_targets_threads_uniform.pct",
)

OWN: tuple[str, ...] = (
    "gpu__time_duration.sum",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed",
    "launch__waves_per_multiprocessor",
    "smsp__thread_inst_executed.sum",
    "l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",
    "l1tex__t_requests_pipe_lsu_mem_global_op_st.sum",
    "l1tex__t_sectors_pipe_lsu_mem_global_op_st.sum",
    "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum",
    "l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum",
)

STAND_INS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "sm__inst_executed_pipe_fp32.avg.pct_of_peak_sustained_active": (
            "sm__inst_executed_pipe_fma.avg.pct_of_peak_sustained_active",
        ),
        "sm__inst_executed_pipe_tensor.avg.pct_of_peak_sustained_active": (
            "sm__inst_executed_pipe_tensor_subpipe_hmma.avg.pct_of_peak_sustained_active",
            "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active",
            "sm__pipe_tensor_op_hmma_cycles_active.avg.pct_of_peak_sustained_active",
        ),
    }
)
"""Metric -> what newer chips count in its place, nearest first; the record says which one a value is."""

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "smsp__warp_issue_stalled_memory_dependency_per_warp_active.pct": (
            "a name of nvprof's days: since Volta the same stall is counted as long_scoreboard, which is listed too"
        )
    }
)
"""Why a chip lacks a metric, where more can be said than that it does."""


class Resolved(Record):
    """A wanted metric on one chip."""

    wanted: str
    collected_as: str = ""
    """Full name to ask ncu for; empty where the chip has none."""
    reason: str = ""
    """Why it is not collected, or that a stand-in is."""

    @model_validator(mode="after")
    def _says_why(self) -> Resolved:
        if self.collected_as != self.wanted and not self.reason:
            raise ValueError(f"{self.wanted} is not collected as itself, and the record does not say why")
        return self


def resolve(offered: AbstractSet[str], chip: str, wanted: Sequence[str] = CUDAFORGE + OWN) -> tuple[Resolved, ...]:
    """Hold the wanted metrics against the base names a chip offers.

    Metrics of the launch (`launch__…`) come from the driver, not from counters: each chip has them.
    """
    return tuple(_resolve(name, offered, chip) for name in wanted)


def _resolve(name: str, offered: AbstractSet[str], chip: str) -> Resolved:
    if base(name).startswith("launch__") or base(name) in offered:
        return Resolved(wanted=name, collected_as=name)
    for other in STAND_INS.get(name, ()):
        if base(other) in offered:
            return Resolved(wanted=name, collected_as=other, reason=f"{chip} counts {base(other)} in its place")
    why = RENAMED.get(name, "`ncu --query-metrics` does not list it")
    return Resolved(wanted=name, reason=f"{chip} does not offer it: {why}")


def base(name: str) -> str:
    """The metric without its roll-up: `dram__bytes_read` of `dram__bytes_read.sum`."""
    return name.partition(".")[0]
