"""Fills the templates and keeps a prompt within its tokens by leaving out what is worth least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from warpsmith.agents.llm.model import estimate_tokens
from warpsmith.agents.prompts.shown import fenced
from warpsmith.agents.prompts.views import KernelView, TargetView, TaskView, Tried, one_line
from warpsmith.agents.state import RunState
from warpsmith.core.profile import Critique, Score

FOLDER = Path(__file__).parent
TOKENS = 12_000
"""What a prompt may come to, by `estimate_tokens`; more only where what must be said needs it."""


class PromptStage(StrEnum):
    """What a prompt asks for."""

    NEW = "new"
    REPAIR = "repair"
    OPTIMISE = "optimise"
    CORRECT = "correct"
    """The Judge, on a failure."""
    ADVISE = "advise"
    """The Judge, on a verified kernel."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part that may be left out."""

    name: str
    text: str
    worth: int
    """The least goes first; 100 never goes."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent: the same for every call of a run, then what changes."""

    stage: PromptStage
    system: str
    sections: tuple[Section, ...]
    dropped: tuple[str, ...] = ()
    """Sections left out to keep within the tokens."""

    @property
    def question(self) -> str:
        return "\n\n".join(section.text for section in self.sections)

    @property
    def tokens(self) -> int:
        return estimate_tokens(f"{self.system}\n{self.question}")


KEEP = 100


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - plain text for a model, no page
        keep_trailing_newline=False,
    )
    environment.filters |= {"fenced": fenced, "one_line": one_line}
    return environment


@cache
def _sections() -> Any:
    return _environment().get_template("sections.md.j2").module


def coder_system(task: TaskView, target: TargetView, language: str) -> str:
    """The part of every Coder's prompt that stays the same through a run."""
    name, kind = ("example.cu", "cuda") if language == "cuda" else ("example.py.txt", "python")
    example = fenced((FOLDER / name).read_text(encoding="utf-8"), kind)
    template = _environment().get_template("coder_system.md.j2")
    return template.render(task=task, target=target, language=language, example=example).strip()


def judge_system(task: TaskView, target: TargetView) -> str:
    """The part of every Judge's prompt that stays the same through a run."""
    return _environment().get_template("judge_system.md.j2").render(task=task, target=target).strip()


@dataclass(frozen=True, slots=True)
class Writer:
    """Puts the sections of a prompt together."""

    system: str
    limit: int = TOKENS

    def new(self, rounds: Sequence[Tried], beside: Sequence[str]) -> Prompt:
        return self._fit(PromptStage.NEW, [*_history(rounds), *_beside(beside)])

    def repair(
        self, failed: KernelView, critique: Critique | None, rounds: Sequence[Tried], incumbent: KernelView | None
    ) -> Prompt:
        sections = [
            *_incumbent(incumbent, failed),
            *_history(rounds),
            Section("kernel", _sections().kernel("The kernel that failed", failed), KEEP),
            Section("failure", _sections().failure(failed), KEEP),
            *_critique(critique),
        ]
        return self._fit(PromptStage.REPAIR, sections)

    def optimise(
        self,
        parent: KernelView,
        critique: Critique | None,
        rounds: Sequence[Tried],
        incumbent: KernelView | None,
        beside: Sequence[str],
    ) -> Prompt:
        sections = [
            *_incumbent(incumbent, parent),
            *_history(rounds),
            Section("kernel", _sections().kernel("The kernel to make faster", parent), KEEP),
            Section("profile", _sections().profile("Its own profile", parent), 90),
            *_critique(critique),
            *_beside(beside),
        ]
        return self._fit(PromptStage.OPTIMISE, sections)

    def correct(self, failed: KernelView, rounds: Sequence[Tried]) -> Prompt:
        sections = [
            *_history(rounds),
            Section("kernel", _sections().kernel("The kernel", failed), KEEP),
            Section("failure", _sections().failure(failed), KEEP),
        ]
        return self._fit(PromptStage.CORRECT, sections)

    def advise(self, kernel: KernelView, rounds: Sequence[Tried], scores: Sequence[tuple[int, Score]]) -> Prompt:
        sections = [
            *_history(rounds),
            *([Section("scores", _sections().scores(scores), 60)] if scores else []),
            Section("kernel", _sections().kernel("The kernel", kernel), KEEP),
            Section("profile", _sections().profile("Its own profile", kernel), KEEP),
        ]
        return self._fit(PromptStage.ADVISE, sections)

    def _fit(self, stage: PromptStage, sections: list[Section]) -> Prompt:
        kept = [*sections, Section("ask", _sections().ask(stage.value), KEEP)]
        kept = [Section(it.name, it.text.strip(), it.worth) for it in kept]
        dropped: list[str] = []
        while (prompt := Prompt(stage, self.system, tuple(kept), tuple(dropped))).tokens > self.limit:
            least = min(kept, key=lambda it: it.worth)
            if least.worth >= KEEP:
                break
            kept.remove(least)
            dropped.append(least.name)
        return prompt


def _history(rounds: Sequence[Tried]) -> list[Section]:
    """Two sections, so that the older half can go first."""
    half = max(0, len(rounds) - 6)
    parts = [("older rounds", rounds[:half], 20), ("rounds", rounds[half:], 50)]
    return [Section(name, _sections().history(part), worth) for name, part, worth in parts if part]


def _incumbent(incumbent: KernelView | None, parent: KernelView) -> list[Section]:
    """The best so far, where it is another than the parent."""
    if incumbent is None or incumbent.candidate.identity == parent.candidate.identity:
        return []
    profile = _sections().profile("The profile of that fastest one", incumbent)
    return [
        Section("incumbent", _sections().kernel("The fastest kernel so far", incumbent), 30),
        Section("incumbent's profile", profile, 25),
    ]


def _critique(critique: Critique | None) -> list[Section]:
    return [Section("critique", _sections().critique(critique), 95)] if critique else []


def _beside(ideas: Sequence[str]) -> list[Section]:
    return [Section("beside", _sections().beside(ideas), 80)] if ideas else []


def scores_of(state: RunState) -> list[tuple[int, Score]]:
    """(round, how the prediction that led to it came out), the last eight."""
    return [(it.proposed.round, it.score) for it in state.attempts if it.score][-8:]
