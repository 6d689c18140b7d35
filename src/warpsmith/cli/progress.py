"""A run as it goes: a live table on a terminal, one plain line an event in a pipe."""

from __future__ import annotations

from statistics import geometric_mean
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from warpsmith.core.events import (
    Abandoned,
    Accepted,
    Called,
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
from warpsmith.core.outcome import Verified

if TYPE_CHECKING:
    from rich.console import Console

    from warpsmith.core.profile import Critique
    from warpsmith.core.protocols import Evaluation

_SHOWN_ROUNDS = 20
"""Rows of the live table; older rounds scroll away."""


class Progress:
    """Shows a run's events; remembers what a message about an interruption needs."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.run = ""
        self.reason: StopReason | None = None
        self._title = ""
        self._tokens, self._spent = 0, ""
        self._dollars: float | None = 0.0
        self._rows: list[_Row] = []
        self._limits: dict[str, float] = {}
        self._evaluations, self._best, self._stage = 0, "", "starts"
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def observe(self, event: Event) -> None:
        """Take in one event and show it."""
        line = self._take(event)
        self._stage = _STAGES.get(event.kind, self._stage)
        if self._live:
            self._live.update(Group(self._table(), Text(self._state(), style="dim")), refresh=True)
        elif line:
            self.console.print(line, markup=False, emoji=False)

    def _take(self, event: Event) -> str:
        """Update the rows; return the plain line for a pipe."""
        match event:
            case RunStarted():
                self.run = event.run
                self._limits = event.settings.budget.model_dump(exclude_none=True) | {"rounds": event.settings.rounds}
                self._title = f"run {event.run}: {event.task} on {event.target}, {event.device}, {event.settings.coder}"
                return self._title
            case Chosen():
                return ""
            case Called():
                self._spend(event)
                return f"  {_call(event)}; {self._spent}"
            case Abandoned():
                return f"round {event.round}: no candidate: {event.reason}"
            case Proposed():
                self._rows.append(_Row(event.round, event.idea, event.candidate))
                return f"round {event.round}: {event.idea}"
            case Evaluated():
                return self._evaluated(event.evaluation)
            case Judged():
                critique = event.critique
                proof = _proof(critique)
                return f"  {critique.judge}: {critique.bottleneck}{f' ({proof})' if proof else ''}; {critique.action}"
            case Confirmed():
                return f"  confirmed on a fresh seed: {event.evaluation.outcome.kind}"
            case Accepted():
                return f"  accepted {event.kernel[:12]} into {event.path}"
            case RunFinished():
                self.reason = event.reason
                return f"run {self.run} ended: {event.reason.value}. {event.detail}".rstrip()

    def _spend(self, call: Called) -> None:
        """Keep the sum of what calls cost, as far as their prices are known."""
        self._tokens += call.usage.total
        self._dollars = None if call.dollars is None or self._dollars is None else self._dollars + call.dollars
        cost = "price unknown" if self._dollars is None else f"${self._dollars:.4f}"
        self._spent = f"so far {self._tokens} tokens, {cost}"

    def _evaluated(self, evaluation: Evaluation) -> str:
        mine = [row for row in self._rows if row.candidate == evaluation.candidate]
        row = mine[-1] if mine else _Row(0, "")
        row.outcome, row.detail = evaluation.outcome.kind, _detail(evaluation)
        self._evaluations += 1
        if evaluation.profile is not None and isinstance(evaluation.outcome, Verified):
            row.time = geometric_mean([item.duration.us for item in evaluation.profile.workloads])
            timed = [it for it in self._rows if it.time]
            best = min(timed, key=lambda it: it.time, default=row)
            self._best = f"{best.detail}, round {best.round}"
        return f"  {row.outcome}: {row.detail}"

    def _table(self) -> Table:
        title = f"{self._title}; {self._spent}" if self._spent else self._title
        table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False)
        table.add_column("round", justify="right")
        table.add_column("change", overflow="ellipsis", no_wrap=True)
        table.add_column("outcome")
        table.add_column("time, or what is wrong", overflow="ellipsis", no_wrap=True)
        for row in self._rows[-_SHOWN_ROUNDS:]:
            colour = {"Verified": "green", "": "dim"}.get(row.outcome, "red")
            outcome = f"[{colour}]{row.outcome or 'running'}[/]"
            table.add_row(str(row.round), escape(row.change), outcome, escape(row.detail))
        return table

    def _state(self) -> str:
        """Best so far, what is spent of each limit, and what is being done."""
        rounds = max((row.round for row in self._rows), default=0)
        spent = {"rounds": rounds, "evaluations": self._evaluations, "tokens": self._tokens, "dollars": self._dollars}
        of = [
            f"{name}: {'unknown' if spent[name] is None else f'{spent[name]:g}'} of {limit:g}"
            for name, limit in self._limits.items()
            if name in spent
        ]
        return "; ".join([f"best so far: {self._best or 'nothing verified'}", *of, f"now: {self._stage}"])


_STAGES = {
    "Chosen": "the Coder writes",
    "Proposed": "the gate evaluates",
    "Evaluated": "the Judge reads",
    "Judged": "the next round is chosen",
    "Confirmed": "the best is accepted or not",
    "RunFinished": "ended",
}
"""Event -> what follows it."""


class _Row:
    """One round of the live table."""

    def __init__(self, round_: int, change: str, candidate: str = "") -> None:
        self.round, self.change, self.candidate = round_, change, candidate
        self.outcome, self.detail, self.time = "", "", 0.0


def _call(call: Called) -> str:
    """One line on a model's answer and what it cost."""
    cost = "price unknown" if call.dollars is None else f"${call.dollars:.4f}"
    tokens = (
        f"{call.usage.input_tokens} + {call.usage.output_tokens} tokens{' (estimated)' if call.usage.estimated else ''}"
    )
    return f"{call.model} {call.label}: {call.error or call.finish.value}, {tokens}, {cost}, {call.seconds:.1f} s"


def _proof(critique: Critique) -> str:
    """The metrics behind a bottleneck, without the time and fraction that the round's own line shows."""
    shown = [item for item in critique.evidence if item.name not in ("time", "fraction of bound")]
    return ", ".join(f"{item.name} {item.value:.4g}{'' if item.unit == '1' else f' {item.unit}'}" for item in shown)


def _detail(evaluation: Evaluation) -> str:
    """A verified candidate's time, or why it failed."""
    if not isinstance(evaluation.outcome, Verified):
        line = f"line {evaluation.outcome.line}: " if evaluation.outcome.line else ""
        return f"{line}{evaluation.outcome.message}"
    if evaluation.profile is None:
        return f"{len(evaluation.outcome.checks)} workloads"
    workloads = evaluation.profile.workloads
    time = geometric_mean([item.duration.us for item in workloads])
    fraction = geometric_mean([item.fraction for item in workloads])
    return f"{time:.2f} us ({evaluation.profile.source.value}), {fraction:.1%} of the bound"
