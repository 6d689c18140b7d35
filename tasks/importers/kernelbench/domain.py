"""Finds which sizes of a problem may vary, and within which constraints it still works."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import gcd

from warpsmith.core.errors import TaskError
from warpsmith.tasks.importers.kernelbench.probe import Probe, Seen

SWEPT = (*range(1, 41), 48, 64, 96, 128)
"""Values that a size is tried at, the others being as in the file."""
JOINT = 48
"""Random choices of all sizes at once that must work."""
SMALL_PARAMETER = 7
"""Up to here, an integer that is no extent of an argument is taken for a kernel size, a stride or the like."""
PARAMETERS = ("kernel", "stride", "padding", "dilation", "group", "axis", "pool", "scale", "factor", "head")


@dataclass(frozen=True, slots=True)
class Range:
    """What a free size may be: `low`, `low + step`, …; multiples of `step`."""

    low: int
    step: int

    def up(self, size: int) -> int:
        """The smallest allowed value that is at least `size`."""
        wanted = max(size, self.low)
        return wanted + -wanted % self.step

    def holds(self, size: int) -> bool:
        return size >= self.low and size % self.step == 0


@dataclass(frozen=True, slots=True)
class Domain:
    """Sizes by what may become of them."""

    file: dict[str, int]
    """As in the file."""
    free: dict[str, Range]
    tied: dict[str, str]
    """Sizes that must equal another, free one."""
    samples: tuple[dict[str, int], ...] = ()
    """Choices of all sizes at which the problem works, the file's among them."""

    @property
    def fixed(self) -> tuple[str, ...]:
        return tuple(name for name in self.file if name not in self.free and name not in self.tied)

    def bound(self, free: Mapping[str, int]) -> dict[str, int]:
        """All sizes, from those of the free ones."""
        sizes = {**self.file, **free}
        return sizes | {name: sizes[other] for name, other in self.tied.items()}


def find_domain(probe: Probe, sizes: Mapping[str, int], place: str) -> Domain:
    """Try the problem at many sizes.

    Raises:
        TaskError: it does not work at its own sizes, or none of them can vary.
    """
    at_home = probe.at(sizes)
    if isinstance(at_home, str):
        raise TaskError(
            f"{place}: the problem cannot be followed at its own sizes without values: {at_home}.",
            remedy="Shapes may depend on module-level integers only, not on what tensors hold.",
        )
    domain = Domain(dict(sizes), {}, {})
    stuck: list[str] = []
    for name in sizes:
        if not _is_extent(probe, domain, name, at_home):
            continue
        allowed = _range(probe, domain, (name,))
        if allowed is None:
            stuck.append(name)
        else:
            domain = replace(domain, free={**domain.free, name: allowed})
    domain = _tie(probe, domain, stuck)
    domain = _joined(probe, domain)
    if not domain.free:
        raise TaskError(
            f"{place}: none of the module-level sizes ({', '.join(sizes) or 'there are none'}) can be made smaller.",
            remedy="Give the extents names at module level: `batch_size = 16`, used in get_inputs.",
        )
    return domain


def _is_extent(probe: Probe, domain: Domain, name: str, home: Seen) -> bool:
    """Whether the size is an extent of a tensor, and none that says how a layer works."""
    if any(word in name.lower() for word in PARAMETERS):
        return False
    value = domain.file[name]
    argument = any(shape is not None and value in shape for shape in home.arguments)
    if value <= SMALL_PARAMETER and not argument:
        return False
    tried = [probe.at({**domain.file, name: other}) for other in (value + 1, 2 * value, value // 2)]
    worked = [seen for seen in tried if isinstance(seen, Seen)]
    if worked:
        return any((seen.arguments, seen.state) != (home.arguments, home.state) for seen in worked)
    return value > SMALL_PARAMETER and value in {extent for shape in home.shapes for extent in shape}


def _range(probe: Probe, domain: Domain, names: Iterable[str]) -> Range | None:
    """What these sizes may be, together and equal; None where nothing simple describes it."""
    names = tuple(names)
    value = domain.file[names[0]]
    tried = sorted({*SWEPT, value})
    works = [size for size in tried if isinstance(probe.at({**domain.file, **dict.fromkeys(names, size)}), Seen)]
    if len(works) < 3:
        return None
    step = gcd(*works)
    found = Range(works[0], step)
    return found if [size for size in tried if found.holds(size)] == works else None


def _tie(probe: Probe, domain: Domain, stuck: list[str]) -> Domain:
    """Pairs of equal sizes that can vary together only."""
    while stuck:
        name = stuck.pop(0)
        for other in stuck:
            if domain.file[other] != domain.file[name]:
                continue
            allowed = _range(probe, domain, (name, other))
            if allowed is not None:
                stuck.remove(other)
                domain = replace(domain, free={**domain.free, name: allowed}, tied={**domain.tied, other: name})
                break
    return domain


def _joined(probe: Probe, domain: Domain) -> Domain:
    """Hold sizes at the file's value until all choices of the rest work together."""
    while True:
        draws = _draws(domain)
        failed = [sizes for sizes in draws if isinstance(probe.at(domain.bound(sizes)), str)]
        if not failed:
            homes = [{}, *draws]
            return replace(domain, samples=tuple(domain.bound(sizes) for sizes in homes))
        if not domain.free:
            return domain
        raised = _raised(domain, failed)
        if raised is not None:
            domain = raised
            continue
        saved = {name: _saved(probe, domain, name, failed) for name in domain.free}
        guilty = max(saved, key=lambda name: saved[name])
        free = {name: allowed for name, allowed in domain.free.items() if name != guilty}
        tied = {name: other for name, other in domain.tied.items() if other != guilty}
        domain = replace(domain, free=free, tied=tied)


def _raised(domain: Domain, failed: list[dict[str, int]]) -> Domain | None:
    """The domain without the smallest values of one size, where every failure has one of those; the least change."""
    ways = []
    for name, allowed in domain.free.items():
        low = max(sizes[name] for sizes in failed) + allowed.step
        if low <= min(allowed.low + 2 * allowed.step, domain.file[name]):
            ways.append((low - allowed.low, name, replace(allowed, low=low)))
    if not ways:
        return None
    _, name, allowed = min(ways, key=lambda way: way[0])
    return replace(domain, free={**domain.free, name: allowed})


def _saved(probe: Probe, domain: Domain, name: str, failed: list[dict[str, int]]) -> int:
    """How many failures are none with this size as in the file."""
    held = ({**sizes, name: domain.file[name]} for sizes in failed)
    return sum(isinstance(probe.at(domain.bound(sizes)), Seen) for sizes in held)


def _draws(domain: Domain) -> list[dict[str, int]]:
    """Sweeps of one size, the others small, and random choices of all."""
    draw = random.Random(0)  # noqa: S311 - nothing secret
    low = {name: allowed.up(5) for name, allowed in domain.free.items()}
    found = []
    for name, allowed in domain.free.items():
        found += [{**low, name: allowed.low + allowed.step * step} for step in range(20)]
    for _ in range(JOINT):
        found.append({name: allowed.low + allowed.step * draw.randrange(40) for name, allowed in domain.free.items()})
    return found
