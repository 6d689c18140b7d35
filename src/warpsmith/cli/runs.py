"""Follow a run: its progress while it lasts, its summary at the end, how to go on when it is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from warpsmith.cli.output import GOOD, UNHAPPY, console, emit

if TYPE_CHECKING:
    from rich.console import Console

    from warpsmith.core.events import Event
    from warpsmith.core.summary import RunSummary

    Work: TypeAlias = Callable[[Callable[[Event], None]], RunSummary]


def follow(work: Work, *, store: Path, as_json: bool) -> int:
    """Run `work`, showing its events; return 0 where a kernel was accepted, 1 otherwise.

    Raises:
        Interrupted: by Ctrl-C; its remedy resumes the run.
    """
    from warpsmith.cli.progress import Progress
    from warpsmith.core.errors import Interrupted, ModelError
    from warpsmith.core.events import StopReason

    with Progress(console(stderr=as_json)) as progress:
        try:
            summary = work(progress.observe)
        except KeyboardInterrupt:
            summary = None
        except ModelError as error:
            if progress.run:
                error.remedy = f"{error.remedy} Then: warpsmith resume {progress.run} --store {store}".strip()
            raise
    if summary is None or progress.reason is StopReason.INTERRUPTED:
        remedy = f"Continue with: warpsmith resume {progress.run} --store {store}" if progress.run else ""
        raise Interrupted("the run was interrupted.", remedy=remedy)
    if as_json:
        emit(summary.model_dump(mode="json"))
    else:
        show(summary, console())
    return GOOD if summary.accepted else UNHAPPY


def show(summary: RunSummary, out: Console) -> None:
    """Print what a run came to."""
    from rich.markup import escape

    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(summary.outcomes.items())) or "no candidate"
    rounds = f"{summary.rounds} round{'' if summary.rounds == 1 else 's'}"
    out.print(f"\n[bold]{escape(summary.task)}[/] on {summary.target}: {rounds}, {counts}")
    if summary.workloads:
        out.print(_workloads(summary))
    if summary.speedup_over_seed is not None:
        out.print(f"{summary.speedup_over_seed:.2f}x the naive seed (geometric mean)")
    if summary.kernel is not None and summary.accepted:
        out.print(f"[green]accepted[/] {summary.kernel.digest[:12]}  {escape(str(summary.kernel.path))}")
    else:
        out.print("[yellow]no improvement accepted[/]")


def _workloads(summary: RunSummary) -> object:
    from rich.table import Table

    source = summary.workloads[0].source.value
    table = Table(box=None, pad_edge=False)
    table.add_column("workload")
    for title in (f"time us ({source})", "bound us", "of bound", "over seed"):
        table.add_column(title, justify="right")
    for item in summary.workloads:
        over = f"{item.speedup_over_seed:.2f}x" if item.speedup_over_seed else "-"
        table.add_row(item.name, f"{item.time_us:.2f}", f"{item.bound_us:.2f}", f"{item.fraction:.1%}", over)
    return table
