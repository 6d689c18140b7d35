"""The gate: what a candidate passes, in order, to become Verified and be profiled.

plan -> compile -> screen -> emulate -> compare -> hidden workloads -> profile -> coverage. Each stage either lets it
pass or ends it with an Outcome. Every input is minted from a seed that the caller draws after the candidate is frozen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from warpsmith.core.arch import Architecture
from warpsmith.core.candidate import Candidate
from warpsmith.core.errors import KernelFileError, TaskError
from warpsmith.core.kernel_file import KernelFile, check, parse_kernel_file
from warpsmith.core.outcome import Inconclusive, Outcome, Rejected, Stage, Unsupported, Verified, WorkloadCheck, Wrong
from warpsmith.core.profile import Profile
from warpsmith.core.protocols import Circumstances, Evaluation, Launcher, RunReply, StageReport
from warpsmith.core.task import Task, Workload
from warpsmith.sandbox.builds import Builds, Compiler
from warpsmith.sandbox.device.evidence import CLEAN
from warpsmith.sandbox.edition import EDITION
from warpsmith.sandbox.faults import quoting
from warpsmith.sandbox.gate.bench import CACHE, Bench
from warpsmith.sandbox.gate.coverage import Ledger
from warpsmith.sandbox.gate.hardware import Gpu, Hardware
from warpsmith.sandbox.gate.trials import SCHEDULES, Trials
from warpsmith.sandbox.gate.unlisted import PATIENCE, excused, runnable
from warpsmith.sandbox.screen.source import check_source
from warpsmith.sandbox.screen.triton import check_triton
from warpsmith.sandbox.verify.altered import cheaper
from warpsmith.sandbox.verify.hidden import Minted, Minter
from warpsmith.sandbox.verify.named_sizes import named_sizes

PREPARED_TRIALS = 3
"""Verify workloads at which what `[[prepare]]` wrote is kept over calls."""
MOST_RELATIVES = 24
"""Workloads minted to reach what one bench workload executes."""
FEW_RELATIVES = 4
"""The same where all it lacks is a grid of several blocks."""
AS_DRAWN = "values were tried only as the task's distributions draw them: the reference bears no others"


Told = TypeVar("Told", list[str], int)
"""What trials tell where none of them failed."""


class _Ended(Exception):  # noqa: N818 - control flow inside one evaluation
    """A stage said no."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


@dataclass(slots=True)
class Gate:
    """Evaluates candidates of one task on one target through a launcher."""

    task: Task
    arch: Architecture
    launcher: Launcher
    compiler: Compiler
    profiled: bool = True
    """False stops after the verdict."""
    thorough: bool = False
    """Bench calls run whole, which takes minutes."""
    gpu: Gpu | None = None
    """What the emulator passed has to pass there, too, and times are measured."""
    remark: str = ""
    """Goes with every verdict."""
    threads: int = 1
    """Of the host, for compiling."""
    jail: str = ""
    """How well compilers are confined here; goes with every verdict, too."""
    observe: Callable[[StageReport], None] = field(default=lambda report: None)

    def evaluate(self, candidate: Candidate, *, seed: int) -> Evaluation:
        """Run every stage; the Evaluation says where it ended and why.

        Raises:
            KernelFileError: the text is no kernel file for this task.
            MachineError: our side failed.
        """
        return _Evaluation(self, candidate, seed).run()


class _Evaluation:
    """One candidate on its way through the gate."""

    def __init__(self, gate: Gate, candidate: Candidate, seed: int) -> None:
        self.gate, self.candidate, self.seed = gate, candidate, seed
        self.reports: list[StageReport] = []
        self.kernel = parse_kernel_file(candidate.text)
        check(self.kernel, gate.task)
        what = self.kernel, gate.task, candidate.knobs, gate.arch, gate.compiler
        self.builds = Builds(*what, with_gpu=gate.gpu is not None, threads=gate.threads)
        self.ledger = Ledger(self.builds)
        self.trials = Trials(gate.task, self.builds, gate.launcher, seed, self.ledger)
        self.minter = Minter(gate.task, self.builds.inside, seed)
        self.minted: tuple[Workload, ...] = ()
        if gate.remark:
            self.trials.note(gate.remark)

    def run(self) -> Evaluation:
        profile: Profile | None = None
        try:
            self._screen_source()
            workloads = self._plan()
            self._compile(workloads)
            if self.builds.lacking is not None and self.gate.gpu is not None:
                checks, profile = self._on_gpu_alone(workloads, self.gate.gpu, self.builds.lacking)
            else:
                checks, profile = self._emulated(workloads)
            if profile is None:
                self.trials.note("what runs at bench sizes was not looked at")
            outcome: Outcome = Verified(checks=checks, schedules=SCHEDULES, notes=self.trials.notes)
        except _Ended as ended:
            outcome = ended.outcome
        return Evaluation(
            candidate=self.candidate.identity,
            outcome=outcome,
            stages=tuple(self.reports),
            profile=profile if isinstance(outcome, Verified) else None,
            toolchain=self.builds.toolchain,
            circumstances=self._circumstances(),
        )

    def _emulated(self, workloads: tuple[Workload, ...]) -> tuple[tuple[WorkloadCheck, ...], Profile | None]:
        """On the emulator under every checker, then on a GPU where there is one."""
        checks = self._verify(workloads) + self._verify_hidden(workloads)
        checks += self._verify_on_device(workloads)
        if not self.gate.profiled:
            return checks, None
        profile, more = self._profile()
        if untouched := self.ledger.untouched():
            self.trials.note(untouched)
        return checks + more, self._measure(profile)

    def _on_gpu_alone(
        self, workloads: tuple[Workload, ...], gpu: Gpu, lacking: Unsupported
    ) -> tuple[tuple[WorkloadCheck, ...], Profile | None]:
        """What the emulator cannot run has the word of a GPU, and of compute-sanitizer at every workload."""
        hardware = Hardware(self.gate.task, self.builds, gpu, self.seed)
        with self._stage(Stage.DEVICE) as said:
            minted = self._minted().all
            self._end_if(self._building(lambda: self.builds.build_all(minted)))
            self._end_if(hardware.properties(workloads))
            checks = hardware.verify((*workloads, *minted), PREPARED_TRIALS)
            if not isinstance(checks, tuple):
                raise _Ended(checks)
            failure, told = hardware.sanitize_all((*workloads, *minted))
            self._end_if(failure)
            if told != CLEAN:
                message = f"{lacking.message} It runs on the GPU, but nothing watched it there: {told}."
                raise _Ended(lacking.model_copy(update={"message": message}))
            said.append(f"not emulated; {len(checks)} runs, {told} at {len(workloads) + len(minted)} workloads")
        self.trials.note(
            f"not emulated ({lacking.message}): what ran was watched by compute-sanitizer alone, under whatever order "
            "the GPU chose; coverage of the code is not known"
        )
        if not self.gate.profiled:
            return checks, None
        with self._stage(Stage.DEVICE) as said:
            self._end_if(hardware.bench(CACHE))
            profile = hardware.measure_alone(self.candidate.identity, CACHE)
            if not isinstance(profile, Profile):
                raise _Ended(profile)
            said.append(f"{len(profile.workloads)} bench workloads compared whole and timed")
        return checks, profile

    def _minted(self) -> Minted:
        """Hidden workloads, for which the candidate's domain leaves room where the task's does, and unlisted ones."""
        minted = self.minter.hidden()
        if not minted and Minter(self.gate.task, lambda workload: True, self.seed).hidden():
            message = f"`requires` admits no size but those that the task lists: {self._domain()}"
            raise _Ended(Inconclusive(stage=Stage.PLAN, message=message))
        named = named_sizes(self.minter, self.builds.sizes)
        unlisted = (*named.beyond, *self.minter.unlisted())
        return Minted((*minted, *named.within), tuple(runnable(self.builds, unlisted, self.trials.note)))

    def _circumstances(self) -> Circumstances:
        gpu = self.gate.gpu
        device, driver = (gpu.name, gpu.driver) if gpu else ("", "")
        jail = self.gate.jail
        if gpu and gpu.jail() != jail:
            jail += f"; GPU worker: {gpu.jail() or 'none'}"
        return Circumstances(gate=EDITION, jail=jail, device=device, driver=driver)

    @contextmanager
    def _stage(self, stage: Stage) -> Iterator[list[str]]:
        """Time a stage and report it; the body appends what it wants said."""
        start, said, passed = time.perf_counter(), list[str](), True
        try:
            yield said
        except _Ended as ended:
            passed = False
            ended.outcome = quoting(ended.outcome, self.candidate.text)
            said.append(getattr(ended.outcome, "message", ""))
            raise
        finally:
            seconds = round(time.perf_counter() - start, 4)
            report = StageReport(stage=stage, passed=passed, seconds=seconds, detail="; ".join(said))
            self.reports.append(report)
            self.gate.observe(report)

    def _screen_source(self) -> None:
        with self._stage(Stage.SCREEN) as said:
            triton = self.candidate.language == "triton"
            problem = check_triton(self.candidate.text) if triton else check_source(self.candidate.text)
            if problem is not None:
                message = f"{problem.message} {problem.remedy}".strip()
                raise _Ended(Rejected(stage=Stage.SCREEN, message=message, line=problem.line))
            said.append("source")

    def _plan(self) -> tuple[Workload, ...]:
        """Verify workloads inside the kernel's domain; every bench workload must be inside it."""
        with self._stage(Stage.PLAN) as said:
            outside = [item.name for item in self.gate.task.bench if not self.builds.inside(item)]
            if outside:
                message = f"the bench workload {outside[0]!r} is outside `requires`: {self._domain()}"
                line = getattr(self.kernel.requires, "line", 0) or None
                raise _Ended(Rejected(stage=Stage.PLAN, message=message, workload=outside[0], line=line))
            inside = tuple(item for item in self.gate.task.verify if self.builds.inside(item))
            if not inside:
                message = f"no verify workload is inside `requires`: {self._domain()}"
                raise _Ended(Inconclusive(stage=Stage.PLAN, message=message))
            said.append(f"{len(inside)} of {len(self.gate.task.verify)} verify workloads inside the domain")
            return inside

    def _compile(self, workloads: tuple[Workload, ...]) -> None:
        with self._stage(Stage.COMPILE) as said:
            self._end_if(self.builds.build_all((*workloads, *self.gate.task.bench)))
            said.append(f"{self.builds.count} builds, {self.builds.toolchain}")

    def _verify(self, workloads: tuple[Workload, ...]) -> tuple[WorkloadCheck, ...]:
        with self._stage(Stage.EMULATE) as said:
            for workload in workloads:
                self._end_if(self.trials.run(workload))
            for workload in workloads[:PREPARED_TRIALS]:
                self._end_if(self.trials.run_prepared(workload))
            said.append(f"{len(workloads)} workloads under {SCHEDULES} schedules")
        with self._stage(Stage.COMPARE) as said:
            checks = self._compare()
            said.append(f"largest error {max(check.error for check in checks):.2f} of what is allowed")
        return checks

    def _verify_hidden(self, workloads: tuple[Workload, ...]) -> tuple[WorkloadCheck, ...]:
        """Run and compare workloads that did not exist when the candidate was written, and the task's properties."""
        with self._stage(Stage.EMULATE) as said:
            minted = self._minted()
            self._end_if(self._building(lambda: self.builds.build_all(minted.all)))
            ran = [item for item in minted.all if self._run_minted(item, unlisted=item in minted.beyond)]
            for number, prop in enumerate(self.gate.task.properties):
                self._end_if(self.trials.run_property(prop, workloads[(self.seed + number) % len(workloads)]))
            self.minted = tuple(ran)
            cheap = cheaper(self.gate.task, workloads)
            values = self._told(self.trials.run_altered(workloads, cheap))
            values += self._told(self.trials.run_altered_at_size(ran))
            named = self._told(self.trials.run_named(workloads, cheap, ran))
            amplitudes = self._told(self.trials.run_amplitudes(cheap))
            if not values and not amplitudes and not named:
                self.trials.note(AS_DRAWN)
            checks = self._compare()
            kinds = Counter(workload.name for workload in ran)
            names = [name if times == 1 else f"{name} ({times} of them)" for name, times in kinds.items()]
            said.append(f"{len(ran)} hidden workloads: {', '.join(names)}")
            said.append(f"values altered in {len(values)} ways: {', '.join(values)}" if values else "values as drawn")
            said.append(f"{named} runs on numbers that the code names")
            said.append(f"{amplitudes} other amplitudes")
        return checks

    def _verify_on_device(self, workloads: tuple[Workload, ...]) -> tuple[WorkloadCheck, ...]:
        """The same workloads on a GPU, and the bench ones whole."""
        if self.gate.gpu is None:
            return ()
        hardware = Hardware(self.gate.task, self.builds, self.gate.gpu, self.seed)
        with self._stage(Stage.DEVICE) as said:
            checks = hardware.verify((*workloads, *self.minted), PREPARED_TRIALS)
            if not isinstance(checks, tuple):
                raise _Ended(checks)
            said.append(
                f"{len(checks)} runs, largest error {max(check.error for check in checks):.2f} of what is allowed"
            )
            if self.gate.profiled:
                self._end_if(hardware.bench(CACHE))
                said.append(f"{len(self.gate.task.bench)} bench workloads compared whole")
                failure, told = hardware.sanitize(workloads[0])
                self._end_if(failure)
                said.append(told)
        self.trials.note(
            "races, uninitialised reads and barriers were checked on the emulator, values on a GPU as well"
        )
        return checks

    def _measure(self, profile: Profile) -> Profile:
        """The profile with a GPU's times in place of modelled ones, where there is a GPU."""
        if self.gate.gpu is None:
            return profile
        with self._stage(Stage.DEVICE) as said:
            measured = Hardware(self.gate.task, self.builds, self.gate.gpu, self.seed).measure(profile, CACHE)
            if not isinstance(measured, Profile):
                raise _Ended(measured)
            said.append(f"{len(measured.workloads)} bench workloads timed")
        return measured

    def _run_minted(self, workload: Workload, *, unlisted: bool = False) -> bool:
        """Run a workload no task author wrote down; False where the task cannot draw or evaluate it, or `excused`."""
        try:
            self._end_if(self._building(lambda: self.builds.build(workload)))
            failure = self.trials.run(workload, PATIENCE if unlisted else 1)
            if unlisted and excused(failure, workload, self.trials.note):
                return False
            self._end_if(failure)
        except TaskError as error:
            self.trials.note(f"{workload.name} was left out: {error}")
            return False
        return True

    @staticmethod
    def _building(build: Callable[[], Outcome | None]) -> Outcome | None:
        """Where a plan cannot be bound to a size that the kernel claims to handle, that is the candidate's failure."""
        try:
            return build()
        except KernelFileError as error:
            message = f"{error.message} {error.remedy}".strip()
            return Rejected(stage=Stage.PLAN, message=message, line=error.line or None)

    def _compare(self) -> tuple[WorkloadCheck, ...]:
        verdict = self.trials.compare()
        if isinstance(verdict, Wrong):
            raise _Ended(verdict)
        return verdict

    def _profile(self) -> tuple[Profile, tuple[WorkloadCheck, ...]]:
        with self._stage(Stage.PROFILE) as said:
            bench = Bench(self.gate.task, self.builds, self.gate.launcher, self.seed, self.gate.thorough)
            profile = bench.profile(self.candidate)
            if not isinstance(profile, Profile):
                raise _Ended(profile)
            compared = len(profile.workloads) - len(bench.unseen)
            whole = f", of {len(bench.whole)} every element" if bench.whole else ""
            said.append(f"{len(profile.workloads)} bench workloads, values compared at {compared}{whole}")
            if bench.unseen:
                self.trials.note(f"not compared at bench size: {', '.join(bench.unseen)}")
        checks: tuple[WorkloadCheck, ...] = ()
        for workload, reply in bench.replies:
            checks += self._close(workload, reply)
        return profile, checks

    def _close(self, bench: Workload, reply: RunReply) -> tuple[WorkloadCheck, ...]:
        """Verify relatives of a bench workload until all it executes has run under the checkers."""
        if not self.ledger.missing(bench, reply):
            return ()
        checks: tuple[WorkloadCheck, ...] = ()
        with self._stage(Stage.EMULATE) as said:
            relatives = self.minter.towards(bench, lambda item: self.builds.same_code(item, bench))
            tried = 0
            while self.ledger.missing(bench, reply):
                workload = next(relatives, None)
                one_row = self.ledger.one_row(bench, reply)
                if one_row and (workload is None or tried >= FEW_RELATIVES):
                    self.trials.note(one_row)
                    break
                if workload is None or tried == MOST_RELATIVES:
                    raise _Ended(self.ledger.unreached(bench, reply))
                if self._run_minted(workload):
                    checks += self._compare()
                tried += 1
            said.append(f"{tried} workloads like '{bench.name}' to reach all it executes")
        return checks

    def _domain(self) -> str:
        requires = self.kernel.requires
        return requires.text if requires is not None else ""

    @staticmethod
    def _told(found: Outcome | Told) -> Told:
        if not isinstance(found, list | int):
            raise _Ended(found)
        return found

    @staticmethod
    def _end_if(outcome: Outcome | None) -> None:
        if outcome is not None:
            raise _Ended(outcome)


def read_candidate(
    text: str, *, file: str = "", knobs: dict[str, int] | None = None, printing: bool = False
) -> Candidate:
    """The candidate a kernel file's text and a knob assignment (default: first values) stand for."""
    kernel: KernelFile = parse_kernel_file(text, file=file, printing=printing)
    assigned = kernel.default_knobs() | (knobs or {})
    if knobs:
        kernel.check_knobs(assigned)
    return Candidate(task=kernel.task, language=kernel.language, text=text, knobs=assigned)
