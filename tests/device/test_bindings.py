"""What reaches the driver's C interface through cuda-bindings, told by a libcuda.so.1 that says how it is called."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from warpsmith.sandbox.compile.toolchain import find_toolchain

STUB = Path(__file__).parent / "libcuda_stub.c"
HEAD = """
import numpy as np
from warpsmith.sandbox.device.bindings import CudaDriver
from warpsmith.sandbox.device.driver import DriverFailure, FunctionFact, KernelLaunch
driver = CudaDriver()
driver.open(0)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("stub")
    # All but the prelude, whose standard headers are for kernels.
    include = [f"-I{path}" for path in find_toolchain().include if (Path(path) / "cuda.h").is_file()]
    subprocess.run(["cc", "-shared", "-fPIC", "-w", *include, "-o", made / "libcuda.so.1", STUB, "-ldl"], check=True)
    return made


def said(folder: Path, program: str) -> tuple[list[str], list[str]]:
    """Lines of the program, and of the driver, without those of its start."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder)}
    ran = subprocess.run([sys.executable, "-c", HEAD + program], env=environment, capture_output=True, text=True)
    assert 0 == ran.returncode, ran.stderr
    driver = ran.stderr.splitlines()
    assert ["cuInit 0", "retain dev 0", "setcurrent 0xc0"] == driver[:3]
    return ran.stdout.splitlines(), driver[3:]


def test_a_kernel_is_loaded_and_asked_about(folder: Path) -> None:
    printed, driver = said(
        folder,
        """
module = driver.load_module(b"\\x7fELF code")
function = driver.function(module, "_Z4copyPKiPii")
print(driver.param_layout(function))
print([driver.fact(function, fact) for fact in FunctionFact])
driver.allow_shared(function, 70000)
print(driver.resident_blocks(function, 128, 64))
""",
    )
    assert ["((0, 8), (8, 8), (16, 4))", "[100, 101, 103, 104]", "7"] == printed
    assert ["load ELF ", "getfunction 0xad _Z4copyPKiPii"] == driver[:2]
    assert {"setattr 0xf0 8 70000", "occ 0xf0 128 64"} <= set(driver)


def test_a_launch_says_its_shape_and_points_to_its_parameters(folder: Path) -> None:
    printed, driver = said(
        folder,
        """
params = [(0x1122).to_bytes(8, "little"), (0x33).to_bytes(8, "little"), (77).to_bytes(4, "little")]
driver.launch(KernelLaunch(0xF0, (1, 2, 3), (4, 5, 6), 64, params), 0x57)
driver.launch(KernelLaunch(0xF0, (1, 2, 3), (4, 5, 6), 64, params, cooperative=True), 0x57)
try:
    driver.launch(KernelLaunch(0xF0, (1, 9, 1), (4, 5, 6), 64, params), 0x57)
except DriverFailure as failure:
    print(failure)
""",
    )
    plain = ["launch 0xf0 grid 1 2 3 block 4 5 6 shared 64 stream 0x57", "params 1122 33 77 (nil)"]
    assert [*plain, plain[0], "attributes 1: 2 is 1", plain[1]] == driver[:5]
    assert ["cuLaunchKernelEx answered CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES: words for it"] == printed


def test_memory_is_reserved_mapped_and_given_back(folder: Path) -> None:
    printed, driver = said(
        folder,
        """
print(driver.granularity())
base, handle = driver.reserve(6 << 20), driver.create(2 << 20)
driver.map(base + (2 << 20), 2 << 20, handle)
driver.unmap(base + (2 << 20), 2 << 20)
driver.release(handle)
driver.unreserve(base, 6 << 20)
""",
    )
    assert ["2097152"] == printed
    assert [
        "gran type 1 loc 1 id 0 opt 0",
        "reserve 6291456 0 0 0",
        "create 2097152 type 1 loc 1 id 0 flags 0",
        "map 7f0000200000 2097152 0 1234567890 0",
        "access 7f0000200000 2097152 loc 1 id 0 flags 3 n 1",
        "unmap 7f0000200000 2097152",
        "release 1234567890",
        "addrfree 7f0000000000 6291456",
    ] == driver


def test_bytes_are_copied_and_set_on_a_stream(folder: Path) -> None:
    printed, driver = said(
        folder,
        """
address, stream, data = driver.allocate(100), driver.new_stream(), np.zeros(3, np.uint8)
driver.upload(address, np.array([7, 8], np.uint8), stream)
driver.download(data, address, stream)
driver.copy(address, address + 5, 3, stream)
driver.fill(address, 255, 9, stream)
driver.free(address)
print(data.tolist(), driver.memory(), driver.done(stream), driver.done(stream))
""",
    )
    assert ["[42, 42, 42] (5, 9) False True"] == printed
    assert [
        "alloc 100",
        "stream flags 1",
        "h2d 7e0000000000 first 7 n 2 stream 0x57",
        "d2h 7e0000000000 n 3 stream 0x57",
        "sync 0x57",
        "d2d 7e0000000000 7e0000000005 3 0x57",
        "memset 7e0000000000 255 9 0x57",
        "free 7e0000000000",
    ] == driver[:8]


def test_a_captured_stream_becomes_a_graph_that_is_launched_and_timed(folder: Path) -> None:
    printed, driver = said(
        folder,
        """
driver.begin_capture(0x57)
graph = driver.end_capture(0x57)
driver.launch_graph(graph, 0x57)
driver.destroy_graph(graph)
event = driver.new_event()
driver.record(event, 0x57)
print(driver.elapsed_us(event, event))
driver.destroy_event(event)
driver.reset_persisting_l2()
""",
    )
    assert ["1500.0"] == printed
    assert [
        *("begincapture 0x57 mode 1", "endcapture 0x57", "instantiate 0x61 0", "graphdestroy 0x61"),
        *("graphlaunch 0xe1 0x57", "execdestroy 0xe1"),
        *("event flags 0", "record 0xee 0x57", "eventdestroy 0xee", "resetL2"),
    ] == driver


def test_a_device_is_described_by_its_attributes(folder: Path) -> None:
    printed, _ = said(folder, "(device,) = driver.devices(); print(device.name, device.uuid, device.memory_bytes)")
    assert [f"NVIDIA Stub GPU-01112131-4151-6171-8191-a1b1c1d1e1f1 {1 << 37}"] == printed


def test_without_the_drivers_library_that_is_the_result() -> None:
    code = """
from warpsmith.sandbox.device.bindings import CudaDriver
from warpsmith.sandbox.device.driver import DriverFailure
try:
    CudaDriver()
except DriverFailure as failure:
    print(failure.result)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() in ("LIBCUDA_NOT_FOUND", "CUDA_ERROR_NO_DEVICE", "")
