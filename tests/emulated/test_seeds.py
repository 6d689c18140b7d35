"""Every shipped seed goes through the whole gate, and seeds after the first beat it in modelled time."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from warpsmith import app
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import Outcome
from warpsmith.core.profile import Profile
from warpsmith.core.protocols import Evaluation
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.gate.bench import Bench
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.seeds import FOLDER, Seed, seeds_for
from warpsmith.tasks import find_tasks, load_task

TASKS = [task.name for task in find_tasks()]
QUICK = "moe_routing_metadata"
"""The task whose seeds take the gate seconds; those of others take it a minute or more."""
SEEDS = [
    pytest.param(name, seed.name, marks=() if name == QUICK else pytest.mark.full)
    for name in TASKS
    for seed in seeds_for(name)
]


def target(seed: Seed) -> str:
    """Where the emulator runs a seed: for Hopper, Triton writes instructions of its own."""
    return "a100" if seed.path and seed.path.suffix == ".py" else "h200"


def evaluate(task: str, seed: Seed, knobs: dict[str, int] | None = None, *, profiled: bool) -> Evaluation:
    with TemporaryDirectory() as cache_folder:
        gate = app.gate(load_task(task), arch=target(seed), cache=Path(cache_folder), profiled=profiled)
        return gate.evaluate(read_candidate(seed.text, file=str(seed.path), knobs=knobs), seed=11)


@cache
def evaluated(task: str, name: str) -> Evaluation:
    return evaluate(task, seed_named(task, name), profiled=True)


def seed_named(task: str, name: str) -> Seed:
    return next(seed for seed in seeds_for(task) if seed.name == name)


def times(profile: Profile | Outcome | None) -> dict[str, float]:
    """Modelled microseconds by bench workload."""
    assert isinstance(profile, Profile), profile
    return {item.workload: item.duration.us for item in profile.workloads if item.duration is not None}


@cache
def times_of_first(task: str, arch: str) -> dict[str, float]:
    """Of a task's first seed; on another target than its own it is timed alone, for its verdict is there."""
    seed = seeds_for(task)[0]
    if arch == target(seed):
        return times(evaluated(task, seed.name).profile)
    with TemporaryDirectory() as cache_folder:
        gate = app.gate(load_task(task), arch=arch, cache=Path(cache_folder))
        candidate = read_candidate(seed.text, file=str(seed.path))
        builds = Builds(parse_kernel_file(seed.text), gate.task, candidate.knobs, gate.arch, gate.compiler)
        assert builds.build_all(gate.task.bench) is None
        return times(Bench(gate.task, builds, gate.launcher, 11).profile(candidate))


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
    outcome = evaluated(task, name).outcome
    assert outcome.kind == "Verified", outcome


@pytest.mark.parametrize(("task", "name"), SEEDS)
def test_a_seed_is_timed_at_every_bench_workload_and_beats_the_first(task: str, name: str) -> None:
    own, first = times(evaluated(task, name).profile), times_of_first(task, target(seed_named(task, name)))
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


@pytest.mark.full
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
