"""Sums of what instructions counted: one bill for the launch, one for each source line."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import TypeVar

from warpsmith.core.counters import Branches, Distances, LineCounters, SharedTraffic, Traffic
from warpsmith.sandbox.emulator.dependencies import Uses
from warpsmith.sandbox.emulator.program import Instr, Vector

_BYPASS = {"cg", "cv", "volatile", "relaxed", "acquire", "mmio"}
BRANCHES = ("bra", "brx")
ATOMICS = ("atom", "red")
_BITS = re.compile(r"[a-z]+(\d+)(x2)?$")

Sum = TypeVar("Sum", Traffic, SharedTraffic)
Site = Mapping[str, float]
"""Field of SiteCounters -> count over the grid."""


@dataclass(slots=True)
class Bill:
    """Sums over the grid for one launch or one source line."""

    pipes: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    threads: float = 0
    active: float = 0
    atomics: float = 0
    serial: float = 0
    branches: float = 0
    divergent: float = 0
    uses: Uses = field(default_factory=Uses)
    traffic: dict[str, Traffic] = field(default_factory=lambda: defaultdict(Traffic))
    shared: dict[str, SharedTraffic] = field(default_factory=lambda: defaultdict(SharedTraffic))

    def memory(self, instr: Instr, site: Site, dram_sectors: float) -> None:
        """Charge a memory instruction."""
        for kind in accounts(instr, site):
            if kind.startswith("shared"):
                self.shared[kind] = _plus(self.shared[kind], shared_traffic(site))
            else:
                self.traffic[kind] = _plus(self.traffic[kind], _traffic(instr, site, dram_sectors))
        if instr.opcode in ATOMICS:
            self.atomics += site["lanes"]
            self.serial += site["atomic_serial"]

    def line(self, number: int) -> LineCounters:
        """The bill as a source line's."""
        return LineCounters(
            line=number,
            warp_instructions=sum(self.pipes.values()),
            pipes=dict(self.pipes),
            thread_instructions=self.threads,
            active_instructions=self.active,
            global_load=self.traffic["global_load"],
            global_store=self.traffic["global_store"],
            global_atomic=self.traffic["global_atomic"],
            local=self.traffic["local"],
            shared=reduce(_plus, [self.shared[f"shared_{way}"] for way in ("load", "store", "atomic")]),
            atomics=self.atomics,
            atomic_serial=self.serial,
            branches=Branches(executed=self.branches, divergent=self.divergent),
            distances=distances_of(self.uses),
        )


def distances_of(uses: Uses) -> Distances:
    """The record of gathered distances."""
    return Distances(results=uses.results, total=uses.total, histogram=dict(uses.histogram))


def shared_traffic(site: Site) -> SharedTraffic:
    """A site's part in shared memory."""
    return SharedTraffic(
        requests=site["requests"], wavefronts=site["wavefronts"], ideal_wavefronts=site["ideal_wavefronts"]
    )


def _traffic(instr: Instr, site: Site, dram_sectors: float) -> Traffic:
    return Traffic(
        requests=site["requests"],
        sectors=site["sectors"],
        bytes=site["lanes"] * access_bytes(instr),
        l1_misses=site["fresh_sectors"],
        dram_sectors=dram_sectors,
    )


def _plus(one: Sum, other: Sum) -> Sum:
    return type(one)(**{name: getattr(one, name) + getattr(other, name) for name in type(one).model_fields})


def accounts(instr: Instr, site: Site) -> tuple[str, ...]:
    """Which accounts a memory instruction is charged to; `cp.async` reads one memory and writes another."""
    if instr.opcode == "cp":
        return ("global_load", "shared_store")
    shared = instr.opcode in ("ldmatrix", "stmatrix") or bool(site["wavefronts"] and not site["sectors"])
    if instr.opcode in ATOMICS:
        return ("shared_atomic",) if shared else ("global_atomic",)
    store = instr.opcode in ("st", "stmatrix") or (instr.opcode == "wmma" and "store" in instr.modifiers)
    way = "store" if store else "load"
    if shared:
        return (f"shared_{way}",)
    if "local" in instr.modifiers:
        return ("local",)
    return (f"global_{way}",)


def bypasses_l1(instr: Instr) -> bool:
    """Whether a load asks L2 each time: cached there alone, or not to be cached."""
    return instr.opcode in ("ld", "cp") and bool(_BYPASS & set(instr.modifiers))


def access_bytes(instr: Instr) -> int:
    """Bytes one lane asks for."""
    if instr.opcode == "cp":
        sizes = [operand.bits for operand in instr.operands if hasattr(operand, "bits")]
        return sizes[0] if sizes else 16
    found = _BITS.match(instr.modifiers[-1]) if instr.modifiers else None
    width = int(found.group(1)) // 8 * (2 if found.group(2) else 1) if found else 4
    vectors = [len(operand.items) for operand in instr.operands if isinstance(operand, Vector)]
    return width * max(vectors, default=1)
