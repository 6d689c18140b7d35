"""Every shipped seed goes through the whole gate, and seeds after the first beat it in modelled time."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from warpsmith import app
from warpsmith.core.protocols import Evaluation
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.seeds import FOLDER, Seed, seeds_for
from warpsmith.tasks import find_tasks, load_task

TASKS = [task.name for task in find_tasks()]
SLOW = frozenset(
    {"moe_forward", "nsa_block_topk", "nsa_selected_attention", "spconv_forward", "spconv_kernel_map", "vectorized"}
)
"""Tasks whose seeds, and seeds that take the gate so long that the quick suite leaves them out."""
SEEDS = [
    pytest.param(name, seed.name, marks=[pytest.mark.full] if {name, seed.name} & SLOW else [])
    for name in TASKS
    for seed in seeds_for(name)
]


def target(seed: Seed) -> str:
    """Where the emulator runs a seed: for Hopper, Triton writes instructions of its own."""
    return "a100" if seed.path and seed.path.suffix == ".py" else "h200"


def evaluate(
    task: str, seed: Seed, knobs: dict[str, int] | None = None, *, profiled: bool, arch: str = ""
) -> Evaluation:
    with TemporaryDirectory() as cache_folder:
        gate = app.gate(load_task(task), arch=arch or target(seed), cache=Path(cache_folder), profiled=profiled)
        return gate.evaluate(read_candidate(seed.text, file=str(seed.path), knobs=knobs), seed=11)


@cache
def evaluated(task: str, name: str, arch: str) -> Evaluation:
    return evaluate(task, seed_named(task, name), profiled=True, arch=arch)


def seed_named(task: str, name: str) -> Seed:
    return next(seed for seed in seeds_for(task) if seed.name == name)


def times(evaluation: Evaluation) -> dict[str, float]:
    """Modelled microseconds by bench workload."""
    assert evaluation.profile is not None
    return {item.workload: item.duration.us for item in evaluation.profile.workloads if item.duration is not None}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_naive_seed_and_it_comes_first(task: str) -> None:
    first = seeds_for(task)[0]
    assert (first.name, first.tags) == ("naive", ("naive",))


def test_every_folder_of_seeds_belongs_to_a_task() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert folders <= set(TASKS)


def test_a_task_without_seeds_has_none() -> None:
    assert seeds_for("no_such_task") == ()


@pytest.mark.parametrize(("task", "name"), SEEDS)
def test_a_seed_is_verified(task: str, name: str) -> None:
    outcome = evaluated(task, name, target(seed_named(task, name))).outcome
    assert outcome.kind == "Verified", outcome


@pytest.mark.parametrize(("task", "name"), SEEDS)
def test_a_seed_is_timed_at_every_bench_workload_and_beats_the_first(task: str, name: str) -> None:
    arch = target(seed_named(task, name))
    own, first = times(evaluated(task, name, arch)), times(evaluated(task, seeds_for(task)[0].name, arch))
    assert list(own) == [workload.name for workload in load_task(task).bench]
    if name != seeds_for(task)[0].name:
        assert all(own[workload] < 0.5 * first[workload] for workload in own)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("vectorized", {"BM": 16, "SPLIT": 1}),
        ("vectorized", {"BM": 4, "SPLIT": 16}),
        ("tensor_core", {"MT": 1, "SPLIT": 16, "STAGES": 4}),
        ("tensor_core", {"MT": 2, "SPLIT": 1, "STAGES": 2}),
    ],
)
def test_the_ends_of_the_knobs_are_right_too(name: str, knobs: dict[str, int]) -> None:
    seed = seed_named("w4a16_gemm", name)
    outcome = evaluate("w4a16_gemm", seed, knobs, profiled=False).outcome
    assert outcome.kind == "Verified", outcome


def test_a_pipeline_that_waits_for_too_few_copies_is_caught() -> None:
    seed = seed_named("w4a16_gemm", "tensor_core")
    assert 1 == seed.text.count('"n"(STAGES - 1)')
    hasty = replace(seed, text=seed.text.replace('"n"(STAGES - 1)', '"n"(STAGES)'))
    outcome = evaluate("w4a16_gemm", hasty, profiled=False).outcome
    assert outcome.kind in ("Uninitialised", "Racy", "Wrong"), outcome


MISTAKES = {
    "keys behind a token are seen": ("tokens[r] - first + 1 - id * BS", "tokens[r] - first + 2 - id * BS"),
    "a copy is not waited for": ('"n"(STAGES - 2)', '"n"(STAGES - 1)'),
    "what was summed does not shrink": ("total[r] *= shrink;", "total[r] *= 1.f;"),
    "keys past a tile's last token are loaded": ("min(BS, reach[id - low] - id * BS + 1)", "BS"),
    "a later block sets a bit": ("id >= 0 && id <= place / BS", "id >= 0 && id <= (T - 1) / BS"),
}


@pytest.mark.full
@pytest.mark.parametrize("mistake", MISTAKES)
def test_attention_with_a_mistake_is_caught(mistake: str) -> None:
    seed = seed_named("nsa_selected_attention", "tensor_core")
    good, bad = MISTAKES[mistake]
    assert 1 == seed.text.count(good)
    outcome = evaluate(
        "nsa_selected_attention", replace(seed, text=seed.text.replace(good, bad)), profiled=False
    ).outcome
    assert outcome.kind in ("OutOfBounds", "Uninitialised", "Racy", "Wrong"), outcome


@pytest.mark.full
@pytest.mark.parametrize("knobs", [{"WARPS": 4, "STAGES": 3}, {"WARPS": 8, "STAGES": 2}])
def test_other_knobs_of_attention_are_right_too(knobs: dict[str, int]) -> None:
    seed = seed_named("nsa_selected_attention", "tensor_core")
    outcome = evaluate("nsa_selected_attention", seed, knobs, profiled=False).outcome
    assert outcome.kind == "Verified", outcome


@pytest.mark.full
def test_a_pick_that_does_not_strike_out_repeats_a_block() -> None:
    seed = seed_named("nsa_block_topk", "tensor_core")
    struck = "if (lane == owner) scores[at] = -1.f;"
    assert 1 == seed.text.count(struck)
    outcome = evaluate("nsa_block_topk", replace(seed, text=seed.text.replace(struck, "")), profiled=False).outcome
    assert outcome.kind == "Wrong", outcome
