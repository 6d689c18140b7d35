"""Minted workloads: legal, inside the kernel's domain, drawn from the seed, and of bench size where it counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from warpsmith.core.kernel_file import dims_of
from warpsmith.core.task import Workload
from warpsmith.sandbox.analysis.sizes import Sizes
from warpsmith.sandbox.verify.hidden import AGAIN, Minted, Minter
from warpsmith.sandbox.verify.named_sizes import MOST_NAMED, named_sizes
from warpsmith.tasks import load_task
from warpsmith.tasks.sample import make_inputs

TASK = load_task("w4a16_gemm")


def minter(seed: int = 1) -> Minter:
    return Minter(TASK, lambda workload: workload.dims["N"] % 4 == 0, seed)


def test_every_minted_workload_is_legal_and_inside_the_domain() -> None:
    for seed in range(5):
        for workload in minter(seed).hidden():
            assert dims_of(TASK, workload)
            assert 0 == workload.dims["N"] % 4


def test_equal_seeds_mint_equal_workloads_and_others_do_not() -> None:
    assert minter(1).hidden() == minter(1).hidden()
    assert minter(1).hidden() != minter(2).hidden()


def test_every_free_dimension_is_tried_at_its_largest_bench_size() -> None:
    minted = minter().hidden()
    for name in ("M", "N", "K"):
        assert max(item.dims[name] for item in TASK.bench) in {item.dims[name] for item in minted}


def test_fixed_dimensions_take_values_that_the_task_names() -> None:
    known = {item.dims["G"] for item in (*TASK.verify, *TASK.bench)}
    assert {item.dims["G"] for item in minter().hidden()} <= known


def test_a_dimension_too_dear_at_its_bench_size_is_tried_there_with_other_fixed_dimensions() -> None:
    task = load_task(Path(__file__).parents[2] / "examples" / "tasks" / "causal_attention.py")
    largest = max(task.bench, key=lambda item: item.dims["S"])
    (found,) = (item for item in Minter(task, lambda _: True, 1).hidden() if item.name == "bench-sized S")
    assert largest.dims["S"] == found.dims["S"]
    assert largest.dims["D"] > found.dims["D"]


def test_sizes_that_no_task_lists_are_minted_apart() -> None:
    found = [item for seed in range(6) for item in minter(seed).unlisted()]
    listed = (*TASK.verify, *TASK.bench)
    for workload in found:
        assert dims_of(TASK, workload)
        assert 0 == workload.dims["N"] % 4
        new_group = workload.dims["G"] not in {item.dims["G"] for item in listed}
        assert new_group or any(workload.dims[name] > max(item.dims[name] for item in TASK.bench) for name in "MNK")
    names = " ".join(item.name for item in found)
    assert all(f"{name} beyond" in names for name in "MNK")
    assert {8, 16, 24} & {item.dims["G"] for item in found}


def test_every_free_dimension_takes_every_size_that_the_kernel_compares() -> None:
    for seed in range(3):
        named = named_sizes(minter(seed), Sizes(compared=frozenset({40, 384, 1152})))
        found = (*named.within, *named.beyond)
        assert len(found) <= MOST_NAMED
        for name, sizes in {"M": {40, 384, 1152}, "N": {40, 384, 1152}, "K": {384, 1152}}.items():
            assert sizes <= {item.dims[name] for item in found}, name
        for workload in found:
            assert dims_of(TASK, workload)
            assert 0 == workload.dims["N"] % 4


def test_what_is_next_to_them_and_what_else_stands_in_the_source_comes_behind() -> None:
    beside = named_sizes(Minter(TASK, lambda _: True, 1), Sizes(compared=frozenset({345}))).within
    assert {344, 345, 346} == {item.dims["M"] for item in beside if "M" in item.name.rpartition(",")[2]}
    source = named_sizes(Minter(TASK, lambda _: True, 1), Sizes(others=frozenset({345}))).within
    assert {345, 346} <= {item.dims["M"] for item in source}


def test_sizes_that_are_swept_or_can_never_be_are_not_minted_again() -> None:
    assert Minted((), ()) == named_sizes(minter(), Sizes(compared=frozenset({2, 8}), others=frozenset({1 << 23})))


def test_named_sizes_beyond_all_that_are_listed_are_minted_apart() -> None:
    named = named_sizes(minter(), Sizes(compared=frozenset({384, 1200})))
    most = max(item.dims["M"] for item in (*TASK.verify, *TASK.bench))
    assert most < 1200
    assert all(item.dims["M"] <= most for item in named.within)
    assert 1200 in {item.dims["M"] for item in named.beyond}


def test_a_kernel_that_claims_nothing_gets_no_workload() -> None:
    nothing = Minter(TASK, lambda workload: False, 1)
    assert () == nothing.hidden() == nothing.unlisted()


def test_relatives_approach_the_bench_workload() -> None:
    bench: Workload = TASK.bench[2]
    found = [item for item in minter().towards(bench, lambda _: True) if not item.name.endswith(AGAIN)]
    kept = [sum(item.dims[name] == bench.dims[name] for name in "MNK") for item in found]
    assert kept[0] < kept[-1]


def test_relatives_come_once_more_the_largest_first_with_other_values() -> None:
    found = [*minter().towards(TASK.bench[2], lambda _: True)]
    first, again = found[: len(found) // 2], found[len(found) // 2 :]
    assert [item.dims for item in first] == [item.dims for item in reversed(again)]
    for one, other in zip(first, reversed(again), strict=True):
        values, others = (make_inputs(TASK, item, 3)["x"].array for item in (one, other))
        assert not np.array_equal(values, others)


def test_relatives_take_the_fixed_dimensions_of_verify_workloads_too() -> None:
    """What many blocks reach is cheap to reach where a block is small."""
    bench: Workload = TASK.bench[2]
    assert {32, 64, 128} <= {item.dims["G"] for item in minter().towards(bench, lambda _: True)}
    alike = minter().towards(bench, lambda item: item.dims["G"] == bench.dims["G"])
    assert {bench.dims["G"]} == {item.dims["G"] for item in alike}
