"""C++ tokens, as far as finding kernels and host code needs them: comments, literals and directives told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from warpsmith.core.errors import KernelFileError

_SPACE = re.compile(r"(?:[ \t\r\f\v]|\\\r?\n)+")
_RAW_OPENING = re.compile(r'(?:u8|[uUL])?R"([^()\\\s"]{0,16})\(')
_STRING = re.compile(r'(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"|(?:u8|[uUL])?\'(?:\\.|[^\'\\\n])+\'', re.DOTALL)
_NUMBER = re.compile(r"\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*")
_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_PUNCTUATION = re.compile(r"<<<|::|->|\.\.\.|%:|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CppToken:
    kind: str
    """`identifier`, `number`, `string` or `punctuation`."""
    text: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class CppSource:
    tokens: tuple[CppToken, ...]
    directives: tuple[tuple[CppToken, ...], ...]
    """Each `#` line, its `#` first; their tokens are not among `tokens`."""


def lex(text: str) -> CppSource:
    """Split C++ source into tokens and directives; comments vanish. Never backtracks, so time is linear."""
    tokens: list[CppToken] = []
    directives: list[tuple[CppToken, ...]] = []
    directive: list[CppToken] | None = None
    at, line, line_start, fresh = 0, 1, 0, True
    while at < len(text):
        kind, end = _scan(text, at, line)
        if kind == "newline":
            if directive is not None:
                directives.append(tuple(directive))
            directive, fresh = None, True
        elif kind != "skip":
            token = CppToken(kind, text[at:end], line, at - line_start + 1)
            if fresh and token.text in ("#", "%:"):
                directive = []
            fresh = False
            (tokens if directive is None else directive).append(token)
        newlines = text.count("\n", at, end)
        if newlines:
            line += newlines
            line_start = text.rfind("\n", at, end) + 1
        at = end
    if directive is not None:
        directives.append(tuple(directive))
    return CppSource(tuple(tokens), tuple(directives))


def _scan(text: str, at: int, line: int) -> tuple[str, int]:
    """Kind and end of what starts at `at`: a token kind, `skip` or `newline`."""
    if text[at] == "\n":
        return "newline", at + 1
    if space := _SPACE.match(text, at):
        return "skip", space.end()
    if text.startswith("//", at):
        return "skip", _end_of_line(text, at)
    if text.startswith("/*", at):
        end = text.find("*/", at + 2)
        if end < 0:
            raise KernelFileError("A `/*` comment is not closed.", remedy="Close it with `*/`.", line=line)
        return "skip", end + 2
    if raw := _RAW_OPENING.match(text, at):
        closing = f'){raw.group(1)}"'
        end = text.find(closing, raw.end())
        if end < 0:
            raise KernelFileError("A raw string is not closed.", remedy=f"Close it with `{closing}`.", line=line)
        return "string", end + len(closing)
    for kind, pattern in (("string", _STRING), ("number", _NUMBER), ("identifier", _IDENTIFIER)):
        if match := pattern.match(text, at):
            return kind, match.end()
    match = _PUNCTUATION.match(text, at)
    assert match is not None
    return "punctuation", match.end()


def _end_of_line(text: str, at: int) -> int:
    """End of a `//` comment: a backslash before the newline continues it."""
    while True:
        end = text.find("\n", at)
        if end < 0:
            return len(text)
        if not text[at:end].rstrip("\r").endswith("\\"):
            return end
        at = end + 1


def comment_spans(text: str) -> tuple[tuple[int, int], ...]:
    """Where comments start and end in C++ source."""
    spans, at, line = [], 0, 1
    while at < len(text):
        kind, end = _scan(text, at, line)
        if kind == "skip" and text[at] == "/":
            spans.append((at, end))
        line += text.count("\n", at, end)
        at = end
    return tuple(spans)
