"""What became of a candidate: a tagged union. Our own failures are exceptions and never stand here."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from warpsmith.core.record import Record


class Stage(StrEnum):
    """Steps of the gate, in order."""

    PLAN = "plan"
    COMPILE = "compile"
    SCREEN = "screen"
    EMULATE = "emulate"
    COMPARE = "compare"
    DEVICE = "device"
    """Run on a GPU."""
    PROFILE = "profile"
    ACCEPT = "accept"


class Failure(Record):
    """What every unhappy outcome says."""

    stage: Stage
    message: str = Field(min_length=1)
    """One or two sentences a kernel author can act on."""
    line: int | None = Field(default=None, ge=1)
    """Line of the kernel file, where one is to blame."""
    workload: str | None = None
    """Class of workload that showed it, e.g. `ragged M and N`."""
    details: tuple[str, ...] = ()
    """Further facts: the compiler's log, thread and block, worst element."""


class Rejected(Failure):
    """Refused by the screen before it ran."""

    kind: Literal["Rejected"] = "Rejected"


class CompileFailed(Failure):
    kind: Literal["CompileFailed"] = "CompileFailed"


class OutOfBounds(Failure):
    """Read or wrote memory that is not its own, an input's write included."""

    kind: Literal["OutOfBounds"] = "OutOfBounds"


class Uninitialised(Failure):
    kind: Literal["Uninitialised"] = "Uninitialised"


class Racy(Failure):
    kind: Literal["Racy"] = "Racy"


class BarrierMisuse(Failure):
    kind: Literal["BarrierMisuse"] = "BarrierMisuse"


class Unwritten(Failure):
    """Left bytes of an output unwritten."""

    kind: Literal["Unwritten"] = "Unwritten"


class Wrong(Failure):
    kind: Literal["Wrong"] = "Wrong"


class Nondeterministic(Failure):
    kind: Literal["Nondeterministic"] = "Nondeterministic"


class Deadlocked(Failure):
    kind: Literal["Deadlocked"] = "Deadlocked"


class OverBudget(Failure):
    """Exceeded instructions, memory, compile limits or the watchdog."""

    kind: Literal["OverBudget"] = "OverBudget"


class Crashed(Failure):
    """Trapped, accessed misaligned memory, or the driver refused it."""

    kind: Literal["Crashed"] = "Crashed"


class Implausible(Failure):
    """Faster than the bound."""

    kind: Literal["Implausible"] = "Implausible"


class Unsupported(Failure):
    """Needs something the emulator lacks: nobody's fault."""

    kind: Literal["Unsupported"] = "Unsupported"


class Inconclusive(Failure):
    """Statistics or coverage cannot decide."""

    kind: Literal["Inconclusive"] = "Inconclusive"


class WorkloadCheck(Record):
    """One verified run: how far it was from the float64 oracle, and how far it may be."""

    workload: str
    seed: int
    error: float = Field(ge=0, allow_inf_nan=False)
    """The larger of relative L2 and largest error over the output's RMS, each over its own limit: at most 1."""
    relative_l2: float = Field(ge=0, allow_inf_nan=False)
    largest: float = Field(ge=0, allow_inf_nan=False)
    """Largest error over the output's RMS."""


class Verified(Record):
    """Passed every stage so far; holds the evidence."""

    kind: Literal["Verified"] = "Verified"
    checks: tuple[WorkloadCheck, ...] = Field(min_length=1)
    schedules: int = Field(ge=1)
    """Different schedules, poisons and base addresses that agreed."""
    notes: tuple[str, ...] = ()
    """Warnings that did not decide, e.g. order-dependent sums."""


Outcome: TypeAlias = Annotated[
    Rejected
    | CompileFailed
    | OutOfBounds
    | Uninitialised
    | Racy
    | BarrierMisuse
    | Unwritten
    | Wrong
    | Nondeterministic
    | Deadlocked
    | OverBudget
    | Crashed
    | Implausible
    | Unsupported
    | Inconclusive
    | Verified,
    Field(discriminator="kind"),
]

OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)
"""Reads an Outcome back from JSON by its `kind`."""
