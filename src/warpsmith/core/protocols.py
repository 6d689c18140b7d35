"""Seams between folders: agents call an Evaluator, the gate calls a Launcher; `app` joins implementations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.artifact import Artifact
from warpsmith.core.candidate import Candidate
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.outcome import Outcome, Stage
from warpsmith.core.plan import BoundPlan
from warpsmith.core.profile import Profile
from warpsmith.core.record import Record
from warpsmith.core.tensor import HostTensor


class StageReport(Record):
    """One step of the gate, as it went."""

    stage: Stage
    passed: bool
    seconds: float
    detail: str = ""


class Circumstances(Record):
    """What a verdict was given under besides its toolchain; empty: not known."""

    gate: str = ""
    """Edition of the gate's rules (`sandbox/edition.py`)."""
    jail: str = ""
    """How well the compiler and the candidate were confined."""
    device: str = ""
    """The GPU's name; empty where only the emulator ran."""
    driver: str = ""
    """Version of the GPU's driver."""


class Evaluation(Record):
    """What the gate says of one candidate."""

    candidate: str
    """`Candidate.identity`."""
    outcome: Outcome
    stages: tuple[StageReport, ...]
    profile: Profile | None = None
    """Present only where the outcome is Verified."""
    toolchain: str = ""
    circumstances: Circumstances = Circumstances()


class Evaluator(Protocol):
    """Judges candidates of one task on one target."""

    def evaluate(self, candidate: Candidate, *, seed: int) -> Evaluation:
        """Run the whole gate. `seed` mints its inputs; equal seeds give equal evaluations.

        Raises:
            KernelFileError: the text is no kernel file.
            MachineError: our side failed; the candidate is not to blame.
        """
        ...


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One call of a compiled plan."""

    artifact: Artifact
    plan: BoundPlan
    inputs: Mapping[str, HostTensor]
    """By name; absent optional tensors are left out."""
    outputs: Mapping[str, HostTensor]
    """Shape and dtype of each output; the bytes are ignored and poisoned."""
    static: frozenset[str] = frozenset()
    """Inputs that prepare launches may read; the others are unmapped while those run."""
    seed: int = 0
    """Poison, schedule and base addresses."""
    checks: bool = True
    counters: bool = True
    """False: nothing is counted, and the reply holds no counters."""
    sample_blocks: int | None = None
    """Count only about this many blocks of each launch; outputs then mean nothing."""
    whole: frozenset[int] = frozenset()
    """Steps of the plan, by position, that run every block although blocks are sampled."""
    blocks: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    """Steps of the plan, by position, that run just these linear block indices while blocks are sampled."""
    junk: int = 0
    """Sign of the large values that floating scratch and outputs hold at first while blocks are sampled; 0: none. What
    comes out alike under both signs depends on nothing that no block wrote."""
    budget: int | None = None
    """Warp instructions one launch may issue, or one that runs whole while blocks are sampled; None: the launcher's own
    limit, which else is never exceeded."""
    pessimistic: bool = False
    """Results whose bits the ISA leaves open are moved within the documented error, by seed. A GPU has its own bits and
    ignores it."""
    sms: int | None = None
    """Multiprocessors the kernel is told of (`%nsmid`); None: the target's."""
    keep_prepared: Mapping[str, HostTensor] = field(default_factory=dict)
    """Prepared buffers of an earlier call on the same static inputs: prepare launches are then left out."""


class Check(StrEnum):
    """What a launcher can watch while kernels run. A GPU shows far less of it than the emulator."""

    BOUNDS = "bounds"
    """Every access, to the byte."""
    GUARDS = "guards"
    """Accesses beyond a buffer's last page fault; bytes beside buffers are compared afterwards."""
    ALIGNMENT = "alignment"
    READ_ONLY = "read only"
    """Inputs, and prepared buffers in ordinary launches."""
    UNINITIALISED = "uninitialised"
    RACES = "races"
    BARRIERS = "barriers"
    UNWRITTEN = "unwritten"
    HANGS = "hangs"


@dataclass(frozen=True, slots=True)
class LaunchCoverage:
    """What of its code one launch executed."""

    kernel: str
    """The plan's name expression, key of `Artifact.entries`."""
    line: int
    """Of the `[[launch]]` in the kernel file."""
    reached: frozenset[tuple[str, int]]
    """(what, index) in the compiled entry: a basic `block` entered; an instruction whose `guard` held; a comparison of
    launch parameters that came out `true` or `false`; a minimum or maximum of them that took `first` or `second`; an
    axis of the grid that had `several` blocks."""
    issued: float
    """Warp instructions, scaled from the blocks that ran to the whole grid; known without counters, too."""
    heaviest: float = 1.0
    """Warp instructions of the block that issued most, of those that ran, over the mean of the grid."""


@dataclass(frozen=True, slots=True)
class RunReply:
    """What the call did."""

    failure: Outcome | None
    """A Failure, or None where every launch ended."""
    outputs: Mapping[str, HostTensor]
    counters: tuple[LaunchCounters, ...]
    """One per launch, in plan order."""
    unwritten: Mapping[str, int]
    """Output name -> index of the first unwritten byte."""
    coverage: tuple[LaunchCoverage, ...] = ()
    """One per launch, in plan order."""
    changed: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Where blocks were sampled: which elements of each output, flat, the last launch that may write it has changed."""
    prepared: Mapping[str, HostTensor] = field(default_factory=dict)
    """Prepared buffers, for `RunRequest.keep_prepared`."""
    checks: frozenset[Check] = frozenset()
    """What was watched; what is not here may have gone wrong unseen."""


class Launcher(Protocol):
    """Runs a compiled plan: the emulator, or a GPU."""

    def run(self, request: RunRequest) -> RunReply:
        """Allocate, poison, launch, read back.

        Raises:
            MachineError: our side failed.
        """
        ...
