"""The parts of a Triton module: kernels with their tuners, launches, allocations, and the device code by itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from warpsmith.core.kernel_file.model import TRITON_OPTIONS

_KNOB = re.compile(r"[A-Z][A-Z0-9_]+")


@dataclass(slots=True)
class Kernel:
    node: ast.FunctionDef
    configs: list[dict[str, int]] = field(default_factory=list)
    heuristics: dict[str, ast.Lambda] = field(default_factory=dict)

    @property
    def parameters(self) -> list[ast.arg]:
        args = self.node.args
        return [*args.posonlyargs, *args.args, *args.kwonlyargs]

    def default(self, name: str) -> ast.expr | None:
        args = self.node.args
        plain = [*args.posonlyargs, *args.args]
        found = dict(zip([it.arg for it in plain[len(plain) - len(args.defaults) :]], args.defaults, strict=True))
        found |= {arg.arg: it for arg, it in zip(args.kwonlyargs, args.kw_defaults, strict=True) if it}
        return found.get(name)


def plain(value: ast.expr) -> ast.expr:
    """Without `tl.constexpr(...)` around it."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith("constexpr") and value.args:
        return value.args[0]
    return value


def knob_name(name: str) -> str:
    return name if name in TRITON_OPTIONS or _KNOB.fullmatch(name) else f"K_{name.upper()}"


def config_of(item: ast.expr) -> dict[str, int] | None:
    if not isinstance(item, ast.Call):
        return None
    table = keyword_of(item, "kwargs") or (item.args[0] if item.args else None)
    pairs: list[tuple[ast.expr | None, ast.expr]] = []
    if isinstance(table, ast.Dict):
        pairs += zip(table.keys, table.values, strict=True)
    pairs += [(ast.Constant(it.arg), it.value) for it in item.keywords if it.arg in TRITON_OPTIONS]
    pairs += [(ast.Constant(name), it) for name, it in zip(("num_warps", "num_stages"), item.args[1:], strict=False)]
    found: dict[str, int] = {}
    for key, value in pairs:
        if not isinstance(key, ast.Constant) or not isinstance(value, ast.Constant) or not isinstance(value.value, int):
            return None
        found[str(key.value)] = int(value.value)
    return found


def keyword_of(call: ast.Call, name: str) -> ast.expr | None:
    return next((it.value for it in call.keywords if it.arg == name), None)


def positional(call: ast.Call) -> list[ast.expr]:
    return list(call.args)


def makes_a_tensor(node: ast.expr) -> bool:
    """A method that is asked for no size."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr not in ("size", "stride", "numel", "nelement", "element_size", "cdiv", "next_power_of_2")
        and not ast.unparse(node.func).startswith(("triton.", "math."))
    )


def called_name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def allocates(call: ast.Call) -> bool:
    return called_name(call) in {"empty", "zeros", "empty_like", "zeros_like", "new_empty", "new_zeros"} and bool(
        call.args
    )


def launches(node: ast.AST, kernels: Mapping[str, Kernel]) -> list[ast.Call]:
    return [
        it
        for it in ast.walk(node)
        if isinstance(it, ast.Call) and isinstance(it.func, ast.Subscript) and ast.unparse(it.func.value) in kernels
    ]


def returned(host: ast.FunctionDef) -> list[str]:
    """Names that the last `return` gives back."""
    found = [node.value for node in ast.walk(host) if isinstance(node, ast.Return) and node.value is not None]
    if not found:
        return []
    values = found[-1].elts if isinstance(found[-1], ast.Tuple) else [found[-1]]
    return [_base(it) for it in values]


def _base(node: ast.expr) -> str:
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def mentions(value: ast.expr, name: str) -> bool:
    return any(isinstance(it, ast.Name) and it.id == name for it in ast.walk(value))


def stored(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def item_of(value: ast.expr, number: int) -> ast.expr:
    """Element `number` of what a tuple of names is given."""
    if isinstance(value, ast.Tuple):
        return value.elts[number]
    if isinstance(value, ast.Call) and called_name(value) == "size" and not value.args:
        assert isinstance(value.func, ast.Attribute)
        value = ast.Attribute(value.func.value, "shape")
    return ast.Subscript(value, ast.Constant(number))


def device_code(text: str, module: ast.Module, wanted: set[str]) -> str:
    """Imports, literal constants and jit functions, as they stand, without tuners."""
    parts = ["import triton", "import triton.language as tl", ""]
    lines = text.splitlines()
    read = {it.id for node in module.body if _is(node, wanted) for it in ast.walk(node) if isinstance(it, ast.Name)}
    for node in module.body:
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                source = ast.unparse(node)
                extra = isinstance(node, ast.ImportFrom) and node.module == "triton.language.extra"
                if extra and source not in parts and any(it.name == "libdevice" for it in names):
                    parts.insert(2, source)
            case ast.Assign(targets=[ast.Name(name)], value=value) if name in read:
                literal = plain(value)
                if isinstance(literal, ast.Constant | ast.UnaryOp):
                    parts.append(f"{name} = tl.constexpr({ast.unparse(literal)})")
            case ast.FunctionDef(name=name) if name in wanted:
                body = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                parts += ["", "@triton.jit", body, ""]
    return "\n".join(parts)


def _is(node: ast.stmt, wanted: set[str]) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name in wanted
