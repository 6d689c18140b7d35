"""The page of results: every kernel of a library at every bench workload, and what holds it back there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from warpsmith.core.profile import Profile, WorkloadProfile
from warpsmith.kernels_generated.library import Entry
from warpsmith.kernels_generated.manifest import Cost, Manifest

TITLES = ("workload", "time us", "source", "bound us", "bound by", "of bound", "held back by")
_OPENING = """# Results

Written by `warpsmith leaderboard --format results` from the kernels that ship. **Modelled** times are
derived from counts of the emulator and have not been compared with silicon; **measured** ones come from a GPU. The
bound is the speed of light of the target for the task's work. What holds a kernel back is the limit of its longest
launch at that workload, with that launch's share of the time.
"""


def results_page(entries: Iterable[Entry]) -> str:
    """Markdown: a section for each task, target and source of times; in it the kernels, the best first."""
    ranked = sorted(entries, key=lambda item: (*_board(item.manifest), -item.manifest.fraction, item.digest))
    sections = [_section(board, list(kernels)) for board, kernels in groupby(ranked, lambda it: _board(it.manifest))]
    return "\n".join([_OPENING, *sections])


def _board(manifest: Manifest) -> tuple[str, str, str]:
    return manifest.task, manifest.target, manifest.source.value


def _section(board: tuple[str, str, str], entries: list[Entry]) -> str:
    task, target, source = board
    return f"## {task} on {target}, times {source}\n\n" + "\n".join(_kernel(entry) for entry in entries)


def _kernel(entry: Entry) -> str:
    manifest = entry.manifest
    lineage = manifest.lineage
    evaluation = entry.evaluation()
    limits = _limits(evaluation.profile) if evaluation else {}
    ratios = [f"{ratio:.2f}x {name}" for name, ratio in sorted(manifest.baselines.items())]
    if manifest.speedup_over_seed:
        ratios.append(f"{manifest.speedup_over_seed:.2f}x the naive seed")
    lines = [
        f"Kernel `{entry.digest[:12]}` ({manifest.language}) by **{lineage.coder}**, judge {lineage.judge}: "
        f"**{manifest.fraction:.1%} of the bound**, {', '.join(ratios) or 'no ratio known'} (geometric means). "
        f"{_cost(lineage.rounds, lineage.cost)}",
        "",
        _row(TITLES),
        _row(["---"] * len(TITLES)),
    ]
    for item in manifest.workloads:
        figures = (f"{item.time_us:.2f}", item.source.value, f"{item.bound_us:.2f}", item.bound_limit)
        lines.append(_row([item.workload, *figures, f"{item.fraction:.1%}", limits.get(item.workload, "not kept")]))
    return "\n".join(lines) + "\n"


def _cost(rounds: int, cost: Cost | None) -> str:
    if cost is None:
        return f"{rounds} rounds; cost not known."
    price = "price unknown" if cost.dollars is None else f"${cost.dollars:.2f}"
    asked = f"{cost.calls} calls of models, {cost.tokens} tokens, {price}" if cost.calls else "no model asked, $0.00"
    return f"{rounds} rounds, {cost.evaluations} evaluations, {asked}."


def _limits(profile: Profile | None) -> dict[str, str]:
    return {item.workload: _limit(item) for item in profile.workloads} if profile else {}


def _limit(item: WorkloadProfile) -> str:
    longest = max(item.launches, key=lambda launch: launch.duration.us)
    whole = sum(launch.duration.us for launch in item.launches)
    return f"{longest.limiter} in {longest.kernel} ({longest.duration.us / whole:.0%})"


def _row(cells: Iterable[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(escaped)} |"
