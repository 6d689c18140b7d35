"""Calls of the CUDA runtime that allocate and set memory."""

from __future__ import annotations

from collections.abc import Sequence

from warpsmith.core.kernel_file.lexer import CppToken
from warpsmith.porting.cpp_expressions import matching, tree
from warpsmith.porting.cpp_types import DTYPES
from warpsmith.porting.expressions import Scope, Unresolved, plan
from warpsmith.porting.plan import Scratch

MEMORY_CALLS = ("cudaMalloc", "cudaMemset", "cudaMemsetAsync")


def memory_call(tokens: Sequence[CppToken]) -> Sequence[CppToken]:
    """A statement from its call of the CUDA runtime's memory on: alone, its error kept, or in a checking macro."""
    words = [token.text for token in tokens]
    if words and words[0] in MEMORY_CALLS:
        return tokens
    if len(words) > 3 and words[1] == "(" and words[2] in MEMORY_CALLS:
        return tokens[2:]
    if "=" in words[:4] and words[words.index("=") + 1] in MEMORY_CALLS:
        return tokens[words.index("=") + 1 :]
    return ()


def elements(size: Sequence[CppToken]) -> tuple[Sequence[CppToken], str] | None:
    """`n * sizeof(T)`, or the other way round, as `n` and `T`; None for any other number of bytes."""
    words = [token.text for token in size]
    if words.count("sizeof") != 1 or (at := words.index("sizeof")) + 1 >= len(words):
        return None
    end = matching(size, at + 1)
    before, after = size[:at], size[end + 1 :]
    if before and before[-1].text == "*" and not after:
        count = before[:-1]
    elif not before and after and after[0].text == "*":
        count = after[1:]
    else:
        return None
    depth = 0
    for token in count:
        depth += (token.text == "(") - (token.text == ")")
        if depth == 0 and token.text in ("+", "-", "/", "%", "?", "<", ">"):
            return None  # It binds less than the product, or rounds before it.
    return count, "_".join(words[at + 2 : end])


def scratch_of(name: str, size: Sequence[CppToken], scope: Scope) -> Scratch | None:
    """The buffer of an allocation of so many bytes; None where its elements cannot be told."""
    found = elements(size)
    if found is None or found[1] not in DTYPES:
        return None
    try:
        return Scratch(name, [plan(tree(found[0]), scope)], DTYPES[found[1]])
    except Unresolved:
        return None
