"""What a run of models may come to, before it starts: every round used up, every answer of usual length."""

from __future__ import annotations

from dataclasses import dataclass

from warpsmith.agents.llm.model import Model, estimate_tokens
from warpsmith.agents.model_coder import ModelCoder
from warpsmith.agents.model_judge import ModelJudge
from warpsmith.agents.protocols import Coder, Judge
from warpsmith.core.calls import Usage

SHOWN = 4_000
"""Tokens of a kernel with its profile and the history, as prompts of the shipped tasks have them."""
CODE, JUDGEMENT = 6_000, 1_000
"""Tokens of an answer, thinking included."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls, tokens and dollars; dollars are None where a price is unknown."""

    calls: int
    tokens: int
    dollars: float | None

    def __str__(self) -> str:
        price = "at a price nobody knows" if self.dollars is None else f"for about ${self.dollars:.2f}"
        return f"about {self.calls} calls and {self.tokens} tokens {price} if all rounds are used"


def estimate(coder: Coder, judge: Judge, rounds: int) -> Estimate | None:
    """None where no model is asked."""
    parts: list[tuple[Model, Usage, int]] = []
    if isinstance(coder, ModelCoder):
        written = rounds - (coder.first is not None)
        parts.append((coder.model, _usage(coder.writer.system, CODE), written))
    if isinstance(judge, ModelJudge):
        parts.append((judge.model, _usage(judge.writer.system, JUDGEMENT), rounds))
    if not parts:
        return None
    prices = [model.price(usage) for model, usage, _ in parts]
    known = [price * times for price, (_, _, times) in zip(prices, parts, strict=True) if price is not None]
    return Estimate(
        calls=sum(times for _, _, times in parts),
        tokens=sum(usage.total * times for _, usage, times in parts),
        dollars=sum(known) if len(known) == len(parts) else None,
    )


def _usage(system: str, answer: int) -> Usage:
    return Usage(input_tokens=estimate_tokens(system) + SHOWN, output_tokens=answer, estimated=True)
