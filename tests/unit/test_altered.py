"""Values that no distribution draws are tried where the reference can judge them, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from warpsmith.sandbox.verify.altered import ALTERATIONS, altered, chosen_alterations
from warpsmith.tasks import Cost, Output, Task, Tensor, Workload
from warpsmith.tasks.sample import make_inputs


def normalised(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred * torch.rsqrt(x.var(-1, keepdim=True, correction=0) + 1e-5) * scale


def scaled(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return x * scale


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    x = torch.randn(dims["M"], dims["N"], generator=generator)
    return {"x": x, "scale": torch.rand(dims["N"], generator=generator) + 0.5}


def first_largest(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (x * scale).argmax(-1)


AT = Workload("small", {"M": 6, "N": 64}, "normal")


def task(reference: object) -> Task:
    return Task(
        name="rows",
        family="tests",
        summary="rows",
        dims=("M", "N"),
        inputs=(Tensor("x", ("M", "N"), "float32"), Tensor("scale", ("N",), "float32")),
        outputs=(Output("y", ("M", "N"), "float32"),),
        reference=reference,  # type: ignore[arg-type]
        make_inputs={"normal": normal},
        verify=(AT,),
        bench=(AT,),
        cost=lambda dims: Cost(flops=dims["M"] * dims["N"], bytes=8 * dims["M"] * dims["N"], unit="fp32"),
    )


@pytest.mark.parametrize("name", ALTERATIONS)
def test_every_alteration_changes_one_input_and_names_it(name: str) -> None:
    of = task(scaled)
    inputs = make_inputs(of, AT, 3)
    found = altered(of, AT, inputs, ("x", name), 3)
    assert found is not None
    workload, given = found
    assert workload.name == f"small, x with {name}"
    assert given["scale"] is inputs["scale"]
    assert not np.array_equal(given["x"].array, inputs["x"].array)
    again = altered(of, AT, inputs, ("x", name), 3)
    assert again is not None
    assert np.array_equal(given["x"].array, again[1]["x"].array)


def test_an_input_of_one_sign_is_left_as_it_is() -> None:
    of = task(scaled)
    assert altered(of, AT, make_inputs(of, AT, 3), ("scale", "rows of zeros"), 3) is None


def test_a_reference_that_magnifies_the_last_bit_is_not_asked() -> None:
    of = task(normalised)
    inputs = make_inputs(of, AT, 3)
    assert altered(of, AT, inputs, ("x", "one value throughout"), 3) is None
    assert altered(of, AT, inputs, ("x", "rising rows"), 3) is not None


def test_ties_between_zeros_are_no_kernels_fault() -> None:
    """Which of equal elements is the largest is free, so rows of zeros tell nothing of an index."""
    largest = replace(task(first_largest), outputs=(Output("at", ("M",), "int64"),))
    asked = [altered(largest, AT, make_inputs(largest, AT, seed), ("x", "rows of zeros"), seed) for seed in range(8)]
    assert [None] * 8 == asked
    assert altered(largest, AT, make_inputs(largest, AT, 3), ("x", "loud values"), 3) is not None


def test_a_small_task_is_tried_in_every_way() -> None:
    of = task(scaled)
    assert {(name, way) for name in ("x", "scale") for way in ALTERATIONS} == {*chosen_alterations(of, AT, 1)}
