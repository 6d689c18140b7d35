"""Work that goes on side by side: proposals being thought of, candidates being evaluated and judged.

What is due follows from the recorded events alone, and every event may make more due; which piece of work ends first is
the only thing that chance decides, and the journal remembers it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeVar

from warpsmith.agents.journal import Journal
from warpsmith.agents.protocols import Stop
from warpsmith.agents.state import RunState
from warpsmith.core.events import Chosen, Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work:
    """One piece of work: `do` gives the event that ends it."""

    name: str
    do: Callable[[], Awaitable[Event]]


@dataclass(slots=True)
class Lanes:
    """Starts what is due, as soon as it is due, and records what comes of it."""

    journal: Journal
    choose: Callable[[RunState], Chosen | Stop | None]
    """The next round to open, the end of the search, or nothing at present."""
    due: Callable[[RunState], tuple[Work, ...]]
    stop: Stop | None = None
    """Why nothing more was chosen."""
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def drain(self) -> Stop:
        """Work until nothing is due and nothing is chosen; why that is."""
        self.pump()
        while self.tasks:
            done, _ = await asyncio.wait(self.tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            self.tasks = {name: task for name, task in self.tasks.items() if task not in done}
            for task in done:
                task.result()
        assert self.stop is not None
        return self.stop

    async def record(self, event: Event) -> None:
        """Write an event and start what it made due."""
        await self.journal.record(event, busy=lambda: len(self.tasks))
        self.pump()

    def pump(self) -> None:
        self.stop = None
        while isinstance(choice := self.choose(self.journal.state), Chosen):
            self.journal.append(choice)
        if isinstance(choice, Stop):
            self.stop = choice
        for work in self.due(self.journal.state):
            if work.name not in self.tasks:
                self.tasks[work.name] = asyncio.create_task(self._carry_out(work), name=work.name)

    async def _carry_out(self, work: Work) -> None:
        await self.record(await work.do())


async def in_thread(work: Callable[[], T]) -> T:
    """Run blocking work in a thread of its own, which an interrupted run does not wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: BaseException | None) -> None:
        if not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # T may well be None

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001 - it is raised again where the work is awaited
            error = raised
        with suppress(RuntimeError):  # the run was interrupted and its event loop is gone
            loop.call_soon_threadsafe(deliver, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await future
