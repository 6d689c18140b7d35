"""What a driver's result says of a candidate, in the worker, and what a fault becomes as an Outcome, in front of it."""

from __future__ import annotations

from collections.abc import Callable

from warpsmith.core.outcome import Crashed, Outcome, OutOfBounds, OverBudget, Stage
from warpsmith.sandbox.device.messages import Fault, FaultKind

_KINDS: dict[str, tuple[FaultKind, str]] = {
    "ILLEGAL_ADDRESS": (FaultKind.ILLEGAL_ADDRESS, "it accessed memory that is not mapped"),
    "MISALIGNED_ADDRESS": (FaultKind.MISALIGNED, "an access is not aligned to its size"),
    "LAUNCH_TIMEOUT": (FaultKind.ENDLESS, "the driver's watchdog ended it"),
    "ASSERT": (FaultKind.TRAP, "an assert failed"),
    "ILLEGAL_INSTRUCTION": (FaultKind.TRAP, "it executed an illegal instruction, or `trap`"),
    "HARDWARE_STACK_ERROR": (FaultKind.TRAP, "its stack is corrupted or too deep"),
    "INVALID_ADDRESS_SPACE": (FaultKind.TRAP, "an instruction was given an address of another state space"),
    "INVALID_PC": (FaultKind.TRAP, "the program counter left the kernel"),
    "LAUNCH_FAILED": (FaultKind.TRAP, "it executed `trap`, or overran its shared or local memory"),
}
"""By the end of the name in `CUresult`; the words follow that enumeration's documentation."""

_REFUSALS = {
    "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES": FaultKind.TOO_LARGE,
    "CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE": FaultKind.TOO_LARGE,
    "CUDA_ERROR_INVALID_VALUE": FaultKind.TOO_LARGE,
}

_OUTCOMES: dict[FaultKind, Callable[..., Outcome]] = {
    FaultKind.ILLEGAL_ADDRESS: OutOfBounds,
    FaultKind.REDZONE: OutOfBounds,
    FaultKind.INPUT_WRITTEN: OutOfBounds,
    FaultKind.PREPARED_WRITTEN: OutOfBounds,
    FaultKind.MISALIGNED: Crashed,
    FaultKind.TRAP: Crashed,
    FaultKind.LAUNCH: Crashed,
    FaultKind.ENDLESS: OverBudget,
    FaultKind.TOO_LARGE: OverBudget,
}


def fault_of(result: str, kernel: str, line: int) -> Fault | None:
    """The fault a fatal result stands for; None where the candidate is not to blame (`CUDA_ERROR_ECC_…`)."""
    known = _KINDS.get(result.removeprefix("CUDA_ERROR_"))
    if known is None:
        return None
    kind, words = known
    return Fault(kind=kind, message=f"{kernel}: {words}", kernel=kernel, line=line, result=result)


def refusal_of(result: str, message: str, kernel: str, line: int) -> Fault:
    """The fault of a launch that the driver did not take."""
    kind = _REFUSALS.get(result, FaultKind.LAUNCH)
    return Fault(kind=kind, message=f"{kernel}: {message}", kernel=kernel, line=line, result=result)


def outcome_of(fault: Fault, device: str) -> Outcome:
    """The Outcome for a fault on a device, named for the reader."""
    details = [f"on {device}"]
    if fault.kernel:
        details.append(f"kernel {fault.kernel}")
    if fault.result:
        details.append(fault.result)
    return _OUTCOMES[fault.kind](
        stage=Stage.DEVICE, message=fault.message, line=fault.line or None, details=tuple(details)
    )
