"""Workers that are ready before they are needed, for programs that were needed before."""

from __future__ import annotations

import atexit
import os
import signal
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from warpsmith.core.errors import ToolchainError
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.memory import kills
from warpsmith.sandbox.jail.worker import Answer, Died, Limits, Program, StartKilled, Worker

_Key = tuple[Program, Limits, Level]
KILLINGS = 20
"""SIGKILLs that no one here sent, after which nobody tries again: a jailed process cannot send one, people and their
programs do."""
_MOST_SPARE = 6
"""Workers that wait, over all programs; the one that has waited longest goes first."""


@dataclass(slots=True)
class Pool:
    """Hands out workers that have served nobody yet. Threads may share it."""

    _spare: dict[_Key, list[Worker]] = field(default_factory=lambda: defaultdict(list))
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _owner: int = field(default_factory=os.getpid)

    def take(self, program: Program, limits: Limits, level: Level) -> Worker:
        """A worker whose jail has closed, for one candidate; the next one is started meanwhile.

        Raises:
            ToolchainError: it does not start.
        """
        key = program, limits, level
        worker = self._ready(key) or _started(key)
        self._prepare(key)
        return worker

    def ask(
        self, program: Program, limits: Limits, level: Level, message: dict[str, Any], blobs: Sequence[bytes] = ()
    ) -> Answer:
        """Ask a worker of its own one thing, and another one where somebody on this machine kills it.

        Raises:
            ToolchainError: it does not start.
        """
        for _ in range(KILLINGS):
            starved = kills()
            worker = self.take(program, limits, level)
            try:
                answer = worker.ask(message, blobs)
            finally:
                worker.close()
            if not isinstance(answer, Died) or answer.signal != signal.SIGKILL or kills() > starved:
                break
        return answer

    def close(self) -> None:
        """End those that wait."""
        with self._guard:
            waiting = [worker for workers in self._spare.values() for worker in workers]
            self._spare.clear()
        if self._owner == os.getpid():
            for worker in waiting:
                worker.close()

    def _ready(self, key: _Key) -> Worker | None:
        while True:
            with self._guard:
                if self._owner != os.getpid():
                    # A forked process has its parent's table, and no claim on what is in it.
                    self._owner = os.getpid()
                    self._spare.clear()
                found = self._spare[key].pop() if self._spare.get(key) else None
            if found is None:
                return None
            try:
                if found.alive:
                    found.ready()
                    return found
            except ToolchainError:
                # Killed while it waited; another one is started and says why, if there is a why.
                pass
            found.close()

    def _prepare(self, key: _Key) -> None:
        with self._guard:
            if self._spare[key]:
                return
        worker = Worker(*key)
        try:
            worker.start()
        except ToolchainError:
            # Whoever needs it will be told.
            return
        with self._guard:
            self._spare[key].append(worker)
            waiting = [(other, item) for other, workers in self._spare.items() for item in workers]
            surplus = waiting[: max(0, len(waiting) - _MOST_SPARE)]
            for other, item in surplus:
                self._spare[other].remove(item)
        for _, item in surplus:
            item.close()


def _started(key: _Key) -> Worker:
    """A new one; another one where somebody kills it meanwhile."""
    for attempt in range(KILLINGS):
        worker = Worker(*key)
        try:
            worker.start()
            worker.ready()
        except StartKilled:
            if attempt + 1 == KILLINGS:
                raise
        else:
            return worker
    raise AssertionError("the last attempt raises")


_POOL = Pool()
atexit.register(_POOL.close)


def pool() -> Pool:
    """This process' workers."""
    return _POOL
