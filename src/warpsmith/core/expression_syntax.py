"""Grammar of integer expressions: text to tree.

test       := conjunction ("or" conjunction)*
conjunction:= negation ("and" negation)*
negation   := "not" negation | comparison
comparison := sum (("==" | "!=" | "<" | "<=" | ">" | ">=") sum)*      chained, as in Python
sum        := product (("+" | "-") product)*
product    := unary (("*" | "//" | "%") unary)*
unary      := ("-" | "+") unary | atom
atom       := integer | name | function "(" test ("," test)* ")" | "size" "(" name ")" | "(" test ")"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression_tree import ARITIES, INT64_MAX, KEYWORDS, Call, Chain, Literal, Name, Node, Size, Unary
from warpsmith.core.nearest import did_you_mean, shown

LONGEST = 1024
"""Characters an expression may have."""
DEEPEST = 24
"""Parentheses, calls and unary operators that may nest."""

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n]+)|(?P<number>0[xX][0-9a-fA-F]+|[0-9]+)|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<operator>\*\*|//|==|!=|<=|>=|<<|>>|&&|\|\||[-+*%<>(),/&|^~!?=])"
)

_REFUSED = {
    "/": "Write `//` to round down or `cdiv(a, b)` to round up.",
    "**": "Write the product out, or use `pow2ceil(x)` and `ilog2(x)`.",
    "&": "Write `and` between conditions, or `%` for the low bits.",
    "&&": "Write `and`.",
    "|": "Write `or` between conditions.",
    "||": "Write `or`.",
    "!": "Write `not`.",
    "=": "Write `==` to compare.",
    "<<": "Multiply by a power of two.",
    ">>": "Divide with `//` by a power of two.",
    "^": "Expressions have no bitwise operators.",
    "~": "Expressions have no bitwise operators.",
    "?": "Multiply by a comparison, which is 0 or 1, or give two launches different `when` conditions.",
}

_FOREIGN_WORDS = {
    "if": _REFUSED["?"],
    "else": _REFUSED["?"],
    "True": "Write 1.",
    "true": "Write 1.",
    "False": "Write 0.",
    "false": "Write 0.",
}

_FOREIGN_FUNCTIONS = {
    "ceil": "cdiv",
    "ceildiv": "cdiv",
    "ceil_div": "cdiv",
    "div_up": "cdiv",
    "next_power_of_2": "pow2ceil",
    "log2": "ilog2",
    "round_up": "align",
    "sizeof": "size",
    "itemsize": "size",
}


@dataclass(frozen=True, slots=True)
class Token:
    kind: str
    text: str
    offset: int


Fail: TypeAlias = Callable[[str, str, int], KernelFileError]
"""(message, remedy, offset in the expression) -> the error to raise."""


def _unread(character: str) -> str:
    """What to write where a character is part of no expression."""
    if character == ".":
        return "Expressions hold integers only."
    if ord(character) > 127:
        return f"That is {shown(character)}: write expressions in ASCII."
    if character == "[":
        return "Expressions know sizes, not what tensors hold: read values in the kernel."
    return "Write integer arithmetic over dimensions, knobs and [let] names."


def tokenize(text: str, fail: Fail) -> list[Token]:
    """Split `text`; the last token has kind `end`."""
    tokens: list[Token] = []
    offset = 0
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            raise fail(f"`{text[offset]}` is not part of an expression.", _unread(text[offset]), offset)
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, match.group(), offset))
        if kind == "operator" and match.group() in _REFUSED:
            raise fail(f"`{match.group()}` is not an operator here.", _REFUSED[match.group()], offset)
        offset = match.end()
    tokens.append(Token("end", "", len(text)))
    return tokens


class Parser:
    """One pass over the tokens of one expression."""

    def __init__(self, text: str, fail: Fail) -> None:
        self._fail = fail
        self._tokens = tokenize(text, fail)
        self._at = 0
        self._depth = 0

    def parse(self) -> Node:
        node = self._test()
        token = self._tokens[self._at]
        if token.kind != "end":
            if token.text in _FOREIGN_WORDS:
                raise self._fail(
                    f"`{token.text}` is not part of an expression.", _FOREIGN_WORDS[token.text], token.offset
                )
            raise self._fail(
                f"`{token.text}` is not expected here.", "An operator or the end should follow.", token.offset
            )
        return node

    def _take(self, *texts: str) -> Token | None:
        token = self._tokens[self._at]
        if token.kind != "end" and token.text in texts:
            self._at += 1
            return token
        return None

    def _chain(self, operand: Callable[[], Node], *operators: str) -> Node:
        first = operand()
        rest: list[tuple[str, Node, int]] = []
        while token := self._take(*operators):
            rest.append((token.text, operand(), token.offset))
        return Chain(first, tuple(rest)) if rest else first

    def _test(self) -> Node:
        return self._chain(self._conjunction, "or")

    def _conjunction(self) -> Node:
        return self._chain(self._negation, "and")

    def _negation(self) -> Node:
        if token := self._take("not"):
            offset = token.offset
            return self._nested(token, lambda: Unary("not", self._negation(), offset))
        return self._chain(self._sum, "==", "!=", "<", "<=", ">", ">=")

    def _sum(self) -> Node:
        return self._chain(self._product, "+", "-")

    def _product(self) -> Node:
        return self._chain(self._unary, "*", "//", "%")

    def _unary(self) -> Node:
        if token := self._take("-"):
            offset = token.offset
            return self._nested(token, lambda: Unary("-", self._unary(), offset))
        if token := self._take("+"):
            return self._nested(token, self._unary)
        return self._atom()

    def _nested(self, token: Token, inner: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._fail(
                f"The expression nests deeper than {DEEPEST}.", "Name parts of it under [let].", token.offset
            )
        node = inner()
        self._depth -= 1
        return node

    def _atom(self) -> Node:
        token = self._tokens[self._at]
        if token.kind == "number":
            self._at += 1
            return self._literal(token)
        if token.kind == "name" and token.text not in KEYWORDS:
            self._at += 1
            return self._name(token)
        if self._take("("):
            node = self._nested(token, self._test)
            self._expect(")", token)
            return node
        found = f"`{token.text}`" if token.text else "the end"
        raise self._fail(f"A number, a name or `(` should stand where {found} is.", "", token.offset)

    def _literal(self, token: Token) -> Literal:
        if len(token.text) > 1 and token.text[0] == "0" and token.text[1] not in "xX":
            raise self._fail(f"`{token.text}` starts with a zero.", "Write it without.", token.offset)
        value = int(token.text, 0)
        if value > INT64_MAX:
            raise self._fail(f"`{token.text}` does not fit a 64-bit integer.", "", token.offset)
        following = self._tokens[self._at]
        if following.kind == "name" and following.offset == token.offset + len(token.text):
            raise self._fail(
                f"`{token.text}{following.text}` is not an integer.", "Write it without a suffix.", token.offset
            )
        return Literal(value)

    def _name(self, token: Token) -> Node:
        self._refuse_foreign(token)
        opening = self._take("(")
        if opening is None:
            if token.text == "size" or token.text in ARITIES:
                raise self._fail(f"`{token.text}` is a function.", f"Write `{token.text}(...)`.", token.offset)
            return Name(token.text, token.offset)
        if token.text == "size":
            return self._size(token, opening)
        if token.text not in ARITIES:
            meant = _FOREIGN_FUNCTIONS.get(token.text)
            remedy = f"Use `{meant}`." if meant else did_you_mean(token.text, (*ARITIES, "size"))
            raise self._fail(f"There is no function `{token.text}`.", remedy, token.offset)
        return self._nested(token, lambda: self._call(token, opening))

    def _size(self, token: Token, opening: Token) -> Size:
        name = self._tokens[self._at]
        if name.kind != "name":
            raise self._fail("`size` takes the name of a tensor or buffer.", "Write `size(x)`.", name.offset)
        self._at += 1
        self._expect(")", opening)
        return Size(name.text, token.offset)

    def _call(self, token: Token, opening: Token) -> Call:
        arguments: list[Node] = []
        if not self._take(")"):
            arguments.append(self._test())
            while self._take(","):
                arguments.append(self._test())
            self._expect(")", opening)
        fewest, most = ARITIES[token.text]
        if len(arguments) < fewest or (most is not None and len(arguments) > most):
            expected = f"{fewest}" if fewest == most else f"at least {fewest}"
            plural = "argument" if expected == "1" else "arguments"
            raise self._fail(f"`{token.text}` takes {expected} {plural}, not {len(arguments)}.", "", token.offset)
        return Call(token.text, tuple(arguments), token.offset)

    def _expect(self, text: str, opening: Token) -> None:
        if not self._take(text):
            token = self._tokens[self._at]
            self._refuse_foreign(token)
            found = f"`{token.text}`" if token.text else "the end"
            message = f"`{opening.text}` is not closed: {found} stands where `{text}` should."
            raise self._fail(message, "", token.offset)

    def _refuse_foreign(self, token: Token) -> None:
        if token.text in _FOREIGN_WORDS:
            message = f"`{token.text}` is not part of an expression."
            raise self._fail(message, _FOREIGN_WORDS[token.text], token.offset)
