"""What in a text may be too much for a compiler that was given up: the text's own numbers, the largest first."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from math import prod

from warpsmith.core.kernel_file.lexer import CppSource, CppToken, lex
from warpsmith.core.kernel_file.model import KernelFile

_GAVE_UP = re.compile(r"takes more than|out of memory|memory limit|MiB to return|characters of PTX")
MANY_TURNS, MANY_ELEMENTS = 256, 1 << 16
"""Turns of a loop that is written out, and elements of an array, that are worth a word."""
_UNROLL = re.compile(r"unroll\W*(\d+)")


def too_much(message: str, kernel_file: KernelFile) -> tuple[int, str] | None:
    """Line and sentence about what likely made a compiler give up, where `message` says that it did; else None."""
    if not _GAVE_UP.search(message):
        return None
    found = _in_triton(kernel_file.text) if kernel_file.language == "triton" else _in_cuda(lex(kernel_file.text))
    worst = max(found, default=None)
    return worst and (worst[1], worst[2])


def _in_cuda(source: CppSource) -> Iterator[tuple[float, int, str]]:
    """(how much, line, sentence)."""
    pragmas = [directive for directive in source.directives if directive[1:2] and directive[1].text == "pragma"]
    pragmas += [(token,) for token in source.tokens if token.kind == "string" and "unroll" in token.text]
    for pragma in pragmas:
        turns = _UNROLL.search(" ".join(token.text for token in pragma))
        if turns is not None and int(turns.group(1)[:18]) >= MANY_TURNS:
            count = int(turns.group(1)[:18])
            yield count, pragma[0].line, f"Line {pragma[0].line} writes a loop out {count:,} times."
    tokens = source.tokens
    for at, token in enumerate(tokens):
        if token.text == "[" and at and tokens[at - 1].kind == "identifier":
            elements = prod(_extents(tokens, at))
            if elements >= MANY_ELEMENTS:
                name = tokens[at - 1].text
                yield elements, token.line, f"`{name}` on line {token.line} has {elements:,} elements."


def _extents(tokens: tuple[CppToken, ...], at: int) -> Iterator[int]:
    """Numbers in the brackets that begin at a token, products and shifts of numbers among them; 1 for other extents."""
    while at < len(tokens) and tokens[at].text == "[":
        end = at + 1
        while end < len(tokens) and tokens[end].text != "]":
            end += 1
        yield _value("".join(token.text for token in tokens[at + 1 : min(end, at + 12)]))
        at = end + 1


def _value(text: str) -> int:
    parts = [re.fullmatch(r"\(*(\d{1,12})[uUlL]*\)*", part) for part in re.split(r"\*|<<", text)]
    numbers = [int(part.group(1)) for part in parts if part is not None]
    if len(numbers) < len(parts):
        return 1
    return numbers[0] << min(numbers[1], 64) if "<<" in text and len(numbers) == 2 else prod(numbers)


def _in_triton(text: str) -> Iterator[tuple[float, int, str]]:
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.BinOp(op=ast.Pow()):
                said = f"Line {node.lineno} takes a power, which Python computes to the last digit: write the number."
                yield 2.0, node.lineno, said
            case ast.Call(func=ast.Attribute(attr="static_range")):
                said = f"Line {node.lineno} writes a loop out: `range` in place of `tl.static_range` keeps it one."
                yield 1.0, node.lineno, said
