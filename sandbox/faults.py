"""An emulator's fault in the words of an Outcome."""

from __future__ import annotations

from collections.abc import Callable

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


def outcome_of(fault: Fault, kernel: str) -> Outcome:
    """The Outcome a fault in `kernel` (the plan's name expression) stands for."""
    details = [f"kernel {kernel}, block {_dims(fault.block)}, thread {_dims(fault.thread)}", f"PTX: {fault.opcode}"]
    if fault.other_thread is not None:
        where = f", line {fault.other_line}" if fault.other_line else ""
        block = f"block {_dims(fault.other_block)}, " if fault.other_block not in (None, fault.block) else ""
        details.append(f"other access: {block}thread {_dims(fault.other_thread)}{where}")
    return _OUTCOMES[fault.kind](
        stage=Stage.EMULATE, message=fault.message, line=fault.line or None, details=tuple(details)
    )


def lost(lost: VmLost, kernel: str) -> Outcome:
    """The Outcome of a launch that took the emulator's process with it: nothing is known of the kernel."""
    if lost.over_limit:
        return OverBudget(stage=Stage.EMULATE, message=f"kernel {kernel}: {lost}")
    return Inconclusive(stage=Stage.EMULATE, message=f"kernel {kernel} could not be emulated: {lost}")


def _dims(index: tuple[int, int, int]) -> str:
    return "({}, {}, {})".format(*index)
