"""C++ tokens, as far as finding kernels and host code needs them: comments, literals and directives told apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from warpsmith.core.errors import KernelFileError

_PIECE = re.compile(
    r"""(?P<newline>\n)
    |(?P<skip>(?:[ \t\r\f\v]|\\\r?\n)+)
    |(?P<remark>//)
    |(?P<comment>/\*)
    |(?P<raw>(?:u8|[uUL])?R"(?P<mark>[^()\\\s"]{0,16})\()
    |(?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"|(?:u8|[uUL])?'(?:\\.|[^'\\\n])+')
    |(?P<number>\.?\d(?:[eEpP][+-]|'(?=\w)|[\w.])*)
    |(?P<identifier>[^\W\d]\w*)
    |(?P<punctuation><<<|::|->|\.\.\.|%:|.)""",
    re.DOTALL | re.VERBOSE,
)


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
    piece = _PIECE.match(text, at)
    assert piece is not None
    kind = piece.lastgroup
    if kind == "remark":
        return "skip", _end_of_line(text, at)
    if kind == "comment":
        end = text.find("*/", at + 2)
        if end < 0:
            raise KernelFileError("A `/*` comment is not closed.", remedy="Close it with `*/`.", line=line)
        return "skip", end + 2
    if kind == "raw":
        closing = f'){piece["mark"]}"'
        end = text.find(closing, piece.end())
        if end < 0:
            raise KernelFileError("A raw string is not closed.", remedy=f"Close it with `{closing}`.", line=line)
        return "string", end + len(closing)
    assert kind is not None
    return kind, piece.end()


def _end_of_line(text: str, at: int) -> int:
    """End of a `//` comment: a backslash before the newline continues it."""
    while True:
        end = text.find("\n", at)
        if end < 0:
            return len(text)
        if not text[at:end].rstrip("\r").endswith("\\"):
            return end
        at = end + 1
