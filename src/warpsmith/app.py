"""The composition root: joins task, gate, agents, store and library into the jobs that people ask for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from warpsmith.core.errors import InputError, SettingsError
from warpsmith.settings import read_settings

if TYPE_CHECKING:
    from warpsmith.core.candidate import Candidate
    from warpsmith.core.emulation import Emulation, EmulationSettings, LaunchSettings
    from warpsmith.core.profile import Profile
    from warpsmith.core.protocols import Evaluation
    from warpsmith.core.task import Task
    from warpsmith.gpus import Target
    from warpsmith.profiler.duel import Duel
    from warpsmith.sandbox.builds import Compiler
    from warpsmith.sandbox.device.pool import Pool
    from warpsmith.sandbox.emulated import Execute
    from warpsmith.sandbox.gate.stages import Gate
    from warpsmith.sandbox.standalone.kernel_run import RunOptions
    from warpsmith.sandbox.verify.sharpness import Sharpness


LEAST_WORKLOADS = 3
"""Verify workloads that an imported task must keep."""
MOST_TEXT = 64 << 20
"""Characters of a file that is read at all."""
MOST_REASONS = 4
"""Of a degenerate problem's reasons, shown."""


def verify(
    kernel: Path,
    *,
    task: str | None,
    arch: str | None,
    device: str = "auto",
    seed: int | None = None,
    knobs: Mapping[str, int] | None = None,
    profiled: bool = True,
    thorough: bool = False,
) -> Evaluation:
    """Take one kernel file through the whole gate.

    Raises:
        KernelFileError: it is no kernel file for this task.
    """
    from warpsmith.gpus import choose_target

    with choose_target(device, arch, read_settings()) as target:
        candidate, loaded = _subject(kernel, knobs, task)
        judge = gate(
            loaded,
            arch=target.arch.name,
            profiled=profiled,
            thorough=thorough,
            pool=target.pool,
            remark=target.remark,
        )
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

    candidate, loaded = _subject(kernel, knobs, task, printing=True)
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
    return run(file, read_text(file), launch, arch=target, compiler=_compiler(), options=_run_options(settings))


def import_problem(path: Path, *, name: str, folder: Path, dtype: str, bench_mib: int) -> tuple[Path, tuple[str, ...]]:
    """Write the task file of a problem in KernelBench's form; give its path, and remarks on the choices made.

    The task gate tries it first. A verify workload at which wrong results pass is left out where three others remain.

    Raises:
        TaskError: it cannot be imported, or the task gate finds it degenerate; says why. Nothing is written.
    """
    import tempfile

    from warpsmith.core.errors import TaskError
    from warpsmith.tasks.importers.kernelbench import import_problem as imported
    from warpsmith.tasks.new import write_new

    found = imported(path, name=name, dtype=dtype, bench_mib=bench_mib)
    target = folder / f"{found.name}.py"
    with tempfile.TemporaryDirectory() as scratch:
        draft = Path(scratch) / target.name
        draft.write_text(found.text, encoding="utf-8")
        task = load_task(str(draft))
        problems = check_task(task)
        blunt = {
            item.name for item in task.verify if any(text.startswith(f"'{item.name}' accepts") for text in problems)
        }
        if blunt and len(task.verify) - len(blunt) >= LEAST_WORKLOADS:
            found = found.without(blunt)
            draft.write_text(found.text, encoding="utf-8")
            problems = check_task(load_task(str(draft)))
        if problems:
            reasons = "; ".join(text.split(". ")[0].rstrip(".") for text in problems[:MOST_REASONS])
            raise TaskError(
                f"{path}: this problem is degenerate, wrong kernels would pass: {reasons}.",
                remedy="Change the problem file, or write the task by hand: `warpsmith tasks new`.",
            )
    write_new({target: found.text})
    return target, found.remarks


def check_task(task: Task) -> list[str]:
    """Problems the task gate finds; empty where the task is sound."""
    from warpsmith.sandbox.verify.task_gate import check_task as check

    return list(check(task).problems)


def task_sharpness(task: Task) -> tuple[Sharpness, ...]:
    """The smallest planted faults that a sound task's comparison still catches."""
    from warpsmith.sandbox.verify.sharpness import sharpness

    return sharpness(task)


def gate(
    task: Task,
    *,
    arch: str,
    cache: Path | None = None,
    profiled: bool = True,
    thorough: bool = False,
    pool: Pool | None = None,
    remark: str = "",
) -> Gate:
    """The gate for one task on one target: emulated, and on the pool's GPUs as well where there is one.

    `thorough` runs bench calls whole on the emulator, for what is to be kept: minutes instead of seconds.
    """
    from warpsmith.core.arch import find_architecture
    from warpsmith.sandbox.emulated import EmulatedLauncher
    from warpsmith.sandbox.gate.hardware import Gpu
    from warpsmith.sandbox.gate.stages import Gate
    from warpsmith.sandbox.jail.levels import choose

    target, threads = find_architecture(arch), read_settings().threads
    return Gate(
        task=task,
        arch=target,
        launcher=EmulatedLauncher(target, threads, execute=_vm()),
        compiler=_compiler(cache),
        profiled=profiled,
        thorough=thorough,
        gpu=Gpu.of(pool) if pool else None,
        remark=remark,
        threads=threads,
        jail=choose().value,
    )


def require_jail(level: str) -> None:
    """Go on only where what reads a candidate is confined at this level or better.

    Raises:
        SettingsError: there is no such level, or this machine's best is below it.
    """
    from warpsmith.sandbox.jail.levels import Level, forbid_below

    if level not in [*Level]:
        raise SettingsError(f"--require-jail {level}: no such level.", remedy=f"Levels are {', '.join(Level)}.")
    forbid_below(Level(level))


def _compiler(cache: Path | None = None) -> Compiler:
    """NVRTC or Triton, whichever a text needs; what is compiled is kept."""
    from warpsmith.sandbox.compile import CompileCache, compile_unit

    kept = CompileCache(cache or read_settings().cache / "compiled")
    return lambda unit, name: compile_unit(unit, name, cache=kept)


def _vm() -> Execute:
    """The VM in processes of its own."""
    from warpsmith.sandbox.emulator.jailed import jailed_vm

    return jailed_vm()


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
        vm=_vm(),
        trace=parse_trace(settings.trace) if settings.trace else None,
        trace_limit=settings.trace_limit,
        dumps=tuple(parse_dump(text) for text in settings.dumps),
    )


def duel_of(task: Task, target: Target) -> Duel | None:
    """How measured kernels are compared; modelled ones need no duel."""
    if target.pool is None:
        return None
    from warpsmith.sandbox.device.duel import DeviceDuel

    return DeviceDuel(task, target.arch, _compiler(), target.pool)


def baselines_of(task: Task, target: Target) -> Callable[[Profile], Mapping[str, float]] | None:
    """How the libraries a user would pick compare with a measured kernel; modelled ones have no such ratio."""
    if target.pool is None:
        return None
    from warpsmith.sandbox.device.baselines import Baselines, ratios

    timer = Baselines(target.pool)
    return lambda profile: ratios(timer, task, profile)


def load_task(name_or_path: str) -> Task:
    """A task by name or path.

    Raises:
        TaskError: there is none, or it does not load.
    """
    from warpsmith.tasks import load_task as load

    return load(name_or_path)


def _subject(
    kernel: Path, knobs: Mapping[str, int] | None, task: str | None, *, printing: bool = False
) -> tuple[Candidate, Task]:
    """A kernel file's candidate, and the task that was chosen or that the file names.

    Raises:
        KernelFileError: it is no kernel file, or names no task that ships where none was chosen.
    """
    from warpsmith.core.kernel_file import parse_kernel_file
    from warpsmith.sandbox.gate.stages import read_candidate
    from warpsmith.tasks.find import find_tasks, nearest

    text = read_text(kernel)
    candidate = read_candidate(text, file=str(kernel), knobs=dict(knobs) if knobs else None, printing=printing)
    if task is None and candidate.task not in [found.name for found in find_tasks()]:
        remedy = f"Give the file of a task of your own: `--task FILE.py`. {nearest(candidate.task)}"
        parsed = parse_kernel_file(text, file=str(kernel), printing=printing)
        raise parsed.fail(f"No task `{candidate.task}` ships.", remedy, key="task")
    return candidate, load_task(task or candidate.task)


def read_text(path: Path) -> str:
    """A file's text.

    Raises:
        SettingsError: it cannot be read, or is longer than any kernel.
    """
    try:
        # Some editors put a byte order mark before the text; it is no part of it.
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(MOST_TEXT + 1)
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is no text: {error}.", remedy="Give a kernel file in UTF-8.") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise SettingsError(f"{path} cannot be read: {why}.", remedy="Give a kernel file in UTF-8.") from error
    if len(text) > MOST_TEXT:
        raise SettingsError(f"{path} has more than {MOST_TEXT} characters.", remedy="Give a kernel file.")
    return text


def require_writable(library: Path) -> None:
    """Find out before a search whether what it accepts could be written.

    Raises:
        LibraryError: it could not.
    """
    from warpsmith.kernels_generated import accept

    accept.require_writable(library)


def read_kernel(path: Path, task: Task) -> str:
    """Text of a kernel file that is for `task`.

    Raises:
        SettingsError: the file cannot be read.
        KernelFileError: its text is no kernel file for this task.
    """
    from warpsmith.core.kernel_file import check, parse_kernel_file

    text = read_text(path)
    check(parse_kernel_file(text, file=str(path)), task)
    return text


def _placed(error: InputError, kernel: Path) -> InputError:
    """The same error, naming the file a person gave."""
    from warpsmith.core.errors import KernelFileError

    if isinstance(error, KernelFileError) and not error.file:
        error.file = str(kernel)
    return error
