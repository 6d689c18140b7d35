"""How small a planted fault a comparison catches."""

from dataclasses import replace

import pytest

from warpsmith.cli.program import run
from warpsmith.core.task import Tolerance
from warpsmith.sandbox.verify.sharpness import FAULTS, MOVED, SIZES, sharpness
from warpsmith.tasks import load_task

W4A16 = load_task("w4a16_gemm")
SMALL = replace(W4A16, verify=W4A16.verify[1:3])


def smallest(floor: float) -> dict[str, float | None]:
    """By kind of fault, under a tolerance with this floor."""
    task = replace(SMALL, tolerance=Tolerance(k=3.0, floor=floor, floor_largest=10 * floor))
    return {item.fault: item.size for item in sharpness(task, seed=2)}


def test_every_kind_of_fault_is_caught_at_some_size() -> None:
    found = smallest(4e-4)
    assert set(FAULTS) == set(found)
    assert all(size is not None and size < 0.2 for size in found.values())


def test_a_looser_tolerance_catches_only_larger_faults() -> None:
    strict, loose = smallest(4e-4), smallest(5e-2)
    for fault in FAULTS:
        near, far = strict[fault], loose[fault]
        assert near is not None
        assert far is None or far > near


def test_where_everything_passes_only_faults_past_what_float16_holds_are_caught() -> None:
    assert {None, SIZES[-1]} == set(smallest(1e3).values())
    finite = replace(SMALL, verify=SMALL.verify[1:], tolerance=Tolerance(k=3.0, floor=1e3, floor_largest=1e4))
    assert {None} == {item.size for item in sharpness(finite, seed=2)}


def test_sizes_grow() -> None:
    assert sorted(SIZES) == list(SIZES)


def test_integers_have_no_sharpness_since_they_match_exactly() -> None:
    assert () == sharpness(load_task("moe_routing_metadata"))


def test_a_check_of_the_tasks_own_says_how_many_wrong_values_it_catches() -> None:
    task = load_task("nsa_block_topk")
    (found,) = sharpness(replace(task, verify=task.verify[:2]))
    assert ("block_ids", MOVED) == (found.output, found.fault)
    assert found.size is not None
    assert found.size < 0.01
    lenient = replace(task.checks[0], judge=lambda got, **_: {"block_ids": got["block_ids"] < -9})
    (missed,) = sharpness(replace(task, verify=task.verify[:2], checks=(lenient,)))
    assert missed.size is None


def test_integers_that_must_match_bit_for_bit_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == run(["tasks", "check", "moe_routing_metadata"])
    assert "offsets, order, place: must match bit for bit" in capsys.readouterr().out
