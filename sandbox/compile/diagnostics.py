"""The compiler's log, cut down to what concerns the candidate.

NVRTC quotes source lines of whatever file it reads. Only the candidate's own lines are passed on; of other
files the name and the message, and only where they are the SDK's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

CANDIDATE, PLAN, PREAMBLE = "candidate.cu", "launch-plan", "preamble"
OWN = (CANDIDATE, PLAN, PREAMBLE)
_NAMES = "__nv_name_map"
_HEAD = re.compile(
    r"(?P<file>[^\n]+?)\((?P<line>\d+)\): (?P<severity>(?:catastrophic )?error|warning|remark)"
    r"(?: #(?P<number>\d+)-D)?: (?P<text>.*)"
)
_PTXAS = re.compile(r"ptxas (?:.*?, line (?P<line>\d+); )?\s*(?:error|fatal)\s*: (?P<text>.*)")
_INSTANTIATED = re.compile(r"at line (\d+) of " + re.escape(CANDIDATE))
_LOC = re.compile(r"\s*\.loc\s+(\d+)\s+(\d+)")
_FILE = re.compile(r'\s*\.file\s+(\d+)\s+"([^"]*)"')
_NOISE = re.compile(r"ptxas (?:info|\s*\.)|\d+ (?:catastrophic )?errors? detected|Compilation terminated|Remark: ")
_MAX_QUOTED = 8
_MAX_WIDTH = 400
"""Characters of one line: a type that holds itself is named at a length that says nothing."""
_MAX_SHOWN = 10


@dataclass(slots=True)
class Diagnostic:
    file: str
    line: int
    severity: str
    number: int
    text: str
    rest: list[str] = field(default_factory=list)
    """Lines behind the first: the quoted source, instantiations."""

    @property
    def is_error(self) -> bool:
        return self.severity.endswith("error")

    @property
    def candidate_line(self) -> int | None:
        """Line of the candidate that is to blame."""
        if self.file == CANDIDATE:
            return self.line or None
        for line in self.rest:
            found = _INSTANTIATED.search(line)
            if found is not None:
                return int(found.group(1)) or None
        return None

    @property
    def headline(self) -> str:
        """One line, in the compiler's form."""
        if self.file == _NAMES:
            return f"{PLAN}: {self.severity}: the kernel's name: {self.text}"
        place = f"{self.file}({self.line})" if self.line else self.file
        return shortened(f"{place}: {self.severity}: {self.text}")


def shortened(line: str) -> str:
    """A line with its middle left out where it is very long."""
    if len(line) <= _MAX_WIDTH:
        return line
    half = _MAX_WIDTH // 2
    return f"{line[:half]} ... {line[-half:]}"


def parse_log(log: str, include: Sequence[Path], ptx: str = "") -> list[Diagnostic]:
    """Diagnostics in order. `include` are the SDK's folders; `ptx` leads assembler errors back to the source."""
    return [kept for found in _split(log, ptx) if (kept := _keep(found, include)) is not None]


def _split(log: str, ptx: str) -> Iterator[Diagnostic]:
    current: Diagnostic | None = None
    # NVRTC joins its own log and the assembler's with a NUL.
    for line in log.replace("\0", "").splitlines():
        head = _HEAD.fullmatch(line)
        assembler = _PTXAS.match(line)
        if head is not None:
            if current is not None:
                yield current
            current = Diagnostic(
                head["file"], int(head["line"]), head["severity"], int(head["number"] or 0), head["text"]
            )
        elif assembler is not None:
            if current is not None:
                yield current
                current = None
            at = source_line(ptx, int(assembler["line"])) if assembler["line"] else 0
            yield Diagnostic(CANDIDATE, at, "error", 0, f"the assembler says: {assembler['text']}")
        elif current is not None and line.strip() and not _NOISE.match(line) and len(current.rest) < _MAX_QUOTED:
            current.rest.append(line)
    if current is not None:
        yield current


def _keep(found: Diagnostic, include: Sequence[Path]) -> Diagnostic | None:
    if found.file in (*OWN, _NAMES):
        if found.file == _NAMES:
            found.rest.clear()
        return found
    path = PurePath(found.file)
    if not any(path.is_relative_to(folder) for folder in include):
        # Some other file of this machine: not even its name is passed on.
        return Diagnostic("another file", 0, found.severity, 0, "the text does not compile") if found.is_error else None
    if not found.is_error:
        return None
    found.rest = [line for line in found.rest if CANDIDATE in line]
    found.file = path.name
    return found


def source_line(ptx: str, line: int) -> int:
    """Candidate's line that PTX line `line` comes from, by the last `.loc` of its file; 0 where unknown."""
    lines = ptx.splitlines()
    own = {
        found.group(1)
        for text in lines
        if (found := _FILE.match(text)) is not None and PurePath(found.group(2)).name == CANDIDATE
    }
    for text in reversed(lines[:line]):
        if text.startswith((".visible", ".entry", ".func", ".weak")):
            return 0
        found = _LOC.match(text)
        if found is not None and found.group(1) in own and int(found.group(2)):
            return int(found.group(2))
    return 0


def rendered(diagnostics: Sequence[Diagnostic]) -> tuple[str, ...]:
    """Lines fit to show to the candidate's author."""
    lines = [line for found in diagnostics[:_MAX_SHOWN] for line in (found.headline, *map(shortened, found.rest))]
    if len(diagnostics) > _MAX_SHOWN:
        lines.append(f"and {len(diagnostics) - _MAX_SHOWN} more")
    return tuple(lines)
