"""compute-sanitizer: what to run, and which Outcome its reports stand for.

The report's words are those of the Compute Sanitizer 2025 documentation ("Memcheck Tool", "Racecheck Tool", "Initcheck
Tool", "Synccheck Tool"), one paragraph of `=========` lines a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from warpsmith.core.outcome import BarrierMisuse, Crashed, Outcome, OutOfBounds, Racy, Stage, Uninitialised
from warpsmith.core.record import Record

MOST_REPORTS = 10
"""Findings printed; the first decides."""
MOST_DETAILS = 8


class Tool(StrEnum):
    """compute-sanitizer's checkers, the most telling first."""

    MEMCHECK = "memcheck"
    RACECHECK = "racecheck"
    INITCHECK = "initcheck"
    """Sees memory that the launcher left alone: a poisoned buffer counts as written."""
    SYNCCHECK = "synccheck"


class Sanitized(Record):
    """One checker's answer."""

    tool: Tool
    ran: bool
    """False where the checker itself could not: `reason` says why, and nothing is known."""
    failure: Outcome | None = None
    reason: str = ""


def command(sanitizer: str, tool: Tool, log: Path, program: Sequence[str]) -> list[str]:
    """Run `program`, and the processes it starts, under one checker."""
    return [
        sanitizer,
        *("--tool", tool.value, "--target-processes", "all", "--show-backtrace", "no"),
        *("--print-limit", str(MOST_REPORTS), "--log-file", str(log)),
        *program,
    ]


def parse(tool: Tool, text: str) -> Sanitized:
    """Read a log: no finding, a candidate's failure, or a checker that did not work."""
    for paragraph in _paragraphs(text):
        failure = _failure(tool, paragraph)
        if failure is not None:
            return Sanitized(tool=tool, ran=True, failure=failure)
    broken = _BROKEN.search(text)
    if broken:
        return Sanitized(tool=tool, ran=False, reason=f"compute-sanitizer says: {broken.group(1).strip()}")
    if not _SUMMARY.search(text):
        return Sanitized(tool=tool, ran=False, reason="compute-sanitizer ended before its summary")
    counted = _SUMMARY.search(text)
    if counted and int(counted.group(1)):
        reason = f"compute-sanitizer counts {counted.group(1)} findings of a kind this version cannot read"
        return Sanitized(tool=tool, ran=False, reason=reason)
    return Sanitized(tool=tool, ran=True)


_SUMMARY = re.compile(r"^=+\s+(?:ERROR|RACECHECK) SUMMARY:\s+(\d+)", re.MULTILINE)
_BROKEN = re.compile(
    r"^=+\s+((?:Error: )?(?:Device not supported|Internal Sanitizer Error|No attachable process|Target application|"
    r"Unable to|Sanitizer (?:is|not)|Failed to|Could not)[^\n]*)",
    re.MULTILINE,
)
_LINE = re.compile(r"(?:^|[\s/])candidate\.cu:(\d+)")
"""The compiler was told this name for the kernel file (`compile/diagnostics.py`); headers have others."""


def _paragraphs(text: str) -> Iterator[list[str]]:
    """Lines of each finding, without their rule; a headline is indented by one blank, what follows by more."""
    found: list[str] = []
    for line in text.splitlines():
        body = line.lstrip("=") if line.startswith("=====") else ""
        detail = body.startswith("     ")
        if found and not detail:
            yield found
            found = []
        if body.strip() and (detail == bool(found)):
            found.append(body.strip())
    if found:
        yield found


def _failure(tool: Tool, paragraph: list[str]) -> Outcome | None:
    headline, *rest = paragraph
    kinds: tuple[tuple[str, Callable[..., Outcome]], ...] = (
        (r"Uninitialized \S+ memory (?:read|access)", Uninitialised),
        (r"Barrier error detected", BarrierMisuse),
        (r"(?:Error|Warning): Race reported|(?:Potential )?(?:WAW|WAR|RAW) hazard", Racy),
        (r"Misaligned|Invalid __\w+__ \w+ of size .* misaligned", Crashed),
        (r"Invalid (?:__\w+__ )?(?:read|write|atomic)", OutOfBounds),
        (r"(?:Stack overflow|Illegal instruction|Trap|Warp assert|Unknown error)", Crashed),
    )
    if tool is Tool.RACECHECK and headline.startswith("Warning:"):
        # Racecheck's warnings are hazards that the program's order already rules out, as far as it can tell.
        return None
    whole = " ".join(paragraph)
    for pattern, kind in kinds:
        if re.search(pattern, headline):
            chosen = Crashed if kind is OutOfBounds and "is misaligned" in whole else kind
            return _made(chosen, tool, headline, rest)
    return None


def _made(kind: Callable[..., Outcome], tool: Tool, headline: str, rest: list[str]) -> Outcome:
    named = _LINE.search(" ".join([headline, *rest]))
    threads = [text for text in rest if text.startswith("by thread")]
    where = f", {threads[0]}" if threads else ""
    return kind(
        stage=Stage.PROFILE,
        message=f"compute-sanitizer's {tool.value}: {headline.rstrip('.')}{where}.",
        line=int(named.group(1)) if named else None,
        details=tuple([headline, *rest][:MOST_DETAILS]),
    )
