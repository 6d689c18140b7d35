"""Shipped seeds, as they are or changed, under the gate."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from warpsmith import app
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.profile import Profile
from warpsmith.core.protocols import Evaluation
from warpsmith.core.task import Task
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.gate.bench import Bench
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.seeds import Seed, seeds_for
from warpsmith.tasks import load_task


def target(seed: Seed) -> str:
    """Where the emulator runs a seed: for Hopper, Triton writes instructions of its own."""
    return "a100" if seed.path and seed.path.suffix == ".py" else "h200"


def evaluate(task: str, seed: Seed, knobs: dict[str, int] | None = None, *, profiled: bool) -> Evaluation:
    with TemporaryDirectory() as cache_folder:
        gate = app.gate(load_task(task), arch=target(seed), cache=Path(cache_folder), profiled=profiled)
        return gate.evaluate(read_candidate(seed.text, file=str(seed.path), knobs=knobs), seed=11)


def timed(task: Task, seed: Seed, arch: str, cache: Path, *, draw: int) -> Profile:
    """A seed at the task's bench workloads, without a verdict; its inputs are those of the evaluation `draw`."""
    gate = app.gate(task, arch=arch, cache=cache)
    candidate = read_candidate(seed.text, file=str(seed.path))
    builds = Builds(parse_kernel_file(seed.text), task, candidate.knobs, gate.arch, gate.compiler)
    assert builds.build_all(task.bench) is None
    profile = Bench(task, builds, gate.launcher, draw).profile(candidate)
    assert isinstance(profile, Profile), profile
    return profile


def seed_named(task: str, name: str) -> Seed:
    return next(seed for seed in seeds_for(task) if seed.name == name)
