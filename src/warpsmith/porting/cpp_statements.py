"""Where C++ statements, launches and namespaces begin and end, in tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from warpsmith.core.kernel_file.lexer import CppToken
from warpsmith.porting.cpp_expressions import angle_end, matching, split


def closes(tokens: Sequence[CppToken], at: int) -> bool:
    """Whether `>>>` stands at `at`."""
    three = tokens[at : at + 3]
    return [token.text for token in three] == [">", ">", ">"] and three[2].column == three[0].column + 2


def kernel_before(tokens: Sequence[CppToken]) -> tuple[CppToken | None, Sequence[CppToken]]:
    """Name and template arguments of the kernel that `<<<` follows."""
    if not tokens:
        return None, ()
    if tokens[-1].text != ">":
        return (tokens[-1] if tokens[-1].kind == "identifier" else None), ()
    for index in range(len(tokens) - 1, 0, -1):
        if tokens[index].text == "<" and angle_end(tokens, index) == len(tokens) - 1:
            return tokens[index - 1], tokens[index + 1 : len(tokens) - 1]
    return None, ()


def qualified(tokens: Sequence[CppToken]) -> dict[str, str]:
    """Kernels in namespaces -> their whole names."""
    found: dict[str, str] = {}
    inside: list[str] = []
    for at, token in enumerate(tokens):
        before = [it.text for it in tokens[max(0, at - 4) : at]]
        if token.text == "{":
            named = before[-1] if before[-2:-1] in (["namespace"], ["::"]) and before[-1:] != ["namespace"] else ""
            if before[-2:-1] == ["::"]:
                named = f"{before[-3]}::{named}" if before[-4:-3] == ["namespace"] else ""
            inside.append(named)
        elif token.text == "}" and inside:
            inside.pop()
        elif token.text == "__global__":
            name = _name_of_kernel(tokens, at)
            found[name] = "::".join([*(it for it in inside if it), name])
    return found


def _name_of_kernel(tokens: Sequence[CppToken], at: int) -> str:
    """The name behind `__global__` and its attributes."""
    for index in range(at + 1, len(tokens) - 1):
        name = tokens[index]
        attribute = name.text.startswith("__") and name.text.endswith("__")
        if tokens[index + 1].text == "(" and name.kind == "identifier" and not attribute:
            return name.text
    return ""


def statement_end(tokens: Sequence[CppToken], start: int) -> int:
    """Behind the statement that begins at `start`."""
    if start >= len(tokens):
        return len(tokens)
    if tokens[start].text == "{":
        return matching(tokens, start) + 1
    if tokens[start].text in ("if", "for", "while"):
        opening = start + 1 + (tokens[start + 1].text == "constexpr")
        end = statement_end(tokens, matching(tokens, opening) + 1)
        if end < len(tokens) and tokens[end].text == "else":
            return statement_end(tokens, end + 1)
        return end
    index = start
    while index < len(tokens) and tokens[index].text != ";":
        index = matching(tokens, index) + 1 if tokens[index].text in ("(", "[", "{") else index + 1
    return min(index + 1, len(tokens))


def assigned(tokens: Sequence[CppToken]) -> set[str]:
    return {a.text for a, b in itertools.pairwise(tokens) if b.text == "=" and a.kind == "identifier"}


def returned(body: Sequence[CppToken]) -> list[str]:
    """Names that the last `return` gives back."""
    at = max((index for index, token in enumerate(body) if token.text == "return"), default=None)
    if at is None:
        return []
    end = statement_end(body, at)
    value = body[at + 1 : end - 1]
    if value and value[0].text == "{":
        value = value[1 : matching(value, 0)]
    return [part[0].text for part in split(value) if part]
