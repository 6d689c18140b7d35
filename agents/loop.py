"""The loop: select, propose, evaluate, judge, record.

Each step records one event and the state is a fold over them, so any instant is a safe one to die.
"""

from __future__ import annotations

from dataclasses import dataclass

from warpsmith.agents.protocols import Acceptor, Coder, EventLog, Judge, Observer, Proposal, Stop, Strategy
from warpsmith.agents.state import Attempt, RunState, fastest, fold
from warpsmith.core.acceptance import better
from warpsmith.core.digest import digest_json
from warpsmith.core.errors import KernelFileError, SettingsError
from warpsmith.core.events import (
    Accepted,
    Confirmed,
    Evaluated,
    Event,
    Judged,
    Proposed,
    RunFinished,
    RunStarted,
    StopReason,
)
from warpsmith.core.outcome import Rejected, Stage
from warpsmith.core.protocols import Evaluation, Evaluator


def hear_nothing(event: Event, state: RunState) -> None:
    """An Observer that ignores what it hears."""


@dataclass(frozen=True, slots=True)
class Loop:
    """Carries one run to its end, from wherever its events left off."""

    log: EventLog
    coder: Coder
    judge: Judge
    strategy: Strategy
    evaluator: Evaluator
    accept: Acceptor
    observe: Observer = hear_nothing

    def start(self, started: RunStarted) -> RunState:
        """Begin a run and carry it to its end."""
        self.log.append(started.run, started, at=0)
        self.observe(started, self.restore(started.run))
        return self.resume(started.run)

    def resume(self, run: str) -> RunState:
        """Go on until the run ends; Ctrl-C leaves it resumable and answers with what there is.

        Raises:
            SettingsError: there is no such run.
            MachineError: our side failed; the run can be resumed.
        """
        try:
            state = self.restore(run)
            while state.finished is None:
                state = self.step(state)
        except KeyboardInterrupt:
            state = self.restore(run)
            if state.finished is None:
                best = state.best.identity if state.best else ""
                state = self.record(state, RunFinished(reason=StopReason.INTERRUPTED, best=best))
        return state

    def restore(self, run: str) -> RunState:
        """Fold the run's events."""
        events = self.log.events(run)
        if not events:
            raise SettingsError(f"there is no run {run}.", remedy="`warpsmith resume --list` names those there are.")
        return fold(events, self.log.get_text)

    def record(self, state: RunState, event: Event) -> RunState:
        """Append an event, then tell it."""
        self.log.append(state.run.run, event, at=state.count)
        state = state.advance(event, self.log.get_text)
        self.observe(event, state)
        return state

    def step(self, state: RunState) -> RunState:
        """One event further."""
        last = state.last
        if last and not last.evaluation:
            return self.record(state, Evaluated(evaluation=self.evaluate(state, last, "evaluate")))
        if last and last.evaluation and not last.critique:
            return self.record(
                state, Judged(critique=self.judge.critique(last.candidate, last.evaluation, state.attempts))
            )
        move = self.strategy.select(state)
        if isinstance(move, Stop):
            return self.close(state, move.reason)
        proposal = self.coder.propose(state, move)
        if proposal is None:
            return self.close(state, StopReason.EXHAUSTED)
        return self.record(state, self.propose(state, proposal))

    def propose(self, state: RunState, proposal: Proposal) -> Proposed:
        candidate = proposal.candidate
        return Proposed(
            round=len(state.attempts) + 1,
            candidate=candidate.identity,
            language=candidate.language,
            text_digest=self.log.put_text(candidate.text),
            knobs=candidate.knobs,
            parent=proposal.parent,
            idea=proposal.idea,
            by=proposal.by,
        )

    def evaluate(self, state: RunState, attempt: Attempt, purpose: str) -> Evaluation:
        seed = evaluation_seed(state.run.settings.seed, attempt.identity, purpose)
        try:
            return self.evaluator.evaluate(attempt.candidate, seed=seed)
        except KernelFileError as error:  # a model's slip is an answer to it, not the end of the run
            outcome = Rejected(stage=Stage.PLAN, message=str(error), line=error.line or None)
            return Evaluation(candidate=attempt.identity, outcome=outcome, stages=())

    def close(self, state: RunState, reason: StopReason) -> RunState:
        """Confirm the best on fresh inputs, accept it, finish: again one event a step."""
        best = state.best
        if best is None:
            return self.record(state, RunFinished(reason=StopReason.NOTHING_VERIFIED))
        winner = fastest(attempt for attempt in state.attempts if not shortcoming(state, attempt))
        if state.accepted or winner is None:
            detail = "" if state.accepted else shortcoming(state, best)
            return self.record(state, RunFinished(reason=reason, best=best.identity, detail=detail))
        if winner.confirmation is None:
            return self.record(state, Confirmed(evaluation=self.evaluate(state, winner, "confirm")))
        answer = self.accept(winner)
        if not answer.accepted:
            return self.record(state, RunFinished(reason=reason, best=best.identity, detail=answer.reason))
        return self.record(state, Accepted(candidate=winner.identity, kernel=answer.kernel, path=answer.path))


def shortcoming(state: RunState, attempt: Attempt) -> str:
    """Why an attempt is no win over what the run began with; empty where it is one.

    Where the run began with nothing verified, any verified kernel is a win.
    """
    if attempt.profile is None:
        return "it is not verified"
    if state.baseline is None or state.baseline.profile is None:
        return ""
    if attempt.identity == state.baseline.identity:
        return "nothing faster than the first kernel was found"
    verdict = better(attempt.profile, state.baseline.profile)
    return "" if verdict.accepted else f"not better than the first kernel: {verdict.reason}"


def evaluation_seed(run_seed: int, identity: str, purpose: str) -> int:
    """Mint inputs that nobody chose: 32 bits from the run's seed, the frozen candidate and the purpose."""
    return int(digest_json([run_seed, identity, purpose])[:8], 16)
