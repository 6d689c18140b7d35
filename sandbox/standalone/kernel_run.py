"""Runs a kernel file once, at one workload, and holds it against its task's reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from warpsmith.core.arch import Architecture
from warpsmith.core.candidate import Candidate
from warpsmith.core.emulation import COMPLETED, Emulation
from warpsmith.core.errors import SettingsError
from warpsmith.core.kernel_file import check, dims_of, parse_kernel_file
from warpsmith.core.outcome import Outcome, Rejected, Stage, WorkloadCheck, Wrong
from warpsmith.core.protocols import RunReply, RunRequest
from warpsmith.core.task import Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.builds import Builds, Compiler
from warpsmith.sandbox.emulated import WARP_BUDGET, EmulatedLauncher, Execute
from warpsmith.sandbox.emulator.launch import launch
from warpsmith.sandbox.faults import quoting
from warpsmith.sandbox.gate.trials import unwritten, written_tensors
from warpsmith.sandbox.screen.triton import check_triton
from warpsmith.sandbox.standalone.recorder import Recorder
from warpsmith.sandbox.standalone.tensors import Dump, report_tensors, require_names, values_of
from warpsmith.sandbox.standalone.trace_request import TraceRequest
from warpsmith.sandbox.standalone.workloads import choose_workload
from warpsmith.sandbox.verify.explain import explained
from warpsmith.sandbox.verify.standard import Standard
from warpsmith.tasks.sample import make_inputs


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run, whatever it is that runs."""

    checks: bool = True
    """Uninitialised reads and races, and counters. Bounds, alignment and barriers are always checked."""
    seed: int = 0
    """Order of blocks, warps and sides of diverged branches, poison and base addresses; 0 is launch order."""
    data_seed: int = 0
    """Mints random inputs."""
    budget: int | None = None
    """Warp instructions a launch may issue."""
    threads: int = 1
    vm: Execute = launch
    """What runs a launch: the VM, here or in a jail."""
    trace: TraceRequest | None = None
    trace_limit: int = 200
    dumps: tuple[Dump, ...] = field(default_factory=tuple)


def emulate_kernel(
    candidate: Candidate,
    task: Task,
    workload_text: str | None,
    *,
    file: str,
    arch: Architecture,
    compiler: Compiler,
    options: RunOptions,
) -> Emulation:
    """Compile a kernel file for one workload, run it and compare.

    Raises:
        KernelFileError: the text is no kernel file for this task.
        SettingsError: there is no such workload, block or thread.
    """
    return _KernelRun(candidate, task, workload_text, file, arch, compiler, options).run()


class _KernelRun:
    def __init__(
        self,
        candidate: Candidate,
        task: Task,
        workload_text: str | None,
        file: str,
        arch: Architecture,
        compiler: Compiler,
        options: RunOptions,
    ) -> None:
        self.candidate, self.task, self.file, self.arch, self.options = candidate, task, file, arch, options
        self.kernel = parse_kernel_file(candidate.text, file=file, printing=True)
        check(self.kernel, task)
        self.builds = Builds(self.kernel, task, candidate.knobs, arch, compiler, watched=True)
        self.workload = self._inside(choose_workload(task, workload_text, self.builds.inside))
        self.recorder = Recorder(
            candidate.text, "", {}, options.trace, options.trace_limit, counters=options.checks, vm=options.vm
        )

    def run(self) -> Emulation:
        problem = self._screened() or self.builds.build(self.workload)
        if problem is not None:
            return self._told(problem)
        inputs = make_inputs(self.task, self.workload, self.options.data_seed)
        written = written_tensors(self.task, self.workload, inputs)
        require_names([dump.name for dump in self.options.dumps], list(written), "--dump")
        request = self._request(inputs, written)
        launcher = EmulatedLauncher(
            self.arch,
            self.options.threads,
            budget=self.options.budget or WARP_BUDGET,
            execute=self.recorder.execute,
        )
        reply = launcher.run(request)
        if reply.failure is not None:  # what outputs hold means nothing
            return self._told(quoting(reply.failure, self.candidate.text))
        failure = unwritten(self.task, reply) if self.options.checks else None
        if failure is not None:
            return self._told(quoting(failure, self.candidate.text), reply.outputs)
        verdict = self._compared(reply, inputs)
        if isinstance(verdict, Wrong):
            return self._told(verdict, reply.outputs)
        return self._told(None, reply.outputs, verdict)

    def _inside(self, workload: Workload) -> Workload:
        if not self.builds.inside(workload):
            domain = self.kernel.requires.text if self.kernel.requires is not None else ""
            raise SettingsError(
                f"the workload '{workload.name}' is outside the kernel's `requires`: {domain}",
                remedy="Choose sizes inside it.",
            )
        return workload

    def _screened(self) -> Rejected | None:
        """A Triton file's Python is screened before its compiler sees it; CUDA is where it is compiled."""
        problem = check_triton(self.candidate.text) if self.candidate.language == "triton" else None
        if problem is None:
            return None
        return Rejected(stage=Stage.SCREEN, message=f"{problem.message} {problem.remedy}", line=problem.line)

    def _request(self, inputs: Mapping[str, HostTensor], written: Mapping[str, HostTensor]) -> RunRequest:
        artifact, options = self.builds.artifact(self.workload), self.options
        request = RunRequest(
            artifact=artifact,
            plan=self.builds.plan(self.workload),
            inputs=inputs,
            outputs=written,
            static=self.task.static_inputs,
            seed=options.seed,
            checks=options.checks,
            counters=False,
            budget=options.budget or WARP_BUDGET,
        )
        self.recorder.ptx = artifact.ptx
        self.recorder.names = {entry: name for name, entry in artifact.entries.items()}
        tensors = {**request.inputs, **request.outputs}
        self.recorder.shapes = {name: (item.shape, item.dtype.itemsize) for name, item in tensors.items()}
        return request

    def _compared(self, reply: RunReply, inputs: Mapping[str, HostTensor]) -> WorkloadCheck | Wrong:
        standard = Standard(self.task, self.workload, inputs)
        return standard.verdict(reply.outputs, seed=self.options.data_seed, explain=explained)

    def _told(
        self,
        failure: Outcome | None,
        outputs: Mapping[str, HostTensor] | None = None,
        check: WorkloadCheck | None = None,
    ) -> Emulation:
        options, recorder = self.options, self.recorder
        shown = {name: values_of(item) for name, item in (outputs or {}).items()}
        return Emulation(
            outcome=COMPLETED if failure is None else failure.kind,
            message=getattr(failure, "message", ""),
            line=getattr(failure, "line", None),
            details=getattr(failure, "details", ()),
            file=self.file,
            task=self.task.name,
            workload=self.workload.name,
            dims=dims_of(self.task, self.workload),
            target=self.arch.name,
            toolchain=self.builds.toolchain,
            checks=options.checks,
            seed=options.seed,
            data_seed=options.data_seed,
            fault=recorder.fault,
            launches=tuple(recorder.launches),
            outputs=report_tensors(shown, options.dumps),
            check=check,
            trace=tuple(recorder.steps),
            notes=tuple(recorder.notes),
        )
