"""Boards as records. The headline is the fraction of the speed of light; the ratio to a naive seed comes last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from warpsmith.kernels_generated.summary import Summary, Timed


@dataclass(frozen=True, slots=True)
class Board:
    """Kernels that may be compared: one task text, one target, one source of times."""

    task: str
    task_digest: str
    target: str
    source: str
    """Of its times: `measured` or `modelled`."""
    places: tuple[Summary, ...]
    """The best first; never empty."""

    @property
    def best(self) -> Summary:
        return self.places[0]

    @property
    def baselines(self) -> tuple[str, ...]:
        """Every library that one of its kernels was timed beside."""
        return tuple(sorted({name for place in self.places for name in place.baselines}))

    def to_json(self) -> dict[str, Any]:
        """As `warpsmith leaderboard --json` prints it."""
        about = {name: getattr(self, name) for name in ("task", "task_digest", "target", "source")}
        return {**about, "places": [_place(rank, kernel) for rank, kernel in enumerate(self.places, 1)]}


def make_boards(kernels: Iterable[Summary]) -> tuple[Board, ...]:
    """Sort kernels into boards, best first. Measured and modelled times never share one."""
    groups: dict[tuple[str, str, str, str], dict[str, Summary]] = defaultdict(dict)
    for kernel in kernels:
        groups[kernel.task, kernel.target, kernel.task_digest, kernel.source].setdefault(kernel.kernel, kernel)
    return tuple(
        Board(task, digest, target, source, tuple(sorted(group.values(), key=lambda it: it.slowness)))
        for (task, target, digest, source), group in sorted(groups.items())
    )


def _place(rank: int, kernel: Summary) -> dict[str, Any]:
    return {
        "rank": rank,
        "kernel": kernel.kernel,
        "fraction": kernel.fraction,
        "workloads": [_timing(item) for item in kernel.timings],
        "baselines": kernel.baselines,
        "speedup_over_seed": kernel.speedup_over_seed,
        "by": kernel.coder,
        "created": kernel.created,
        "path": str(kernel.folder),
    }


def _timing(item: Timed) -> dict[str, Any]:
    return {**item._asdict(), "fraction": item.fraction}
