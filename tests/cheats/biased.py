"""The small linear layer whose bias may be absent, as it is where it is timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from warpsmith.tasks import Role, Task, Tensor, Workload, load_task


def linear() -> Task:
    return load_task(Path(__file__).with_name("linear.py"))


def reference(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    return x @ w if b is None else x @ w + b


def biased(dims: Mapping[str, int], generator: torch.Generator) -> Mapping[str, torch.Tensor]:
    return linear().make_inputs["normal"](dims, generator)


def plain(dims: Mapping[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {name: value for name, value in linear().make_inputs["spikes"](dims, generator).items() if name != "b"}


def workload(name: str, M: int, N: int, K: int, distribution: str, source: str = "") -> Workload:
    return Workload(name, {"M": M, "N": N, "K": K}, distribution, source=source)


TASK = replace(
    linear(),
    name="biased",
    inputs=(
        Tensor("x", ("M", "K"), "float16"),
        Tensor("w", ("K", "N"), "float16", Role.STATIC),
        Tensor("b", ("N",), "float16", optional=True),
    ),
    reference=reference,
    make_inputs={"biased": biased, "plain": plain},
    verify=(
        workload("one row", 1, 96, 256, "plain"),
        workload("ragged, with a bias", 7, 33, 100, "biased"),
        workload("whole tiles", 16, 128, 128, "plain"),
    ),
    bench=(workload("a small layer", 16, 1024, 512, "plain", source="made up"),),
)
