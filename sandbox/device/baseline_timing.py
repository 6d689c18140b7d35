"""How a baseline's calls are timed in PyTorch: the protocol of `profiler/timing.py`, on the same input sets.

Runs in a process of its own (`baseline_child`). Each call is replayed from a CUDA graph where it can be captured, as
kernels are; one that cannot is called from Python and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol, TypeAlias

from warpsmith.profiler.nvml import DeviceState, Sensor
from warpsmith.profiler.timing import FLUSH_FACTOR, Method, TimedCall, Timing, TimingPlan, plan_timing

ESTIMATES, EMPTY_BRACKETS = 5, 15

Call: TypeAlias = Callable[[], Any]


class TorchGpu(Protocol):
    """What is asked of PyTorch; `CudaGpu` asks it."""

    name: str
    l2_bytes: int

    def event(self) -> Any:
        """Record an event on the current stream."""
        ...

    def elapsed_us(self, start: Any, end: Any) -> float: ...

    def flush(self, nbytes: int) -> None:
        """Enqueue a write of so many bytes."""
        ...

    def wait(self) -> None: ...

    def capture(self, work: Call) -> Call:
        """What replays `work` as one graph. RuntimeError where it cannot be captured."""
        ...


@dataclass(slots=True)
class CudaGpu:
    """The current CUDA device of PyTorch."""

    name: str
    l2_bytes: int
    _flushed: Any = None

    @classmethod
    def current(cls) -> CudaGpu:
        import torch

        facts = torch.cuda.get_device_properties(torch.cuda.current_device())
        return cls(facts.name, int(facts.L2_cache_size))

    def event(self) -> Any:
        import torch

        make: Any = torch.cuda.Event  # Untyped in torch.
        event = make(enable_timing=True)
        event.record()
        return event

    def elapsed_us(self, start: Any, end: Any) -> float:
        return float(start.elapsed_time(end)) * 1e3

    def flush(self, nbytes: int) -> None:
        import torch

        if self._flushed is None or self._flushed.numel() != nbytes:
            self._flushed = torch.empty(nbytes, dtype=torch.uint8, device="cuda")
        self._flushed.fill_(0x5A)

    def wait(self) -> None:
        import torch

        torch.cuda.synchronize()

    def capture(self, work: Call) -> Call:
        import torch

        make: Any = torch.cuda.Stream  # Untyped in torch.
        side = make()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay


def time_calls(
    gpu: TorchGpu, mint: Callable[[int], tuple[Call, int]], sensor: Sensor | None, *, seconds: float = 1.0
) -> Timing:
    """Time a function of several input sets.

    Args:
        gpu: where it runs.
        mint: number of an input set -> (a call on it, device bytes of the set).
        sensor: None where nothing tells the clocks.
        seconds: what samples may take together.
    """
    minted = [mint(0)]
    first = minted[0][0]
    first()
    gpu.wait()
    estimate = _bracket(gpu, [first] * ESTIMATES, FLUSH_FACTOR * gpu.l2_bytes)[0] / ESTIMATES
    plan = plan_timing(max(estimate, 0.5), minted[0][1], gpu.l2_bytes, seconds=seconds)
    minted += [mint(number) for number in range(1, plan.sets)]
    calls, note = _replays(gpu, [call for call, _ in minted], plan)
    for _ in range(plan.warm_up):
        _bracket(gpu, calls[:1], plan.flush_bytes)
    empty = [_bracket(gpu, (), plan.flush_bytes) for _ in range(EMPTY_BRACKETS)]
    samples = []
    for turn in range(plan.samples):
        chosen = turn % len(calls)
        gpu.wait()
        before = _state(sensor)
        event, bracket, host = _bracket(gpu, [calls[chosen]], plan.flush_bytes)
        samples.append(
            TimedCall(
                input_set=chosen if plan.method is Method.CALL else 0,
                event_us=max(event, 0.5) / plan.calls,
                bracket_us=max(bracket, 0.5),
                host_us=max(host, 0.5),
                before=before,
                after=_state(sensor),
            )
        )
    return Timing(
        plan=plan,
        device=gpu.name,
        samples=tuple(samples),
        empty_host_us=median(max(0.0, host - bracket) for _, bracket, host in empty),
        empty_event_us=median(event for event, _, _ in empty),
        notes=(note,) if note else (),
    )


def _replays(gpu: TorchGpu, calls: Sequence[Call], plan: TimingPlan) -> tuple[list[Call], str]:
    """One replay a set; for a graph of calls one in all."""

    def together() -> None:
        for call in calls:
            call()

    try:
        works = [together] if plan.method is Method.GRAPH else list(calls)
        return [gpu.capture(work) for work in works], ""
    except RuntimeError as error:
        gpu.wait()
        note = f"called from Python, launch overhead included: {str(error).splitlines()[0][:200]}"
        return ([together] if plan.method is Method.GRAPH else list(calls)), note


def _bracket(gpu: TorchGpu, calls: Sequence[Call], flush_bytes: int) -> tuple[float, float, float]:
    """Microseconds of the calls, of flush and calls, and of both by the host's clock."""
    since = time.perf_counter()
    begin = gpu.event()
    gpu.flush(flush_bytes)
    start = gpu.event()
    for call in calls:
        call()
    end = gpu.event()
    gpu.wait()
    host = (time.perf_counter() - since) * 1e6
    return gpu.elapsed_us(start, end), gpu.elapsed_us(begin, end), host


def _state(sensor: Sensor | None) -> DeviceState:
    return sensor.read() if sensor else DeviceState(gives_reasons=False)
