"""Every compiled form a candidate takes: one artifact a build key, screened and within the target's limits."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache, reduce
from itertools import chain
from math import prod
from multiprocessing.pool import ThreadPool
from operator import or_
from typing import TypeAlias

from warpsmith.core.arch import Architecture
from warpsmith.core.artifact import Artifact
from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file import (
    KernelFile,
    bind,
    build_key,
    dims_of,
    ends_too_soon,
    explain_compile_error,
    inside_domain,
    line_of_entry,
    tensor_shape,
    too_much,
    translation_unit,
    triton_unit,
)
from warpsmith.core.outcome import CompileFailed, Outcome, OverBudget, Rejected, Stage, Unsupported
from warpsmith.core.plan import BoundLaunch, BoundPlan, TensorArg
from warpsmith.core.profile import Occupancy
from warpsmith.core.task import Task, Workload
from warpsmith.profiler.occupancy import ResourceExceeded, check_local, occupancy
from warpsmith.sandbox.analysis.numbers import Numbers
from warpsmith.sandbox.analysis.sizes import Sizes
from warpsmith.sandbox.compile import Unit
from warpsmith.sandbox.compile.diagnostics import source_line
from warpsmith.sandbox.emulated import load_ptx, numbers_named, sizes_compared, tensors_written
from warpsmith.sandbox.emulator.isa.deviations import is_open
from warpsmith.sandbox.emulator.machine import UnsupportedInstruction
from warpsmith.sandbox.emulator.program import Instr
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError
from warpsmith.sandbox.hidden_arguments import complete
from warpsmith.sandbox.parameters import matched
from warpsmith.sandbox.screen.addresses import check_addresses
from warpsmith.sandbox.screen.ptx import screen_ptx

PREPARED_FACTOR, PREPARED_BASE = 2.0, 1 << 20
"""Prepared buffers hold at most so many times the bytes of the static inputs, plus a base in bytes."""
MOST_COMPILERS = 4
"""That run at a time: each may take gigabytes."""

_Sizes: TypeAlias = tuple[object, ...]
"""What of a workload and a device a plan depends on."""

Compiler: TypeAlias = Callable[[Unit, str], Artifact | CompileFailed]
"""(texts, `sm_90a`) -> artifact, or the candidate's own failure. Raises MachineError for ours."""


@dataclass(slots=True)
class Builds:
    """Compiles on demand and keeps one artifact a build key."""

    kernel: KernelFile
    task: Task
    knobs: dict[str, int]
    arch: Architecture
    compiler: Compiler
    watched: bool = False
    """A person looks at one run: the code may print."""
    with_gpu: bool = False
    """A GPU runs the code: instructions that the emulator lacks do not end it, `lacking` names the first."""
    lacking: Unsupported | None = None
    threads: int = 1
    """Of the host, for compiling; MOST_COMPILERS at most."""
    _artifacts: dict[str, Artifact] = field(default_factory=dict)
    _cleared: set[tuple[str, str, tuple[tuple[int, str], ...]]] = field(default_factory=set)
    """Kernels found to depend on no address, by code, name and pointers."""
    _keys: dict[_Sizes, str] = field(default_factory=dict)
    _plans: dict[_Sizes, BoundPlan] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return len(self._artifacts)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """Everything compiled so far."""
        return tuple(self._artifacts.values())

    @property
    def sizes(self) -> Sizes:
        """What the kernel file and the code compiled so far name that may be sizes."""
        return Sizes.of(self.kernel, chain.from_iterable(sizes_compared(item.ptx) for item in self.artifacts))

    @property
    def numbers(self) -> Numbers:
        """What the code compiled so far names, of all builds, and what plans always pass to it."""
        return reduce(or_, (numbers_named(item.ptx) for item in self.artifacts), self._constants())

    def _constants(self) -> Numbers:
        """Arguments that have one value in all plans so far: `[let]` may name a number as well as the code."""
        passed: dict[tuple[str, int], set[float]] = {}
        for plan in self._plans.values():
            for launch in plan.launches:
                for position, arg in enumerate(launch.args):
                    if not isinstance(arg, TensorArg):
                        passed.setdefault((launch.kernel, position), set()).add(arg.value)
        return Numbers.passed(*(values.pop() for values in passed.values() if len(values) == 1))

    @property
    def toolchain(self) -> str:
        """Compiler and version, once something was compiled."""
        return next((item.toolchain.compiler for item in self._artifacts.values()), "")

    def inside(self, workload: Workload) -> bool:
        """Whether the kernel's `requires` admits the workload."""
        return inside_domain(self.kernel, self.task, workload, self.knobs, sms=self.arch.sms)

    def build(self, workload: Workload) -> Outcome | None:
        """Compile, screen and check limits for a workload; None when it may run."""
        return self.build_all((workload,))

    def build_all(self, workloads: Sequence[Workload]) -> Outcome | None:
        """Compile, screen and check limits for several workloads; None when all of them may run."""
        missing = {key: item for item in workloads if (key := self.key(item)) not in self._artifacts}
        # Triton takes a second to start and then makes many builds; NVRTC compiles one text at a time.
        together = self.kernel.language == "triton" and missing
        groups = [missing] if together else [{key: item} for key, item in missing.items()]
        with closing(self._compiled(groups)) as compiled:
            for group, artifact in zip(groups, compiled, strict=True):
                problem = self._kept(group, artifact)
                if problem is not None:
                    return problem
        return next((problem for item in workloads if (problem := self._limits(item)) is not None), None)

    def artifact(self, workload: Workload) -> Artifact:
        """The artifact `build` made for this workload's key."""
        return self._artifacts[self.key(workload)]

    def plan(self, workload: Workload) -> BoundPlan:
        """The plan with every number known, co-resident blocks and what the compiler adds to a launch included."""
        return self._plan(workload, self.arch.sms)

    def plan_for(self, workload: Workload, *, sms: int) -> BoundPlan | None:
        """The same on a device with `sms` multiprocessors; None where it would be other code, or the kernel does not
        claim to run there.
        """
        if not inside_domain(self.kernel, self.task, workload, self.knobs, sms=sms):
            return None
        other = build_key(self.kernel, self.task, workload, self.knobs, sms=sms)
        if other != self.key(workload):
            return None
        try:
            return self._plan(workload, sms)
        except KernelFileError:
            # A cooperative grid that fits the target may be too large for a smaller device.
            if not any(launch.cooperative for launch in self.kernel.launches):
                raise
            return None

    def _plan(self, workload: Workload, sms: int) -> BoundPlan:
        sizes = _sizes(workload, sms)
        if sizes not in self._plans:
            self._plans[sizes] = self._completed(workload, sms)
        return self._plans[sizes]

    def _completed(self, workload: Workload, sms: int) -> BoundPlan:
        artifact = self.artifact(workload)
        resident = _one_each(self.kernel)
        if self.kernel.uses_resident:
            resident = self._resident(complete(self._bound(workload, resident, sms), artifact), artifact, sms)
        return complete(self._bound(workload, resident, sms), artifact)

    def key(self, workload: Workload) -> str:
        """Names what the workload compiles to: equal keys, equal code."""
        sizes = _sizes(workload, self.arch.sms)
        if sizes not in self._keys:
            self._keys[sizes] = build_key(self.kernel, self.task, workload, self.knobs, sms=self.arch.sms)
        return self._keys[sizes]

    def _compiled(self, groups: Sequence[Mapping[str, Workload]]) -> Generator[Artifact | CompileFailed, None, None]:
        """What each group compiles to, in order: the first alone, since a text that does not compile, or never ends,
        seldom does so once, the others several at a time. What is not asked for any more is left behind: the threads
        keep no process alive, and end with their compilations.
        """
        others = groups[1:]
        yield from map(self._compile, groups[:1])
        if min(self.threads, len(others)) < 2:
            yield from map(self._compile, others)
            return
        with ThreadPool(min(self.threads, len(others), MOST_COMPILERS)) as threads:
            yield from threads.imap(self._compile, others)

    def _compile(self, group: Mapping[str, Workload]) -> Artifact | CompileFailed:
        """Make the artifact that some keys share."""
        return self.compiler(self._unit(tuple(group.values())), self.arch.target)

    def _kept(self, group: Mapping[str, Workload], artifact: Artifact | CompileFailed) -> Outcome | None:
        """Screen the artifact that some keys share, and keep it."""
        if isinstance(artifact, CompileFailed):
            return self._explained(artifact)
        problem = screen(artifact, watched=self.watched, cooperative=_cooperative(self.kernel))
        if isinstance(problem, Unsupported) and self.with_gpu:
            self.lacking = self.lacking or problem
        elif problem is not None:
            return self._with_target(problem)
        self._artifacts |= dict.fromkeys(group, artifact)
        return None

    def _unit(self, workloads: tuple[Workload, ...]) -> Unit:
        if self.kernel.language == "triton":
            return triton_unit(self.kernel, self.task, workloads, self.knobs, sms=self.arch.sms)
        (workload,) = workloads
        return translation_unit(self.kernel, self.task, workload, self.knobs)

    def _bound(self, workload: Workload, resident: Mapping[str, int], sms: int) -> BoundPlan:
        return bind(self.kernel, self.task, workload, self.knobs, sms=sms, resident=resident)

    def _resident(self, plan: BoundPlan, artifact: Artifact, sms: int) -> dict[str, int]:
        """Co-resident blocks of each kernel on `sms` multiprocessors; the fewest of its builds."""
        resident: dict[str, int] = {}
        for launch in plan.launches:
            used = self._occupancy(artifact, launch)
            if not isinstance(used, ResourceExceeded):
                name = launch.kernel.partition("[")[0] if self.kernel.language == "triton" else launch.kernel
                blocks = max(1, used.blocks_per_sm) * sms
                resident[name] = min(blocks, resident.get(name, blocks))
        return _one_each(self.kernel) | resident

    def approximates(self, workload: Workload) -> bool:
        """Whether the code has results whose bits the ISA leaves open."""
        return _is_open(self.artifact(workload).ptx)

    def reads_sms(self, workload: Workload) -> bool:
        """Whether the code asks the device how many multiprocessors it has."""
        return "%nsmid" in self.artifact(workload).ptx

    def same_code(self, workload: Workload, other: Workload) -> bool:
        """Whether two workloads run the same launches of the same code, at whatever sizes."""
        if self.key(workload) != self.key(other):
            return False
        launches = [{(step.kernel, step.line) for step in self.plan(item).launches} for item in (workload, other)]
        return launches[0] == launches[1]

    def writes(self, workload: Workload, launch: BoundLaunch) -> frozenset[str]:
        """Names of the tensors and buffers that a launch may write."""
        return tensors_written(self.artifact(workload), launch)

    def communicates(self, workload: Workload, kernel: str) -> bool:
        """Whether blocks of a kernel may see each other's work: it holds atomics on memory of more than one block."""
        artifact = self.artifact(workload)
        entry = load_ptx(artifact.ptx).module.entry(artifact.entries[kernel])
        return any(instr.opcode in ("atom", "red") and not _on_own_memory(instr) for instr in entry.instructions)

    def sums_in_any_order(self, workload: Workload) -> bool:
        """Whether the code holds floating-point atomics, whose order the hardware leaves free."""
        return _sums_in_any_order(self.artifact(workload).ptx)

    def _occupancy(self, artifact: Artifact, launch: BoundLaunch) -> Occupancy | ResourceExceeded:
        resources = artifact.resources[artifact.entries[launch.kernel]]
        return occupancy(resources, launch.shared, prod(launch.block), self.arch)

    def _limits(self, workload: Workload) -> Outcome | None:
        """What the target would refuse to launch, said before anything runs."""
        artifact, plan = self.artifact(workload), self.plan(workload)
        too_much = self._prepared_too_large(workload, plan)
        if too_much is not None:
            return too_much
        for launch in plan.launches:
            looks = None if self.watched else self._looks_at_addresses(artifact, launch)
            if looks is not None:
                return looks
            used = self._occupancy(artifact, launch)
            # The emulator gives a thread what the PTX declares, even where the assembler leaves some of it out.
            local = check_local(load_ptx(artifact.ptx).module.entry(artifact.entries[launch.kernel]).local_bytes)
            exceeded = used if isinstance(used, ResourceExceeded) else local
            reason = exceeded.reason if exceeded is not None else _other_block(artifact, launch)
            if reason:
                message = f"{launch.kernel} cannot launch on {self.arch.name}: {reason}"
                return OverBudget(stage=Stage.COMPILE, message=message, line=launch.line, workload=workload.name)
        return None

    def _looks_at_addresses(self, artifact: Artifact, launch: BoundLaunch) -> Outcome | None:
        """A refusal of code that depends on where its buffers lie: on another device it is other code."""
        name = artifact.entries[launch.kernel]
        entry = load_ptx(artifact.ptx).module.entry(name)
        pointers = {param.offset: arg.name for param, arg in matched(entry, launch) if isinstance(arg, TensorArg)}
        key = (artifact.ptx, name, tuple(sorted(pointers.items())))
        if key not in self._cleared:
            problem = check_addresses(entry, pointers, typed=self.kernel.language == "triton")
            if problem is not None:
                return Rejected(stage=Stage.SCREEN, message=problem.message, line=problem.line or None)
            self._cleared.add(key)
        return None

    def _prepared_too_large(self, workload: Workload, plan: BoundPlan) -> OverBudget | None:
        """What is kept between calls may repack weights, not replace computing by a larger table."""
        dims = dims_of(self.task, workload)
        given = self.task.static_inputs - workload.absent
        static = [tensor for tensor in self.task.inputs if tensor.name in given]
        held = sum(prod(tensor_shape(item, dims)) * self.task.dtype_of(item, workload).itemsize for item in static)
        most = int(PREPARED_FACTOR * held) + PREPARED_BASE
        kept = sum(buffer.nbytes for buffer in plan.buffers if buffer.prepared)
        if kept <= most:
            return None
        message = (
            f"the prepared buffers hold {kept} bytes; at most {most} are allowed: twice the static inputs and 1 MiB. "
            "Repack the weights without widening them."
        )
        return OverBudget(stage=Stage.PLAN, message=message, workload=workload.name)

    def _with_target(self, problem: Outcome) -> Outcome:
        """Say that Triton chooses instructions by target: an older one's may all be there."""
        if not isinstance(problem, Unsupported) or self.kernel.language != "triton" or self.arch.target == "sm_80":
            return problem
        message = f"{problem.message}. Triton chooses it for {self.arch.target}; try `--arch sm_80`."
        return problem.model_copy(update={"message": message})

    def _explained(self, failed: CompileFailed) -> CompileFailed:
        if (much := too_much(failed.message, self.kernel)) is not None:
            failed = failed.model_copy(
                update={"line": failed.line or much[0], "message": f"{failed.message} {much[1]}"}
            )
        if self.kernel.language == "triton":
            return failed
        if (end := ends_too_soon(failed.message, self.kernel)) is not None:
            return failed.model_copy(update={"line": end[0], "message": end[1], "details": ()})
        line = failed.line or line_of_entry(failed.message, self.kernel)
        message = explain_compile_error(failed.message, self.task, self.kernel)
        return failed.model_copy(update={"line": line, "message": message})


def _sizes(workload: Workload, sms: int) -> _Sizes:
    return (*sorted(workload.dims.items()), *sorted(workload.dtypes.items()), workload.absent, sms)


def _cooperative(kernel: KernelFile) -> frozenset[str]:
    """Kernels of which every launch is cooperative."""
    alone = {launch.kernel for launch in kernel.launches if not launch.cooperative}
    return frozenset(launch.kernel for launch in kernel.launches) - alone


def screen(artifact: Artifact, *, watched: bool = False, cooperative: frozenset[str] = frozenset()) -> Outcome | None:
    """Refuse PTX that holds what a plan cannot say; Unsupported where the emulator lacks an instruction."""
    try:
        loaded = load_ptx(artifact.ptx)
    except PtxSyntaxError as error:
        line = source_line(artifact.ptx, error.ptx_line) or None
        return Rejected(stage=Stage.SCREEN, message=f"the compiled PTX does not parse: {error}", line=line)
    together = [entry for name, entry in artifact.entries.items() if name in cooperative]
    entries = tuple(artifact.entries.values())
    problem = screen_ptx(loaded.module, entries, watched=watched, cooperative=together)
    if problem is not None:
        return Rejected(stage=Stage.SCREEN, message=problem.message, line=problem.line or None)
    for name in artifact.entries.values():
        try:
            loaded.program(name)
        except UnsupportedInstruction as missing:
            return Unsupported(stage=Stage.SCREEN, message=str(missing), line=missing.line or None)
    return None


def _on_own_memory(instr: Instr) -> bool:
    """Whether an atomic names the block's own shared memory, which no other block sees."""
    return bool({"shared", "shared::cta"} & set(instr.modifiers))


def _other_block(artifact: Artifact, launch: BoundLaunch) -> str:
    """Why a launch fails whose block is not the one its kernel was compiled for; empty where it is."""
    required = load_ptx(artifact.ptx).module.entry(artifact.entries[launch.kernel]).required_block
    if required is None or required == launch.block:
        return ""
    return f"The block is {launch.block}; its __block_size__ asks for {required}."


@lru_cache(maxsize=64)
def _is_open(ptx: str) -> bool:
    """Whether a module has results whose bits the ISA leaves open."""
    return any(is_open(instr) for entry in load_ptx(ptx).module.entries for instr in entry.instructions)


@lru_cache(maxsize=64)
def _sums_in_any_order(ptx: str) -> bool:
    return any(_is_float_atomic(instr) for entry in load_ptx(ptx).module.entries for instr in entry.instructions)


def _is_float_atomic(instr: Instr) -> bool:
    floats = {"f16", "bf16", "f16x2", "bf16x2", "f32", "f64"}
    return instr.opcode in ("atom", "red") and bool(floats & set(instr.modifiers))


def _one_each(kernel: KernelFile) -> dict[str, int]:
    """One co-resident block where a grid asks for their number, for as long as nobody knows it."""
    return {launch.kernel: 1 for launch in kernel.launches if any("RESIDENT" in extent.names for extent in launch.grid)}
