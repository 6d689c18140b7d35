"""A run as it goes: a live table on a terminal, one plain line an event in a pipe."""

from __future__ import annotations

from collections.abc import Callable
from statistics import geometric_mean
from time import monotonic
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
    RunSettings,
    RunStarted,
    StopReason,
)
from warpsmith.core.outcome import Verified
from warpsmith.core.spending import STAGES, Spending, said

if TYPE_CHECKING:
    from rich.console import Console

    from warpsmith.core.profile import Critique
    from warpsmith.core.protocols import Evaluation

_SHOWN_ROUNDS = 20
"""Rows of the live table; older rounds scroll away."""


class Progress:
    """Shows a run's events; remembers what a message about an interruption needs."""

    def __init__(self, console: Console, clock: Callable[[], float] = monotonic) -> None:
        self.console = console
        self.run = ""
        self.reason: StopReason | None = None
        self._title = ""
        self._spending = Spending()
        self._settings: RunSettings | None = None
        self._rows: list[_Row] = []
        self._best, self._stage, self._heard_at = "", "starts", clock()
        self._clock = clock
        # Drawn anew every second, so that minutes go on between two events.
        live = Live(console=console, refresh_per_second=1, get_renderable=self._shown)
        self._live = live if console.is_terminal else None

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
        self._stage, self._heard_at = STAGES[event.kind], self._clock()
        if self._live:
            self._live.refresh()
        elif line:
            self.console.print(line, markup=False, emoji=False)

    def _shown(self) -> Group:
        return Group(self._table(), Text(self._state(), style="dim"))

    def _take(self, event: Event) -> str:
        """Update the rows; return the plain line for a pipe."""
        match event:
            case RunStarted():
                self.run = event.run
                self._settings = event.settings
                self._title = f"run {event.run}: {event.task} on {event.target}, {event.device}, {event.settings.coder}"
                return self._title
            case Chosen():
                return ""
            case Called():
                self._spending.called(event)
                return f"  {_call(event)}; so far {self._so_far()}"
            case Abandoned():
                return f"round {event.round}: no candidate: {event.reason}"
            case Proposed():
                self._spending.proposed(event)
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

    def _so_far(self) -> str:
        """What calls cost, as far as their prices are known."""
        dollars = self._spending.dollars
        return f"{self._spending.tokens} tokens, {'price unknown' if dollars is None else f'${dollars:.4f}'}"

    def _evaluated(self, evaluation: Evaluation) -> str:
        mine = [row for row in self._rows if row.candidate == evaluation.candidate]
        row = mine[-1] if mine else _Row(0, "")
        row.outcome, row.detail = evaluation.outcome.kind, _detail(evaluation)
        self._spending.evaluated(evaluation.candidate, sum(stage.seconds for stage in evaluation.stages))
        if evaluation.profile is not None and isinstance(evaluation.outcome, Verified):
            row.time = geometric_mean([item.duration.us for item in evaluation.profile.workloads])
            timed = [it for it in self._rows if it.time]
            best = min(timed, key=lambda it: it.time, default=row)
            self._best = f"{best.detail}, round {best.round}"
        return f"  {row.outcome}: {row.detail}"

    def _table(self) -> Table:
        table = Table(title=escape(self._title), title_justify="left", box=None, pad_edge=False)
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
        """Best so far, what is being done, and what is spent of each limit."""
        best = f"best so far: {self._best or 'nothing verified'}"
        if self._settings is None:
            return best
        working = 0.0 if self.reason else self._clock() - self._heard_at
        uses = [said(use) for use in self._spending.uses(self._settings, working)]
        return "\n".join([f"{best}; now: {self._stage}", "; ".join(uses)])


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
