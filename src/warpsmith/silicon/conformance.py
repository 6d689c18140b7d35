"""What the GPU answers where the ISA leaves it open, kept as golden data, and how far the emulator is from it."""

from __future__ import annotations

import base64
import zlib
from functools import partial

import numpy as np

from warpsmith.core.artifact import Artifact
from warpsmith.core.dtype import DType
from warpsmith.core.errors import ToolchainError
from warpsmith.core.outcome import Failure
from warpsmith.core.plan import BoundLaunch, BoundPlan, IntArg, TensorArg
from warpsmith.core.protocols import RunRequest
from warpsmith.core.tensor import HostTensor
from warpsmith.silicon.agreement import difference
from warpsmith.silicon.box import Box, Unit
from warpsmith.silicon.probes import Probe, probes, source
from warpsmith.silicon.rig import Rig

FILE = "golden.json"
BLOCK = 256
LEAST_SECONDS = 3.0


def probe_all(rig: Rig, box: Box) -> None:
    """The step: every instruction once."""
    known = box.read(FILE)
    wanted = {f"{rig.arch.target}/{probe.opcode}": probe for probe in probes()}
    missing = tuple(probe for name, probe in wanted.items() if name not in known)
    together = _together(rig, missing) if missing and box.left > LEAST_SECONDS else None
    for name, probe in wanted.items():
        box.unit(FILE, name, partial(ask, rig, probe, together), needs=LEAST_SECONDS)


def _together(rig: Rig, chosen: tuple[Probe, ...]) -> Artifact | None:
    """All kernels from one compilation; None where the target lacks an instruction: then each is compiled alone."""
    try:
        return rig.compile(source(chosen), *(probe.kernel for probe in chosen))
    except ToolchainError:
        return None


def ask(rig: Rig, probe: Probe, artifact: Artifact | None = None) -> Unit:
    """Operands and the GPU's answers, compressed, with the emulator's difference."""
    request = request_of(rig, probe, artifact or rig.compile(probe.text, probe.kernel))
    gpu, emulated = rig.launcher.run(request), rig.emulator.run(request)
    found: dict[str, object] = {"opcode": probe.opcode, "result": str(probe.result)}
    if gpu.failure is not None:
        return {**found, "failed": gpu.failure.message if isinstance(gpu.failure, Failure) else ""}
    answers = gpu.outputs["y"]
    found |= {"operands": pack(probe.operands.view(np.uint8)), "answers": pack(answers.bytes)}
    if emulated.failure is not None:
        return {**found, "emulator": emulated.failure.message if isinstance(emulated.failure, Failure) else ""}
    return {**found, "difference": difference(answers, emulated.outputs["y"])}


def request_of(rig: Rig, probe: Probe, artifact: Artifact) -> RunRequest:
    """The call that asks one instruction."""
    grid = -(-probe.threads // BLOCK)
    args = (TensorArg("x"), TensorArg("y"), IntArg(probe.threads))
    operands = probe.operands.view(np.int32)
    elements = probe.words * 4 // probe.result.itemsize
    answers = HostTensor(probe.result, (elements,), np.zeros(elements, probe.result.storage))
    return RunRequest(
        artifact=artifact,
        plan=BoundPlan((), (BoundLaunch(probe.kernel, (grid, 1, 1), (BLOCK, 1, 1), 0, args, line=1),)),
        inputs={"x": HostTensor(DType.INT32, operands.shape, operands)},
        outputs={"y": answers},
        counters=False,
    )


def pack(data: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> str:
    """Bytes as text: zlib, then base64."""
    return base64.b64encode(zlib.compress(data.tobytes(), 9)).decode()


def unpack(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """What `pack` packed."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
