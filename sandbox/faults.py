"""An emulator's fault in the words of an Outcome."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from warpsmith.core.outcome import (
    BarrierMisuse,
    Crashed,
    Deadlocked,
    Inconclusive,
    Outcome,
    OutOfBounds,
    OverBudget,
    Racy,
    Stage,
    Uninitialised,
)
from warpsmith.sandbox.emulator.machine import Fault, FaultKind, VmLost

_OUTCOMES: dict[FaultKind, Callable[..., Outcome]] = {
    FaultKind.OUT_OF_BOUNDS: OutOfBounds,
    FaultKind.READ_ONLY: OutOfBounds,
    FaultKind.MISALIGNED: Crashed,
    FaultKind.UNINITIALISED: Uninitialised,
    FaultKind.RACE: Racy,
    FaultKind.BARRIER: BarrierMisuse,
    FaultKind.DEADLOCK: Deadlocked,
    FaultKind.BUDGET: OverBudget,
    FaultKind.TRAP: Crashed,
}


_RAN_WHOLE = (
    "all its blocks were run: they are few, or hand values to each other (a ticket, a queue of tiles, a sum that "
    "another block reads), so that some cannot stand for all. Let it issue fewer instructions at this size"
)


def outcome_of(fault: Fault, kernel: str, *, budget: int = 0, whole: bool = False) -> Outcome:
    """The Outcome a fault in `kernel` (the plan's name expression) stands for.

    `budget` is what the launch might issue, in warp instructions, where that is known; `whole` says that all its blocks
    ran where some would do if they had nothing to do with each other.
    """
    details = [f"kernel {kernel}, block {_dims(fault.block)}, thread {_dims(fault.thread)}", f"PTX: {fault.opcode}"]
    if fault.other_thread is not None:
        where = f", line {fault.other_line}" if fault.other_line else ""
        block = f"block {_dims(fault.other_block)}, " if fault.other_block not in (None, fault.block) else ""
        details.append(f"other access: {block}thread {_dims(fault.other_thread)}{where}")
    if fault.kind is FaultKind.BUDGET and budget:
        details.append(f"the budget of this launch is {budget:,} warp instructions")
        details += [_RAN_WHOLE] if whole else []
    return _OUTCOMES[fault.kind](
        stage=Stage.EMULATE, message=fault.message, line=fault.line or None, details=tuple(details)
    )


_ASSERT = re.compile(r"\bassert\s*\(")
_TRAPPED = "executed a trap"
_MEANINGLESS = (
    "The text holds none: a compiler puts one where code can mean nothing, such as a store to a __constant__ table or "
    "an access at address 0"
)


def quoting(outcome: Outcome, text: str) -> Outcome:
    """The outcome; where an assertion of the kernel file `text` failed, which only traps, it says which one."""
    if not isinstance(outcome, Crashed) or outcome.line is None or _TRAPPED not in outcome.message:
        return outcome
    failed = [said for first, last, said in _assertions(text) if first <= outcome.line <= last]
    if not failed and "trap" not in text:
        message = f"{outcome.message}. {_MEANINGLESS}"
        return outcome.model_copy(update={"message": message})
    if not failed:
        return outcome
    which = "the assertion" if len(failed) == 1 else "one of the assertions"
    said = f"failed {which} {', '.join(f'`{item}`' for item in failed)}"
    return outcome.model_copy(update={"message": outcome.message.replace(_TRAPPED, said)})


def _assertions(text: str) -> Iterator[tuple[int, int, str]]:
    """(first line, last line, condition) of each `assert(...)`."""
    for found in _ASSERT.finditer(text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        first = text.count("\n", 0, found.start()) + 1
        condition = " ".join(text[found.end() : end - 1].split())
        yield first, first + text.count("\n", found.start(), end), condition


def lost(lost: VmLost, kernel: str, line: int = 0) -> Outcome:
    """The Outcome of a launch that took the emulator's process with it: nothing is known of the kernel.

    `line` is the launch's, in the plan.
    """
    if lost.over_limit:
        return OverBudget(stage=Stage.EMULATE, message=f"kernel {kernel}: {lost}", line=line or None)
    return Inconclusive(stage=Stage.EMULATE, message=f"kernel {kernel} could not be emulated: {lost}")


def _dims(index: tuple[int, int, int]) -> str:
    return "({}, {}, {})".format(*index)
