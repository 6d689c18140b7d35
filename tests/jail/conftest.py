"""What a test of the jail leaves behind: nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from warpsmith.sandbox.emulator.jailed import jailed_vm
from warpsmith.sandbox.jail import worker
from warpsmith.sandbox.jail.pool import pool

from .processes import descendants, wait_for

Left: TypeAlias = Callable[[], set[str]]


def remains() -> set[str]:
    """Processes that this one started, memory and folders that it holds for them."""
    found = {f"process {child}" for child in descendants(os.getpid())}
    for handle in Path("/proc/self/fd").iterdir():
        try:
            target = str(handle.readlink())
        except FileNotFoundError:
            continue
        found |= {f"memory {handle.name} {target}"} if target.startswith("/memfd:") else set()
    root = worker._SCRATCH._root
    return found | ({str(path) for path in root.iterdir() if path.name != ".lock"} if root else set())


@pytest.fixture
def left() -> Iterator[Left]:
    """What the test left once all workers that wait were ended; what a killed one leaves goes within a moment."""
    close()
    earlier = remains()

    def found() -> set[str]:
        close()
        wait_for(lambda: not remains() - earlier)
        return remains() - earlier

    yield found
    close()


def close() -> None:
    jailed_vm().close()
    pool().close()
