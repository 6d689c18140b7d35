"""What an answer is held against, where another honest kernel would be refused for the reference's luck."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.outcome import WorkloadCheck, Wrong
from warpsmith.core.task import Cost, Output, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.compare import compare
from warpsmith.sandbox.verify.standard import Standard, farthest
from warpsmith.tasks.sample import make_inputs

Floats = NDArray[np.float32]
Kernel = Callable[..., Floats]
SEEDS = range(100)


def task_of(name: str, reference: Callable[..., Any], inputs: Mapping[str, str], draw: Callable[..., Any]) -> Task:
    """One floating output of N elements; inputs by the extent of each."""
    workload = Workload("only", {"N": 1}, "drawn")
    return Task(
        name=name,
        family="test",
        summary=name,
        dims=("N",),
        inputs=tuple(Tensor(item, (shape,), "float32") for item, shape in inputs.items()),
        outputs=(Output("y", ("N",), "float32"),),
        reference=reference,
        make_inputs={"drawn": draw},
        verify=(workload,),
        bench=(workload,),
        cost=lambda dims: Cost(1, 1),
    )


def of_size(N: int) -> Workload:
    return Workload("only", {"N": N}, "drawn")


def passes(standard: Standard, values: Floats) -> bool:
    return isinstance(standard.verdict({"y": HostTensor(DType.FLOAT32, values.shape, values)}), WorkloadCheck)


def refused(task: Task, N: int, kernel: Kernel, *, by_the_reference_alone: bool = False) -> int:
    """How often a kernel's answer is refused, of all seeds."""
    count = 0
    for seed in SEEDS:
        inputs = make_inputs(task, of_size(N), seed)
        standard = Standard(task, of_size(N), inputs)
        values = kernel(**{name: tensor.array for name, tensor in inputs.items()})
        if by_the_reference_alone:
            got = {"y": HostTensor(DType.FLOAT32, values.shape, values)}
            count += isinstance(compare(task, of_size(N), got, standard.expected, standard.honest), Wrong)
        else:
            count += not passes(standard, values)
    return count


def momentum(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    state, rest = (torch.randn(dims["N"], generator=generator) for _ in range(2))
    return {"state": state, "g": 1e-3 * rest - 0.9 * state}


STEP = task_of("step", lambda state, g: state * 0.9 + g, {"state": "N", "g": "N"}, momentum)
"""A step of momentum, most of which cancels."""


def fused(state: Floats, g: Floats) -> Floats:
    """What `fmaf(state, 0.9f, g)` gives: float64 holds the product of two float32 exactly, and its sum nearly."""
    return (state.astype(np.float64) * np.float64(np.float32(0.9)) + g).astype(np.float32)


def with_ten_bits(state: Floats, g: Floats) -> Floats:
    """The same with a product of ten bits, as TF32 has them."""
    product = (state * np.float32(0.9)).view(np.int32) & ~np.int32(0x1FFF)
    return product.view(np.float32) + g


@pytest.mark.parametrize("N", [1, 2, 4, 32])
def test_an_honest_kernel_whose_elements_cancel_is_never_refused(N: int) -> None:
    assert refused(STEP, N, fused) == 0


def test_the_reference_alone_comes_nearer_by_luck_at_single_elements() -> None:
    assert refused(STEP, 1, fused, by_the_reference_alone=True) > 0


@pytest.mark.parametrize("N", [1, 2, 4, 32])
def test_a_coarse_kernel_whose_elements_cancel_is_refused(N: int) -> None:
    assert refused(STEP, N, with_ten_bits) >= 0.95 * len(SEEDS)


def smooth(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    place = torch.arange(dims["N"] + 2) / 500 + torch.rand(1, generator=generator)
    return {"u": torch.sin(2 * torch.pi * place) + 2}


CURVED = task_of("curved", lambda u: u[:-2] - 2 * u[1:-1] + u[2:], {"u": "N + 2"}, smooth)
"""Second differences of a smooth row: the reference's steps are exact, another order's are not."""


def neighbours_first(u: Floats) -> Floats:
    return (u[:-2] + u[2:]) - 2 * u[1:-1]


def with_a_neighbour_dropped(u: Floats) -> Floats:
    found = neighbours_first(u)
    found[100] = u[100] - u[101]
    return found


def of_sixteen_bits(u: Floats) -> Floats:
    return neighbours_first(((u.view(np.uint32) + 0x80) & 0xFFFFFF00).view(np.float32))


def test_another_order_of_terms_that_cancel_is_right() -> None:
    assert refused(CURVED, 500, neighbours_first) == 0
    assert refused(CURVED, 500, neighbours_first, by_the_reference_alone=True) == len(SEEDS)


@pytest.mark.parametrize("kernel", [with_a_neighbour_dropped, of_sixteen_bits])
def test_a_wrong_kernel_of_terms_that_cancel_is_refused(kernel: Kernel) -> None:
    assert refused(CURVED, 500, kernel) == len(SEEDS)


def leaky(u: torch.Tensor) -> torch.Tensor:
    y = u[:-2] - 2 * u[1:-1] + u[2:]
    return torch.where(y > 0, y, 0.1 * y)


def leaky_neighbours_first(u: Floats) -> Floats:
    found = neighbours_first(u)
    return np.where(found > 0, found, np.float32(0.1) * found)


def leaky_of_sixteen_bits(u: Floats) -> Floats:
    found = of_sixteen_bits(u)
    return np.where(found > 0, found, np.float32(0.1) * found)


LEAKY = task_of("leaky", leaky, {"u": "N + 2"}, smooth)
"""A comparison follows what cancels."""


def test_another_order_is_right_where_a_choice_follows_and_a_coarse_one_is_not() -> None:
    assert refused(LEAKY, 500, leaky_neighbours_first) == 0
    assert refused(LEAKY, 500, leaky_neighbours_first, by_the_reference_alone=True) == len(SEEDS)
    assert refused(LEAKY, 500, leaky_of_sixteen_bits) == len(SEEDS)


def payloads(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    tied = torch.rand(1, generator=generator) < 0.5
    scores = torch.ones(4) if tied else torch.arange(4.0)
    return {"scores": scores, "payload": torch.arange(1.0, 5.0)}


CHOSEN = task_of(
    "chosen",
    lambda scores, payload: payload[(scores * 3).argmax()].reshape(1),
    {"scores": "4", "payload": "4"},
    payloads,
)
"""What comes with the largest score, the first of equals."""


def test_no_tie_lets_what_comes_with_another_score_pass() -> None:
    taken = set()
    for seed in range(20):
        standard = Standard(CHOSEN, of_size(1), make_inputs(CHOSEN, of_size(1), seed))
        right = float(standard.expected["y"][0])
        taken.add(right)
        values = (1.0, 2.0, 3.0, 4.0)
        assert [passes(standard, np.full(1, value, np.float32)) for value in values] == [v == right for v in values]
    assert taken == {1.0, 4.0}


def test_what_is_not_finite_stays_as_the_reference_has_it() -> None:
    inputs = make_inputs(STEP, of_size(3), 0)
    inputs["g"].array[:2] = math.inf, math.nan
    standard = Standard(STEP, of_size(3), inputs)
    found = farthest(STEP, of_size(3), inputs, standard.expected, standard.honest)["y"].array
    assert (math.isinf(found[0]), math.isnan(found[1]), math.isfinite(found[2])) == (True, True, True)
