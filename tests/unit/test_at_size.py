"""Where a dimension is as large as in a bench workload, inputs take values that no distribution draws, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from warpsmith.sandbox.verify.altered import ALTERATIONS
from warpsmith.sandbox.verify.at_size import LEAST, MOST, WORK, altered_at_size, ways_at_size
from warpsmith.sandbox.verify.by_turns import BY_TURNS
from warpsmith.sandbox.verify.kinds import ONE_SIGN
from warpsmith.tasks import Cost
from warpsmith.tasks.sample import make_inputs

from .picked import TASK, WORKLOADS, normal


def test_every_input_is_altered_first_in_its_turn() -> None:
    first = [ways[0][0][0] for _, _, ways in ways_at_size(TASK, WORKLOADS, 3)]
    assert 6 == len(first)
    assert {"x", "shift", "scale"} == {*first[:3]}
    assert first[:3] == first[3:]


def test_each_takes_what_its_kind_allows_and_indices_take_nothing() -> None:
    allowed = {"x": {*BY_TURNS}, "shift": {*ALTERATIONS}, "scale": {*ONE_SIGN}}
    for seed in range(20):
        for _, _, ways in ways_at_size(TASK, WORKLOADS, seed):
            assert {"x", "shift", "scale"} == {name for (name, _), _ in ways[:3]}
            assert all(alteration in allowed[name] for (name, alteration), _ in ways)


def test_an_input_that_is_absent_is_left_alone() -> None:
    without = [replace(item, absent=frozenset({"x"})) for item in WORKLOADS]

    def given(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
        found = normal(dims, generator)
        return {name: found[name] for name in ("shift", "scale", "at")}

    inputs = (replace(TASK.inputs[0], optional=True), *TASK.inputs[1:])
    task = replace(TASK, inputs=inputs, make_inputs={"normal": given})
    assert {"shift", "scale"} == {way[0][0] for _, _, ways in ways_at_size(task, without, 3) for way in ways}


def test_equal_seeds_ask_for_the_same_and_others_for_something_else() -> None:
    asked = [[(at, ways) for at, _, ways in ways_at_size(TASK, WORKLOADS, seed)] for seed in (3, 3, 4)]
    assert asked[0] == asked[1] != asked[2]


def test_kinds_for_which_there_are_too_few_rows_have_their_turn_in_further_runs() -> None:
    few, many = (replace(WORKLOADS[0], dims={"M": M, "N": 64}) for M in (3, 20))
    turns = [
        sorted(turn for (_, rule), turn in ways if rule == "rows of many kinds")
        for _, _, ways in ways_at_size(TASK, (few, many), 3)
    ]
    assert [[*range(6)], [0]] == turns


def dear(dims: Mapping[str, int]) -> Cost:
    return Cost(flops=WORK, bytes=8, unit="fp32")


def test_bench_sized_workloads_alone_are_run_with_one_input_altered_at_a_time() -> None:
    others, of = [replace(item, name=f"hidden: {item.name}") for item in WORKLOADS], replace(TASK, cost=dear)
    runs = [found for _, found in altered_at_size(of, (*others, *WORKLOADS), 3)]
    assert [at.name for at in WORKLOADS for _ in range(LEAST)] == [run.name.partition(",")[0] for run, _ in runs]
    drawn = {at.name: make_inputs(of, at, 3) for at in WORKLOADS}
    for run, given in runs:
        before = drawn[run.name.partition(",")[0]]
        assert 1 == sum(not (given[name].array == before[name].array).all() for name in before)


def test_cheap_workloads_are_run_in_more_ways_the_first_of_each_input_before_others() -> None:
    ((_, _, ways),) = ways_at_size(TASK, WORKLOADS[:1], 3)
    tried = [pair for pair, _ in altered_at_size(TASK, WORKLOADS[:1], 3)]
    assert [pair for pair, _ in ways[:MOST]] == tried
    assert {"x", "shift", "scale"} == {name for name, _ in tried[:3]}
    assert len(ways) > MOST > LEAST
