"""Shipped seeds, as they are or changed, under the gate."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from warpsmith import app
from warpsmith.core.protocols import Evaluation
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


def seed_named(task: str, name: str) -> Seed:
    return next(seed for seed in seeds_for(task) if seed.name == name)
