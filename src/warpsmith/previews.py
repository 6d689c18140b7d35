"""What a model would be sent for a task, and what that costs, without sending it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warpsmith import app
from warpsmith.core.errors import SettingsError
from warpsmith.models import open_model

if TYPE_CHECKING:
    from warpsmith.agents.prompts.render import Prompt
    from warpsmith.agents.prompts.views import KernelView, TargetView, TaskView
    from warpsmith.core.task import Task

STAGES = ("new", "repair", "optimise", "judge")
ANSWER = {"judge": 1_000}
"""Tokens of a usual answer, for the price; other stages send a kernel file."""
KERNEL_ANSWER = 6_000


@dataclass(frozen=True, slots=True)
class Preview:
    """A prompt that is not sent."""

    stage: str
    system: str
    question: str
    tokens: int
    """Estimated, leaning to too many."""
    dropped: tuple[str, ...]
    """Sections left out to stay within the limit."""
    answer_tokens: int
    dollars: float | None
    """Of the prompt and an answer of usual length; None where no model is named or its price is unknown."""
    note: str = ""


def preview(
    name: str, stage: str, *, kernel: Path | None, arch: str, language: str, model: str, illustrate: bool = True
) -> Preview:
    """Render the prompt of a stage.

    Args:
        name: a task's name or file.
        stage: one of STAGES.
        kernel: what is repaired, optimised or judged; it goes through the gate first. None: the task's naive seed.
        arch: target.
        language: `cuda` or `triton`.
        model: whose price is asked for; may be empty.
        illustrate: where nothing is to be repaired, break the seed so that something is.

    Raises:
        SettingsError: the task has no seed and no kernel is given, or nothing is to be repaired.
    """
    from warpsmith.agents.prompts.render import Writer, coder_system, judge_system
    from warpsmith.agents.prompts.views import TargetView, TaskView
    from warpsmith.core.arch import find_architecture

    task = app.load_task(name)
    views: tuple[TaskView, TargetView] = TaskView(task), TargetView(find_architecture(arch))
    coder, note = Writer(coder_system(*views, language)), ""
    if stage == "new":
        prompt = coder.new([], [])
    else:
        view, note = _evaluated(task, kernel, arch, broken=stage == "repair" and illustrate)
        prompt = _about(view, stage, coder, Writer(judge_system(*views)))
    answer = ANSWER.get(stage, KERNEL_ANSWER)
    return Preview(
        stage=prompt.stage.value,
        system=prompt.system,
        question=prompt.question,
        tokens=prompt.tokens,
        dropped=prompt.dropped,
        answer_tokens=answer,
        dollars=_price(model, prompt, answer),
        note=note,
    )


def _about(view: KernelView, stage: str, coder: object, judge: object) -> Prompt:
    from warpsmith.agents.prompts.render import Writer

    assert isinstance(coder, Writer)
    assert isinstance(judge, Writer)
    if stage == "judge":
        return judge.correct(view, []) if view.failure else judge.advise(view, [], [])
    if stage == "repair":
        if not view.failure:
            raise SettingsError("this kernel is verified: nothing is to be repaired.", remedy="Give one that fails.")
        return coder.repair(view, None, [], None)
    if view.failure:
        raise SettingsError("this kernel fails, so it cannot be optimised.", remedy="Use --stage repair.")
    return coder.optimise(view, None, [], None, [])


def _evaluated(task: Task, kernel: Path | None, arch: str, *, broken: bool) -> tuple[KernelView, str]:
    """The kernel with the gate's word on it, and what a reader should know about it."""
    from warpsmith.agents.prompts.views import KernelView
    from warpsmith.sandbox.gate.stages import read_candidate
    from warpsmith.seeds import seeds_for

    note = ""
    if kernel is not None:
        text = app.read_text(kernel)
    else:
        seed = next(iter(seeds_for(task.name)), None)
        if seed is None:
            raise SettingsError(f"the task {task.name} ships no seed.", remedy="Give a kernel: --kernel FILE.")
        text, note = seed.text, f"shown for the seed {seed.name}"
        if broken:
            text, note = break_off(text), f"shown for the seed {seed.name} with its last line taken away"
    candidate = read_candidate(text, file=str(kernel or ""))
    return KernelView(candidate, app.gate(task, arch=arch).evaluate(candidate, seed=1)), note


def break_off(text: str) -> str:
    """A kernel file without its last line that is not blank: an honest text that does not compile."""
    return text.rstrip().rpartition("\n")[0] + "\n"


def _price(model: str, prompt: Prompt, answer: int) -> float | None:
    from warpsmith.core.calls import Usage

    if not model:
        return None
    kind, _, name = model.partition(":")
    if kind in ("openai", "anthropic"):
        from warpsmith.agents.llm.pricing import dollars

        return dollars(kind, name, Usage(input_tokens=prompt.tokens, output_tokens=answer))
    return open_model(model).price(Usage(input_tokens=prompt.tokens, output_tokens=answer))
