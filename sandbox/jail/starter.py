"""Starts children on a thread that lives as long as this process."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Callable
from typing import Any

_jobs: queue.SimpleQueue[tuple[Callable[[], Any], queue.SimpleQueue[Any]]] = queue.SimpleQueue()
_starter: threading.Thread | None = None
_starting = threading.Lock()


def on_lasting_thread(spawn: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    """Spawn on a thread that lives as long as this process.

    A child dies with the *thread* that started it (`PR_SET_PDEATHSIG`), and callers' threads come and go.
    """
    global _starter
    with _starting:
        if _starter is None or not _starter.is_alive():
            _starter = threading.Thread(target=_spawn_for_others, name="warpsmith-jail", daemon=True)
            _starter.start()
    answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
    _jobs.put((spawn, answer))
    found = answer.get()
    if isinstance(found, BaseException):
        raise found
    assert isinstance(found, subprocess.Popen)
    return found


def _spawn_for_others() -> None:
    while True:
        spawn, answer = _jobs.get()
        try:
            answer.put(spawn())
        except OSError as error:
            answer.put(error)
