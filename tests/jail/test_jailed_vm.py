"""The emulator in a process of its own: what it computes, and what happens when that process is lost."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from warpsmith import app
from warpsmith.core.arch import find_architecture
from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Inconclusive, OverBudget, Verified
from warpsmith.core.protocols import RunReply
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.emulated import EmulatedLauncher
from warpsmith.sandbox.emulator import jailed
from warpsmith.sandbox.emulator.faults import KINDS
from warpsmith.sandbox.emulator.invocation import Invocation
from warpsmith.sandbox.emulator.jailed import JailedVm
from warpsmith.sandbox.emulator.machine import FaultKind
from warpsmith.sandbox.emulator.vm import bindings
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.worker import Died, Limits, Program, TimedOut, Worker

from ..contracts.launchers import call, empty, ints, step, values
from .conftest import Left
from .levels import here
from .processes import command, descendants, resident, wait_for

ARCH = find_architecture("h200")
SEED = Path(__file__).parents[2] / "seeds" / "moe_routing_metadata" / "scan.cu"
_MOST_BETWEEN = 0.3
"""Seconds from one killing to the next."""


@pytest.fixture
def vm() -> Iterator[JailedVm]:
    made = JailedVm()
    yield made
    made.close()


def copied(vm: JailedVm, count: int = 100) -> RunReply:
    launcher = EmulatedLauncher(ARCH, budget=1 << 20, execute=vm)
    x = ints(*range(count))
    return call(launcher, step("copy", "x", "y", count, grid=4), inputs={"x": x}, outputs={"y": empty(count)})


def vm_processes(among: Sequence[str] = ("vm_child",)) -> list[int]:
    return [child for child in descendants(os.getpid()) if any(name in command(child) for name in among)]


@contextmanager
def killer(
    times: int, seed: int, among: Sequence[str] = ("vm_child",), most_between: float = _MOST_BETWEEN
) -> Iterator[list[int]]:
    """Kill such processes at random moments, so many times; often enough that some are hit as they start."""
    draw, done, killed = random.Random(seed), threading.Event(), list[int]()

    def kill() -> None:
        while len(killed) < times and not done.wait(draw.random() * most_between):
            for child in draw.sample(found := vm_processes(among), min(1, len(found))):
                try:
                    os.kill(child, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                killed.append(child)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def test_a_run_goes_on_as_if_nothing_were_when_its_processes_are_killed(vm: JailedVm) -> None:
    survive(vm, 8)


@pytest.mark.full
def test_a_run_survives_two_hundred_killings(vm: JailedVm) -> None:
    survive(vm, 200)


def survive(vm: JailedVm, times: int) -> None:
    with killer(times, seed=times) as killed:
        while len(killed) < times:
            reply = copied(vm)
            assert reply.failure is None, reply.failure
            assert list(range(100)) == values(reply)
    assert len(killed) == times


def test_nothing_of_it_is_left_once_it_is_closed() -> None:
    vm = JailedVm()
    copied(vm)
    assert vm_processes()
    vm.close()
    jailed.pool().close()
    assert wait_for(lambda: not vm_processes())


def test_inputs_of_a_call_are_those_it_was_given_whatever_an_earlier_one_had(vm: JailedVm) -> None:
    launcher = EmulatedLauncher(ARCH, budget=1 << 20, execute=vm)
    kept, buffer = ints(*range(100)), np.zeros(100, np.int32)
    for number in range(4):
        buffer[:] = number
        for x in (kept, HostTensor(DType.INT32, buffer.shape, buffer)):  # one memory, another tensor every time
            steps = step("copy", "x", "y", 100, grid=4)
            found = values(call(launcher, steps, inputs={"x": x}, outputs={"y": empty(100)}))
            assert found == x.array.tolist()
    assert len(vm._idle) == 1


@pytest.mark.parametrize("bytes_", [1 << 30, 0])
def test_processes_wait_for_more_launches_as_far_as_there_is_memory_for_them(
    vm: JailedVm, bytes_: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jailed, "_IDLE_BYTES", bytes_)
    copied(vm)
    assert bool(vm._idle) == bool(bytes_)
    copied(vm)


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> JailedVm:
    """A VM whose process does what the parameter says in place of a launch."""
    child = tmp_path_factory.mktemp("vm") / "vm_child.py"
    child.write_text(f"import os, ctypes\ndef prepare(setup): pass\ndef work(request, blobs):\n    {request.param}\n")
    return JailedVm(program=Program.of(child, {}, shares=True), limits=Limits(memory_bytes=1 << 30, output_bytes=1024))


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(
    "broken",
    [
        "ctypes.string_at(8)",
        "os._exit(3)",
        "return {'status': 7}, []",
        "return {'status': 0}, [b'x']",
        "os.write(3, b'x' * 99)",
    ],
    indirect=True,
)
def test_a_process_that_breaks_decides_nothing_about_the_kernel(broken: JailedVm, level: Level) -> None:
    broken.level = here(level)
    assert isinstance(copied(broken).failure, Inconclusive)


@pytest.mark.parametrize("broken", ["x = bytearray(1 << 32)"], indirect=True)
def test_more_memory_than_there_is_for_it_is_over_budget_and_none_of_it_is_kept(broken: JailedVm, left: Left) -> None:
    before = resident()
    failure = copied(broken).failure
    assert isinstance(failure, OverBudget)
    assert "1.0 GiB" in failure.message
    broken.program, broken.limits = None, None
    assert list(range(100)) == values(copied(broken))
    broken.close()
    assert resident() - before < 64 << 20
    assert not left()


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("broken", ["while True: pass"], indirect=True)
def test_a_process_that_stands_still_is_given_up_and_the_next_one_serves(broken: JailedVm, level: Level) -> None:
    broken.level, broken.patience = here(level), 0.5
    failure = copied(broken).failure
    assert isinstance(failure, OverBudget)
    assert "given up after" in failure.message
    broken.program, broken.limits, broken.patience = None, None, 60
    assert list(range(100)) == values(copied(broken))
    broken.close()


@pytest.mark.parametrize(
    "lie", ["kind = 99", "site = 1 << 31", "space = 77", "allocation = 1 << 40", "detail = 99", "waiting"]
)
def test_a_record_that_names_what_is_not_there_is_no_answer(lie: str, vm: JailedVm) -> None:
    honest = jailed._run

    def lying(worker: Worker, invocation: Invocation, *times: float) -> TimedOut | Died | None:
        ended = honest(worker, invocation, *times)
        record = type(invocation.record).from_buffer_copy(invocation.record)
        filled = {name: array.reshape(-1).view(np.uint8) for name, array in invocation.filled.items()}
        assert jailed._fits(record, filled, invocation)
        record.fault.kind = KINDS.index(FaultKind.BARRIER)
        if lie == "waiting":
            record.waiting_count = bindings.MOST_WAITING + 1
        else:
            name, _, value = lie.partition(" = ")
            setattr(record.fault, name, eval(value))
        return ended if jailed._fits(record, filled, invocation) else Died("an answer that cannot be")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jailed, "_run", lying)
        assert isinstance(copied(vm).failure, Inconclusive)
    assert list(range(100)) == values(copied(vm))


def test_a_killing_for_want_of_memory_is_the_launchs_own(vm: JailedVm, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter(range(1000))
    monkeypatch.setattr(jailed, "kills", lambda: next(counted))
    monkeypatch.setattr(jailed, "_run", lambda *_: Died("signal SIGKILL", signal.SIGKILL))
    failure = copied(vm).failure
    assert isinstance(failure, OverBudget)
    assert "memory" in failure.message


@pytest.mark.parametrize("level", Level)
def test_buffers_that_do_not_fit_the_emulators_process_are_over_budget(level: Level, left: Left) -> None:
    vm = JailedVm(here(level), limits=Limits(memory_bytes=200 << 20, output_bytes=1024))
    launcher = EmulatedLauncher(ARCH, budget=1 << 20, execute=vm)
    count = 32 << 20
    x = HostTensor(DType.INT32, (count,), np.zeros(count, np.int32))
    reply = call(launcher, step("copy", "x", "y", count), inputs={"x": x}, outputs={"y": empty(count)})
    assert isinstance(reply.failure, OverBudget)
    assert "more memory than there is" in reply.failure.message
    assert list(range(100)) == values(copied(vm))
    vm.close()
    assert not left()


@pytest.mark.full
def test_a_whole_verification_survives_two_hundred_killings_of_its_processes(
    tmp_path: Path, left: Left, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARPSMITH_CACHE", str(tmp_path))
    with killer(200, seed=3, among=("vm_child", "nvrtc_child"), most_between=1.0) as killed:
        while len(killed) < 200:
            shutil.rmtree(tmp_path)
            judged = app.verify(SEED, task=None, arch="h200", device="emulator", profiled=False)
            assert isinstance(judged.outcome, Verified), judged.outcome
    assert not left()
