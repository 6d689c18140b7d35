"""Adds up a run's calls and evaluations: set-up, search and verification apart."""

from __future__ import annotations

from collections.abc import Iterable

from warpsmith.agents.budget import seconds_of
from warpsmith.agents.state import RunState
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.events import Called
from warpsmith.core.ledger import Ledger, LedgerLine
from warpsmith.core.protocols import Evaluation


def ledger(state: RunState) -> Ledger:
    """What the run began with is evaluated to set it up, confirmations verify, all else is search."""
    callers = dict.fromkeys((call.role, call.model) for call in state.calls)
    evaluations = [attempt.evaluation for attempt in state.attempts]
    given = 1 if state.given else 0
    confirmations = [attempt.confirmation for attempt in state.attempts]
    lines = [
        _gate("set-up", evaluations[:given]),
        *(_calls(role, model, state.calls) for role, model in callers),
        _gate("search", evaluations[given:]),
        _gate("verification", confirmations),
    ]
    return Ledger(lines=tuple(line for line in lines if line.times))


def _calls(role: str, model: str, calls: Iterable[Called]) -> LedgerLine:
    mine = [call for call in calls if (call.role, call.model) == (role, model)]
    return LedgerLine(
        phase="search",
        what=f"{role} {model}",
        times=len(mine),
        failed=sum(call.finish is Finish.FAILED for call in mine),
        usage=sum((call.usage for call in mine), Usage()),
        dollars=sum(call.dollars or 0.0 for call in mine),
        unpriced=sum(call.dollars is None for call in mine),
        seconds=sum(call.seconds for call in mine),
        waited=sum(call.waited for call in mine),
    )


def _gate(phase: str, evaluations: Iterable[Evaluation | None]) -> LedgerLine:
    seconds = list(seconds_of(evaluations))
    return LedgerLine(phase=phase, what="gate", times=len(seconds), seconds=sum(seconds))
