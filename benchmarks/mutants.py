"""How much of what can go wrong in a kernel the gate notices: mutates honest kernels and counts who is caught.

A mutant differs in one PTX instruction or one entry of the launch plan. It is killed when the gate does not verify it.
Code that never runs, at bench shapes neither, is left out. A survivor is evaluated on further seeds: one that is caught
there was missed by chance; one that never is may be equivalent (a comparison whose equal case never comes, a barrier
that orders nothing) and is listed to be judged.

    python benchmarks/mutants.py [--each 12] [--seed 0] [--more 4] [KERNEL ...]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warpsmith.core.artifact import Artifact
    from warpsmith.core.outcome import CompileFailed
    from warpsmith.core.protocols import Launcher, RunReply, RunRequest
    from warpsmith.sandbox.compile import Unit
    from warpsmith.sandbox.gate.stages import Gate

ROOT = Path(__file__).parents[1]
CHEATS = ROOT / "tests" / "cheats"
KERNELS = (
    *(CHEATS / "kernels" / f"{name}.cu" for name in ("tile", "split", "prepared")),
    *(ROOT / "seeds" / "w4a16_gemm" / f"{name}.cu" for name in ("naive", "vectorized", "tensor_core")),
)
TASKS = {"linear": CHEATS / "linear.py"}
TARGET = 0.95


@dataclass(frozen=True)
class Mutant:
    """One change: in the PTX where `line` is not 0, else in the kernel file."""

    operator: str
    line: int
    before: str
    after: str


Rule = tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]]


def _plus(match: re.Match[str], by: int) -> str:
    return f"{match[1]}{int(match[2]) + by}{match[3]}"


PTX_RULES: tuple[Rule, ...] = (
    ("drop a barrier", re.compile(r"^(\s*)bar(?:rier)?\.\S*sync.*;"), lambda m: f"{m[1]}// dropped"),
    ("drop a wait", re.compile(r"^(\s*)cp\.async\.wait\S* .*;"), lambda m: f"{m[1]}// dropped"),
    ("drop a fence", re.compile(r"^(\s*)(?:membar|fence)\S*.*;"), lambda m: f"{m[1]}// dropped"),
    ("drop a store", re.compile(r"^(\s*)(?:@%p\d+ )?st\.(?:global|shared)\S* .*;"), lambda m: f"{m[1]}// dropped"),
    ("off-by-one bound", re.compile(r"(setp\.)(lt|le|gt|ge)(\..*;)"), lambda m: m[1] + _NEIGHBOUR[m[2]] + m[3]),
    ("negated condition", re.compile(r"(setp\.)(eq|ne)(\..*;)"), lambda m: m[1] + _NEIGHBOUR[m[2]] + m[3]),
    ("negated guard", re.compile(r"^(\s*)@(!?)(%p\d+ )"), lambda m: f"{m[1]}@{'' if m[2] else '!'}{m[3]}"),
    ("swapped operands", re.compile(r"(sub\.\S+ \s*\S+, )(\S+), (\S+);"), lambda m: f"{m[1]}{m[3]}, {m[2]};"),
    ("other stride", re.compile(r"(shl\.b\d+ \s*\S+, \S+, )(\d+)(;)"), lambda m: _plus(m, 1)),
    ("other factor", re.compile(r"(mul\.\S+ \s*\S+, \S+, )(\d+)(;)"), lambda m: _plus(m, 1)),
    ("off-by-one index", re.compile(r"(add\.s\d+ \s*\S+, \S+, )(-?\d+)(;)"), lambda m: _plus(m, 1)),
    ("other address", re.compile(r"((?:ld|st)\.(?:global|shared)\S* .*\[\S+\+)(\d+)(\].*;)"), lambda m: _plus(m, 16)),
    ("sum dropped", re.compile(r"(fma\.rn\.f32 \s*\S+, \S+, \S+, )%\w+;"), lambda m: f"{m[1]}0f00000000;"),
    ("term dropped", re.compile(r"(fma\.rn\.f32 \s*\S+, )\S+, (\S+, \S+;)"), lambda m: f"{m[1]}0f00000000, {m[2]}"),
    ("sign", re.compile(r"add(\.(?:rn\.)?f32 )"), lambda m: f"sub{m[1]}"),
    ("other lane", re.compile(r"(shfl\.sync\.\S+ .*, )(\d+)(, \d+, -?\d+;)"), lambda m: _plus(m, 1)),
    ("minimum for maximum", re.compile(r"(?<=\s)(min|max)(\.[su]\d+ )"), lambda m: _NEIGHBOUR[m[1]] + m[2]),
)
_NEIGHBOUR = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "eq": "ne", "ne": "eq", "min": "max", "max": "min"}

PLAN_RULES: tuple[Rule, ...] = (
    (
        "grid one short",
        re.compile(r"^(// grid = .*?)(cdiv\([^()]*\))(.*)"),
        lambda m: f"{m[1]}max({m[2]} - 1, 1){m[3]}",
    ),
    ("wrong when", re.compile(r'^(// when = ".*?)(<=|>)(.*)'), lambda m: m[1] + {"<=": "<", ">": ">="}[m[2]] + m[3]),
    ("memset dropped", re.compile(r"^// init = .*"), lambda m: "// # dropped"),
    ("wrong span", re.compile(r'^(// SPAN = ")align\((.*), 128\)(".*)'), lambda m: f"{m[1]}align({m[2]}, 64){m[3]}"),
    ("scratch one short", re.compile(r'^(// shape = \[.*)"M"(.*)'), lambda m: f'{m[1]}"max(M - 1, 1)"{m[2]}'),
)


def mutants(text: str, rules: tuple[Rule, ...], *, ptx: bool) -> Iterator[Mutant]:
    """Every change the rules can make to a text, line by line."""
    for number, line in enumerate(text.splitlines(), 1):
        for operator, pattern, change in rules:
            match = pattern.search(line)
            if match:
                changed = line[: match.start()] + change(match) + line[match.end() :]
                yield Mutant(operator, number if ptx else -number, line, changed)


def applied(text: str, mutant: Mutant) -> str:
    """The text with the mutant's line changed."""
    lines = text.splitlines()
    number = abs(mutant.line)
    if lines[number - 1] != mutant.before:
        return text
    lines[number - 1] = mutant.after
    return "\n".join(lines) + "\n"


def choose(found: list[Mutant], each: int, draw: random.Random) -> list[Mutant]:
    """At most `each` of every operator."""
    chosen = []
    for operator in dict.fromkeys(mutant.operator for mutant in found):
        alike = [mutant for mutant in found if mutant.operator == operator]
        chosen += draw.sample(alike, min(each, len(alike)))
    return chosen


@dataclass
class Recording:
    """A launcher that notes which basic blocks ran."""

    launcher: Launcher
    ran: set[tuple[str, str, int]] = field(default_factory=set)

    def run(self, request: RunRequest) -> RunReply:
        """Pass the request on."""
        reply = self.launcher.run(request)
        for launch in reply.coverage:
            blocks = {index for what, index in launch.reached if what == "block"}
            self.ran |= {(request.artifact.ptx, launch.kernel, index) for index in blocks}
        return reply


@dataclass
class Bench:
    """Evaluates mutants of one kernel file."""

    gate: Gate
    text: str

    def reached(self, seed: int) -> set[int]:
        """Lines of the bench build's PTX that run in an evaluation of the honest kernel."""
        from warpsmith.sandbox.emulated import load_ptx
        from warpsmith.sandbox.gate.stages import read_candidate

        recording, artifact = Recording(self.gate.launcher), self.artifact()
        replace(self.gate, launcher=recording).evaluate(read_candidate(self.text), seed=seed)
        lines: set[int] = set()
        for kernel, name in artifact.entries.items():
            entry = load_ptx(artifact.ptx).module.entry(name)
            for index, block in enumerate(entry.blocks):
                if (artifact.ptx, kernel, index) in recording.ran:
                    lines |= {instr.ptx_line for instr in entry.instructions[block.start : block.stop]}
        return lines

    def artifact(self) -> Artifact:
        """The build that bench workloads use."""
        from warpsmith.core.kernel_file import parse_kernel_file
        from warpsmith.sandbox.builds import Builds

        kernel = parse_kernel_file(self.text)
        builds = Builds(kernel, self.gate.task, kernel.default_knobs(), self.gate.arch, self.gate.compiler)
        builds.build(self.gate.task.bench[0])
        return builds.artifact(self.gate.task.bench[0])

    def verdict(self, mutant: Mutant, seed: int) -> tuple[str, str]:
        """(outcome, message) of one mutant."""
        from warpsmith.core.errors import KernelFileError
        from warpsmith.sandbox.gate.stages import read_candidate

        gate, text = self.gate, self.text
        if mutant.line < 0:
            text = applied(text, mutant)
        else:
            gate = replace(gate, compiler=self._mutating(mutant))
        try:
            outcome = gate.evaluate(read_candidate(text), seed=seed).outcome
        except KernelFileError as error:
            return "KernelFileError", error.message
        return outcome.kind, getattr(outcome, "message", "")

    def _mutating(self, mutant: Mutant) -> Callable[[Unit, str], Artifact | CompileFailed]:
        def compiled(unit: Unit, target: str) -> Artifact | CompileFailed:
            from warpsmith.core.outcome import CompileFailed

            artifact = self.gate.compiler(unit, target)
            if isinstance(artifact, CompileFailed):
                return artifact
            return artifact.model_copy(update={"ptx": applied(artifact.ptx, mutant)})

        return compiled


def attack(path: Path, options: argparse.Namespace, cache: Path) -> dict[str, object]:
    """Mutate one kernel; its counts and its survivors."""
    from warpsmith import app
    from warpsmith.core.kernel_file import parse_kernel_file
    from warpsmith.tasks import load_task

    text = path.read_text()
    task = load_task(TASKS.get(name := parse_kernel_file(text).task, name))
    bench = Bench(app.gate(task, arch="h200", cache=cache), text)
    found = [*mutants(bench.artifact().ptx, PTX_RULES, ptx=True), *mutants(text, PLAN_RULES, ptx=False)]
    chosen = choose(found, options.each, random.Random(f"{options.seed} {path.name}"))
    reached = bench.reached(options.seed + 1)
    killed: Counter[str] = Counter()
    missed, alive, idle = [], [], 0
    for mutant in chosen:
        if mutant.line > 0 and mutant.line not in reached:
            idle += 1
            continue
        kind, _ = bench.verdict(mutant, options.seed + 1)
        if kind != "Verified":
            killed[kind] += 1
            continue
        later = [bench.verdict(mutant, options.seed + 2 + more)[0] for more in range(options.more)]
        entry = {"operator": mutant.operator, "line": mutant.line, "before": mutant.before.strip()}
        caught = [kind for kind in later if kind != "Verified"]
        (missed if caught else alive).append({**entry, "after": mutant.after.strip(), "later": caught})
    return {
        "kernel": path.stem,
        "mutants": len(chosen),
        "never_run": idle,
        "killed": dict(killed),
        "missed": missed,
        "alive": alive,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", type=Path, default=list(KERNELS))
    parser.add_argument("--each", type=int, default=4, help="mutants of each operator and kernel")
    parser.add_argument("--more", type=int, default=3, help="further seeds for survivors")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as cache:
        reports = []
        for path in options.kernels:
            reports.append(attack(path, options, Path(cache)))
            print(json.dumps(reports[-1]), file=sys.stderr, flush=True)
    killed = sum(sum(report["killed"].values()) for report in reports)  # type: ignore[attr-defined]
    missed = sum(len(report["missed"]) for report in reports)  # type: ignore[arg-type]
    alive = sum(len(report["alive"]) for report in reports)  # type: ignore[arg-type]
    score = killed / max(killed + missed, 1)
    summary = {"killed": killed, "missed_by_chance": missed, "never_caught": alive, "score": round(score, 4)}
    print(json.dumps({**summary, "target": TARGET, "seconds": round(time.perf_counter() - start, 1)}, indent=2))
    return 0 if score >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
