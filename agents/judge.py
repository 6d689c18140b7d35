"""The Judge that is no model: it reads a profile by a table of rules. What every model must beat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from warpsmith.agents.protocols import Ask
from warpsmith.agents.reading import Reading, read
from warpsmith.agents.rules import RULES, Rule
from warpsmith.agents.state import Attempt, RunState
from warpsmith.core.candidate import Candidate
from warpsmith.core.kernel_file import KernelFile, parse_kernel_file
from warpsmith.core.outcome import Failure
from warpsmith.core.profile import Critique
from warpsmith.core.protocols import Evaluation

ALWAYS_SHOWN = ("time", "fraction of bound")


@dataclass(frozen=True, slots=True)
class BuiltinJudge:
    """One bottleneck, the numbers that prove it, one action."""

    name: str = "builtin"

    async def judge(self, state: RunState, attempt: Attempt, ask: Ask) -> Critique:
        """Judge without asking anybody."""
        return self.critique(attempt.candidate, evaluation_of(attempt), state.attempts)

    def critique(self, candidate: Candidate, evaluation: Evaluation, history: tuple[Attempt, ...]) -> Critique:
        """Read the evaluation of this very candidate.

        Raises:
            ValueError: the evaluation or its profile belongs to another candidate.
        """
        check_ties(candidate, evaluation)
        if isinstance(evaluation.outcome, Failure):
            return self._correction(candidate, evaluation.outcome)
        reading = read(evaluation.profile) if evaluation.profile else None
        if reading is None:
            return self._speak(candidate, "nothing was profiled", "Tune the knobs.")
        return self._advise(candidate, reading, tried_techniques(history))

    def _correction(self, candidate: Candidate, failure: Failure) -> Critique:
        place = f"line {failure.line}: " if failure.line else ""
        where = f" (at {failure.workload})" if failure.workload else ""
        bottleneck = f"{type(failure).__name__} at {failure.stage.value}"
        return self._speak(candidate, bottleneck, f"{place}{failure.message}{where}")

    def _advise(self, candidate: Candidate, reading: Reading, tried: frozenset[str]) -> Critique:
        kernel = parse_kernel_file(candidate.text)
        for rule in RULES:
            if reading.limiter not in rule.limiters or not rule.holds(reading):
                continue
            technique = first_untried(rule.techniques, tried | normalised(kernel.tags))
            knob = "" if technique else fitting_knob(rule, kernel, candidate.knobs)
            if technique or knob:
                return self._answer(candidate, reading, rule, technique, knob)
        return Critique(
            candidate=candidate.identity,
            bottleneck=f"{reading.limiter} in {reading.launch.kernel}",
            evidence=tuple(map(reading.metric, (*ALWAYS_SHOWN, f"{reading.limiter} limit"))),
            action="No rule is left to try: vary the knobs, one at a time.",
            judge=self.name,
        )

    def _answer(self, candidate: Candidate, reading: Reading, rule: Rule, technique: str, knob: str) -> Critique:
        names = (*ALWAYS_SHOWN, f"{reading.limiter} limit", *rule.evidence)
        place = f"{reading.limiter} in {reading.launch.kernel} at {reading.workload.workload}"
        change = {1: "Raise", -1: "Lower", 0: "Change"}[rule.direction]
        hint = f" {change} {knob}, now {candidate.knobs[knob]}." if knob else f" Technique: {technique}."
        return Critique(
            candidate=candidate.identity,
            bottleneck=f"{place}: {rule.bottleneck}",
            evidence=tuple(map(reading.metric, dict.fromkeys(names))),
            action=rule.action + hint,
            technique=technique,
            knob=knob,
            direction=rule.direction if knob else 0,
            judge=self.name,
        )

    def _speak(self, candidate: Candidate, bottleneck: str, action: str) -> Critique:
        return Critique(
            candidate=candidate.identity, bottleneck=bottleneck, evidence=(), action=action, judge=self.name
        )


def evaluation_of(attempt: Attempt) -> Evaluation:
    """What the gate said of an attempt that is to be judged."""
    if attempt.evaluation is None:
        raise ValueError("an attempt is evaluated before it is judged")
    return attempt.evaluation


def check_ties(candidate: Candidate, evaluation: Evaluation) -> None:
    """Hold an evaluation and its profile against the candidate they claim to speak of.

    Raises:
        ValueError: they belong to another: a critique of it would blame the wrong kernel.
    """
    spoken_of = {evaluation.candidate, evaluation.profile.candidate if evaluation.profile else evaluation.candidate}
    if spoken_of != {candidate.identity}:
        raise ValueError(f"this evaluation does not belong to candidate {candidate.identity[:12]}")


def normalised(tags: Iterable[str]) -> frozenset[str]:
    """Tags in one spelling: `Split-K` is `split_k`."""
    return frozenset(tag.lower().replace("-", "_").replace(" ", "_") for tag in tags)


def tried_techniques(history: tuple[Attempt, ...]) -> frozenset[str]:
    """Tags of every verified kernel text, and techniques advised before: what nobody could do is not said twice."""
    texts = {attempt.candidate.text for attempt in history if attempt.profile}
    advised = {attempt.critique.technique for attempt in history if attempt.critique}
    return frozenset(advised).union(*(normalised(parse_kernel_file(text).tags) for text in texts))


def first_untried(techniques: tuple[str, ...], tried: frozenset[str]) -> str:
    return next((technique for technique in techniques if technique not in tried), "")


def fitting_knob(rule: Rule, kernel: KernelFile, knobs: dict[str, int]) -> str:
    """The first knob whose name holds one of the rule's words and that can still go the rule's way."""
    for word in rule.knobs:
        for name, values in kernel.knobs.items():
            if word in name.upper() and any(_leads(value - knobs[name], rule.direction) for value in values):
                return name
    return ""


def _leads(step: int, direction: int) -> bool:
    return step != 0 and (direction == 0 or (step > 0) == (direction > 0))
