"""`[[launch]]` and `[[prepare]]` blocks: launches matched to the kernels of the source, and fills."""

from __future__ import annotations

import re
from collections.abc import Mapping

from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.expression_tree import ARITIES, KEYWORDS
from warpsmith.core.kernel_file.model import TRITON_OPTIONS, Argument, Fill, Launch, Parameter, Signature
from warpsmith.core.kernel_file.reader import Table
from warpsmith.core.nearest import did_you_mean

_COMMON = ("kernel", "grid", "when", "repeat", "args", "cooperative")
_CUDA = ("block", "shared")
_TRITON = ("constexpr", *TRITON_OPTIONS)
_FILL = ("fill", "value", "when")
_LATER = {
    "cluster": "1.1",
    "tensormap": "1.1",
    "stream": "2",
    "after": "2",
    "pdl": "2",
    "call": "2",
    "use": "2",
    "read": "2",
}
_RENAMED = {
    "name": "kernel",
    "function": "kernel",
    "threads": "block",
    "block_size": "block",
    "blocks": "grid",
    "smem": "shared",
    "shared_memory": "shared",
    "shared_bytes": "shared",
    "dynamic_shared": "shared",
    "arguments": "args",
    "params": "args",
    "condition": "when",
    "if": "when",
    "constexprs": "constexpr",
}
_TOP = dict.fromkeys(("task", "requires", "constants", "tags"), "Move it above the first [table], next to `task`.")
_NAME_EXPRESSION = re.compile(r"((?:[A-Za-z_]\w*\s*::\s*)*)([A-Za-z_]\w*)\s*(<.*>)?", re.DOTALL)
_TEMPLATE_ARGUMENT = re.compile(r"[\w\s:,<>+\-*/%()]*")


def parse_steps(tables: list[Table], signatures: Mapping[str, Signature], language: str) -> tuple[Launch | Fill, ...]:
    """The launches and fills of `[[launch]]`, in file order; launches count from 1."""
    steps: list[Launch | Fill] = []
    for table in tables:
        if "fill" in table.values:
            steps.append(_fill(table))
        else:
            number = sum(isinstance(step, Launch) for step in steps) + 1
            steps.append(_launch(table, f"launch {number}", signatures, language))
    return tuple(steps)


def parse_prepares(tables: list[Table], signatures: Mapping[str, Signature], language: str) -> tuple[Launch, ...]:
    """The `[[prepare]]` launches, in file order."""
    prepares: list[Launch] = []
    for number, table in enumerate(tables, start=1):
        if "fill" in table.values:
            raise table.fail("A [[prepare]] cannot fill.", "Use `init = 0` on the prepared buffer.", "fill")
        prepares.append(_launch(table, f"prepare {number}", signatures, language))
    return tuple(prepares)


def _fill(table: Table) -> Fill:
    remedies = dict.fromkeys(_COMMON, "A step is either a `fill` or a `kernel`: write two [[launch]] blocks.")
    table.only(_FILL, remedies, {})
    value = table.values.get("value")
    if isinstance(value, bool) or value not in (0, -1):
        remedy = "Write `value = 0` or `value = -1`: every byte becomes 0x00 or 0xFF."
        raise table.fail("A `fill` needs a `value` of 0 or -1.", remedy, "value" if value is not None else "fill")
    return Fill(table.text("fill", '"y"'), value, table.line, table.expression("when"))


def _launch(table: Table, label: str, signatures: Mapping[str, Signature], language: str) -> Launch:
    _check_keys(table, language)
    kernel = " ".join(table.text("kernel", '"gemm<BM, BN>"').split())
    signature = _signature(table, kernel, signatures, language)
    return Launch(
        label=label,
        kernel=kernel,
        signature=signature,
        arguments=_arguments(table, signature),
        grid=table.extents("grid", 3, '"cdiv(N, 256)"'),
        block=table.extents("block", 3, "256") if language == "cuda" else (),
        line=table.line,
        shared=table.expression("shared"),
        when=table.expression("when"),
        repeat=table.expression("repeat"),
        cooperative=table.flag("cooperative"),
        prepare=table.name == "prepare",
        options={name: table.parse(table.values[name], name) for name in TRITON_OPTIONS if name in table.values},
    )


def _check_keys(table: Table, language: str) -> None:
    for key in table.values:
        if key in _LATER:
            message = f"`{key}` is not in version 1 of the format yet (version {_LATER[key]})."
            raise table.fail(message, "Remove it.", key)
    if language == "cuda":
        foreign = dict.fromkeys(_TRITON, "It belongs to Triton kernel files; a CUDA launch has `block`.")
        table.only((*_COMMON, *_CUDA), foreign, _RENAMED)
    else:
        foreign = {
            "block": "A Triton launch has `num_warps = 4` (or a knob of that name) instead.",
            "shared": "Triton computes shared memory itself.",
        }
        table.only((*_COMMON, *_TRITON), foreign, {**_RENAMED, "block": "", "threads": "num_warps"})


def _signature(table: Table, kernel: str, signatures: Mapping[str, Signature], language: str) -> Signature:
    match = _NAME_EXPRESSION.fullmatch(kernel)
    if match is None or not _TEMPLATE_ARGUMENT.fullmatch(match.group(3) or ""):
        raise table.fail(f"`{kernel}` does not name a kernel.", 'Write `kernel = "gemm<BM, BN>"`.', "kernel", kernel)
    name, arguments = match.group(2), match.group(3)
    if name not in signatures:
        declared = "`@triton.jit def`" if language == "triton" else "`__global__ void`"
        message = f"The source declares no kernel `{name}` ({declared})."
        raise table.fail(message, did_you_mean(name, signatures), "kernel", kernel)
    signature = signatures[name]
    if signature.template is None and arguments:
        message = f"`{name}` is not a template (line {signature.line})."
        raise table.fail(message, f'Write `kernel = "{name}"`, or make it one: `template <int TM>`.', "kernel", kernel)
    if signature.template is not None and not arguments:
        names = ", ".join(parameter or "..." for parameter in signature.template)
        message = f"`{name}` is a template (line {signature.line})."
        raise table.fail(message, f'Give its arguments: `kernel = "{name}<{names}>"`.', "kernel", kernel)
    if signature.template is not None and signature.extern_c:
        message = f'Kernel `{name}` is a template, which cannot be `extern "C"`.'
        raise table.fail(
            message, f'Remove `extern "C"` at line {signature.line}; it is never needed.', "kernel", kernel
        )
    return signature


def _arguments(table: Table, signature: Signature) -> tuple[Argument, ...]:
    """Pair every parameter with what it receives: by name, unless `args` or `constexpr` says otherwise."""
    given: dict[str, Expression] = {}
    constexprs = table.table("constexpr", '{ BLOCK = "pow2ceil(N)" }')
    known = [parameter.name for parameter in signature.parameters]
    args = table.values.get("args", {})
    if isinstance(args, list):
        _check_count(table, signature, len(args))
        plain = [parameter.name for parameter in signature.parameters if not parameter.constexpr]
        args = dict(zip(plain if len(args) == len(plain) else known, args, strict=True))
        values = args
    elif isinstance(args, dict):
        values = args
    else:
        raise table.fail("`args` must be a list or a table.", 'Write `args = { mask = "CAP - 1" }`.', "args")
    for key, entries in (("args", values), ("constexpr", constexprs)):
        for name, value in entries.items():
            if name not in known:
                message = f"`{signature.name}` has no parameter `{name}`."
                raise table.fail(message, did_you_mean(name, known), key, name)
            given[name] = table.parse(value, key)
    for parameter in signature.parameters:
        if parameter.name in constexprs and not parameter.constexpr:
            message = f"`{parameter.name}` is not a `tl.constexpr` of `{signature.name}`."
            raise table.fail(message, f"Annotate it at line {signature.line}, or use `args`.", "constexpr")
    return tuple(Argument(parameter, _value(parameter, given, signature)) for parameter in signature.parameters)


def _check_count(table: Table, signature: Signature, count: int) -> None:
    plain = [parameter for parameter in signature.parameters if not parameter.constexpr]
    if count not in (len(plain), len(signature.parameters)):
        names = ", ".join(parameter.name for parameter in plain)
        message = f"`args` lists {count} arguments, but `{signature.name}` takes {len(plain)}: {names}."
        raise table.fail(message, "Leave `args` away to bind by name, or list one for each parameter.", "args")


def _value(parameter: Parameter, given: Mapping[str, Expression], signature: Signature) -> Expression:
    if parameter.name in given:
        return given[parameter.name]
    if parameter.name in ARITIES or parameter.name in ("size", *KEYWORDS):
        message = f"Parameter `{parameter.name}` of `{signature.name}` has the name of a function of expressions."
        raise KernelFileError(message, remedy="Rename it, or give it by `args`.", line=signature.line)
    return Expression.parse(parameter.name, line=signature.line)
