"""What happened in a run, one small class per event; a run is an append-only sequence of these."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from warpsmith.core.calls import Finish, Usage
from warpsmith.core.profile import Critique, Score
from warpsmith.core.protocols import Evaluation
from warpsmith.core.record import Record


class StopReason(StrEnum):
    """Why a run came to its end."""

    PLATEAU = "plateau"
    """Several rounds brought no gain beyond the resolution."""
    BOUND = "bound"
    """The best kernel is close to the speed of light."""
    ROUNDS = "rounds"
    EXHAUSTED = "exhausted"
    """The Coder had nothing new to propose."""
    INTERRUPTED = "interrupted"
    """Somebody stopped it; `resume` goes on."""
    NOTHING_VERIFIED = "nothing verified"
    BUDGET = "budget"
    """Tokens, dollars, time or evaluations are spent."""
    NO_CANDIDATE = "no candidate"
    """The Coder's replies held none, several rounds in a row."""


class Budget(Record):
    """What the search of a run may use; None: no limit. Verification of a winner is never cut short by it."""

    tokens: int | None = Field(default=None, ge=1)
    """Input and output of all models together."""
    dollars: float | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    """Of thinking and evaluating; waiting in queues and between attempts does not count."""
    evaluations: int | None = Field(default=None, ge=1)
    """Candidates taken through the gate, without the first one and without confirmations."""


class RunSettings(Record):
    """What a person chose for a run; `resume` needs nothing else."""

    coder: str = Field(min_length=1)
    """`builtin`, or `provider:model`."""
    judge: str = Field(min_length=1)
    strategy: str = Field(min_length=1)
    rounds: int = Field(ge=1)
    patience: int = Field(default=5, ge=1)
    """Rounds without a gain beyond the resolution after which the run ends."""
    seed: int = Field(default=0, ge=0)
    library: str
    """Folder that accepted kernels go to."""
    width: int = Field(default=1, ge=1)
    """Rounds that may be open at a time."""
    language: str = Field(default="cuda", pattern="^(cuda|triton)$")
    """What a language model is asked to write."""
    budget: Budget = Budget()


class RunStarted(Record):
    """Always the first event."""

    kind: Literal["RunStarted"] = "RunStarted"
    run: str = Field(min_length=1)
    task: str = Field(min_length=1)
    task_path: str = ""
    """Task file of the user's own; empty for one that ships."""
    task_digest: str
    target: str = Field(min_length=1)
    """Architecture's name: `h200`."""
    device: str = Field(pattern="^(emulator|gpu)$")
    settings: RunSettings
    seed_kernel: str = ""
    """Text digest of the kernel the user starts from; empty where the task's own seeds serve."""
    toolchain: str = ""
    replay_of: str = ""
    """Run whose recorded answers this one gets instead of asking anybody."""


class Chosen(Record):
    """The strategy's choice: opens a round, for which the Coder is asked now."""

    kind: Literal["Chosen"] = "Chosen"
    round: int = Field(ge=1)
    parent: str = ""
    """Identity of the candidate to improve or mend; empty: begin anew."""


class Called(Record):
    """A language model was asked. Prompt and reply lie in the store under their digests."""

    kind: Literal["Called"] = "Called"
    label: str
    """Round, role, stage and turn: `003-coder-repair-1`. Unique in a run."""
    round: int = Field(ge=1)
    role: Literal["coder", "judge"]
    model: str
    prompt: str
    """Digest of the whole dialogue, as Markdown."""
    reply: str = ""
    """Digest of the reply; empty where none came."""
    finish: Finish
    usage: Usage
    dollars: float | None = Field(ge=0)
    """None: the price is unknown, which is not the same as nothing."""
    seconds: float = Field(ge=0)
    waited: float = Field(default=0, ge=0)
    """Between attempts, in queues, or for a person; not billed."""
    attempts: int = Field(default=1, ge=1)
    error: str = ""


class Abandoned(Record):
    """A round that came to no candidate."""

    kind: Literal["Abandoned"] = "Abandoned"
    round: int = Field(ge=1)
    reason: str
    stop: StopReason | None = None
    """Where the reason ends the whole search."""


class Proposed(Record):
    """The Coder's answer. The text lies in the store under its digest."""

    kind: Literal["Proposed"] = "Proposed"
    round: int = Field(ge=1)
    candidate: str
    """`Candidate.identity`."""
    language: str = Field(pattern="^(cuda|triton)$")
    text_digest: str
    knobs: dict[str, int] = Field(default_factory=dict)
    parent: str = ""
    """Identity of the candidate it was made from; empty for a seed."""
    idea: str
    """What was changed, in a few words: `seed split_k.cu`, `BN 64 -> 128`."""
    by: str = Field(min_length=1)
    """Who proposed it: `builtin`, `user`, or a model's name."""


class Evaluated(Record):
    """The gate's answer."""

    kind: Literal["Evaluated"] = "Evaluated"
    evaluation: Evaluation


class Judged(Record):
    """The Judge's answer."""

    kind: Literal["Judged"] = "Judged"
    critique: Critique
    score: Score | None = None
    """How what the Judge predicted of its advice to the parent came out here; None where nothing can be compared."""


class Confirmed(Record):
    """The gate's second answer, on inputs minted from a fresh seed, for a candidate about to be accepted."""

    kind: Literal["Confirmed"] = "Confirmed"
    evaluation: Evaluation


class Accepted(Record):
    """The candidate became a kernel of the library."""

    kind: Literal["Accepted"] = "Accepted"
    candidate: str
    kernel: str
    """Digest of the kernel in the library."""
    path: str
    """Folder it was written to."""


class RunFinished(Record):
    """The last event, unless the reason is `interrupted`: such a run stays open."""

    kind: Literal["RunFinished"] = "RunFinished"
    reason: StopReason
    best: str = ""
    """Identity of the fastest verified candidate; empty where nothing was verified."""
    detail: str = ""
    """One sentence more: why the best was not accepted, for one."""


Event: TypeAlias = Annotated[
    RunStarted | Chosen | Called | Abandoned | Proposed | Evaluated | Judged | Confirmed | Accepted | RunFinished,
    Field(discriminator="kind"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)
"""Reads an Event back from JSON by its `kind`."""
