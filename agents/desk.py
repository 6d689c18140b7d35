"""Where models are asked: a call made before is not made again, a call too dear is not made, every call is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from warpsmith.agents.budget import Spent, at_most, overspent
from warpsmith.agents.journal import Journal
from warpsmith.agents.llm.model import Model, Reply, Request, as_markdown, estimate_tokens
from warpsmith.agents.llm.retry import ExhaustedError
from warpsmith.agents.protocols import RoundEndedError
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.errors import ModelError
from warpsmith.core.events import Called, Event, StopReason

Role = Literal["coder", "judge"]


@dataclass(slots=True)
class Desk:
    """One run's models, asked."""

    journal: Journal
    record: Callable[[Event], Awaitable[None]]
    replaying: bool = False
    promised: dict[str, Spent] = field(default_factory=dict)
    """What calls under way may use at most."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """One of them has ended."""

    def line(self, number: int, role: Role) -> Line:
        """For the calls of one round and role."""
        return Line(self, number, role)

    async def ask(self, number: int, role: Role, model: Model, request: Request) -> Reply:
        known = self.journal.call(request.label)
        if known is not None:
            return self._again(known)
        await self._afford(model, request)
        try:
            reply = await model.complete(request)
        except ModelError as error:
            await self._record_failure(number, role, model, request, error)
            raise
        finally:
            self.promised.pop(request.label, None)
            self.settled.set()
        await self.record(
            Called(
                label=request.label,
                round=number,
                role=role,
                model=model.name,
                prompt=self.journal.keep(as_markdown(request)),
                reply=self.journal.keep(reply.text),
                finish=reply.finish,
                usage=reply.usage,
                dollars=reply.dollars,
                seconds=round(reply.seconds, 3),
                waited=round(reply.waited, 3),
                attempts=reply.attempts,
            )
        )
        return reply

    def _again(self, call: Called) -> Reply:
        text = self.journal.text(call.reply)
        return Reply(text, call.finish, call.usage, call.dollars, call.seconds, call.waited, call.attempts)

    async def _afford(self, model: Model, request: Request) -> None:
        """Refuse a call when nothing is left; let it wait while calls under way may use up what is left.

        So the budget is passed by one call at the most, however many are asked side by side.
        """
        if self.replaying:
            return
        while True:
            if reason := overspent(self.journal.state):
                raise RoundEndedError(reason, StopReason.BUDGET)
            if not self.promised or not overspent(self.journal.state, sum(self.promised.values(), Spent())):
                break
            self.settled.clear()
            await self.settled.wait()
        most = Usage(input_tokens=estimate_tokens(request.text), output_tokens=request.max_output)
        self.promised[request.label] = at_most(most, model.price(most))

    async def _record_failure(self, number: int, role: Role, model: Model, request: Request, error: ModelError) -> None:
        """A call that came to nothing is billed for what its attempts used."""
        lost, attempts = (error.lost, error.attempts) if isinstance(error, ExhaustedError) else (Usage(), 1)
        self.journal.append(
            Called(
                label=request.label,
                round=number,
                role=role,
                model=model.name,
                prompt=self.journal.keep(as_markdown(request)),
                finish=Finish.FAILED,
                usage=lost,
                dollars=model.price(lost) if lost.total else 0.0,
                seconds=0.0,
                attempts=attempts,
                error=str(error),
            )
        )


@dataclass(frozen=True, slots=True)
class Line:
    """Asks on behalf of one round and role."""

    desk: Desk
    round: int
    role: Role

    async def __call__(self, model: Model, request: Request) -> Reply:
        """Ask, or give the answer that was given before.

        Raises:
            RoundEndedError: the budget is spent.
            ModelError: no answer will come.
        """
        return await self.desk.ask(self.round, self.role, model, request)
