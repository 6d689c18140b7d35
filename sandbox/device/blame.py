"""Turns what goes wrong on the stream into the fault of the launch that was on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from warpsmith.sandbox.device.driver import DriverFailure
from warpsmith.sandbox.device.faults import fault_of, refusal_of
from warpsmith.sandbox.device.messages import DeviceLaunch, Fault, FaultKind
from warpsmith.sandbox.device.placed import LaunchFailure
from warpsmith.sandbox.device.session import Endless


class Faulted(Exception):  # noqa: N818 - control flow inside one request
    """A call did something wrong; after a fatal fault the context is of no further use."""

    def __init__(self, fault: Fault, *, fatal: bool) -> None:
        super().__init__(fault.message)
        self.fault, self.fatal = fault, fatal


@contextmanager
def blamed(last: Callable[[], DeviceLaunch | None]) -> Iterator[None]:
    """`last` is the launch that went onto the stream last: the culprit, or in a graph one of several.

    Raises:
        Faulted: the candidate is to blame.
        DriverFailure: it is not.
    """
    try:
        yield
    except Endless as endless:
        kernel, line = _name(last())
        fault = Fault(kind=FaultKind.ENDLESS, message=f"{kernel}: {endless}", kernel=kernel, line=line)
        raise Faulted(fault, fatal=True) from endless
    except LaunchFailure as failed:
        cause = failed.refusal
        fault = refusal_of(cause.result, str(cause), failed.step.kernel, failed.step.line)
        raise Faulted(fault, fatal=False) from failed
    except DriverFailure as failure:
        found = fault_of(failure.result, *_name(last()))
        if found is None:
            raise
        raise Faulted(found, fatal=True) from failure


def _name(step: DeviceLaunch | None) -> tuple[str, int]:
    return (step.kernel, step.line) if step is not None else ("a memset", 0)
