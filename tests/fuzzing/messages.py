"""Damaged messages from a jailed process: every reply is one of its form, or the end of who sent it."""

from __future__ import annotations

import json
import os
import random
import struct
import time
from collections.abc import Mapping

from warpsmith.core.record import Record
from warpsmith.sandbox.compile.nvrtc import Compiled
from warpsmith.sandbox.compile.triton_compile import Assembled, Lowered
from warpsmith.sandbox.jail.reply import checked
from warpsmith.sandbox.jail.wire import Channel, ChannelClosed, TooLong
from warpsmith.sandbox.jail.worker import Died, TimedOut

from .mutations import mutated, words_of

MOST_BYTES = 1 << 14
SECONDS = 5.0
FORMS: Mapping[type[Record], int] = {Compiled: 1, Lowered: 0, Assembled: 1}
"""Forms of replies, and the blobs that go with each."""
MESSAGES = (
    '{"message": {"status": 0, "log": "ptxas info", "ptx": ".version 9.0", "names": {"k<1>": "_Z1k"}}, "sizes": [4]}',
    '{"message": {"message": "", "line": 0, "build": "", "ptx": ".version 9.0", "metadata": [{"shared": 0, '
    '"global_scratch_size": 0}], "version": "3.7"}, "sizes": []}',
    '{"message": {"status": 0, "log": ""}, "sizes": [4]}',
    '{"message": {"status": 0}, "sizes": []}',
    '{"message": {"held": ["limits", "calls"]}, "sizes": [0, 3, 1]}',
)
WORDS = (*words_of(MESSAGES), "null", "1e999", "NaN", "-1", "18446744073709551616", "[[[[", "\\ud800", "true")


def message_case(rng: random.Random) -> str:
    """A packet's bytes, a character each: a damaged header under a length that mostly fits, and what is behind it."""
    header = mutated(rng, rng.choice(MESSAGES), WORDS).encode("utf-8", "replace")
    length = len(header) if rng.randrange(8) else rng.choice([0, 1, 2**63, MOST_BYTES + 1, len(header) + 1])
    packet = bytearray(struct.pack("<Q", length) + header + rng.randbytes(rng.randrange(12)))
    if not rng.randrange(8):
        packet[rng.randrange(len(packet))] ^= 1 << rng.randrange(8)
    return packet[: rng.randrange(len(packet))].decode("latin-1") if not rng.randrange(12) else packet.decode("latin-1")


def receive(text: str) -> str:
    """What the parent makes of it."""
    handle = os.memfd_create("packet")
    outgoing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.write(handle, text.encode("latin-1"))
        os.lseek(handle, 0, os.SEEK_SET)
        packet = Channel(handle, outgoing, MOST_BYTES).receive(time.monotonic() + SECONDS)
    except TooLong:
        return "too long"
    except ChannelClosed:
        return "closed"
    finally:
        os.close(handle)
        os.close(outgoing)
    assert sum(map(len, packet.blobs)) <= MOST_BYTES
    for form, blobs in FORMS.items():
        if not isinstance(checked(packet, form, blobs=blobs), Died | TimedOut):
            return form.__name__
    json.dumps(packet.message)
    return "another message"
