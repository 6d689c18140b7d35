"""Launchers under contract, and plans written by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from warpsmith.core.arch import find_architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.digest import digest_bytes
from warpsmith.core.dtype import DType
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.plan import Arg, BoundBuffer, BoundFill, BoundLaunch, BoundPlan, IntArg, TensorArg
from warpsmith.core.protocols import Launcher, RunReply, RunRequest
from warpsmith.core.task import Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.compile import compile_cuda, compile_unit
from warpsmith.sandbox.device.confined import Confinement
from warpsmith.sandbox.device.launcher import DeviceLauncher
from warpsmith.sandbox.device.lease import Leases
from warpsmith.sandbox.device.messages import Surveyed
from warpsmith.sandbox.device.pool import Pool, survey
from warpsmith.sandbox.device.process import WorkerCommand
from warpsmith.sandbox.jail.levels import Level
from warpsmith.settings import read_settings
from warpsmith.tasks import load_task

FAKE_WORKER = Path(__file__).parents[1] / "device" / "fake_worker.py"
KERNELS = Path(__file__).parent / "kernels.cu"
ROOT = Path(__file__).parents[2]
SOFTMAX, SOFTMAX_TASK = (ROOT / "examples" / "softmax.py", ROOT / "examples" / "tasks" / "row_softmax.py")


@cache
def artifact() -> Artifact:
    text = KERNELS.read_text()
    names = [line.split("(")[0].split()[-1] for line in text.splitlines() if line.startswith("__global__")]
    unit = TranslationUnit(text=text, preamble="", appendix="", names=tuple(names))
    made = compile_cuda(unit, "sm_90a")
    assert isinstance(made, Artifact), made
    return made


@cache
def triton(rows: int) -> tuple[Builds, Workload]:
    """A compiled softmax over rows of 100 in Triton, and the workload it is built for."""
    task = load_task(SOFTMAX_TASK)
    kernel = parse_kernel_file(SOFTMAX.read_text(), file=str(SOFTMAX))
    builds = Builds(kernel, task, kernel.default_knobs(), find_architecture("h200"), compile_unit)
    workload = Workload("rows", {"M": rows, "N": 100}, "normal", dtypes={"T": "float16"})
    assert builds.build(workload) is None
    return builds, workload


@dataclass
class FakeGpus:
    """A launcher on imagined devices; the folder keeps the PTX that each cubin came from."""

    folder: Path
    count: int = 1
    options: tuple[str, ...] = ()
    seconds: float = 1.0
    level: Level | None = None
    """At which workers are jailed."""
    worker: Path = FAKE_WORKER
    devices: tuple[str, ...] = ()
    pool: Pool = field(init=False)

    def __post_init__(self) -> None:
        readable = (str(self.folder), str(FAKE_WORKER.parents[1]))
        command = WorkerCommand(
            (sys.executable, str(self.worker), str(self.folder), str(self.count), *self.options),
            None if self.level is None else read_settings().worker_environment,
            None if self.level is None else Confinement(self.level, readable, self.devices),
        )
        found = survey(command)
        assert isinstance(found, Surveyed), found
        self.pool = Pool(found.devices, command, Leases(self.folder), wait_seconds=20)

    def run(self, request: RunRequest) -> RunReply:
        pair(request.artifact, self.folder)
        return DeviceLauncher(self.pool, self.seconds).run(request)


def pair(made: Artifact, folder: Path) -> None:
    (folder / f"{digest_bytes(made.cubin)}.ptx").write_text(made.ptx)


def step(
    kernel: str, *args: Arg | str | int, grid: int = 1, block: int = 32, shared: int = 0, **more: bool
) -> BoundLaunch:
    bound = tuple(
        TensorArg(arg) if isinstance(arg, str) else IntArg(arg) if isinstance(arg, int) else arg for arg in args
    )
    return BoundLaunch(kernel, (grid, 1, 1), (block, 1, 1), shared, bound, line=7, **more)


def ints(*values: int) -> HostTensor:
    return tensor(np.array(values, np.int32))


def tensor(array: np.ndarray) -> HostTensor:
    return HostTensor(DType(array.dtype.name), array.shape, array)


def empty(count: int, dtype: DType = DType.INT32) -> HostTensor:
    return HostTensor(dtype, (count,), np.zeros(count, dtype.storage))


def call(
    launcher: Launcher,
    *steps: BoundLaunch | BoundFill,
    inputs: Mapping[str, HostTensor] | None = None,
    outputs: Mapping[str, HostTensor],
    buffers: tuple[BoundBuffer, ...] = (),
    **more: object,
) -> RunReply:
    request = RunRequest(artifact(), BoundPlan(buffers, steps), inputs or {}, outputs, counters=False, **more)
    return launcher.run(request)


def values(reply: RunReply, name: str = "y") -> list[float]:
    assert reply.failure is None, reply.failure
    return reply.outputs[name].array.tolist()


def closing(launcher: FakeGpus) -> Iterator[FakeGpus]:
    yield launcher
    launcher.pool.close()
