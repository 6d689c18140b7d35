"""Integer expressions as Python, over a mapping `n` of names."""

from __future__ import annotations

from warpsmith.core.expression import Expression
from warpsmith.core.expression_tree import Call, Chain, Literal, Name, Node, Size, Unary

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")


def function_of(expression: Expression | str) -> str:
    """`lambda n: cdiv(n["N"], 128)`; a constant's value needs no names, and gets one all the same."""
    parsed = expression if isinstance(expression, Expression) else Expression.parse(expression)
    return f"lambda n: {python_of(parsed.root)}"


def python_of(node: Node) -> str:
    """The expression of a tree. Logic and comparisons give 0 or 1, and logic stops early, as the plan's do."""
    match node:
        case Literal(value):
            return str(value)
        case Name(name):
            return f'n["{name}"]'
        case Size(name):
            return f'n["size({name})"]'
        case Call(function, arguments):
            return f"{function}({', '.join(python_of(argument) for argument in arguments)})"
        case Unary("not", operand):
            return f"int(not {python_of(operand)})"
        case Unary(_, operand):
            return f"(-{python_of(operand)})"
        case Chain(first, rest) if rest[0][0] in ("and", "or"):
            joined = f" {rest[0][0]} ".join(f"bool({python_of(it)})" for it in (first, *(it for _, it, _ in rest)))
            return f"int({joined})"
        case Chain(first, rest) if rest[0][0] in _COMPARISONS:
            return f"int({python_of(first)}{''.join(f' {sign} {python_of(operand)}' for sign, operand, _ in rest)})"
        case Chain(first, rest):
            text = python_of(first)
            for sign, operand, _ in rest:
                text = f"({text} {sign} {python_of(operand)})"
            return text
