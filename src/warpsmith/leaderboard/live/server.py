"""HTTP on loopback: pages to read and nothing to change, for this machine's browser and for no other name.

A page in a browser can point its own name at 127.0.0.1 and ask this server as if it were its own ("DNS rebinding"); the
browser then sends that name as Host. So only loopback's names are answered. Other sites cannot read an answer either:
there are no CORS headers, and Cross-Origin-Resource-Policy keeps them from embedding one.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from warpsmith.core.errors import MachineError, SettingsError
from warpsmith.leaderboard.live.answers import Answer, Answers

ADDRESS = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost", "[::1]")
"""Hosts that a question may name, with any port: an SSH tunnel may have another one at its near end."""
SILENT_SECONDS = 30
"""A connection that says nothing for so long is closed."""
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\s]*)(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that has begun to answer."""

    port: int
    run: Callable[[], None]
    """Answers until it is interrupted or stopped."""
    stop: Callable[[], None]
    """Called from another thread."""

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.port}/"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    """A browser keeps connections open; leaving does not wait for them."""
    ask: Callable[[str], Answer | None]
    policy: str


@contextmanager
def serve(make: Callable[[], Answers], port: int) -> Iterator[Listening]:
    """Answer for as long as the block lasts.

    Args:
        make: called once, in the thread that will make every page.
        port: 0 takes any free one.

    Raises:
        SettingsError: the port is taken, or may not be used.
    """
    try:
        server = _Server((ADDRESS, port), _Handler)
    except OSError as error:
        raise _unusable(port, error) from error
    with server, ThreadPoolExecutor(1, thread_name_prefix="pages") as one:
        answers = one.submit(make).result()
        server.ask = lambda place: one.submit(answers.page, place).result()
        server.policy = f"{answers.pages.policy}; frame-ancestors 'none'"
        try:
            yield Listening(int(server.server_address[1]), server.serve_forever, server.shutdown)
        finally:
            one.submit(answers.close).result()


def _unusable(port: int, error: OSError) -> SettingsError:
    why = {errno.EADDRINUSE: "is taken by another program", errno.EACCES: "may not be used by you"}
    said = why.get(error.errno or 0, f"cannot be used: {error.strerror}")
    return SettingsError(f"port {port} {said}.", remedy="Name another with --port N; --port 0 takes any free one.")


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "warpsmith"
    sys_version = ""
    timeout = SILENT_SECONDS

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _refuse_method(self) -> None:
        self.close_connection = True  # what it brought with it stays unread
        self._say(HTTPStatus.METHOD_NOT_ALLOWED, "This server only shows.", {"Allow": "GET, HEAD"})

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Every other method of HTTP, as the base class looks for it."""
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def _answer(self) -> None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not is_loopback(hosts[0]):
            self._say(HTTPStatus.MISDIRECTED_REQUEST, f"This server answers to {', '.join(NAMES)} alone.")
            return
        target = urlsplit(self.path)
        if target.netloc or not target.path.startswith("/"):
            self._say(HTTPStatus.BAD_REQUEST, "Ask for a path.")
            return
        try:
            answer = self.server.ask(unquote(target.path)[1:] or "index.html")
        except MachineError as error:
            self.log_error("%s", error)
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "2"})
            return
        if answer is None:
            self._say(HTTPStatus.NOT_FOUND, "There is no such page. The leaderboard is at /.")
        elif self.headers.get("If-None-Match") == f'"{answer.tag}"':
            self._send(HTTPStatus.NOT_MODIFIED, None, {"ETag": f'"{answer.tag}"'})
        else:
            self._send(HTTPStatus.OK, answer.body, {"ETag": f'"{answer.tag}"'})

    def _say(self, status: HTTPStatus, text: str, headers: dict[str, str] | None = None) -> None:
        body = (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{status.value}</title>'
            f"<p>{escape(text)}</p></html>\n"
        )
        self._send(status, body.encode(), headers or {})

    def _send(self, status: HTTPStatus, body: bytes | None, headers: dict[str, str]) -> None:
        self.send_response(status)
        if body is not None:
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        for name, value in {**headers, **self._guards()}.items():
            self.send_header(name, value)
        self.end_headers()
        if body is not None and self.command != "HEAD":
            self.wfile.write(body)

    def _guards(self) -> dict[str, str]:
        return {
            "Cache-Control": "no-cache",
            "Content-Security-Policy": self.server.policy,
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing of what went well."""

    def log_error(self, format: str, *args: object) -> None:  # noqa: A002 - likewise
        """Errors go to standard error, once a line."""
        if "timed out" not in format % args:
            super().log_message(format, *args)


def is_loopback(host: str) -> bool:
    """Whether a Host header names loopback."""
    found = _HOST.fullmatch(host.strip())
    return found is not None and found["name"].lower().rstrip(".") in NAMES
