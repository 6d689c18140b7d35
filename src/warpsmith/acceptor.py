"""The last stage of the gate: a confirmed candidate takes the incumbent's place, or is told why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from warpsmith.agents.ledger import ledger
from warpsmith.agents.protocols import Acceptance
from warpsmith.agents.state import Attempt, RunState, fold
from warpsmith.core.acceptance import Verdict, better
from warpsmith.core.candidate import Candidate
from warpsmith.core.events import RunStarted
from warpsmith.core.profile import Profile
from warpsmith.core.quantity import Source
from warpsmith.core.task import Task
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.library import read_entry
from warpsmith.kernels_generated.manifest import Ancestor, Cost, Lineage
from warpsmith.profiler.duel import Duel, decide
from warpsmith.store import Incumbent, Store


@dataclass(frozen=True, slots=True)
class LibraryAcceptor:
    """Writes kernels of one run into its library; safe to repeat after a crash."""

    started: RunStarted
    task: Task
    store: Store
    duel: Duel | None = None
    """Times two candidates in alternation; needed where profiles are measured."""
    baselines: Callable[[Profile], Mapping[str, float]] | None = None
    """Library a user would pick -> its time over a measured kernel's; asked once a kernel is accepted."""

    def __call__(self, attempt: Attempt) -> Acceptance:
        """Write the kernel and swap the incumbent; where another run was faster meanwhile, compare with its kernel."""
        evaluation = attempt.verdict
        if evaluation is None or evaluation.profile is None:
            return Acceptance(kernel="", reason="it did not pass the gate again on fresh inputs")
        while True:
            present = self._incumbent(evaluation.profile)
            standing = present if present and self._stands(present) and present.candidate != attempt.identity else None
            refusal = self._refusal(attempt, evaluation.profile, standing)
            if refusal:
                return Acceptance(kernel="", reason=refusal)
            accepted = self._write(attempt, evaluation.profile, present)
            if accepted is not None:
                return accepted

    def _refusal(self, attempt: Attempt, profile: Profile, present: Incumbent | None) -> str:
        """Why the kernel to beat still stands; empty where it falls, or there is none.

        Modelled profiles are compared as they are. Measured ones were taken on different days: the two kernels are
        timed again, in alternation.
        """
        if profile.source is Source.MODELLED:
            verdict = better(profile, present.profile) if present else None
        else:
            rival = self._rival(attempt, present)
            verdict = self._fight(rival, attempt.candidate) if rival else None
        if verdict is None or verdict.accepted:
            return ""
        name = f"kernel {present.kernel[:12]} of the library" if present else "the first kernel"
        return f"not better than {name}: {verdict.reason}"

    def _rival(self, attempt: Attempt, present: Incumbent | None) -> Candidate | None:
        if present:
            return read_entry(Path(present.path)).candidate
        baseline = fold(self.store.events(self.started.run), self.store.get_text).baseline
        return baseline.candidate if baseline and baseline.identity != attempt.identity else None

    def _fight(self, rival: Candidate, challenger: Candidate) -> Verdict:
        if self.duel is None:
            raise ValueError("measured profiles are compared by paired timing: join a Duel")
        return decide(self.duel, rival, challenger)

    def _incumbent(self, profile: Profile) -> Incumbent | None:
        return self.store.incumbent(self.task.name, self.task.source_digest, profile.target, profile.source)

    def _stands(self, incumbent: Incumbent) -> bool:
        """Whether the incumbent is in this run's library; one of another library is not in the way."""
        path = Path(incumbent.path)
        return path.is_relative_to(self.started.settings.library) and path.is_dir()

    def _write(self, attempt: Attempt, profile: Profile, present: Incumbent | None) -> Acceptance | None:
        """None where another process put its kernel in place first."""
        state = fold(self.store.events(self.started.run), self.store.get_text)
        baseline = state.baseline.profile if state.baseline else None
        evaluation = attempt.verdict
        if evaluation is None:
            raise ValueError("only an evaluated attempt can be accepted")
        folder = write_kernel(
            Path(self.started.settings.library),
            attempt.candidate,
            evaluation,
            task=self.task,
            lineage=self._lineage(state, attempt),
            speedup_over_seed=profile.speedup_over(baseline) if baseline else None,
            baselines=self._ratios(profile),
        )
        kernel = read_entry(folder).digest
        challenger = Incumbent(
            task=self.task.name,
            task_digest=self.task.source_digest,
            candidate=attempt.identity,
            kernel=kernel,
            path=str(folder),
            profile=profile,
        )
        if not self.store.swap_incumbent(challenger, expected=present.kernel if present else None):
            return None
        return Acceptance(kernel=kernel, path=str(folder))

    def _ratios(self, profile: Profile) -> Mapping[str, float]:
        if self.baselines is None or profile.source is not Source.MEASURED:
            return {}
        return self.baselines(profile)

    def _lineage(self, state: RunState, attempt: Attempt) -> Lineage:
        settings = self.started.settings
        line: list[Ancestor] = []
        step: Attempt | None = attempt
        while step is not None:
            line.insert(0, Ancestor(candidate=step.identity, change=step.proposed.idea, by=step.proposed.by))
            step = state.find(step.proposed.parent) if step.proposed.parent else None
        return Lineage(
            run=self.started.run,
            coder=shown_name(settings.coder),
            judge=shown_name(settings.judge),
            strategy=settings.strategy,
            rounds=len(state.attempts),
            ancestors=tuple(line),
            cost=_cost(state),
        )


def _cost(state: RunState) -> Cost:
    spent = ledger(state)
    return Cost(
        calls=len(state.calls),
        tokens=spent.tokens,
        dollars=None if spent.unpriced else spent.dollars,
        evaluations=sum(line.times for line in spent.lines if line.what == "gate"),
        seconds=sum(line.seconds for line in spent.lines),
    )


def shown_name(choice: str) -> str:
    """A coder or judge as a kernel names it: without the folder it was reached by, which is nobody else's business."""
    kind, _, rest = choice.partition(":")
    if kind not in ("handoff", "scripted"):
        return choice
    folder, _, who = rest.partition("@")
    return f"{kind}:{who or Path(folder).name}"
