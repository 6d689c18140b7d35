"""The first phases of C++ translation: line splices, comments, strings and preprocessing directives.

Written so that it never sees less than a compiler does: what two compilers could read differently (a blank
between a backslash and the line end, trigraphs, lone carriage returns) is a problem by itself.
Source: ISO C++17, [lex.phases], [lex.pptoken].
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Directive:
    """`#include <x>`: its name, the rest of the line without comments, and its line, from 1."""

    name: str
    rest: str
    line: int


@dataclass(frozen=True, slots=True)
class Identifier:
    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Unclear:
    """Text that compilers may read in different ways."""

    message: str
    remedy: str
    line: int


_UNCLEAR = (
    (
        re.compile(r"\\[ \t\f\v]+(?=\r?\n|$)"),
        "a backslash is followed by blanks",
        "Remove the blanks behind the backslash.",
    ),
    (re.compile(r"\r(?!\n)"), "a carriage return stands alone", "End lines with a newline."),
    (re.compile(r"\x00"), "the text holds a zero byte", "Remove it."),
    (re.compile(r"\?\?[=/'()!<>-]"), "the text holds a trigraph", "Write the character itself."),
)
_DIRECTIVE_LINE = re.compile(r"^[ \t\f\v]*(?:#|%:)", re.MULTILINE)
_PIECE = re.compile(
    r"""
    (?P<blank>[ \t\f\v]+)
  | (?P<newline>\n)
  | (?P<line_comment>//[^\n]*)
  | (?P<comment>/\*(?:.*?\*/|.*\Z))
  | (?P<raw>(?:u8|[uUL])?R"(?P<delimiter>[^ ()\\\t\v\f\n]{0,16})\()
  | (?P<string>(?:u8|[uUL])?"(?:[^"\\\n]|\\[^\n])*"?)
  | (?P<character>(?:u8|[uUL])?'(?:[^'\\\n]|\\[^\n])*'?)
  | (?P<number>\.?\d(?:[eEpP][+-]|'?[\w.])*)
  | (?P<identifier>[A-Za-z_$\u0080-\U0010FFFF][\w$\u0080-\U0010FFFF]*)
  | (?P<hash>\#|%:)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


class _Spliced:
    """Text with `backslash newline` removed, and the way back to the original lines."""

    def __init__(self, text: str) -> None:
        original = text.replace("\r\n", "\n")
        self.text = original.replace("\\\n", "")
        self._original = original
        self._cuts: list[int] = []
        """Positions in the spliced text where a splice stood."""
        self._lines = [newline.start() for newline in re.finditer("\n", self.text)]
        at = removed = 0
        while (at := original.find("\\\n", at)) >= 0:
            self._cuts.append(at - removed)
            at += 2
            removed += 2

    def line(self, at: int) -> int:
        """Line of the original text, from 1."""
        return 1 + bisect_right(self._lines, at - 1) + bisect_right(self._cuts, at)

    def after_raw(self, start: int, closing: str) -> int | None:
        """Where the text goes on behind a raw string's `closing`, in which splices do not count."""
        begin = start + 2 * bisect_right(self._cuts, start)
        end = self._original.find(closing, begin)
        if end < 0:
            return None
        end += len(closing)
        return end - 2 * self._original.count("\\\n", 0, end)


def scan(text: str) -> Iterator[Directive | Identifier | Unclear]:
    """Yield what a compiler would preprocess, in order. Identifiers of directive lines are yielded too."""
    for pattern, message, remedy in _UNCLEAR:
        found = pattern.search(text)
        if found is not None:
            yield Unclear(message, remedy, text.count("\n", 0, found.start()) + 1)
            return
    spliced = _Spliced(text)
    source = spliced.text
    at = 0
    fresh = True
    directive: list[str] | None = None
    directive_line = 0
    while at < len(source):
        piece = _PIECE.match(source, at)
        assert piece is not None, "the last alternative matches any character"
        kind = piece.lastgroup if piece.lastgroup != "delimiter" else "raw"
        word = piece.group()
        line = spliced.line(at)
        at = piece.end()
        if kind == "raw":
            after = spliced.after_raw(at, f'){piece.group("delimiter")}"')
            if after is None:
                yield Unclear("a raw string is never closed", "Close it.", line)
                return
            if _DIRECTIVE_LINE.search(source, at, after):
                # In a group that `#if 0` skips, a compiler may not take the raw string for one.
                yield Unclear("a line of a raw string starts with #", "Start that line with something else.", line)
                return
            at, word = after, '""'
        if kind == "newline":
            if directive is not None:
                yield _directive(directive, directive_line)
            directive, fresh = None, True
        elif kind in ("blank", "comment", "line_comment"):
            if directive is not None:
                directive.append(" ")
        elif kind == "hash" and fresh:
            directive, directive_line, fresh = [], line, False
        else:
            fresh = False
            if directive is not None:
                directive.append(word)
            if kind == "identifier":
                yield Identifier(word, line)
    if directive is not None:
        yield _directive(directive, directive_line)


def _directive(words: list[str], line: int) -> Directive:
    text = "".join(words).strip()
    name = re.match(r"\w*", text)
    assert name is not None
    return Directive(name.group(), text[name.end() :].strip(), line)
