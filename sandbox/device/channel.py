"""The jail's messages (`jail/wire.py`) between a GPU worker and who asks it, the bytes behind them as arrays."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.jail import wire
from warpsmith.sandbox.jail.wire import ChannelClosed, TooLate

__all__ = ["Channel", "ChannelClosed", "Packet", "TooLate"]

_TRANSFER_SECONDS = 120.0
"""A reply that has begun may take so long to arrive: all of a large GPU's memory, at a gigabyte a second."""


class Packet(NamedTuple):
    """A message, still as JSON values, and the bytes behind it."""

    message: dict[str, Any]
    blobs: list[Bytes]


class Channel:
    """One end of a pair of pipes."""

    def __init__(self, incoming: int, outgoing: int, transfer_seconds: float = _TRANSFER_SECONDS) -> None:
        self._handles, self._transfer_seconds = (incoming, outgoing), transfer_seconds
        self._wire = wire.Channel(incoming, outgoing)

    def send(self, message: dict[str, Any], blobs: Sequence[Bytes] = ()) -> None:
        """Write one packet.

        Raises:
            ChannelClosed: nobody reads.
        """
        self._wire.send(message, [np.ascontiguousarray(blob).data if blob.size else b"" for blob in blobs])

    def receive(self, seconds: float | None = None) -> Packet:
        """Read one packet; it has to begin within `seconds`, and then to arrive.

        Raises:
            ChannelClosed: the other side has gone, or sent what is no message.
            TooLate: nothing came in time.
        """
        until = None
        if seconds is not None:
            if not self._wire.readable(seconds):
                raise TooLate(f"no answer within {seconds:g} s")
            until = time.monotonic() + self._transfer_seconds
        packet = self._wire.receive(until)
        return Packet(packet.message, [np.frombuffer(blob, np.uint8) for blob in packet.blobs])

    def close(self) -> None:
        """Close both pipes."""
        for handle in self._handles:
            os.close(handle)
