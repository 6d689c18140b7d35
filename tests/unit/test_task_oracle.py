"""Expected results of the shipped tasks and of small ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from warpsmith.core.dtype import DType
from warpsmith.core.errors import TaskError
from warpsmith.core.task import Output, Role, Task, Tensor, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks import intermediate
from warpsmith.tasks.load import load_task
from warpsmith.tasks.oracle import honest, oracle
from warpsmith.tasks.sample import make_inputs

W4A16 = load_task("w4a16_gemm")


def test_w4a16_unpacks_nibble_i_of_word_r_as_row_8r_plus_i() -> None:
    """Two words, two groups, one column, by hand: codes 0..7 then 15, scales 0.5 and 2."""
    words = np.array([[0x76543210], [-1]], dtype=np.int32)
    x = np.zeros((3, 16), dtype=np.float16)
    x[0, 3], x[1, 15], x[2, :] = 1.0, 1.0, 1.0
    inputs = {
        "x": HostTensor(DType.FLOAT16, (3, 16), x),
        "qweight": HostTensor(DType.INT32, (2, 1), words),
        "scales": HostTensor(DType.FLOAT16, (2, 1), np.array([[0.5], [2.0]], dtype=np.float16)),
    }
    workload = Workload("by hand", {"M": 3, "N": 1, "K": 16, "G": 8}, "normal")
    assert oracle(W4A16, workload, inputs)["y"].tolist() == [[-2.5], [14.0], [-18.0 + 112.0]]


def test_w4a16_subtracts_a_zero_point_a_group_where_there_are_any() -> None:
    """Codes 0..7 less 1 times 0.5, codes 15 less 15 times 2."""
    inputs = {
        "x": HostTensor(DType.FLOAT16, (1, 16), np.ones((1, 16), dtype=np.float16)),
        "qweight": HostTensor(DType.INT32, (2, 1), np.array([[0x76543210], [-1]], dtype=np.int32)),
        "scales": HostTensor(DType.FLOAT16, (2, 1), np.array([[0.5], [2.0]], dtype=np.float16)),
        "zeros": HostTensor(DType.UINT8, (2, 1), np.array([[1], [15]], dtype=np.uint8)),
    }
    workload = Workload("by hand", {"M": 1, "N": 1, "K": 16, "G": 8}, "zero points")
    assert oracle(W4A16, workload, inputs)["y"].tolist() == [[10.0]]


def test_the_honest_result_is_near_the_oracle_but_rounded() -> None:
    workload = W4A16.verify[3]
    inputs = make_inputs(W4A16, workload, 5)
    exact, rounded = oracle(W4A16, workload, inputs)["y"], honest(W4A16, workload, inputs)["y"]
    error = np.linalg.norm(rounded.array - exact) / np.linalg.norm(exact)
    assert (np.float64, DType.FLOAT16) == (exact.dtype, rounded.dtype)
    assert 1e-4 < error < 4e-4


def test_an_intermediate_rounds_in_the_honest_result_only() -> None:
    task = scaled(lambda x: intermediate(x * 1.0001, "float16") * 1.0)
    inputs = {"x": HostTensor(DType.FLOAT32, (2,), np.array([1.0, 3.0], dtype=np.float32))}
    assert pytest.approx(oracle(task, task.verify[0], inputs)["y"].tolist(), rel=1e-12) == [1.0001, 3.0003]
    assert honest(task, task.verify[0], inputs)["y"].array.tolist() == [1.0, 3.0]


def test_dimensions_come_by_name_where_the_reference_asks() -> None:
    task = scaled(lambda x, N: x * N)
    inputs = {"x": HostTensor(DType.FLOAT32, (2,), np.array([1.0, 3.0], dtype=np.float32))}
    assert oracle(task, task.verify[0], inputs)["y"].tolist() == [2.0, 6.0]


def test_a_reference_that_writes_its_input_leaves_the_callers_values() -> None:
    task = scaled(lambda x: x.mul_(2.0))
    values = np.array([1.0, 3.0], dtype=np.float32)
    inputs = {"x": HostTensor(DType.FLOAT32, (2,), values)}
    assert honest(task, task.verify[0], inputs)["y"].array.tolist() == [2.0, 6.0]
    assert values.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (lambda x: x.float(), r"returned y as torch.float32 from torch.float64 inputs\. Keep the dtype"),
        (lambda x: x[:1], r"returned y of shape \(1,\); it is declared \(2,\)"),
        (lambda x: 3.0, r"returned y as float"),
        (lambda x: {"z": x}, r"did not return y"),
        (lambda x: {"y": x, "z": x}, r"returned z, which the task does not declare"),
        (lambda x: (x, x), r"returned 2 values for the outputs y"),
        (lambda x: x @ torch.ones(3), r"the reference raised at workload 'two'"),
        (lambda x: x.to("meta"), r"returned y on the device meta\. Compute where the inputs are"),
        (lambda x: exit("no"), r"the reference raised at workload 'two': SystemExit: no"),
    ],
)
def test_a_reference_that_does_not_fit_is_a_task_error(reference: Any, message: str) -> None:
    task = scaled(reference)
    inputs = {"x": HostTensor(DType.FLOAT32, (2,), np.ones(2, dtype=np.float32))}
    with pytest.raises(TaskError, match=message):
        oracle(task, task.verify[0], inputs)


def test_rows_past_the_valid_count_are_zero() -> None:
    task = replace(
        scaled(lambda x: {"y": x[:1], "count": torch.tensor([1])}),
        outputs=(Output("y", ("N",), "float32", valid="count"), Output("count", ("1",), "int32")),
    )
    inputs = {"x": HostTensor(DType.FLOAT32, (2,), np.array([4.0, 5.0], dtype=np.float32))}
    results = oracle(task, task.verify[0], inputs)
    assert (results["y"].tolist(), results["count"].tolist()) == ([4.0, 0.0], [1])


def test_an_in_place_input_may_be_a_result() -> None:
    task = replace(
        scaled(lambda x: {"y": x.sum().reshape(1).expand(2), "x": x + 1}),
        inputs=(Tensor("x", ("N",), "float32", Role.INPLACE),),
    )
    inputs = {"x": HostTensor(DType.FLOAT32, (2,), np.array([4.0, 5.0], dtype=np.float32))}
    results = oracle(task, task.verify[0], inputs)
    assert (results["y"].tolist(), results["x"].tolist()) == ([9.0, 9.0], [5.0, 6.0])


def scaled(reference: Any) -> Task:
    """A task from x[N] to y[N] in float32, at N = 2."""
    workload = Workload("two", {"N": 2}, "normal")
    return replace(
        W4A16,
        name="scaled",
        inputs=(Tensor("x", ("N",), "float32"),),
        outputs=(Output("y", ("N",), "float32"),),
        dims=("N",),
        fixed=(),
        constraints=(),
        reference=reference,
        verify=(workload,),
        bench=(workload,),
    )
