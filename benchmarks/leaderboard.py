"""The leaderboard at scale: a made-up library and store, the site written from them, the terminal's board; JSON out.

    python benchmarks/leaderboard.py [--kernels 10000] [--runs 1000] [--folder DIR]

Kernels and runs are copies of one recorded run under other names, spread over made-up tasks. Goals on two cores:
the site in 60 s, the terminal's board in 1 s, both by the wall clock, in a process of their own. `terminal_first` reads
every kernel, as is done once; `terminal` has the index that the first one left. With `--folder` library and store are
kept there, and used again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from warpsmith.core.candidate import Candidate
from warpsmith.core.events import Accepted, Called, Evaluated, Event, Proposed, RunStarted
from warpsmith.core.protocols import Circumstances, Evaluation
from warpsmith.core.task import Task
from warpsmith.kernels_generated.accept import write_kernel
from warpsmith.kernels_generated.index import SETTLED_SECONDS
from warpsmith.kernels_generated.manifest import Lineage
from warpsmith.sandbox.edition import EDITION
from warpsmith.store import Store
from warpsmith.store.recording import read_recording
from warpsmith.tasks.find import source_digest
from warpsmith.tasks.load import load_task

RECORDING = Path(__file__).parents[1] / "examples" / "runs" / "spconv_forward.jsonl"
TASKS = 40
"""Boards that the kernels are spread over."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "store.sqlite").exists():
            folder.mkdir(parents=True, exist_ok=True)
            fill(folder, options.kernels, options.runs)
        print(json.dumps(measure(folder, Path(scratch)), indent=2))


def measure(folder: Path, scratch: Path) -> dict[str, object]:
    """Figures over a library and a store; pages and index go to `scratch`."""
    where = ["--library", str(folder / "library"), "--store", str(folder / "store.sqlite")]
    os.environ["WARPSMITH_CACHE"] = str(scratch / "cache")
    site = scratch / "site"
    # An index keeps what has been still for some seconds.
    time.sleep(SETTLED_SECONDS + 1)
    figures: dict[str, object] = {
        "kernels": sum(1 for _ in (folder / "library").glob("*/*/kernel.json")),
        "terminal_first": timed(["leaderboard", *where]),
        "terminal": [timed(["leaderboard", *where]) for _ in range(5)],
        "site": timed(["leaderboard", "--html", str(site), *where]),
    }
    sizes = [page.stat().st_size for page in site.rglob("*.html")]
    with Store.open(folder / "store.sqlite") as store:
        runs = len(store.run_names())
    return {**figures, "runs": runs, "pages": len(sizes), "largest_page_bytes": max(sizes), "site_bytes": sum(sizes)}


def timed(command: list[str]) -> dict[str, float]:
    """Seconds of the wall clock and of the processor that a command took, and how busy the machine was."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-m", "warpsmith", *command], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall_s": round(wall, 2), "processor_s": round(spent, 2), "load_average": round(os.getloadavg()[0], 2)}


def fill(folder: Path, kernels: int, runs: int) -> None:
    """Write the library and the store."""
    with Store.open(folder / "recorded.sqlite") as recorded, Store.open(folder / "store.sqlite") as store:
        tasks = write_tasks(folder / "tasks")
        name = read_recording(RECORDING, recorded)
        events = recorded.events(name)
        for event in events:
            for digest in texts_of(event):
                store.put_text(recorded.get_text(digest))
        for number in range(runs):
            for at, event in enumerate(renamed(events, number, tasks[number % TASKS])):
                store.append(f"run-{number:05}", event, at=at)
        write_kernels(folder, recorded, events, kernels, runs, tasks)


def texts_of(event: Event) -> tuple[str, ...]:
    match event:
        case Proposed():
            return (event.text_digest,)
        case Called():
            return tuple(digest for digest in (event.prompt, event.reply) if digest)
    return ()


def write_tasks(folder: Path) -> list[Task]:
    """The recorded run's task under other names, each in a file of its own."""
    task = load_task("spconv_forward")
    text = Path(task.path).read_text(encoding="utf-8")
    folder.mkdir()
    made_up = []
    for number in range(TASKS):
        path = folder / f"task_{number}.py"
        path.write_text(text.replace("spconv_forward", path.stem), encoding="utf-8")
        made_up.append(replace(task, name=path.stem, path=str(path), source_digest=source_digest(path)))
    return made_up


def renamed(events: tuple[Event, ...], number: int, task: Task) -> Iterator[Event]:
    """A run's events as another run's, of a made-up task."""
    about = {"task": task.name, "task_path": task.path, "task_digest": task.source_digest}
    for event in events:
        match event:
            case RunStarted():
                yield event.model_copy(update={"run": f"run-{number:05}", **about})
            case _:
                yield event


def write_kernels(
    folder: Path, store: Store, events: tuple[Event, ...], kernels: int, runs: int, tasks: list[Task]
) -> None:
    """The recorded run's accepted candidate under one knob value each."""
    accepted = next(event for event in events if isinstance(event, Accepted))
    proposed = next(it for it in events if isinstance(it, Proposed) and it.candidate == accepted.candidate)
    found = next(it for it in events if isinstance(it, Evaluated) and it.evaluation.candidate == accepted.candidate)
    text = store.get_text(proposed.text_digest)
    for number in range(kernels):
        task = tasks[number % TASKS]
        candidate = Candidate(task=task.name, language="cuda", text=text, knobs={"N": number})
        lineage = Lineage(run=f"run-{number % runs:05}", coder="builtin", judge="builtin", strategy="refine", rounds=7)
        created = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
        evaluation = faster(found.evaluation, candidate, 1 + number / kernels)
        write_kernel(folder / "library", candidate, evaluation, task=task, lineage=lineage, created=created)


def faster(evaluation: Evaluation, candidate: Candidate, factor: float) -> Evaluation:
    """The evaluation as the candidate's, so many times as fast."""
    profile = evaluation.profile
    if profile is None:
        raise ValueError("the recorded run's winner has a profile")
    workloads = tuple(
        item.model_copy(
            update={"duration": item.duration.model_copy(update={"us": item.duration.us / factor, "low_us": None})}
        )
        for item in profile.workloads
    )
    profile = profile.model_copy(update={"candidate": candidate.identity, "workloads": workloads})
    about = {"candidate": candidate.identity, "circumstances": Circumstances(gate=EDITION)}
    return evaluation.model_copy(update={**about, "profile": profile})


if __name__ == "__main__":
    main()
