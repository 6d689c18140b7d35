"""The configurations of `@triton.autotune`, written out: lists, their sums, and comprehensions over literals."""

from __future__ import annotations

import ast
import copy
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST = 256
"""Configurations that are written out, and steps of one comprehension."""
_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


def written_out(listed: ast.expr | None, constants: Mapping[str, ast.expr]) -> list[ast.expr]:
    """Every configuration as an expression of its own, integers worked out; nothing where that takes running code.

    Args:
        listed: what `configs` is.
        constants: names that the module assigns.
    """
    try:
        return list(itertools.islice(_items(listed, constants), MOST + 1))[:MOST] if listed is not None else []
    except _Running:
        return []


class _Running(Exception):  # noqa: N818 - a fact about an expression
    """It would have to be run."""


def _items(node: ast.expr, constants: Mapping[str, ast.expr]) -> Iterator[ast.expr]:
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items):
            for item in items:
                yield from _items(item.value, constants) if isinstance(item, ast.Starred) else (item,)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _items(left, constants)
            yield from _items(right, constants)
        case ast.ListComp(elt=item, generators=generators) | ast.GeneratorExp(elt=item, generators=generators):
            for values in _bindings(generators, constants, {}):
                yield _Worked(values).visit(copy.deepcopy(item))
        case ast.Name(id=name) if name in constants:
            yield from _items(constants[name], {other: it for other, it in constants.items() if other != name})
        case _:
            raise _Running


def _bindings(
    generators: list[ast.comprehension], constants: Mapping[str, ast.expr], values: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    if not generators:
        yield values
        return
    first, *rest = generators
    if first.is_async:
        raise _Running
    for item in _values(first.iter, constants, values):
        bound = {**values, **_bound(first.target, item)}
        if all(_value(test, bound) for test in first.ifs):
            yield from _bindings(rest, constants, bound)


def _bound(target: ast.expr, item: Any) -> dict[str, Any]:
    match target:
        case ast.Name(id=name):
            return {name: item}
        case ast.Tuple(elts=names) if isinstance(item, tuple | list) and len(names) == len(item):
            return {key: it for name, value in zip(names, item, strict=True) for key, it in _bound(name, value).items()}
        case _:
            raise _Running


def _values(node: ast.expr, constants: Mapping[str, ast.expr], values: Mapping[str, Any]) -> list[Any]:
    """What a comprehension goes through: a literal list or `range` of integers."""
    match node:
        case ast.Name(id=name) if name in constants and name not in values:
            return _values(constants[name], {}, values)
        case ast.Call(func=ast.Name(id="range"), args=arguments) if 1 <= len(arguments) <= 2 and not node.keywords:
            found = range(*(_number(argument, values) for argument in arguments))
        case _:
            found = _value(node, values)
    if not isinstance(found, range | list | tuple) or len(found) > MOST:
        raise _Running
    return list(found)


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """An expression of literals and bound names."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, values) for item in items]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_number(operand, values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _value(operand, values)
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _BINARY:
            return _applied(sign, _number(left, values), _number(right, values))
        case ast.Compare(left=left, ops=signs, comparators=others) if all(type(it) in _BINARY for it in signs):
            sides = [_number(item, values) for item in (left, *others)]
            return all(_applied(sign, a, b) for sign, (a, b) in zip(signs, itertools.pairwise(sides), strict=True))
        case ast.BoolOp(op=sign, values=parts):
            found = [bool(_value(part, values)) for part in parts]
            return all(found) if isinstance(sign, ast.And) else any(found)
        case _:
            raise _Running


def _number(node: ast.expr, values: Mapping[str, Any]) -> int:
    found = _value(node, values)
    if not isinstance(found, int):
        raise _Running
    return found


def _applied(sign: ast.AST, left: int, right: int) -> Any:
    if right == 0 and isinstance(sign, ast.FloorDiv | ast.Mod):
        raise _Running
    return _BINARY[type(sign)](left, right)


class _Worked(ast.NodeTransformer):
    """Puts values in the place of names, and works out what then consists of literals."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Name | ast.BinOp | ast.UnaryOp):
            try:
                return ast.copy_location(ast.Constant(_number(node, self.values)), node)
            except _Running:
                return node
        return self.generic_visit(node)
