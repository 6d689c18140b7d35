"""Typed contexts: what a template may speak of. A view whose parts belong to different candidates cannot be built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import geometric_mean
from types import FunctionType

from warpsmith.agents.prompts.shown import fenced, shown
from warpsmith.agents.reading import Reading, read
from warpsmith.agents.state import Attempt, RunState
from warpsmith.core.arch import Architecture
from warpsmith.core.candidate import Candidate
from warpsmith.core.counters import LineCounters
from warpsmith.core.outcome import Failure
from warpsmith.core.profile import Metric, Profile
from warpsmith.core.protocols import Evaluation
from warpsmith.core.task import Task

HOT_LINES = 6
DETAILS = 6
"""Further facts of a failure that are shown."""
LONGEST_DETAIL = 600
"""Characters of one."""


@dataclass(frozen=True, slots=True)
class TaskView:
    """The task as a specification."""

    task: Task

    @property
    def reference(self) -> str:
        """Source of the reference and of what it calls in its file, fenced; empty where Python cannot find it."""
        try:
            return fenced(
                "\n\n".join(inspect.getsource(item).rstrip() for item in _called(self.task.reference)), "python"
            )
        except (OSError, TypeError):
            return ""

    @property
    def fixed(self) -> str:
        return ", ".join(self.task.fixed)


def _called(reference: Callable[..., object]) -> list[FunctionType]:
    """The reference and the functions of its own file that it names, directly or not, in the file's order."""
    if not isinstance(reference, FunctionType):
        raise TypeError("a reference without source")
    found, waiting = {reference}, [reference]
    while waiting:
        function = waiting.pop()
        named = (function.__globals__.get(name) for name in function.__code__.co_names)
        for item in named:
            if not isinstance(item, FunctionType) or item in found:
                continue
            if item.__code__.co_filename == reference.__code__.co_filename:
                found.add(item)
                waiting.append(item)
    return sorted(found, key=lambda item: item.__code__.co_firstlineno)


@dataclass(frozen=True, slots=True)
class KernelView:
    """A candidate with its own evaluation and profile."""

    candidate: Candidate
    evaluation: Evaluation

    def __post_init__(self) -> None:
        """Refuse counters of one kernel beside another's source."""
        profile = self.evaluation.profile
        owners = {
            self.candidate.identity,
            self.evaluation.candidate,
            profile.candidate if profile else self.candidate.identity,
        }
        if len(owners) > 1:
            raise ValueError(f"this profile does not belong to candidate {self.candidate.identity[:12]}")

    @property
    def text(self) -> str:
        return shown(self.candidate.text, self.candidate.language)

    @property
    def source(self) -> str:
        """The text, fenced."""
        return fenced(self.text, "cuda" if self.candidate.language == "cuda" else "python")

    @property
    def knobs(self) -> str:
        return ", ".join(f"{name} = {value}" for name, value in self.candidate.knobs.items())

    @property
    def profile(self) -> Profile | None:
        return self.evaluation.profile

    @property
    def reading(self) -> Reading | None:
        return read(self.profile) if self.profile else None

    @property
    def failure(self) -> str:
        """The Outcome in its own words, fenced as data; empty where there is none."""
        outcome = self.evaluation.outcome
        if not isinstance(outcome, Failure):
            return ""
        places = [f"stage {outcome.stage.value}"]
        places += [f"line {outcome.line}"] if outcome.line else []
        places += [f"workload: {outcome.workload}"] if outcome.workload else []
        details = [detail[:LONGEST_DETAIL] for detail in outcome.details[:DETAILS]]
        title = f"{type(outcome).__name__} ({', '.join(places)})"
        return fenced("\n".join([title, outcome.message, *details]), "text")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What the worst launch shows, by the names a prediction may use."""
        return self.reading.metrics() if self.reading else ()

    @property
    def hot_lines(self) -> tuple[str, ...]:
        """The dearest lines of the worst launch, quoted."""
        return tuple(hot_lines(self.reading, self.text.splitlines())) if self.reading else ()


def hot_lines(reading: Reading, source: list[str]) -> Iterator[str]:
    """Each with its share of what the limiter counts."""
    memory = reading.limiter in ("dram", "l2", "l1", "lsu", "latency")

    def cost(line: LineCounters) -> float:
        return line.global_load.sectors + line.global_store.sectors if memory else line.warp_instructions

    lines = [line for line in reading.launch.counters.lines if 0 < line.line <= len(source)]
    total = sum(map(cost, lines))
    for line in sorted(lines, key=cost, reverse=True)[:HOT_LINES]:
        if total and cost(line):
            what = "sectors" if memory else "instructions"
            yield f"line {line.line}: {100 * cost(line) / total:.0f} % of {what}: {source[line.line - 1].strip()[:120]}"


@dataclass(frozen=True, slots=True)
class Tried:
    """One earlier round in a line."""

    round: int
    origin: str
    idea: str
    result: str


def tried(state: RunState, most: int = 16) -> tuple[Tried, ...]:
    """What was tried and what it did, the latest last; what is being tried now included."""
    return tuple(_tried(state, attempt) for attempt in state.attempts[-most:])


def _tried(state: RunState, attempt: Attempt) -> Tried:
    parent = state.find(attempt.proposed.parent)
    origin = f"from round {parent.proposed.round}" if parent else "new"
    return Tried(attempt.proposed.round, origin, one_line(attempt.proposed.idea), _result(attempt, parent))


def _result(attempt: Attempt, parent: Attempt | None) -> str:
    if attempt.evaluation is None:
        return "being evaluated"
    outcome = attempt.evaluation.outcome
    if isinstance(outcome, Failure):
        line = f" at line {outcome.line}" if outcome.line else ""
        return f"{type(outcome).__name__}{line}: {one_line(outcome.message)}"
    if attempt.profile is None:
        return "verified, then failed on fresh inputs" if attempt.confirmation else "verified, not profiled"
    us = geometric_mean([item.duration.us for item in attempt.profile.workloads])
    ratio = (
        f", {1 / attempt.profile.speedup_over(parent.profile):.3g} of its parent's time"
        if parent and parent.profile
        else ""
    )
    return f"verified, {us:.4g} us ({attempt.profile.source.value}){ratio}"


def one_line(text: str, limit: int = 200) -> str:
    """A text that came from elsewhere, on one line and not long."""
    line = " ".join(text.replace("`", "'").split())
    return line if len(line) <= limit else f"{line[:limit]}…"


@dataclass(frozen=True, slots=True)
class TargetView:
    """The facts of a GPU that a kernel author works with."""

    arch: Architecture

    @property
    def rates(self) -> str:
        """Peaks in TFLOP/s."""
        units = [f"{unit} {self.arch.tensor_flops(unit) / 1e12:.0f}" for unit in self.arch.tensor]
        return f"tensor cores {', '.join(units)}; fp32 {self.arch.lane_flops('fma') / 1e12:.0f}"
