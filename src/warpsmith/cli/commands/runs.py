"""`warpsmith runs`: what was recorded."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from warpsmith.cli.options import Json, StoreFile
from warpsmith.cli.output import GOOD, console, emit, say

if TYPE_CHECKING:
    from warpsmith.core.ledger import Ledger, LedgerLine

program = typer.Typer(help="List recorded runs, show what one did and cost, write one to a file.", no_args_is_help=True)

RunName = Annotated[str | None, typer.Argument(help="Run; default: the latest.", metavar="[RUN]")]


@program.command("list")
def list_runs(store: StoreFile = None, as_json: Json = False) -> int:
    """List every run, newest first."""
    from warpsmith.settings import read_settings
    from warpsmith.store.archive import reading

    path = (store or read_settings().store).expanduser()
    with reading(path) if path.exists() else nullcontext() as opened:
        found = opened.runs() if opened else ()
    if as_json:
        fields = ("run", "task", "target", "device", "events", "started_at", "updated_at", "last_reason", "resumable")
        emit({"runs": [{name: getattr(run, name) for name in fields} for run in found]})
        return GOOD
    out = console()
    for run in found:
        state = run.last_reason or "cut off or running"
        out.print(f"{run.run}  {run.task} on {run.target}, {run.events} events, {state}", markup=False)
    if not found:
        say(f"{path} holds no run. Start one: warpsmith optimize TASK.")
    return GOOD


@program.command("show")
def show_run(run: RunName = None, store: StoreFile = None, as_json: Json = False) -> int:
    """Show what a run came to, and its ledger: calls, tokens, dollars, seconds."""
    from warpsmith import runs
    from warpsmith.cli.runs import show
    from warpsmith.settings import read_settings

    summary, ledger = runs.show(run, store=store or read_settings().store)
    if as_json:
        emit({**summary.model_dump(mode="json"), "ledger": [line.model_dump(mode="json") for line in ledger.lines]})
        return GOOD
    out = console()
    out.print(f"run {summary.run}", markup=False)
    show(summary, out)
    out.print(table(ledger))
    return GOOD


@program.command("export")
def export_run(
    run: Annotated[str, typer.Argument(help="Run.", metavar="RUN")],
    file: Annotated[Path, typer.Argument(help="File to write, JSON lines.", metavar="FILE")],
    store: StoreFile = None,
    as_json: Json = False,
) -> int:
    """Write a run with all its prompts, replies and kernels to one text file, for `replay`."""
    from warpsmith.settings import read_settings
    from warpsmith.store.archive import reading
    from warpsmith.store.recording import write_recording

    with reading(store or read_settings().store) as opened:
        events = write_recording(opened, run, file)
    if as_json:
        emit({"run": run, "file": str(file), "events": events})
    else:
        console().print(f"{events} events of {run} written to {file}", markup=False)
    return GOOD


def table(ledger: Ledger) -> object:
    """The ledger as a table."""
    from rich.table import Table

    found = Table(box=None, pad_edge=False)
    for title in ("phase", "what"):
        found.add_column(title)
    for title in ("times", "failed", "tokens in", "cached", "tokens out", "dollars", "seconds", "waited s"):
        found.add_column(title, justify="right")
    for line in ledger.lines:
        found.add_row(line.phase, line.what, *_numbers(line))
    return found


def _numbers(line: LedgerLine) -> tuple[str, ...]:
    usage, about = line.usage, "~" if line.usage.estimated else ""
    dollars = f"{line.dollars:.4f}" if not line.unpriced else "unknown"
    thinks = line.what != "gate"
    tokens = (f"{about}{usage.input_tokens}", f"{usage.cached_tokens}", f"{about}{usage.output_tokens}", dollars)
    failed = str(line.failed) if thinks else ""
    return (str(line.times), failed, *(tokens if thinks else [""] * 4), f"{line.seconds:.1f}", f"{line.waited:.1f}")
