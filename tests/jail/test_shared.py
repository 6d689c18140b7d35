"""Memory that a parent shares with a child: what stays in it from one turn to the next, and what does not."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import pytest

from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.jail.shared import SharedMemory

from ..contracts.launchers import ints

COUNT = 5000


@pytest.fixture
def shared() -> Iterator[SharedMemory]:
    made = SharedMemory()
    yield made
    made.close()


def filled(value: int) -> HostTensor:
    return ints(*[value] * COUNT)


def kept(shared: SharedMemory, *tensors: HostTensor, most: int = 1 << 20) -> list[int]:
    return shared.keep([(tensor, tensor.bytes) for tensor in tensors], most)


def read(shared: SharedMemory, offset: int) -> list[int]:
    return np.frombuffer(os.pread(shared.handle, 4 * COUNT, offset), np.int32).tolist()


def test_what_lives_on_is_copied_in_once(shared: SharedMemory) -> None:
    one, two = filled(1), filled(2)
    first = kept(shared, one, two)
    one.array[0] = 7
    assert kept(shared, two, one) == first[::-1]
    assert read(shared, first[0]) == [1] * COUNT
    assert read(shared, first[1]) == [2] * COUNT


def test_what_took_the_place_of_something_that_died_is_copied_in(shared: SharedMemory) -> None:
    for value in range(200):  # most have an address and an identity that another one had before
        tensor = filled(value)
        (offset,) = kept(shared, tensor)
        assert read(shared, offset) == [value] * COUNT
        del tensor


def test_what_does_not_fit_beside_the_others_takes_their_place(shared: SharedMemory) -> None:
    one, two = filled(1), filled(2)
    most = one.nbytes + 100
    for tensor, value in ((one, 1), (two, 2), (one, 1)):
        (offset,) = kept(shared, tensor, most=most)
        assert read(shared, offset) == [value] * COUNT
    assert shared.kept_bytes <= most


def test_what_comes_and_goes_leaves_alone_what_stays(shared: SharedMemory) -> None:
    one, two = filled(1), filled(2)
    (offset,) = kept(shared, one)
    for size in (100, 1 << 20, 3 << 20):
        shared.reserve(shared.kept_bytes + size)
        shared.view[shared.kept_bytes :] = 255
        assert read(shared, offset) == [1] * COUNT
    (second,) = kept(shared, two)
    assert read(shared, offset) == [1] * COUNT
    assert read(shared, second) == [2] * COUNT
