"""Fills the library that ships: `builtin` optimises every task, recorded runs of language models are played again.

    python benchmarks/fill_library.py [--rounds 5] [--library kernels_generated] [TASK ...]

Every kernel goes through today's gate. Each task has a store of its own below --work, so a second call goes on where
the first one was interrupted: tasks whose run has ended are left alone. Afterwards docs/results.md is written anew.
Without a GPU times are modelled. The slowest tasks take many minutes each.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from warpsmith.kernels_generated.library import list_entries
from warpsmith.leaderboard.results import results_page
from warpsmith.tasks import find_tasks

ROOT = Path(__file__).resolve().parents[1]
RECORDINGS = ROOT / "examples" / "runs"
PAGE = ROOT / "docs" / "results.md"
WARPSMITH = (sys.executable, "-m", "warpsmith")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("tasks", nargs="*", help="default: every task that ships")
    parser.add_argument("--rounds", type=int, default=5, help="candidates a task")
    parser.add_argument("--arch", default="h200")
    parser.add_argument("--library", type=Path, default=ROOT / "kernels_generated")
    parser.add_argument("--work", type=Path, default=ROOT / ".demo" / "fill", help="folder of the runs' stores")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    failed = []
    for task in chosen.tasks or [item.name for item in find_tasks()]:
        optimise = ["optimize", task, "--arch", chosen.arch, "--rounds", str(chosen.rounds)]
        if not ran(optimise, chosen.work / f"{task}.sqlite", chosen.library):
            failed.append(task)
    for recording in sorted(RECORDINGS.glob("*.jsonl")):
        task = recording.stem.partition("-")[0]  # a task's second recording says after a dash what it is
        if task not in (chosen.tasks or [task]):
            continue
        if not ran(["replay", str(recording)], chosen.work / f"{recording.stem}-recorded.sqlite", chosen.library):
            failed.append(recording.name)
    if chosen.library.resolve() == ROOT / "kernels_generated":
        PAGE.write_text(results_page(list_entries(chosen.library).entries), encoding="utf-8")
    if failed:
        print(f"no kernel accepted, or not as recorded: {', '.join(failed)}")
    return 1 if failed else 0


def ran(command: list[str], store: Path, library: Path) -> bool:
    """Whether the run ended well; one that was ended before is not begun again."""
    done = store.with_suffix(".done")
    if done.exists():
        return done.read_text() == "0"
    if store.exists():
        command = ["resume"]
    where = ["--store", str(store)] + (["--library", str(library)] if command != ["resume"] else [])
    code = subprocess.run([*WARPSMITH, *command, *where], check=False).returncode
    if code in (0, 1):
        done.write_text(str(code))
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
