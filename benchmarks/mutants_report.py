"""What the gate said of mutants: the file of answers, verdicts on survivors, the score, and the page of them."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

JUDGED = Path(__file__).with_name("mutants_judged.toml")
TARGET = 0.95
NEVER = "never runs"
Name = tuple[str, str]
"""(kernel, mutant)."""


@dataclass(frozen=True)
class Answer:
    """What the gate said of one mutant; a line of the file of answers."""

    kernel: str
    mutant: str
    source: int
    """The kernel file's line that the change stands for; 0 where the compiler names none."""
    outcome: str
    """Of the first evaluation; NEVER where there was none."""
    later: tuple[str, ...] = ()
    """Of further seeds, where the first one verified the mutant."""

    @property
    def survived(self) -> bool:
        return self.outcome == "Verified"

    @property
    def name(self) -> Name:
        return self.kernel, self.mutant


@dataclass(frozen=True)
class Judged:
    """Survivors that somebody has looked at, with the reason."""

    equivalent: Mapping[Name, str]
    """They cannot differ from the original within the sizes that task and plan allow."""
    missed: Mapping[Name, str]
    """They can, and the gate does not see it."""


def load_answers(path: Path) -> list[Answer]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = (json.loads(line) for line in lines)
    return [Answer(**{**item, "later": tuple(item["later"])}) for item in found]


def load_judged(path: Path = JUDGED) -> Judged:
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    equivalent, missed = (
        {(item["kernel"], mutant): item["why"] for item in tables.get(kind, []) for mutant in item["mutants"]}
        for kind in ("equivalent", "missed")
    )
    return Judged(equivalent, missed)


def summary(answers: Sequence[Answer], judged: Judged) -> dict[str, Any]:
    """The counts: killed, and every way of not being killed by its own name."""
    ran = [item for item in answers if item.outcome != NEVER]
    alive = [item for item in ran if item.survived]
    open_ = [item for item in alive if item.name not in judged.equivalent]
    killed, equal = len(ran) - len(alive), len(alive) - len(open_)
    tried = {item.kernel for item in answers}
    stale = {name for name in {*judged.equivalent, *judged.missed} if name[0] in tried} - {i.name for i in alive}
    return {
        "mutants": len(answers),
        "never_run": len(answers) - len(ran),
        "killed": killed,
        "judged_equivalent": equal,
        "missed_with_a_reason": sum(item.name in judged.missed for item in open_),
        "survivors_that_nobody_judged": [": ".join(item.name) for item in open_ if item.name not in judged.missed],
        "survivors_caught_under_another_seed": sum(bool({*item.later} - {"Verified"}) for item in open_),
        "score": round(killed / max(len(ran) - equal, 1), 4),
        "target": TARGET,
        "outcomes": dict(Counter(item.outcome for item in ran).most_common()),
        "judged_but_killed_now": sorted(": ".join(name) for name in stale),
    }


def page(answers: Sequence[Answer], judged: Judged) -> str:
    """`docs/mutants.md`: the score, and every survivor with the reason."""
    found = summary(answers, judged)
    alive = [item for item in answers if item.survived]
    kernels = ", ".join(f"`{name}`" for name in dict.fromkeys(item.kernel for item in answers))
    lines = [
        "# Mutants: what the gate notices",
        "",
        "Written by `python benchmarks/mutants.py --each 0 --out benchmarks/results/mutants.jsonl "
        "--page docs/mutants.md`.",
        "A mutant differs from an honest kernel in one PTX instruction or one line of its kernel file; it is killed",
        "when the first evaluation does not verify it. Equivalent ones, judged one by one below, are left out alone.",
        "",
        "| | |",
        "|---|---|",
        f"| mutants of {kernels} | {found['mutants']} |",
        f"| in code that no workload and no bench shape runs, not tried | {found['never_run']} |",
        f"| killed | {found['killed']} |",
        f"| survived: equivalent | {found['judged_equivalent']} |",
        f"| survived: missed, with the reason | {found['missed_with_a_reason']} |",
        f"| survived: not judged | {len(found['survivors_that_nobody_judged'])} |",
        f"| killed, of those that are not equivalent | {found['score']:.1%} (goal {TARGET:.0%}) |",
        "",
    ]
    for title, reasons in (("Missed", judged.missed), ("Equivalent", judged.equivalent)):
        lines += [f"## {title}", "", "| kernel | line | change | why |", "|---|---|---|---|"]
        lines += [
            f"| {item.kernel} | {item.source} | `{item.mutant.replace('|', '&#124;')}` | {reasons[item.name]} |"
            for item in alive
            if item.name in reasons
        ]
        lines.append("")
    return "\n".join(lines)
