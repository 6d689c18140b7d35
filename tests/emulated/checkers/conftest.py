"""Runs a good kernel beside its bad twin, each under several schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from warpsmith.sandbox.emulator.machine import Fault

from ..conftest import Buffer, Kernel, inout

SEEDS = range(3)


@dataclass(frozen=True)
class Bench:
    """Compiles sources and runs them over fresh copies of `arrays`, once for each of a few schedules."""

    cuda: Callable[..., Kernel]

    def faults(
        self,
        source: str,
        grid: int | Sequence[int],
        block: int | Sequence[int],
        *arguments: np.ndarray | float,
        expected: np.ndarray | None = None,
        **options: int,
    ) -> list[Fault | None]:
        """The faults by seed; the first array must end as `expected`, where given."""
        found = []
        for seed in SEEDS:
            buffers = [inout(a.copy()) if isinstance(a, np.ndarray) else a for a in arguments]
            result = self.cuda(source).run(grid, block, *buffers, seed=seed, **options)
            found.append(result.fault)
            if expected is not None and result.fault is None:
                first = buffers[0]
                assert isinstance(first, Buffer)
                assert np.array_equal(expected, first.data)
        return found

    def good(self, source: str, *launch: np.ndarray | float, **options: object) -> None:
        assert [None] * len(SEEDS) == self.faults(source, *launch, **options)  # type: ignore[arg-type]

    def bad(self, source: str, *launch: np.ndarray | float, **options: object) -> Fault:
        """The bad twin faults under every schedule, always for the same reason; the first fault is returned."""
        faults = self.faults(source, *launch, **options)  # type: ignore[arg-type]
        assert all(fault is not None for fault in faults), faults
        assert 1 == len({fault.kind for fault in faults if fault is not None}), faults
        first = faults[0]
        assert first is not None
        return first


@pytest.fixture(scope="session")
def bench(cuda: Callable[..., Kernel]) -> Bench:
    return Bench(cuda)
