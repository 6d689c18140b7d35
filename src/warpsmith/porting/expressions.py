"""Host expressions as integer expressions of a launch plan. Python's syntax tree serves both languages."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from warpsmith.core.kernel_file.dims import dimension_names, tensors_of
from warpsmith.core.task import Output, Task, Tensor

OPEN = "?"
"""Stands in the plan where something is left open; no expression has it, so that no unfinished file is taken."""
DEEPEST = 60
"""Names looked up inside one another; a host that defines itself by itself ends here."""


class Unresolved(Exception):  # noqa: N818 - not an error of the program: a question to the author
    """Something a plan cannot say, or that only the author knows."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.message, self.name = message, name


@dataclass(frozen=True, slots=True)
class Memory:
    """A tensor of the task, or scratch the host allocates."""

    name: str
    shape: tuple[str, ...]
    """Extents as plan expressions; empty where only the memory is known."""
    whole: bool = True
    """The whole tensor in its own order: its sizes may be asked."""


@dataclass(slots=True)
class Scope:
    """What names mean at one place of the host code."""

    task: Task
    bindings: Mapping[str, str]
    """What the author said: host name -> tensor, or plan expression."""
    values: dict[str, tuple[ast.expr, Scope] | None] = field(default_factory=dict)
    """Local name -> its only value, and where that is to be read; None where it has several."""
    memory: dict[str, Memory] = field(default_factory=dict)
    knobs: frozenset[str] = frozenset()
    helpers: Mapping[str, tuple[tuple[str, ...], ast.expr]] = field(default_factory=dict)
    """Functions and macros that are one expression: name -> parameters and that expression."""
    element: Callable[[str], str] | None = None
    """`sizeof` of a type's name; None in Python."""
    floors: bool = False
    """Whether `/` divides integers, as in C++."""

    def assign(self, name: str, value: ast.expr | None) -> None:
        """Note a value; a second one that differs makes the name say nothing."""
        if name not in self.values:
            self.values[name] = (value, self) if value is not None else None
            return
        before = self.values[name]
        same = before is not None and value is not None and _same(before[0], value, self)
        self.values[name] = before if same else None


def _same(before: ast.expr, now: ast.expr, scope: Scope) -> bool:
    """Whether two values of a name are one: `M, K = a.shape` and `K, N = b.shape`."""
    try:
        return plan(before, scope) == plan(now, scope)
    except Unresolved:
        return False


def tensor_of(node: ast.expr, scope: Scope, depth: int = 0) -> Memory:
    """The memory an expression points to.

    Raises:
        Unresolved: it is none, or its elements lie in another order.
    """
    match node:
        case ast.Name(name):
            return _named_memory(name, scope, depth)
        case ast.Call(ast.Attribute(inner, method)) if method in _SAME:
            return tensor_of(inner, scope, depth + 1)
        case ast.Call(ast.Attribute(inner, method)) if method in _RESHAPED:
            found = tensor_of(inner, scope, depth + 1)
            return Memory(found.name, found.shape, whole=False)
        case ast.Call(ast.Attribute(_, method)):
            raise Unresolved(f"`.{method}()` makes another tensor, which the task does not have")
    raise Unresolved(f"`{ast.unparse(node)}` is no tensor of the task and no buffer")


_SAME = {"contiguous", "data_ptr", "data", "const_data_ptr", "mutable_data_ptr", "cuda", "detach", "get"}
_RESHAPED = {"view", "reshape", "flatten", "view_as", "unsqueeze", "squeeze"}


def _named_memory(name: str, scope: Scope, depth: int) -> Memory:
    if depth > DEEPEST:
        raise Unresolved(f"`{name}` is defined by itself", name)
    if name in scope.memory:
        return scope.memory[name]
    wanted = scope.bindings.get(name)
    if wanted is None and name in scope.values:
        value = scope.values[name]
        if value is None:
            raise Unresolved(f"`{name}` has several values", name)
        try:
            return tensor_of(value[0], value[1], depth + 1)
        except Unresolved as error:
            raise Unresolved(f"`{name}`: {error.message}", error.name or name) from None
    found = {tensor.name: tensor for tensor in tensors_of(scope.task)}
    if (wanted or name) in found:
        return memory_of(found[wanted or name])
    raise Unresolved(f"`{name}` is no tensor of the task ({', '.join(found)})", name)


def memory_of(tensor: Tensor | Output) -> Memory:
    """A tensor of the task."""
    return Memory(tensor.name, tensor.shape)


def plan(node: ast.expr, scope: Scope, depth: int = 0) -> str:
    """An integer expression of a plan.

    Raises:
        Unresolved: the plan's expressions cannot say it, or a name in it means nothing here.
    """
    if depth > DEEPEST:
        raise Unresolved("the expression nests too deeply")
    return tidy(_Translator(scope, depth).visit(node))


def tidy(text: str) -> str:
    """Without the outermost brackets."""
    try:
        return ast.unparse(ast.parse(text, mode="eval")).replace("\n", " ")
    except SyntaxError:
        return text


class _Translator(ast.NodeVisitor):
    def __init__(self, scope: Scope, depth: int) -> None:
        self.scope, self.depth = scope, depth

    def _plan(self, node: ast.expr) -> str:
        return plan(node, self.scope, self.depth + 1)

    def generic_visit(self, node: ast.AST) -> str:
        raise Unresolved(f"`{ast.unparse(node)}` is no integer expression of a launch plan")

    def visit_Constant(self, node: ast.Constant) -> str:
        if isinstance(node.value, bool) or not isinstance(node.value, int):
            raise Unresolved(f"`{node.value!r}` is no integer: compute it inside the kernel")
        return str(node.value)

    def visit_Name(self, node: ast.Name) -> str:
        name, scope = node.id, self.scope
        if name in scope.bindings:
            return f"({scope.bindings[name]})"
        if name in scope.values:
            value = scope.values[name]
            if value is None:
                raise Unresolved(f"`{name}` has several values", name)
            return f"({plan(value[0], value[1], self.depth + 1)})"
        if name in scope.knobs or name in dimension_names(scope.task) or name == "SMS":
            return name
        known = ", ".join(dimension_names(scope.task))
        raise Unresolved(f"`{name}` is no dimension of the task ({known})", name)

    def visit_BinOp(self, node: ast.BinOp) -> str:
        signs: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Mod: "%"}
        signs |= {ast.FloorDiv: "//"} | ({ast.Div: "//"} if self.scope.floors else {})
        if (rounded := _rounded_up(node)) and type(node.op) in (ast.FloorDiv, ast.Div) and type(node.op) in signs:
            return f"cdiv({self._plan(rounded[0])}, {self._plan(rounded[1])})"
        if isinstance(node.op, ast.LShift | ast.RShift) and isinstance(node.right, ast.Constant):
            sign = "*" if isinstance(node.op, ast.LShift) else "//"
            return f"({self._plan(node.left)}) {sign} {1 << min(int(node.right.value), 62)}"  # type: ignore[arg-type]
        if type(node.op) not in signs:
            raise Unresolved(f"`{ast.unparse(node)}` is no integer expression of a launch plan")
        return f"({self._plan(node.left)}) {signs[type(node.op)]} ({self._plan(node.right)})"

    def visit_UnaryOp(self, node: ast.UnaryOp) -> str:
        sign = {ast.USub: "-", ast.Not: "not "}.get(type(node.op))
        if sign is None:
            self.generic_visit(node)
        return f"{sign}({self._plan(node.operand)})"

    def visit_BoolOp(self, node: ast.BoolOp) -> str:
        sign = " and " if isinstance(node.op, ast.And) else " or "
        return sign.join(f"({self._plan(value)})" for value in node.values)

    def visit_Compare(self, node: ast.Compare) -> str:
        signs = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
        if len(node.ops) > 1 or type(node.ops[0]) not in signs:
            self.generic_visit(node)
        return f"({self._plan(node.left)}) {signs[type(node.ops[0])]} ({self._plan(node.comparators[0])})"

    def visit_IfExp(self, node: ast.IfExp) -> str:
        test, then, other = (self._plan(it) for it in (node.test, node.body, node.orelse))
        return f"(({test}) != 0) * ({then}) + (({test}) == 0) * ({other})"

    def visit_Subscript(self, node: ast.Subscript) -> str:
        if isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
            return self._extent(node.value.value, node.slice)
        if isinstance(node.value, ast.Name) and isinstance(node.slice, ast.Constant):
            if isinstance(node.slice.value, str):  # META["BLOCK"]
                return self._plan(ast.Name(node.slice.value))
            value = self.scope.values.get(node.value.id)
            if value and isinstance(value[0], ast.Attribute) and value[0].attr == "shape":
                return _Translator(value[1], self.depth + 1)._extent(value[0].value, node.slice)
            if value and isinstance(value[0], ast.Tuple | ast.List) and isinstance(node.slice.value, int):
                return plan(value[0].elts[node.slice.value], value[1], self.depth + 1)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> str:
        if node.attr in ("multiProcessorCount", "multi_processor_count"):
            return "SMS"
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> str:
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if isinstance(function, ast.Attribute) and name in ("size", "numel", "stride", "nelement", "element_size"):
            return self._asked(function.value, name, node.args)
        if name in self.scope.helpers:
            return self._inlined(name, node.args)
        if name in ("min", "max", "cdiv", "ceil_div", "ceildiv", "CeilDiv") and len(node.args) >= 2:
            name = name if name in ("min", "max") else "cdiv"
            return f"{name}({', '.join(self._plan(it) for it in node.args)})"
        if name in ("next_power_of_2", "nextPowerOf2") and len(node.args) == 1:
            return f"pow2ceil({self._plan(node.args[0])})"
        if name == "ceil" and len(node.args) == 1 and isinstance(node.args[0], ast.BinOp):
            inner = node.args[0]
            if isinstance(inner.op, ast.Div) and not self.scope.floors:
                return f"cdiv({self._plan(inner.left)}, {self._plan(inner.right)})"
        if name == "sizeof" and self.scope.element and len(node.args) == 1:
            return self.scope.element(ast.unparse(node.args[0]))
        if name in ("int", "dim3") and len(node.args) == 1:
            return self._plan(node.args[0])
        return self.generic_visit(node)

    def _inlined(self, name: str, args: list[ast.expr]) -> str:
        parameters, body = self.scope.helpers[name]
        if len(parameters) != len(args):
            raise Unresolved(f"`{name}` is given {len(args)} arguments", name)
        here = self.scope
        inner = Scope(here.task, {}, helpers=here.helpers, element=here.element, floors=here.floors, knobs=here.knobs)
        inner.values.update({parameter: (arg, here) for parameter, arg in zip(parameters, args, strict=True)})
        return plan(body, inner, self.depth + 1)

    def _asked(self, tensor: ast.expr, what: str, args: list[ast.expr]) -> str:
        """`size(i)`, `stride(i)`, `numel()`: a task's tensors are contiguous."""
        if what in ("size", "stride") and len(args) == 1:
            return self._extent(tensor, args[0], stride=what == "stride")
        found = self._whole(tensor)
        if what == "element_size":
            return f"size({found.name})"
        return _product(found.shape)

    def _extent(self, tensor: ast.expr, index: ast.expr, *, stride: bool = False) -> str:
        shape = self._whole(tensor).shape
        number = int(self._plan(index)) if self._plan(index).removeprefix("-").isdecimal() else len(shape)
        if not -len(shape) <= number < len(shape):
            raise Unresolved(f"`{ast.unparse(tensor)}` has no dimension `{ast.unparse(index)}`: the task's has {shape}")
        number %= len(shape)
        return _product(shape[number + 1 :]) if stride else f"({shape[number]})"

    def _whole(self, tensor: ast.expr) -> Memory:
        found = tensor_of(tensor, self.scope, self.depth + 1)
        if not found.whole:
            raise Unresolved(f"the sizes of `{ast.unparse(tensor)}` are not those of the task's `{found.name}`")
        return found


def holds_always(said: str) -> bool:
    """Whether a condition says nothing: `K == K`, `1`."""
    node = ast.parse(said, mode="eval").body
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
        return ast.unparse(node.left) == ast.unparse(node.comparators[0])
    return isinstance(node, ast.Constant) and bool(node.value)


def joined(conditions: Sequence[str]) -> str:
    """Conditions that all hold; empty where there are none."""
    found = [it for it in dict.fromkeys(conditions) if OPEN in it or not holds_always(it)]
    return tidy(" and ".join(f"({it})" for it in found)) if found else ""


def _product(shape: tuple[str, ...]) -> str:
    return " * ".join(f"({it})" for it in shape) or "1"


def _rounded_up(node: ast.BinOp) -> tuple[ast.expr, ast.expr] | None:
    """(a, b) of `(a + b - 1) / b` and of `(a + 255) / 256`."""
    match node.left:
        case ast.BinOp(ast.BinOp(a, ast.Add(), b), ast.Sub(), ast.Constant(1)):
            return (a, node.right) if ast.unparse(b) == ast.unparse(node.right) else None
        case ast.BinOp(a, ast.Add(), ast.BinOp(b, ast.Sub(), ast.Constant(1))):
            return (a, node.right) if ast.unparse(b) == ast.unparse(node.right) else None
        case ast.BinOp(a, ast.Add(), ast.Constant(int(b))) if isinstance(node.right, ast.Constant):
            return (a, node.right) if node.right.value == b + 1 else None
    return None
