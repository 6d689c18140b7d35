"""Reads a problem file in KernelBench's form, and rewrites it as one function of its module-level sizes."""

from __future__ import annotations

import ast
import io
import re
import tokenize
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
            case ast.Assign(targets=[target], value=value) if self._is_size(target, value):
                return
            case ast.AnnAssign(target=target, value=ast.expr() as value) if self._is_size(target, value):
                return
        self.kept += [line.rstrip() for line in self.lines[before:last]]

    def _is_size(self, target: ast.expr, value: ast.expr) -> bool:
        """Whether it binds integers; a tuple stays as a statement that joins its elements again."""
        match target, value:
            case ast.Name(id=name), _ if (number := _integer(value)) is not None:
                self._add(name, number, value)
                return True
            case ast.Tuple(elts=names), ast.Tuple(elts=values) if len(names) == len(values):
                found = [_integer(item) for item in values]
                if not all(isinstance(item, ast.Name) for item in names) or None in found:
                    return False
                for item, number in zip(names, found, strict=True):
                    assert isinstance(item, ast.Name)
                    assert number is not None
                    self._add(item.id, number, value)
                return True
            case ast.Name(id=name), ast.Tuple(elts=values) | ast.List(elts=values) if values:
                found = [_integer(item) for item in values]
                if None in found:
                    return False
                for index, number in enumerate(found):
                    assert number is not None
                    self._add(f"{name}_{index}", number, value)
                joined = ", ".join(f"{name}_{index}" for index in range(len(found)))
                self.kept.append(f"{name} = [{joined}]" if isinstance(value, ast.List) else f"{name} = ({joined},)")
                return True
        return False

    def _add(self, name: str, number: int, at: ast.expr) -> None:
        if name in self.sizes:
            raise TaskError(f"{self.path}:{at.lineno}: {name} is assigned twice.", remedy="Give it one value.")
        self.sizes[name] = number


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
