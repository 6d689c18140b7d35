"""Chooses workloads of an imported problem: small and awkward ones to verify, the file's own to time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from warpsmith.tasks.importers.kernelbench.domain import Domain
from warpsmith.tasks.importers.kernelbench.probe import Probe, Seen

MOST_FLOPS, MOST_ELEMENTS = 4e6, 3e5
"""A verify workload runs on the emulator."""
MOST_OF_A_KIND = 4
"""Sizes that get a workload at their smallest, and so many one where they are long."""
ODD = (17, 19, 23, 29, 31, 37, 41, 43)
TILES = (64, 32, 32, 16, 16, 16, 16, 16)
LONG = (1031, 521, 257, 131, 67)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A workload's name and its sizes, those of tied ones included."""

    name: str
    sizes: dict[str, int]


def verify_workloads(probe: Probe, domain: Domain) -> tuple[Chosen, ...]:
    """Odd sizes, whole tiles, each size at its smallest, each one long."""
    names = list(domain.free)
    odd = _affordable(probe, domain, dict(zip(names, (ODD * 9)[: len(names)], strict=True)))
    tiles = _affordable(probe, domain, dict(zip(names, (TILES + (16,) * 64)[: len(names)], strict=True)))
    chosen = [("odd sizes", odd), ("whole tiles", tiles)]
    chosen += [(f"the smallest {name}", {**odd, name: domain.free[name].low}) for name in names[:MOST_OF_A_KIND]]
    few = {name: max(allowed.low, allowed.up(3)) for name, allowed in domain.free.items()}
    for name in sorted(names, key=lambda name: -domain.file[name])[:MOST_OF_A_KIND]:
        longest = next((size for size in LONG if _costs(probe, domain, {**few, name: size})), None)
        if longest is not None:
            chosen.append((f"a long {name}", {**few, name: domain.free[name].up(longest)}))
    found: list[Chosen] = []
    for label, sizes in chosen:
        bound = domain.bound(sizes)
        if isinstance(probe.at(bound), Seen) and bound not in [item.sizes for item in found]:
            found.append(Chosen(label, bound))
    return tuple(found)


def bench_workload(probe: Probe, domain: Domain, most_bytes: int) -> tuple[dict[str, int], list[str]]:
    """The file's sizes, the largest ones halved until its tensors hold at most so many bytes; and which were halved."""
    sizes = {name: domain.file[name] for name in domain.free}
    halved: list[str] = []
    while True:
        seen = probe.at(domain.bound(sizes))
        if not isinstance(seen, Seen) or seen.elements * probe.dtype.itemsize <= most_bytes:
            return domain.bound(sizes), halved
        smaller = {name: domain.free[name].up(-(-size // 2)) for name, size in sizes.items()}
        able = [name for name in sizes if smaller[name] < sizes[name]]
        if not able:
            return domain.bound(sizes), halved
        largest = max(able, key=lambda name: sizes[name])
        sizes[largest] = smaller[largest]
        halved.append(largest)


def _affordable(probe: Probe, domain: Domain, wanted: Mapping[str, int]) -> dict[str, int]:
    """The sizes, the largest ones lowered until the emulator runs them soon."""
    sizes = {name: domain.free[name].up(size) for name, size in wanted.items()}
    while not _costs(probe, domain, sizes):
        lowered = {name: domain.free[name].up(2 * size // 3) for name, size in sizes.items()}
        able = [name for name in sizes if lowered[name] < sizes[name]]
        if not able:
            return sizes
        largest = max(able, key=lambda name: sizes[name])
        sizes[largest] = lowered[largest]
    return sizes


def _costs(probe: Probe, domain: Domain, sizes: Mapping[str, int]) -> bool:
    """Whether the work is small enough to emulate often."""
    seen = probe.at(domain.bound({name: domain.free[name].up(size) for name, size in sizes.items()}))
    return isinstance(seen, Seen) and seen.flops <= MOST_FLOPS and seen.elements <= MOST_ELEMENTS
