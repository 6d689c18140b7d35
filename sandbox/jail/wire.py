"""How messages cross a pipe: the length of a JSON header, the header, and raw bytes whose sizes it gives.

Nothing is pickled, so bytes from the other side can be wrong but never run. Standard library alone: both ends use
it, and children run by path.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

MOST_BYTES = 1 << 40
_LENGTH = struct.Struct("<Q")
_CHUNK = 1 << 20

Blob: TypeAlias = bytes | bytearray | memoryview


class ChannelClosed(Exception):  # noqa: N818 - a fact about the other side
    """The other side is gone, or sent what is no message."""


class TooLong(ChannelClosed):
    """The other side sent, or announced, more than it may."""


class TooLate(Exception):  # noqa: N818 - a fact about the other side
    """The other side did not answer in time."""


class Packet(NamedTuple):
    """A message and the bytes behind it."""

    message: dict[str, Any]
    blobs: list[bytearray]


class Channel:
    """One end of a pair of pipes. `most_bytes` bounds a packet that comes in, header and blobs together."""

    def __init__(self, incoming: int, outgoing: int, most_bytes: int = MOST_BYTES) -> None:
        self._incoming, self._outgoing, self._most_bytes = incoming, outgoing, most_bytes
        os.set_blocking(outgoing, False)

    def send(self, message: dict[str, Any], blobs: Sequence[Blob] = (), until: float | None = None) -> None:
        """Write one packet.

        Raises:
            ChannelClosed: nobody reads.
            TooLate: it was not read before `until`, a time of `time.monotonic`.
        """
        views = [memoryview(blob).cast("B") for blob in blobs]
        header = json.dumps({"message": message, "sizes": [len(view) for view in views]}).encode()
        for view in (memoryview(_LENGTH.pack(len(header)) + header), *views):
            self._write(view, until)

    def receive(self, until: float | None = None) -> Packet:
        """Read one packet.

        Raises:
            ChannelClosed: the other side has gone, or sent what is no message.
            TooLong: it sent a longer one than it may.
            TooLate: it was not complete before `until`, a time of `time.monotonic`.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, until))
        if length > self._most_bytes:
            raise TooLong(f"a header of {length} bytes")
        try:
            header = json.loads(self._read(length, until))
            message, sizes = header["message"], header["sizes"]
            fits = isinstance(message, dict) and all(type(size) is int and size >= 0 for size in sizes)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ChannelClosed("a header that is no message") from error
        if not fits:
            raise ChannelClosed("a header that is no message")
        if length + sum(sizes) > self._most_bytes:
            raise TooLong(f"a message of {length + sum(sizes)} bytes")
        return Packet(message, [self._read(size, until) for size in sizes])

    def readable(self, seconds: float) -> bool:
        """Whether something comes, or the other side goes, within so many seconds."""
        poll = select.poll()
        poll.register(self._incoming, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _write(self, data: memoryview, until: float | None) -> None:
        while data:
            _await(self._outgoing, select.POLLOUT, until)
            try:
                data = data[os.write(self._outgoing, data[:_CHUNK]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as error:
                raise ChannelClosed("nobody reads at the other end") from error

    def _read(self, size: int, until: float | None) -> bytearray:
        # Memory grows with what comes, not with what the other side says will come.
        data = bytearray()
        while len(data) < size:
            _await(self._incoming, select.POLLIN, until)
            part = os.read(self._incoming, min(_CHUNK, size - len(data)))
            if not part:
                raise ChannelClosed("the other side has gone")
            data += part
        return data


def _await(handle: int, event: int, until: float | None) -> None:
    poll = select.poll()
    poll.register(handle, event)
    patience = None if until is None else max(0.0, until - time.monotonic()) * 1000
    if not poll.poll(patience):
        raise TooLate("no answer in time")
