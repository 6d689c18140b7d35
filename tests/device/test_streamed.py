"""Plans launched on a stream of the caller's, over memory of the caller's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from warpsmith.core.dtype import DType
from warpsmith.core.plan import BoundBuffer, BoundFill, BoundPlan
from warpsmith.sandbox.device.session import LaunchRefused, Session
from warpsmith.sandbox.device.streamed import StreamedPlan

from ..contracts.launchers import artifact, pair, step
from .fake_driver import FakeDriver


@pytest.fixture
def session(tmp_path: Path) -> Session:
    pair(artifact(), tmp_path)
    driver = FakeDriver(tmp_path)
    return Session.open(driver, driver.devices()[0])


def put(session: Session, values: np.ndarray) -> int:
    address = session.driver.allocate(values.nbytes)
    session.driver.upload(address, values.view(np.uint8), session.stream)
    return address


def get(session: Session, address: int, count: int) -> list[int]:
    data = np.zeros(4 * count, np.uint8)
    session.driver.download(data, address, session.stream)
    return data.view(np.int32).tolist()


def words(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def test_prepare_runs_once_and_launches_as_often_as_asked(session: Session) -> None:
    packed = BoundBuffer("packed", (32,), DType.INT32, prepared=True)
    plan = BoundPlan((packed,), (step("twice", "w", "packed", prepare=True), step("shifted", "x", "packed", "y")))
    streamed = StreamedPlan(session, artifact(), plan, {"w": 128, "x": 128, "y": 128})
    at = {name: put(session, np.arange(32, dtype=np.int32) * by) for name, by in (("w", 1), ("x", 10), ("y", 0))}
    at["packed"] = put(session, np.zeros(32, np.int32))
    stream = session.driver.new_stream()
    assert ([packed], []) == (list(streamed.prepared), list(streamed.scratch))
    streamed.prepare(at, stream)
    streamed.launch(at, stream)
    assert [12 * i for i in range(32)] == get(session, at["y"], 32)
    session.driver.upload(at["x"], np.zeros(128, np.uint8), stream)
    streamed.launch(at, stream)
    assert [2 * i for i in range(32)] == get(session, at["y"], 32)


def test_memsets_are_part_of_every_call_and_of_a_captured_graph(session: Session) -> None:
    sums = BoundBuffer("sums", (4,), DType.INT32, init=0)
    plan = BoundPlan((sums,), (step("add_into", "sums", "x"), BoundFill("y", -1), step("copy", "sums", "y", 3)))
    streamed = StreamedPlan(session, artifact(), plan, {"x": 128, "y": 16})
    at = {
        "x": put(session, words(*[1] * 32)),
        "y": put(session, words(9, 9, 9, 9)),
        "sums": put(session, words(5, 5, 5, 5)),
    }
    stream, driver = session.driver.new_stream(), session.driver
    for _ in range(2):
        streamed.launch(at, stream)
        assert [8, 8, 8, -1] == get(session, at["y"], 4)
    driver.begin_capture(stream)
    streamed.launch(at, stream)
    graph = driver.end_capture(stream)
    driver.upload(at["x"], words(*[2] * 32).view(np.uint8), stream)
    driver.launch_graph(graph, stream)
    assert [16, 16, 16, -1] == get(session, at["y"], 4)


def test_an_absent_tensor_is_a_null_pointer_and_a_launch_too_large_is_refused(session: Session) -> None:
    large = BoundPlan((), (step("stop", "y", shared=300 << 10),))
    with pytest.raises(LaunchRefused, match="INVALID_VALUE"):
        StreamedPlan(session, artifact(), large, {"y": 128}).launch({"y": 0}, session.stream)
    absent = StreamedPlan(session, artifact(), BoundPlan((), (step("copy", "x", "y", 0),)), {"y": 128})
    absent.launch({"y": put(session, np.zeros(32, np.int32))}, session.stream)
    assert session.driver.done(session.stream)
