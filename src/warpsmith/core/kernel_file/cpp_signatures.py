"""The `__global__` functions of a C++ source and their parameters' names, read from tokens."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.lexer import CppToken
from warpsmith.core.kernel_file.model import Parameter, Signature

_ATTRIBUTES = frozenset(
    {
        "__launch_bounds__",
        "__cluster_dims__",
        "__block_size__",
        "__maxnreg__",
        "__attribute__",
        "__declspec",
        "__align__",
        "alignas",
        "decltype",
        "noexcept",
    }
)
_TYPE_WORDS = frozenset(
    {"const", "volatile", "unsigned", "signed", "int", "char", "short", "long", "float", "double", "bool", "void"}
    | {"auto", "struct", "constexpr", "__restrict__", "__restrict", "__grid_constant__"}
)
_ENDS = frozenset({";", "{", "}", "__global__"})
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")


def cpp_signatures(tokens: Sequence[CppToken]) -> dict[str, Signature]:
    """Every `__global__` function by name. Two that differ in parameters under one name are refused."""
    found: dict[str, Signature] = {}
    for at, token in enumerate(tokens):
        if token.text != "__global__":
            continue
        signature = _signature(tokens, at)
        if signature is None:
            continue
        known = found.setdefault(signature.name, signature)
        if known.parameters != signature.parameters:
            message = (
                f"Kernel `{signature.name}` is declared twice with different parameters (also at line {known.line})."
            )
            raise KernelFileError(message, remedy="Give each kernel its own name.", line=signature.line)
    return found


def _signature(tokens: Sequence[CppToken], at: int) -> Signature | None:
    """Read the function whose `__global__` is `tokens[at]`; None where nothing like one follows."""
    index = at + 1
    while index + 1 < len(tokens):
        token, following = tokens[index], tokens[index + 1]
        if token.text in _ENDS:
            return None
        if following.text == "(" and token.text in _ATTRIBUTES:
            index = _matching(tokens, index + 1) + 1
            continue
        if following.text == "(" and token.kind == "identifier":
            end = _matching(tokens, index + 1)
            parameters = _parameters(tokens[index + 2 : end], token)
            template, extern_c = _before(tokens, at)
            return Signature(token.text, parameters, token.line, template, extern_c)
        index += 1
    return None


def _matching(tokens: Sequence[CppToken], opening: int) -> int:
    """Index of the bracket that closes `tokens[opening]`."""
    depth = 0
    for index in range(opening, len(tokens)):
        if tokens[index].text in _OPEN:
            depth += 1
        elif tokens[index].text in _CLOSE:
            depth -= 1
            if depth == 0:
                return index
    token = tokens[opening]
    raise KernelFileError(f"`{token.text}` is not closed.", line=token.line, column=token.column)


def _split(tokens: Sequence[CppToken]) -> list[list[CppToken]]:
    """Split at commas outside brackets and template arguments."""
    parts: list[list[CppToken]] = [[]]
    depth = angle = 0
    for token in tokens:
        if token.text in _OPEN:
            depth += 1
        elif token.text in _CLOSE:
            depth -= 1
        elif token.text == "<" and depth == 0:
            angle += 1
        elif token.text == ">" and depth == 0:
            angle = max(angle - 1, 0)
        if token.text == "," and depth == 0 and angle == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts if parts != [[]] else []


def _parameters(tokens: Sequence[CppToken], kernel: CppToken) -> tuple[Parameter, ...]:
    parts = _split(tokens)
    if len(parts) == 1 and [token.text for token in parts[0]] == ["void"]:
        return ()
    parameters: list[Parameter] = []
    for number, part in enumerate(parts, start=1):
        parameter = _parameter(part, kernel, number)
        if any(parameter.name == other.name for other in parameters):
            raise KernelFileError(f"`{kernel.text}` has two parameters `{parameter.name}`.", line=kernel.line)
        parameters.append(parameter)
    return tuple(parameters)


def _parameter(tokens: list[CppToken], kernel: CppToken, number: int) -> Parameter:
    declared: list[CppToken] = []
    for token in tokens:
        if token.text == "=":
            break
        declared.append(token)
    head = declared
    while head and head[-1].text == "]":
        opening = next((i for i in range(len(head) - 1, -1, -1) if head[i].text == "["), 0)
        head = head[:opening]
    named = head and head[-1].kind == "identifier" and head[-1].text not in _TYPE_WORDS
    if not named or (len(head) < 2 or head[-2].text == "::"):
        line = tokens[0].line if tokens else kernel.line
        message = f"Parameter {number} of `{kernel.text}` has no name that can be read."
        raise KernelFileError(message, remedy="Arguments bind by name: write `const x_t* x`, `int M`.", line=line)
    suffix = " *" if len(head) < len(declared) else ""
    return Parameter(head[-1].text, " ".join(token.text for token in head[:-1]) + suffix)


def _before(tokens: Sequence[CppToken], at: int) -> tuple[tuple[str, ...] | None, bool]:
    """Template parameters and `extern "C"` of the declaration that `tokens[at]` belongs to."""
    start = at
    while start > 0 and tokens[start - 1].text not in _ENDS:
        start -= 1
    declaration = tokens[start:at]
    extern_c = any(
        token.text == "extern" and following.text == '"C"' for token, following in itertools.pairwise(declaration)
    ) or (start >= 3 and [token.text for token in tokens[start - 3 : start]] == ["extern", '"C"', "{"])
    for index, token in enumerate(declaration):
        if token.text == "template" and index + 1 < len(declaration) and declaration[index + 1].text == "<":
            return tuple(_template_names(declaration[index + 2 :])), extern_c
    return None, extern_c


def _template_names(tokens: Sequence[CppToken]) -> list[str]:
    angle, depth = 1, 0
    inside: list[CppToken] = []
    for token in tokens:
        depth += (token.text in _OPEN) - (token.text in _CLOSE)
        angle += {"<": 1, ">": -1}.get(token.text, 0) if depth == 0 else 0
        if angle == 0:
            break
        inside.append(token)
    names: list[str] = []
    for part in _split(inside):
        declared = [token for token in part if token.kind == "identifier"]
        equals = next((i for i, token in enumerate(part) if token.text == "="), len(part))
        named = [token for token in part[:equals] if token.kind == "identifier"] or declared
        names.append(named[-1].text if named else "")
    return names
