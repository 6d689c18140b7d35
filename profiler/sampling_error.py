"""What is left open in a modelled time because some blocks of a grid were counted and not all."""

from __future__ import annotations

from collections.abc import Mapping

from warpsmith.core.counters import L2Traffic, LaunchCounters, SharedTraffic, Traffic

STANDARD_ERRORS = 2.0
"""Half-width of the interval: about 19 of 20 samples lie within two standard errors."""

_TRAFFIC = ("global_load", "global_store", "global_atomic", "local")
_SHARED = ("shared_load", "shared_store", "shared_atomic")


def shifted(counters: LaunchCounters, errors: float) -> LaunchCounters:
    """Counters so many standard errors above (or, negative, below) their estimates, all at once.

    Blocks with more work have more of everything, so the counters err together. Those without an error of their own
    move with what they are made of: barriers and dependent steps with the instructions, L2 with the sectors.
    """
    if not counters.sampling_errors:
        return counters
    scale = {name: max(0.0, 1 + errors * error) for name, error in counters.sampling_errors.items()}
    every = scale.get("warp_instructions", 1.0)
    pipes = {
        pipe: count * scale.get(f"warp_instructions.{pipe}", every)
        for pipe, count in counters.warp_instructions.items()
    }
    tensor = scale.get("warp_instructions.tensor", every)
    loads = scale.get("block_unique_load_bytes", 1.0)
    return counters.model_copy(
        update={
            "warp_instructions": pipes,
            "tensor_flops": {kind: flops * tensor for kind, flops in counters.tensor_flops.items()},
            **{name: _traffic(getattr(counters, name), name, scale) for name in _TRAFFIC},
            **{name: _shared(getattr(counters, name), name, scale) for name in _SHARED},
            "atomic_lanes": counters.atomic_lanes * scale.get("atomic_lanes", 1.0),
            "atomic_serial": counters.atomic_serial * scale.get("atomic_lanes", 1.0),
            "barriers": counters.barriers * every,
            "block_unique_load_bytes": counters.block_unique_load_bytes * loads,
            "dependent_steps": {kind: steps * every for kind, steps in counters.dependent_steps.items()},
            "l2": _l2(counters.l2, loads, scale.get("global_store.sectors", 1.0)),
        }
    )


def _traffic(traffic: Traffic, name: str, scale: Mapping[str, float]) -> Traffic:
    sectors = scale.get(f"{name}.sectors", 1.0)
    return Traffic(
        requests=traffic.requests * scale.get(f"{name}.requests", 1.0),
        sectors=traffic.sectors * sectors,
        bytes=traffic.bytes * sectors,
        l1_misses=traffic.l1_misses * sectors,
        dram_sectors=traffic.dram_sectors * sectors,
    )


def _shared(traffic: SharedTraffic, name: str, scale: Mapping[str, float]) -> SharedTraffic:
    factor = scale.get(f"{name}.wavefronts", 1.0)
    return SharedTraffic(
        requests=traffic.requests * factor,
        wavefronts=traffic.wavefronts * factor,
        ideal_wavefronts=traffic.ideal_wavefronts * factor,
    )


def _l2(traffic: L2Traffic | None, loads: float, stores: float) -> L2Traffic | None:
    if traffic is None:
        return None
    moved = {"dram_reads": traffic.dram_reads * loads, "dram_writes": traffic.dram_writes * stores}
    return traffic.model_copy(update=moved)
