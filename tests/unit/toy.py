"""A task, kernels for it by number, and a model that answers by rule: for rehearsing runs in which models write."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field

from warpsmith.agents.llm.model import Reply, Request
from warpsmith.agents.loop import Loop
from warpsmith.agents.model_coder import ModelCoder
from warpsmith.agents.model_judge import ModelJudge
from warpsmith.agents.prompts.render import FOLDER, Writer
from warpsmith.agents.protocols import Acceptance
from warpsmith.agents.refine import Refine
from warpsmith.agents.scripted import Answer, ScriptedEvaluator
from warpsmith.agents.state import Attempt
from warpsmith.core.calls import Finish, Usage
from warpsmith.core.candidate import Candidate
from warpsmith.core.events import Event, RunSettings, RunStarted
from warpsmith.core.task import Cost, Output, Task, Tensor
from warpsmith.store import Store

EXAMPLE = (FOLDER / "example.cu").read_text()
TASK = Task(
    name="row_sums",
    family="tiny",
    summary="sums",
    inputs=(Tensor("x", ("M", "N"), "float16"),),
    outputs=(Output("y", ("M",), "float32"),),
    dims=("M", "N"),
    reference=lambda x: x,
    make_inputs={},
    verify=(),
    bench=(),
    cost=lambda dims: Cost(1, 1),
)
SETTINGS = RunSettings(coder="toy", judge="toy", strategy="refine", rounds=6, patience=50, library="out")
STARTED = RunStarted(run="r", task="row_sums", task_digest="d", target="h200", device="emulator", settings=SETTINGS)
ADVICE = {
    "bottleneck": "b",
    "evidence": ["time"],
    "method": "m",
    "plan": "p",
    "metric": "occupancy",
    "metric_after": 0.5,
    "time_ratio": 0.5,
}
CORRECTION = {"critical_issue": "c", "why": "w", "minimal_fix": "f"}


def started(**changes: object) -> RunStarted:
    return STARTED.model_copy(update={"settings": SETTINGS.model_copy(update=changes)})


def kernel(number: int) -> str:
    """Kernel file `number`: they differ in a knob's value."""
    return EXAMPLE.replace("SPLIT = [4, 1, 8]", f"SPLIT = [{number}]")


def by_number(candidate: Candidate) -> Answer:
    """Later kernels are faster."""
    return 1000.0 / candidate.knobs["SPLIT"]


def answer(request: Request) -> str:
    """Round n gets kernel n; the Judge always says the same."""
    if request.schema:
        return json.dumps(ADVICE if "metric" in request.schema["properties"] else CORRECTION)
    return f"IDEA: kernel {int(request.label[:3])}\n```cuda\n{kernel(int(request.label[:3]))}```"


@dataclass
class Toy:
    """Answers by rule, after a while; remembers what it was asked and how many calls were under way at most."""

    rule: Callable[[Request], str] = answer
    delay: Callable[[Request], float] = lambda request: 0.0
    usage: Usage = Usage(input_tokens=100, output_tokens=50)  # noqa: RUF009 - frozen
    name: str = "toy"
    asked: list[str] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    def price(self, usage: Usage) -> float | None:
        return usage.total / 1000

    async def check(self) -> None:
        """Always there."""

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request.label)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.delay(request))
        finally:
            self.under_way -= 1
        return Reply(self.rule(request), Finish.COMPLETE, self.usage, self.price(self.usage), 1.0)


def shelve(attempt: Attempt) -> Acceptance:
    return Acceptance(kernel=attempt.identity, path="out")


def loop_with(
    store: Store,
    model: object,
    *,
    width: int = 1,
    order: tuple[Event, ...] = (),
    script: Callable[[Candidate], Answer] = by_number,
) -> Loop:
    writer = Writer("You write kernels.")
    coder = ModelCoder(model, writer, TASK, "cuda", at_once=width)  # type: ignore[arg-type]
    judge = ModelJudge(model, writer)  # type: ignore[arg-type]
    return Loop(store, coder, judge, Refine(), ScriptedEvaluator(script), shelve, order=order)
