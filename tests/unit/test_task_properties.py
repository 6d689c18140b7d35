"""Properties of the shipped tasks hold for the reference, and break for a kernel with the mistake each is there for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Property, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.judged import broken_property, changed_inputs
from warpsmith.tasks import load_task
from warpsmith.tasks.convert import from_torch, to_torch
from warpsmith.tasks.oracle import honest
from warpsmith.tasks.sample import make_inputs

SEED = 7
Tensors = dict[str, torch.Tensor]
Spoil = Callable[[Tensors, dict[str, int]], Any]


@dataclass(frozen=True)
class Twin:
    """A property, and a mistake that it tells, made in what the reference reads or in what it gives."""

    task: str
    holds: str
    workload: str
    mistake: str
    reads: Spoil = lambda x, dims: None
    gives: Spoil = lambda y, dims: None


def drop_last_group_of_x(x: Tensors, dims: dict[str, int]) -> None:
    x["x"][:, -dims["G"] :] = 0


def first_scale_for_all(x: Tensors, dims: dict[str, int]) -> None:
    x["scales"][:] = x["scales"][:1].clone()


def row_zero_is_no_row(x: Tensors, dims: dict[str, int]) -> None:
    x["kmap"][x["kmap"] == 0] = -1


def no_last_offset(x: Tensors, dims: dict[str, int]) -> None:
    x["kmap"][:, -1] = -1


def twelve_bits_an_axis(y: Tensors, dims: dict[str, int]) -> None:
    y["out_coords"] &= 4095


def last_row_for_all(y: Tensors, dims: dict[str, int]) -> None:
    y["block_ids"][:] = y["block_ids"][:, -1:].clone()


def first_head_for_all(y: Tensors, dims: dict[str, int]) -> None:
    y["block_ids"][:] = y["block_ids"][:1].clone()


def without_mean(y: Tensors, dims: dict[str, int]) -> None:
    y["y"] -= y["y"].float().mean(dim=0).bfloat16()


TWINS = (
    Twin(
        "w4a16_gemm", "the order of the groups that", "many small groups", "the K tail is dropped", drop_last_group_of_x
    ),
    Twin(
        "w4a16_gemm_backward",
        "permuting groups of the weights",
        "many small groups",
        "one group's scales are used for all",
        first_scale_for_all,
    ),
    Twin(
        "spconv_forward", "where input sites stand", "ragged surface", "row 0 is taken for a hole", row_zero_is_no_row
    ),
    Twin("spconv_forward", "the order of the offsets", "ragged surface", "the last offset is left out", no_last_offset),
    Twin(
        "spconv_kernel_map",
        "moving every site",
        "ragged surface",
        "keys have twelve bits an axis",
        gives=twelve_bits_an_axis,
    ),
    Twin(
        "nsa_block_topk",
        "later compressed keys",
        "ragged sequences",
        "rows see what comes after",
        gives=last_row_for_all,
    ),
    Twin(
        "nsa_block_topk",
        "permuting key heads",
        "ragged sequences",
        "every head selects as the first",
        gives=first_head_for_all,
    ),
    Twin("moe_forward", "where other tokens go", "past a tile", "rows mix over tokens", gives=without_mean),
)


def outputs(task: Task, workload: Workload, inputs: dict[str, HostTensor], twin: Twin | None) -> dict[str, HostTensor]:
    """What a right kernel gives, or one that makes the twin's mistake."""
    dims = dims_of(task, workload)
    read = {name: to_torch(item).clone() for name, item in inputs.items()}
    if twin:
        twin.reads(read, dims)
    given = honest(task, workload, {name: from_torch(read[name], inputs[name].dtype) for name in inputs})
    found = {name: to_torch(item).clone() for name, item in given.items()}
    if twin:
        twin.gives(found, dims)
    return {name: from_torch(found[name], given[name].dtype) for name in given}


@pytest.mark.parametrize("twin", TWINS, ids=lambda twin: f"{twin.task}: {twin.mistake}")
def test_a_property_holds_for_the_reference_and_not_for_a_kernel_with_the_mistake_it_tells(twin: Twin) -> None:
    task = load_task(twin.task)
    [prop] = [item for item in task.properties if item.name.startswith(twin.holds)]
    [workload] = [item for item in task.verify if item.name == twin.workload]
    inputs = make_inputs(task, workload, SEED)
    changed, known = changed_inputs(task, workload, prop, inputs, SEED)

    def verdict(wrong: Twin | None) -> str | None:
        one, other = (outputs(task, workload, dict(given), wrong) for given in (inputs, changed))
        return broken_property(task, workload, prop, one, other, known)

    assert verdict(None) is None
    assert verdict(twin) is not None
    assert prop.name in str(verdict(twin))


@pytest.mark.parametrize("pairs", [{"y": 3}, {"y": (torch.ones(2),)}, {"z": (torch.ones(2), torch.ones(2))}])
def test_what_is_no_pair_of_an_output_is_the_tasks_mistake(pairs: dict[str, Any]) -> None:
    task = load_task("w4a16_gemm")
    broken = Property("anything", lambda inputs, dims, generator: (inputs, None), lambda first, second, known: pairs)
    outputs = honest(task, task.verify[0], make_inputs(task, task.verify[0], SEED))
    with pytest.raises(TaskError, match=r"have no pair of tensors of an output at '[yz]'\. Return \{output"):
        broken_property(task, task.verify[0], broken, outputs, outputs, None)
