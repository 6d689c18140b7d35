"""Every shipped seed goes through the whole gate, and seeds after the first beat it in modelled time."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from warpsmith.core.profile import Profile
from warpsmith.core.protocols import Evaluation
from warpsmith.seeds import FOLDER, seeds_for
from warpsmith.tasks import find_tasks, load_task

from .seeded import evaluate, seed_named, target, timed

TASKS = [task.name for task in find_tasks()]
QUICK = "moe_routing_metadata"
"""The task whose seeds take the gate seconds; those of others take it a minute or more."""
SEEDS = [
    pytest.param(name, seed.name, marks=() if name == QUICK else pytest.mark.full)
    for name in TASKS
    for seed in seeds_for(name)
]


@cache
def evaluated(task: str, name: str) -> Evaluation:
    return evaluate(task, seed_named(task, name), profiled=True)


def times(profile: Profile | None) -> dict[str, float]:
    """Modelled microseconds by bench workload."""
    assert profile is not None
    return {item.workload: item.duration.us for item in profile.workloads if item.duration is not None}


@cache
def times_of_first(task: str, arch: str) -> dict[str, float]:
    """Of a task's first seed; on another target than its own it is timed alone, for its verdict is there."""
    seed = seeds_for(task)[0]
    if arch == target(seed):
        return times(evaluated(task, seed.name).profile)
    with TemporaryDirectory() as cache_folder:
        return times(timed(load_task(task), seed, arch, Path(cache_folder), draw=11))


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
