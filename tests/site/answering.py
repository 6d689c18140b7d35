"""A server over a store in this process, what asks it, and a run that is recorded bit by bit."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.site.recorded import RECORDING
from warpsmith.core.events import Event
from warpsmith.kernels_generated.shelf import read_shelf
from warpsmith.leaderboard.live import Answers, serve
from warpsmith.store import Store
from warpsmith.store.recording import read_recording


class Recording:
    """A recorded run, to be written into a store event by event, as a run would."""

    def __init__(self, folder: Path) -> None:
        with Store.open(folder / "recorded.sqlite") as store:
            self.run = read_recording(RECORDING, store)
            self.events: tuple[Event, ...] = store.events(self.run)

    def append(self, path: Path, upto: int) -> None:
        """Bring the run in the store at `path` to so many events, through a connection of its own."""
        with Store.open(path) as store:
            for at in range(len(store.events(self.run)), upto):
                store.append(self.run, self.events[at], at=at)


class Client:
    """Asks the server one thing a connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): it for name, it in headers.items()})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            connection.close()

    def page(self, path: str) -> str:
        status, _, text = self.ask(path)
        assert status == 200, (path, text)
        return text


@contextmanager
def answering(store: Path, *libraries: Path, cache: Path) -> Iterator[Client]:
    """A server in this process."""
    with serve(lambda: Answers(lambda: read_shelf(libraries, cache), store), 0) as listening:
        thread = threading.Thread(target=listening.run, daemon=True)
        thread.start()
        try:
            yield Client(listening.port)
        finally:
            listening.stop()
            thread.join()
