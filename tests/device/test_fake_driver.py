"""The fake driver refuses what the real one refuses, and the worker's parts do as they should over it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from warpsmith.core.artifact import Artifact
from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.digest import digest_bytes
from warpsmith.sandbox.compile import compile_cuda
from warpsmith.sandbox.device.driver import DriverFailure, KernelLaunch
from warpsmith.sandbox.device.lowering import module_of
from warpsmith.sandbox.device.memory import LOOSE, STRICT
from warpsmith.sandbox.device.session import LaunchRefused, LayoutMismatch, Session

from .fake_driver import FakeDriver, device_info

TEXT = """
__global__ void fill(int* y, int value) { y[blockIdx.x * blockDim.x + threadIdx.x] = value; }
__global__ void __launch_bounds__(64) small(int* y) { y[threadIdx.x] = 1; }
__global__ void held(int* y) {
    __shared__ int s[1024];
    extern __shared__ int more[];
    s[threadIdx.x] = more[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[31 - threadIdx.x] + more[31 - threadIdx.x];
}
"""


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    made = compile_cuda(TranslationUnit(text=TEXT, preamble="", appendix="", names=("fill", "small", "held")), "sm_90a")
    assert isinstance(made, Artifact)
    return made


@pytest.fixture
def driver(artifact: Artifact, tmp_path: Path) -> FakeDriver:
    (tmp_path / f"{digest_bytes(artifact.cubin)}.ptx").write_text(artifact.ptx)
    return FakeDriver(tmp_path)


@pytest.fixture
def session(driver: FakeDriver, artifact: Artifact) -> Session:
    opened = Session.open(driver, driver.devices()[0])
    opened.load("m", artifact.cubin, module_of(artifact).layouts)
    return opened


def launch(session: Session, artifact: Artifact, name: str, *params: bytes, **shape: object) -> None:
    asked = {"grid": (1, 1, 1), "block": (32, 1, 1), "shared": 0} | shape
    session.launch("m", artifact.entries[name], KernelLaunch(0, params=params, **asked))


def address_of(session: Session, nbytes: int = 4096) -> bytes:
    return session.memory().place(nbytes).address.to_bytes(8, "little")


SEVEN = (7).to_bytes(4, "little")


def test_a_launch_writes_device_memory(session: Session, artifact: Artifact) -> None:
    region = session.memory().place(128)
    launch(session, artifact, "fill", region.address.to_bytes(8, "little"), SEVEN)
    session.wait(1)
    data = np.zeros(128, np.uint8)
    session.driver.download(data, region.address, session.stream)
    assert [7] * 32 == data.view(np.int32).tolist()


@pytest.mark.parametrize(
    ("shape", "result"),
    [
        ({"grid": (1, 65536, 1)}, "INVALID_VALUE"),
        ({"grid": (0, 1, 1)}, "INVALID_VALUE"),
        ({"block": (1025, 1, 1)}, "INVALID_VALUE"),
        ({"block": (1, 1, 65)}, "INVALID_VALUE"),
        ({"block": (32, 8, 8)}, "INVALID_VALUE"),
        ({"shared": 300 << 10}, "INVALID_VALUE"),
        ({"grid": (132 * 64 + 1, 1, 1), "cooperative": True}, "COOPERATIVE_LAUNCH_TOO_LARGE"),
    ],
)
def test_a_launch_that_no_device_takes_is_refused(
    session: Session, artifact: Artifact, shape: dict[str, object], result: str
) -> None:
    address = address_of(session)
    with pytest.raises(LaunchRefused) as refused:
        launch(session, artifact, "fill", address, SEVEN, **shape)
    assert f"CUDA_ERROR_{result}" == refused.value.result
    assert ("fit on the GPU at once" in str(refused.value)) == ("cooperative" in shape)
    launch(session, artifact, "fill", address, SEVEN)
    session.wait(1)


def test_more_threads_than_launch_bounds_are_out_of_resources(session: Session, artifact: Artifact) -> None:
    address = address_of(session)
    launch(session, artifact, "small", address, block=(64, 1, 1))
    with pytest.raises(LaunchRefused, match=r"LAUNCH_OUT_OF_RESOURCES.*at most 64 threads"):
        launch(session, artifact, "small", address, block=(65, 1, 1))


def test_shared_memory_beyond_48_kib_is_opted_in_to_static_bytes_included(
    session: Session, driver: FakeDriver, artifact: Artifact
) -> None:
    address = address_of(session)
    launch(session, artifact, "held", address, shared=44 << 10)
    assert "cuFuncSetAttribute" not in driver.calls
    launch(session, artifact, "held", address, shared=(44 << 10) + 16)
    assert "cuFuncSetAttribute" in driver.calls
    function = session.modules["m"].functions[artifact.entries["fill"]]
    asked = KernelLaunch(function, (1, 1, 1), (32, 1, 1), 49 << 10, (address, SEVEN))
    with pytest.raises(DriverFailure, match="cuLaunchKernelEx answered CUDA_ERROR_INVALID_VALUE"):
        driver.launch(asked, session.stream)


@pytest.mark.parametrize("params", [(b"\0" * 8,), (b"\0" * 8, b"\0" * 8), (b"\0" * 8, b"\0" * 4, b"\0" * 4)])
def test_parameters_that_are_not_the_kernels_are_refused(
    session: Session, artifact: Artifact, params: tuple[bytes, ...]
) -> None:
    with pytest.raises(LaunchRefused, match="INVALID_VALUE"):
        launch(session, artifact, "fill", *params)


def test_a_fault_comes_to_light_at_the_next_look_and_stays(session: Session, artifact: Artifact) -> None:
    launch(session, artifact, "fill", bytes(8), SEVEN)
    with pytest.raises(DriverFailure, match="ILLEGAL_ADDRESS"):
        session.wait(1)
    with pytest.raises(DriverFailure, match="cuMemAlloc answered CUDA_ERROR_ILLEGAL_ADDRESS"):
        session.driver.allocate(16)


def test_code_for_another_architecture_is_not_loaded(artifact: Artifact, driver: FakeDriver) -> None:
    driver.infos = (device_info(capability=(10, 0)),)
    driver.open(0)
    with pytest.raises(DriverFailure, match="NO_BINARY_FOR_GPU"):
        driver.load_module(artifact.cubin)


def test_ptx_is_not_loaded(artifact: Artifact, driver: FakeDriver) -> None:
    driver.open(0)
    with pytest.raises(DriverFailure, match="INVALID_IMAGE"):
        driver.load_module(artifact.ptx.encode())


def test_a_cubin_whose_parameters_are_not_those_of_its_ptx_is_refused(artifact: Artifact, driver: FakeDriver) -> None:
    session = Session.open(driver, driver.devices()[0])
    with pytest.raises(LayoutMismatch, match=r"\(\(0, 8\), \(8, 4\)\) in the cubin, at \(\(0, 8\),\) in the PTX"):
        session.load("m", artifact.cubin, {artifact.entries["fill"]: ((0, 8),)})


def test_nothing_works_without_a_context(driver: FakeDriver) -> None:
    with pytest.raises(DriverFailure, match="INVALID_CONTEXT"):
        driver.allocate(16)


def test_memory_is_freed_once_and_used_no_more(session: Session) -> None:
    driver = session.driver
    address = driver.allocate(64)
    driver.free(address)
    with pytest.raises(DriverFailure, match="cuMemFree"):
        driver.free(address)
    with pytest.raises(DriverFailure, match="cuMemcpyHtoDAsync"):
        driver.upload(address, np.zeros(4, np.uint8), session.stream)


def test_more_memory_than_the_device_has_is_refused(session: Session) -> None:
    with pytest.raises(DriverFailure, match="OUT_OF_MEMORY"):
        session.memory().place(2 << 30)


def test_a_stream_that_is_captured_runs_nothing_until_the_graph_is_launched(
    session: Session, artifact: Artifact
) -> None:
    driver, region, data = session.driver, session.memory().place(128), np.zeros(128, np.uint8)
    driver.begin_capture(session.stream)
    launch(session, artifact, "fill", region.address.to_bytes(8, "little"), SEVEN)
    with pytest.raises(DriverFailure, match="STREAM_CAPTURE_UNSUPPORTED"):
        driver.download(data, region.address, session.stream)
    graph = driver.end_capture(session.stream)
    driver.download(data, region.address, session.stream)
    assert 0 == data.sum()
    driver.launch_graph(graph, session.stream)
    driver.destroy_graph(graph)
    driver.download(data, region.address, session.stream)
    assert [7] * 32 == data.view(np.int32).tolist()


@pytest.mark.parametrize("virtual", [True, False])
@pytest.mark.parametrize(("alignment", "remainder"), [(LOOSE, 0), (STRICT, 16)])
@pytest.mark.parametrize("nbytes", [1, 16, 256, 5000, 2 << 20])
def test_a_buffer_is_aligned_as_promised_and_no_better(
    driver: FakeDriver, virtual: bool, alignment: int, remainder: int, nbytes: int
) -> None:
    driver.infos = (device_info(virtual_memory=virtual),)
    session = Session.open(driver, driver.infos[0])
    memory = session.memory(alignment)
    region = memory.place(nbytes)
    assert 0 == region.address % alignment
    if remainder and nbytes % LOOSE == 0:
        assert 0 != region.address % LOOSE
    assert virtual == (region.end - region.address < nbytes + LOOSE + 1)
    memory.free()
    assert driver.memory()[0] == driver.memory()[1]


@pytest.mark.parametrize("virtual", [True, False])
def test_a_changed_byte_beside_a_buffer_is_found(driver: FakeDriver, virtual: bool) -> None:
    driver.infos = (device_info(virtual_memory=virtual),)
    session = Session.open(driver, driver.infos[0])
    memory = session.memory()
    region = memory.place(100)
    assert memory.damaged(region) is None
    one = np.zeros(1, np.uint8)
    for offset, expected in ((100, 0), (-1, -1)):
        driver.download(one, region.address + offset, session.stream)
        driver.upload(region.address + offset, ~one, session.stream)
        assert expected == memory.damaged(region)
        driver.upload(region.address + offset, one, session.stream)
    assert memory.damaged(region) is None


def test_events_keep_time(session: Session) -> None:
    driver = session.driver
    first, second = driver.new_event(), driver.new_event()
    with pytest.raises(DriverFailure, match="cuEventElapsedTime"):
        driver.elapsed_us(first, second)
    driver.record(first, session.stream)
    driver.record(second, session.stream)
    assert 0 <= driver.elapsed_us(first, second) < 1e6
    driver.destroy_event(first)
    with pytest.raises(DriverFailure, match="cuEventRecord"):
        driver.record(first, session.stream)
