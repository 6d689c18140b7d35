"""The `@triton.jit` functions of a Triton source and their parameters, read from its syntax tree; never imported."""

from __future__ import annotations

import ast
import warnings

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.model import TRITON_OPTIONS, Parameter, Signature

_IMPORTS = frozenset({"triton", "triton.language", "triton.language.extra"})
_TUNERS = {
    "autotune": "Say the configurations as knobs under [tune]: `BLOCK = [64, 128]`, `num_warps = [4, 8]`.",
    "heuristics": 'Say it as an expression: `constexpr = { BLOCK = "pow2ceil(N)" }` in the [[launch]].',
}
_HOST = "Delete it: a kernel file has `@triton.jit` functions only, and a [[launch]] in the head block runs them."


def triton_signatures(text: str) -> dict[str, Signature]:
    """Every jit function by name; a KernelFileError where the module holds anything else that would run."""
    try:
        return _functions(_module(text))
    except RecursionError:
        raise KernelFileError("The Python nests too deeply.", remedy="Split expressions.", line=1) from None


def _functions(module: ast.Module) -> dict[str, Signature]:
    found: dict[str, Signature] = {}
    for node in module.body:
        match node:
            case ast.Import() | ast.ImportFrom():
                _check_import(node)
            case ast.FunctionDef():
                _check_decorators(node)
                if node.name in found:
                    raise _refuse(node, f"Kernel `{node.name}` is defined twice.", "Give each its own name.")
                found[node.name] = _signature(node)
            case ast.Expr(ast.Constant(str())):
                pass
            case ast.Assign() | ast.AnnAssign():
                _check_global(node)
            case _:
                raise _refuse(node, "Host code is not part of a kernel file.", _HOST)
    return found


def _module(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 0
        message = f"The Python does not parse: {error.msg}."
        raise KernelFileError(message, remedy="Correct the syntax.", line=line, column=column) from None
    except (ValueError, RecursionError, MemoryError) as error:
        message = f"The Python does not parse: {error}."
        raise KernelFileError(message, remedy="Split long expressions into statements.", line=1) from None


def _refuse(node: ast.stmt | ast.expr | ast.arg, message: str, remedy: str) -> KernelFileError:
    return KernelFileError(message, remedy=remedy, line=node.lineno, column=node.col_offset + 1)


def _check_import(node: ast.Import | ast.ImportFrom) -> None:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or "."]
    for module in modules:
        if module not in _IMPORTS:
            message = f"`import {module}`: a Triton kernel file imports triton and triton.language only."
            raise _refuse(node, message, _HOST if module == "torch" else "Remove it.")


def _check_global(node: ast.Assign | ast.AnnAssign) -> None:
    """Allow `LOG2E: tl.constexpr = 1.44` and `LOG2E = tl.constexpr(1.44)`."""
    value = node.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("tl.constexpr", "triton.language.constexpr"):
        value = value.args[0] if len(value.args) == 1 and not value.keywords else None
    if isinstance(value, ast.UnaryOp):
        value = value.operand
    if not isinstance(value, ast.Constant):
        message = "Only literal constants may stand beside the kernels."
        raise _refuse(node, message, "Write `NAME: tl.constexpr = 1.0`, or move the value into the kernel.")


def _check_decorators(node: ast.FunctionDef) -> None:
    for decorator in node.decorator_list:
        name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        short = name.removeprefix("triton.")
        if short in _TUNERS:
            raise _refuse(decorator, f"`@{name}` is not part of a kernel file.", _TUNERS[short])
        if name not in ("triton.jit", "jit"):
            raise _refuse(decorator, f"`@{name}` is not accepted.", "Decorate kernels with `@triton.jit` alone.")
        if isinstance(decorator, ast.Call) and (decorator.args or decorator.keywords):
            raise _refuse(decorator, "`@triton.jit` takes no arguments here.", "Write `@triton.jit`.")
    if not node.decorator_list:
        message = f"`{node.name}` has no `@triton.jit`: host code is not part of a kernel file."
        raise _refuse(node, message, "Decorate device functions with `@triton.jit`; delete host functions.")


def _signature(node: ast.FunctionDef) -> Signature:
    arguments = node.args
    for special in (arguments.vararg, arguments.kwarg):
        if special is not None:
            raise _refuse(special, f"`{node.name}` takes `*{special.arg}`.", "Name every parameter.")
    for default in (*arguments.defaults, *arguments.kw_defaults):
        if default is not None and not isinstance(default, ast.Constant):
            raise _refuse(default, "A parameter's default must be a literal.", "Say it in the head block instead.")
    parameters: list[Parameter] = []
    for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        annotation = "" if argument.annotation is None else ast.unparse(argument.annotation)
        if argument.arg in TRITON_OPTIONS:
            message = f"`{argument.arg}` is a compile option, not a parameter of `{node.name}`."
            remedy = (
                f"Remove it from the signature and write `{argument.arg} = [4, 8]` under [tune], or in the [[launch]]."
            )
            raise _refuse(argument, message, remedy)
        constexpr = annotation.rpartition(".")[2] == "constexpr"
        parameters.append(Parameter(argument.arg, annotation, constexpr))
    return Signature(node.name, tuple(parameters), node.lineno)
