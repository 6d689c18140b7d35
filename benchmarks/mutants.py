"""How much of what can go wrong in a kernel the gate notices: mutates honest kernels and counts who is caught.

A mutant differs in one PTX instruction, or in one line of its kernel file. It is killed when the gate's first
evaluation does not verify it, whatever the outcome. Code that never runs, at bench shapes neither, is left out and
counted apart. A survivor is evaluated under further seeds; that one of them catches it is reported and does not make
it killed. A survivor that cannot differ from the original is equivalent: `mutants_judged.toml` says so with the
reason, one by one, and those alone are left out of the score. Survivors that nobody has judged count against it.

Every answer is kept in a file as soon as it is there, so that a run can be stopped and taken up again.

    python benchmarks/mutants.py [--each 4] [--seed 0] [--more 3] [--out FILE] [--page FILE] [KERNEL ...]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mutants_report import TARGET, Answer, load_answers, load_judged, page, summary

if TYPE_CHECKING:
    from warpsmith.core.artifact import Artifact
    from warpsmith.core.outcome import CompileFailed
    from warpsmith.core.protocols import Launcher, RunReply, RunRequest
    from warpsmith.sandbox.compile import Unit
    from warpsmith.sandbox.gate.stages import Gate

ROOT = Path(__file__).parents[1]
CHEATS = ROOT / "tests" / "cheats"
SMALL = ("tile", "split", "prepared", "last_block", "stream", "persistent", "cooperative", "pairs")
KERNELS = (
    *(CHEATS / "kernels" / f"{name}.cu" for name in SMALL),
    *(ROOT / "seeds" / "w4a16_gemm" / f"{name}.cu" for name in ("naive", "vectorized", "tensor_core")),
)
TASKS = {"linear": CHEATS / "linear.py"}


@dataclass(frozen=True)
class Mutant:
    """One change: in the PTX where `line` is positive, else in the kernel file."""

    operator: str
    line: int
    before: str
    after: str
    nth: int = 1
    """Among lines of the same words."""

    @property
    def key(self) -> str:
        """What stays the same when other lines of the text change."""
        nth = f" ({self.nth})" if self.nth > 1 else ""
        return f"{self.operator}: {' '.join(self.before.split())}{nth} -> {' '.join(self.after.split())}"


Rule = tuple[str, re.Pattern[str], Callable[[re.Match[str]], str]]


def _plus(match: re.Match[str], by: int) -> str:
    return f"{match[1]}{int(match[2]) + by}{match[3]}"


_NEIGHBOUR = {"lt": "le", "le": "lt", "gt": "ge", "ge": "gt", "eq": "ne", "ne": "eq", "min": "max", "max": "min"}
_WHEN = {"<=": "<", ">=": ">", "<": "<=", ">": ">=", "==": "!="}

PTX_RULES: tuple[Rule, ...] = (
    ("drop a barrier", re.compile(r"^(\s*)bar(?:rier)?\.\S*sync.*;"), lambda m: f"{m[1]}// dropped"),
    ("drop a wait", re.compile(r"^(\s*)cp\.async\.wait\S* .*;"), lambda m: f"{m[1]}// dropped"),
    ("drop a fence", re.compile(r"^(\s*)(?:membar|fence)\S*.*;"), lambda m: f"{m[1]}// dropped"),
    ("drop a store", re.compile(r"^(\s*)(?:@%p\d+ )?st\.(?:global|shared)\S* .*;"), lambda m: f"{m[1]}// dropped"),
    ("off-by-one bound", re.compile(r"(setp\.)(lt|le|gt|ge)(\..*;)"), lambda m: m[1] + _NEIGHBOUR[m[2]] + m[3]),
    ("negated condition", re.compile(r"(setp\.)(eq|ne)(\..*;)"), lambda m: m[1] + _NEIGHBOUR[m[2]] + m[3]),
    ("negated guard", re.compile(r"^(\s*)@(!?)(%p\d+ )"), lambda m: f"{m[1]}@{'' if m[2] else '!'}{m[3]}"),
    ("swapped operands", re.compile(r"(sub\.\S+ \s*\S+, )(\S+), (\S+);"), lambda m: f"{m[1]}{m[3]}, {m[2]};"),
    ("swapped choice", re.compile(r"(selp\.\S+ \s*\S+, )(\S+), (\S+), (\S+);"),
     lambda m: f"{m[1]}{m[3]}, {m[2]}, {m[4]};"),
    ("other stride", re.compile(r"(shl\.b\d+ \s*\S+, \S+, )(\d+)(;)"), lambda m: _plus(m, 1)),
    ("other factor", re.compile(r"(mul\.\S+ \s*\S+, \S+, )(\d+)(;)"), lambda m: _plus(m, 1)),
    ("off-by-one index", re.compile(r"(add\.s\d+ \s*\S+, \S+, )(-?\d+)(;)"), lambda m: _plus(m, 1)),
    ("other address", re.compile(r"((?:ld|st)\.(?:global|shared)\S* .*\[\S+\+)(\d+)(\].*;)"), lambda m: _plus(m, 16)),
    ("sum dropped", re.compile(r"(fma\.rn\.f32 \s*\S+, \S+, \S+, )%\w+;"), lambda m: f"{m[1]}0f00000000;"),
    ("term dropped", re.compile(r"(fma\.rn\.f32 \s*\S+, )\S+, (\S+, \S+;)"), lambda m: f"{m[1]}0f00000000, {m[2]}"),
    ("sign", re.compile(r"add(\.(?:rn\.)?f32 )"), lambda m: f"sub{m[1]}"),
    ("other lane", re.compile(r"(shfl\.sync\.\S+ .*, )(\d+)(, \d+, -?\d+;)"), lambda m: _plus(m, 1)),
    ("minimum for maximum", re.compile(r"(?<=\s)(min|max)(\.[su]\d+ )"), lambda m: _NEIGHBOUR[m[1]] + m[2]),
)  # fmt: skip

TEXT_RULES: tuple[Rule, ...] = (
    ("grid one short", re.compile(r"^(// grid = .*?)(cdiv\([^()]*\))(.*)"),
     lambda m: f"{m[1]}max({m[2]} - 1, 1){m[3]}"),
    ("wrong when", re.compile(r'^(// when = ".*?)(<=|>=|==|<|>)(.*)'), lambda m: m[1] + _WHEN[m[2]] + m[3]),
    ("memset dropped", re.compile(r"^// init = .*"), lambda m: "// # dropped"),
    ("wrong span", re.compile(r'^(// SPAN = ")align\((.*), 128\)(".*)'), lambda m: f"{m[1]}align({m[2]}, 64){m[3]}"),
    ("scratch one short", re.compile(r'^(// shape = \[.*)"M"(.*)'), lambda m: f'{m[1]}"max(M - 1, 1)"{m[2]}'),
    # A loop over K in steps: its last step, whole or ragged, is left out.
    ("dropped K tile", re.compile(r"(for \(.*?; )(\w+) < ([^;]+); (\w+(?:\+\+| \+= ))([^)]*)\)"),
     lambda m: f"{m[1]}{m[2]} + {m[5] or 1} < {m[3]}; {m[4]}{m[5]})"),
    ("first K tile dropped", re.compile(r"(for \(int (k\w*|tile) = )([^;]+);(.*?\+\+|.*?\+= ([^)]*))\)"),
     lambda m: f"{m[1]}{m[3]} + {m[5] or 1};{m[4]})"),
)  # fmt: skip


def mutants(text: str, rules: tuple[Rule, ...], *, ptx: bool) -> Iterator[Mutant]:
    """Every change the rules can make to a text, line by line."""
    seen: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        seen[words := " ".join(line.split())] += 1
        for operator, pattern, change in rules:
            match = pattern.search(line)
            if match:
                changed = line[: match.start()] + change(match) + line[match.end() :]
                yield Mutant(operator, number if ptx else -number, line, changed, seen[words])


def applied(text: str, mutant: Mutant) -> str:
    """The text with the mutant's line changed."""
    lines = text.splitlines()
    number = abs(mutant.line)
    if number > len(lines) or lines[number - 1] != mutant.before:
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

    def reached(self, seed: int) -> dict[int, int]:
        """Lines of the bench build's PTX that run in an evaluation of the honest kernel, with their source lines."""
        from warpsmith.sandbox.emulated import load_ptx
        from warpsmith.sandbox.gate.stages import read_candidate

        recording, artifact = Recording(self.gate.launcher), self.artifact()
        outcome = replace(self.gate, launcher=recording).evaluate(read_candidate(self.text), seed=seed).outcome
        if outcome.kind != "Verified":
            raise SystemExit(f"the honest kernel is {outcome.kind}: {outcome}")
        lines: dict[int, int] = {}
        for kernel, name in artifact.entries.items():
            entry = load_ptx(artifact.ptx).module.entry(name)
            for index, block in enumerate(entry.blocks):
                if (artifact.ptx, kernel, index) in recording.ran:
                    inside = entry.instructions[block.start : block.stop]
                    lines |= {instr.ptx_line: instr.line for instr in inside}
        return lines

    def artifact(self) -> Artifact:
        """The build that bench workloads use."""
        from warpsmith.core.kernel_file import parse_kernel_file
        from warpsmith.sandbox.builds import Builds

        kernel = parse_kernel_file(self.text)
        builds = Builds(kernel, self.gate.task, kernel.default_knobs(), self.gate.arch, self.gate.compiler)
        builds.build(self.gate.task.bench[0])
        return builds.artifact(self.gate.task.bench[0])

    def verdict(self, mutant: Mutant, seed: int) -> str:
        """The kind of outcome that one mutant gets."""
        from warpsmith.core.errors import KernelFileError
        from warpsmith.sandbox.gate.stages import read_candidate

        gate, text = self.gate, self.text
        if mutant.line < 0:
            text = applied(text, mutant)
        else:
            gate = replace(gate, compiler=self._mutating(mutant))
        try:
            return gate.evaluate(read_candidate(text), seed=seed).outcome.kind
        except KernelFileError:
            return "KernelFileError"

    def _mutating(self, mutant: Mutant) -> Callable[[Unit, str], Artifact | CompileFailed]:
        def compiled(unit: Unit, target: str) -> Artifact | CompileFailed:
            from warpsmith.core.outcome import CompileFailed

            artifact = self.gate.compiler(unit, target)
            if isinstance(artifact, CompileFailed):
                return artifact
            return artifact.model_copy(update={"ptx": applied(artifact.ptx, mutant)})

        return compiled


def attack(path: Path, options: argparse.Namespace, cache: Path, known: set[tuple[str, str]]) -> Iterator[Answer]:
    """Mutate one kernel; the answers that `known` lacks."""
    from warpsmith import app
    from warpsmith.core.kernel_file import parse_kernel_file
    from warpsmith.tasks import load_task

    text, kernel = path.read_text(), named(path)
    task = load_task(TASKS.get(name := parse_kernel_file(text).task, name))
    bench = Bench(app.gate(task, arch="h200", cache=cache), text)
    found = [*mutants(bench.artifact().ptx, PTX_RULES, ptx=True), *mutants(text, TEXT_RULES, ptx=False)]
    chosen = choose(found, options.each, random.Random(f"{options.seed} {path.name}"))
    missing = [mutant for mutant in chosen if (kernel, mutant.key) not in known]
    reached = bench.reached(options.seed + 1) if missing else {}
    for mutant in missing:
        source = reached.get(mutant.line, 0) if mutant.line > 0 else -mutant.line
        if mutant.line > 0 and mutant.line not in reached:
            yield Answer(kernel, mutant.key, source, "never runs")
            continue
        outcome, later = bench.verdict(mutant, options.seed + 1), list[str]()
        if outcome == "Verified":
            later = [bench.verdict(mutant, options.seed + 2 + more) for more in range(options.more)]
        yield Answer(kernel, mutant.key, source, outcome, tuple(later))


def named(path: Path) -> str:
    return f"{path.resolve().parent.name}/{path.stem}"


def main() -> int:
    from warpsmith.settings import ask_for_large_pages, let_threads_sleep

    let_threads_sleep()
    ask_for_large_pages()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", type=Path, default=list(KERNELS))
    parser.add_argument("--each", type=int, default=4, help="mutants of each operator and kernel; 0 reports alone")
    parser.add_argument("--more", type=int, default=3, help="further seeds for survivors")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of answers, one a line; those it holds are not sought again")
    parser.add_argument("--page", type=Path, help="write the survivors with their reasons to this file")
    options = parser.parse_args()
    answers = load_answers(options.out) if options.out else []
    with tempfile.TemporaryDirectory() as cache:
        for path in options.kernels if options.each else ():
            known = {(item.kernel, item.mutant) for item in answers}
            for answer in attack(path, options, Path(cache), known):
                answers.append(answer)
                if options.out:
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(asdict(answer)) + "\n")
            print(f"{named(path)} done", file=sys.stderr, flush=True)
    judged = load_judged()
    found = summary(answers, judged)
    print(json.dumps(found, indent=2))
    if options.page:
        options.page.write_text(page(answers, judged), encoding="utf-8")
    return 0 if found["score"] >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
