"""Inputs drawn from a task's distributions, and tensors carried between torch and host memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from warpsmith.core.dtype import DType
from warpsmith.core.errors import TaskError
from warpsmith.core.task import Tensor, Workload
from warpsmith.tasks.convert import finite_limit, from_torch, to_torch, torch_dtype, widened
from warpsmith.tasks.load import load_task
from warpsmith.tasks.oracle import oracle
from warpsmith.tasks.sample import empty_outputs, make_inputs

TASK = load_task("w4a16_gemm")


def bits(workload: Workload, seed: int) -> list[bytes]:
    return [tensor.bytes.tobytes() for tensor in make_inputs(TASK, workload, seed).values()]


def test_equal_seeds_give_equal_bits_and_others_do_not() -> None:
    workload = TASK.verify[0]
    assert bits(workload, 7) == bits(workload, 7)
    assert not set(bits(workload, 7)) & set(bits(workload, 8))


def test_a_distribution_that_leaves_the_generator_alone_draws_the_same_again() -> None:
    careless = replace(
        TASK,
        dims=("N",),
        fixed=(),
        derived={},
        constraints=(),
        inputs=(Tensor("x", ("N",), "float32"),),
        make_inputs={"careless": lambda dims, generator: {"x": torch.randn(dims["N"])}},
    )
    workload, state = Workload("one", {"N": 4}, "careless"), torch.get_rng_state()
    first, again, other = (make_inputs(careless, workload, seed)["x"].array for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_workloads_of_one_shape_draw_different_values_from_one_seed() -> None:
    workload = TASK.verify[0]
    assert not set(bits(workload, 7)) & set(bits(replace(workload, name="again"), 7))


@pytest.mark.parametrize("workload", TASK.verify, ids=lambda workload: str(workload.name))
def test_shipped_inputs_are_as_declared_and_outputs_stay_inside_fp16(workload: Workload) -> None:
    inputs = make_inputs(TASK, workload, 1)
    shapes = {name: (tensor.dtype.value, tensor.shape) for name, tensor in inputs.items()}
    M, N, K, G = (workload.dims[name] for name in "MNKG")
    expected = {"x": ("float16", (M, K)), "qweight": ("int32", (K // 8, N)), "scales": ("float16", (K // G, N))}
    if not workload.absent:
        expected["zeros"] = ("uint8", (K // G, N))
    assert expected == shapes
    assert np.nanmax(np.abs(oracle(TASK, workload, inputs)["y"])) < finite_limit(DType.FLOAT16)
    assert M * N * K <= 4.5e6


def test_empty_outputs_have_the_declared_shape() -> None:
    output = empty_outputs(TASK, TASK.verify[1])["y"]
    assert (output.dtype, output.shape) == (DType.FLOAT16, (17, 131))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.zeros(2, 3).half()}, r"returned x of shape \(2, 3\)"),
        ({"x": torch.zeros(1, 1024)}, r"returned x as torch.float32; it is declared float16\. End with"),
        ({"x": [1.0]}, r"returned list for x"),
        ({"bias": torch.zeros(1)}, r"returned bias, which the task does not declare"),
        ({"x": None}, r"did not return the input x"),
    ],
)
def test_a_distribution_that_does_not_fit_is_named(change: dict[str, Any], message: str) -> None:
    good = TASK.make_inputs["normal"]

    def drawn(dims: Any, generator: Any) -> dict[str, Any]:
        return {name: value for name, value in {**good(dims, generator), **change}.items() if value is not None}

    task = replace(TASK, make_inputs={"normal": drawn})
    with pytest.raises(TaskError, match=message):
        make_inputs(task, TASK.verify[0], 1)


def test_a_distribution_that_raises_is_a_task_error() -> None:
    def broken(dims: Any, generator: Any) -> dict[str, Any]:
        raise ZeroDivisionError("no")

    with pytest.raises(TaskError, match="distribution 'normal' raised at workload 'one row': ZeroDivisionError: no"):
        make_inputs(replace(TASK, make_inputs={"normal": broken}), TASK.verify[0], 1)


def test_an_unknown_distribution_is_answered_with_the_known_ones() -> None:
    with pytest.raises(TaskError, match="It has: normal, outliers, spikes"):
        make_inputs(TASK, replace(TASK.verify[0], distribution="nrmal"), 1)


@pytest.mark.parametrize("dtype", list(DType))
def test_every_dtype_survives_the_way_to_torch_and_back(dtype: DType) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(torch_dtype(dtype))
    there = from_torch(tensor, dtype)
    assert there.bytes.tobytes() == from_torch(to_torch(there), dtype).bytes.tobytes()
    assert torch.equal(tensor.to(torch.float64), to_torch(there).to(torch.float64))


def test_bfloat16_travels_as_its_bits() -> None:
    there = from_torch(torch.tensor([1.0, -2.0], dtype=torch.bfloat16), DType.BFLOAT16)
    assert there.array.tolist() == [0x3F80, 0xC000]
    assert widened(there).tolist() == [1.0, -2.0]


def test_a_contiguous_tensor_is_not_copied_and_a_strided_one_is() -> None:
    tensor = torch.zeros(4, 4)
    assert from_torch(tensor, DType.FLOAT32).array.ctypes.data == tensor.data_ptr()
    assert from_torch(tensor.t()[1:], DType.FLOAT32).array.flags.c_contiguous


def test_another_dtype_is_refused() -> None:
    with pytest.raises(ValueError, match="is not float16"):
        from_torch(torch.zeros(1), DType.FLOAT16)
