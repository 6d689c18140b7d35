"""`warpsmith library list | verify`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from warpsmith.cli.options import Json, Library, StoreFile
from warpsmith.cli.output import GOOD, UNHAPPY, console, emit

if TYPE_CHECKING:
    from warpsmith.certification import Report

program = typer.Typer(
    help="List accepted kernels and whether their verdicts hold; judge them again.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)

Choice = Annotated[
    str | None, typer.Argument(help="Task, or first digits of a kernel's digest; default: all.", metavar="[KERNEL]")
]


@program.command("list")
def list_library(kernel: Choice = None, library: Library = None, as_json: Json = False) -> int:
    """List every kernel: current, stale (and why), or refused (and why)."""
    from warpsmith.certification import standings
    from warpsmith.settings import read_settings

    return _show(standings(library or read_settings().library, kernel), as_json=as_json, strict=False)


@program.command("verify")
def verify_library(
    kernel: Choice = None,
    stale: Annotated[bool, typer.Option("--stale", help="Only those whose verdict no longer holds.")] = False,
    library: Library = None,
    store: StoreFile = None,
    as_json: Json = False,
) -> int:
    """Take kernels through the whole gate again, on fresh inputs: renew what passes, refuse what fails from now on."""
    from warpsmith.certification import certify
    from warpsmith.settings import read_settings

    settings = read_settings()
    reports = certify(library or settings.library, store or settings.store, kernel, stale=stale)
    return _show(reports, as_json=as_json, strict=True)


def _show(found: Iterable[Report], *, as_json: bool, strict: bool) -> int:
    from warpsmith.certification import worst

    reports: list[Report] = []
    for report in found:
        reports.append(report)
        if not as_json:
            console().print(_line(report), markup=False, highlight=False, soft_wrap=True)
    if as_json:
        emit({"kernels": [report.model_dump(mode="json") for report in reports]})
    elif reports:
        counts = Counter(report.standing.value for report in reports)
        console().print(", ".join(f"{count} {standing}" for standing, count in counts.items()))
    else:
        console().print("No kernels.")
    return UNHAPPY if strict and worst(reports) else GOOD


def _line(report: Report) -> str:
    what = f"{report.kernel[:12]}  {report.task} on {report.target}, {report.source}" if report.kernel else report.path
    return f"{report.standing.value:<9}  {what}" + (f": {report.reason}" if report.reason else "")
