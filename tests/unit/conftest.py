"""Stores that tests open are closed when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from warpsmith.store import Store


@pytest.fixture
def open_store() -> Iterator[Callable[[Path], Store]]:
    """Opens a store at a path."""
    with ExitStack() as opened:
        yield lambda path: opened.enter_context(Store.open(path))
