"""The inside of a Triton kernel: which constructs, names and attributes it may use."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import dataclass

from warpsmith.core.nearest import did_you_mean
from warpsmith.sandbox.screen.source import SourceProblem
from warpsmith.sandbox.screen.triton_names import BUILTINS, LANGUAGE, LIBDEVICE, MATH, REMEDIES, TRITON, VALUES

ROOTS = frozenset(["tl", "triton", "libdevice"])
_STATEMENTS = (
    ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.If, ast.For, ast.While, ast.Expr, ast.Pass, ast.Break,
    ast.Continue,
)  # fmt: skip
_EXPRESSIONS = (
    ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call, ast.Constant, ast.Attribute, ast.Subscript, ast.Slice,
    ast.Name, ast.Tuple, ast.List, ast.IfExp,
)  # fmt: skip
_PARTS = (ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.expr_context, ast.keyword)
_LITERALS = (int, float, bool, str, type(None))
_CONSTRUCTS = {
    ast.FunctionDef: ("a function inside a kernel", "Move it to the top of the file and decorate it `@triton.jit`."),
    ast.ClassDef: ("a class", "Use plain values."),
    ast.Lambda: ("a lambda", "Write a `@triton.jit` function at the top of the file."),
    ast.Import: ("an import inside a kernel", "Import triton and triton.language at the top."),
    ast.ImportFrom: ("an import inside a kernel", "Import triton and triton.language at the top."),
    ast.JoinedStr: ("an f-string", "Write a plain string."),
    ast.ListComp: ("a comprehension", "Write `for i in tl.static_range(N):`."),
    ast.GeneratorExp: ("a comprehension", "Write `for i in tl.static_range(N):`."),
    ast.Assert: ("an assert", "Write `tl.static_assert(condition)`."),
    ast.Raise: ("a raise", "Write `tl.static_assert(condition)`."),
    ast.NamedExpr: ("`:=`", "Assign in a statement of its own."),
    ast.Starred: ("a `*`", "Write the values out."),
    ast.With: ("`with`", "Remove it."),
    ast.Try: ("`try`", "Remove it: kernels have no exceptions."),
}


class Refused(Exception):  # noqa: N818 - control flow inside the screen
    """A text is not clean."""

    def __init__(self, problem: SourceProblem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def refuse(node: ast.stmt | ast.expr | ast.arg | ast.keyword, message: str, remedy: str) -> Refused:
    return Refused(SourceProblem(message, node.lineno, remedy))


def literal(node: ast.expr) -> bool:
    """Whether an expression is a number, string, truth value or None, a sign before it at most."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        node = node.operand
    return isinstance(node, ast.Constant) and isinstance(node.value, _LITERALS)


def check_body(
    function: ast.FunctionDef, parameters: frozenset[str], functions: frozenset[str], constants: frozenset[str]
) -> None:
    """Refuse what a kernel's statements may not hold.

    `functions` and `constants` are the file's own; both are visible in every kernel.
    """
    reserved = ROOTS | BUILTINS | functions
    for name in sorted(parameters & reserved):
        raise refuse(function, f"the parameter `{name}` hides what `{name}` means.", "Rename it.")
    body = _Body(parameters | _assigned(function), functions, constants)
    for statement in function.body:
        body.check(statement)


def _assigned(function: ast.FunctionDef) -> frozenset[str]:
    return frozenset(
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    )


@dataclass(frozen=True, slots=True)
class _Body:
    locals: frozenset[str]
    functions: frozenset[str]
    constants: frozenset[str]

    def check(self, statement: ast.stmt) -> None:
        waiting: list[ast.AST] = [statement]
        while waiting:
            node = waiting.pop()
            waiting += reversed(list(self._parts(node)))

    def _parts(self, node: ast.AST) -> Iterator[ast.AST]:
        """Check one node; what remains to be checked below it."""
        match node:
            case ast.Attribute():
                return self._attribute(node)
            case ast.Name():
                self._name(node)
            case ast.Constant():
                if not isinstance(node.value, _LITERALS):
                    raise refuse(node, "the literal is not available in a kernel.", "Use numbers.")
            case ast.Call():
                self._call(node)
            case ast.While(test=ast.Constant()):
                raise refuse(node, "the `while` has no condition that can change.", "Write `while i < N:`.")
            case ast.AnnAssign() if ast.unparse(node.annotation) != "tl.constexpr":
                raise refuse(node, "only `tl.constexpr` can annotate a value.", "Remove the annotation.")
            case ast.stmt() if not isinstance(node, _STATEMENTS):
                raise _construct(node)
            case ast.expr() if not isinstance(node, _EXPRESSIONS):
                raise _construct(node)
            case ast.stmt() | ast.expr():
                pass
            case _ if not isinstance(node, _PARTS):
                raise AssertionError(f"{type(node).__name__} stands below something that was refused")
        return ast.iter_child_nodes(node)

    def _name(self, node: ast.Name) -> None:
        if node.id.startswith("__"):
            raise refuse(node, f"`{node.id}` is not available.", "Choose a name without underscores before it.")
        if not isinstance(node.ctx, ast.Load):
            if node.id in ROOTS | BUILTINS | self.functions | self.constants:
                raise refuse(node, f"`{node.id}` cannot be assigned.", "Choose another name.")
            return
        if node.id in ROOTS:
            raise refuse(node, f"`{node.id}` alone is no value.", f"Write `{node.id}.` and the function's name.")
        known = self.locals | self.functions | self.constants | BUILTINS
        if node.id not in known:
            remedy = REMEDIES.get(node.id)
            foreign = remedy or hasattr(builtins, node.id)
            message = f"`{node.id}` is not {'available' if foreign else 'defined'} in the kernel."
            remedy = remedy or did_you_mean(node.id, sorted(known)).partition("Known are")[0]
            raise refuse(node, message, remedy or "Pass it as a parameter, or define `NAME = tl.constexpr(1)` above.")

    def _call(self, node: ast.Call) -> None:
        for keyword in node.keywords:
            if keyword.arg is None:
                raise refuse(node, "a `**` is not available in a kernel.", "Write the values out.")
        if isinstance(node.func, ast.Name):
            if node.func.id in self.locals:
                message = f"`{node.func.id}` is a value, and cannot be called."
                raise refuse(node, message, "Call a `@triton.jit` function of the file, or tl.*.")
        elif not isinstance(node.func, ast.Attribute):
            raise refuse(node, "what is called has no name.", "Call a `@triton.jit` function of the file, or tl.*.")

    def _attribute(self, node: ast.Attribute) -> Iterator[ast.AST]:
        """Check `a.b.c` from its end; yields the value in front where it is no module."""
        names: list[str] = []
        value: ast.expr = node
        while isinstance(value, ast.Attribute):
            if not isinstance(value.ctx, ast.Load):
                raise refuse(value, "an attribute cannot be assigned.", "Assign to a name.")
            names.append(value.attr)
            value = value.value
        names.reverse()
        if isinstance(value, ast.Name) and value.id in ROOTS:
            names = self._below_module(node, value.id, names)
        else:
            yield value
        for name in names:
            if name not in VALUES:
                message = f"`.{name}` is not available in a kernel file."
                raise refuse(node, message, _remedy(name, VALUES))

    def _below_module(self, node: ast.Attribute, module: str, names: list[str]) -> list[str]:
        """Names behind those that a module resolves."""
        known, at = {"tl": LANGUAGE, "triton": TRITON, "libdevice": LIBDEVICE}[module], 0
        if module == "tl" and names[0] == "math" and len(names) > 1:
            known, at = MATH, 1
        elif module == "tl" and names[:2] == ["extra", "libdevice"] and len(names) > 2:
            known, at = LIBDEVICE, 2
        elif module == "tl" and names[:3] == ["extra", "cuda", "libdevice"] and len(names) > 3:
            known, at = LIBDEVICE, 3
        if names[at] not in known:
            path = ".".join((module, *names[: at + 1]))
            # The name behind a module says more than the module's.
            told = next((name for name in reversed(names) if name in REMEDIES), names[at])
            raise refuse(node, f"`{path}` is not available in a kernel file.", _remedy(told, known))
        return names[at + 1 :]


def _remedy(name: str, known: frozenset[str]) -> str:
    if name in REMEDIES:
        return REMEDIES[name]
    return did_you_mean(name, sorted(known)).partition("Known are")[0] or "Use what Triton's language reference lists."


def _construct(node: ast.stmt | ast.expr) -> Refused:
    what, remedy = _CONSTRUCTS.get(type(node), (f"{type(node).__name__}", "Use assignments, `if`, `for` and `while`."))
    return refuse(node, f"{what} is not available in a kernel.", remedy)
