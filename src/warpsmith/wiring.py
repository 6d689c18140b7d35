"""Joins the parts of one run: who writes, who judges, where things are kept. All follows from the run's first event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warpsmith import app
from warpsmith.core.errors import SettingsError
from warpsmith.core.events import Called, Event, RunStarted
from warpsmith.models import open_model

if TYPE_CHECKING:
    from warpsmith.agents.llm.model import Model, Reply
    from warpsmith.agents.loop import Loop
    from warpsmith.agents.protocols import Coder, Judge
    from warpsmith.core.task import Task
    from warpsmith.gpus import Target
    from warpsmith.seeds import Seed
    from warpsmith.store import Store

Observe = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Parts:
    """Who thinks in a run."""

    coder: Coder
    judge: Judge
    models: tuple[Model, ...] = ()


def parts_of(started: RunStarted, task: Task, store: Store, tell: Callable[[str], None], first: str = "") -> Parts:
    """Coder and Judge as the run's settings name them.

    Args:
        started: the run's first event.
        task: what it is about.
        store: where its texts lie.
        tell: hears where a prompt waits for somebody.
        first: name of the user's own kernel, where the run starts from one.

    Raises:
        SettingsError: a model's key is not set, or the builtin coder has nothing to start from.
    """
    settings = started.settings
    names = dict.fromkeys(name for name in (settings.coder, settings.judge) if name != "builtin")
    models = {name: open_model(name, run=started.run, tell=tell) for name in names}
    return _thinkers(started, task, store, models, first)


def replay_parts(started: RunStarted, task: Task, store: Store) -> Parts:
    """Coder and Judge that repeat what was recorded."""
    from warpsmith.agents.llm.replay import Replay

    calls = [event for event in store.events(started.replay_of) if isinstance(event, Called) and event.reply]
    models: dict[str, Model] = {}
    for role, choice in (("coder", started.settings.coder), ("judge", started.settings.judge)):
        name = next((call.model for call in calls if call.role == role), choice)
        if choice != "builtin":
            models[choice] = Replay(name, {call.label: _reply(call, store) for call in calls})
    return _thinkers(started, task, store, models, "")


def _reply(call: Called, store: Store) -> Reply:
    from warpsmith.agents.llm.model import Reply

    text = store.get_text(call.reply)
    return Reply(text, call.finish, call.usage, call.dollars, call.seconds, call.waited, call.attempts)


def _thinkers(started: RunStarted, task: Task, store: Store, models: dict[str, Model], first: str) -> Parts:
    from warpsmith.agents.coder import BuiltinCoder
    from warpsmith.agents.judge import BuiltinJudge
    from warpsmith.agents.model_coder import ModelCoder
    from warpsmith.agents.model_judge import ModelJudge
    from warpsmith.agents.prompts.render import Writer, coder_system, judge_system
    from warpsmith.agents.prompts.views import TargetView, TaskView
    from warpsmith.core.arch import find_architecture
    from warpsmith.seeds import Seed, seeds_for

    settings, seeds = started.settings, seeds_for(task.name)
    own = Seed(first or "seed kernel", store.get_text(started.seed_kernel)) if started.seed_kernel else None
    views = TaskView(task), TargetView(find_architecture(started.target))
    coder: Coder
    judge: Judge = BuiltinJudge()
    if settings.coder == "builtin":
        if not seeds and own is None:
            raise SettingsError(
                f"the task {task.name} ships no seeds, and the builtin coder writes no code.",
                remedy="Give it a kernel to start from: --seed-kernel FILE; or let a model write: --coder.",
            )
        coder = BuiltinCoder(seeds, own)
    else:
        coder = ModelCoder(
            model=models[settings.coder],
            writer=Writer(coder_system(*views, settings.language)),
            task=task,
            language=settings.language,
            first=own or _naive(seeds),
            by="user" if own else "seed",
            at_once=settings.width,
        )
    if settings.judge != "builtin":
        judge = ModelJudge(models[settings.judge], Writer(judge_system(*views)))
    return Parts(coder, judge, tuple(models.values()))


def _naive(seeds: tuple[Seed, ...]) -> Seed | None:
    """The straightforward seed; what is faster is for the model to find."""
    return next((seed for seed in seeds if seed.name == "naive"), None)


def loop_of(
    started: RunStarted,
    task: Task,
    target: Target,
    store: Store,
    observe: Observe,
    parts: Parts,
    order: tuple[Event, ...] = (),
) -> Loop:
    """Join the parts of one run; what it needs is in its first event."""
    from warpsmith.acceptor import LibraryAcceptor
    from warpsmith.agents.loop import Loop
    from warpsmith.agents.refine import Refine

    return Loop(
        log=store,
        coder=parts.coder,
        judge=parts.judge,
        strategy=Refine(),
        evaluator=app.gate(task, arch=target.arch.name, pool=target.pool, remark=target.remark),
        accept=LibraryAcceptor(started, task, store, app.duel_of(task, target), app.baselines_of(task, target)),
        observe=lambda event, state: observe(event),
        order=order,
    )
