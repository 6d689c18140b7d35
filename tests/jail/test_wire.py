"""The protocol between a jail and its keeper: whatever comes is a message, or the other side is gone."""

from __future__ import annotations

import json
import os
import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.sandbox.jail.wire import Channel, ChannelClosed, Packet, TooLate

MOST = 1 << 12


def heard(data: bytes) -> Packet | str:
    """What a channel makes of bytes after which the other side closes its end."""
    incoming, feeding = os.pipe()
    away, outgoing = os.pipe()
    try:
        os.write(feeding, data)
        os.close(feeding)
        return Channel(incoming, outgoing, MOST).receive(time.monotonic() + 5)
    except ChannelClosed as closed:
        return str(closed)
    finally:
        for handle in (incoming, away, outgoing):
            os.close(handle)


def packet(header: bytes, blobs: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + blobs


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_the_end(data: bytes) -> None:
    assert isinstance(heard(data), Packet | str)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=4), st.lists, max_leaves=8), st.binary(max_size=40))
def test_any_header_is_a_message_or_the_end(value: object, rest: bytes) -> None:
    header = json.dumps({"message": {"x": value}, "sizes": value}).encode()
    assert isinstance(heard(packet(header, rest)), Packet | str)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (struct.pack("<Q", 1 << 60), "a header of 1152921504606846976 bytes"),
        (packet(b'{"message": {}, "sizes": [1152921504606846976]}'), "a message of"),
        (packet(b'{"message": {}, "sizes": [-1]}'), "no message"),
        (packet(b'{"message": {}, "sizes": [true]}'), "no message"),
        (packet(b'{"message": [], "sizes": []}'), "no message"),
        (packet(b"[" * 4000), "no message"),
        (packet(b'{"message": {}, "sizes": [3]}', b"ab"), "gone"),
    ],
)
def test_what_is_no_message_ends_it(data: bytes, said: str) -> None:
    found = heard(data)
    assert isinstance(found, str)
    assert said in found


def test_what_was_sent_is_what_is_received() -> None:
    incoming, outgoing = os.pipe()
    channel = Channel(incoming, outgoing)
    channel.send({"a": [1, "é"]}, [b"abc", b"", bytearray(b"x" * 1000)])
    assert Packet({"a": [1, "é"]}, [bytearray(b"abc"), bytearray(), bytearray(b"x" * 1000)]) == channel.receive()
    os.close(incoming)
    os.close(outgoing)


def test_drops_of_a_message_do_not_put_off_its_deadline() -> None:
    incoming, outgoing = os.pipe()
    os.write(outgoing, b"\1")
    begin = time.monotonic()
    with pytest.raises(TooLate):
        Channel(incoming, outgoing).receive(begin + 0.1)
    assert time.monotonic() - begin < 5
    os.close(incoming)
    os.close(outgoing)
