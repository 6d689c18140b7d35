"""Outputs held against the float64 oracle: what passes, what fails, and what is said of it."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.errors import TaskError
from warpsmith.core.outcome import WorkloadCheck, Wrong
from warpsmith.core.task import Check, Cost, Output, Task, Tensor, Tolerance, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.compare import compare
from warpsmith.sandbox.verify.measure import measure
from warpsmith.tasks import load_task
from warpsmith.tasks.convert import from_torch, to_torch, torch_dtype
from warpsmith.tasks.oracle import honest, oracle
from warpsmith.tasks.sample import make_inputs

W4A16 = load_task("w4a16_gemm")
Array = NDArray[Any]


def normal(dims: Any, generator: torch.Generator, dtypes: Any) -> dict[str, torch.Tensor]:
    M, N, K = (dims[name] for name in "MNK")
    a, b = torch.randn(M, K, generator=generator), torch.randn(K, N, generator=generator)
    return {"a": a.to(dtypes["T"]), "b": b.to(dtypes["T"])}


def product(rows: int, columns: int, depth: int = 128, dtype: str = "float16", **change: Any) -> tuple[Task, Workload]:
    """A matrix product and one workload of it."""
    workload = Workload("one", {"M": rows, "N": columns, "K": depth}, "normal", dtypes={"T": dtype})
    task = Task(
        name="product",
        family="test",
        summary="y = a @ b",
        dims=("M", "N", "K"),
        inputs=(Tensor("a", ("M", "K"), "T"), Tensor("b", ("K", "N"), "T")),
        outputs=(Output("y", ("M", "N"), "T"),),
        reference=lambda a, b: a @ b,
        make_inputs={"normal": normal},
        verify=(workload,),
        bench=(workload,),
        cost=lambda dims: Cost(1, 1),
    )
    return replace(task, **change), workload


def verdict(case: tuple[Task, Workload], change: Callable[[Array], Array], seed: int = 0) -> WorkloadCheck | Wrong:
    """Compare the oracle's result after `change`, rounded to the output's dtype."""
    task, workload = case
    inputs = make_inputs(task, workload, seed)
    expected, ideal = oracle(task, workload, inputs), honest(task, workload, inputs)
    dtype = ideal["y"].dtype
    values = torch.from_numpy(np.ascontiguousarray(change(expected["y"].copy())))
    return compare(task, workload, {"y": from_torch(values.to(torch_dtype(dtype)), dtype)}, expected, ideal, seed=seed)


def wrong(case: tuple[Task, Workload], change: Callable[[Array], Array]) -> str:
    result = verdict(case, change)
    assert isinstance(result, Wrong), result
    return " | ".join((result.message, *result.details))


def assigned(index: Any, value: Any) -> Callable[[Array], Array]:
    def change(y: Array) -> Array:
        y[index] = value(y) if callable(value) else value
        return y

    return change


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 300), (17, 131), (40, 3)])
def test_the_rounded_oracle_passes_in_every_dtype_and_shape(dtype: str, rows: int, columns: int) -> None:
    for seed in range(5):
        result = verdict(product(rows, columns, dtype=dtype), lambda y: y, seed)
        assert isinstance(result, WorkloadCheck)
        assert 0 <= result.error < 0.7


def test_a_product_summed_in_another_order_passes() -> None:
    task, workload = W4A16, W4A16.verify[2]
    inputs = make_inputs(task, workload, 3)
    reverse = {name: inputs[name] for name in ("qweight", "scales")}
    ideal = honest(task, workload, inputs)
    weight = _dequantised(reverse["qweight"].array, reverse["scales"].array).astype(np.float32)
    x = inputs["x"].array.astype(np.float32)
    summed = np.zeros(ideal["y"].shape, dtype=np.float32)
    for k in reversed(range(x.shape[1])):
        summed += x[:, k : k + 1] * weight[k : k + 1]
    got = {"y": HostTensor(DType.FLOAT16, summed.shape, summed.astype(np.float16))}
    assert isinstance(compare(task, workload, got, oracle(task, workload, inputs), ideal), WorkloadCheck)


@pytest.mark.parametrize("name", ["one row", "prime M and N", "many small groups", "long K", "whole tiles"])
def test_half_precision_accumulation_fails(name: str) -> None:
    task = W4A16
    workload = next(workload for workload in task.verify if workload.name == name)
    inputs = make_inputs(task, workload, 0)
    weight = _dequantised(inputs["qweight"].array, inputs["scales"].array).astype(np.float16)
    x, summed = inputs["x"].array, np.zeros((workload.dims["M"], workload.dims["N"]), dtype=np.float16)
    for k in range(x.shape[1]):
        summed += x[:, k : k + 1] * weight[k : k + 1]
    got = {"y": HostTensor(DType.FLOAT16, summed.shape, summed)}
    result = compare(task, workload, got, oracle(task, workload, inputs), honest(task, workload, inputs))
    assert isinstance(result, Wrong)
    assert "too low a precision" in result.message


def test_float32_done_in_tf32_fails_and_in_another_order_passes() -> None:
    task, workload = product(32, 48, 256, "float32")
    inputs = make_inputs(task, workload, 0)
    a, b = (to_torch(inputs[name]) for name in "ab")
    expected, ideal = oracle(task, workload, inputs), honest(task, workload, inputs)
    halves = from_torch(a[:, :100] @ b[:100] + a[:, 100:] @ b[100:], DType.FLOAT32)
    tf32 = [(value.view(torch.int32) & ~0x1FFF).view(torch.float32) for value in (a, b)]
    truncated = from_torch(tf32[0] @ tf32[1], DType.FLOAT32)
    assert isinstance(compare(task, workload, {"y": halves}, expected, ideal), WorkloadCheck)
    assert isinstance(compare(task, workload, {"y": truncated}, expected, ideal), Wrong)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (assigned(np.s_[96:], 0.0), r"rows 96 to 127 \(the last 32 rows\) of y.*the last, partial tile is skipped"),
        (assigned(np.s_[127:], 7.0), r"row 127 \(the last row\) of y.*The last, partial tile"),
        (assigned(np.s_[:, 60:], 9.0), r"columns 60 to 63 \(the last 4 columns\) of y"),
        (
            assigned(np.s_[16:32], lambda y: y[32:48]),
            r"rows 16 to 31 of y.*Row i holds what row i \+ 16 should: an index is off by 16",
        ),
        (assigned(np.s_[8::16], 5.0), r"every row whose index modulo 16 is 8 of y"),
        (assigned(np.s_[:, 4:8], 0.0), r"columns 4 to 7 of y.*exactly zero"),
        (assigned(np.s_[32:64, 16:32], 3.0), r"rows 32 to 63, columns 16 to 31 of y"),
        (lambda y: y * 0.5, r"all of y.*They are 0\.5 times what is expected"),
        (lambda y: -y, r"all of y.*They are -1 times"),
        (lambda y: y[:, ::-1], r"In every group of 64, columns stand in reverse order"),
        (lambda y: y * np.linspace(0.5, 2.0, 64), r"Each column is off by a factor of its own"),
        (lambda y: np.roll(y, 1, axis=0) * 0.3 + y, r"resemble what is expected \(correlation 0\.9"),
        (lambda y: y * np.linspace(0.5, 2.0, 128)[:, None], r"Each row is off by a factor of its own"),
        (lambda y: y[:, np.arange(64) ^ 4], r"Column i holds what column i \^ 4 should: neighbouring groups of 4"),
        (lambda y: y[np.arange(128) ^ 7], r"In every group of 8, rows stand in reverse order"),
        (lambda y: y[:, np.random.default_rng(0).permutation(64)], r"column 0 holds what column \d+ should.*permuted"),
        (lambda y: y.T.reshape(128, 64), r"stored transposed"),
        (assigned((5, 7), 40.0), r"row 5, column 7 of y.*worst element: y\[5, 7\] is 40, expected"),
        (assigned((5, 7), np.nan), r"Not finite.*row 5, column 7 of y.*never written"),
        (assigned(np.s_[3, :], np.inf), r"row 3 of y.*keep sums in float32.*or is divided by 0"),
    ],
)
def test_the_failing_region_and_a_likely_cause_are_named(change: Callable[[Array], Array], words: str) -> None:
    message = wrong(product(128, 64), change)
    assert re.search(words, message), message


def test_a_missing_part_of_the_sum_is_called_that() -> None:
    task, workload = product(16, 64)
    inputs = make_inputs(task, workload, 0)
    a, b = (to_torch(inputs[name]).float() for name in "ab")
    part = from_torch((a[:, :96] @ b[:96]).half(), DType.FLOAT16)
    result = compare(task, workload, {"y": part}, oracle(task, workload, inputs), honest(task, workload, inputs))
    assert isinstance(result, Wrong)
    assert "a part of the sum is missing" in result.message


def test_a_wrong_tile_of_small_values_does_not_hide_behind_large_ones() -> None:
    """Columns 0 to 15 are a millionth of the rest; their absence changes nothing in the whole."""

    def scaled(dims: Any, generator: torch.Generator, dtypes: Any) -> dict[str, torch.Tensor]:
        drawn = normal(dims, generator, {"T": torch.float32})
        drawn["b"][:, :16] *= 1e-6
        return drawn

    case = product(64, 64, dtype="float32", make_inputs={"normal": scaled})
    assert isinstance(verdict(case, lambda y: y), WorkloadCheck)
    assert "columns 0 to 15 of y" in wrong(case, assigned(np.s_[:, :16], 0.0))


def test_the_figure_that_is_told_is_the_one_that_is_too_large() -> None:
    """Half of each value in 16 columns that are small is nothing in the whole, and no value is far off."""

    def scaled(dims: Any, generator: torch.Generator, dtypes: Any) -> dict[str, torch.Tensor]:
        drawn = normal(dims, generator, {"T": torch.float32})
        drawn["b"][:, :16] *= 1e-6
        return drawn

    case = product(64, 64, dtype="float32", make_inputs={"normal": scaled})
    factors = np.where(np.arange(64) < 16, 2.0, 1.0)
    assert "RMS error of the worst region" in wrong(case, lambda y: (y * factors).astype(y.dtype)).split(". ")[0]
    assert "relative L2 error" in wrong(case, lambda y: (y * 1.001).astype(y.dtype)).split(". ")[0]


def test_one_value_that_is_off_is_not_called_imprecision_alone() -> None:
    said = wrong(product(1, 1, dtype="float32"), lambda y: (y * 1.001).astype(y.dtype))
    assert "few values to judge by: a term is missing" in said


def test_rows_of_nan_leave_the_others_the_room_that_few_values_have() -> None:
    """Of few values the error is left to chance, and a kernel that is as careful as the honest one has no luck."""
    y, off = np.array([1.0, -1.0]), np.array([1.0006, -1.0006])

    def limit(zeros: int, others: int) -> float:
        got, right = (np.concatenate([values, np.zeros(zeros), np.linspace(0.8, 1, others)]) for values in (off, y))
        return measure(got, right, right, DType.FLOAT16, Tolerance()).limits.relative_l2

    assert math.isclose(limit(0, 0), limit(62, 0))
    assert limit(0, 0) > limit(0, 62)


def test_values_that_are_all_alike_may_err_by_as_many_roundings_as_one() -> None:
    """The honest result is right to the last bit in all of them, or in none."""

    def judged(roundings: float, right: Array) -> float:
        got = right * (1 + roundings * 2.0**-8)
        return measure(got, right, right, DType.BFLOAT16, Tolerance(floor=4e-4)).ratio

    alike, apart = np.ones((20, 64)), np.linspace(1, 2, 20 * 64).reshape(20, 64)
    assert judged(3, alike) < 1 < judged(5, alike)
    assert judged(1, apart) < 1 < judged(3, apart)


@pytest.mark.parametrize("large", [8.0, 32.0, 1024.0])
def test_one_value_that_outweighs_all_others_may_err_by_as_many_roundings_as_any(large: float) -> None:
    """The honest result may be right to the last bit there: one in a few hundred evaluations met such a value."""

    def outlier(dims: Any, generator: torch.Generator, dtypes: Any) -> dict[str, torch.Tensor]:
        return {"a": torch.eye(20).to(dtypes["T"]), "b": torch.randn(20, 64, generator=generator).to(dtypes["T"])}

    def judged(roundings: float) -> WorkloadCheck | Wrong:
        task, workload = product(20, 64, 20, dtype="bfloat16", make_inputs={"normal": outlier})
        inputs = make_inputs(task, workload, 0)
        to_torch(inputs["b"])[5, 15] = large
        expected, ideal = oracle(task, workload, inputs), honest(task, workload, inputs)
        values = torch.from_numpy(expected["y"].copy())
        values[5, 15] *= 1 - roundings * 2.0**-8
        got = {"y": from_torch(values.to(torch.bfloat16), DType.BFLOAT16)}
        return compare(task, workload, got, expected, ideal)

    assert isinstance(judged(3), WorkloadCheck)
    assert isinstance(judged(8), Wrong)


def test_next_to_nothing_instead_of_zero_is_not_what_values_that_are_all_off_are_blamed_on() -> None:
    """Its relative error is beyond what float64 can square; warnings are errors here."""

    def no_first(dims: Any, generator: torch.Generator, dtypes: Any) -> dict[str, torch.Tensor]:
        drawn = normal(dims, generator, dtypes)
        drawn["a"][0], drawn["b"][:, 0] = 0, 0
        return drawn

    def change(y: Array) -> Array:
        y *= 1.01
        y[0, 0] = 1e-30
        return y

    assert "Too inaccurate" in wrong(product(16, 64, dtype="float32", make_inputs={"normal": no_first}), change)


def test_an_overflow_that_the_reference_shares_is_right_and_one_it_does_not_is_wrong() -> None:
    def large(dims: Any, generator: torch.Generator, dtypes: Any) -> dict[str, torch.Tensor]:
        drawn = normal(dims, generator, dtypes)
        drawn["a"][0] = 2000.0
        drawn["b"][:, :8] = 1.0
        return drawn

    case = product(32, 32, make_inputs={"normal": large})
    assert isinstance(verdict(case, lambda y: y), WorkloadCheck)
    assert "Not finite" in wrong(case, assigned((0, 0), 60000.0))
    assert "Not finite" in wrong(case, assigned((1, 0), np.inf))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, r"gave the outputs \[\] where \['y'\]"),
        ({"y": ((2, 4), DType.FLOAT16)}, r"y is float16 of shape \(2, 4\); it must be float16 of shape \(4, 2\)"),
        ({"y": ((4, 2), DType.FLOAT32)}, r"y is float32 of shape"),
        ({"y": ((4, 1), DType.FLOAT16)}, r"shape \(4, 1\)"),
    ],
)
def test_arity_shape_and_dtype_are_exact(outputs: dict[str, Any], message: str) -> None:
    task, workload = product(4, 2)
    inputs = make_inputs(task, workload, 0)
    got = {name: HostTensor(dtype, shape, np.zeros(shape, dtype.storage)) for name, (shape, dtype) in outputs.items()}
    result = compare(task, workload, got, oracle(task, workload, inputs), honest(task, workload, inputs))
    assert isinstance(result, Wrong)
    assert re.search(message, result.message), result.message


def test_integers_match_exactly_and_rows_past_the_count_do_not_matter() -> None:
    workload = Workload("three", {"N": 4}, "normal")
    task = replace(
        product(1, 1)[0],
        dims=("N",),
        inputs=(Tensor("a", ("N",), "float32"),),
        outputs=(Output("rows", ("N", "2"), "int32", valid="count"), Output("count", ("1",), "int32")),
        reference=lambda a: {"rows": torch.tensor([[1, 2], [3, 4]]), "count": torch.tensor([2])},
        verify=(workload,),
    )
    inputs = {"a": HostTensor(DType.FLOAT32, (4,), np.zeros(4, dtype=np.float32))}
    expected, ideal = oracle(task, workload, inputs), honest(task, workload, inputs)

    def result(rows: list[list[int]], count: int) -> WorkloadCheck | Wrong:
        table = np.array(rows, dtype=np.int32)
        number = HostTensor(DType.INT32, (1,), np.array([count], dtype=np.int32))
        return compare(
            task, workload, {"rows": HostTensor(DType.INT32, (4, 2), table), "count": number}, expected, ideal
        )

    assert isinstance(result([[1, 2], [3, 4], [9, 9], [7, 7]], 2), WorkloadCheck)
    assert isinstance(result([[1, 2], [3, 5], [9, 9], [7, 7]], 2), Wrong)
    assert isinstance(result([[1, 2], [3, 4], [9, 9], [7, 7]], 3), Wrong)


def test_an_empty_output_is_right() -> None:
    assert isinstance(verdict(product(0, 8), lambda y: y), WorkloadCheck)


def test_the_tolerance_of_the_task_decides() -> None:
    def slightly(y: Array) -> Array:
        signs: Array = np.sign(np.sin(np.arange(y.size))).reshape(y.shape)
        return y * (1 + 2e-3 * signs)

    assert "Too inaccurate" in wrong(product(32, 32), slightly)
    loose = Tolerance(k=3.0, floor=1e-2, floor_largest=5e-2)
    assert isinstance(verdict(product(32, 32, tolerance=loose), slightly), WorkloadCheck)


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ({"too far": torch.zeros(2, 2, dtype=torch.bool)}, "names 'too far', not the output y"),
        (torch.zeros(2, 2, dtype=torch.bool), "gave no mapping, not the output y"),
    ],
)
def test_a_check_that_does_not_say_which_output_it_means_is_told_how(returned: Any, told: str) -> None:
    check = Check(("y",), "it is near", lambda got, expected, inputs, dims: returned)
    with pytest.raises(TaskError, match=told) as caught:
        verdict(product(2, 2, checks=(check,), path="own.py"), lambda y: y)
    assert caught.value.message.startswith("own.py: ")
    assert 'Return {"y": wrong}' in caught.value.remedy


def _dequantised(words: Array, scales: Array) -> Array:
    shifts = 4 * np.arange(8, dtype=np.uint32)
    codes = (words.view(np.uint32)[:, None, :] >> shifts[None, :, None]) & 15
    rows = codes.reshape(-1, words.shape[1]).astype(np.float64) - 8
    return rows * np.repeat(scales.astype(np.float64), rows.shape[0] // scales.shape[0], axis=0)


@pytest.mark.parametrize("seed", range(4))
def test_the_higher_of_two_equal_experts_is_the_wrong_one(seed: int) -> None:
    """Experts numbered from behind, in router and weights alike: only ties are then taken otherwise."""
    task = load_task("moe_forward")
    workload = next(item for item in task.verify if item.name == "tied experts, three a token")
    inputs = make_inputs(task, workload, seed)
    numbered = ("router", "w1", "w2")
    behind = {
        name: HostTensor(item.dtype, item.shape, item.array[::-1].copy()) if name in numbered else item
        for name, item in inputs.items()
    }
    expected, ideal = oracle(task, workload, inputs), honest(task, workload, inputs)
    assert isinstance(compare(task, workload, ideal, expected, ideal), WorkloadCheck)
    assert isinstance(compare(task, workload, honest(task, workload, behind), expected, ideal), Wrong)


@pytest.mark.parametrize(("name", "distribution"), [("nsa_selected_attention", "sharp"), ("nsa_block_topk", "loud")])
def test_attention_is_tried_where_an_exponential_alone_overflows(name: str, distribution: str) -> None:
    """A softmax without the maximum taken off is right for small scores and wrong for a user's."""
    task = load_task(name)
    workload = next(item for item in task.verify if item.distribution == distribution)
    inputs = {key: to_torch(value) for key, value in make_inputs(task, workload, 0).items()}
    keys = inputs["k"] if "k" in inputs else inputs["kc"]
    group = inputs["q"].float().view(len(inputs["q"]), keys.shape[1], -1, keys.shape[2])
    scores = torch.einsum("thgd,nhd->thgn", group, keys.float().nan_to_num()) * keys.shape[2] ** -0.5
    assert scores.exp().isinf().any()
    assert (scores.amax(dim=-1) > 100).any()
