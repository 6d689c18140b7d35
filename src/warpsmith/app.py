"""The composition root: joins task, gate, agents, store and library into the jobs that people ask for."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from warpsmith.core.errors import InputError, SettingsError, TaskError
from warpsmith.core.summary import KernelSummary, RunSummary, WorkloadSummary
from warpsmith.settings import read_settings

if TYPE_CHECKING:
    from warpsmith.agents.loop import Loop
    from warpsmith.agents.state import RunState
    from warpsmith.core.candidate import Candidate
    from warpsmith.core.emulation import Emulation, EmulationSettings, LaunchSettings
    from warpsmith.core.events import Event, RunStarted
    from warpsmith.core.profile import Profile
    from warpsmith.core.protocols import Evaluation
    from warpsmith.core.task import Task
    from warpsmith.gpus import Target
    from warpsmith.profiler.duel import Duel
    from warpsmith.sandbox.builds import Compiler
    from warpsmith.sandbox.device.pool import Pool
    from warpsmith.sandbox.gate import Gate
    from warpsmith.sandbox.standalone.kernel_run import RunOptions
    from warpsmith.store import Store

CODERS = ("builtin",)
"""Coders that can be asked for; each is its own Judge."""


def optimize(
    task: str,
    *,
    coder: str,
    arch: str | None,
    device: str,
    rounds: int,
    seed: int | None,
    seed_kernel: Path | None,
    library: Path,
    store: Path,
    observe: Callable[[Event], None],
) -> RunSummary:
    """Start a run and carry it to its end.

    Raises:
        InputError: the task, the seed kernel or an option is wrong.
        MachineError: our side failed; `resume` goes on.
    """
    from warpsmith.core.events import RunSettings, RunStarted
    from warpsmith.gpus import choose_target
    from warpsmith.store import Store

    if coder not in CODERS:
        raise SettingsError(f"there is no coder {coder!r}.", remedy=f"Choose one of: {', '.join(CODERS)}.")
    with choose_target(device, arch, read_settings()) as target, Store.open(store) as opened:
        loaded = _load_task(task)
        text = _read(seed_kernel) if seed_kernel else ""
        started = RunStarted(
            run=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            task=loaded.name,
            task_path=_own_path(loaded),
            task_digest=loaded.source_digest,
            target=target.arch.name,
            device=target.device,
            settings=RunSettings(
                coder=coder,
                judge=coder,
                strategy="refine",
                rounds=rounds,
                seed=secrets.randbits(32) if seed is None else seed,
                library=str(library.absolute()),
            ),
            seed_kernel=opened.put_text(text) if text else "",
        )
        loop = _loop(started, loaded, target, opened, observe, first=seed_kernel.name if seed_kernel else "")
        return summarise(loop.start(started))


def resume(run: str | None, *, store: Path, observe: Callable[[Event], None]) -> RunSummary:
    """Carry a run (default: the newest) on from its last recorded event.

    Raises:
        SettingsError: there is no such run.
        TaskError: its task file has changed since.
        DeviceError: it began on a GPU, and none like it can be used here.
    """
    from warpsmith.core.events import RunStarted
    from warpsmith.gpus import choose_target
    from warpsmith.store import Store

    with Store.open(store) as opened:
        newest = opened.newest_run()
        name = run or (newest.run if newest else "")
        events = opened.events(name) if name else ()
        if not events or not isinstance(events[0], RunStarted):
            raise SettingsError(
                f"{store} holds no run {name}".rstrip() + ".", remedy="Start one: warpsmith optimize TASK."
            )
        started = events[0]
        task = _load_task(started.task_path or started.task)
        if task.source_digest != started.task_digest:
            raise TaskError(f"the task {task.name} has changed since run {name} began.", remedy="Start a new run.")
        device = "cuda" if started.device == "gpu" else "emulator"
        with choose_target(device, started.target, read_settings()) as target:
            loop = _loop(started, task, target, opened, observe)
            observe(started)
            return summarise(loop.resume(name))


def verify(
    kernel: Path,
    *,
    task: str | None,
    arch: str | None,
    device: str = "auto",
    seed: int | None = None,
    knobs: Mapping[str, int] | None = None,
    profiled: bool = True,
) -> Evaluation:
    """Take one kernel file through the whole gate.

    Raises:
        KernelFileError: it is no kernel file for this task.
    """
    from warpsmith.gpus import choose_target

    with choose_target(device, arch, read_settings()) as target:
        candidate = _candidate(kernel, knobs)
        loaded = _load_task(task or candidate.task)
        judge = gate(loaded, arch=target.arch.name, profiled=profiled, pool=target.pool, remark=target.remark)
        try:
            return judge.evaluate(candidate, seed=secrets.randbits(31) if seed is None else seed)
        except InputError as error:
            raise _placed(error, kernel) from error


def profile(
    kernel: Path, *, task: str | None, arch: str | None, device: str = "auto", knobs: Mapping[str, int] | None = None
) -> Evaluation:
    """Verify a kernel and profile it at the bench workloads."""
    return verify(kernel, task=task, arch=arch, device=device, knobs=knobs)


def emulate_kernel(
    kernel: Path,
    *,
    task: str | None,
    workload: str | None,
    arch: str,
    knobs: Mapping[str, int] | None,
    settings: EmulationSettings,
) -> Emulation:
    """Run one kernel file at one workload on the emulator.

    Raises:
        InputError: the file, the workload or an option is wrong.
    """
    from warpsmith.core.arch import find_architecture
    from warpsmith.sandbox.standalone.kernel_run import emulate_kernel as run

    candidate = _candidate(kernel, knobs, printing=True)
    loaded = _load_task(task or candidate.task)
    try:
        return run(
            candidate,
            loaded,
            workload,
            file=str(kernel),
            arch=find_architecture(arch),
            compiler=_compiler(),
            options=_run_options(settings),
        )
    except InputError as error:
        raise _placed(error, kernel) from error


def emulate_source(file: Path, launch: LaunchSettings, *, arch: str, settings: EmulationSettings) -> Emulation:
    """Run one kernel of a plain PTX or CUDA C++ file on the emulator.

    Raises:
        InputError: the file, an argument or a size is wrong.
    """
    from warpsmith.core.arch import find_architecture
    from warpsmith.sandbox.standalone.source_run import emulate_source as run

    target = find_architecture(arch)
    return run(file, _read(file), launch, arch=target, compiler=_compiler(), options=_run_options(settings))


def check_task(task: Task) -> list[str]:
    """Problems the task gate finds; empty where the task is sound."""
    from warpsmith.sandbox.verify.task_gate import check_task as check

    return list(check(task).problems)


def gate(
    task: Task,
    *,
    arch: str,
    cache: Path | None = None,
    profiled: bool = True,
    pool: Pool | None = None,
    remark: str = "",
) -> Gate:
    """The gate for one task on one target: emulated, and on the pool's GPUs as well where there is one."""
    from warpsmith.core.arch import find_architecture
    from warpsmith.sandbox.emulated import EmulatedLauncher
    from warpsmith.sandbox.gate import Gate
    from warpsmith.sandbox.hardware import Gpu

    target = find_architecture(arch)
    return Gate(
        task=task,
        arch=target,
        launcher=EmulatedLauncher(target, read_settings().threads),
        compiler=_compiler(cache),
        profiled=profiled,
        gpu=Gpu.of(pool) if pool else None,
        remark=remark,
    )


def _compiler(cache: Path | None = None) -> Compiler:
    """NVRTC or Triton, whichever a text needs; what is compiled is kept."""
    from warpsmith.sandbox.compile import CompileCache, compile_unit

    kept = CompileCache(cache or read_settings().cache / "compiled")
    return lambda unit, name: compile_unit(unit, name, cache=kept)


def _run_options(settings: EmulationSettings) -> RunOptions:
    """What the command line says, read."""
    from warpsmith.sandbox.standalone.kernel_run import RunOptions
    from warpsmith.sandbox.standalone.tensors import parse_dump
    from warpsmith.sandbox.standalone.trace_request import parse_trace

    return RunOptions(
        checks=settings.checks,
        seed=settings.seed,
        data_seed=settings.data_seed,
        budget=settings.budget,
        threads=read_settings().threads,
        trace=parse_trace(settings.trace) if settings.trace else None,
        trace_limit=settings.trace_limit,
        dumps=tuple(parse_dump(text) for text in settings.dumps),
    )


def summarise(state: RunState) -> RunSummary:
    """A run in the words of `warpsmith optimize --json`."""
    from warpsmith.core.outcome import Outcome

    def over(best: Profile, workload: str) -> float | None:
        first = state.baseline.profile if state.baseline else None
        times = {item.workload: item.duration.us for item in first.workloads} if first else {}
        mine = {item.workload: item.duration.us for item in best.workloads}
        return times[workload] / mine[workload] if workload in times else None

    outcomes: list[Outcome] = [it.evaluation.outcome for it in state.attempts if it.evaluation]
    best = state.best.profile if state.best else None
    baseline = state.baseline.profile if state.baseline else None
    accepted = state.accepted
    return RunSummary(
        run=state.run.run,
        task=state.run.task,
        target=state.run.target,
        accepted=accepted is not None,
        kernel=KernelSummary(digest=accepted.kernel, path=Path(accepted.path)) if accepted else None,
        rounds=len(state.attempts),
        outcomes=dict(Counter(outcome.kind for outcome in outcomes)),
        workloads=tuple(
            WorkloadSummary(
                name=item.workload,
                time_us=item.duration.us,
                source=item.duration.source,
                bound_us=item.bound.us,
                fraction=item.fraction,
                speedup_over_seed=over(best, item.workload),
            )
            for item in best.workloads
        )
        if best
        else (),
        speedup_over_seed=best.speedup_over(baseline) if best and baseline else None,
    )


def _loop(
    started: RunStarted,
    task: Task,
    target: Target,
    store: Store,
    observe: Callable[[Event], None],
    first: str = "",
) -> Loop:
    """Join the parts of one run; what it needs is in its first event."""
    from warpsmith.acceptor import LibraryAcceptor
    from warpsmith.agents.coder import BuiltinCoder
    from warpsmith.agents.judge import BuiltinJudge
    from warpsmith.agents.loop import Loop
    from warpsmith.agents.refine import Refine
    from warpsmith.seeds import Seed, seeds_for

    seeds = seeds_for(task.name)
    own = None
    if started.seed_kernel:
        own = Seed(name=first or "seed kernel", text=store.get_text(started.seed_kernel))
    if not seeds and own is None:
        raise SettingsError(
            f"the task {task.name} ships no seeds, and the builtin coder writes no code.",
            remedy="Give it a kernel to start from: --seed-kernel FILE.",
        )
    return Loop(
        log=store,
        coder=BuiltinCoder(seeds, own),
        judge=BuiltinJudge(),
        strategy=Refine(),
        evaluator=gate(task, arch=target.arch.name, pool=target.pool, remark=target.remark),
        accept=LibraryAcceptor(started, task, store, _duel(task, target)),
        observe=lambda event, state: observe(event),
    )


def _duel(task: Task, target: Target) -> Duel | None:
    """How measured kernels are compared; modelled ones need no duel."""
    if target.pool is None:
        return None
    from warpsmith.sandbox.device.duel import DeviceDuel

    return DeviceDuel(task, target.arch, _compiler(), target.pool)


def _load_task(name_or_path: str) -> Task:
    from warpsmith.tasks import load_task

    return load_task(name_or_path)


def _own_path(task: Task) -> str:
    """Where a user's own task file lies; empty for one that ships, which is found by name."""
    import warpsmith.tasks

    folder = Path(warpsmith.tasks.__file__).resolve().parent
    path = Path(task.path).resolve()
    return "" if path.is_relative_to(folder) else str(path)


def _candidate(kernel: Path, knobs: Mapping[str, int] | None, *, printing: bool = False) -> Candidate:
    from warpsmith.sandbox.gate import read_candidate

    return read_candidate(_read(kernel), file=str(kernel), knobs=dict(knobs) if knobs else None, printing=printing)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.", remedy="Give a kernel file in UTF-8.") from error


def _placed(error: InputError, kernel: Path) -> InputError:
    """The same error, naming the file a person gave."""
    from warpsmith.core.errors import KernelFileError

    if isinstance(error, KernelFileError) and not error.file:
        error.file = str(kernel)
    return error
