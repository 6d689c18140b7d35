"""A candidate's text as a model may see it: no comment, no message, nothing that could speak to the reader.

Lines keep their numbers, so that what the gate says of line 12 holds. Edits a model sends are made to this text.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from functools import lru_cache

_OPENING = re.compile(r"^\s*(//|#) /// kernel\s*$")
_CLOSING = re.compile(r"^\s*(//|#) ///\s*$")
_TOML = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|(?P<comment>#.*)$")
_PIECES = re.compile(
    r"""(?P<comment>//(?:[^\n\\]|\\(?:\r?\n|.))*|/\*.*?(?:\*/|\Z))
    |(?P<string>(?:u8|[uUL])?R"(?P<mark>[^()\\\s"]{0,16})\(.*?\)(?P=mark)"
    |(?:u8|[uUL])?"(?:\\.|[^"\\\n])*"|(?:u8|[uUL])?'(?:\\.|[^'\\\n])+')
    |\.?\d(?:'(?=\w)|[\w.])*|(?P<word>[^\W\d]\w*)""",
    re.DOTALL | re.VERBOSE,
)
"""Comments, and what a comment's mark may stand in without being one."""
_SPEAKING = re.compile(
    r"(?:\#|%:)(?:[ \t]|\\\r?\n)*(?:error|warning|pragma(?:[ \t]|\\\r?\n)+message)\b(?:[^\n\\]|\\(?:\r?\n|.))*"
)
"""`#error` and its like, to the end of the line."""


@lru_cache(maxsize=64)
def shown(text: str, language: str) -> str:
    """The kernel file without comments, docstrings and compiler messages; head block and line numbers kept.

    A text that is not even lexed is returned as it is: it stands in a fence all the same.
    """
    lines = text.splitlines(keepends=True)
    body = _body_start(lines)
    opening = next((number for number, line in enumerate(lines[:body]) if _OPENING.match(line)), 0)
    head = "".join(_without_remark(line) if number >= opening else "\n" for number, line in enumerate(lines[:body]))
    rest = "".join(lines[body:])
    try:
        return head + (_cuda(rest) if language == "cuda" else _triton(rest))
    except (tokenize.TokenError, SyntaxError):
        return text


def fenced(text: str, kind: str = "") -> str:
    """Between fences longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text.rstrip()}\n{fence}"


def _body_start(lines: list[str]) -> int:
    """Index of the first line behind the head block; 0 where there is none."""
    opened = False
    for number, line in enumerate(lines):
        opened |= bool(_OPENING.match(line))
        if opened and _CLOSING.match(line):
            return number + 1
    return 0


def _without_remark(line: str) -> str:
    """A head line without its TOML comment."""
    found = re.match(r"^(\s*)(//|#)(.*?)(\r?\n?)$", line, re.DOTALL)
    if not found:
        return line
    margin, mark, rest, end = found.groups()
    for piece in _TOML.finditer(rest):
        if piece["comment"]:
            rest = rest[: piece.start()].rstrip()
            break
    return f"{margin}{mark}{rest}{end}"


def _cuda(text: str) -> str:
    silent = _blanked(text, list(_speech(text)))
    return _blanked(silent, [directive.span() for directive in _SPEAKING.finditer(silent)])


def _speech(text: str) -> Iterator[tuple[int, int]]:
    """Where comments stand, and the words of a static_assert."""
    asserting, at = False, 0
    for piece in _PIECES.finditer(text):
        asserting &= ";" not in text[at : piece.start()]
        at = piece.end()
        if piece["comment"]:
            yield piece.span()
        elif piece["string"] and asserting:
            opening = piece["string"].index('"' if '"' in piece["string"] else "'") + 1
            yield (piece.start() + opening, piece.end() - 1)
        asserting |= piece["word"] == "static_assert"


def _triton(text: str) -> str:
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found, fresh = [], True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and fresh):
            start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if token.type == tokenize.COMMENT:
            found.append((start, end))
        elif token.type == tokenize.STRING and fresh:
            quotes = 3 if token.string[-3:] in ('"""', "'''") else 1
            opening = token.string.index(token.string[-1]) + quotes
            found.append((start + opening, end - quotes))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            fresh = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return _blanked(text, found)


def _blanked(text: str, spans: list[tuple[int, int]]) -> str:
    """Cut the spans out, their newlines excepted, and no blanks left at the ends of the lines they stood in."""
    parts, at = [], 0
    for start, end in sorted(spans):
        parts += [text[at:start], "\n" * text.count("\n", start, end)]
        at = max(at, end)
    parts.append(text[at:])
    return "".join(f"{line.rstrip()}\n" for line in "".join(parts).split("\n")).rstrip("\n") + "\n"
