"""A kernel file's head block as an import finds it, piece by piece, and what it leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Question:
    """Something the host code does not say."""

    line: int
    """Of the file that was imported; 0 where it is about no line."""
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{f'line {self.line}: ' if self.line else ''}{self.what}. {self.remedy}".rstrip()


@dataclass(slots=True)
class Step:
    """One `[[launch]]`: of a kernel, or a fill."""

    kernel: str
    """Empty in a fill."""
    fill: str = ""
    grid: list[str] = field(default_factory=list)
    block: list[str] = field(default_factory=list)
    shared: str = ""
    when: str = ""
    args: dict[str, str] = field(default_factory=dict)
    constexpr: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Scratch:
    """One `[[buffer]]`."""

    name: str
    shape: list[str]
    dtype: str
    zero: bool = False


@dataclass(slots=True)
class Plan:
    """A head block as it is found."""

    steps: list[Step] = field(default_factory=list)
    buffers: list[Scratch] = field(default_factory=list)
    requires: list[str] = field(default_factory=list)
    tune: dict[str, list[int]] = field(default_factory=dict)
    where: str = ""
    questions: list[Question] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was read out of the host code that a reader should know."""

    def ask(self, line: int, what: str, remedy: str = "") -> None:
        """Leave something open."""
        question = Question(line, what, remedy)
        if question not in self.questions:
            self.questions.append(question)
