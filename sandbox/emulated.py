"""The Launcher that needs no GPU: runs a compiled plan on the emulator and reads everything back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.arch import Architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.counters import LaunchCounters
from warpsmith.core.dtype import DType
from warpsmith.core.outcome import Outcome, Stage, Unsupported
from warpsmith.core.plan import Arg, BoundFill, BoundLaunch, TensorArg
from warpsmith.core.protocols import Check, LaunchCoverage, RunReply, RunRequest
from warpsmith.core.tensor import HostTensor
from warpsmith.profiler.occupancy import ResourceExceeded, occupancy
from warpsmith.sandbox.analysis.decisions import UniformProgram
from warpsmith.sandbox.analysis.numbers import Numbers
from warpsmith.sandbox.analysis.sizes import compared_with_sizes
from warpsmith.sandbox.analysis.stores import feeds_indices, tensors_at, written_parameters
from warpsmith.sandbox.counting.estimate import grid_warps
from warpsmith.sandbox.counting.launch import count_launch
from warpsmith.sandbox.counting.sampling import choose_blocks, group_blocks
from warpsmith.sandbox.emulator.dependencies import Steps, steps_of
from warpsmith.sandbox.emulator.launch import LoadedModule, launch, load
from warpsmith.sandbox.emulator.machine import (
    L2,
    Allocation,
    LaunchResult,
    LaunchSpec,
    Memory,
    Options,
    UnsupportedInstruction,
    VmLost,
)
from warpsmith.sandbox.emulator.program import Entry, Param
from warpsmith.sandbox.emulator.ptx import parsed_module
from warpsmith.sandbox.faults import lost, outcome_of
from warpsmith.sandbox.junk import floating_junk, random_bytes
from warpsmith.sandbox.parameters import encode, matched

WARP_BUDGET = 1 << 28
"""Warp instructions one launch may issue: seconds of emulation, a hundred times what a verify workload needs."""

ALWAYS_CHECKED = frozenset((Check.BOUNDS, Check.ALIGNMENT, Check.READ_ONLY, Check.BARRIERS, Check.HANGS))
WEAKEST_ALIGNMENT = 16
"""Bytes that the first byte of a tensor is aligned to at least."""
WITH_CHECKERS = frozenset((Check.UNINITIALISED, Check.RACES, Check.UNWRITTEN))


Execute: TypeAlias = Callable[[LoadedModule, str, LaunchSpec, Memory, Options], LaunchResult]


@dataclass(frozen=True, slots=True)
class EmulatedLauncher:
    """Runs plans on the CPU for one architecture."""

    arch: Architecture
    threads: int = 1
    """Host threads a launch may use."""
    budget: int = WARP_BUDGET
    execute: Execute = launch
    """What runs one launch: the VM, here or in a jail (`JailedVm`), or something that looks on while the VM does."""

    def run(self, request: RunRequest) -> RunReply:
        """Allocate, poison, launch in plan order, read outputs back.

        A fault ends the call: the reply holds the Outcome and no outputs to trust.
        """
        return _Call(self, request).run()


@lru_cache(maxsize=64)
def load_ptx(ptx: str) -> LoadedModule:
    """Parse and lower a module once per text."""
    return load(parsed_module(ptx))


@lru_cache(maxsize=64)
def _uniform(ptx: str, entry: str, pointers: frozenset[int]) -> UniformProgram:
    return UniformProgram.of(load_ptx(ptx).module.entry(entry), pointers)


@lru_cache(maxsize=64)
def _steps(ptx: str, entry: str) -> Steps:
    return steps_of(load_ptx(ptx).module.entry(entry))


@lru_cache(maxsize=64)
def _written(ptx: str, entry: str) -> frozenset[int]:
    return written_parameters(load_ptx(ptx).module.entry(entry))


@lru_cache(maxsize=64)
def numbers_named(ptx: str) -> Numbers:
    """The numbers that a module's code names."""
    return Numbers.of(load_ptx(ptx).module)


@lru_cache(maxsize=64)
def sizes_compared(ptx: str) -> frozenset[int]:
    """The numbers that a module's code compares or adds sizes with."""
    return frozenset(size for entry in load_ptx(ptx).module.entries for size in compared_with_sizes(entry))


def tensors_written(artifact: Artifact, step: BoundLaunch) -> frozenset[str]:
    """Names of the tensors and buffers that a launch may write."""
    return tensors_at(_written(artifact.ptx, artifact.entries[step.kernel]), step)


class _Call:
    """One call of a plan: its memory, and what its launches counted."""

    def __init__(self, launcher: EmulatedLauncher, request: RunRequest) -> None:
        self.launcher, self.request = launcher, request
        self.random = np.random.default_rng(request.seed)
        sizes = [tensor.nbytes for tensor in (*request.inputs.values(), *request.outputs.values())]
        self.skews = np.random.default_rng([request.seed, *sizes])
        """Of their own for each workload, since all of an evaluation share a seed."""
        self.memory = Memory()
        self.places: dict[str, Allocation] = {}
        self.counters: list[LaunchCounters] = []
        self.coverage: list[LaunchCoverage] = []
        self.before: dict[str, NDArray[np.uint8]] = {}
        """Outputs as they were before the last launch that may write them; what a fill left there was there before."""
        self.rewritten: frozenset[str] = frozenset()
        """What steps so far may have written."""

    @property
    def sampling(self) -> bool:
        return self.request.sample_blocks is not None

    def run(self) -> RunReply:
        self._map_memory()
        failure: Outcome | None = None
        for number, step in enumerate(self.request.plan.steps):
            if isinstance(step, BoundFill):
                self._fill(self.places[step.tensor], step.value)
                self.rewritten |= {step.tensor}
            elif not (step.prepare and self.request.keep_prepared):
                failure = self._launch(number, step)
            if failure is not None:
                break
        outputs = {
            name: HostTensor.from_bytes(tensor.dtype, tensor.shape, self.places[name].data)
            for name, tensor in self.request.outputs.items()
        }
        return RunReply(
            failure=failure,
            outputs=outputs,
            counters=tuple(self.counters),
            unwritten=self._unwritten(),
            coverage=tuple(self.coverage),
            changed=self._changed(outputs),
            prepared=self._prepared(),
            checks=ALWAYS_CHECKED | WITH_CHECKERS if self.request.checks else ALWAYS_CHECKED,
        )

    def _changed(self, outputs: Mapping[str, HostTensor]) -> dict[str, NDArray[np.bool_]]:
        return {
            name: outputs[name].bits != before.view(outputs[name].bits.dtype) for name, before in self.before.items()
        }

    def _prepared(self) -> dict[str, HostTensor]:
        return {
            buffer.name: HostTensor.from_bytes(buffer.dtype, buffer.shape, self.places[buffer.name].data)
            for buffer in self.request.plan.buffers
            if buffer.prepared
        }

    def _map_memory(self) -> None:
        """In an order of this call's own, so that no buffer lies at a known distance from another."""
        for name in self.random.permutation([*self.request.inputs]):
            tensor = self.request.inputs[name]
            writable = name in self.request.outputs
            self._map(name, tensor.bytes, writable=writable, initialised=True, owner=None if writable else tensor)
        for name, tensor in self.request.outputs.items():
            if name not in self.places:
                # What sampled blocks wrote shows against random bytes; integers that another launch may take for
                # indices stay zero.
                poison = self._random if tensor.dtype.is_floating or self._launches_with(name) == 1 else self._poison
                data = self._junk(tensor.dtype, tensor.nbytes) if self.request.junk else poison(tensor.nbytes)
                place = self._map(name, data, writable=True, initialised=False)
                if self.sampling:
                    self.before[name] = place.data.copy()
        for buffer in self.request.plan.buffers:
            kept = self.request.keep_prepared.get(buffer.name) if buffer.prepared else None
            fresh = self._junk(buffer.dtype, buffer.nbytes) if self.sampling else self._random(buffer.nbytes)
            data = fresh if kept is None else kept.bytes.copy()
            place = self._map(buffer.name, data, writable=True, initialised=kept is not None)
            if buffer.init is not None and kept is None:
                self._fill(place, buffer.init)

    def _launches_with(self, name: str) -> int:
        return sum(name in _tensors(step) for step in self.request.plan.launches)

    def _map(
        self,
        name: str,
        data: NDArray[np.uint8],
        *,
        writable: bool,
        initialised: bool,
        owner: HostTensor | None = None,
    ) -> Allocation:
        data = data.copy() if writable and initialised else data
        self.memory.skew = self._skew()
        # Without checks nobody marks or asks what was written: as many bytes less to carry to the VM and back.
        initialised = initialised or not self.request.checks
        self.memory.allocate(name, data, writable=writable, initialised=initialised, owner=owner)
        place = self.places[name] = self.memory.allocations[-1]
        return place

    def _skew(self) -> int:
        """Where a buffer begins, modulo 256. Allocators give 0; a call that only checks gives every other turn what a
        caller's view may have, to each buffer its own: nothing may depend on more than 16-byte alignment.
        """
        if self.request.counters or self.request.seed % 2 == 0:
            return 0
        return WEAKEST_ALIGNMENT * int(self.skews.integers(1, 256 // WEAKEST_ALIGNMENT))

    def _poison(self, size: int) -> NDArray[np.uint8]:
        """Random bytes, so that no stale value looks right; zeros while sampling, so that no index runs wild."""
        return np.zeros(size, np.uint8) if self.sampling else self._random(size)

    def _junk(self, dtype: DType, size: int) -> NDArray[np.uint8]:
        """What unwritten memory holds while blocks are sampled: zeros where integers may be indices, floating values of
        the request's sign.
        """
        if not dtype.is_floating:
            return self._poison(size)
        return floating_junk(dtype, size, self.request.junk, self.request.seed)

    def _random(self, size: int) -> NDArray[np.uint8]:
        return random_bytes(self.random, size)

    @staticmethod
    def _fill(place: Allocation, value: int) -> None:
        place.data[:] = value & 0xFF
        if place.valid is not None:
            place.valid[:] = 1

    def _launch(self, number: int, step: BoundLaunch) -> Outcome | None:
        chosen = None if number in self.request.whole else self._sample(number, step)
        for name in self._writes(step) & self.before.keys() & self.rewritten:
            self.before[name] = self.places[name].data.copy()
        self.rewritten |= self._writes(step)
        with self._mapped_for(step):
            return self._run(step, chosen)

    @contextmanager
    def _mapped_for(self, step: BoundLaunch) -> Iterator[None]:
        """Prepare launches see static inputs only and may write prepared buffers; the others may only read those."""
        for buffer in self.request.plan.buffers:
            if buffer.prepared:
                self.places[buffer.name].writable = step.prepare
        hidden = set(self.request.inputs) - self.request.static if step.prepare else set()
        kept = {name: self.places[name].data for name in hidden}
        for name in hidden:
            self.places[name].data = np.empty(0, np.uint8)
        try:
            yield
        finally:
            for name, data in kept.items():
                self.places[name].data = data

    def _resident(self, entry: Entry, step: BoundLaunch) -> int | None:
        """Blocks of a launch on the device at once; None where nobody knows its resources or it cannot launch."""
        resources = self.request.artifact.resources.get(entry.name)
        if resources is None:
            return None
        fits = occupancy(resources, step.shared, prod(step.block), self.launcher.arch)
        if isinstance(fits, ResourceExceeded):
            return None
        return max(1, fits.blocks_per_sm) * (self.request.sms or self.launcher.arch.sms)

    def _run(self, step: BoundLaunch, chosen: tuple[int, ...] | None) -> Outcome | None:
        module = load_ptx(self.request.artifact.ptx)
        entry = module.module.entry(self.request.artifact.entries[step.kernel])
        spec = LaunchSpec(
            grid=step.grid,
            block=step.block,
            dynamic_shared=step.shared,
            params=self._pack(entry, step),
            blocks=chosen,
            cooperative=step.cooperative,
        )
        resident = self._resident(entry, step)
        cache = L2(self.launcher.arch.l2_bytes, **({"wave": resident} if resident else {}))
        options = Options(
            threads=self.launcher.threads,
            checks=self.request.checks,
            counters=self.request.counters,
            budget=self._budget(chosen),
            seed=self.request.seed,
            pessimistic=self.request.pessimistic,
            sms=self.request.sms or self.launcher.arch.sms,
            l2=cache,
            groups=group_blocks(spec.grid, spec.blocks).groups if spec.blocks else None,
            resident=None if chosen is not None else resident,
        )
        try:
            result = self.launcher.execute(module, entry.name, spec, self.memory, options)
        except UnsupportedInstruction as missing:
            return Unsupported(stage=Stage.EMULATE, message=str(missing), line=missing.line or None)
        except VmLost as gone:
            return lost(gone, step.kernel, step.line)
        if result.fault is not None:
            whole = self.sampling and chosen is None
            return outcome_of(result.fault, step.kernel, budget=options.budget, whole=whole)
        if self.request.counters:
            size = sum(self.places[name].data.size for name in _tensors(step) if name in self.places)
            steps = _steps(self.request.artifact.ptx, entry.name)
            self.counters.append(count_launch(step.kernel, entry, spec, result, size, steps))
        self.coverage.append(self._covered(step, entry, spec, result, options.sms))
        return None

    def _budget(self, chosen: tuple[int, ...] | None) -> int:
        """The request's where it names one, for it knows the work; blocks that stand for others stay cheap."""
        own, asked = self.launcher.budget, self.request.budget or self.launcher.budget
        return asked if chosen is None else min(asked, own)

    def _covered(
        self, step: BoundLaunch, entry: Entry, spec: LaunchSpec, result: LaunchResult, sms: int
    ) -> LaunchCoverage:
        pointers = frozenset(
            param.offset for param, arg in zip(entry.params, step.args, strict=True) if isinstance(arg, TensorArg)
        )
        decided = _uniform(self.request.artifact.ptx, entry.name, pointers).decisions(spec, sms=sms)
        entered = {("block", int(index)) for index in np.flatnonzero(result.block_warps)}
        guarded = {("guard", int(index)) for index in np.flatnonzero(result.guarded_warps)}
        several = {("several", axis) for axis, extent in enumerate(spec.grid) if extent > 1}
        sizes = np.array([block.stop - block.start for block in entry.blocks], np.float64)
        issued = float(grid_warps(spec, result) @ sizes)
        heaviest = (result.heaviest_block or 0) * prod(spec.grid) / max(issued, 1.0)
        return LaunchCoverage(step.kernel, step.line, decided | entered | guarded | several, issued, heaviest)

    def _sample(self, number: int, step: BoundLaunch) -> tuple[int, ...] | None:
        """Blocks to run; all of them where a later launch may take an index from what this one writes, or where one
        may wait for another.
        """
        count = self.request.sample_blocks
        if count is None or step.cooperative or self._feeds_indices(step) or self._awaits_blocks(step):
            return None
        return self.request.blocks.get(number) or choose_blocks(step.grid, count, self.request.seed)

    def _awaits_blocks(self, step: BoundLaunch) -> bool:
        module = load_ptx(self.request.artifact.ptx)
        try:
            program = module.program(self.request.artifact.entries[step.kernel], pessimistic=self.request.pessimistic)
        except UnsupportedInstruction:
            return False  # the launch itself will say so
        return program.awaits_blocks

    def _writes(self, step: BoundLaunch) -> frozenset[str]:
        return tensors_written(self.request.artifact, step)

    def _feeds_indices(self, step: BoundLaunch) -> bool:
        floats = frozenset(name for name, output in self.request.outputs.items() if output.dtype.is_floating)
        return feeds_indices(self.request.plan, step, self._writes(step), floats)

    def _pack(self, entry: Entry, step: BoundLaunch) -> bytes:
        """The parameter buffer, each argument at its parameter's offset and width."""
        data = bytearray(max(entry.param_bytes, 1))
        for param, arg in matched(entry, step):
            data[param.offset : param.offset + param.size] = self._encode(param, arg, step)
        return bytes(data)

    def _encode(self, param: Param, arg: Arg, step: BoundLaunch) -> bytes:
        if isinstance(arg, TensorArg):
            address = self.places[arg.name].address if arg.name in self.places else 0
            return address.to_bytes(8, "little")
        return encode(param, arg, step)

    def _unwritten(self) -> Mapping[str, int]:
        """Output name -> index of its first byte that no launch wrote."""
        found = {}
        for name in self.request.outputs:
            valid = self.places[name].valid
            if valid is not None and not valid.all():
                found[name] = int(np.argmin(valid != 0))
        return found


def _tensors(step: BoundLaunch) -> set[str]:
    return {arg.name for arg in step.args if isinstance(arg, TensorArg)}
