"""Splits PTX text into tokens, and the cursor that the parser moves over them.

Opcodes with their modifiers (`ld.global.L2::128B.u32`) and special registers with their component (`%tid.x`)
are one token each, as no blank may stand inside them; a blank before a dot starts a directive token, and every
directive is a token of its own (`.reg.b32` is two).
A cursor that goes by lines takes an instruction or a `.loc` that has a line to itself, as compilers write them, for
one token: it is most often read without being taken apart.
Source: PTX ISA 9.0, chapter 4 "Syntax".
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate, chain

from warpsmith.sandbox.emulator.ptx.errors import PtxSyntaxError

MAX_TEXT = 8 << 20
"""Characters; compilers are held to less, so more is an attack or an accident."""

WORD, DIRECTIVE, NUMBER, STRING, MARK, END = "word", "directive", "number", "string", "mark", "end"
STATEMENT, LOCATION = "statement", "location"
"""Whole lines, without their indentation."""

_BLANKS = r"(?:[ \t\r\n\f\v]+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)*+"
_PART = r"""
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
_TOKEN_AND_BLANKS = re.compile(_PART + _BLANKS, re.VERBOSE | re.ASCII)
_BLANK = re.compile(_BLANKS, re.ASCII)
_WHOLE_PART = re.compile(_PART, re.VERBOSE | re.ASCII)
_QUICKLY = re.compile(
    r"""[A-Za-z_$%][\w$.]*(?:::[\w$.]+)*|[,;\[\]{}()]|\d[\w.]*|\.[\w$]+(?:::[\w$]+)*|<<|>>|[:|!@<>+\-=*/~&^%?]"""
    r"""|"(?:[^"\\\n]|\\.)*"|\S+""",
    re.ASCII,
)
"""Takes what `_PART` takes, and more that is no token as a whole; where there is no comment."""
_LINES = re.compile(
    r"""^(?:[ \t]*(?:([@a-z][^;{}"/\n]*(?:\{[^;{}"/\n]*\}[^;{}"/\n]*)*;)|(\.loc[ \t][^;{}"/\n]*)|//.*)|(.*))$""",
    re.ASCII | re.MULTILINE,
)
"""Each line as an instruction, a location or anything else but a comment."""
_COMMENT = re.compile(r'("(?:[^"\\\n]|\\.)*")|//[^\n]*', re.ASCII)


def _without(found: re.Match[str]) -> str:
    return found[1] or ""


class _Kinds(dict[str, str]):
    """What kind of token each word is; empty where it is none."""

    def __missing__(self, word: str) -> str:
        found = _WHOLE_PART.fullmatch(word)
        kind = self[word] = str(found.lastgroup) if found else ""
        return kind


class Cursor:
    """A position in a tokenised text. `kinds[at]` is `END` past the last token."""

    __slots__ = ("_by_line", "_known", "_line_ends", "_starts", "_text", "at", "initialised", "kinds", "words")

    def __init__(self, text: str, *, by_line: bool = False) -> None:
        self.at = 0
        self.initialised = 0
        """Bytes that initialisers of this text have taken so far."""
        self._text = text
        if len(text) > MAX_TEXT:
            raise PtxSyntaxError(f"the text is longer than {MAX_TEXT} characters", 1, 1)
        self._starts: list[int] = []
        self._known = _Kinds()
        self._by_line = by_line and "/*" not in text
        if self._by_line:
            self._take_lines(text)
            return
        plain = [_COMMENT.sub(_without, line) if "//" in line else line for line in text.split("\n")]
        # Whole lines in the regular expression's own loops: a text has a hundred thousand tokens.
        lines = list(map(_QUICKLY.findall, plain))
        self.words: list[str] = list(chain.from_iterable(lines))
        self._line_ends = list(accumulate(map(len, lines[:-1])))
        """Tokens before the end of each line but the last."""
        known = self._known
        self.kinds: list[str] = [known[word] for word in self.words]
        self.words.append("")
        self.kinds.append(END)
        if "" in known.values() or any("/*" in line for line in plain if "/" in line):
            self._tokenize()

    def _take_lines(self, text: str) -> None:
        words: list[str] = []
        kinds: list[str] = []
        ends: list[int] = []
        known = self._known
        for statement, location, other in _LINES.findall(text):
            if statement:
                words.append(statement)
                kinds.append(STATEMENT)
            elif location:
                words.append(location)
                kinds.append(LOCATION)
            elif other:
                tokens = _QUICKLY.findall(_COMMENT.sub(_without, other) if "//" in other else other)
                words += tokens
                kinds += [known[word] for word in tokens]
            ends.append(len(words))
        self.words, self.kinds, self._line_ends = [*words, ""], [*kinds, END], ends[:-1]
        if "" in known.values():
            raise self.error("this is not PTX")

    def enter(self, line: str) -> None:
        """Go over the tokens of one line from here on."""
        self.at = 0
        self.words = [*_QUICKLY.findall(line), ""]
        self.kinds = [self._known[word] for word in self.words]
        self.kinds[-1] = END
        if "" in self.kinds:
            raise self.unexpected("what is PTX")

    def _tokenize(self) -> None:
        """The same token by token: where each begins, where what is no token does, and comments over several lines."""
        text = self._text
        kinds: list[str] = []
        words: list[str] = []
        starts: list[int] = []
        blank = _BLANK.match(text)
        position, end = blank.end() if blank else 0, len(text)
        scan = _TOKEN_AND_BLANKS.scanner(text, position)  # type: ignore[attr-defined]
        for token in iter(scan.match, None):
            start, position = token.span()
            kinds.append(token.lastgroup)
            words.append(token[token.lastindex])
            starts.append(start)
            if words[-1] == "/" and text.startswith("/*", start):
                raise PtxSyntaxError("this comment is never closed", *self._place(start))
        if position < end:
            raise PtxSyntaxError(f"unexpected {text[position : position + 16]!r}", *self._place(position))
        self.kinds, self.words, self._starts = [*kinds, END], [*words, ""], [*starts, end]
        self._line_ends = [bisect_left(starts, newline.start()) for newline in re.finditer("\n", text)]

    def _place(self, position: int) -> tuple[int, int]:
        line = self._text.count("\n", 0, position) + 1
        return line, position - self._text.rfind("\n", 0, position)

    def line_of(self, at: int) -> int:
        """Line of token `at`, from 1."""
        return bisect_right(self._line_ends, at) + 1

    def error(self, message: str, at: int | None = None) -> PtxSyntaxError:
        """The error to raise about the next token, or about token `at`. One that goes by lines knows no places."""
        if self._by_line:
            return PtxSyntaxError(message, 0, 0)
        if not self._starts:
            self._tokenize()
        return PtxSyntaxError(message, *self._place(self._starts[self.at if at is None else at]))

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
