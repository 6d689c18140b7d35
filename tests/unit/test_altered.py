"""Values that no distribution draws are tried where the reference can judge them, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from warpsmith.core.dtype import DType
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.altered import ALTERATIONS, altered, ways
from warpsmith.sandbox.verify.by_turns import BEFORE, BY_TURNS, KINDS, by_turns
from warpsmith.sandbox.verify.kinds import BITS, CODES, ONE_SIGN, Kind, kind_of
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


def some_largest(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (x * scale).topk(1, dim=-1).indices[:, 0]


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


@pytest.mark.parametrize("name", ONE_SIGN)
def test_an_input_of_one_sign_keeps_its_sign_and_its_range(name: str) -> None:
    of = task(scaled)
    inputs = make_inputs(of, AT, 3)
    found = altered(of, AT, inputs, ("scale", name), 3)
    assert found is not None
    drawn, given = inputs["scale"].array, found[1]["scale"].array
    assert drawn.min() <= given.min() <= given.max() <= drawn.max()
    assert not np.array_equal(given, drawn)
    assert altered(of, AT, inputs, ("scale", "rows of zeros"), 3) is None


@pytest.mark.parametrize("name", BY_TURNS)
def test_lines_of_many_kinds_are_named_in_their_order(name: str) -> None:
    of, at = task(scaled), replace(AT, dims={"M": 40, "N": 64})
    inputs = make_inputs(of, at, 3)
    found = altered(of, at, inputs, ("x", name), 3)
    assert found is not None
    told = found[0].name.partition(": ")[2].removesuffix(", and so on").split(", ")
    before, lines = (item["x"].array if name.startswith("rows") else item["x"].array.T for item in (inputs, found[1]))
    assert KINDS.keys() == {*told}
    for number, line in enumerate(lines):
        kind = told[number % len(told)]
        assert kind != "zeros" or not line.any()
        assert kind != "of one value" or (len({*line}) == 1 and line[0] in before[number])
        assert kind != "rising" or (np.diff(line) >= 0).all()
        assert kind != "loud" or (line == 64 * before[number]).all()
        assert kind != "a single value" or np.count_nonzero(line) == 1
        assert kind != BEFORE or not number or (line == lines[number - 1]).all()


@pytest.mark.parametrize("kinds", [[kind] for kind in KINDS])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (40, 2)])
def test_one_kind_alone_is_laid_out_whatever_the_shape(kinds: list[str], shape: tuple[int, int]) -> None:
    values, told = by_turns(np.random.default_rng(1).normal(size=shape), -1, np.random.default_rng(2), 3, kinds)
    assert shape == values.shape
    assert kinds == [told]
    assert np.isfinite(values).all()
    assert kinds != [BEFORE] or (values == values[0]).all()


def test_runs_with_fewer_rows_than_kinds_go_on_where_the_one_before_ended() -> None:
    of, at = task(scaled), replace(AT, dims={"M": 3, "N": 64})
    inputs = make_inputs(of, at, 3)
    runs = [altered(of, at, inputs, ("x", "rows of many kinds"), 3, turn) for turn in range(6)]
    told = [run[0].name.partition(": ")[2].removesuffix(", and so on").split(", ") for run in runs if run is not None]
    assert 6 == len(told)
    assert KINDS.keys() == {kind for kinds in told for kind in kinds}


def whole(values: object, dtype: DType) -> HostTensor:
    array = np.ascontiguousarray(values, dtype=dtype.storage)
    return HostTensor(dtype, array.shape, array)


def test_what_might_obey_a_rule_is_of_no_kind() -> None:
    of, draw = task(scaled), np.random.default_rng(1)
    shares = draw.random((6, 64)) + 0.1
    obeying = (
        shares / shares.sum(axis=1, keepdims=True),
        np.sort(shares, axis=1),
        np.floor(10 * shares),
        np.where(draw.random((6, 64)) < 0.5, 0.0, 1.0),
        np.where(draw.random((6, 64)) < 0.1, np.nan, draw.normal(size=(6, 64))),
    )
    assert [None] * 5 == [kind_of(of, "x", whole(values, DType.FLOAT32)) for values in obeying]
    assert kind_of(of, "x", whole(shares, DType.FLOAT32)) is Kind.ONE_SIGN
    indices = whole(draw.integers(0, 64, (6, 64)), DType.INT32)
    offsets = whole(np.arange(64).reshape(8, 8), DType.UINT8)
    assert [None] * 2 == [kind_of(of, "x", tensor) for tensor in (indices, offsets)]


@pytest.mark.parametrize("shape", [(9,), (1, 9), (9, 1), (1, 9, 1), (1, 1, 9)])
def test_one_line_that_sums_to_one_is_of_no_kind_whatever_its_shape(shape: tuple[int, ...]) -> None:
    of, values = task(scaled), np.random.default_rng(1).permutation(np.arange(1.0, 10.0)).reshape(shape)
    assert kind_of(of, "x", whole(values / values.sum(), DType.FLOAT32)) is None
    assert kind_of(of, "x", whole(values / 7, DType.FLOAT32)) is Kind.ONE_SIGN


def test_packed_words_and_small_codes_are_told_by_their_bits() -> None:
    of, draw = task(scaled), np.random.default_rng(1)
    assert kind_of(of, "x", whole(draw.integers(-(1 << 31), 1 << 31, (6, 64)), DType.INT32)) is Kind.BITS
    codes = draw.integers(0, 16, (6, 64))
    assert kind_of(of, "x", whole(codes, DType.UINT8)) is Kind.CODES
    for change in CODES.values():
        assert {*change(codes, draw, lambda: range(16)).reshape(-1)} <= {*range(16)}
    for other in BITS.values():
        assert other(codes, draw).shape == codes.shape


def test_rows_of_eight_bits_take_the_least_and_the_largest_number() -> None:
    of, draw = task(scaled), np.random.default_rng(1)
    numbers = draw.integers(-128, 128, (40, 64))
    assert kind_of(of, "x", whole(numbers, DType.INT8)) is Kind.BITS
    rows = {name: change(numbers, draw).astype(np.int8) for name, change in BITS.items() if name.startswith("bytes")}
    assert [{-128}, {127}] == [{int(row[0]) for row in found if len({*row}) == 1} for found in rows.values()]


def test_codes_are_taken_to_the_ends_of_what_any_distribution_draws_at_their_sizes() -> None:
    def codes(dims: Mapping[str, int], generator: torch.Generator, low: int, high: int) -> dict[str, torch.Tensor]:
        x = torch.randint(low, high, (dims["M"], dims["N"]), generator=generator)
        return {**normal(dims, generator), "x": x.to(torch.uint8)}

    usual, wide = Workload("usual", {"M": 6, "N": 64}, "usual"), Workload("wide", {"M": 6, "N": 8}, "wide")
    of = replace(
        task(scaled),
        inputs=(Tensor("x", ("M", "N"), "uint8"), Tensor("scale", ("N",), "float32")),
        make_inputs={
            "usual": lambda dims, generator: codes(dims, generator, 1, 9),
            "wide": lambda dims, generator: codes(dims, generator, dims["N"] + 20, dims["N"] + 30),
        },
        verify=(usual, wide),
        bench=(usual,),
    )
    inputs = make_inputs(of, usual, 3)
    ends = [altered(of, usual, inputs, ("x", f"the {end} throughout"), 3) for end in ("least", "largest")]
    assert [{1}, {93}] == [{*found[1]["x"].array.reshape(-1)} for found in ends if found is not None]


@pytest.mark.parametrize("dtype", [DType.INT32, DType.INT64, DType.INT8])
@pytest.mark.parametrize("holes", [0.3, 0.5, 0.7])
def test_indices_among_holes_are_no_packed_words(holes: float, dtype: DType) -> None:
    """Half of a map of neighbours is -1, which has every bit set; words of indices that nobody has would be asked."""
    of, draw = task(scaled), np.random.default_rng(1)
    indices = np.where(draw.random((40, 27)) < holes, -1, draw.integers(0, 64, (40, 27)))
    assert kind_of(of, "x", whole(indices, dtype)) is not Kind.BITS


def test_words_of_codes_near_the_middle_are_packed_words() -> None:
    of, draw = task(scaled), np.random.default_rng(1)
    codes = np.clip(np.rint(draw.normal(7.5, 2.5, (8, 40, 27))), 0, 15).astype(np.int64)
    words = np.bitwise_or.reduce(codes << (4 * np.arange(8))[:, None, None], axis=0)
    assert kind_of(of, "x", whole(words.astype(np.uint32).view(np.int32), DType.INT32)) is Kind.BITS


def test_a_value_that_the_reference_refuses_is_not_asked() -> None:
    """What an input may hold is told by what is drawn, and may be told wrongly."""

    def refusing(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        if not (x != 0).any(dim=1).all():
            raise ValueError("a row of zeros has no direction")
        return x * scale

    inputs = make_inputs(task(refusing), AT, 3)
    assert altered(task(refusing), AT, inputs, ("x", "rows of zeros"), 3) is None
    assert altered(task(refusing), AT, inputs, ("x", "loud values"), 3) is not None
    assert altered(task(scaled), AT, inputs, ("x", "rows of zeros"), 3) is not None


def test_a_reference_that_magnifies_the_last_bit_is_not_asked() -> None:
    of = task(normalised)
    inputs = make_inputs(of, AT, 3)
    assert altered(of, AT, inputs, ("x", "one value throughout"), 3) is None
    assert altered(of, AT, inputs, ("x", "rising rows"), 3) is not None


def test_ties_are_asked_where_the_reference_says_which_of_equals_it_takes() -> None:
    """`argmax` takes the first of them, says PyTorch, and `topk` any."""
    outputs = (Output("at", ("M",), "int64"),)
    largest, any_largest = (replace(task(reference), outputs=outputs) for reference in (first_largest, some_largest))

    def asked(of: Task, how: str) -> list[bool]:
        return [altered(of, AT, make_inputs(of, AT, seed), ("x", how), seed) is not None for seed in range(8)]

    assert [True] * 8 == asked(largest, "rows of zeros")
    assert [False] * 8 == asked(any_largest, "rows of zeros")
    assert all(all(asked(of, "loud values")) for of in (largest, any_largest))


def test_a_small_task_is_tried_in_every_way() -> None:
    of = task(scaled)
    alone = {pairs[0] for _, pairs in ways(of, [AT], [AT], 1) if len(pairs) == 1}
    expected = {("x", way) for way in (*ALTERATIONS, *BY_TURNS)} | {("scale", way) for way in ONE_SIGN}
    assert expected == alone


def test_an_input_is_altered_where_it_is_given() -> None:
    with_bias = replace(AT, name="dear")
    without = replace(AT, name="cheap", absent=frozenset({"scale"}))
    places = {pairs[0][0]: at.name for at, pairs in ways(task(scaled), [without, with_bias], [without], 1)}
    assert places["scale"] == "dear"
