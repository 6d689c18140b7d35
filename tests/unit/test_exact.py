"""Ties are asked where a reference says which of equals is right, and where no rounding takes part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.altered import altered, well_posed
from warpsmith.sandbox.verify.amplitudes import REACH, at_amplitude, ladder
from warpsmith.sandbox.verify.exact import bears, is_exact, only_chooses
from warpsmith.tasks import Check, Cost, Output, Role, Task, Tensor, Workload
from warpsmith.tasks.convert import from_torch
from warpsmith.tasks.oracle import oracle
from warpsmith.tasks.sample import make_inputs

AT = Workload("small", {"M": 18, "N": 64}, "normal")
Reference = Callable[[torch.Tensor], torch.Tensor | dict[str, torch.Tensor]]


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(dims["M"], dims["N"], generator=generator)}


def task(reference: Reference, dtype: str = "int64", shape: tuple[str, ...] = ("M",)) -> Task:
    return Task(
        name="rows",
        family="tests",
        summary="rows",
        dims=("M", "N"),
        inputs=(Tensor("x", ("M", "N"), "float32"),),
        outputs=(Output("at", shape, dtype),),
        reference=reference,
        make_inputs={"normal": normal},
        verify=(AT,),
        bench=(AT,),
        cost=lambda dims: Cost(flops=dims["M"] * dims["N"], bytes=4 * dims["M"] * dims["N"], unit="fp32"),
    )


def given(x: torch.Tensor) -> dict[str, HostTensor]:
    from warpsmith.core.dtype import DType

    return {"x": from_torch(x, DType.FLOAT32)}


def asked(of: Task, x: torch.Tensor) -> bool:
    inputs = given(x)
    return is_exact(of, AT, inputs, oracle(of, AT, inputs))


def tied() -> torch.Tensor:
    """Three values a row, many times each."""
    return torch.randint(-1, 2, (18, 64), generator=torch.Generator().manual_seed(1)).float()


def first(x: torch.Tensor) -> torch.Tensor:
    return x.argmax(dim=1)


TOLD: dict[str, Reference] = {
    "the first of the largest": first,
    "the first of the least": lambda x: x.min(dim=1).indices,
    "the first of a stable sort": lambda x: x.sort(dim=1, stable=True).indices[:, 0],
    "how many are above zero": lambda x: (x > 0).sum(dim=1),
}
UNTOLD: dict[str, Reference] = {
    "one of the largest": lambda x: x.topk(1, dim=1).indices[:, 0],
    "the first of a sort": lambda x: x.sort(dim=1).indices[:, 0],
    "the place of a median": lambda x: x.median(dim=1).indices,
    "the largest of rounded sums": lambda x: (0.1 * x + 0.3).argmax(dim=1),
    "what becomes of NaN": lambda x: (x / (x - x)).nan_to_num(7.0).to(torch.int64)[:, 0],
    "what becomes of infinity": lambda x: (1.0 / (x - x).abs()).to(torch.int64)[:, 0],
}


@pytest.mark.parametrize("reference", TOLD.values(), ids=TOLD)
def test_equals_whose_order_pytorch_states_are_asked(reference: Reference) -> None:
    assert asked(task(reference), tied())


@pytest.mark.parametrize("reference", UNTOLD.values(), ids=UNTOLD)
def test_equals_are_not_asked_where_the_answer_is_left_to_chance(reference: Reference) -> None:
    assert not asked(task(reference), tied())


def test_a_check_of_the_tasks_own_says_which_of_equals_are_right() -> None:
    def largest(got: dict[str, torch.Tensor], expected: object, inputs: dict[str, torch.Tensor], dims: object):  # type: ignore[no-untyped-def]
        found = inputs["x"].gather(1, got["at"].view(-1, 1))
        return {"at": found.view(-1) < inputs["x"].amax(dim=1)}

    of = replace(task(UNTOLD["one of the largest"]), checks=(Check(("at",), "a largest one", largest),))
    assert asked(of, tied())


def codes(x: torch.Tensor) -> torch.Tensor:
    return (1e6 * x / x.abs().amax(1, keepdim=True)).round().to(torch.int32)


def codes_in_place(x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"at": codes(x), "x": 2 * x}


@pytest.mark.parametrize(("reference", "role"), [(codes, Role.DYNAMIC), (codes_in_place, Role.INPLACE)])
@pytest.mark.parametrize(("slack", "borne"), [(40, True), (0, False)])
def test_a_check_is_asked_about_what_is_computed_where_it_bears_more_than_roundings(
    slack: int, borne: bool, reference: Reference, role: Role
) -> None:
    """Codes move where values do, and so does an input that is overwritten; a check that allows codes too little would
    refuse honest ones.
    """

    def nearest(got: dict[str, torch.Tensor], expected: object, inputs: dict[str, torch.Tensor], dims: object):  # type: ignore[no-untyped-def]
        x = inputs["x"].double()
        return {"at": (got["at"] - 1e6 * x / x.abs().amax(1, keepdim=True)).abs() > 0.5 + slack}

    of = replace(
        task(reference, "int32", ("M", "N")),
        inputs=(Tensor("x", ("M", "N"), "bfloat16", role),),
        make_inputs={"normal": lambda dims, generator: {"x": normal(dims, generator)["x"].bfloat16()}},
        checks=(Check(("at",), "the nearest codes", nearest),),
    )
    inputs = make_inputs(of, AT, 3)
    draw = np.random.default_rng(3)
    assert well_posed(of, AT, inputs, "x", draw) is borne
    assert not well_posed(replace(of, checks=()), AT, inputs, "x", draw)


def test_a_check_is_not_asked_where_what_is_computed_may_be_nan() -> None:
    """PyTorch takes two places of a row of NaN; a kernel that takes the larger of two until it has two takes none."""

    def two_largest_shares(x: torch.Tensor) -> torch.Tensor:
        weights = (x - x.amax(1, keepdim=True)).exp()
        return (weights / weights.sum(1, keepdim=True)).topk(2, dim=1).indices

    check = Check(("at",), "any two places", lambda got, expected, inputs, dims: {"at": got["at"] < 0})  # type: ignore[no-untyped-call]
    of = replace(task(two_largest_shares, shape=("M", "2")), checks=(check,))
    x = make_inputs(of, AT, 3)["x"].array
    for octaves, asked in ((0, True), (32, False)):
        inputs = given(torch.from_numpy(x * np.float32(2.0**octaves)))
        assert bears(of, AT, inputs, oracle(of, AT, inputs)) is asked


def test_a_check_is_not_asked_about_scores_that_the_reference_computes() -> None:
    """At amplitudes that no distribution draws a score's own rounding may be more than the check allows."""
    check = Check(("at",), "any", lambda got, expected, inputs, dims: {"at": got["at"] < 0})  # type: ignore[no-untyped-call]
    of = replace(task(lambda x: (3 * x).softmax(dim=1).topk(1, dim=1).indices.view(-1)), checks=(check,))
    assert not asked(of, tied())


def test_zeros_of_either_sign_are_among_the_rows_of_many_kinds() -> None:
    """They are equal, so that the first of them is the largest where nothing is above them."""
    of = task(first)
    found = altered(of, AT, make_inputs(of, AT, 3), ("x", "rows of many kinds"), 3)
    assert found is not None
    x = found[1]["x"].array
    largest_is_zero = (x.max(axis=1) == 0) & np.signbit(x).any(axis=1)
    mixed = largest_is_zero & ((x == 0) & ~np.signbit(x)).any(axis=1) & ((x == 0) & np.signbit(x)).any(axis=1)
    assert mixed.sum() >= 2


def test_what_only_chooses_is_tried_to_both_ends_of_its_dtype() -> None:
    of, computing = task(first), task(lambda x: (x * 3).argmax(dim=1))
    inputs = make_inputs(of, AT, 3)
    assert only_chooses(of, AT, inputs)
    assert not only_chooses(computing, AT, inputs)
    reach = {step.octaves for step in ladder(of, AT, inputs, 3)}
    assert min(reach) < -120
    assert max(reach) > 120
    assert max(map(abs, (step.octaves for step in ladder(computing, AT, inputs, 3)))) == REACH


def test_a_row_of_negative_values_alone_is_among_every_amplitude() -> None:
    """Else whatever a kernel begins with below zero, and takes for less than any value, is never seen."""
    of = task(first)
    inputs = make_inputs(of, AT, 3)
    steps = ladder(of, AT, inputs, 3)
    rows = [found[1]["x"].array for step in steps if (found := at_amplitude(of, AT, inputs, step, 3))]
    assert sum(bool((x < 0).all(axis=1).any()) for x in rows) >= len(steps) // 4
