"""What the whole gate of one honest candidate costs, stage by stage, in a process that has judged one before.

Each kernel goes through the gate twice on inputs minted afresh; the second time counts: compilers are started and the
task's bench inputs are drawn. Processor seconds are of this process and its children, so they mean the same on a busy
machine; wall-clock seconds do not, and the load average stands beside them.

Prints one JSON object; exit code 1 where a kernel was not verified.

    python benchmarks/gate.py [--arch h200] [KERNEL ...]      # default: every task's first seed
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpsmith.core.protocols import StageReport

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36
TARGET_S = 5.0
"""For the smallest task, on two cores."""


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent is killed with them, as jailed processes are.

    They are never waited for, so that what they spent still stands in /proc when it is asked for.

    Raises:
        OSError: the system does not let us.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "a subreaper is needed to count what killed children spent")


def processor_seconds() -> float:
    """Of this process and everything below it, what has ended included; call `adopt_orphans` first."""
    parents, spent = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split() if entry.name.isdigit() else []
        except OSError:
            continue  # it ended
        if fields:
            parents[int(entry.name)] = int(fields[1])
            spent[int(entry.name)] = sum(int(ticks) for ticks in fields[11:15])
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return sum(spent[pid] for pid in ours) / TICKS


def judged(path: Path, arch: str, cache: Path) -> dict[str, Any]:
    """The second evaluation of a kernel file, its stages with what each took."""
    from warpsmith import app
    from warpsmith.sandbox.gate.stages import read_candidate
    from warpsmith.tasks import load_task

    candidate = read_candidate(path.read_text(encoding="utf-8"))
    gate = app.gate(load_task(candidate.task), arch=arch, cache=cache)
    gate.evaluate(candidate, seed=secrets.randbits(31))
    stages: list[dict[str, Any]] = []
    marks = [processor_seconds()]

    def observe(report: StageReport) -> None:
        marks.append(processor_seconds())
        taken = round(marks[-1] - marks[-2], 2)
        stages.append(
            {"stage": report.stage, "processor_s": taken, "wall_s": round(report.seconds, 2), "detail": report.detail}
        )

    gate.observe = observe
    start = time.perf_counter()
    evaluation = gate.evaluate(candidate, seed=secrets.randbits(31))
    return {
        "kernel": str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path),
        "task": candidate.task,
        "outcome": evaluation.outcome.kind,
        "processor_s": round(marks[-1] - marks[0], 2),
        "wall_s": round(time.perf_counter() - start, 2),
        "stages": stages,
    }


def main() -> int:
    """Judge every kernel asked for."""
    from warpsmith.settings import ask_for_large_pages, let_threads_sleep

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("kernels", nargs="*", type=Path, metavar="KERNEL")
    parser.add_argument("--arch", default="h200")
    asked = parser.parse_args()
    adopt_orphans()
    let_threads_sleep()
    ask_for_large_pages()
    kernels = [path.resolve() for path in asked.kernels] or sorted(ROOT.glob("seeds/*/naive.cu"))
    with tempfile.TemporaryDirectory() as folder:
        found = [judged(path, asked.arch, Path(folder)) for path in kernels]
    least = min(found, key=lambda item: float(item["processor_s"]))
    print(
        json.dumps(
            {
                "source": "measured",
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 1),
                "least_processor_s": least["processor_s"],
                "target_s": TARGET_S,
                "candidates": found,
            },
            indent=2,
        )
    )
    return 0 if all(item["outcome"] == "Verified" for item in found) else 1


if __name__ == "__main__":
    sys.exit(main())
