"""A fault of the emulator in the words of an Outcome."""

from __future__ import annotations

from warpsmith.sandbox.emulator.machine import Fault, FaultKind
from warpsmith.sandbox.faults import outcome_of

SPENT = Fault(
    kind=FaultKind.BUDGET, message="ran on", line=7, ptx_line=90, opcode="bra", block=(1, 0, 0), thread=(0, 0, 0)
)


def test_a_launch_that_spent_its_budget_is_told_how_much_it_was_and_why_all_blocks_ran() -> None:
    told = outcome_of(SPENT, "gemm", budget=1 << 28, whole=True)
    assert "OverBudget" == told.kind
    assert "the budget of this launch is 268,435,456 warp instructions" in told.details
    assert "all its blocks were run" in told.details[-1]


def test_a_sampled_launch_is_not_told_that_all_its_blocks_ran() -> None:
    assert not any("all its blocks" in detail for detail in outcome_of(SPENT, "gemm", budget=1 << 28).details)
