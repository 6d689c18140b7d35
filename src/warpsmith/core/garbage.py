"""Translating a kernel or listing a large library makes tens of thousands of small objects that all stay: nothing is
gained by searching them again and again while they grow.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[None]:
    """Python's cycle collector waits, if it was on, until the work is done."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
