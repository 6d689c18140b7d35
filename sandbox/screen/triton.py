"""What a Triton kernel file may say: device functions in the language's own names, and literals.

Triton runs parts of a file as Python: the module when it is imported, decorators, defaults and annotations when
functions are defined, `constexpr_function`s and attribute look-ups while it compiles. None of these is left by
this list of what is allowed, and what it does not know it refuses.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

from warpsmith.core.nearest import did_you_mean
from warpsmith.sandbox.screen.source import MAX_CHARACTERS, SourceProblem
from warpsmith.sandbox.screen.triton_body import ROOTS, Refused, check_body, literal, refuse
from warpsmith.sandbox.screen.triton_names import BUILTINS, LANGUAGE

MOST_DEPTH = 200
"""Levels of the syntax tree."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
_IMPORTS = ("import triton", "import triton.language as tl", "from triton.language.extra import libdevice")
_IMPORT_REMEDY = "Write `import triton` and `import triton.language as tl`, and nothing else."
_CONSTANT_REMEDY = "Write `NAME = tl.constexpr(1.0)`, or move the value into the kernel."
_TYPES = frozenset(["tl.constexpr", "tl.tensor", "tl.const", "int", "float", "bool"])


def check_triton(text: str) -> SourceProblem | None:
    """The first thing in a Triton kernel file that is not a device function or a literal; None where it is clean."""
    try:
        screened_tree(text)
    except Refused as refused:
        return refused.problem
    return None


def screened_tree(text: str) -> ast.Module:
    """Parse a text and prove it clean.

    Raises:
        Refused: it is not; `problem` says where and what to do.
    """
    if len(text) > MAX_CHARACTERS:
        raise Refused(SourceProblem(f"the text has {len(text)} characters.", 1, f"At most {MAX_CHARACTERS} are taken."))
    found = _CONTROL.search(text.replace("\r\n", "\n"))
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise Refused(SourceProblem(f"the character {found.group()!r} is not allowed.", line, "Remove it."))
    tree = _parse(text)
    _check_depth(tree)
    functions = frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    constants: set[str] = set()
    for node in tree.body:
        _check_statement(node, functions, constants)
    _check_recursion([node for node in tree.body if isinstance(node, ast.FunctionDef)])
    return tree


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        message = f"the Python does not parse: {error.msg}."
        raise Refused(SourceProblem(message, error.lineno or 1, "Correct the syntax.")) from None
    except (ValueError, RecursionError, MemoryError):
        raise Refused(SourceProblem("the Python does not parse.", 1, "Nest expressions less deeply.")) from None


def _check_depth(tree: ast.Module) -> None:
    """Refuse trees that exhaust the stack of whoever walks them."""
    level: list[ast.AST] = [tree]
    for _ in range(MOST_DEPTH):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    line = next((node.lineno for node in level if isinstance(node, ast.stmt | ast.expr)), 1)
    raise Refused(SourceProblem("the code is nested too deeply.", line, "Use more statements."))


def _check_statement(node: ast.stmt, functions: frozenset[str], constants: set[str]) -> None:
    match node:
        case ast.Import() | ast.ImportFrom():
            for line in _imported(node):
                if line not in _IMPORTS:
                    raise refuse(node, f"`{line}` is not available in a kernel file.", _IMPORT_REMEDY)
        case ast.AnnAssign() | ast.Assign():
            constants.add(_constant(node, functions, constants))
        case ast.FunctionDef():
            _check_function(node, functions, frozenset(constants))
        case ast.Expr(ast.Constant(str())):
            pass
        case _:
            message = "code outside a kernel would run on the host, and host code is not part of a kernel file."
            raise refuse(node, message, "Delete it: a [[launch]] in the head block runs the kernels.")


def _check_recursion(functions: list[ast.FunctionDef]) -> None:
    """Refuse functions that may come back to themselves: Triton writes every call out."""
    calls = {function.name: _called(function) for function in functions}
    for function in functions:
        reached: set[str] = set()
        waiting = [*calls[function.name]]
        while waiting:
            name = waiting.pop()
            if name == function.name:
                raise refuse(function, f"`{name}` may call itself.", "Write recursion as a loop.")
            if name not in reached:
                reached.add(name)
                waiting += calls.get(name, ())


def _called(function: ast.FunctionDef) -> set[str]:
    """Names that a function calls."""
    calls = (node.func for node in ast.walk(function) if isinstance(node, ast.Call))
    return {called.id for called in calls if isinstance(called, ast.Name)}


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        renamed = f" as {alias.asname}" if alias.asname else ""
        if isinstance(node, ast.Import):
            yield f"import {alias.name}{renamed}"
        else:
            yield f"from {'.' * node.level}{node.module or ''} import {alias.name}{renamed}"


def _constant(node: ast.Assign | ast.AnnAssign, functions: frozenset[str], constants: set[str]) -> str:
    """The name that `LOG2E: tl.constexpr = 1.44` or `LOG2E = tl.constexpr(1.44)` defines."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    value = node.value
    declared = isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "tl.constexpr"
    match value:
        case ast.Call(ast.Attribute(ast.Name("tl"), "constexpr"), [inner], []):
            value, declared = inner, isinstance(node, ast.Assign)
    if len(targets) != 1 or not isinstance(targets[0], ast.Name) or value is None or not literal(value):
        raise refuse(node, "only literal constants may stand beside the kernels.", _CONSTANT_REMEDY)
    name = targets[0].id
    if not declared:
        raise refuse(
            node,
            f"kernels cannot read `{name}`, a Python variable.",
            f"Write `{name} = tl.constexpr({_shown(value)})`.",
        )
    if name in functions or name in constants or name in ROOTS or name in BUILTINS or name.startswith("_"):
        raise refuse(node, f"`{name}` cannot name a constant.", "Choose another name.")
    return name


def _shown(value: ast.expr) -> str:
    text = ast.unparse(value)
    return text if len(text) < 40 else "..."


def _check_function(node: ast.FunctionDef, functions: frozenset[str], constants: frozenset[str]) -> None:
    if (node.name.startswith("_") and node.name.endswith("__")) or node.name in ROOTS or node.name in BUILTINS:
        raise refuse(node, f"`{node.name}` cannot name a kernel.", "Choose another name.")
    _check_decorators(node)
    if node.returns is not None:
        raise refuse(node.returns, f"`{node.name}` annotates what it returns.", "Remove the annotation.")
    if getattr(node, "type_params", None):
        raise refuse(node, f"`{node.name}` has type parameters.", "Remove them.")
    if node.args.vararg is not None or node.args.kwarg is not None:
        raise refuse(node, f"`{node.name}` takes any number of parameters.", "Name every parameter.")
    parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    for parameter in parameters:
        _check_annotation(parameter)
    for default in (*node.args.defaults, *node.args.kw_defaults):
        if default is not None and not literal(default):
            raise refuse(default, f"a default of `{node.name}` is not a literal.", "Write a number, or leave it out.")
    check_body(node, frozenset(parameter.arg for parameter in parameters), functions, constants)


def _check_decorators(node: ast.FunctionDef) -> None:
    for decorator in node.decorator_list:
        if ast.unparse(decorator) != "triton.jit":
            message = f"`@{_shown(decorator)}` would run on the host."
            raise refuse(decorator, message, "Decorate kernels with `@triton.jit` alone.")
    if len(node.decorator_list) != 1:
        message = f"`{node.name}` must have `@triton.jit` once: host functions are not part of a kernel file."
        raise refuse(node, message, "Decorate device functions with `@triton.jit`; delete host functions.")


def _check_annotation(parameter: ast.arg) -> None:
    if parameter.annotation is None:
        return
    text = ast.unparse(parameter.annotation)
    root, _, name = text.partition(".")
    if text not in _TYPES and not (root == "tl" and name in LANGUAGE):
        message = f"the annotation of `{parameter.arg}` is not available."
        raise refuse(parameter, message, did_you_mean(text, _TYPES) or "Write `tl.constexpr`, or leave it out.")
