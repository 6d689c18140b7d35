"""A candidate's text as a model may see it: no comment, no message, nothing that could speak to the reader.

Lines keep their numbers, so that what the gate says of line 12 holds. Edits a model sends are made to this text.
"""

from __future__ import annotations

import io
import re
import tokenize

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.lexer import comment_spans, lex

_OPENING = re.compile(r"^\s*(//|#) /// kernel\s*$")
_CLOSING = re.compile(r"^\s*(//|#) ///\s*$")
_TOML = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|(?P<comment>#.*)$")
_SPEAKING = ("error", "warning", "pragma")


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
    except (KernelFileError, tokenize.TokenError, SyntaxError):
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
    spans = [*comment_spans(text), *_messages(text)]
    return _blanked(text, spans)


def _messages(text: str) -> list[tuple[int, int]]:
    """Where `#error` and its like, and the words of a static_assert, stand."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    source, found, asserting = lex(text), list[tuple[int, int]](), 0
    for directive in source.directives:
        if len(directive) > 1 and directive[1].text in _SPEAKING:
            speaks = directive[1].text != "pragma" or (len(directive) > 2 and directive[2].text == "message")
            first, last = directive[0], directive[-1]
            if speaks:
                found.append((starts[first.line - 1] + first.column - 1, _end(starts, last)))
    for before, token in zip(source.tokens, source.tokens[1:], strict=False):
        if before.text == "static_assert":
            asserting = 1
        elif asserting and token.text in "()":
            asserting += 1 if token.text == "(" else -1
        elif asserting and token.kind == "string":
            found.append((starts[token.line - 1] + token.column, _end(starts, token) - 1))
    return found


def _end(starts: list[int], token: object) -> int:
    line, column, text = token.line, token.column, token.text  # type: ignore[attr-defined]
    return int(starts[line - 1] + column - 1 + len(text))


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
