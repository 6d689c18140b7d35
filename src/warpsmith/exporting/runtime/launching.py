"""Bound calls on CUDA tensors: launched on the current stream, in PyTorch's own context and memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import prod
from threading import RLock
from typing import Any, NamedTuple

import torch

from .binding import Bound, Call, bind, packed
from .driver import Driver, the_driver
from .plan import Build, Entry, Fill, Plan

ALIGNMENT = 16
"""Bytes that a tensor's first byte is aligned to: what the kernel was verified with."""
_PLAIN_SHARED = 48 << 10
_KEPT_CALLS, _KEPT_PREPARED = 256, 8


class _Prepared(NamedTuple):
    """What `[[prepare]]` launches wrote, and what it was made of, which stays alive with it: no other tensor or plan
    can come to lie at those addresses.
    """

    buffers: dict[str, torch.Tensor]
    static: list[torch.Tensor]
    bound: Bound


class Launcher:
    """Launches one kernel's builds. What it loads, binds and prepares is kept."""

    def __init__(self, plan: Plan, code: Callable[[str], bytes], driver: Callable[[], Driver] = the_driver) -> None:
        self.plan, self._code, self._driver = plan, code, driver
        self._bound: OrderedDict[Any, Bound] = OrderedDict()
        self._functions: dict[tuple[int, str, str], int] = {}
        self._modules: dict[tuple[int, str], int] = {}
        self._prepared: OrderedDict[Any, _Prepared] = OrderedDict()
        self._lock = RLock()

    def unfit(self, given: Mapping[str, torch.Tensor], device: torch.device) -> str:
        """Why the kernel cannot take these CUDA tensors as they are; empty where it can."""
        if not all(tensor.is_contiguous() for tensor in given.values()):
            return "a tensor is not contiguous"
        if any(tensor.data_ptr() % ALIGNMENT for tensor in given.values()):
            return f"a tensor does not begin at a multiple of {ALIGNMENT} bytes"
        found, plan = torch.cuda.get_device_properties(device), self.plan
        if (found.major, found.minor) != plan.capability or found.multi_processor_count < plan.sms:
            return f"the kernel was accepted for {plan.target} with {plan.sms} multiprocessors, not for {found.name}"
        return ""

    def launch(self, given: Mapping[str, torch.Tensor], call: Call, device: torch.device) -> dict[str, torch.Tensor]:
        """Outputs by name; in-place inputs are overwritten. Returns while the kernels still run."""
        with torch.cuda.device(device), self._lock:
            ordinal = device.index or 0
            self._driver().enter(ordinal)
            stream = torch.cuda.current_stream(device).cuda_stream
            key = (ordinal, id(call.build), tuple(given), tuple(call.names[name] for name in self.plan.dims))
            bound = self._bound.get(key)
            if bound is None:
                self._not_captured()
                bound = kept(self._bound, key, self.bind(call, ordinal), _KEPT_CALLS)
            outputs = {name: torch.empty(shape, dtype=dtype, device=device) for name, shape, dtype in bound.outputs}
            held = {**given, **outputs, **_memory(bound, device, prepared=False)}
            if any(buffer.prepared for buffer in bound.buffers):
                held |= self._prepare(bound, given, held, ordinal, stream)
            self.enqueue(bound, _addresses(held), ordinal, stream)
        return outputs

    def bind(self, call: Call, ordinal: int = 0) -> Bound:
        """Evaluate everything for one call on a device."""

        def resident(build: Build, entry: Entry, threads: int, shared: int) -> int:
            function = self._function(build.code, entry, ordinal, shared)
            return max(1, self._driver().resident_blocks(function, threads, shared)) * self.plan.sms

        return bind(self.plan, call, resident)

    def enqueue(
        self, bound: Bound, addresses: Mapping[str, int], ordinal: int, stream: int, *, prepare: bool = False
    ) -> None:
        """Put memsets and launches on a stream: of the call, or of what prepares its static inputs."""
        driver = self._driver()
        sizes = {buffer.name: buffer.nbytes for buffer in bound.buffers}
        sizes |= {name: prod(shape) * dtype.itemsize for name, shape, dtype in bound.outputs}
        for buffer in bound.buffers:
            if buffer.init is not None and buffer.nbytes and buffer.prepared == prepare:
                driver.fill(addresses[buffer.name], buffer.init, buffer.nbytes, stream)
        for step in bound.steps:
            if isinstance(step, Fill):
                if not prepare and sizes[step.tensor]:
                    driver.fill(addresses[step.tensor], step.value, sizes[step.tensor], stream)
            elif step.prepare == prepare:
                function = self._function(bound.code, step.entry, ordinal, step.shared)
                params = packed(step, addresses)
                driver.launch(function, step.grid, step.block, step.shared, params, step.cooperative, stream)

    def _function(self, code: str, entry: Entry, ordinal: int, shared: int) -> int:
        key, driver = (ordinal, code, entry.name), self._driver()
        if key not in self._functions:
            module = self._modules.get((ordinal, code))
            if module is None:
                module = self._modules[ordinal, code] = driver.load(self._code(code))
            self._functions[key] = driver.function(module, entry.name)
        if shared + entry.static_shared > _PLAIN_SHARED:
            driver.allow_shared(self._functions[key], shared)
        return self._functions[key]

    def _prepare(
        self,
        bound: Bound,
        given: Mapping[str, torch.Tensor],
        held: Mapping[str, torch.Tensor],
        ordinal: int,
        stream: int,
    ) -> dict[str, torch.Tensor]:
        """The prepared buffers, filled once for static inputs that have not changed since."""
        static = [given[item.name] for item in self.plan.inputs if item.role == "static" and item.name in given]
        # Of one stream: nothing orders another one behind what fills the buffers.
        versions = [0 if tensor.is_inference() else tensor._version for tensor in static]
        key = (id(bound), stream, *((tensor.data_ptr(), at) for tensor, at in zip(static, versions, strict=True)))
        found = self._prepared.get(key)
        if found is None:
            self._not_captured()
            fresh = _memory(bound, next(iter(given.values())).device, prepared=True)
            # The other scratch is initialised as well: a prepare launch may use it.
            for buffer in bound.buffers:
                if buffer.init is not None and buffer.nbytes and not buffer.prepared:
                    self._driver().fill(held[buffer.name].data_ptr(), buffer.init, buffer.nbytes, stream)
            self.enqueue(bound, _addresses({**held, **fresh}), ordinal, stream, prepare=True)
            found = kept(self._prepared, key, _Prepared(fresh, static, bound), _KEPT_PREPARED)
        return found.buffers

    def _not_captured(self) -> None:
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"{self.plan.task} is called with these sizes and static inputs for the first time in a graph capture. "
                "Call it once on this stream before capturing."
            )


def kept(cache: OrderedDict[Any, Any], key: Any, value: Any, most: int) -> Any:
    """Keep a value, and of all values the newest."""
    cache[key] = value
    while len(cache) > most:
        cache.popitem(last=False)
    return value


def _memory(bound: Bound, device: torch.device, *, prepared: bool) -> dict[str, torch.Tensor]:
    return {
        buffer.name: torch.empty(buffer.nbytes, dtype=torch.uint8, device=device)
        for buffer in bound.buffers
        if buffer.prepared == prepared
    }


def _addresses(held: Mapping[str, torch.Tensor]) -> dict[str, int]:
    return {name: tensor.data_ptr() for name, tensor in held.items()}
