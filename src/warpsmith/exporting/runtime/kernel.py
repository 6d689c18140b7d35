"""A verified kernel as a function of tensors: the compiled code where it may run, the reference elsewhere."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from .binding import Call, dtype_of, work_out
from .launching import Launcher, kept
from .plan import Names, Output, read_off, solve

_KEPT_CALLS = 1024


class Kernel:
    """Callable on the task's inputs in order; dimensions that no shape tells are keywords.

    CUDA tensors run the compiled kernel on the current stream. What it does not take (sizes outside what it requires,
    constants that no build has, strides, alignment, another GPU) is computed by the reference, with one warning; so
    are CPU tensors, without.
    """

    def __init__(self, launcher: Launcher, reference: Callable[..., Any]) -> None:
        self.plan, self.launcher, self.reference = launcher.plan, launcher, reference
        self._calls: OrderedDict[Any, Call] = OrderedDict()
        self._warned = False

    def __call__(self, *tensors: torch.Tensor | None, **dims: int | None) -> Any:
        given = self._named(tensors)
        return self._joined(self.compute(given, _stated(dims)))

    def compute(self, given: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> dict[str, torch.Tensor]:
        """Outputs by name; in-place inputs are overwritten."""
        call = self._call(given, dims)
        devices = {str(tensor.device) for tensor in given.values()}
        if len(devices) > 1:
            raise ValueError(f"{self.plan.task}: the tensors lie on {', '.join(sorted(devices))}.")
        device = next(iter(given.values())).device
        if device.type != "cuda":
            return self._refer(given, call, "cpu")
        why = call.why or self.launcher.unfit(given, device)
        if not why:
            return self.launcher.launch(given, call, device)
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self.plan.task}: {why}; the reference serves.", UserWarning, stacklevel=3)
        return self._refer(given, call, "cpu")

    def refer(self, *tensors: torch.Tensor | None, device: str, **dims: int | None) -> Any:
        """What the reference gives, computed on a device of the caller's choice."""
        given = self._named(tensors)
        return self._joined(self._refer(given, self._call(given, _stated(dims)), device))

    def _refer(self, given: Mapping[str, torch.Tensor], call: Call, device: str) -> dict[str, torch.Tensor]:
        """Outputs by the reference: float32 sums, rounded to the declared dtypes."""
        wide = torch.float64 if any(item.dtype == torch.float64 for item in given.values()) else torch.float32
        arguments: dict[str, Any] = {item.name: None for item in self.plan.inputs}
        for name, tensor in given.items():
            moved = tensor.detach().to(device, copy=True)
            arguments[name] = moved.to(wide) if moved.is_floating_point() else moved
        arguments |= {name: call.names[name] for name in self.plan.reference_dims}
        if self.plan.takes_dtypes:
            arguments["dtypes"] = dict(call.dtypes)
        with torch.device(device):
            if self.plan.rows:
                arguments["rows"] = torch.arange(call.names[self.plan.rows])
            returned = self.reference(**arguments)
        if isinstance(returned, torch.Tensor):
            returned = (returned,)
        names = [item.name for item in self.plan.outputs]
        found = dict(returned) if isinstance(returned, Mapping) else dict(zip(names, returned, strict=True))
        home = next(iter(given.values())).device
        for item in self.plan.inputs:
            if item.role == "inplace" and item.name in given and item.name in found:
                given[item.name].copy_(found[item.name])
        return {item.name: _fitted(item, found[item.name], call).to(home) for item in self.plan.outputs}

    def shapes_only(self, *tensors: torch.Tensor | None, **dims: int | None) -> Any:
        """Empty outputs; extents stay symbolic where a dimension stands alone."""
        given = self._named(tensors)
        shapes = {name: tuple(tensor.shape) for name, tensor in given.items()}
        known = read_off(self.plan, shapes, {name: value for name, value in dims.items() if value is not None})
        dtypes = {item.dtype: given[item.name].dtype for item in self.plan.inputs if item.name in given}
        if not all(extent.text in known for item in self.plan.outputs for extent in item.shape):
            concrete = {name: tuple(int(extent) for extent in shape) for name, shape in shapes.items()}
            known = solve(self.plan, concrete, {name: int(value) for name, value in known.items()})
        names = Names(known, self.plan.derived)
        device = next(iter(given.values())).device
        return self._joined(
            {
                item.name: torch.empty(
                    [names[it.text] if it.text in known else it.value(names) for it in item.shape],
                    dtype=dtype_of(item.dtype, dtypes),
                    device=device,
                )
                for item in self.plan.outputs
            }
        )

    def _named(self, tensors: Sequence[torch.Tensor | None]) -> dict[str, torch.Tensor]:
        """The tensors that are there, by name."""
        if len(tensors) > len(self.plan.inputs):
            raise ValueError(f"{self.plan.task} takes {len(self.plan.inputs)} tensors.")
        pairs = zip(self.plan.inputs, tensors, strict=False)
        return {item.name: tensor for item, tensor in pairs if tensor is not None}

    def _joined(self, results: Mapping[str, torch.Tensor]) -> Any:
        outputs = tuple(results[item.name] for item in self.plan.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _call(self, given: Mapping[str, torch.Tensor], dims: Mapping[str, int]) -> Call:
        """Work out a call once for all calls of its shapes and dtypes."""
        key = (*((name, tensor.shape, tensor.dtype) for name, tensor in given.items()), *dims.items())
        found = self._calls.get(key)
        return found if found is not None else kept(self._calls, key, work_out(self.plan, given, dims), _KEPT_CALLS)


def register(kernel: Kernel, name: str, schema: str) -> Any:
    """Make the operator `namespace::name` of it: known to torch.compile and torch.export."""
    mutated = tuple(item.name for item in kernel.plan.inputs if item.role == "inplace")

    def run(*tensors: torch.Tensor | None, **dims: int | None) -> Any:
        return kernel(*tensors, **dims)

    operator: Any = torch.library.custom_op(
        name, run, mutates_args=mutated, device_types=["cpu", "cuda"], schema=schema
    )
    operator.register_fake(kernel.shapes_only)
    return operator


def _stated(dims: Mapping[str, int | None]) -> dict[str, int]:
    return {name: int(value) for name, value in dims.items() if value is not None}


def _fitted(item: Output, value: torch.Tensor, call: Call) -> torch.Tensor:
    """A result of the declared shape and dtype; rows past a count are zero."""
    shape = tuple(extent.value(call.names) for extent in item.shape)
    if item.valid and value.shape[0] < shape[0]:
        padded = value.new_zeros(shape)
        padded[: value.shape[0]] = value
        value = padded
    return value.to(dtype_of(item.dtype, call.dtypes)).reshape(shape).contiguous()
