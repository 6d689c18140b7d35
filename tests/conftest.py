"""Options of the suite, and what tests of every folder share."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from warpsmith.settings import let_threads_sleep
from warpsmith.store import Store

pytest_plugins = ["tests.without_torch"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--isa", help="run the VM's machine for this instruction set, not the processor's best")
    parser.addoption("--schedules", type=int, default=0, help="run kernels that end well under so many seeds more")
    parser.addoption("--alarms", help="write what those runs gave to this file, one JSON object a kernel")
    parser.addoption("--sanitized", action="store_true", help="compile C++ of the tests with sanitizers")


def pytest_configure() -> None:
    """Have SIGINT end what the tests start: a shell that puts the suite in the background bequeaths it as ignored.

    Threads of torch sleep while they wait, as they do on the command line: the suite runs several processes a core.
    """
    let_threads_sleep()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def isa(request: pytest.FixtureRequest) -> str | None:
    """The machine to run; None for the processor's best."""
    found: str | None = request.config.getoption("--isa")
    return found


@pytest.fixture(scope="session")
def sanitizers(request: pytest.FixtureRequest) -> list[str]:
    """Compiler flags for C++ that a test builds: `make sanitize` has it checked like the VM."""
    checks = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-omit-frame-pointer", "-g1"]
    return checks if request.config.getoption("--sanitized") else []


@pytest.fixture
def open_store() -> Iterator[Callable[[Path], Store]]:
    """Opens a store at a path; it is closed when the test ends."""
    with ExitStack() as opened:
        yield lambda path: opened.enter_context(Store.open(path))
