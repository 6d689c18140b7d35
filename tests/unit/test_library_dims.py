"""Dimensions are found from shapes, and contradictions are named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.core.errors import TaskError
from warpsmith.core.task import Cost, Output, Role, Task, Tensor, Workload
from warpsmith.kernels_generated.dims import needed_keywords, solve_dims
from warpsmith.kernels_generated.operator import schema_of

TASK = Task(
    name="packed_gemm",
    family="test",
    summary="",
    inputs=(
        Tensor("x", ("M", "K"), "float16"),
        Tensor("w", ("K // 8", "N"), "int32", Role.STATIC),
        Tensor("scales", ("K // G", "N"), "float16"),
        Tensor("bias", ("N",), "float16", optional=True),
    ),
    outputs=(Output("y", ("M", "N"), "float16"),),
    dims=("M", "N", "K", "G"),
    reference=lambda x, w, scales, bias: x,
    make_inputs={},
    verify=(Workload("w", {}, ""),),
    bench=(),
    cost=lambda dims: Cost(1, 1),
    constraints=("K % 8 == 0", "K % G == 0"),
)


def shapes(m: int, n: int, k: int, g: int) -> dict[str, tuple[int, ...]]:
    return {"x": (m, k), "w": (k // 8, n), "scales": (k // g, n)}


@given(m=st.integers(1, 9), n=st.integers(1, 9), groups=st.integers(1, 300), size=st.integers(1, 64))
def test_a_dimension_inside_an_expression_is_found(m: int, n: int, groups: int, size: int) -> None:
    g = 8 * size
    expected = {"M": m, "N": n, "K": groups * g, "G": g}
    assert expected == solve_dims(TASK, shapes(m, n, groups * g, g), {})


def test_a_stated_dimension_is_held_against_the_shapes() -> None:
    assert 64 == solve_dims(TASK, shapes(2, 3, 512, 64), {"G": 64})["G"]
    with pytest.raises(TaskError, match=r"scales has extent 8 where K // G is 4"):
        solve_dims(TASK, shapes(2, 3, 512, 64), {"G": 128})
    with pytest.raises(TaskError, match="no dimension Q"):
        solve_dims(TASK, shapes(2, 3, 512, 64), {"Q": 1})


def test_contradicting_shapes_name_tensor_and_dimension() -> None:
    good = shapes(2, 3, 512, 64)
    with pytest.raises(TaskError, match=r"scales \[K // G, N\] has N = 4, not 3"):
        solve_dims(TASK, good | {"scales": (8, 4)}, {})
    with pytest.raises(TaskError, match="w has extent 63 where K // 8 is 64"):
        solve_dims(TASK, good | {"w": (63, 3)}, {})
    with pytest.raises(TaskError, match=r"x has 3 dimensions; \[M, K\] is declared"):
        solve_dims(TASK, good | {"x": (1, 2, 512)}, {})


def test_a_broken_constraint_is_named_with_the_call() -> None:
    with pytest.raises(TaskError, match=r"K % 8 == 0; the call has M = 2"):
        solve_dims(TASK, {"x": (2, 12), "w": (1, 3), "scales": (1, 3)}, {"G": 12})


def test_an_open_dimension_asks_to_be_stated() -> None:
    unconstrained = replace(TASK, constraints=())
    with pytest.raises(TaskError, match=r"values of G fit the shapes. State it: G="):
        solve_dims(unconstrained, shapes(2, 3, 512, 64), {})
    absent = replace(TASK, dims=(*TASK.dims, "TOP"))
    with pytest.raises(TaskError, match=r"the shapes do not tell TOP. State it: TOP="):
        solve_dims(absent, shapes(2, 3, 512, 64), {})
    assert 2 == solve_dims(absent, shapes(2, 3, 512, 64), {"TOP": 2})["TOP"]


def test_derived_dimensions_are_looked_through() -> None:
    task = replace(TASK, derived={"GROUPS": "K // G"})
    task = replace(task, inputs=(*TASK.inputs[:2], Tensor("scales", ("GROUPS", "N"), "float16")))
    assert {"M": 2, "N": 3, "K": 512, "G": 64} == solve_dims(task, shapes(2, 3, 512, 64), {})


def test_the_operator_takes_hidden_dimensions_as_keywords() -> None:
    assert ("G",) == needed_keywords(TASK)
    assert "(Tensor x, Tensor w, Tensor scales, Tensor? bias=None, *, SymInt? G=None) -> Tensor" == schema_of(TASK)
    inplace = replace(TASK, inputs=(Tensor("kv", ("M", "K"), "float16", Role.INPLACE),), outputs=TASK.outputs * 2)
    assert schema_of(inplace).startswith("(Tensor(a0!) kv, *, ")
    assert schema_of(inplace).endswith("-> (Tensor, Tensor)")
