"""The Coder that is no model: it selects among the task's seeds and tunes their knobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from warpsmith.agents.judge import normalised
from warpsmith.agents.protocols import Ask, Improve, Move, Proposal
from warpsmith.agents.state import Attempt, RunState
from warpsmith.core.candidate import Candidate
from warpsmith.core.kernel_file import KernelFile, parse_kernel_file
from warpsmith.core.profile import Critique
from warpsmith.seeds import Seed

NAIVE = "naive"
"""Tag of the seed a run begins with: the straightforward kernel, the first to beat."""


@dataclass(frozen=True, slots=True)
class ParsedSeed:
    """A kernel text to begin with, parsed."""

    name: str
    kernel: KernelFile
    by: str

    @property
    def tags(self) -> frozenset[str]:
        return normalised(self.kernel.tags)


def parsed(seed: Seed, by: str) -> ParsedSeed:
    return ParsedSeed(seed.name, parse_kernel_file(seed.text, file=str(seed.path or seed.name)), by)


class BuiltinCoder:
    """Follows the critique: a seed with the technique it names, the knob it names, then what is left, nearest first.

    Equal states give equal proposals, and no candidate is proposed twice.
    """

    name = "builtin"
    at_once = 1

    def __init__(self, seeds: tuple[Seed, ...], user_kernel: Seed | None = None) -> None:
        """Take the task's seeds, and the user's own kernel to begin with instead of the naive one.

        Raises:
            KernelFileError: one of them is no kernel file.
        """
        starts = [parsed(seed, self.name) for seed in seeds]
        starts.sort(key=lambda start: NAIVE not in start.tags)
        if user_kernel:
            starts.insert(0, parsed(user_kernel, "user"))
        self._starts = tuple(starts)

    async def write(self, state: RunState, move: Move, number: int, ask: Ask) -> Proposal | None:
        """Propose without asking anybody."""
        return self.propose(state, move)

    def propose(self, state: RunState, move: Move) -> Proposal | None:
        """The first idea not tried yet, or None when all seeds and knobs are exhausted."""
        tried = state.tried
        return next((idea for idea in self._ideas(state, move) if idea.candidate.identity not in tried), None)

    def _ideas(self, state: RunState, move: Move) -> Iterator[Proposal]:
        """All that could be proposed, the most promising first. A failed parent is left for the best: no rule mends."""
        chosen = move.parent if isinstance(move, Improve) else None
        parent = chosen if chosen and chosen.profile else state.best
        advice = parent.critique if parent else None
        if advice and advice.technique:
            yield from self._seeds(state, advice.technique)
        if parent and advice and advice.knob:
            yield from self._neighbours(parent, advice, only=advice.knob)
        yield from self._seeds(state, "")
        for attempt in by_speed(state):
            yield from self._neighbours(attempt, attempt.critique)

    def _seeds(self, state: RunState, technique: str) -> Iterator[Proposal]:
        """Seeds whose text has not been tried, with default knobs; those with the technique, where one is named."""
        texts = {attempt.candidate.text for attempt in state.attempts}
        for start in self._starts:
            if start.kernel.text not in texts and (not technique or technique in start.tags):
                candidate = assigned(start.kernel, state.run.task, start.kernel.default_knobs())
                yield Proposal(candidate, idea=f"seed {start.name}", by=start.by)

    def _neighbours(self, parent: Attempt, advice: Critique | None, only: str = "") -> Iterator[Proposal]:
        """Other knob assignments of the parent's text, nearest first; only those of one knob, where named."""
        kernel, knobs = parse_kernel_file(parent.candidate.text), parent.candidate.knobs
        for assignment in sorted(kernel.assignments(), key=lambda other: distance(kernel, knobs, other, advice)):
            changed = [name for name in knobs if assignment[name] != knobs[name]]
            if changed and (not only or changed == [only]):
                idea = ", ".join(f"{name} {knobs[name]} -> {assignment[name]}" for name in changed)
                candidate = assigned(kernel, parent.candidate.task, assignment)
                yield Proposal(candidate, idea=idea, by=self.name, parent=parent.identity)


def assigned(kernel: KernelFile, task: str, knobs: Mapping[str, int]) -> Candidate:
    """The candidate that a kernel file is under a knob assignment."""
    return Candidate(task=task, language=kernel.language, text=kernel.text, knobs=dict(knobs))


def by_speed(state: RunState) -> list[Attempt]:
    """One attempt a kernel text, the fastest of each, fastest first; texts that never verified come last, by age."""
    best: dict[str, Attempt] = {}
    for attempt in sorted(state.attempts, key=lambda it: slowness(it, state.best)):
        best.setdefault(attempt.candidate.text, attempt)
    return list(best.values())


def slowness(attempt: Attempt, best: Attempt | None) -> float:
    """How many times slower than the best; infinite where it is not verified."""
    if attempt.profile is None or best is None or best.profile is None:
        return float("inf")
    return best.profile.speedup_over(attempt.profile)


def distance(
    kernel: KernelFile, knobs: Mapping[str, int], other: Mapping[str, int], advice: Critique | None
) -> tuple[int, int, bool, tuple[int, ...]]:
    """Sort key of an assignment seen from `knobs`: few knobs changed, by few steps, the advised way first.

    A step is one place in the sorted values of a knob. The file's order of knobs and values breaks ties.
    """
    steps = {name: steps_between(kernel.knobs[name], knobs[name], other[name]) for name in knobs}
    advised = bool(advice and advice.knob in steps and steps[advice.knob] * (advice.direction or 1) > 0)
    places = tuple(-abs(steps[name]) for name in knobs), tuple(kernel.knobs[name].index(other[name]) for name in knobs)
    changed = sum(step != 0 for step in steps.values())
    return changed, sum(map(abs, steps.values())), not advised, (*places[0], *places[1])


def steps_between(values: tuple[int, ...], here: int, there: int) -> int:
    """Signed number of places from one value to another in ascending order."""
    ascending = sorted(values)
    return ascending.index(there) - ascending.index(here)
