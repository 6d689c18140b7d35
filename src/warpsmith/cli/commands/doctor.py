"""`warpsmith doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warpsmith.cli.options import Json, Library, StoreFile
from warpsmith.cli.output import BROKEN_MACHINE, GOOD, console, emit

if TYPE_CHECKING:
    from warpsmith.doctor import Finding


def doctor(library: Library = None, store: StoreFile = None, as_json: Json = False) -> int:
    """Say what this machine has and lacks, and what to do about it."""
    from dataclasses import replace

    from warpsmith.doctor import examine, works
    from warpsmith.settings import read_settings

    settings = read_settings()
    settings = replace(settings, library=library or settings.library, store=store or settings.store)
    findings = examine(settings)
    good = works(findings)
    if as_json:
        emit({"works": good, "findings": [item.model_dump(mode="json") for item in findings]})
    else:
        _show(findings)
        console().print(
            "\nKernels can be compiled and emulated here." if good else "\n[red]The emulator path is broken.[/]"
        )
    return GOOD if good else BROKEN_MACHINE


def _show(findings: tuple[Finding, ...]) -> None:
    from rich.markup import escape

    out, colours = console(), {"ok": "green", "warning": "yellow", "missing": "red"}
    for item in findings:
        state = item.state.value
        remedy = f"  ({item.remedy})" if item.remedy else ""
        out.print(f"[{colours[state]}]{state:<8}[/] {item.name:<18} {escape(item.detail)}{escape(remedy)}")
