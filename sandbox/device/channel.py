"""How messages cross a pipe: the length of a JSON header, the header, and raw bytes whose sizes it gives.

Nothing is pickled, so bytes from the other side can be wrong but never run.
"""

from __future__ import annotations

import json
import os
import select
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from warpsmith.sandbox.device.driver import Bytes

MOST_HEADER = 16 << 20
"""Bytes of JSON; a plan of 256 launches has far fewer."""
_CHUNK = 1 << 20


class ChannelClosed(Exception):  # noqa: N818 - a fact about the other side
    """The other side is gone, or sent what is no message."""


class TooLate(Exception):  # noqa: N818 - a fact about the other side
    """The other side did not answer in time."""


class Packet(NamedTuple):
    """A message, still as JSON values, and the bytes behind it."""

    message: dict[str, Any]
    blobs: list[Bytes]


class Channel:
    """One end of a pair of pipes."""

    def __init__(self, incoming: int, outgoing: int) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    def send(self, message: dict[str, Any], blobs: Sequence[Bytes] = ()) -> None:
        """Write one packet.

        Raises:
            ChannelClosed: nobody reads.
        """
        header = json.dumps({"message": message, "sizes": [blob.size for blob in blobs]}).encode()
        try:
            self._write(memoryview(struct.pack("<Q", len(header)) + header))
            for blob in blobs:
                self._write(np.ascontiguousarray(blob).data)
        except BrokenPipeError as error:
            raise ChannelClosed("nobody reads at the other end") from error

    def receive(self, seconds: float | None = None) -> Packet:
        """Read one packet; it has to begin within `seconds`, and then to go on arriving.

        Raises:
            ChannelClosed: the other side has gone, or sent what is no message.
            TooLate: nothing came in time.
        """
        (length,) = struct.unpack("<Q", self._read(8, seconds).tobytes())
        if length > MOST_HEADER:
            raise ChannelClosed(f"a header of {length} bytes")
        try:
            header = json.loads(self._read(length, seconds).tobytes())
            message, sizes = header["message"], [int(size) for size in header["sizes"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ChannelClosed("a header that is no message") from error
        if not isinstance(message, dict) or min(sizes, default=0) < 0:
            raise ChannelClosed("a header that is no message")
        return Packet(message, [self._read(size, seconds) for size in sizes])

    def close(self) -> None:
        """Close both pipes."""
        os.close(self._incoming)
        os.close(self._outgoing)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._outgoing, data[:_CHUNK]) :]

    def _read(self, size: int, seconds: float | None) -> Bytes:
        data = np.empty(size, np.uint8)
        view, filled = data.data, 0
        while filled < size:
            self._await(seconds)
            count = os.readv(self._incoming, [view[filled : filled + _CHUNK]])
            if count == 0:
                raise ChannelClosed("the other side has gone")
            filled += count
        return data

    def _await(self, seconds: float | None) -> None:
        if seconds is None:
            return
        ready, _, _ = select.select([self._incoming], [], [], seconds)
        if not ready:
            raise TooLate(f"no answer within {seconds:g} s")
