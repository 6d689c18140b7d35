"""C++ host expressions as Python syntax trees, so that one translator serves both languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from keyword import iskeyword

from warpsmith.core.kernel_file.lexer import CppToken
from warpsmith.porting.expressions import Unresolved

_OPEN, _CLOSE = {"(": ")", "[": "]", "{": "}"}, {")", "]", "}"}
_INTEGERS = {"int", "unsigned", "long", "short", "signed", "size_t", "int64_t", "int32_t", "uint32_t", "uint64_t"}
_INTEGERS |= {"const", "auto", "std", "::", "at", "c10"}
_CASTS = {"static_cast", "reinterpret_cast", "const_cast"}
_WORD = "cpp_word_"
_SUFFIX = re.compile(r"(?:0[xX][0-9a-fA-F]+|\d+)(?=[uUlLzZ]*$)")


def lambda_body(tokens: Sequence[CppToken]) -> int | None:
    """Where the body of the first `[&]` or `[=]` lambda opens."""
    for index in range(len(tokens) - 2):
        if tokens[index].text == "[" and tokens[index + 1].text in ("&", "=") and tokens[index + 2].text == "]":
            return next((i for i in range(index + 3, len(tokens)) if tokens[i].text == "{"), None)
    return None


def matching(tokens: Sequence[CppToken], opening: int) -> int:
    """Index of the bracket that closes `tokens[opening]`; the last index where none does."""
    depth = 0
    for index in range(opening, len(tokens)):
        depth += (tokens[index].text in _OPEN) - (tokens[index].text in _CLOSE)
        if depth == 0:
            return index
    return len(tokens) - 1


def angle_end(tokens: Sequence[CppToken], opening: int) -> int | None:
    """Index of the `>` that closes the `<` at `opening`, where it looks like template arguments."""
    depth = 0
    for index in range(opening, min(len(tokens), opening + 80)):
        text = tokens[index].text
        depth += {"<": 1, ">": -1}.get(text, 0)
        if depth == 0:
            return index
        if text in (";", "{", "}", "&&", "||"):
            return None
    return None


def split(tokens: Sequence[CppToken], separator: str = ",") -> list[list[CppToken]]:
    """Split at a separator outside brackets and template arguments."""
    parts: list[list[CppToken]] = [[]]
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if token.text in _OPEN:
            end = matching(tokens, index) + 1
        elif token.text == "<" and (closing := _template(tokens, index)) is not None:
            end = closing + 1
        else:
            end = index + 1
        if token.text == separator:
            parts.append([])
        else:
            parts[-1] += tokens[index:end]
        index = end
    return parts if parts != [[]] else []


def _template(tokens: Sequence[CppToken], at: int) -> int | None:
    """End of template arguments that begin at `at`: a name before, `(` or `::` behind."""
    end = angle_end(tokens, at)
    if end is None or at == 0 or tokens[at - 1].kind != "identifier" or end + 1 >= len(tokens):
        return None
    return end if tokens[end + 1].text in ("(", "::", "{") else None


def tree(tokens: Sequence[CppToken]) -> ast.expr:
    """The Python tree of a C++ expression.

    Raises:
        Unresolved: it has something that no launch plan says.
    """
    try:
        return _Renamed().visit(ast.parse(_python(list(tokens)).strip(), mode="eval").body)  # type: ignore[no-any-return]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Unresolved(f"`{shown(tokens)}` is no expression that can be read") from None


class _Renamed(ast.NodeTransformer):
    """Gives names back that are words of Python: `in`, `is`, `from`."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        return ast.Name(node.id.removeprefix(_WORD), node.ctx)


def shown(tokens: Sequence[CppToken]) -> str:
    """Tokens as a person would write them, for messages."""
    text = " ".join(token.text for token in tokens)
    return re.sub(r"\s*(::|\.|->|\(|\)|\[|\]|,)\s*", lambda it: ", " if it[1] == "," else it[1], text)[:100]


def _python(tokens: list[CppToken]) -> str:
    question = _top(tokens, "?")
    if question is not None:
        colon = _top(tokens, ":")
        if colon is None:
            raise Unresolved(f"`{shown(tokens)}` is no expression that can be read")
        test, then, other = tokens[:question], tokens[question + 1 : colon], tokens[colon + 1 :]
        return f"(({_python(then)}) if ({_python(test)}) else ({_python(other)}))"
    pairs = _pairs(tokens)
    for sign, word in (("||", "or"), ("&&", "and")):
        at = next((index for index, text in pairs if text == sign), None)
        if at is not None:
            return f"(({_python(tokens[:at])}) {word} ({_python(tokens[at + 2 :])}))"
    if tokens and tokens[0].text == "!" and (len(tokens) < 2 or tokens[1].text != "="):
        if len(tokens) > 2 and not (tokens[1].text == "(" and matching(tokens, 1) == len(tokens) - 1):
            raise Unresolved(f"`{shown(tokens)}` is no expression that can be read")
        return f"(not ({_python(tokens[1:])}))"
    return _flat(tokens)


def _pairs(tokens: Sequence[CppToken]) -> list[tuple[int, str]]:
    """(index, text) of adjacent punctuation outside brackets, which the lexer gives one character at a time."""
    found, index = [], 0
    while index + 1 < len(tokens):
        if tokens[index].text in _OPEN:
            index = matching(tokens, index)
        elif tokens[index].column + 1 == tokens[index + 1].column and tokens[index].line == tokens[index + 1].line:
            found.append((index, tokens[index].text + tokens[index + 1].text))
        index += 1
    return found


def _top(tokens: Sequence[CppToken], text: str) -> int | None:
    index = 0
    while index < len(tokens):
        if tokens[index].text in _OPEN:
            index = matching(tokens, index)
        elif tokens[index].text == text:
            return index
        index += 1
    return None


def _flat(tokens: list[CppToken]) -> str:
    """Everything without `?:`, `&&`, `||` and `!` at its top."""
    parts: list[str] = []
    index = 0
    while index < len(tokens):
        token, text = tokens[index], tokens[index].text
        following = tokens[index + 1].text if index + 1 < len(tokens) else ""
        if text in _CASTS and following == "<" and (end := angle_end(tokens, index + 1)) is not None:
            _check_cast(tokens[index + 2 : end])
            index = end
        elif text == "sizeof" and following == "(":
            end = matching(tokens, index + 1)
            parts.append(f"sizeof({_type_name(tokens[index + 2 : end])})")
            index = end
        elif text in _OPEN:
            end = matching(tokens, index)
            inside = tokens[index + 1 : end]
            if not (text == "(" and _is_cast(inside) and end + 1 < len(tokens) and _begins(tokens[end + 1])):
                close = "]" if text == "{" else _OPEN[text]
                opening = "[" if text == "{" else text
                parts.append(opening + ", ".join(_python(part) for part in split(inside)) + close)
            index = end
        elif token.kind == "identifier" and following == "::":
            index += 1  # namespaces
        elif token.kind == "identifier" and following == "<" and (end := _template(tokens, index + 1)) is not None:
            parts.append(text)
            index = end
        elif token.kind == "identifier" and text in ("unsigned", "long") and following != "(":
            pass
        elif token.kind == "number":
            parts.append(_number(text))
        elif text == "->":
            parts.append(".")
        elif text == "/" or (text == "&" and not parts):
            parts.append(text if text == "/" else "")
        else:
            word = _WORD + text if iskeyword(text) else text
            parts.append({"true": "1", "false": "0", "nullptr": "None"}.get(text, word))
        index += 1
    return _joined(parts)


def _joined(parts: list[str]) -> str:
    """Words apart; operators of two characters together again."""
    text = ""
    for part in parts:
        apart = text and (text[-1].isalnum() or text[-1] == "_") and (part[:1].isalnum() or part[:1] == "_")
        text += f" {part}" if apart else part
    return text


def _is_cast(inside: Sequence[CppToken]) -> bool:
    words = [token.text for token in inside if token.text != "*"]
    if not words:
        return False
    pointer = any(token.text == "*" for token in inside) and inside[-1].text == "*"
    return pointer or all(word in _INTEGERS for word in words)


def _begins(token: CppToken) -> bool:
    return token.kind in ("identifier", "number") or token.text == "("


def _check_cast(inside: Sequence[CppToken]) -> None:
    if inside and inside[-1].text == "*":
        return
    if not all(token.text in _INTEGERS for token in inside):
        raise Unresolved(f"a cast to `{shown(inside)}` is no integer: compute it inside the kernel")


def _type_name(tokens: Sequence[CppToken]) -> str:
    return "_".join(token.text for token in tokens if token.kind == "identifier")


def _number(text: str) -> str:
    match = _SUFFIX.match(text.replace("'", ""))
    if match is None:
        raise Unresolved(f"`{text}` is no integer: compute it inside the kernel")
    return match.group()
