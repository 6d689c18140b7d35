"""What the GPU's parts really do, beside the figures that the time model uses: bandwidths, latencies, throughputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from warpsmith.core.arch import Architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Failure
from warpsmith.core.plan import BoundBuffer, BoundLaunch, BoundPlan, IntArg, TensorArg
from warpsmith.core.protocols import RunRequest
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.device.timer import TimedRun
from warpsmith.silicon.box import Box, Unit
from warpsmith.silicon.rig import Rig

FILE = "calibration.json"
SOURCE = Path(__file__).parent / "calibration.cu"
MIB = 1 << 20
BLOCK = 256
DRAM_BYTES, L2_BYTES, L2_ROUNDS = 256 * MIB, 8 * MIB, 64
SHARED_ROUNDS, FMA_ROUNDS, MMA_ROUNDS, SFU_ROUNDS, ATOMIC_ROUNDS = 4096, 4096, 2048, 2048, 64
HOPS = 8192


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure."""

    name: str
    unit: str
    kernel: str
    blocks: int
    work: float
    """What one call does, in units x microseconds."""
    figure: float
    """What the model takes for it."""
    words: int = 1
    """Of scratch, or of the chain."""
    rounds: int = 1
    launches: int = 1
    chain: int = 0
    """Bytes between the links of a pointer chain; 0: no chain."""
    inverse: bool = False
    """The figure is time over work: a latency."""


def measures(arch: Architecture) -> tuple[Measure, ...]:
    """All figures, those the model leans on most first."""
    sms, full = arch.sms, 8 * arch.sms
    threads = full * BLOCK
    giga = 1e-3  # Units of 10^9 a second are 10^3 a microsecond.
    words = DRAM_BYTES // 4
    l2_words = L2_BYTES // 4
    per_clock = 1 / (sms * arch.clock_mhz)
    """Operations a microsecond -> operations a clock and multiprocessor."""
    return (
        Measure("DRAM read", "GB/s", "read_once", full, DRAM_BYTES * giga, arch.dram_gbps, words),
        Measure("DRAM copy", "GB/s", "copy_once", full, DRAM_BYTES * giga, arch.dram_gbps, words),
        Measure("L2 read", "GB/s", "read_often", full, L2_BYTES * L2_ROUNDS * giga, arch.l2_gbps, l2_words, L2_ROUNDS),
        Measure(
            *("shared read", "bytes a clock and SM", "read_shared", full),
            *(threads * SHARED_ROUNDS * 16 * per_clock, arch.l1_per_sm, 1, SHARED_ROUNDS),
        ),
        Measure(
            *("fp32 FMA", "lanes a clock and SM", "multiply", full),
            *(threads * FMA_ROUNDS * 8 * per_clock, arch.lanes["fma"], 1, FMA_ROUNDS),
        ),
        Measure(
            *("mma.sync f16", "FLOP a clock and SM", "matrix", full),
            *(threads / 32 * MMA_ROUNDS * 4 * 4096 * per_clock, arch.tensor["fp16"] * arch.warp_mma, 1, MMA_ROUNDS),
        ),
        Measure(
            *("ex2", "lanes a clock and SM", "exponent", full),
            *(threads * SFU_ROUNDS * 4 * per_clock, arch.lanes["sfu"], 1, SFU_ROUNDS),
        ),
        Measure(
            *("atomics, distinct addresses", "lanes a clock", "scatter_add", full),
            *(threads * ATOMIC_ROUNDS / arch.clock_mhz, arch.l2_atomics, 4 * MIB, ATOMIC_ROUNDS),
        ),
        _latency("L1 latency", "chase", arch.l1_latency, 128, 128, arch),
        _latency("L2 latency", "chase_past_l1", arch.l2_latency, 512, 4224, arch),
        _latency("DRAM latency", "chase_past_l1", arch.dram_latency, HOPS, 33 * 4096, arch),
        Measure("launch in a graph", "us", "nothing", 1, 64, arch.launch_us, launches=64, inverse=True),
    )


def _latency(name: str, kernel: str, figure: float, links: int, stride: int, arch: Architecture) -> Measure:
    """A chain of `links` links, `stride` bytes apart, followed HOPS times: each but the first round cached."""
    clocks = HOPS / arch.clock_mhz
    words = links * stride // 4
    return Measure(name, "clocks", kernel, 1, clocks, figure, words, HOPS, chain=stride, inverse=True)


def calibrate_all(rig: Rig, box: Box) -> None:
    """The step: every figure once."""
    for measure in measures(rig.arch):
        box.unit(FILE, f"{rig.arch.name}/{measure.name}", partial(calibrate, rig, measure), needs=10)


def calibrate(rig: Rig, measure: Measure) -> Unit:
    """Time it and hold it against the model's figure."""
    artifact = rig.compile(SOURCE.read_text(), *KERNELS)
    run = rig.timer.time(mint(artifact, measure), seconds=0.3)
    if not isinstance(run, TimedRun):
        return {"failed": run.message if isinstance(run, Failure) else run.kind}
    us = run.timing.duration.us
    clocks = [sample.after.sm_mhz for sample in run.timing.samples if sample.after.sm_mhz]
    return {
        "value": us / measure.work if measure.inverse else measure.work / us,
        "unit": measure.unit,
        "model's figure": measure.figure,
        "us": us,
        "low us": run.timing.duration.low_us,
        "high us": run.timing.duration.high_us,
        "sm mhz": float(np.median(clocks)) if clocks else None,
        "highest sm mhz": rig.arch.clock_mhz,
    }


KERNELS = (
    *("read_once", "copy_once", "read_often", "read_shared", "multiply", "matrix", "exponent", "scatter_add"),
    *("chase", "chase_past_l1", "nothing"),
)
"""Of calibration.cu; each takes (data, y, words, rounds)."""


def mint(artifact: Artifact, measure: Measure) -> Callable[[int], RunRequest]:
    """The call for each input set."""
    args = (TensorArg("data"), TensorArg("y"), IntArg(measure.words), IntArg(measure.rounds))
    block = 1 if measure.chain or measure.kernel == "nothing" else BLOCK
    step = BoundLaunch(measure.kernel, (measure.blocks, 1, 1), (block, 1, 1), 0, args, line=1)
    inputs: dict[str, HostTensor] = {}
    buffers: tuple[BoundBuffer, ...] = (BoundBuffer("data", (measure.words,), DType.INT32),)
    if measure.chain:
        links = measure.words
        chain = ((np.arange(links, dtype=np.int64) + measure.chain // 4) % links).astype(np.int32)
        inputs, buffers = {"data": HostTensor(DType.INT32, chain.shape, chain)}, ()
    y = HostTensor(DType.INT32, (BLOCK,), np.zeros(BLOCK, np.int32))
    plan = BoundPlan(buffers, (step,) * measure.launches)
    return lambda number: RunRequest(artifact, plan, inputs, {"y": y}, seed=number, counters=False)
