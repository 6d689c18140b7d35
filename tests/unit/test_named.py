"""Inputs hold the numbers that a kernel's code names, beside others and alone, where that can be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.analysis.numbers import Numbers
from warpsmith.sandbox.verify.altered import SMALL
from warpsmith.sandbox.verify.at_size import MOST, WORK
from warpsmith.sandbox.verify.named import NAMED, named_at, named_at_size
from warpsmith.tasks import Cost, Output, Task, Tensor, Workload
from warpsmith.tasks.convert import widened

from . import picked


def masked(x: torch.Tensor, bits: torch.Tensor, **others: torch.Tensor) -> torch.Tensor:
    return picked.picked(x, **others) + (bits & 15).to(x.dtype)


def normal(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    shape = dims["M"], dims["N"]
    words = torch.randint(-(2**31), 2**31, shape, generator=generator, dtype=torch.int64)
    return {**picked.normal(dims, generator), "bits": words.int()}


AT = Workload("small", {"M": 24, "N": 64}, "normal")
SIZED = (Workload("bench-sized M", {"M": 40, "N": 64}, "normal"), Workload("hidden: M", {"M": 30, "N": 64}, "normal"))
TASK = replace(
    picked.TASK,
    inputs=(*picked.TASK.inputs, Tensor("bits", ("M", "N"), "int32")),
    reference=masked,
    make_inputs={"normal": normal},
    verify=(AT,),
    bench=(replace(AT, name="large"),),
)
NUMBERS = Numbers(floats=frozenset({0.75, 42.0}), words=frozenset({0xBADF00D}))


def runs(task: Task = TASK, numbers: Numbers = NUMBERS, seed: int = 3) -> dict[str, dict[str, HostTensor]]:
    """Inputs of the first run of each name, which tells what stands in them."""
    found = [(at.name.partition(", ")[2], given) for at, given in named_at(task, [AT], [AT], numbers, seed)]
    return dict(reversed(found))


def holds(tensor: HostTensor, number: float) -> bool:
    return bool((np.abs(widened(tensor)) == number).any())


def test_every_input_that_may_hold_them_does_and_indices_do_not() -> None:
    found = {name.partition(" ")[0]: given for name, given in runs().items() if "other" not in name}
    assert {"x", "shift", "scale", "bits"} == {*found}
    assert holds(found["x"]["x"], 42.0)
    assert holds(found["shift"]["shift"], 42.0)
    assert (found["bits"]["bits"].array == 0xBADF00D).any()


def test_an_input_of_one_sign_stays_within_what_is_drawn() -> None:
    scale = widened(runs()[f"scale with {NAMED}"]["scale"])
    assert (scale == 0.75).any()
    assert 0.5 <= scale.min() <= scale.max() <= 1.5


def test_other_inputs_are_zeros_then_ones_where_a_result_may_be_what_is_compared() -> None:
    found = runs()
    assert not widened(found[f"x with {NAMED}, other inputs zeros"]["shift"]).any()
    assert (widened(found[f"x with {NAMED}, other inputs ones"]["shift"]) == 1).all()
    dear = replace(TASK, cost=lambda dims: Cost(flops=2 * SMALL, bytes=8, unit="fp32"))
    assert not [name for name in runs(dear) if "other" in name]


def test_numbers_far_apart_have_runs_of_their_own_among_values_of_their_size() -> None:
    apart = Numbers(floats=frozenset({2.0**-10, 3.0, 3000.0}))
    given = [inputs["x"] for at, inputs in named_at(TASK, [AT], [AT], apart, 3) if at.name.endswith(f"x with {NAMED}")]
    for tensor, number in zip(given, (2.0**-10, 3.0, 3000.0), strict=False):  # their roots come behind them
        assert holds(tensor, number)
        assert number / 4 <= np.abs(widened(tensor)).max() <= 4 * number


def test_rows_hold_some_numbers_one_one_alone_or_one_throughout() -> None:
    x = np.abs(widened(runs()[f"x with {NAMED}"]["x"]))
    alone, throughout = (x == 0).sum(axis=1) == 63, (x == x[:, :1]).all(axis=1)
    assert (6, 6) == (alone.sum(), throughout.sum())


def test_nothing_is_run_where_the_code_names_nothing() -> None:
    assert not runs(numbers=Numbers())


def test_what_cannot_be_judged_throughout_is_tried_in_fewer_elements() -> None:
    def reference(x: torch.Tensor) -> torch.Tensor:
        return x.sum(dim=-1)

    task = replace(
        TASK,
        inputs=(Tensor("x", ("M", "N"), "float16"),),
        outputs=(Output("y", ("M",), "float16"),),
        reference=reference,
        make_inputs={"normal": lambda dims, generator: {"x": normal(dims, generator)["x"].half()}},
    )
    x = np.abs(widened(runs(task, Numbers(floats=frozenset({2000.0})))[f"x with {NAMED}"]["x"]))  # 64 * 2000 > 65504
    assert (x == 2000).any()
    assert not (x == 2000).all(axis=1).any()


def test_bench_sized_workloads_take_some_too_as_many_as_cost_little() -> None:
    found = [at.name for at, _ in named_at_size(TASK, SIZED, NUMBERS, 3)]
    assert {"bench-sized M"} == {name.partition(",")[0] for name in found}
    assert 1 < len(found) <= MOST
    dear = replace(TASK, cost=lambda dims: Cost(flops=WORK, bytes=8, unit="fp32"))
    assert 1 == len([*named_at_size(dear, SIZED, NUMBERS, 3)])


def test_equal_seeds_run_the_same_and_others_something_else() -> None:
    one, again, other = (runs(seed=seed)[f"x with {NAMED}"]["x"].array for seed in (3, 3, 4))
    assert (one == again).all()
    assert (one != other).any()
