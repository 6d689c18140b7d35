"""Anthropic's models over the Messages API: always streamed, the stable part of the prompt cached."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from warpsmith.agents.llm.access import Access
from warpsmith.agents.llm.faults import complaints_of
from warpsmith.agents.llm.model import LARGEST_REPLY, BusyError, Reply, Request, estimate_tokens
from warpsmith.agents.llm.pricing import dollars
from warpsmith.agents.llm.stream import read
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.errors import ModelError


@dataclass(frozen=True, slots=True)
class AnthropicMessages:
    """One model."""

    name: str
    model: str
    access: Access

    def price(self, usage: Usage) -> float | None:
        """List price; a server of one's own has none that anybody knows."""
        return None if self.access.own_server else dollars("anthropic", self.model, usage)

    async def check(self) -> None:
        """Ask for the model's entry; a compatible server need not know that address, and is only knocked at."""
        import anthropic

        try:
            with complaints_of(anthropic, self.name, self.access):
                async with self._client(anthropic) as client:
                    await client.models.retrieve(self.model)
        except ModelError as error:
            if not (self.access.own_server and isinstance(error.__cause__, anthropic.NotFoundError)):
                raise

    async def complete(self, request: Request) -> Reply:
        import anthropic

        start, reading = time.perf_counter(), _Messages(request)
        with complaints_of(anthropic, self.name, self.access, reading.used):
            async with self._client(anthropic) as client:
                stream = await client.messages.create(**self._arguments(request), stream=True)
                await read(stream, reading)
        if not reading.done:
            raise BusyError(f"{self.name} broke off: the stream ended early.", lost=reading.used())
        usage = reading.used()
        text = "".join(reading.parts)[:LARGEST_REPLY]
        return Reply(text, reading.finish(), usage, self.price(usage), time.perf_counter() - start)

    def _client(self, anthropic: Any) -> Any:
        return anthropic.AsyncAnthropic(api_key=self.access.key, base_url=self.access.base_url, max_retries=0)

    def _arguments(self, request: Request) -> dict[str, Any]:
        stable = {"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}
        arguments: dict[str, Any] = {
            "model": self.model,
            "max_tokens": request.max_output,
            "system": [stable],
            "messages": [{"role": turn.by, "content": turn.text} for turn in request.turns],
        }
        if request.schema:
            arguments["output_config"] = {"format": {"type": "json_schema", "schema": dict(request.schema)}}
        return arguments


class _Messages:
    """Adds up the events of one stream. Thinking blocks, redacted or not, are passed over by type."""

    def __init__(self, request: Request) -> None:
        self.asked = estimate_tokens(request.text)
        self.parts: list[str] = []
        self.size = 0
        self.counts: dict[str, int] = {}
        self.stop_reason = ""
        self.stopped = False

    @property
    def done(self) -> bool:
        return self.stopped or self.size > LARGEST_REPLY

    def take(self, event: Any) -> None:
        kind = getattr(event, "type", "")
        if kind == "message_start":
            self._count(event.message.usage)
        elif kind == "content_block_delta" and event.delta.type == "text_delta":
            self.parts.append(event.delta.text)
            self.size += len(event.delta.text)
        elif kind == "message_delta":
            self._count(event.usage)
            self.stop_reason = event.delta.stop_reason or ""
        elif kind == "message_stop":
            self.stopped = True

    def _count(self, usage: Any) -> None:
        """Counts are cumulative; the last word holds."""
        for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens"):
            value = getattr(usage, name, None)
            if value is not None:
                self.counts[name] = value
        details = getattr(usage, "output_tokens_details", None)
        self.counts["thinking"] = getattr(details, "thinking_tokens", None) or self.counts.get("thinking", 0)

    def used(self) -> Usage:
        """Cached tokens stand beside `input_tokens` in this API, and are part of them in our records."""
        if not self.stop_reason:
            wrote = estimate_tokens("".join(self.parts))
            return Usage(input_tokens=self._input() or self.asked, output_tokens=wrote, estimated=True)
        return Usage(
            input_tokens=self._input(),
            cached_tokens=self.counts.get("cache_read_input_tokens", 0),
            cache_written_tokens=self.counts.get("cache_creation_input_tokens", 0),
            output_tokens=self.counts.get("output_tokens", 0),
            thinking_tokens=self.counts["thinking"],
        )

    def _input(self) -> int:
        names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        return sum(self.counts.get(name, 0) for name in names)

    def finish(self) -> Finish:
        if not self.stopped:
            return Finish.TOO_LONG
        if self.stop_reason == "refusal":
            return Finish.REFUSED
        return Finish.CUT if self.stop_reason in ("max_tokens", "model_context_window_exceeded") else Finish.COMPLETE
