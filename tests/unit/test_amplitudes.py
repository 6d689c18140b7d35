"""Amplitudes are tried where float32 bears every step to the answer, not the answer alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from warpsmith.sandbox.verify.amplitudes import Step, at_amplitude
from warpsmith.tasks import Cost, Output, Role, Task, Tensor, Workload
from warpsmith.tasks.sample import make_inputs

AT = Workload("one column", {"M": 16, "N": 1}, "normal")


def in_one(x: torch.Tensor) -> torch.Tensor:
    return torch.logsumexp(x, 1)


def in_steps(x: torch.Tensor) -> torch.Tensor:
    largest = x.amax(1, keepdim=True)
    return (largest + (x - largest).exp().sum(1, keepdim=True).log())[:, 0]


def summed(x: torch.Tensor) -> torch.Tensor:
    return x.sum(1)


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(dims["M"], dims["N"], generator=generator)}


def task(reference: object) -> Task:
    return Task(
        name="rows",
        family="tests",
        summary="rows",
        dims=("M", "N"),
        inputs=(Tensor("x", ("M", "N"), "float32"),),
        outputs=(Output("y", ("M",), "float32"),),
        reference=reference,  # type: ignore[arg-type]
        make_inputs={"normal": normal},
        verify=(AT,),
        bench=(AT,),
        cost=lambda dims: Cost(flops=dims["M"] * dims["N"], bytes=4 * dims["M"] * dims["N"], unit="fp32"),
    )


def tried(reference: object, octaves: int) -> bool:
    of = task(reference)
    return at_amplitude(of, AT, make_inputs(of, AT, 3), Step("x", octaves), 3) is not None


@pytest.mark.parametrize("reference", [in_one, in_steps])
def test_scores_whose_differences_float32_loses_are_not_asked_of_a_softmax_of_one(reference: object) -> None:
    """The logarithm of one exponential is the score itself, however large."""
    assert tried(reference, 12)
    assert not tried(reference, 32)


def test_a_sum_is_asked_at_the_same_amplitude() -> None:
    assert tried(summed, 32)


@pytest.mark.parametrize(("factor", "asked"), [(2.0, True), (1e36, False)])
def test_an_input_that_is_overwritten_is_judged_as_outputs_are(factor: float, asked: bool) -> None:
    """It moves a little where inputs do, and has to fit its dtype."""
    of = replace(
        task(lambda x: {"x": factor * x, "y": x.sum(1)}), inputs=(Tensor("x", ("M", "N"), "float32", Role.INPLACE),)
    )
    assert (at_amplitude(of, AT, make_inputs(of, AT, 3), Step("x", 12), 3) is not None) is asked
