"""What a CUDA kernel file may ask of the preprocessor.

The compiler quotes what it reads in its log, so an include decides which files of this machine a candidate
can see; `__TIME__` makes two builds differ; `#line` forges locations.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from warpsmith.sandbox.screen import headers
from warpsmith.sandbox.screen.cpp_tokens import Directive, Identifier, Unclear, scan

MAX_CHARACTERS = 256 << 10
_DIRECTIVES = frozenset(
    ["", "define", "undef", "if", "ifdef", "ifndef", "elif", "else", "endif", "error", "warning", "pragma"]
)
_FORBIDDEN = {
    "__TIME__": "Two builds of one text must be equal; leave it out.",
    "__DATE__": "Two builds of one text must be equal; leave it out.",
    "__TIMESTAMP__": "Two builds of one text must be equal; leave it out.",
    "__COUNTER__": "Number them yourself: the compiler's own header counts, too.",
    "__FILE__": "Locations are kept by the compiler; leave it out.",
    "__BASE_FILE__": "Locations are kept by the compiler; leave it out.",
    "__has_include": "Include the header; the allowed ones are always there.",
    "__has_include_next": "Include the header; the allowed ones are always there.",
    "__has_embed": "Put data into an input of the task.",
    "__builtin_FILE": "Locations are kept by the compiler; leave it out.",
    "_CCCL_BUILTIN_FILE": "Locations are kept by the compiler; leave it out.",
    "_CCCL_HAS_INCLUDE": "Include the header; the allowed ones are always there.",
    "PYBIND11_MODULE": headers.HOST_REMEDY,
    "TORCH_LIBRARY": headers.HOST_REMEDY,
    "cudaMalloc": headers.HOST_REMEDY,
    "cudaMemcpy": headers.HOST_REMEDY,
    "cudaMemset": headers.HOST_REMEDY,
    "cudaDeviceSynchronize": headers.HOST_REMEDY,
    "cudaStream_t": headers.HOST_REMEDY,
}
_HOST_NAMES = frozenset(name for name, remedy in _FORBIDDEN.items() if remedy == headers.HOST_REMEDY)
_COMPILERS = frozenset(_FORBIDDEN) - _HOST_NAMES
"""What the preprocessor answers by itself: a macro may make such a name by joining others."""
_QUOTED = re.compile(r"<([^<>\n]*)>")


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """Why a text is refused: a sentence, its line (from 1) and what to do instead."""

    message: str
    line: int
    remedy: str


def check_source(text: str) -> SourceProblem | None:
    """The first thing in a kernel file's text that the preprocessor must not be asked; None where it is clean."""
    if len(text) > MAX_CHARACTERS:
        return SourceProblem(f"the text has {len(text)} characters.", 1, f"At most {MAX_CHARACTERS} are taken.")
    lines: dict[str, int] = {}
    for item in scan(text):
        problem = _judge(item)
        if problem is not None:
            return problem
        if isinstance(item, Identifier):
            lines.setdefault(item.name, item.line)
    return _joined(lines)


def _joined(lines: Mapping[str, int]) -> SourceProblem | None:
    """A forbidden name that `##`, of the text or of a header's macro, could make of the text's identifiers.

    Args:
        lines: Where each identifier first stands.
    """
    for name in sorted(_COMPILERS):
        parts = _parts(name, lines)
        if parts:
            shown = ", ".join(dict.fromkeys(parts))
            message = f"{shown} could be joined to {name}, which is not available in a kernel file."
            return SourceProblem(message, lines[max(parts, key=len)], "Give one of them another name.")
    return None


def _parts(name: str, known: Collection[str]) -> tuple[str, ...]:
    """Known identifiers that are `name` one after the other, as few as possible; none where there are none."""
    ways: list[tuple[str, ...] | None] = [(), *[None] * len(name)]
    for end in range(1, len(name) + 1):
        for start in range(end):
            before = ways[start]
            if before is not None and name[start:end] in known:
                found = (*before, name[start:end])
                shortest = ways[end]
                ways[end] = found if shortest is None or len(found) < len(shortest) else shortest
    return ways[-1] or ()


def includes(text: str) -> tuple[str, ...]:
    """Headers that the text includes with angle brackets, each once, in order."""
    found: dict[str, None] = {}
    for item in scan(text):
        if isinstance(item, Directive) and item.name == "include":
            header = _QUOTED.fullmatch(item.rest)
            if header is not None:
                found.setdefault(header.group(1).strip())
    return tuple(found)


def _judge(item: Directive | Identifier | Unclear) -> SourceProblem | None:
    if isinstance(item, Unclear):
        return SourceProblem(f"{item.message}.", item.line, item.remedy)
    if isinstance(item, Identifier):
        remedy = _FORBIDDEN.get(item.name)
        if remedy is None:
            return None
        why = headers.HOST if item.name in _HOST_NAMES else "is not available"
        joined = f"{item.name}: {why}." if item.name in _HOST_NAMES else f"{item.name} {why} in a kernel file."
        return SourceProblem(joined, item.line, remedy)
    if item.name == "include":
        return _include(item)
    if item.name not in _DIRECTIVES:
        what = f"the directive #{item.name or item.rest[:20]}"
        return SourceProblem(f"{what} is not available in a kernel file.", item.line, "Leave it out.")
    if not item.name and item.rest:
        return SourceProblem("a line marker is not available in a kernel file.", item.line, "Leave it out.")
    return None


def _include(item: Directive) -> SourceProblem | None:
    if item.rest.startswith('"'):
        return SourceProblem(
            f"#include {item.rest[:80]}: a kernel file is one self-contained text.",
            item.line,
            "Paste the code you need, or include an allowed header with < >.",
        )
    header = _QUOTED.fullmatch(item.rest)
    if header is None:
        return SourceProblem(
            "an #include must name its header in < >, not through a macro.", item.line, "Write the header's name."
        )
    name = header.group(1).strip()
    if headers.allowed(name):
        return None
    message, remedy = headers.refusal(name)
    return SourceProblem(message, item.line, remedy)
