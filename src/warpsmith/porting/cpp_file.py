"""A CUDA source split into device code, which stays, and host functions, which are read."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from warpsmith.core.kernel_file.lexer import CppToken, lex
from warpsmith.porting.cpp_expressions import matching, split, tree
from warpsmith.porting.expressions import Unresolved

_DEVICE = {"__global__", "__device__", "__constant__"}
_HOST_WORDS = {"torch", "at", "c10", "pybind11", "thrust", "std"}
_DROPPED_HEADER = re.compile(
    r"(torch|ATen|c10|pybind11|thrust)/.*|cuda(_runtime)?(_api)?\.h|device_launch_parameters\.h|iostream|vector|string"
    r"|chrono|random|algorithm|stdexcept|memory|stdlib\.h|cstdlib|cstring|string\.h|cublas.*|stdio\.h|cstdio|fstream"
    r"|time\.h|sys/.*|unistd\.h|helper_.*|iomanip|sstream"
)


@dataclass(frozen=True, slots=True)
class HostFunction:
    """One function of the host."""

    name: str
    parameters: tuple[tuple[str, str], ...]
    """(type, name) of each."""
    body: tuple[CppToken, ...]
    line: int


@dataclass(slots=True)
class CppFile:
    """What a CUDA source holds."""

    device: str = ""
    hosts: dict[str, HostFunction] = field(default_factory=dict)
    helpers: dict[str, tuple[tuple[str, ...], ast.expr]] = field(default_factory=dict)
    """Functions and macros that are one expression."""
    constants: dict[str, ast.expr] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    """Names of host functions and headers that were left out."""


def read_cpp(text: str) -> CppFile:
    """Split a CUDA source.

    Raises:
        KernelFileError: a comment, a string or a bracket is not closed.
    """
    source, found = lex(text), CppFile()
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    gone = _spans(list(source.tokens), found, starts)
    for directive in source.directives:
        _directive(directive, found, starts, gone)
    kept, at = [], 0
    for first, last in sorted(gone):
        if first >= at:
            kept.append(text[at:first])
            at = last
    found.device = re.sub(r"\n{3,}", "\n\n", "".join([*kept, text[at:]]))
    return found


def _offset(token: CppToken, starts: Sequence[int]) -> int:
    return starts[token.line - 1] + token.column - 1


def _directive(line: tuple[CppToken, ...], found: CppFile, starts: Sequence[int], gone: list[tuple[int, int]]) -> None:
    words = [token.text for token in line]
    if len(words) < 3:
        return
    if words[1] == "include":
        header = "".join(words[2:]).strip('<>"')
        if words[2].startswith('"') or _DROPPED_HEADER.fullmatch(header):
            gone.append((starts[line[0].line - 1], starts[line[-1].line]))
            found.dropped.append(f"#include {header}")
    elif words[1] == "pragma" and words[2] == "once":
        gone.append((starts[line[0].line - 1], starts[line[-1].line]))
    elif words[1] == "define":
        _macro(line, found, starts, gone)


def _macro(line: tuple[CppToken, ...], found: CppFile, starts: Sequence[int], gone: list[tuple[int, int]]) -> None:
    name, rest = line[2], line[3:]
    if any(token.text in ("torch", "TORCH_CHECK", "cudaError_t", "cudaSuccess") for token in rest):
        gone.append((starts[line[0].line - 1], starts[line[-1].line]))
        return
    try:
        if rest and rest[0].text == "(" and rest[0].column == name.column + len(name.text):
            end = matching(rest, 0)
            parameters = tuple(token.text for token in rest[1:end] if token.kind == "identifier")
            found.helpers[name.text] = (parameters, tree(rest[end + 1 :]))
        elif rest:
            found.constants[name.text] = tree(rest)
    except Unresolved:
        return


def _spans(tokens: list[CppToken], found: CppFile, starts: Sequence[int]) -> list[tuple[int, int]]:
    """Where host code stands in the text."""
    gone: list[tuple[int, int]] = []
    index = 0
    while index < len(tokens):
        texts = [token.text for token in tokens[index : index + 3]]
        if texts[0] == "namespace" or texts[:2] == ["extern", '"C"']:
            while index < len(tokens) and tokens[index].text not in ("{", ";", "__global__", "void"):
                index += 1
            if index < len(tokens) and tokens[index].text in ("{", ";"):
                index += 1
                continue
            texts = [token.text for token in tokens[index : index + 3]]
        if texts and texts[0] in ("}", ";"):
            index += 1
            continue
        end = _declaration_end(tokens, index)
        if not _kept(tokens[index:end], found):
            gone.append((_offset(tokens[index], starts), _offset(tokens[end - 1], starts) + len(tokens[end - 1].text)))
        index = end
    return gone


def _declaration_end(tokens: Sequence[CppToken], start: int) -> int:
    """Behind the `;` or the body that ends a declaration."""
    index, called = start, False
    while index < len(tokens):
        text = tokens[index].text
        if text == ";":
            return index + 1
        if text == "{" and called:
            return matching(tokens, index) + 1
        if text in ("(", "[", "{"):
            called |= text == "("
            index = matching(tokens, index)
        elif text == "=":
            called = False
        index += 1
    return len(tokens)


def _kept(declaration: Sequence[CppToken], found: CppFile) -> bool:
    """Whether a declaration is device code; a host function is noted."""
    texts = [token.text for token in declaration]
    body = _body(declaration)
    head = texts[: body if body is not None else len(texts)]
    if _DEVICE & set(head):
        return True
    opening = next(
        (i for i, text in enumerate(head) if text == "(" and i and declaration[i - 1].kind == "identifier"), None
    )
    if body is not None and opening is not None and "=" not in head[:opening]:
        if "constexpr" in head:
            _helper(declaration, opening, body, found)
            return True
        name = declaration[opening - 1]
        if name.text == "PYBIND11_MODULE" or name.text.startswith("TORCH_LIBRARY"):
            found.dropped.append(name.text)
            return False
        _host(declaration, opening, body, found)
        _helper(declaration, opening, body, found)
        found.dropped.append(name.text)
        return False
    if opening is not None and "=" not in head[:opening] and texts[-1] == ";" and "constexpr" not in head:
        return False
    if texts[0] == "using" and len(texts) > 2 and texts[1] == "namespace":
        return texts[2] not in _HOST_WORDS
    if _HOST_WORDS & {a for a, b in itertools.pairwise(texts) if b == "::"}:
        return False
    _constant(declaration, found)
    return True


def _body(declaration: Sequence[CppToken]) -> int | None:
    """Index of the `{` of a function's body: the last one at the top level that ends the declaration."""
    if declaration[-1].text != "}":
        return None
    index = 0
    while index < len(declaration):
        if declaration[index].text in ("(", "[", "{"):
            end = matching(declaration, index)
            if declaration[index].text == "{" and end == len(declaration) - 1:
                return index
            index = end
        index += 1
    return None


def _host(declaration: Sequence[CppToken], opening: int, body: int, found: CppFile) -> None:
    name, end = declaration[opening - 1], matching(declaration, opening)
    parameters = []
    for part in split(declaration[opening + 1 : end]):
        equals = next((i for i, token in enumerate(part) if token.text == "="), len(part))
        words = part[:equals]
        if len(words) > 1 and words[-1].kind == "identifier":
            parameters.append((" ".join(token.text for token in words[:-1]), words[-1].text))
    inside = tuple(declaration[body + 1 : len(declaration) - 1])
    found.hosts[name.text] = HostFunction(name.text, tuple(parameters), inside, name.line)


def _helper(declaration: Sequence[CppToken], opening: int, body: int, found: CppFile) -> None:
    inside = declaration[body + 1 : len(declaration) - 1]
    if not inside or inside[0].text != "return" or inside[-1].text != ";":
        return
    names = [part[-1].text for part in split(declaration[opening + 1 : matching(declaration, opening)]) if part]
    try:
        found.helpers[declaration[opening - 1].text] = (tuple(names), tree(inside[1:-1]))
    except Unresolved:
        return


def _constant(declaration: Sequence[CppToken], found: CppFile) -> None:
    equals = next((i for i, token in enumerate(declaration) if token.text == "="), None)
    if equals and declaration[-1].text == ";" and declaration[equals - 1].kind == "identifier":
        try:
            found.constants[declaration[equals - 1].text] = tree(declaration[equals + 1 : -1])
        except Unresolved:
            return
