"""A RunRequest as the worker's message: buffers with their roles, and launches with their parameters as bytes."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from warpsmith.core.artifact import Artifact
from warpsmith.core.digest import digest_bytes
from warpsmith.core.errors import ToolchainError
from warpsmith.core.plan import BoundBuffer, BoundFill, BoundLaunch, BoundPlan, TensorArg
from warpsmith.core.protocols import RunRequest
from warpsmith.sandbox.device.driver import Bytes
from warpsmith.sandbox.device.messages import (
    BufferRole,
    DeviceBuffer,
    DeviceCall,
    DeviceFill,
    DeviceLaunch,
    DeviceStep,
    LoadModule,
    Pointer,
    Value,
)
from warpsmith.sandbox.emulated import load_ptx
from warpsmith.sandbox.parameters import encode, matched


@dataclass(frozen=True, slots=True)
class Lowered:
    """What a worker needs for one call."""

    module: LoadModule
    cubin: bytes
    call: DeviceCall
    uploads: tuple[Bytes, ...]

    @property
    def nbytes(self) -> int:
        """Device bytes of all buffers."""
        return sum(buffer.nbytes for buffer in self.call.buffers)


def module_of(artifact: Artifact) -> LoadModule:
    """The request that loads an artifact's cubin.

    Raises:
        ToolchainError: it has none.
    """
    if not artifact.cubin:
        raise ToolchainError(f"the compiler gave no machine code for {artifact.architecture}, only PTX.")
    module = load_ptx(artifact.ptx).module
    return LoadModule(
        module=digest_bytes(artifact.cubin),
        layouts={
            name: tuple((param.offset, param.size) for param in module.entry(name).params)
            for name in artifact.entries.values()
        },
    )


def lower(request: RunRequest) -> Lowered:
    """Turn a request into buffers, steps and blobs.

    Raises:
        KernelFileError: an argument does not fit its parameter.
        ToolchainError: there is no machine code.
    """
    module = module_of(request.artifact)
    kept = set(request.keep_prepared)
    steps = tuple(step for step in request.plan.steps if not (kept and isinstance(step, BoundLaunch) and step.prepare))
    prepares = any(isinstance(step, BoundLaunch) and step.prepare for step in steps)
    inputs = tuple(
        DeviceBuffer(
            name=name,
            nbytes=tensor.nbytes,
            role=BufferRole.INPLACE if name in request.outputs else BufferRole.INPUT,
            uploaded=True,
            hidden=prepares and name not in request.static,
        )
        for name, tensor in request.inputs.items()
    )
    outputs = tuple(
        DeviceBuffer(name=name, nbytes=tensor.nbytes, role=BufferRole.OUTPUT)
        for name, tensor in request.outputs.items()
        if name not in request.inputs
    )
    scratch = tuple(_scratch(buffer, buffer.name in kept) for buffer in request.plan.buffers)
    uploads = [request.inputs[item.name].bytes for item in inputs]
    uploads += [request.keep_prepared[item.name].bytes for item in scratch if item.uploaded]
    buffers = (*inputs, *outputs, *scratch)
    present = {buffer.name for buffer in buffers}
    call = DeviceCall(
        buffers=buffers,
        steps=tuple(lower_step(step, request.artifact, module.module, present) for step in steps),
    )
    return Lowered(module, request.artifact.cubin, call, tuple(uploads))


def _scratch(buffer: BoundBuffer, kept: bool) -> DeviceBuffer:
    return DeviceBuffer(
        name=buffer.name,
        nbytes=buffer.nbytes,
        role=BufferRole.PREPARED if buffer.prepared else BufferRole.SCRATCH,
        uploaded=buffer.prepared and kept,
        init=buffer.init,
    )


def lower_step(step: BoundLaunch | BoundFill, artifact: Artifact, module: str, present: AbstractSet[str]) -> DeviceStep:
    """A step of a plan in the worker's words; tensors that are not `present` become null pointers.

    Raises:
        KernelFileError: an argument does not fit its parameter.
    """
    if isinstance(step, BoundFill):
        return DeviceFill(buffer=step.tensor, value=step.value)
    entry = load_ptx(artifact.ptx).module.entry(artifact.entries[step.kernel])
    params = tuple(
        Pointer(buffer=arg.name if arg.name in present else "")
        if isinstance(arg, TensorArg)
        else Value(data=encode(param, arg, step).hex())
        for param, arg in matched(entry, step)
    )
    return DeviceLaunch(
        module=module,
        entry=entry.name,
        kernel=step.kernel,
        line=step.line,
        grid=step.grid,
        block=step.block,
        shared=step.shared,
        cooperative=step.cooperative,
        prepare=step.prepare,
        params=params,
    )


def prepared_buffers(plan: BoundPlan) -> tuple[BoundBuffer, ...]:
    """Buffers that a reply brings back besides the outputs, in its order."""
    return tuple(buffer for buffer in plan.buffers if buffer.prepared)
