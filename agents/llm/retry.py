"""Asks again where asking again may help, and counts what the failed attempts cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt
from tenacity.wait import wait_random_exponential

from warpsmith.agents.llm.model import BusyError, Model, Reply, Request, estimate_tokens
from warpsmith.core.calls import Usage
from warpsmith.core.errors import ModelError

ATTEMPTS = 6
LONGEST_WAIT = 300.0
"""Seconds; a server that asks for more is not waited for."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patient:
    """A model that is asked up to ATTEMPTS times; waits as long as the server says, else exponentially longer."""

    model: Model
    sleep: Sleep = asyncio.sleep

    @property
    def name(self) -> str:
        return self.model.name

    def price(self, usage: Usage) -> float | None:
        return self.model.price(usage)

    async def check(self) -> None:
        await self.model.check()

    async def complete(self, request: Request) -> Reply:
        """Ask until an answer comes.

        Raises:
            ExhaustedError: none came.
            ModelError: none will come.
        """
        lost, waited = Usage(), 0.0

        async def wait(seconds: float) -> None:
            nonlocal waited
            waited += seconds
            await self.sleep(seconds)

        retrying = AsyncRetrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=_pause,
            retry=retry_if_exception_type(BusyError),
            sleep=wait,
            reraise=True,
        )
        try:
            async for attempt in retrying:
                with attempt:
                    try:
                        reply = await self._once(request)
                    except BusyError as error:
                        lost += error.lost
                        if error.retry_after is not None and error.retry_after > LONGEST_WAIT:
                            raise _give_up(error, attempt.retry_state.attempt_number, lost) from error
                        raise
                    return self._billed(reply, lost, waited, attempt.retry_state.attempt_number)
        except BusyError as error:
            raise _give_up(error, ATTEMPTS, lost) from error
        raise AssertionError("tenacity returns or raises")

    async def _once(self, request: Request) -> Reply:
        try:
            async with asyncio.timeout(request.time_limit):
                return await self.model.complete(request)
        except TimeoutError as error:
            lost = Usage(input_tokens=estimate_tokens(request.text), estimated=True)
            raise BusyError(f"{self.name} gave no answer within {request.time_limit:.0f} s.", lost=lost) from error

    def _billed(self, reply: Reply, lost: Usage, waited: float, attempts: int) -> Reply:
        if not lost.total:
            return replace(reply, waited=reply.waited + waited, attempts=attempts)
        extra = self.price(lost)
        dollars = None if reply.dollars is None or extra is None else reply.dollars + extra
        return replace(
            reply, usage=reply.usage + lost, dollars=dollars, waited=reply.waited + waited, attempts=attempts
        )


class ExhaustedError(ModelError):
    """Every attempt failed."""

    def __init__(self, message: str, *, remedy: str, lost: Usage, attempts: int) -> None:
        super().__init__(message, remedy=remedy)
        self.lost, self.attempts = lost, attempts


def _give_up(error: BusyError, attempts: int, lost: Usage) -> ExhaustedError:
    times = "once" if attempts == 1 else f"{attempts} times"
    return ExhaustedError(
        f"{error.message} Asked {times}.", remedy=error.remedy or "Try again later.", lost=lost, attempts=attempts
    )


_BACKOFF = wait_random_exponential(multiplier=1, max=60)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, BusyError) and error.retry_after is not None:
        return error.retry_after
    return _BACKOFF(state)
