"""Runs from the outside: started, resumed, replayed, shown. Joins store, gate, agents and library for each."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from warpsmith import app
from warpsmith.core.errors import SettingsError, TaskError
from warpsmith.core.events import Budget, Event, RunSettings, RunStarted
from warpsmith.core.summary import KernelSummary, RunSummary, WorkloadSummary
from warpsmith.models import canonical, check_models
from warpsmith.settings import hidden_keys, read_settings
from warpsmith.wiring import Observe, loop_of, parts_of, replay_parts

if TYPE_CHECKING:
    from warpsmith.agents.llm.model import Model
    from warpsmith.agents.state import RunState
    from warpsmith.core.ledger import Ledger
    from warpsmith.core.profile import Profile
    from warpsmith.core.task import Task
    from warpsmith.store import Store

DEFAULT_DOLLARS = 5.0
"""Limit of a run with priced models where nobody sets one."""
DEFAULT_TOKENS = 2_000_000
"""Limit of a run with unpriced models where nobody sets one."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a person chooses for a run."""

    task: str
    library: Path
    coder: str = "builtin"
    judge: str = ""
    """Empty: as the coder."""
    arch: str | None = None
    device: str = "auto"
    rounds: int = 24
    seed: int | None = None
    seed_kernel: Path | None = None
    language: str = "cuda"
    width: int = 1
    budget: Budget = field(default_factory=Budget)


def optimize(options: RunOptions, *, store: Path, observe: Observe, tell: Callable[[str], None]) -> RunSummary:
    """Start a run and carry it to its end.

    Args:
        options: what to do.
        store: where the run is recorded.
        observe: hears each event.
        tell: hears what a person should know besides.

    Raises:
        InputError: the task, the seed kernel or an option is wrong.
        LibraryError: what is accepted could not be written.
        MachineError: our side or a model failed; `resume` goes on.
    """
    from warpsmith.agents.estimate import estimate
    from warpsmith.gpus import choose_target
    from warpsmith.store import Store

    task = app.load_task(options.task)
    coder = canonical(options.coder)
    judge = canonical(options.judge or options.coder)
    place = choose_target(options.device, options.arch, read_settings())
    app.require_writable(options.library)
    with hidden_keys(), place as target, Store.open(store) as opened:
        text = app.read_kernel(options.seed_kernel, task) if options.seed_kernel else ""
        run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        started = RunStarted(
            run=run,
            task=task.name,
            task_path=_own_path(task),
            task_digest=task.source_digest,
            target=target.arch.name,
            device=target.device,
            settings=RunSettings(
                coder=coder,
                judge=judge,
                strategy="refine",
                rounds=options.rounds,
                seed=secrets.randbits(32) if options.seed is None else options.seed,
                library=str(options.library.absolute()),
                width=options.width,
                language=options.language,
            ),
            seed_kernel=opened.put_text(text) if text else "",
        )
        parts = parts_of(started, task, opened, tell, options.seed_kernel.name if options.seed_kernel else "")
        check_models(parts.models)
        expected = estimate(parts.coder, parts.judge, options.rounds)
        settings = started.settings.model_copy(update={"budget": sensible_budget(options.budget, parts.models)})
        started = started.model_copy(update={"settings": settings})
        if expected is not None:
            limits = ", ".join(
                f"{limit:g} {name}" for name, limit in settings.budget.model_dump(exclude_none=True).items()
            )
            tell(f"{expected}; the search stops at {limits or 'its rounds'}")
        return summarise(loop_of(started, task, target, opened, observe, parts).start(started))


def resume(run: str | None, *, store: Path, observe: Observe, tell: Callable[[str], None]) -> RunSummary:
    """Carry a run (default: the newest) on from its last recorded event.

    Raises:
        SettingsError: there is no such run.
        TaskError: its task file has changed since.
        DeviceError: it began on a GPU, and none like it can be used here.
    """
    from warpsmith.gpus import choose_target
    from warpsmith.store import Store

    with hidden_keys(), Store.open(store) as opened:
        started, events = _recorded(opened, run, store)
        task = _same_task(started)
        finished = events[-1].kind == "RunFinished" and getattr(events[-1], "reason", "") != "interrupted"
        if started.replay_of:
            parts, order = replay_parts(started, task, opened), opened.events(started.replay_of)
        else:
            parts, order = parts_of(started, task, opened, tell), ()
            if not finished:
                check_models(parts.models)
        with choose_target(device_of(started), started.target, read_settings()) as target:
            loop = loop_of(started, task, target, opened, observe, parts, order)
            observe(started)
            return summarise(loop.resume(started.run))


def replay(
    source: str, *, store: Path, library: Path, observe: Observe, tell: Callable[[str], None] = lambda said: None
) -> tuple[RunSummary, tuple[str, ...]]:
    """Run a recorded run again with its recorded answers: no model is asked, every candidate is evaluated anew.

    The task is the one of today, as the gate is.

    Args:
        source: a run in the store, or a file that `runs export` wrote.
        store: where the replay is recorded.
        library: where an accepted kernel goes.
        observe: hears each event.
        tell: hears whether the task has changed since.

    Returns:
        The summary, and in what the replay differs from the recording; nothing where the two agree.

    Raises:
        SettingsError: there is no such run, or it was never finished.
        ModelError: the replay does something that the recorded run did not.
    """
    from warpsmith.core.events import RunFinished, StopReason
    from warpsmith.gpus import choose_target
    from warpsmith.store import Store
    from warpsmith.store.recording import read_recording

    with Store.open(store) as opened:
        name = read_recording(Path(source), opened) if Path(source).is_file() else source
        recorded, events = _recorded(opened, name, store)
        last = events[-1]
        if not isinstance(last, RunFinished) or last.reason is StopReason.INTERRUPTED:
            raise SettingsError(f"run {name} never ended.", remedy="Resume it first, or replay another.")
        task = app.load_task(recorded.task_path or recorded.task)
        if task.source_digest != recorded.task_digest:
            tell(f"the task {task.name} has changed since; kernels are judged by what it is now")
        started = recorded.model_copy(
            update={
                "task_digest": task.source_digest,
                "run": f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
                "settings": recorded.settings.model_copy(update={"library": str(library.absolute())}),
                "replay_of": name,
            }
        )
        parts = replay_parts(started, task, opened)
        with choose_target(device_of(started), started.target, read_settings()) as target:
            state = loop_of(started, task, target, opened, observe, parts, order=events).start(started)
        return summarise(state), differences(events, opened.events(started.run))


def differences(recorded: tuple[Event, ...], replayed: tuple[Event, ...]) -> tuple[str, ...]:
    """In what two event sequences of one run differ, apart from times, places and names of runs."""
    from itertools import zip_longest

    from warpsmith.agents.journal import counts, place_of

    mine, theirs = ([event for event in events if counts(event)] for events in (recorded, replayed))
    found = []
    for number, (before, now) in enumerate(zip_longest(mine, theirs)):
        if before is None or now is None or place_of(before) != place_of(now):
            names = [place_of(event) if event else "nothing" for event in (before, now)]
            found.append(f"event {number}: {names[0]} was recorded, {names[1]} came")
        elif before.kind in ("Evaluated", "Confirmed"):
            kinds = [event.evaluation.outcome.kind for event in (before, now)]  # type: ignore[union-attr]
            if kinds[0] != kinds[1]:
                found.append(f"event {number}: {kinds[0]} was recorded, {kinds[1]} came")
    return tuple(found)


def show(run: str | None, *, store: Path) -> tuple[RunSummary, Ledger]:
    """A recorded run's summary and ledger.

    Raises:
        SettingsError: there is no such run.
    """
    from warpsmith.agents.ledger import ledger
    from warpsmith.agents.state import fold
    from warpsmith.store.archive import reading

    if not store.expanduser().exists():
        raise _no_run(store, run, others=False)
    with reading(store) as opened:
        events = _recorded(opened, run, store)[1]
        state = fold(events, opened.get_text)
        return summarise(state), ledger(state)


def sensible_budget(budget: Budget, models: tuple[Model, ...]) -> Budget:
    """The budget, with a limit where nobody set one and a paid model is asked.

    Raises:
        SettingsError: dollars are limited and a model's price is unknown, so that the limit could not hold.
    """
    from warpsmith.agents.llm.retry import Patient
    from warpsmith.core.calls import Usage

    served = [model for model in models if isinstance(model, Patient)]
    unpriced = [model.name for model in served if model.price(Usage(input_tokens=1)) is None]
    if unpriced and budget.dollars is not None and budget.tokens is None:
        raise SettingsError(
            f"nobody knows what {unpriced[0]} costs, so a limit in dollars cannot hold.",
            remedy="Limit --max-tokens instead, or as well.",
        )
    if not served or budget.model_dump(exclude_none=True):
        return budget
    limit = {"tokens": DEFAULT_TOKENS} if unpriced else {"dollars": DEFAULT_DOLLARS}
    return budget.model_copy(update=limit)


def summarise(state: RunState) -> RunSummary:
    """A run in the words of `warpsmith optimize --json`."""
    from warpsmith.agents.ledger import ledger

    outcomes = [it.evaluation.outcome.kind for it in state.attempts if it.evaluation]
    best = state.best.profile if state.best else None
    baseline = state.baseline.profile if state.baseline else None
    accepted, spent = state.accepted, ledger(state)
    return RunSummary(
        run=state.run.run,
        task=state.run.task,
        target=state.run.target,
        accepted=accepted is not None,
        kernel=KernelSummary(digest=accepted.kernel, path=Path(accepted.path)) if accepted else None,
        rounds=len(state.attempts),
        outcomes=dict(Counter(outcomes)),
        workloads=_workloads(best, baseline) if best else (),
        speedup_over_seed=best.speedup_over(baseline) if best and baseline else None,
        reason=state.finished.reason.value if state.finished else "",
        calls=len(state.calls),
        tokens=spent.tokens,
        dollars=None if spent.unpriced else spent.dollars,
    )


def _workloads(best: Profile, baseline: Profile | None) -> tuple[WorkloadSummary, ...]:
    first = {item.workload: item.duration.us for item in baseline.workloads} if baseline else {}
    return tuple(
        WorkloadSummary(
            name=item.workload,
            time_us=item.duration.us,
            source=item.duration.source,
            bound_us=item.bound.us,
            fraction=item.fraction,
            speedup_over_seed=first[item.workload] / item.duration.us if item.workload in first else None,
        )
        for item in best.workloads
    )


def device_of(started: RunStarted) -> str:
    """The `--device` that a run was started with."""
    return "cuda" if started.device == "gpu" else "emulator"


def _recorded(store: Store, run: str | None, path: Path) -> tuple[RunStarted, tuple[Event, ...]]:
    """First event and all events of a run, by default of the newest."""
    newest = store.newest_run()
    name = run or (newest.run if newest else "")
    events = store.events(name) if name else ()
    if not events or not isinstance(events[0], RunStarted):
        raise _no_run(path, run, others=newest is not None)
    return events[0], events


def _no_run(store: Path, run: str | None, *, others: bool) -> SettingsError:
    remedy = f"See warpsmith runs list --store {store}." if others else "Start one: warpsmith optimize TASK."
    return SettingsError(f"{store} holds no run {run or ''}".rstrip() + ".", remedy=remedy)


def _same_task(started: RunStarted) -> Task:
    task = app.load_task(started.task_path or started.task)
    if task.source_digest != started.task_digest:
        raise TaskError(f"the task {task.name} has changed since run {started.run} began.", remedy="Start a new run.")
    return task


def _own_path(task: Task) -> str:
    """Where a user's own task file lies; empty for one that ships, which is found by name."""
    import warpsmith.tasks

    folder = Path(warpsmith.tasks.__file__).resolve().parent
    path = Path(task.path).resolve()
    return "" if path.is_relative_to(folder) else str(path)
