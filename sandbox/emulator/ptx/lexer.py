"""Splits PTX text into tokens, and the cursor that the parser moves over them.

Opcodes with their modifiers (`ld.global.L2::128B.u32`) and special registers with their component (`%tid.x`)
are one token each, as no blank may stand inside them; a blank before a dot starts a directive token, and every
directive is a token of its own (`.reg.b32` is two).
Source: PTX ISA 9.0, chapter 4 "Syntax".
"""

from __future__ import annotations

import re
from bisect import bisect_right

from warpsmith.sandbox.emulator.ptx.errors import PtxSyntaxError

MAX_TEXT = 8 << 20
"""Characters; compilers are held to less, so more is an attack or an accident."""

WORD, DIRECTIVE, NUMBER, STRING, MARK, END = "word", "directive", "number", "string", "mark", "end"

_BLANKS = r"(?:[ \t\r\n\f\v]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*+"
# A token and the blanks behind it in one step: a text has tens of thousands.
_TOKEN = re.compile(
    r"""
   (?:(?P<word>[A-Za-z_$%][\w$]*(?:(?:\.|::)[\w$]+)*)
  | (?P<mark><<|>>|[{}()\[\],;:|!@<>+\-=*/~&^%?])
  | (?P<number>0[fF][0-9a-fA-F]{8}(?!\w)
      |0[dD][0-9a-fA-F]{16}(?!\w)
      |\d+\.\d*(?:[eE][+-]?\d+)?(?!\w)
      |\d+[eE][+-]?\d+(?!\w)
      |0[xX][0-9a-fA-F]+U?(?!\w)
      |0[bB][01]+U?(?!\w)
      |\d+U?(?!\w))
  | (?P<directive>\.[A-Za-z_][\w$]*(?:::[\w$]+)*)
  | (?P<string>"(?:[^"\\\n]|\\.)*")
   )"""
    + _BLANKS,
    re.VERBOSE | re.ASCII,
)
_BLANK = re.compile(_BLANKS, re.ASCII)


class Cursor:
    """A position in a tokenised text. `kinds[at]` is `END` past the last token."""

    __slots__ = ("_line_starts", "_starts", "at", "initialised", "kinds", "words")

    def __init__(self, text: str) -> None:
        self.kinds: list[str] = []
        self.words: list[str] = []
        self._starts: list[int] = []
        self._line_starts = [0]
        self.at = 0
        self.initialised = 0
        """Bytes that initialisers of this text have taken so far."""
        if len(text) > MAX_TEXT:
            raise PtxSyntaxError(f"the text is longer than {MAX_TEXT} characters", 1, 1)
        self._line_starts += [newline.end() for newline in re.finditer("\n", text)]
        self._tokenize(text)

    def _tokenize(self, text: str) -> None:
        add_kind, add_word, add_start = self.kinds.append, self.words.append, self._starts.append
        blank = _BLANK.match(text)
        position, end = blank.end() if blank else 0, len(text)
        scan = _TOKEN.scanner(text, position)  # type: ignore[attr-defined]
        for token in iter(scan.match, None):
            start, position = token.span()
            word = token[token.lastindex]
            add_kind(token.lastgroup)
            add_word(word)
            add_start(start)
            if word == "/" and text.startswith("/*", start):
                line, column = self._place(start)
                raise PtxSyntaxError("this comment is never closed", line, column)
        if position < end:
            line, column = self._place(position)
            raise PtxSyntaxError(f"unexpected {text[position : position + 16]!r}", line, column)
        add_kind(END)
        add_word("")
        add_start(end)

    def _place(self, position: int) -> tuple[int, int]:
        line = bisect_right(self._line_starts, position)
        return line, position - self._line_starts[line - 1] + 1

    def line_of(self, at: int) -> int:
        """Line of token `at`, from 1."""
        return bisect_right(self._line_starts, self._starts[at])

    def error(self, message: str, at: int | None = None) -> PtxSyntaxError:
        """The error to raise about the next token, or about token `at`."""
        line, column = self._place(self._starts[self.at if at is None else at])
        return PtxSyntaxError(message, line, column)

    def unexpected(self, wanted: str) -> PtxSyntaxError:
        found = "the end of the text" if self.kinds[self.at] == END else repr(self.words[self.at])
        return self.error(f"expected {wanted}, found {found}")

    def take(self, mark: str) -> bool:
        """Step over the next token where it is `mark`."""
        if self.words[self.at] == mark:
            self.at += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if self.words[self.at] != mark:
            raise self.unexpected(repr(mark))
        self.at += 1

    def name(self, what: str) -> str:
        """Take an undotted word."""
        word = self.words[self.at]
        if self.kinds[self.at] != WORD or "." in word or "::" in word:
            raise self.unexpected(what)
        self.at += 1
        return word

    def skip_braces(self) -> None:
        """Step over `{ … }` with whatever is nested in it."""
        opened = self.at
        self.expect("{")
        depth = 1
        words, kinds = self.words, self.kinds
        while depth:
            if kinds[self.at] == END:
                raise self.error("this brace is never closed", opened)
            if words[self.at] == "{":
                depth += 1
            elif words[self.at] == "}":
                depth -= 1
            self.at += 1
