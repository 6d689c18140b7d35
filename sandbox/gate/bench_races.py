"""Whether two blocks of a launch that is too large to run whole may spoil each other's scratch.

Where no block waits for another, two of them at one place are a race, unless both read. Runs under the checkers meet
the blocks of small launches alone: of a large one, those run here that lie at every distance up to as many blocks as
the device holds at once. Only a launch that reads what it writes is looked at: what others would spoil is missing from
the values.
"""

from __future__ import annotations

from dataclasses import replace
from math import isqrt, prod

import numpy as np

from warpsmith.core.arch import Architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.outcome import Outcome, OutOfBounds, Racy, Uninitialised
from warpsmith.core.plan import BoundLaunch
from warpsmith.core.protocols import Launcher, RunReply, RunRequest
from warpsmith.sandbox.analysis.stores import read_parameters, tensors_at
from warpsmith.sandbox.emulated import load_ptx, tensors_written

CHECKED_WARPS = 1e7
"""Warp instructions that such blocks of a launch may take; fewer of them run where they take more."""
EARLIER_WARPS = 2e6
"""The same for all blocks of the launches before it, whose results it works on."""
_GENUINE = (Racy, Uninitialised, OutOfBounds)


def race_between_blocks(launcher: Launcher, request: RunRequest, reply: RunReply, arch: Architecture) -> Outcome | None:
    """The first fault of some blocks under the checkers; None where there is none, or nothing to look at.

    Args:
        launcher: Runs them.
        request: A sampled call; its `whole` launches have run all their blocks.
        reply: What it gave: how much work each launch is.
        arch: How many blocks are there at once.
    """
    positions = [number for number, step in enumerate(request.plan.steps) if isinstance(step, BoundLaunch)]
    launches = request.plan.launches
    earlier = 0.0
    for number, step, item in zip(positions, launches, reply.coverage, strict=True):
        if number not in request.whole and not step.prepare and rereads(request.artifact, step):
            warps = item.issued / prod(step.grid)
            blocks = at_every_distance(prod(step.grid), _at_once(step, arch), warps, request.seed)
            look = replace(
                request,
                plan=replace(request.plan, steps=request.plan.steps[: number + 1]),
                whole=frozenset(positions[: positions.index(number)]),
                blocks={number: blocks},
                checks=True,
                counters=False,
            )
            failure = launcher.run(look).failure
            if isinstance(failure, _GENUINE):
                return failure
        earlier += item.issued
        if earlier > EARLIER_WARPS:
            break
    return None


def rereads(artifact: Artifact, step: BoundLaunch) -> bool:
    """Whether a launch may read what it may write."""
    read = read_parameters(load_ptx(artifact.ptx).module.entry(artifact.entries[step.kernel]))
    return bool(tensors_at(read, step) & tensors_written(artifact, step))


def at_every_distance(total: int, at_once: int, warps: float, seed: int) -> tuple[int, ...]:
    """Some of `total` blocks, two at every distance below `at_once`, or below less where a block takes many `warps`.

    Twice the root of them is enough: a stretch of neighbours, and others as far apart as the stretch is long. Where
    they begin is drawn.
    """
    step = isqrt(max(min(at_once, total) - 1, 0)) + 1
    step = max(2, min(step, int(CHECKED_WARPS / max(warps, 1.0) / 2)))
    span = min(step * step + 1, total)
    start = int(np.random.default_rng(seed).integers(total - span + 1))
    chosen = {*range(min(step, span)), *range(0, span, step), span - 1}
    return tuple(sorted(start + index for index in chosen))


def _at_once(step: BoundLaunch, arch: Architecture) -> int:
    """Blocks of a launch that the device may hold at once."""
    warps = -(-prod(step.block) // 32)
    return arch.sms * max(1, min(arch.blocks_per_sm, arch.warps_per_sm // warps))
