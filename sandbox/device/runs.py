"""The worker's part of one run: launch, watch, compare, read back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.protocols import Check
from warpsmith.sandbox.device.blame import Faulted, blamed
from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.device.messages import BufferRole, Ran, RunCall
from warpsmith.sandbox.device.placed import Placed
from warpsmith.sandbox.device.session import Session

Mask: TypeAlias = NDArray[np.bool_]

WATCHED = (Check.GUARDS, Check.ALIGNMENT, Check.READ_ONLY, Check.HANGS)
"""What every run watches."""
READ_BACK = (BufferRole.INPLACE, BufferRole.OUTPUT)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply and the bytes behind it."""

    reply: Ran
    blobs: tuple[Bytes, ...] = ()


def run_call(session: Session, request: RunCall, uploads: Mapping[str, Bytes]) -> Answer:
    """Run a call under what a GPU can watch.

    Raises:
        DriverFailure: the driver failed, and not for what the candidate did.
    """
    placed = Placed(session, request.call, uploads, request.seed)
    checks = (*WATCHED, Check.UNWRITTEN) if request.checked else WATCHED
    try:
        outputs, prepared, unwritten = _Run(session, request, placed).run()
    except Faulted as faulted:
        if not faulted.fatal:
            placed.free()
        return Answer(Ran(fault=faulted.fault, ended=faulted.fatal, checks=checks))
    placed.free()
    return Answer(Ran(unwritten=unwritten, checks=checks), (*outputs.values(), *prepared.values()))


class _Run:
    """Launches a placed call two or three times over different poison."""

    def __init__(self, session: Session, request: RunCall, placed: Placed) -> None:
        self.session, self.request, self.placed = session, request, placed

    def run(self) -> tuple[dict[str, Bytes], dict[str, Bytes], dict[str, int]]:
        """Outputs, prepared buffers, and for each output the first byte that nothing wrote."""
        self.placed.fill()
        with blamed(lambda: self.placed.last):
            self.placed.prepare(self.request.seconds)
        prepared = self._read(BufferRole.PREPARED)
        outputs: dict[str, Bytes] = {}
        kept: dict[str, Mask] = {}
        for number, way in enumerate(self._ways()):
            if number:
                self.placed.fill(flip=True)
            way()
            self._look(prepared)
            found = self._read(*READ_BACK)
            outputs = outputs or found
            kept = self._kept(found, kept)
            if not any(same.any() for same in kept.values()):
                break
        unwritten = {name: int(same.argmax()) for name, same in kept.items() if same.any()}
        return outputs, prepared, unwritten if self.request.checked else {}

    def _ways(self) -> tuple[Callable[[], None], ...]:
        """Launch by launch and as one graph: kernels are timed as a graph, and both have to give what is compared.

        The third run is for sums whose order is free: they meet a poisoned byte by chance now and then.
        """
        even = self.request.seed % 2 == 0
        first, second = (self._one_by_one, self._as_graph) if even else (self._as_graph, self._one_by_one)
        return (first, second, first) if self.request.checked else (first,)

    def _kept(
        self, found: Mapping[str, Bytes], before: Mapping[str, NDArray[np.bool_]]
    ) -> dict[str, NDArray[np.bool_]]:
        """Bytes of each output that have held this run's poison, and that of the runs before: the complement."""
        kept = {
            name: data == self.placed.poisoned[name] for name, data in found.items() if name in self.placed.poisoned
        }
        return {name: same & before[name] if name in before else same for name, same in kept.items()}

    def _one_by_one(self) -> None:
        with blamed(lambda: self.placed.last):
            for _ in self.placed.enqueue():
                self.session.wait(self.request.seconds)
            self.session.wait(self.request.seconds)

    def _as_graph(self) -> None:
        with blamed(lambda: self.placed.last):
            graph = self.placed.capture()
            self.session.driver.launch_graph(graph, self.session.stream)
            self.session.wait(self.request.seconds)
            self.session.driver.destroy_graph(graph)

    def _look(self, prepared: Mapping[str, Bytes]) -> None:
        fault = self.placed.misdeed(prepared)
        if fault is not None:
            raise Faulted(fault, fatal=False)

    def _read(self, *roles: BufferRole) -> dict[str, Bytes]:
        return {item.name: self.placed.read(item.name) for item in self.request.call.buffers if item.role in roles}
