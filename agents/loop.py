"""The loop: select, propose, evaluate, judge, record.

Each step records one event and the state is a fold over them, so any instant is a safe one to die. What is to be done
next follows from the state; only the doing is asynchronous.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial

from warpsmith.agents.budget import overspent
from warpsmith.agents.desk import Desk
from warpsmith.agents.journal import Journal
from warpsmith.agents.lanes import Lanes, Work, in_thread
from warpsmith.agents.prediction import score
from warpsmith.agents.protocols import (
    Acceptor,
    Coder,
    EventLog,
    Improve,
    Judge,
    Observer,
    Proposal,
    RoundEndedError,
    Start,
    Stop,
    Strategy,
)
from warpsmith.agents.state import Attempt, RunState, fastest
from warpsmith.core.acceptance import better
from warpsmith.core.digest import digest_json
from warpsmith.core.errors import KernelFileError, ModelError
from warpsmith.core.events import (
    Abandoned,
    Accepted,
    Chosen,
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

FRUITLESS = 3
"""Rounds in a row without a candidate after which the Coder is given up."""


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
    order: tuple[Event, ...] = ()
    """Events of a recorded run that this one replays, in whose order its own must come."""

    def start(self, started: RunStarted) -> RunState:
        """Begin a run and carry it to its end."""
        self.log.append(started.run, started, at=0)
        self.observe(started, Journal(self.log, started.run, self.observe).state)
        return self.resume(started.run)

    def resume(self, run: str) -> RunState:
        """Go on until the run ends; Ctrl-C leaves it resumable and answers with what there is.

        Raises:
            SettingsError: there is no such run.
            MachineError: our side or a model failed; the run can be resumed.
        """
        journal = Journal(self.log, run, self.observe, self.order)
        try:
            asyncio.run(self.carry(journal))
        except KeyboardInterrupt:
            interrupt(journal)
        except ModelError as error:
            interrupt(journal, str(error))
            raise
        return journal.state

    async def carry(self, journal: Journal) -> None:
        """Search until nothing is left to do, then confirm, accept and finish."""
        desk = Desk(journal, lambda event: lanes.record(event), replaying=bool(self.order))
        async with Lanes(journal, self.choose, partial(self.due, desk)) as lanes:
            while journal.state.finished is None:
                stop = await lanes.drain()
                await lanes.record(await self.close(journal.state, stop.reason))

    def choose(self, state: RunState) -> Chosen | Stop | None:
        """Open a round, end the search, or leave things as they are."""
        if state.finished:
            return None
        if stop := self.ended(state):
            return stop
        open_rounds = len(state.chosen) + len(state.open_attempts)
        if len(state.chosen) >= self.coder.at_once or open_rounds >= state.run.settings.width:
            return None
        move = self.strategy.select(state)
        if isinstance(move, Stop):
            return move
        return Chosen(round=state.rounds + 1, parent=move.parent.identity if isinstance(move, Improve) else "")

    def ended(self, state: RunState) -> Stop | None:
        """Why the search ends, apart from the strategy's own reasons; a replay ends where its recording does."""
        if self.order:
            return recorded_end(self.order, state.rounds)
        if state.halt and state.halt.stop:
            return Stop(state.halt.stop)
        if fruitless(state):
            return Stop(StopReason.NO_CANDIDATE)
        return Stop(StopReason.BUDGET) if overspent(state) else None

    def due(self, desk: Desk, state: RunState) -> tuple[Work, ...]:
        """What the state asks for."""
        if state.finished:
            return ()
        work = [Work(f"propose {it.round}", partial(self.propose, desk, it)) for it in state.chosen]
        for attempt in state.open_attempts:
            step = self.criticise if attempt.evaluation else self.evaluate
            work.append(Work(f"{step.__name__} {attempt.identity}", partial(step, desk, attempt)))
        return tuple(work)

    async def propose(self, desk: Desk, chosen: Chosen) -> Event:
        state, number = desk.journal.states[f"round {chosen.round}"], chosen.round
        parent = state.find(chosen.parent)
        try:
            move = Improve(parent) if parent else Start()
            proposal = await self.coder.write(state, move, number, desk.line(number, "coder"))
        except RoundEndedError as error:
            return Abandoned(round=number, reason=str(error), stop=error.stop)
        if proposal is None:
            return Abandoned(round=number, reason="nothing new to propose", stop=StopReason.EXHAUSTED)
        earlier = desk.journal.state.find(proposal.candidate.identity)
        if earlier:
            return Abandoned(round=number, reason=f"it repeats round {earlier.proposed.round}")
        return opened(desk.journal, number, proposal)

    async def evaluate(self, desk: Desk, attempt: Attempt) -> Event:
        return Evaluated(evaluation=await self.examine(desk.journal.state, attempt, "evaluate"))

    async def criticise(self, desk: Desk, attempt: Attempt) -> Event:
        state, number = desk.journal.states[attempt.identity], attempt.proposed.round
        critique = await self.judge.judge(state, attempt, desk.line(number, "judge"))
        return Judged(critique=critique, score=score(state, attempt))

    async def examine(self, state: RunState, attempt: Attempt, purpose: str) -> Evaluation:
        """The gate's word on a candidate, with inputs minted for this purpose."""
        seed = evaluation_seed(state.run.settings.seed, attempt.identity, purpose)
        try:
            return await in_thread(lambda: self.evaluator.evaluate(attempt.candidate, seed=seed))
        except KernelFileError as error:  # a model's slip is an answer to it, not the end of the run
            outcome = Rejected(stage=Stage.PLAN, message=str(error), line=error.line or None)
            return Evaluation(candidate=attempt.identity, outcome=outcome, stages=())

    async def close(self, state: RunState, reason: StopReason) -> Event:
        """Confirm the best on fresh inputs, accept it, finish: one event at a time."""
        best, why = state.best, state.halt.reason if state.halt else overspent(state)
        if best is None:
            return RunFinished(reason=StopReason.NOTHING_VERIFIED, detail=why)
        winner = fastest(attempt for attempt in state.attempts if not shortcoming(state, attempt))
        if state.accepted or winner is None:
            return RunFinished(reason=reason, best=best.identity, detail=why or shortcoming(state, best))
        if winner.confirmation is None:
            return Confirmed(evaluation=await self.examine(state, winner, "confirm"))
        answer = self.accept(winner)
        if not answer.accepted:
            return RunFinished(reason=reason, best=best.identity, detail=answer.reason)
        return Accepted(candidate=winner.identity, kernel=answer.kernel, path=answer.path)


def interrupt(journal: Journal, why: str = "") -> None:
    """Leave a run that can be resumed."""
    state = journal.state
    if state.finished is None:
        best = state.best.identity if state.best else ""
        journal.append(RunFinished(reason=StopReason.INTERRUPTED, best=best, detail=why))


def opened(journal: Journal, number: int, proposal: Proposal) -> Proposed:
    """The event of a proposal; its text is kept first."""
    candidate = proposal.candidate
    return Proposed(
        round=number,
        candidate=candidate.identity,
        language=candidate.language,
        text_digest=journal.keep(candidate.text),
        knobs=candidate.knobs,
        parent=proposal.parent,
        idea=proposal.idea,
        by=proposal.by,
    )


def fruitless(state: RunState) -> bool:
    """Whether the last rounds that ended all came to no candidate."""
    without = {it.round for it in state.abandoned}
    ended = sorted(without | {it.proposed.round for it in state.attempts[-FRUITLESS:]})[-FRUITLESS:]
    return len(ended) == FRUITLESS and without.issuperset(ended)


def recorded_end(order: tuple[Event, ...], rounds: int) -> Stop | None:
    """The end of a recorded search, once as many rounds are opened as it opened."""
    if rounds < sum(isinstance(event, Chosen) for event in order):
        return None
    return next(Stop(event.reason) for event in reversed(order) if isinstance(event, RunFinished))


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
