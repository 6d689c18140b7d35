"""Which references choose by values, so that near ties may turn out otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from warpsmith.core.task import Task
from warpsmith.tasks import load_task
from warpsmith.tasks.choices import chooses


@pytest.mark.parametrize(
    ("task", "expected"), [("w4a16_gemm", False), ("moe_routing_metadata", False), ("nsa_block_topk", True)]
)
def test_tasks_that_rank_by_values_are_told_from_those_that_compute(task: str, expected: bool) -> None:
    assert chooses(load_task(task)) is expected


@pytest.mark.parametrize(
    ("wrapped", "expected"),
    [
        (lambda y: y.exp().clamp(max=3.0), False),
        (lambda y: y - y.amax(-1, keepdim=True), False),
        (lambda y: torch.where(y > 0, y, 0.1 * y), True),
        (lambda y: y.round(), True),
        (lambda y: y * y.to(torch.int64), True),
        (lambda y: y.max(-1, keepdim=True).values + y, True),
    ],
    ids=["a clamp", "an extreme value", "a comparison", "a rounding", "an integer", "an extreme's place"],
)
def test_a_choice_is_what_a_small_change_of_values_can_flip(
    wrapped: Callable[[torch.Tensor], torch.Tensor], expected: bool
) -> None:
    base: Task = load_task("w4a16_gemm")
    changed = replace(base, reference=_after(base.reference, wrapped))
    assert chooses(changed) is expected


def _after(
    reference: Callable[..., torch.Tensor], wrapped: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[..., torch.Tensor]:
    def changed(
        x: torch.Tensor, qweight: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None = None
    ) -> torch.Tensor:
        return wrapped(reference(x=x, qweight=qweight, scales=scales, zeros=zeros))

    return changed
