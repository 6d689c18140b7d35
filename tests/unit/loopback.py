"""A server on this machine that speaks both providers' languages, and breaks in every way that real ones do."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-loopback-5f1c9d-secret"
INPUT, OUTPUT = 1000, 200
"""Tokens every whole answer reports."""

Act = Callable[["Handler", str, dict[str, Any]], None]
"""Answers one request, given its dialect (`responses`, `chat`, `messages`) and body."""


def say(text: str, *, finish: str = "complete") -> Act:
    """A whole answer; `finish` may be `cut` or `refused`."""
    return lambda handler, dialect, body: handler.whole(dialect, text, finish)


def drop(text: str) -> Act:
    """Half an answer, then silence."""
    return lambda handler, dialect, body: handler.stream(dialect, text, ended=False)


def linger(text: str, seconds: float) -> Act:
    """A whole answer, and a connection that stays open and silent after it."""
    return lambda handler, dialect, body: handler.stream(dialect, text, ended=True, silent=seconds)


def status(code: int, **headers: str) -> Act:
    """An error, quoting the key as careless servers do."""

    def act(handler: Handler, dialect: str, body: dict[str, Any]) -> None:
        key = handler.headers.get("x-api-key") or handler.headers.get("authorization")
        answer = {"type": "error", "error": {"type": "e", "message": f"no luck with {key}"}}
        handler.send(code, json.dumps(answer).encode(), **headers)

    return act


def raw(body: bytes, kind: str = "application/json") -> Act:
    """These bytes with status 200."""
    return lambda handler, dialect, _: handler.send(200, body, content_type=kind)


def hang(seconds: float) -> Act:
    return lambda handler, dialect, body: time.sleep(seconds)


def events(*chunks: bytes) -> Act:
    """A stream of these bytes."""
    return raw(b"".join(chunks), "text/event-stream")


@dataclass
class Loopback:
    """Plays acts in order; the last is repeated. Remembers what it was asked."""

    acts: list[Act] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    key: str = KEY
    models: frozenset[str] = frozenset({"m"})
    url: str = ""

    def next_act(self, body: dict[str, Any]) -> Act:
        self.asked.append(body)
        return self.acts[min(len(self.asked), len(self.acts)) - 1]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def log_message(self, *args: object) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        model = self.path.rsplit("/", 1)[1]
        if not self._welcome():
            status(401)(self, "", {})
        elif model not in self.loopback.models:
            status(404)(self, "", {})
        else:
            self.send(200, json.dumps({"id": model, "type": "model", "object": "model"}).encode())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        dialects = {"/v1/responses": "responses", "/v1/chat/completions": "chat", "/v1/messages": "messages"}
        act = self.loopback.next_act(body)
        try:
            (act if self._welcome() else status(401))(self, dialects[self.path], body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _welcome(self) -> bool:
        given = self.headers.get("x-api-key") or (self.headers.get("authorization") or "").removeprefix("Bearer ")
        return given == self.loopback.key

    def send(self, code: int, body: bytes, content_type: str = "application/json", **headers: str) -> None:
        self.send_response(code)
        for name, value in {"content-type": content_type, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def whole(self, dialect: str, text: str, finish: str) -> None:
        if dialect == "chat":
            return self.send(200, json.dumps(chat(text, finish)).encode())
        return self.stream(dialect, text, ended=True, finish=finish)

    def stream(self, dialect: str, text: str, *, ended: bool, finish: str = "complete", silent: float = 0.0) -> None:
        """Server-sent events in pieces; one that is not ended breaks its chunked encoding off."""
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        pieces = [text[at : at + 4000] for at in range(0, len(text), 4000)]
        for event in DIALECTS[dialect](pieces, finish if ended else None):
            data = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        time.sleep(silent)
        if ended:
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.close_connection = True


def chat(text: str, finish: str) -> dict[str, Any]:
    """An answer of Chat Completions."""
    reasons = {"complete": "stop", "cut": "length", "refused": "content_filter"}
    message = {"role": "assistant", "content": text}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reasons[finish]}],
        "usage": {"prompt_tokens": INPUT, "completion_tokens": OUTPUT, "total_tokens": INPUT + OUTPUT},
    }


def responses(pieces: list[str], finish: str | None) -> Iterator[dict[str, Any]]:
    """Events of OpenAI's Responses API."""
    at = {"item_id": "i", "output_index": 0, "content_index": 0, "sequence_number": 0, "logprobs": []}
    kind = "response.refusal.delta" if finish == "refused" else "response.output_text.delta"
    for piece in pieces:
        yield {"type": kind, "delta": piece, **at}
    if finish is None:
        return
    usage = {
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": 600, "cache_write_tokens": 0},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": 50},
        "total_tokens": INPUT + OUTPUT,
    }
    cut = finish == "cut"
    response = {
        "id": "r",
        "object": "response",
        "created_at": 0,
        "model": "m",
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": [],
        "usage": usage,
    }
    yield {"type": "response.incomplete" if cut else "response.completed", "response": response, "sequence_number": 1}


def messages(pieces: list[str], finish: str | None) -> Iterator[dict[str, Any]]:
    """Events of Anthropic's Messages API; cached tokens stand beside `input_tokens`."""
    usage = {"input_tokens": INPUT - 700, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 100}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
    yield {"type": "message_start", "message": message}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for piece in pieces:
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": piece}}
    if finish is None:
        return
    yield {"type": "content_block_stop", "index": 0}
    reason = {"complete": "end_turn", "cut": "max_tokens", "refused": "refusal"}[finish]
    delta = {"stop_reason": reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": {**usage, "output_tokens": OUTPUT}}
    yield {"type": "message_stop"}


DIALECTS = {"responses": responses, "messages": messages, "chat": responses}


@contextmanager
def serve(*acts: Act) -> Iterator[Loopback]:
    """A server for as long as the block lasts."""
    loopback = Loopback(list(acts))
    handler = type("Bound", (Handler,), {"loopback": loopback})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    loopback.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield loopback
    finally:
        server.shutdown()
        server.server_close()
