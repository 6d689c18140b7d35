"""How often honest kernels are refused: all of the repository's, under many schedules and in many evaluations.

Two kinds of trial. A *schedule*: one run under the checkers of a kernel's smallest verify workload for every path of
its plan, with its first knobs and its last ones; the seed draws inputs, poison, base addresses, and the order of warps
and blocks; what came out is compared with the oracle. An *evaluation*: the whole gate, hidden workloads, bench shapes
and coverage closure included, with the first knobs and a seed of its own. Kernels of the tests that are no kernel files
(`tests/emulated/test_vm_kernels.py`) run under as many schedules where their test runs them.

Whatever is not accepted is a false reject. Every trial is kept in a file as soon as it is over, so that a run can be
stopped and taken up again; evaluations of a kernel go on from where they were, for as long as `--seconds` allows. A
trial stands for the text of its kernel and for what it ran under: a schedule for the sources of the emulator's VM, an
evaluation for the edition of the gate's rules. Others are kept but not counted. Files of one text, as a seed and its
copy in the library, are one kernel: with the same seed they would be the same trial.

Prints one JSON object; exit code 1 where anything was refused.

    python benchmarks/honest.py [--seeds 50] [--evaluations 50] [--seconds 60] [--jobs 1] [--out FILE] [KERNEL ...]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from math import comb
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warpsmith.core.kernel_file import KernelFile
    from warpsmith.core.outcome import Outcome
    from warpsmith.core.task import Task, Workload
    from warpsmith.sandbox.builds import Builds
    from warpsmith.sandbox.gate.stages import Gate

ROOT = Path(__file__).parents[1]
FOLDERS = ("examples", "seeds", "kernels_generated", "tests/cheats", "tests/emulated")
HEAD = re.compile(r"^(//|#) /// kernel$", re.MULTILINE)
TASK = re.compile(r"^TASK = (?:Task|replace)\(", re.MULTILINE)
RAW = ROOT / "tests" / "emulated" / "test_vm_kernels.py"
DIGEST = re.compile("[0-9a-f]{12}")
CERTAINTY = 0.95


@dataclass(frozen=True)
class Trial:
    """One kernel tried once; a line of the file."""

    kernel: str
    what: str
    """`schedules` or `evaluation`."""
    case: str
    """Workload and knobs, or nothing."""
    seed: int
    runs: int
    """Runs that had to end well, in one process, for this answer."""
    text: str = ""
    """Beginning of the SHA-256 of the kernel's file."""
    under: str = ""
    """Beginning of the digest of the VM's sources, or the gate's edition."""
    refused: str = ""
    """Kind and message, where it was."""

    @property
    def tried(self) -> tuple[str, str]:
        """The kernel, wherever its file lies: its text, and its name among those of the tests' one file."""
        return self.text, self.kernel if self.kernel.startswith("raw: ") else ""

    @property
    def key(self) -> tuple[str, ...]:
        return *self.tried, self.what, self.case, str(self.seed), self.under


def told(item: dict[str, Any]) -> Iterator[Trial]:
    """The trials of one line: it may name several `seeds`."""
    for seed in item.pop("seeds", None) or [item.pop("seed")]:
        yield Trial(**item, seed=seed)


@dataclass
class Trials:
    """What is known, and where it is kept."""

    out: Path | None
    known: dict[tuple[str, ...], Trial]

    @classmethod
    def of(cls, out: Path | None) -> Trials:
        lines = out.read_text(encoding="utf-8").splitlines() if out is not None and out.exists() else []
        trials = [trial for line in lines for trial in told(json.loads(line))]
        trials.sort(key=lambda item: item.refused != "")  # What was refused once stays refused.
        return cls(out, {item.key: item for item in trials})

    def add(self, asked: Trial, run: Callable[[], tuple[int, str]]) -> None:
        """Run a trial that is not known yet, and keep it."""
        if asked.key in self.known:
            return
        runs, refused = run()
        trial = self.known[asked.key] = replace(asked, runs=runs, refused=refused)
        if self.out is not None:
            with self.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(trial)) + "\n")

    def counted(self, what: str) -> list[Trial]:
        """Those of what the repository holds now."""
        texts = {text_of(path) for path in (*kernel_files(), RAW)}
        return [
            item
            for item in self.known.values()
            if item.what == what and item.under == under(what) and item.text in texts
        ]


def named(path: Path) -> str:
    """Its file in the repository, without the folder in the library whose name changes with the task."""
    parts = path.relative_to(ROOT).parts
    return "/".join(part for part in parts if not DIGEST.fullmatch(part))


def text_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12]


@cache
def under(what: str) -> str:
    """What a trial stands for besides its kernel."""
    from warpsmith.sandbox.edition import EDITION
    from warpsmith.sandbox.emulator.vm import bindings
    from warpsmith.sandbox.emulator.vm.digest import source_digest

    return EDITION if what == "evaluation" else source_digest(bindings.FOLDER)[:12]


def kernel_files() -> list[Path]:
    """One file of each text: what ships is often a seed, unchanged."""
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in (".cu", ".py"))
    kernels = sorted((path for path in files if HEAD.search(path.read_text(encoding="utf-8"))), reverse=True)
    return sorted({text_of(path): path for path in kernels}.values())


def tasks() -> dict[str, Task]:
    """Every task of the repository by name: those that ship, the examples', the tests'."""
    from warpsmith.tasks import find_tasks, load_task

    paths = [task.path for task in find_tasks()]
    for folder in ("examples/tasks", "tests/cheats", "tests/emulated"):
        paths += [path for path in (ROOT / folder).rglob("*.py") if TASK.search(path.read_text("utf-8"))]
    loaded = [load_task(path) for path in paths]
    return {task.name: task for task in loaded}


def by_task(paths: Sequence[Path]) -> list[list[Path]]:
    """Kernels that share a task share its bench inputs, where one process has them."""
    from warpsmith.core.kernel_file import parse_kernel_file

    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(parse_kernel_file(path.read_text(encoding="utf-8")).task, []).append(path)
    return list(found.values())


def require_tasks(paths: Sequence[Path], known: Mapping[str, Task]) -> None:
    """End here, not after an hour, where a kernel's task is nowhere."""
    from warpsmith.core.kernel_file import parse_kernel_file

    for path in paths:
        task = parse_kernel_file(path.read_text(encoding="utf-8")).task
        if task not in known:
            raise SystemExit(f"{path}: no task {task} among {', '.join(FOLDERS)} and those that ship")


def try_kernel(path: Path, known: Mapping[str, Task], trials: Trials, options: argparse.Namespace, cache: Path) -> None:
    """One kernel file under schedules, then in evaluations until the time is up."""
    from warpsmith import app
    from warpsmith.core.kernel_file import parse_kernel_file
    from warpsmith.sandbox.builds import Builds

    text, name = path.read_text(encoding="utf-8"), named(path)
    kernel = parse_kernel_file(text)
    gate = app.gate(known[kernel.task], arch="sm_80" if kernel.language == "triton" else "sm_90", cache=cache)
    for case, seed, run in schedules(kernel, gate, options.seeds):
        trials.add(Trial(name, "schedules", case, seed, 0, text_of(path), under("schedules")), run)
    builds = Builds(kernel, gate.task, first_and_last(kernel)[0], gate.arch, gate.compiler)
    if not all(builds.inside(workload) for workload in gate.task.bench):
        return  # A kernel that does not claim what is timed is no candidate.
    end = time.process_time() + options.seconds
    for seed in range(options.evaluations):
        if time.process_time() >= end:
            return
        asked = Trial(name, "evaluation", "", seed, 0, text_of(path), under("evaluation"))
        trials.add(asked, partial(evaluated, gate, text, seed))


def try_kernels(paths: Sequence[Path], options: argparse.Namespace, folder: Path) -> list[Trial]:
    """Kernels of one process, and all that is known of any then."""
    known, trials = tasks(), Trials.of(options.out)
    for path in paths:
        try_kernel(path, known, trials, options, folder)
    return list(trials.known.values())


def schedules(kernel: KernelFile, gate: Gate, seeds: int) -> Iterator[tuple[str, int, Callable[[], tuple[int, str]]]]:
    """(case, seed, trial) for first and last knobs; what does not fit the kernel's domain is left out."""
    from warpsmith.sandbox.builds import Builds
    from warpsmith.sandbox.gate.trials import SCHEDULES

    for knobs in first_and_last(kernel) if seeds else ():
        builds = Builds(kernel, gate.task, knobs, gate.arch, gate.compiler)
        for workload in smallest(builds, gate.task):
            for seed in range(seeds // SCHEDULES):
                yield f"{workload.name} {knobs or ''}".strip(), seed, partial(scheduled, builds, gate, workload, seed)


def scheduled(builds: Builds, gate: Gate, workload: Workload, seed: int) -> tuple[int, str]:
    """Two schedules that share inputs, must agree, and must be right."""
    from warpsmith.core.outcome import Wrong
    from warpsmith.sandbox.gate.coverage import Ledger
    from warpsmith.sandbox.gate.trials import SCHEDULES, Trials

    trials = Trials(builds.task, builds, gate.launcher, seed, Ledger(builds))
    outcome = trials.run(workload)
    compared = trials.compare() if outcome is None else ()
    return SCHEDULES, said(compared if isinstance(compared, Wrong) else outcome)


def evaluated(gate: Gate, text: str, seed: int) -> tuple[int, str]:
    from warpsmith.sandbox.gate.stages import read_candidate

    outcome = gate.evaluate(read_candidate(text), seed=seed).outcome
    return 1, "" if outcome.kind == "Verified" else said(outcome)


def said(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    at = getattr(outcome, "workload", None)
    return f"{outcome.kind}: {getattr(outcome, 'message', '')}" + (f" ({at})" if at else "")


def first_and_last(kernel: KernelFile) -> list[dict[str, int]]:
    every = kernel.assignments()
    return [every[0], every[-1]] if len(every) > 1 else list(every)


def smallest(builds: Builds, task: Task) -> Iterator[Workload]:
    """The cheapest verify workload for every set of launches and build."""
    from warpsmith.core.kernel_file import dims_of

    seen = set()
    for workload in sorted(filter(builds.inside, task.verify), key=lambda item: task.cost(dims_of(task, item)).work):
        problem = builds.build(workload)
        if problem is not None:
            raise SystemExit(f"{task.name} at {workload.name}: {problem}")
        launches = tuple(sorted({step.line for step in builds.plan(workload).launches}))
        if launches and (builds.key(workload), launches) not in seen:
            seen.add((builds.key(workload), launches))
            yield workload


def try_raw(trials: Trials, seeds: int, folder: Path) -> None:
    """The tests' own kernels, run by their tests under more schedules."""
    text, of = text_of(RAW), under("schedules")
    if any(item.kernel.startswith("raw: ") and (item.text, item.under) == (text, of) for item in trials.known.values()):
        return
    report = folder / "raw.json"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", f"--schedules={seeds}"]
    run = subprocess.run([*command, f"--alarms={report}", str(RAW)], cwd=ROOT, check=False, stdout=sys.stderr)
    if run.returncode or not report.exists():
        raise SystemExit(f"{RAW.name} failed")
    for line in report.read_text().splitlines():
        item = json.loads(line)
        answer = (item["runs"], "; ".join(item["alarms"]))
        asked = Trial(f"raw: {item['kernel']}", "schedules", item["target"], 0, 0, text, of)
        trials.add(asked, partial(lambda found: found, answer))


def most_refused(refused: int, trials: int) -> float:
    """Upper end of the exact one-sided interval for a share (Clopper and Pearson), at `CERTAINTY`, by bisection."""
    if refused >= trials:
        return 1.0
    low, high = refused / trials, 1.0
    for _ in range(60):
        share = (low + high) / 2
        so_few = sum(comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(refused + 1))
        low, high = (share, high) if so_few > 1 - CERTAINTY else (low, share)
    return high


def figures(found: Sequence[Trial]) -> dict[str, Any]:
    """Of one kind of trial: how many, of what, and the share that was refused."""
    each = Counter(item.tried for item in found)
    refused = [item for item in found if item.refused]
    return {
        "kernels": len(each),
        "trials": len(found),
        "runs": sum(item.runs for item in found),
        "trials_a_kernel": {"least": min(each.values(), default=0), "most": max(each.values(), default=0)},
        "refused": len(refused),
        "false_reject_rate": len(refused) / max(len(found), 1),
        "false_reject_rate_at_most": round(most_refused(len(refused), len(found)), 5) if found else 1.0,
        "refusals": [
            f"{item.kernel}, {item.case or 'whole gate'}, seed {item.seed}: {item.refused}" for item in refused
        ],
    }


def shortened(trials: Sequence[Trial]) -> str:
    """The file of trials with one line for all seeds that went alike."""
    names = ("kernel", "what", "case", "runs", "text", "under", "refused")
    alike: dict[tuple[Any, ...], list[int]] = {}
    for item in trials:
        alike.setdefault(tuple(getattr(item, name) for name in names), []).append(item.seed)
    return "".join(
        json.dumps({**dict(zip(names, key, strict=True)), "seeds": sorted(seeds)}) + "\n"
        for key, seeds in alike.items()
    )


def main() -> int:
    """Try what was asked for, or everything."""
    from warpsmith.settings import ask_for_large_pages, let_threads_sleep

    let_threads_sleep()
    ask_for_large_pages()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="*", type=Path)
    parser.add_argument("--seeds", type=int, default=50, help="schedules of each workload")
    parser.add_argument("--evaluations", type=int, default=50, help="evaluations of each kernel, at most")
    parser.add_argument("--seconds", type=float, default=60, help="processor time for one kernel's evaluations")
    parser.add_argument("--jobs", type=int, default=1, help="processes; each takes the kernels of one task at a time")
    parser.add_argument("--out", type=Path, help="file of trials, one a line; those it holds are not run again")
    options = parser.parse_args()
    known, paths = tasks(), [path.resolve() for path in options.kernels] or kernel_files()
    require_tasks(paths, known)
    trials = Trials.of(options.out)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as processes,
    ):
        started = [
            processes.submit(try_kernels, group, options, Path(folder, str(number)))
            for number, group in enumerate(by_task(paths))
        ]
        for found in as_completed(started):
            trials.known |= {item.key: item for item in found.result()}
        if not options.kernels and options.seeds:
            try_raw(trials, options.seeds, Path(folder))
    if options.out is not None:
        options.out.write_text(shortened(list(trials.known.values())), encoding="utf-8")
    report = {what: figures(trials.counted(what)) for what in ("schedules", "evaluation")}
    print(json.dumps({**report, "certainty": CERTAINTY}, indent=2))
    return 1 if any(item["refused"] for item in report.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
