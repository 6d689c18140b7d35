"""What an answer is held against where its elements are few."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from warpsmith.core.outcome import WorkloadCheck, Wrong
from warpsmith.core.task import Cost, Output, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.compare import compare
from warpsmith.sandbox.verify.standard import FEW, standard
from warpsmith.tasks.convert import from_torch
from warpsmith.tasks.oracle import honest, oracle
from warpsmith.tasks.sample import make_inputs

SEEDS = range(100)
Kernel = Callable[..., HostTensor]
Standard = Callable[[Task, Workload, Mapping[str, HostTensor]], tuple[dict[str, Any], dict[str, HostTensor]]]


def cancelling(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    state, rest = (torch.randn(dims["N"], generator=generator) for _ in range(2))
    return {"state": state, "g": 1e-3 * rest - 0.9 * state}


def step(N: int) -> tuple[Task, Workload]:
    """A step of momentum, most of which cancels, of N elements."""
    workload = Workload("cancelling", {"N": N}, "cancelling")
    task = Task(
        name="step",
        family="test",
        summary="y = 0.9 state + g",
        dims=("N",),
        inputs=(Tensor("state", ("N",), "float32"), Tensor("g", ("N",), "float32")),
        outputs=(Output("y", ("N",), "float32"),),
        reference=lambda state, g: state * 0.9 + g,
        make_inputs={"cancelling": cancelling},
        verify=(workload,),
        bench=(workload,),
        cost=lambda dims: Cost(1, 1),
    )
    return task, workload


def fused(state: HostTensor, g: HostTensor) -> HostTensor:
    """What `fmaf(state, 0.9f, g)` gives: float64 holds the product of two float32 exactly, and its sum nearly."""
    exact = state.array.astype(np.float64) * np.float64(np.float32(0.9)) + g.array.astype(np.float64)
    return HostTensor(state.dtype, state.shape, exact.astype(np.float32))


def coarse(state: HostTensor, g: HostTensor) -> HostTensor:
    """The same with the product kept in ten bits of mantissa, as TF32 does."""
    product = torch.from_numpy(state.array * np.float32(0.9))
    kept = (product.view(torch.int32) & ~0x1FFF).view(torch.float32)
    return from_torch(kept + torch.from_numpy(g.array), g.dtype)


def refusals(N: int, kernel: Kernel, held_against: Standard = standard) -> int:
    """How often a kernel's answer is refused, of all seeds."""
    task, workload = step(N)
    count = 0
    for seed in SEEDS:
        inputs = make_inputs(task, workload, seed)
        expected, ideal = held_against(task, workload, inputs)
        count += isinstance(compare(task, workload, {"y": kernel(**inputs)}, expected, ideal, inputs=inputs), Wrong)
    return count


@pytest.mark.parametrize("N", [1, 2, 4, FEW])
def test_an_honest_kernel_of_few_elements_that_cancel_is_never_refused(N: int) -> None:
    assert refusals(N, fused) == 0


def test_one_honest_result_alone_would_refuse_another_by_luck() -> None:
    assert refusals(1, fused, lambda *given: (oracle(*given), honest(*given))) > 0


@pytest.mark.parametrize("N", [1, 2, 4, FEW])
def test_a_coarse_kernel_of_few_elements_is_refused(N: int) -> None:
    assert refusals(N, coarse) >= 0.99 * len(SEEDS)


def test_many_elements_are_held_against_the_one_honest_result() -> None:
    task, workload = step(FEW + 1)
    inputs = make_inputs(task, workload, 0)
    _, ideal = standard(task, workload, inputs)
    assert np.array_equal(ideal["y"].array, honest(task, workload, inputs)["y"].array)


def nearest(values: tuple[float, ...]) -> tuple[Task, Workload, dict[str, HostTensor]]:
    """The payload of the largest of some scores, payloads far apart."""
    workload = Workload("largest", {"N": len(values)}, "given")
    task, _ = step(1)
    scores, payload = torch.tensor(values), torch.arange(1.0, len(values) + 1)
    chosen = replace(
        task,
        inputs=(Tensor("scores", ("N",), "float32"), Tensor("payload", ("N",), "float32")),
        outputs=(Output("y", (), "float32"),),
        reference=lambda scores, payload: payload[(scores * 2).argmax()],
        make_inputs={"given": lambda dims, generator: {"scores": scores, "payload": payload}},
    )
    return chosen, workload, make_inputs(chosen, workload, 0)


@pytest.mark.parametrize(
    "scores", [(1.0, 1.0, 1.0, 1.0), (1.0, 2.0, 3.0, 4.0)], ids=["scores that tie", "scores apart"]
)
def test_no_tie_lets_the_payload_of_another_pass(scores: tuple[float, ...]) -> None:
    task, workload, inputs = nearest(scores)
    expected, ideal = standard(task, workload, inputs)
    right = float(expected["y"])

    def passes(value: float) -> bool:
        got = {"y": HostTensor(ideal["y"].dtype, (), np.array(value, np.float32))}
        return isinstance(compare(task, workload, got, expected, ideal, inputs=inputs), WorkloadCheck)

    assert [passes(value) for value in (1.0, 2.0, 3.0, 4.0)] == [value == right for value in (1.0, 2.0, 3.0, 4.0)]


def test_what_is_not_finite_stays_as_the_honest_result_has_it() -> None:
    task, workload = step(3)
    inputs = make_inputs(task, workload, 0)
    inputs["g"].array[:2] = math.inf, math.nan
    _, ideal = standard(task, workload, inputs)
    assert [math.isinf(ideal["y"].array[0]), math.isnan(ideal["y"].array[1]), math.isfinite(ideal["y"].array[2])] == [
        True
    ] * 3
