"""Coverage closure: what a kernel executes where it is timed must have run under the checkers where it is verified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from warpsmith.core.artifact import Artifact
from warpsmith.core.digest import digest_text
from warpsmith.core.outcome import Inconclusive, Stage
from warpsmith.core.protocols import LaunchCoverage, RunReply
from warpsmith.core.task import Workload
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.emulated import load_ptx
from warpsmith.sandbox.emulator.program import Entry

Item: TypeAlias = tuple[str, str, str, int]
"""(digest of the code, kernel, what, index): see `LaunchCoverage.reached`; a plan's launch is (..., "launch", line)."""

MOST_LINES = 8
"""Of code that no run reached, which a verdict names."""

_WORDS = {
    "true": "a comparison of sizes that holds there",
    "false": "a comparison of sizes that fails there",
    "first": "a minimum or maximum of sizes that takes its first operand there",
    "second": "a minimum or maximum of sizes that takes its second operand there",
}


@dataclass(slots=True)
class Ledger:
    """Everything that verified runs of one candidate have executed."""

    builds: Builds
    items: set[Item] = field(default_factory=set)

    def add(self, workload: Workload, reply: RunReply) -> None:
        """Note what a run under the checkers executed."""
        for launch in reply.coverage:
            self.items |= self._items(workload, launch)

    def missing(self, workload: Workload, reply: RunReply) -> list[tuple[LaunchCoverage, str, int]]:
        """(launch, what, index) that `reply`'s run executed and no verified run has."""
        found = []
        for launch in reply.coverage:
            unseen = self._items(workload, launch) - self.items
            found += [(launch, what, index) for _, _, what, index in sorted(unseen)]
        return found

    def _items(self, workload: Workload, launch: LaunchCoverage) -> set[Item]:
        code = self._code(self.builds.artifact(workload))
        reached = {*launch.reached, ("launch", launch.line)}
        return {(code, launch.kernel, what, index) for what, index in reached}

    def _code(self, artifact: Artifact) -> str:
        # A Triton kernel's name holds all it was specialised on, and its builds are compiled in groups.
        return "" if self.builds.kernel.language == "triton" else digest_text(artifact.ptx)

    def untouched(self) -> str:
        """What to note where code of some source lines was compiled that no verified run has reached; else empty."""
        there, reached = set[int](), set[int]()
        for artifact in self.builds.artifacts:
            code, module = self._code(artifact), load_ptx(artifact.ptx).module
            for kernel, name in artifact.entries.items():
                entry = module.entry(name)
                for index, block in enumerate(entry.blocks):
                    lines = {instr.line for instr in entry.instructions[block.start : block.stop]} - {0}
                    there |= lines
                    reached |= lines if (code, kernel, "block", index) in self.items else set()
        missed = [str(line) for line in sorted(there - reached)]
        shown = ", ".join(missed[:MOST_LINES]) + ", ..." * (len(missed) > MOST_LINES)
        return f"no run reached the code of line {shown}: nothing is known of it" if missed else ""

    def one_row(self, workload: Workload, reply: RunReply) -> str:
        """What to note where all that is missing are grids of several blocks along an axis; empty otherwise.

        Blocks run the same code then, and what they write is compared at the bench workload itself.
        """
        missing = self.missing(workload, reply)
        if not missing or any(what != "several" for _, what, _ in missing):
            return ""
        launch, _, axis = missing[0]
        return f"at '{workload.name}' {launch.kernel} has several blocks along {'xyz'[axis]}; smaller runs have one"

    def unreached(self, workload: Workload, reply: RunReply) -> Inconclusive:
        """The outcome for a bench workload that runs what no verified run has."""
        launch, what, index = self.missing(workload, reply)[0]
        artifact = self.builds.artifact(workload)
        entry = load_ptx(artifact.ptx).module.entry(artifact.entries[launch.kernel])
        line, shown = _place(entry, launch, what, index)
        where = f" (line {line})" if line else ""
        return Inconclusive(
            stage=Stage.PROFILE,
            message=f"At '{workload.name}' {launch.kernel} executes {shown}{where}, which no workload small enough to "
            "be verified reaches. Choose code paths by what small workloads have too, such as tails and alignment.",
            line=line or None,
            workload=workload.name,
        )


def _place(entry: Entry, launch: LaunchCoverage, what: str, index: int) -> tuple[int, str]:
    """Source line (0: unknown) and words for one item."""
    if what == "launch":
        return launch.line, "this launch"
    if what == "several":
        return launch.line, f"several blocks along {'xyz'[index]}"
    if what == "block":
        block = entry.blocks[index]
        lines = [item.line for item in entry.instructions[block.start : block.stop] if item.line]
        return (lines[0] if lines else 0), "code"
    instr = entry.instructions[index]
    return instr.line, "a guarded instruction" if what == "guard" else _WORDS[what]
