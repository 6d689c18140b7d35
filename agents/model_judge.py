"""The Judge that is a language model. Its numbers are ours: it names metrics, and we fill in what they read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from warpsmith.agents.judge import BuiltinJudge, check_ties, evaluation_of
from warpsmith.agents.llm.model import Model, Reply, Request, Turn
from warpsmith.agents.prompts.render import Prompt, PromptStage, Writer, scores_of
from warpsmith.agents.prompts.views import KernelView, one_line, tried
from warpsmith.agents.protocols import Ask, RoundEndedError
from warpsmith.agents.state import Attempt, RunState
from warpsmith.core.outcome import Verified
from warpsmith.core.profile import Critique, Metric, Prediction

TURNS = 2
"""Replies of one judgement: the first, and one after an objection."""
MOST_OUTPUT = 8_000
"""Tokens, thinking included."""


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)


class Correction(_Answer):
    """What is wrong with a failing kernel."""

    critical_issue: str = Field(min_length=1)
    """The one issue that makes it fail, at most 30 words."""
    why: str
    """Why the code does that, at most 40 words."""
    minimal_fix: str = Field(min_length=1)
    """The smallest change that mends it, at most 50 words."""


class Advice(_Answer):
    """What would make a verified kernel faster."""

    bottleneck: str = Field(min_length=1)
    """The one bottleneck that costs most, at most 30 words."""
    evidence: list[str]
    """Names of metrics, as listed, that prove it."""
    method: str = Field(min_length=1)
    """One method against it, at most 20 words."""
    plan: str = Field(min_length=1)
    """At most four steps, at most 80 words."""
    metric: str
    """The listed metric that the method moves most."""
    metric_after: float = Field(allow_inf_nan=False)
    """What it will read."""
    time_ratio: float = Field(gt=0, lt=100, allow_inf_nan=False)
    """New time over present time, over all workloads: 0.8 is a fifth faster."""


Form = TypeVar("Form", Correction, Advice)


@dataclass(frozen=True, slots=True)
class ModelJudge:
    """Corrects what failed and advises on what did not; never accepts anything."""

    model: Model
    writer: Writer

    @property
    def name(self) -> str:
        return self.model.name

    async def judge(self, state: RunState, attempt: Attempt, ask: Ask) -> Critique:
        """Ask the model; where its replies cannot be read or the budget is spent, the builtin rules speak instead.

        Raises:
            ValueError: the evaluation or its profile belongs to another candidate.
            ModelError: nobody answers.
        """
        evaluation = evaluation_of(attempt)
        check_ties(attempt.candidate, evaluation)
        kernel = KernelView(attempt.candidate, evaluation)
        verified = isinstance(evaluation.outcome, Verified)
        try:
            if verified and kernel.reading is not None:
                advice = await self._ask(self.prompt(state, kernel), attempt, ask, Advice, kernel.metrics)
                if advice is not None:
                    return self._advise(kernel, advice)
            elif not verified:
                correction = await self._ask(self.prompt(state, kernel), attempt, ask, Correction, ())
                if correction is not None:
                    return self._correct(kernel, correction)
        except RoundEndedError:
            pass  # the run ends; this attempt still gets its critique
        return await BuiltinJudge().judge(state, attempt, ask)

    def prompt(self, state: RunState, kernel: KernelView) -> Prompt:
        """What is asked of the model."""
        if isinstance(kernel.evaluation.outcome, Verified):
            return self.writer.advise(kernel, tried(state), scores_of(state))
        return self.writer.correct(kernel, tried(state))

    async def _ask(
        self, prompt: Prompt, attempt: Attempt, ask: Ask, form: type[Form], metrics: tuple[Metric, ...]
    ) -> Form | None:
        request = request_of(prompt, attempt.proposed.round, metrics)
        for turn in range(1, TURNS + 1):
            reply = await ask(self.model, request)
            answer = read_answer(reply, form, metrics)
            if not isinstance(answer, str):
                return answer
            request = request.answered(f"{request.label[:-1]}{turn + 1}", reply.text, answer)
        return None

    def _correct(self, kernel: KernelView, answer: Correction) -> Critique:
        return Critique(
            candidate=kernel.candidate.identity,
            bottleneck=one_line(answer.critical_issue, 400),
            evidence=(),
            action=one_line(f"{answer.minimal_fix} Why: {answer.why}", 1000),
            judge=self.name,
        )

    def _advise(self, kernel: KernelView, answer: Advice) -> Critique:
        named = {metric.name: metric for metric in kernel.metrics}
        moved = named[answer.metric]
        return Critique(
            candidate=kernel.candidate.identity,
            bottleneck=one_line(answer.bottleneck, 400),
            evidence=tuple(named[name] for name in dict.fromkeys(answer.evidence) if name in named),
            action=one_line(f"{answer.method}. {answer.plan}", 1000),
            judge=self.name,
            prediction=Prediction(
                metric=moved.name,
                unit=moved.unit,
                before=moved.value,
                after=answer.metric_after,
                time_ratio=answer.time_ratio,
            ),
        )


def request_of(prompt: Prompt, number: int, metrics: tuple[Metric, ...]) -> Request:
    """The Judge's call, its answer bound to a schema whose metrics are those shown."""
    form: type[Correction | Advice] = Advice if prompt.stage is PromptStage.ADVISE else Correction
    schema = strict_schema(form, tuple(metric.name for metric in metrics))
    label = f"{number:03d}-judge-{prompt.stage.value}-1"
    turns = (Turn("user", prompt.question),)
    return Request(label, prompt.system, turns, schema=schema, max_output=MOST_OUTPUT, time_limit=600.0)


def strict_schema(form: type[BaseModel], metrics: tuple[str, ...]) -> dict[str, Any]:
    """A schema in the part of the language that both providers hold models to: plain types, all required, closed."""
    text = {"type": "string"}
    kinds: dict[str, dict[str, Any]] = {"string": text, "number": {"type": "number"}}
    kinds["array"] = {"type": "array", "items": text}
    fields = form.model_json_schema()["properties"]
    properties: dict[str, Any] = {
        name: {**kinds[field["type"]], "description": field["description"]} for name, field in fields.items()
    }
    if metrics and "metric" in properties:
        properties["metric"]["enum"] = list(metrics)
        properties["evidence"]["items"] = {"type": "string", "enum": list(metrics)}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def read_answer(reply: Reply, form: type[Form], metrics: tuple[Metric, ...]) -> Form | str:
    """The answer, or one sentence on what is wrong with it."""
    start, end = reply.text.find("{"), reply.text.rfind("}")
    if not 0 <= start < end:
        return f"Your reply holds no JSON object ({reply.finish.value}). Send only the object."
    try:
        answer = form.model_validate(json.loads(reply.text[start : end + 1]))
    except json.JSONDecodeError as error:
        return f"Your JSON cannot be read: {error.msg} at line {error.lineno}. Send only the object."
    except (ValidationError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("it",), "msg": "nests too deeply"}
        return f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}. Send the whole object again."
    names = [metric.name for metric in metrics]
    if isinstance(answer, Advice) and answer.metric not in names:
        return f"There is no metric `{answer.metric[:60]}`. Choose one of: {', '.join(names)}."
    return answer
