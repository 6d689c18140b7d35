"""What a workload's distribution leaves out is known before anything is drawn, and every draw is held to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import bind, parse_kernel_file
from warpsmith.sandbox.standalone.workloads import choose_workload
from warpsmith.sandbox.verify.hidden import Minter
from warpsmith.tasks import load_task
from warpsmith.tasks.sample import make_inputs

TASK = load_task("w4a16_gemm")
ABSENT = frozenset({"zeros"})

WITH_ZEROS = ("zero points", "signed")
KERNEL = """\
// /// kernel
// task = "w4a16_gemm"
// [[launch]]
// kernel = "gemm"
// grid = ["1 + has_zeros"]
// block = 32
// ///
__global__ void gemm(const zeros_t* zeros, y_t* y) {}
"""


def test_each_workload_says_what_its_distribution_leaves_out() -> None:
    for workload in (*TASK.verify, *TASK.bench):
        assert workload.absent == (frozenset() if workload.distribution in WITH_ZEROS else ABSENT)


def test_expressions_read_which_tensors_there_are() -> None:
    kernel = parse_kernel_file(KERNEL)
    grids = {item.name: bind(kernel, TASK, item, {}, sms=4).launches[0].grid[0] for item in TASK.verify}
    assert (1, 2) == (grids["one row"], grids["zero points, groups of 64"])


def test_hidden_workloads_have_every_set_of_optional_inputs_that_the_kernel_admits() -> None:
    for seed in range(8):
        minted = Minter(TASK, lambda _: True, seed).hidden()
        assert {frozenset(), ABSENT} == {item.absent for item in minted}
        for item in minted:
            assert item.absent == (frozenset() if item.distribution in WITH_ZEROS else ABSENT)
        without = Minter(TASK, lambda item: "zeros" in item.absent, seed).hidden()
        assert {ABSENT} == {item.absent for item in without}


def test_sizes_of_a_persons_own_take_what_the_distribution_draws() -> None:
    sizes = "M=2,N=8,K=64,G=32"
    assert ABSENT == choose_workload(TASK, sizes, lambda _: True).absent
    assert not choose_workload(TASK, f"{sizes},distribution=zero points", lambda _: True).absent


def test_a_draw_that_differs_from_what_the_workload_says_is_refused() -> None:
    with pytest.raises(TaskError, match=r"drew no zeros, and draws it at other sizes.*two distributions"):
        make_inputs(TASK, replace(TASK.verify[0], absent=frozenset()), 1)
    given = next(item for item in TASK.verify if not item.absent)
    with pytest.raises(TaskError, match="drew zeros, and draws none at other sizes"):
        make_inputs(TASK, replace(given, absent=ABSENT), 1)


def test_a_distribution_that_draws_an_input_by_size_is_refused_by_name(tmp_path: Path) -> None:
    """As a stranger would write it: a bias above some size."""
    text = """
import torch
from warpsmith.tasks import Cost, Output, Task, Tensor, Workload

def reference(a, b=None):
    return a if b is None else a + b

def normal(dims, generator):
    a = torch.randn(dims["N"], generator=generator)
    return {"a": a, "b": a.clone()} if dims["N"] > 100 else {"a": a}

TASK = Task(
    name="add", family="mine", summary="y = a + b", dims=("N",),
    inputs=(Tensor("a", ("N",), "float32"), Tensor("b", ("N",), "float32", optional=True)),
    outputs=(Output("y", ("N",), "float32"),), reference=reference, make_inputs={"normal": normal},
    verify=(Workload("odd", {"N": 77}, "normal"),), bench=(Workload("large", {"N": 4096}, "normal"),),
    cost=lambda dims: Cost(flops=dims["N"], bytes=12 * dims["N"], unit="fp32"),
)
"""
    path = tmp_path / "add.py"
    path.write_text(text)
    task = load_task(path)
    assert frozenset({"b"}) == task.bench[0].absent
    with pytest.raises(TaskError, match="'normal' at workload 'large' drew b"):
        make_inputs(task, task.bench[0], 1)
