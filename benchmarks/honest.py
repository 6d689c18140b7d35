"""How often the emulator alarms on honest kernels: all of the repository's, each under many schedules.

Kernel files run at their smallest verify workload for every path of their plan, with their first knobs and their last
ones; a schedule seed draws poison, base addresses, and the order of warps and blocks. Kernels of the tests that are no
kernel files (`tests/emulated/test_vm_kernels.py`) run again under as many schedules where their test runs them. An
outcome other than "ran and agreed" is an alarm, and every alarm here is a false one.

Prints one JSON object; exit code 1 where anything alarmed.

    python benchmarks/honest.py [--seeds 50] [KERNEL ...]
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warpsmith.core.kernel_file import KernelFile
    from warpsmith.core.task import Task, Workload
    from warpsmith.sandbox.builds import Builds

ROOT = Path(__file__).parents[1]
FOLDERS = ("examples", "seeds", "kernels_generated", "tests/cheats", "tests/emulated")
HEAD = re.compile(r"^(//|#) /// kernel$", re.MULTILINE)
RAW = ROOT / "tests" / "emulated" / "test_vm_kernels.py"


@dataclass
class Tried:
    """What became of one kernel."""

    kernel: str
    target: str
    workloads: list[str] = field(default_factory=list)
    runs: int = 0
    alarms: list[str] = field(default_factory=list)


def kernel_files() -> list[Path]:
    found = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".cu", ".py"))
    return sorted(path for path in found if HEAD.search(path.read_text(encoding="utf-8")))


def tasks() -> dict[str, Task]:
    """Every task of the repository by name: those that ship, the examples', the tests'."""
    from warpsmith.tasks import find_tasks, load_task

    paths = [task.path for task in find_tasks()]
    for folder in ("examples/tasks", "tests/cheats", "tests/emulated"):
        paths += [path for path in (ROOT / folder).rglob("*.py") if "\nTASK = Task(" in path.read_text("utf-8")]
    loaded = [load_task(path) for path in paths]
    return {task.name: task for task in loaded}


def try_kernel(path: Path, known: Mapping[str, Task], seeds: int, cache: Path) -> Tried:
    """One kernel file with its first and its last knobs; what does not fit the kernel's domain is left out."""
    from warpsmith import app
    from warpsmith.core.kernel_file import parse_kernel_file
    from warpsmith.sandbox.builds import Builds

    kernel = parse_kernel_file(path.read_text(encoding="utf-8"))
    target = "sm_80" if kernel.language == "triton" else "sm_90"
    tried = Tried(str(path.relative_to(ROOT)), target)
    gate = app.gate(known[kernel.task], arch=target, cache=cache, profiled=False)
    for knobs in first_and_last(kernel):
        builds = Builds(kernel, gate.task, knobs, gate.arch, gate.compiler)
        for workload in smallest(builds, gate.task):
            tried.workloads.append(f"{workload.name} {knobs or ''}".strip())
            tried.alarms += alarms(builds, gate.launcher, workload, seeds)
            tried.runs += seeds
    return tried


def first_and_last(kernel: KernelFile) -> list[dict[str, int]]:
    every = kernel.assignments()
    return [every[0], every[-1]] if len(every) > 1 else every


def smallest(builds: Builds, task: Task) -> Iterator[Workload]:
    """The cheapest verify workload for every set of launches and build."""
    from warpsmith.core.kernel_file import dims_of

    def cost(workload: Workload) -> float:
        found = task.cost(dims_of(task, workload))
        return found.flops + found.bytes

    seen = set()
    for workload in sorted(filter(builds.inside, task.verify), key=cost):
        problem = builds.build(workload)
        if problem is not None:
            raise SystemExit(f"{task.name} at {workload.name}: {problem}")
        launches = tuple(sorted({step.line for step in builds.plan(workload).launches}))
        if launches and (builds.key(workload), launches) not in seen:
            seen.add((builds.key(workload), launches))
            yield workload


def alarms(builds: Builds, launcher: object, workload: Workload, seeds: int) -> Iterator[str]:
    """Outcomes of a workload under `seeds` schedules, two of which share inputs and must agree."""
    from warpsmith.sandbox.gate.coverage import Ledger
    from warpsmith.sandbox.gate.trials import SCHEDULES, Trials

    for seed in range(seeds // SCHEDULES):
        outcome = Trials(builds.task, builds, launcher, seed, Ledger(builds)).run(workload)  # type: ignore[arg-type]
        if outcome is not None:
            yield f"seed {seed}: {outcome.kind}: {getattr(outcome, 'message', '')}"


def try_raw(seeds: int, folder: Path) -> list[Tried]:
    """The tests' own kernels, run by their tests under more schedules."""
    report = folder / "raw.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--schedules={seeds}"]
    run = subprocess.run([*command, f"--alarms={report}", str(RAW)], cwd=ROOT, check=False, stdout=sys.stderr)
    if run.returncode or not report.exists():
        raise SystemExit(f"{RAW.name} failed")
    return [Tried(**json.loads(line)) for line in report.read_text().splitlines()]


def main() -> int:
    """Try what was asked for, or everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=50)
    asked = parser.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        known = tasks()
        paths = [path.resolve() for path in asked.kernels] or kernel_files()
        tried = [try_kernel(path, known, asked.seeds, Path(folder)) for path in paths]
        if not asked.kernels:
            tried += try_raw(asked.seeds, Path(folder))
    runs, alarmed = sum(item.runs for item in tried), sum(len(item.alarms) for item in tried)
    figures = {
        "kernels": len(tried),
        "runs": runs,
        "alarms": alarmed,
        "false_reject_rate": alarmed / runs,
        "schedule_seeds": asked.seeds,
        "seconds": round(time.perf_counter() - begin, 1),
        "tried": [vars(item) for item in tried],
    }
    print(json.dumps(figures, indent=2))
    return 1 if alarmed else 0


if __name__ == "__main__":
    sys.exit(main())
