"""Workers, leases and pipes: one job on a GPU at a time, and whatever ends badly costs one worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from warpsmith.core.errors import DeviceError
from warpsmith.sandbox.device.channel import Channel, ChannelClosed, TooLate
from warpsmith.sandbox.device.lease import Leases
from warpsmith.sandbox.device.messages import Survey
from warpsmith.sandbox.device.process import WorkerCommand, WorkerProcess
from warpsmith.settings import read_settings

from ..contracts.launchers import FakeGpus, call, closing, empty, ints, step, values


@pytest.fixture(scope="module")
def gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGpus]:
    yield from closing(FakeGpus(tmp_path_factory.mktemp("gpus"), count=2))


def test_jobs_share_the_gpus_out_and_none_has_two(gpus: FakeGpus) -> None:
    with gpus.pool.lease() as first, gpus.pool.lease() as second:
        uuids = {first.device.uuid, second.device.uuid}
        assert {device.uuid for device in gpus.pool.devices} == uuids
        gpus.pool.wait_seconds, kept = 0.1, gpus.pool.wait_seconds
        with pytest.raises(DeviceError, match=r"no GPU became free within 0\.1 s"), gpus.pool.lease():
            pass
        gpus.pool.wait_seconds = kept
    with gpus.pool.lease() as again:
        assert again in (first, second)


def test_a_job_waits_until_a_gpu_is_free(tmp_path: Path) -> None:
    leases, order = Leases(tmp_path), list[str]()

    def wait() -> None:
        with leases.hold(["GPU-a"], 10):
            order.append("second")

    with leases.hold(["GPU-a"], 10):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert ["first", "second"] == order


def test_a_lease_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from warpsmith.sandbox.device.lease import Leases\n"
        "with Leases(Path(sys.argv[1])).hold(['GPU-a'], 1): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None
        assert b"held\n" == other.stdout.readline()
        with pytest.raises(DeviceError, match="GPU-a in use by another job"), Leases(tmp_path).hold(["GPU-a"], 0.05):
            pass
        other.kill()
    with Leases(tmp_path).hold(["GPU-a"], 5) as uuid:
        assert "GPU-a" == uuid


def test_a_fault_costs_its_worker_and_no_other(gpus: FakeGpus) -> None:
    with gpus.pool.lease() as first, gpus.pool.lease() as second:
        workers = {first.device.uuid: first, second.device.uuid: second}
    reply = call(gpus, step("stop", "y"), outputs={"y": empty(32)})
    assert "Crashed" == getattr(reply.failure, "kind", "")
    assert [False, True] == sorted(worker.alive for worker in workers.values())
    after = call(gpus, step("copy", "x", "y", 2), inputs={"x": ints(1, 2)}, outputs={"y": empty(2)})
    assert [1, 2] == values(after)


def test_a_refused_launch_costs_nothing(gpus: FakeGpus) -> None:
    with gpus.pool.lease() as worker:
        pass
    reply = call(gpus, step("stop", "y", shared=300 << 10), outputs={"y": empty(32)})
    assert ("OverBudget", 7) == (getattr(reply.failure, "kind", ""), getattr(reply.failure, "line", 0))
    assert worker.alive


def test_a_worker_that_was_killed_is_replaced(gpus: FakeGpus) -> None:
    with gpus.pool.lease() as worker:
        worker.close()
        assert not worker.alive
    reply = call(gpus, step("copy", "x", "y", 2), inputs={"x": ints(1, 2)}, outputs={"y": empty(2)})
    assert [1, 2] == values(reply)


def test_too_little_memory_is_an_error_of_the_machine(gpus: FakeGpus) -> None:
    with pytest.raises(DeviceError, match=r"OUT_OF_MEMORY; \d+ of the GPU.s 1024 MiB are free\. Free memory"):
        call(gpus, step("copy", "x", "y", 2), inputs={"x": ints(1, 2)}, outputs={"y": empty(260 << 20)})


def test_a_worker_that_does_not_answer_is_ended() -> None:
    silent = WorkerProcess(WorkerCommand((sys.executable, "-c", "import time; time.sleep(60)")))
    with pytest.raises(TooLate, match=r"no answer within 0\.2 s"):
        silent.ask(Survey(), seconds=0.2)
    assert not silent.alive


def test_a_worker_goes_when_its_parent_does(tmp_path: Path) -> None:
    worker = str(Path(__file__).parent / "fake_worker.py")
    code = (
        "import os, sys; from warpsmith.sandbox.device.pool import *; from warpsmith.sandbox.device.process import *\n"
        f"command = WorkerCommand((sys.executable, {worker!r}, {str(tmp_path)!r}, '1'))\n"
        "worker = Worker(command, survey(command).devices[0].uuid)\n"
        "print(worker._process._process.pid, flush=True); os._exit(0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pid = int(ran.stdout)
    for _ in range(100):
        if not _runs(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the worker outlived its parent by five seconds")


def _runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_worker_sees_no_secret() -> None:
    given = {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1", "OPENAI_API_KEY": "secret", "HF_TOKEN": "secret"}
    assert {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "1"} == read_settings(given).worker_environment


@pytest.fixture
def pipe() -> Iterator[tuple[int, Channel]]:
    """A descriptor to write to, and a channel that reads what was written."""
    reading, writing = os.pipe()
    channel = Channel(reading, os.open(os.devnull, os.O_WRONLY), transfer_seconds=0.05)
    yield writing, channel
    channel.close()


@given(
    message=st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.booleans())),
    sizes=st.lists(st.integers(0, 3000), max_size=4),
)
def test_what_is_sent_arrives(message: dict[str, object], sizes: list[int]) -> None:
    reading, writing = os.pipe()
    channel = Channel(reading, writing)
    blobs = [np.random.default_rng(size).integers(0, 256, size, np.uint8) for size in sizes]
    channel.send(message, blobs)
    packet = channel.receive(1)
    channel.close()
    assert message == packet.message
    assert [blob.tolist() for blob in blobs] == [blob.tolist() for blob in packet.blobs]


@pytest.mark.parametrize(
    "data",
    [
        b"\x05",
        ((1 << 40) + 1).to_bytes(8, "little"),
        (2).to_bytes(8, "little") + b"{]",
        (2).to_bytes(8, "little") + b"[]",
        (24).to_bytes(8, "little") + b'{"message":{},"sizes":9}',
        (27).to_bytes(8, "little") + b'{"message":{},"sizes":[-1]}',
        (26).to_bytes(8, "little") + b'{"message":1,"sizes":[  ]}',
    ],
)
def test_what_is_no_message_is_refused(pipe: tuple[int, Channel], data: bytes) -> None:
    writing, channel = pipe
    os.write(writing, data)
    os.close(writing)
    with pytest.raises(ChannelClosed):
        channel.receive(1)


def test_a_message_that_stops_halfway_is_too_late(pipe: tuple[int, Channel]) -> None:
    writing, channel = pipe
    os.write(writing, (24).to_bytes(8, "little") + b'{"mess')
    with pytest.raises(TooLate):
        channel.receive(0.05)
    os.close(writing)
