"""Wrong kernels that need no kernel: outputs and inputs changed as a careless or dishonest one would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.dtype import DType
from warpsmith.core.tensor import HostTensor
from warpsmith.tasks.convert import finite_limit, from_torch, to_torch, torch_dtype

Tensors = Mapping[str, HostTensor]

_LOWER = {
    DType.FLOAT64: "float32",
    DType.FLOAT32: "tf32",
    DType.FLOAT16: "fp8",
    DType.BFLOAT16: "fp8",
}
"""The next lower precision."""
LOWER_INPUTS = "inputs in the next lower precision"
LOWER_OUTPUTS = "outputs in the next lower precision"


def output_mutants(outputs: Tensors, inputs: Tensors) -> Iterator[tuple[str, Tensors]]:
    """Wrong outputs and what they are called, from right ones; all outputs change together.

    Those that a workload cannot tell from right ones, such as shuffling a single row, are left out.
    """
    if not any(tensor.nbytes for tensor in outputs.values()):
        return
    yield "zeros", {name: _filled(tensor, 0.0) for name, tensor in outputs.items()}
    if any(tensor.array.size > 1 for tensor in outputs.values()):
        yield "the mean everywhere", {name: _filled(tensor, _mean(tensor)) for name, tensor in outputs.items()}
    if any(tensor.shape and tensor.shape[0] > 1 for tensor in outputs.values()):
        yield "shuffled rows", {name: _rolled(tensor) for name, tensor in outputs.items()}
    passed = {name: _passthrough(tensor, inputs) for name, tensor in outputs.items()}
    if all(passed.values()):
        yield "an input passed through", {name: tensor for name, tensor in passed.items() if tensor}
    lower = {name: lowered(tensor) for name, tensor in outputs.items()}
    if any(lower[name] is not outputs[name] for name in outputs):
        yield LOWER_OUTPUTS, lower


def single_output_mutants(outputs: Tensors) -> Iterator[tuple[str, Tensors]]:
    """One of several outputs wrong and what that is called, the others right."""
    if len(outputs) < 2:
        return
    for name, tensor in outputs.items():
        if tensor.array.size:
            yield f"zeros in {name} alone", {**outputs, name: _filled(tensor, 0.0)}
        if tensor.array.size > 1:
            yield f"the mean everywhere in {name} alone", {**outputs, name: _filled(tensor, _mean(tensor))}


def input_mutants(inputs: Tensors, unordered: frozenset[str] = frozenset()) -> Iterator[tuple[str, Tensors]]:
    """Changed inputs and what a kernel that behaves so does; those in `unordered` are not reversed."""
    for name, tensor in inputs.items():
        if tensor.array.size == 0:
            continue
        for text, changed in _ignored(tensor, ordered=name not in unordered):
            if not np.array_equal(changed.array, tensor.array):
                yield f"{name} {text}", {**inputs, name: changed}
        if tensor.dtype.is_floating:
            for axis, extent in enumerate(tensor.shape):
                if extent > 1:
                    yield f"the tail of {name}'s dimension {axis} dropped", {**inputs, name: _cut(tensor, axis)}
    lower = {name: lowered(tensor) for name, tensor in inputs.items()}
    if any(lower[name] is not inputs[name] for name in inputs):
        yield LOWER_INPUTS, lower


def lowered(tensor: HostTensor) -> HostTensor:
    """Values rounded to the next lower precision, scaled into its range; the tensor itself where there is none."""
    import torch

    target = _LOWER.get(tensor.dtype)
    if target is None or not tensor.array.size:
        return tensor
    values = to_torch(tensor)
    if target == "float32":
        rounded = values.float()
    elif target == "tf32":
        bits = values.contiguous().view(torch.int32)
        rounded = ((bits + 0x1000) & ~0x1FFF).view(torch.float32)
    else:
        fp8 = torch.float8_e4m3fn
        scale = float(values.abs().nan_to_num(0, 0, 0).max()) / finite_limit(DType.FLOAT8_E4M3) or 1.0
        rounded = (values.float() / scale).to(fp8).float() * scale
    return from_torch(rounded.to(torch_dtype(tensor.dtype)), tensor.dtype)


def _ignored(tensor: HostTensor, *, ordered: bool) -> Iterator[tuple[str, HostTensor]]:
    yield "read as zeros", _filled(tensor, 0.0)
    yield "read as ones", _filled(tensor, 1.0)
    if ordered and tensor.shape and tensor.shape[-1] > 1:
        yield "read with its last dimension reversed", _with(tensor, tensor.array[..., ::-1])


def _with(tensor: HostTensor, array: NDArray[Any]) -> HostTensor:
    return HostTensor(tensor.dtype, tensor.shape, np.ascontiguousarray(array))


def _filled(tensor: HostTensor, value: float) -> HostTensor:
    import torch

    filled = torch.full(tensor.shape, value, dtype=torch.float64)
    return from_torch(filled.to(torch_dtype(tensor.dtype)), tensor.dtype)


def _mean(tensor: HostTensor) -> float:
    import torch

    values = to_torch(tensor).to(torch.float64)
    return float(values.mean()) if values.numel() else 0.0


def _rolled(tensor: HostTensor) -> HostTensor:
    return _with(tensor, np.roll(tensor.array, 1, axis=0)) if tensor.shape else tensor


def _passthrough(output: HostTensor, inputs: Tensors) -> HostTensor | None:
    for tensor in inputs.values():
        if tensor.shape == output.shape and tensor.dtype.is_floating == output.dtype.is_floating:
            return from_torch(to_torch(tensor).to(torch_dtype(output.dtype)), output.dtype)
    return None


def _cut(tensor: HostTensor, axis: int) -> HostTensor:
    """The last eighth along an axis, at least one, set to zero."""
    array = tensor.array.copy()
    keep = tensor.shape[axis] - max(1, tensor.shape[axis] // 8)
    array[(slice(None),) * axis + (slice(keep, None),)] = 0
    return _with(tensor, array)
