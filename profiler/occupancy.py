"""How many blocks fit on one multiprocessor, and what stops more.

The rules are those of `cuda_occupancy.h` in the CUDA toolkit for compute capability 8.0 to 10.0: registers are
handed out to warps, in units, from the four partitions' own files; shared memory to blocks, in units, with one
reserved KiB each.
"""

from __future__ import annotations

from dataclasses import dataclass

from warpsmith.core.arch import PARTITIONS, WARP, Architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.profile import Occupancy

STATIC_SHARED_LIMIT = 48 * 1024
"""Bytes of `__shared__` a compiler accepts; more must be dynamic."""
LOCAL_LIMIT = 512 * 1024
"""Bytes of local memory a thread may have. CUDA C++ Programming Guide, "Compute Capabilities", technical
specifications."""


@dataclass(frozen=True, slots=True)
class ResourceExceeded:
    """A launch that the target refuses: a fact about the candidate, known before anything runs."""

    resource: str
    """`threads`, `registers`, `shared` or `local`."""
    needed: int
    limit: int
    reason: str
    """One sentence with the remedy."""


def occupancy(
    resources: Resources,
    dynamic_shared: int,
    block_threads: int,
    arch: Architecture,
    *,
    grid_blocks: int | None = None,
) -> Occupancy | ResourceExceeded:
    """Co-resident blocks and warps per multiprocessor.

    Args:
        resources: ptxas' report of the entry.
        dynamic_shared: bytes per block asked for at launch.
        block_threads: threads per block.
        arch: the target.
        grid_blocks: blocks of the grid; where given, a grid too small to fill the chip lowers the answer.
    """
    exceeded = check_resources(resources, dynamic_shared, block_threads, arch)
    if exceeded is not None:
        return exceeded
    warps = _ceil_div(block_threads, WARP)
    limits = {
        "threads": arch.warps_per_sm // warps,
        "blocks": arch.blocks_per_sm,
        "registers": _blocks_by_registers(resources.registers, warps, arch),
        "shared": arch.shared_per_sm // _shared_per_block(resources, dynamic_shared, arch),
    }
    if grid_blocks is not None:
        limits["grid"] = _ceil_div(grid_blocks, arch.sms)
    limiter = min(limits, key=lambda name: limits[name])
    blocks = limits[limiter]
    return Occupancy(
        blocks_per_sm=blocks,
        warps_per_sm=blocks * warps,
        max_warps=arch.warps_per_sm,
        limiter=limiter,
        limits=limits,
    )


def check_resources(
    resources: Resources, dynamic_shared: int, block_threads: int, arch: Architecture
) -> ResourceExceeded | None:
    """Say what the target would refuse at launch, or None."""
    if block_threads < 1:
        raise ValueError("a block has at least one thread")
    most = min(arch.threads_per_block, resources.max_threads or arch.threads_per_block)
    if block_threads > most:
        cause = "its __launch_bounds__ allows" if resources.max_threads == most else "a block may have"
        reason = f"The block has {block_threads} threads; {cause} {most}."
        return ResourceExceeded("threads", block_threads, most, reason)
    return (
        _check_registers(resources, block_threads, arch)
        or _check_shared(resources, dynamic_shared, arch)
        or check_local(resources.stack)
    )


def check_local(needed: int) -> ResourceExceeded | None:
    """Say whether a thread's arrays that lie in memory, with what is spilled there, are more than any target has."""
    if needed <= LOCAL_LIMIT:
        return None
    reason = (
        f"A thread's local arrays take {needed:,} bytes; the limit is {LOCAL_LIMIT:,}. Put large arrays into a "
        "[[buffer]] or shared memory, or work on one tile of them at a time."
    )
    return ResourceExceeded("local", needed, LOCAL_LIMIT, reason)


def _check_registers(resources: Resources, block_threads: int, arch: Architecture) -> ResourceExceeded | None:
    if resources.registers > arch.registers_per_thread:
        reason = f"A thread uses {resources.registers} registers; {arch.name} has {arch.registers_per_thread}."
        return ResourceExceeded("registers", resources.registers, arch.registers_per_thread, reason)
    # The hardware checks as if warps were dealt evenly over the four partitions.
    warps = _round_up(_ceil_div(block_threads, WARP), PARTITIONS)
    needed = warps * _registers_per_warp(resources.registers, arch)
    if needed <= arch.registers_per_sm:
        return None
    reason = (
        f"{resources.registers} registers x {block_threads} threads need {needed} registers; a multiprocessor has "
        f"{arch.registers_per_sm}. Use a smaller block, or __launch_bounds__({block_threads})."
    )
    return ResourceExceeded("registers", needed, arch.registers_per_sm, reason)


def _check_shared(resources: Resources, dynamic_shared: int, arch: Architecture) -> ResourceExceeded | None:
    if dynamic_shared < 0:
        raise ValueError("dynamic shared memory is a number of bytes")
    if resources.static_shared > STATIC_SHARED_LIMIT:
        reason = (
            f"The kernel declares {resources.static_shared} bytes of static shared memory; the limit is "
            f"{STATIC_SHARED_LIMIT}. Ask for the rest as dynamic shared memory (`shared =`)."
        )
        return ResourceExceeded("shared", resources.static_shared, STATIC_SHARED_LIMIT, reason)
    needed = resources.static_shared + dynamic_shared
    if needed <= arch.shared_per_block:
        return None
    reason = (
        f"The block needs {needed} bytes of shared memory ({resources.static_shared} static, {dynamic_shared} "
        f"dynamic); on {arch.name} a block may have {arch.shared_per_block}. Use smaller tiles or fewer stages."
    )
    return ResourceExceeded("shared", needed, arch.shared_per_block, reason)


def _blocks_by_registers(registers: int, warps: int, arch: Architecture) -> int:
    per_warp = _registers_per_warp(registers, arch)
    if per_warp == 0:
        return arch.blocks_per_sm
    warps_per_partition = arch.registers_per_sm // PARTITIONS // per_warp
    return warps_per_partition * PARTITIONS // warps


def _registers_per_warp(registers: int, arch: Architecture) -> int:
    return _round_up(registers * WARP, arch.register_unit)


def _shared_per_block(resources: Resources, dynamic_shared: int, arch: Architecture) -> int:
    return _round_up(resources.static_shared + dynamic_shared + arch.shared_reserved, arch.shared_unit)


def _ceil_div(amount: int, unit: int) -> int:
    return -(-amount // unit)


def _round_up(amount: int, unit: int) -> int:
    return _ceil_div(amount, unit) * unit
