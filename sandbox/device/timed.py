"""The worker's part of timing: a call placed on several input sets, run cold between two events, its outputs watched.

What is measured and why: `profiler/timing.py`. Every call is the replay of an executable graph, so that gaps between
the launches of one call are the device's own.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple, TypeAlias

from warpsmith.profiler.nvml import DeviceState, Sensor
from warpsmith.profiler.timing import Method, OutputCheck, TimedCall
from warpsmith.sandbox.device.blame import Faulted, blamed
from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.device.messages import BufferRole, DeviceLaunch
from warpsmith.sandbox.device.placed import Placed
from warpsmith.sandbox.device.session import Session
from warpsmith.sandbox.device.timing_messages import (
    EndTiming,
    Sampled,
    Staged,
    StageTiming,
    TakeSamples,
    TimingEnded,
)

TICK = 0.5
"""Microseconds that events resolve (`cuEventElapsedTime`)."""
EMPTY_BRACKETS = 15
ESTIMATES = 5
"""Warm calls in a row, for the estimate."""
WATCHED_SHARE = 4
"""One timed call in so many has its outputs read back, at random; so has the last on each set."""

Answer: TypeAlias = tuple[Staged | Sampled | TimingEnded, Sequence[Bytes]]


@dataclass(slots=True)
class Staging:
    """What is in place between `StageTiming` and `EndTiming`."""

    request: StageTiming
    sets: list[Placed]
    graphs: list[int]
    """One a set; for `Method.GRAPH` one of all sets."""
    kept: list[dict[str, int]]
    """By set: in-place inputs -> address of their first values."""
    flush: int
    """Address of what is written to empty L2."""
    turn: int = 0
    """Input set of the next sample."""
    digests: dict[int, list[str]] = field(default_factory=dict)
    """By set: digest of the outputs of every timed call that was watched."""
    unseen: set[int] = field(default_factory=set)
    """Sets whose last timed call was not watched."""

    @property
    def calls(self) -> int:
        return len(self.sets) if self.request.method is Method.GRAPH else 1


class _Bracket(NamedTuple):
    """Microseconds."""

    event: float
    """Of the calls."""
    bracket: float
    """Of flush and calls, by the events."""
    host: float
    """Of flush and calls, by the host's clock."""


class Stopwatch:
    """Serves the timing requests of one session."""

    def __init__(self, session: Session, sensor: Sensor | None) -> None:
        self.session, self.sensor = session, sensor
        self.staging: Staging | None = None
        self.events = tuple(session.driver.new_event() for _ in range(3))

    def serve(self, request: StageTiming | TakeSamples | EndTiming, blobs: Sequence[Bytes]) -> Answer:
        """Answer one request; a candidate's misbehaviour is a fault in the reply.

        Raises:
            DriverFailure: the driver failed, and not for what the candidate did.
            ValueError: samples are asked for and nothing is staged.
        """
        try:
            with blamed(self._last):
                if isinstance(request, StageTiming):
                    return self._stage(request, blobs), ()
                if self.staging is None:
                    raise ValueError("nothing is staged")
                if isinstance(request, TakeSamples):
                    return self._take(self.staging, request), ()
                return self._end(self.staging)
        except Faulted as faulted:
            if not faulted.fatal:
                self._drop()
            reply = {StageTiming: Staged, TakeSamples: Sampled}.get(type(request))
            if reply is None:
                return TimingEnded(sets=0, fault=faulted.fault, ended=faulted.fatal), ()
            return reply(fault=faulted.fault, ended=faulted.fatal), ()

    def _stage(self, request: StageTiming, blobs: Sequence[Bytes]) -> Staged:
        self._drop()
        names = [buffer.name for buffer in request.call.buffers if buffer.uploaded]
        groups = [blobs[first : first + len(names)] for first in range(0, len(names) * request.sets, len(names) or 1)]
        uploads = [dict(zip(names, group, strict=True)) for group in groups] or [{} for _ in range(request.sets)]
        driver = self.session.driver
        staging = Staging(request, [], [], [], driver.allocate(request.flush_bytes))
        self.staging = staging
        for number, values in enumerate(uploads):
            placed = Placed(self.session, request.call, values, request.seed + number)
            staging.sets.append(placed)
            placed.fill()
            placed.prepare(request.seconds)
            staging.kept.append({})
            for buffer in request.call.buffers:
                if buffer.role is BufferRole.INPLACE and buffer.nbytes:
                    staging.kept[-1][buffer.name] = driver.allocate(buffer.nbytes)
                    region = placed.regions[buffer.name]
                    driver.copy(staging.kept[-1][buffer.name], region.address, buffer.nbytes, self.session.stream)
        self._capture(staging)
        self._bracket(staging, 1)
        row = self._bracket(staging, ESTIMATES)
        empty = [self._bracket(staging, 0) for _ in range(EMPTY_BRACKETS)]
        return Staged(
            estimate_us=max(row.event / ESTIMATES / staging.calls, 1e-3),
            set_bytes=sum(buffer.nbytes for buffer in request.call.buffers),
            empty_event_us=median(item.event for item in empty),
            empty_host_us=median(max(0.0, item.host - item.bracket) for item in empty),
        )

    def _capture(self, staging: Staging) -> None:
        driver, stream = self.session.driver, self.session.stream
        if staging.request.method is Method.CALL:
            for placed in staging.sets:
                staging.graphs.append(placed.capture())
        else:
            driver.begin_capture(stream)
            for placed in staging.sets:
                for _ in placed.enqueue():
                    pass
            staging.graphs.append(driver.end_capture(stream))

    def _take(self, staging: Staging, request: TakeSamples) -> Sampled:
        for _ in range(request.warm_up):
            self._reset(staging)
            self._bracket(staging, 1)
        return Sampled(samples=tuple(self._sample(staging) for _ in range(request.count)))

    def _sample(self, staging: Staging) -> TimedCall:
        self._reset(staging)
        self.session.driver.reset_persisting_l2()
        self.session.wait(staging.request.seconds)
        before = self._state()
        took = self._bracket(staging, 1)
        after = self._state()
        used = staging.turn if staging.request.method is Method.CALL else 0
        self._watch(staging)
        staging.turn = (staging.turn + 1) % len(staging.sets)
        # An event's clock ticks every half microsecond: a shorter call is no longer than that.
        return TimedCall(
            input_set=used,
            event_us=max(took.event, TICK) / staging.calls,
            bracket_us=max(took.bracket, TICK),
            host_us=max(took.host, TICK),
            before=before,
            after=after,
        )

    def _bracket(self, staging: Staging, calls: int) -> _Bracket:
        """Flush L2, then replay the graph so many times; the flush lasts until the host has enqueued the rest."""
        driver, stream = self.session.driver, self.session.stream
        graph = staging.graphs[staging.turn if staging.request.method is Method.CALL else 0]
        begin, start, end = self.events
        since = time.perf_counter()
        driver.record(begin, stream)
        driver.fill(staging.flush, 1 + secrets.randbelow(255), staging.request.flush_bytes, stream)
        driver.record(start, stream)
        for _ in range(calls):
            driver.launch_graph(graph, stream)
        driver.record(end, stream)
        self.session.wait(staging.request.seconds)
        host = (time.perf_counter() - since) * 1e6
        return _Bracket(driver.elapsed_us(start, end), driver.elapsed_us(begin, end), host)

    def _reset(self, staging: Staging) -> None:
        """What the next sample overwrites: outputs and scratch poisoned anew, in-place inputs as they first were."""
        driver, stream = self.session.driver, self.session.stream
        for number in self._next(staging):
            placed = staging.sets[number]
            for buffer in staging.request.call.buffers:
                region = placed.regions[buffer.name]
                if buffer.name in staging.kept[number]:
                    driver.copy(region.address, staging.kept[number][buffer.name], buffer.nbytes, stream)
                elif buffer.role in (BufferRole.OUTPUT, BufferRole.SCRATCH) and buffer.nbytes:
                    driver.fill(region.address, secrets.randbelow(256), buffer.nbytes, stream)

    def _next(self, staging: Staging) -> Sequence[int]:
        return range(len(staging.sets)) if staging.request.method is Method.GRAPH else (staging.turn,)

    def _watch(self, staging: Staging) -> None:
        staging.unseen |= set(self._next(staging))
        if secrets.randbelow(WATCHED_SHARE) == 0:
            # A graph's calls are looked at one at a time: reading all back would take most of the time there is.
            self._note(staging, secrets.choice(self._next(staging)))

    def _note(self, staging: Staging, number: int) -> None:
        placed = staging.sets[number]
        whole = hashlib.sha256()
        for buffer in staging.request.call.buffers:
            if buffer.role in (BufferRole.OUTPUT, BufferRole.INPLACE):
                whole.update(placed.read(buffer.name).tobytes())
        staging.digests.setdefault(number, []).append(whole.hexdigest())
        staging.unseen.discard(number)

    def _end(self, staging: Staging) -> Answer:
        for number in sorted(staging.unseen):
            self._note(staging, number)
        roles = (BufferRole.OUTPUT, BufferRole.INPLACE)
        names = [buffer.name for buffer in staging.request.call.buffers if buffer.role in roles]
        blobs = [placed.read(name) for placed in staging.sets for name in names]
        checks = tuple(
            OutputCheck(input_set=number, calls=len(digests), digests=tuple(dict.fromkeys(digests)))
            for number, digests in sorted(staging.digests.items())
        )
        count = len(staging.sets)
        self._drop()
        return TimingEnded(sets=count, checks=checks), blobs

    def _drop(self) -> None:
        """Free what is staged."""
        staging, self.staging = self.staging, None
        if staging is None:
            return
        driver = self.session.driver
        for graph in staging.graphs:
            driver.destroy_graph(graph)
        for placed, kept in zip(staging.sets, [*staging.kept, {}], strict=False):
            for address in kept.values():
                driver.free(address)
            placed.free()
        driver.free(staging.flush)

    def _last(self) -> DeviceLaunch | None:
        placed = self.staging.sets if self.staging else []
        return next((item.last for item in reversed(placed) if item.last), None)

    def _state(self) -> DeviceState:
        return self.sensor.read() if self.sensor else DeviceState(gives_reasons=False)
