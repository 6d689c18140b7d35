"""OpenAI's models over the Responses API, and everybody's over Chat Completions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from warpsmith.agents.llm.access import Access
from warpsmith.agents.llm.faults import complaints_of
from warpsmith.agents.llm.model import LARGEST_REPLY, BusyError, Reply, Request, estimate_tokens
from warpsmith.agents.llm.pricing import dollars
from warpsmith.agents.llm.stream import read
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.errors import ModelError

ANSWER = "answer"
"""Name under which a schema is sent."""


@dataclass(frozen=True, slots=True)
class _OpenAI:
    """What both APIs share."""

    name: str
    model: str
    access: Access

    def price(self, usage: Usage) -> float | None:
        """List price; a server of one's own has none that anybody knows."""
        return None if self.access.own_server else dollars("openai", self.model, usage)

    async def check(self) -> None:
        """Ask for the model's entry; a compatible server need not know that address, and is only knocked at."""
        import openai

        try:
            with complaints_of(openai, self.name, self.access):
                async with self._client(openai) as client:
                    await client.models.retrieve(self.model)
        except ModelError as error:
            if not (self.access.own_server and isinstance(error.__cause__, openai.NotFoundError)):
                raise

    def _client(self, openai: Any) -> Any:
        return openai.AsyncOpenAI(api_key=self.access.key, base_url=self.access.base_url, max_retries=0)


@dataclass(frozen=True, slots=True)
class OpenAIResponses(_OpenAI):
    """Streams, so that a broken answer is known to be broken and an endless one ends."""

    async def complete(self, request: Request) -> Reply:
        import openai

        start, reading = time.perf_counter(), _Responses(request)
        with complaints_of(openai, self.name, self.access, reading.used):
            async with self._client(openai) as client:
                stream = await client.responses.create(**self._arguments(request), stream=True)
                await read(stream, reading)
        return reading.reply(self.name, self.price, time.perf_counter() - start)

    def _arguments(self, request: Request) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self.model,
            "instructions": request.system,
            "input": [{"role": turn.by, "content": turn.text} for turn in request.turns],
            "max_output_tokens": request.max_output,
            "store": False,
        }
        if request.schema:
            form = {"type": "json_schema", "name": ANSWER, "schema": dict(request.schema), "strict": True}
            arguments["text"] = {"format": form}
        return arguments


class _Responses:
    """Adds up the events of one stream; what is not text or an end is passed over."""

    def __init__(self, request: Request) -> None:
        self.asked = estimate_tokens(request.text)
        self.parts: list[str] = []
        self.size = 0
        self.refused = False
        self.final: Any = None
        self.failure = ""

    @property
    def done(self) -> bool:
        return self.final is not None or bool(self.failure) or self.size > LARGEST_REPLY

    def take(self, event: Any) -> None:
        kind = getattr(event, "type", "")
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self.refused |= kind == "response.refusal.delta"
            self.parts.append(event.delta)
            self.size += len(event.delta)
        elif kind in ("response.completed", "response.incomplete"):
            self.final = event.response
        elif kind == "response.failed":
            self.failure = str(getattr(event.response.error, "message", "") or "no reason given")

    def used(self) -> Usage:
        reported = getattr(self.final, "usage", None)
        if reported is None:
            sent = estimate_tokens("".join(self.parts))
            return Usage(input_tokens=self.asked, output_tokens=sent, estimated=True)
        read, wrote = reported.input_tokens_details, reported.output_tokens_details
        return Usage(
            input_tokens=reported.input_tokens,
            cached_tokens=getattr(read, "cached_tokens", 0) or 0,
            cache_written_tokens=getattr(read, "cache_write_tokens", 0) or 0,
            output_tokens=reported.output_tokens,
            thinking_tokens=getattr(wrote, "reasoning_tokens", 0) or 0,
        )

    def reply(self, name: str, price: Callable[[Usage], float | None], seconds: float) -> Reply:
        """The answer, or BusyError where the stream ended without an end."""
        usage = self.used()
        if self.failure or not self.done:
            raise BusyError(f"{name} broke off: {self.failure or 'the stream ended early'}.", lost=usage)
        return Reply("".join(self.parts)[:LARGEST_REPLY], self._finish(), usage, price(usage), seconds)

    def _finish(self) -> Finish:
        if self.final is None:
            return Finish.TOO_LONG
        reason = getattr(getattr(self.final, "incomplete_details", None), "reason", None)
        if self.refused or reason == "content_filter":
            return Finish.REFUSED
        return Finish.CUT if reason else Finish.COMPLETE


@dataclass(frozen=True, slots=True)
class OpenAIChat(_OpenAI):
    """For servers that speak OpenAI's older language: vLLM, Ollama, LM Studio, OpenRouter.

    Not streamed, and no limit of output tokens: servers differ in what they take of either.
    """

    async def complete(self, request: Request) -> Reply:
        import openai

        start = time.perf_counter()
        with complaints_of(openai, self.name, self.access):
            async with self._client(openai) as client:
                answer = await client.chat.completions.create(**self._arguments(request))
        choices = getattr(answer, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise BusyError(f"{self.name} sent something that is no answer.")
        message = choices[0].message
        text = message.content or getattr(message, "refusal", None) or ""
        usage = self._used(answer, request, text)
        finish = _chat_finish(choices[0], text)
        return Reply(text[:LARGEST_REPLY], finish, usage, self.price(usage), time.perf_counter() - start)

    def _arguments(self, request: Request) -> dict[str, Any]:
        messages = [{"role": "system", "content": request.system}]
        messages += [{"role": turn.by, "content": turn.text} for turn in request.turns]
        arguments: dict[str, Any] = {"model": self.model, "messages": messages}
        if request.schema:
            form = {"name": ANSWER, "schema": dict(request.schema), "strict": True}
            arguments["response_format"] = {"type": "json_schema", "json_schema": form}
        return arguments

    @staticmethod
    def _used(answer: Any, request: Request, text: str) -> Usage:
        reported = getattr(answer, "usage", None)
        if reported is None:
            asked, sent = estimate_tokens(request.text), estimate_tokens(text)
            return Usage(input_tokens=asked, output_tokens=sent, estimated=True)
        read = getattr(reported, "prompt_tokens_details", None)
        wrote = getattr(reported, "completion_tokens_details", None)
        return Usage(
            input_tokens=reported.prompt_tokens or 0,
            cached_tokens=getattr(read, "cached_tokens", 0) or 0,
            output_tokens=reported.completion_tokens or 0,
            thinking_tokens=getattr(wrote, "reasoning_tokens", 0) or 0,
        )


def _chat_finish(choice: Any, text: str) -> Finish:
    if len(text) > LARGEST_REPLY:
        return Finish.TOO_LONG
    if choice.finish_reason == "content_filter" or getattr(choice.message, "refusal", None):
        return Finish.REFUSED
    return Finish.CUT if choice.finish_reason == "length" else Finish.COMPLETE
