"""Reads a problem file in KernelBench's form, and rewrites it as one function of its module-level sizes."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from warpsmith.core.errors import TaskError

INDENT = "    "
_NEEDED = ("Model", "get_inputs", "get_init_inputs")


@dataclass(frozen=True, slots=True)
class ProblemSource:
    """A problem file, taken apart."""

    path: Path
    title: str
    """First line of what its docstrings say; may be empty."""
    imports: str
    """Its import statements."""
    sizes: dict[str, int]
    """Module-level integers, in the file's order; those in a tuple are `name_0`, `name_1`, …"""
    body: str
    """Everything else, as it stands in the file."""
    arguments: tuple[str, ...]
    """Names of what `forward` takes."""

    def function(self) -> str:
        """`def problem(<sizes>)`: the file's code, indented, and what it defines as the result."""
        inside, sizes = _indented(self.body), ", ".join(self.sizes)
        said = '"""The problem file\'s own code, its sizes as parameters."""'
        made = "return Problem(Model, get_inputs, get_init_inputs)"
        return f"def problem({sizes}):\n{INDENT}{said}\n\n{inside}\n{INDENT}{made}\n"


def read_problem(path: Path) -> ProblemSource:
    """Take a problem file apart, without running it.

    Raises:
        TaskError: it cannot be read, is no Python, or lacks one of `Model`, `get_inputs`, `get_init_inputs`.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{path} cannot be read: {error}.") from error
    except SyntaxError as error:
        raise TaskError(f"{path}:{error.lineno or 1}: is no Python: {error.msg}.") from error
    defined = {item.name: item for item in tree.body if isinstance(item, ast.ClassDef | ast.FunctionDef)}
    if missing := [name for name in _NEEDED if name not in defined]:
        raise TaskError(
            f"{path}:1: defines no {' and no '.join(missing)}.",
            remedy="A KernelBench problem has a class Model and functions get_inputs and get_init_inputs.",
        )
    parts = _Parts(path, text.splitlines())
    for statement in tree.body:
        parts.take(statement)
    model = defined["Model"]
    assert isinstance(model, ast.ClassDef)
    return ProblemSource(
        path=path,
        title=_title(tree, model),
        imports="\n".join(parts.imports),
        sizes=parts.sizes,
        body="\n".join(parts.kept).strip("\n") + "\n",
        arguments=_arguments(path, model),
    )


class _Parts:
    """Statements sorted into imports, sizes and the rest."""

    def __init__(self, path: Path, lines: list[str]) -> None:
        self.path = path
        self.lines = lines
        self.imports: list[str] = []
        self.sizes: dict[str, int] = {}
        self.kept: list[str] = []
        self.end = 0
        self.read: set[str] = set()
        """Names whose value at that place a statement used: binding them again later does not change that."""

    def take(self, statement: ast.stmt) -> None:
        first = min([statement.lineno, *(item.lineno for item in getattr(statement, "decorator_list", []))])
        before, last = self.end, statement.end_lineno or statement.lineno
        self.end = last
        match statement:
            case ast.Expr(value=ast.Constant()):
                return
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                return
            case ast.Import() | ast.ImportFrom():
                self.imports.append("\n".join(self.lines[first - 1 : last]))
                return
        bound = _bound_sizes(statement)
        if bound is not None:
            for size in bound:
                self._add(size, statement.lineno)
            return
        for name in _bound_names(statement):
            self._once(name, statement.lineno)
        self.read |= _read_at_once(statement)
        self.kept += [line.rstrip() for line in self.lines[before:last]]

    def _add(self, size: _Size, line: int) -> None:
        """Take a size; bound again before anything read it, a name has its last value, as in Python."""
        for name, number in zip(size.names, size.numbers, strict=True):
            if name in self.read:
                self._once(name, line)
            self.sizes[name] = number
        if size.joined:
            self.read |= set(size.names)
            self.kept.append(size.joined)

    def _once(self, name: str, line: int) -> None:
        if name in self.sizes:
            raise TaskError(f"{self.path}:{line}: {name} is assigned twice.", remedy="Give it one value.")


@dataclass(frozen=True, slots=True)
class _Size:
    """Integers that one target binds."""

    names: tuple[str, ...]
    numbers: tuple[int, ...]
    joined: str = ""
    """Statement that joins the elements of a tuple again; empty for plain names."""


def _bound_sizes(statement: ast.stmt) -> list[_Size] | None:
    """What an assignment of nothing but integers binds, `a = b = 3` both; None for any other statement."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            found = [_size(target, value) for target in targets]
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            found = [_size(target, value)]
        case _:
            return None
    known = [size for size in found if size is not None]
    return known if len(known) == len(found) else None


def _size(target: ast.expr, value: ast.expr) -> _Size | None:
    match target, value:
        case ast.Name(id=name), _ if (number := _integer(value)) is not None:
            return _Size((name,), (number,))
        case ast.Tuple(elts=targets), ast.Tuple(elts=values) if len(targets) == len(values):
            names, numbers = [item.id for item in targets if isinstance(item, ast.Name)], _integers(values)
            return _Size(tuple(names), numbers) if numbers and len(names) == len(targets) else None
        case ast.Name(id=name), ast.Tuple(elts=values) | ast.List(elts=values) if numbers := _integers(values):
            parts = tuple(f"{name}_{index}" for index in range(len(numbers)))
            listed = ", ".join(parts)
            return _Size(
                parts, numbers, f"{name} = [{listed}]" if isinstance(value, ast.List) else f"{name} = ({listed},)"
            )
    return None


def _bound_names(statement: ast.stmt) -> set[str]:
    """Names that a statement binds where it stands."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _read_at_once(statement: ast.AST) -> set[str]:
    """Names that a statement reads where it stands: a function's body reads its own when it is called."""
    if isinstance(statement, ast.FunctionDef):
        now = [*statement.decorator_list, *statement.args.defaults, *filter(None, statement.args.kw_defaults)]
        return set().union(*(_read_at_once(item) for item in now))
    if isinstance(statement, ast.Name):
        return {statement.id}
    return set().union(*(_read_at_once(item) for item in ast.iter_child_nodes(statement)))


def _integers(values: Sequence[ast.expr]) -> tuple[int, ...]:
    """Their values; empty where one is no integer, or there are none."""
    found = [number for item in values if (number := _integer(item)) is not None]
    return tuple(found) if len(found) == len(values) else ()


def _integer(value: ast.expr) -> int | None:
    """The value of an arithmetic expression of integer literals."""
    match value:
        case ast.Constant(value=bool()):
            return None
        case ast.Constant(value=int(number)):
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = _integer(operand)
            return None if inner is None else -inner
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _integer(left), _integer(right)
            if a is None or b is None:
                return None
            return _arithmetic(a, op, b)
    return None


def _arithmetic(a: int, op: ast.operator, b: int) -> int | None:
    match op:
        case ast.Add():
            return a + b
        case ast.Sub():
            return a - b
        case ast.Mult():
            return a * b
        case ast.FloorDiv() if b:
            return a // b
        case ast.Pow() if 0 <= b < 64:
            return int(a**b)
    return None


def _title(tree: ast.Module, model: ast.ClassDef) -> str:
    said = (ast.get_docstring(model) or ast.get_docstring(tree) or "").strip()
    first = re.split(r"\n\s*\n", said)[0] if said else ""
    return " ".join(first.split()).rstrip(".")[:160]


def _arguments(path: Path, model: ast.ClassDef) -> tuple[str, ...]:
    for item in model.body:
        if isinstance(item, ast.FunctionDef) and item.name == "forward":
            if item.args.vararg or item.args.kwonlyargs:
                raise TaskError(f"{path}:{item.lineno}: forward takes arguments that have no place or no name.")
            return tuple(argument.arg for argument in (*item.args.posonlyargs, *item.args.args))[1:]
    raise TaskError(f"{path}:{model.lineno}: Model has no forward.")


def _indented(code: str) -> str:
    """The code, one step in; lines inside strings that are values stay where they are."""
    inside = _string_lines(code)
    lines = [
        line if not line.strip() or number in inside else INDENT + line
        for number, line in enumerate(code.split("\n"), 1)
    ]
    return "\n".join(lines)


def _string_lines(code: str) -> set[int]:
    """Numbers of the lines that begin inside a string, docstrings not counted."""
    docs = {
        (node.lineno, node.col_offset)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.STRING and token.start not in docs:
            found |= set(range(token.start[0] + 1, token.end[0] + 1))
    return found
