"""Kernel files whose blocks meet: `cooperative = true` and cooperative_groups' grid barrier, from text to verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from warpsmith import app
from warpsmith.core.errors import KernelFileError
from warpsmith.core.outcome import Outcome

TINY = Path(__file__).parent / "tiny"
HONEST = (TINY / "two_stage.cu").read_text()
BARRIER = "cooperative_groups::this_grid().sync();"


def verdict(tmp_path: Path, *edits: tuple[str, str]) -> Outcome:
    text = HONEST
    for before, after in edits:
        assert 1 == text.count(before)
        text = text.replace(before, after)
    kernel = tmp_path / "kernel.cu"
    kernel.write_text(text)
    return app.verify(kernel, task=str(TINY / "row_sums.py"), arch="h200", seed=5).outcome


def test_a_kernel_of_two_stages_with_a_grid_barrier_between_is_verified(tmp_path: Path) -> None:
    outcome = verdict(tmp_path)
    assert "Verified" == outcome.kind, outcome


@pytest.mark.parametrize("instead", ["", "__syncthreads();", "__threadfence();"])
def test_without_the_grid_barrier_the_stages_race(instead: str, tmp_path: Path) -> None:
    outcome = verdict(tmp_path, (BARRIER, instead))
    assert "Racy" == outcome.kind
    assert "partial" in getattr(outcome, "message", "")


def test_a_grid_barrier_in_an_ordinary_launch_is_rejected_with_the_way_to_say_it(tmp_path: Path) -> None:
    outcome = verdict(tmp_path, ("// cooperative = true\n", ""))
    assert "Rejected" == outcome.kind
    assert "cooperative = true" in getattr(outcome, "message", "")


def test_a_grid_that_cannot_be_resident_at_once_is_refused_with_the_number_that_fit(tmp_path: Path) -> None:
    with pytest.raises(KernelFileError, match=r"20000 blocks; \d+ fit at once.*RESIDENT"):
        verdict(tmp_path, ('"min(RESIDENT, cdiv(64 * M, BLOCK))"', '"20000"'))


def test_what_the_barriers_counter_held_before_the_launch_decides_nothing(tmp_path: Path) -> None:
    """The driver does not clear it between launches: a kernel could tell the checked one from the timed ones."""
    peek = """unsigned low, high, held;
    asm volatile("mov.u32 %0, %%envreg2; mov.u32 %1, %%envreg1;" : "=r"(low), "=r"(high));
    unsigned long long space = (unsigned long long)high << 32 | low;
    asm volatile("ld.acquire.gpu.u32 %0, [%1];" : "=r"(held) : "l"(space + 4));
    """
    told = ("y[m] = sum;", "y[m] = held >> 31 ? sum : sum * (1 + 1e-7f);")
    outcome = verdict(tmp_path, (BARRIER, peek + BARRIER), told)
    assert outcome.kind in ("Nondeterministic", "Rejected"), outcome
