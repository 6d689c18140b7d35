"""Whether blocks that were sampled at a bench shape can stand for those that were not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from warpsmith.core.plan import BoundPlan
from warpsmith.core.protocols import RunReply
from warpsmith.core.task import Cost

MOST_ERROR = 0.05
"""Relative standard error of a counter from which the first of these is tried."""
LEAST_FLOPS = 0.5
"""Share of the task's arithmetic that sampled blocks, scaled to the grid, must account for."""
LEAST_WRITTEN = 0.9
"""Share of an output of one launch that they must; of several launches' outputs `LEAST_FLOPS`."""
MOST_OFF = 0.15
"""Relative difference between both looks from which the second one is counted instead."""
MOST_FLOPS = 8
"""Operations that one instruction of one thread can do without tensor cores: a dot product of four bytes."""


def uneven(reply: RunReply) -> bool:
    """Whether the sampled blocks differ so much that more of them would make the totals better known."""
    return any(error > MOST_ERROR for item in reply.counters for error in item.sampling_errors.values())


def differ(first: RunReply, second: RunReply) -> bool:
    """Whether two looks at a call disagree about how much one of its launches does."""
    pairs = zip(first.coverage, second.coverage, strict=True)
    return any(abs(one.issued - other.issued) > MOST_OFF * max(one.issued, other.issued) for one, other in pairs)


def heavier(reply: RunReply, seen: RunReply) -> RunReply:
    """The reply, with the heaviest block that either look met: a multiprocessor is busy with that one alone."""
    counters = tuple(
        item.model_copy(update={"heaviest_block": max(item.heaviest_block, other.heaviest)})
        for item, other in zip(reply.counters, seen.coverage, strict=True)
    )
    return replace(reply, counters=counters)


def unlikely(plan: BoundPlan, reply: RunReply, cost: Cost, written: Mapping[str, float]) -> str:
    """Why the sampled blocks cannot stand for the others; empty where they may.

    Scaled to the grid they must do the task's arithmetic and write its outputs: else others, not counted, do.
    `written` is what share of which outputs they must account for.
    """
    done = sum(
        sum(item.tensor_flops.values()) + MOST_FLOPS * item.thread_instructions
        for step, item in zip(plan.launches, reply.counters, strict=True)
        if not step.prepare
    )
    if done < LEAST_FLOPS * cost.flops:
        return f"The blocks that were sampled stand for {done:.3g} operations of {cost.flops:.3g}."
    last = reply.counters[-1]
    if last.blocks_counted == last.grid_blocks:
        return ""
    for name, least in written.items():
        changed = reply.changed[name]
        share = float(changed.mean()) * last.grid_blocks / last.blocks_counted if changed.size else 1.0
        if share < least:
            return f"The blocks that were sampled stand for {share:.0%} of {name}."
    return ""
