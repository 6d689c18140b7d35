"""Compiler messages in a kernel author's terms: what the format wants where C++ alone would not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from warpsmith.core.kernel_file.dims import dimension_names, tensors_of
from warpsmith.core.kernel_file.lexer import lex
from warpsmith.core.kernel_file.model import KernelFile
from warpsmith.core.nearest import did_you_mean, shown
from warpsmith.core.task import Task

_PLAN = re.compile(r'[\w-]+\(\d+\): error: static assertion failed with "((?:launch|prepare) \d+: [^"]*)"')
_RAN_ON = re.compile(r"launch-plan\(1\): error: ")
"""The first error stands on the first line behind the file."""
_BEHIND = re.compile(r"launch-plan\(\d+\): error: |the text does not compile, and the compiler does not say where")
"""It stands behind the file, or nowhere: what the file leaves open may swallow what is appended."""
_UNDEFINED = re.compile(r'identifier "(\w+)" is undefined|name must be a type|namespace "ws" has no member "(\w+)"')
_REDECLARED = re.compile(r'"(\w+)(?:::[^"]*)?" has already been (?:declared|defined)|redefinition of "?(\w+)')
_NOT_CONSTANT = re.compile(
    r"expression must have a constant value|the value of (?:parameter|variable) .* cannot be used as a constant"
)
_C_LINKAGE = re.compile(r'may not have extern "C" linkage|template .*linkage', re.IGNORECASE)
_NARROW = re.compile(
    r'(?:more than one|no) operator "[^"]+" matches these operands|"(?:\w+_t|__half|__nv_\w+)" to "(?:float|double)"'
)
_SHARED = re.compile(r"uses too much shared data|shared memory.*(?:too large|exceed)", re.IGNORECASE)
_CONSTANT = re.compile(r"uses too much global constant data")
_ENTRY = re.compile(r"Entry function '(\w+)'")
_UNREAD = re.compile(r"candidate\.cu\((\d+)\): error: unrecognized token")
_MISSING_HEADER = re.compile(r'could not open source file "([^"]+)"|cannot open source file "([^"]+)"')


def explain_compile_error(message: str, task: Task, kernel_file: KernelFile) -> str:
    """Append to a compiler's log what to write instead, one remedy for each mistake it recognises."""
    message = _PLAN.sub(lambda match: re.sub(r"'([^']*)'", r"`\1`", match.group(1)), message)
    remedies = dict.fromkeys(remedy for explain in _EXPLAINERS for remedy in explain(message, task, kernel_file))
    return "\n".join([message.rstrip(), *remedies]) if remedies else message


def ends_too_soon(message: str, kernel_file: KernelFile) -> tuple[int, str] | None:
    """Line and remedy where the compiler ran out of the file inside something, and blames the text we append.

    Of several open braces it is the outermost, since those inside may well be closed by braces that were meant for it.
    """
    if not _BEHIND.match(message) or "static assertion failed" in message:
        return None
    opened: list[int] = []
    line = 1
    for token in lex(kernel_file.text).tokens:
        line = token.line
        if token.text == "{":
            opened.append(line)
        elif token.text == "}" and opened:
            opened.pop()
    if opened:
        said = "The file ends inside the `{` of this line: a `}` is missing, after it or after one inside it."
        return opened[0], said
    if not _RAN_ON.match(message):
        return None
    return line, "The file ends inside a declaration: a `;` or `)` is missing on this line or before it."


def line_of_entry(message: str, kernel_file: KernelFile) -> int | None:
    """Line of the kernel that an assembler names, mangled, where it says nothing of a line."""
    named = _ENTRY.search(message)
    if named is None:
        return None
    signatures = (launch.signature for launch in kernel_file.launches)
    # The Itanium ABI writes a name behind its length.
    lines = (item.line for item in signatures if f"{len(item.name)}{item.name}" in named[1] or item.name == named[1])
    return next(lines, None)


def _undefined(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    tensors = [tensor.name for tensor in tensors_of(task)]
    buffers = [buffer.name for buffer in kernel_file.buffers]
    for match in _UNDEFINED.finditer(message):
        name = match.group(1) or match.group(2)
        if name is None:
            continue
        if name in dimension_names(task):
            fixed = f', or add it to `constants = ["{name}"]`' if name in task.fixed else ""
            yield f"`{name}` is a dimension: make it a parameter of the kernel: `int {name}`{fixed}."
        elif name in tensors or name in buffers:
            what = "tensor" if name in tensors else "buffer"
            yield f"`{name}` is a {what}: make it a parameter of the kernel: `{name}_t* {name}`."
        elif name in kernel_file.let:
            yield (
                f"`{name}` is a [let] expression: make it a parameter of the kernel: `int {name}`. Only those in "
                "capitals that depend on knobs and `constants` alone are compiled in."
            )
        elif name in ("SMS", "RESIDENT"):
            yield f"`{name}` is known to the launch plan only: take `int SMS` as a parameter, or read `gridDim.x`."
        elif name.endswith("_t"):
            yield f"`{name}`: {did_you_mean(name, [f'{known}_t' for known in (*tensors, *buffers)])}"
        elif name.isupper() and not _UNREAD.search(message):
            known = (*kernel_file.knobs, *kernel_file.constants)
            yield f"`{name}` is no knob: add `{name} = [64]` under [tune]. {did_you_mean(name, known)}".strip()


def _redeclared(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    for match in _REDECLARED.finditer(message):
        name = match.group(1) or match.group(2)
        if name in kernel_file.knobs or name in kernel_file.constants or name in kernel_file.let:
            yield f"`{name}` is defined already, from the head block: delete your own definition of it."
        elif name.endswith("_t") and name[:-2] in {tensor.name for tensor in tensors_of(task)}:
            yield f"`{name}` is defined already, as the element type of `{name[:-2]}`: delete your own definition."
        elif name == "ws":
            yield "`ws` is the namespace of `ws::to_float`, which the file uses: give your own `ws` another name."


def _not_constant(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if _NOT_CONSTANT.search(message):
        fixed = f" or a fixed dimension ({', '.join(task.fixed)}) listed in `constants`" if task.fixed else ""
        yield (
            f"Sizes of arrays and template arguments must be known when compiling: use a knob{fixed}, or dynamic "
            "shared memory (`extern __shared__`, with `shared` in the [[launch]])."
        )


def _linkage(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if _C_LINKAGE.search(message):
        yield 'Remove `extern "C"`: kernels are found by their C++ names, and a template cannot have it.'


def _narrow(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if _NARROW.search(message):
        yield (
            "16-bit and 8-bit floats convert through the prelude, whatever the workload's dtype: "
            "`ws::to_float(x[i])` to read, `ws::from_float<y_t>(sum)` to write."
        )


def _shared(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if _SHARED.search(message):
        yield (
            "A block's shared memory is too large: use smaller tiles or fewer stages. Bytes beyond 48 KiB belong into "
            'dynamic shared memory: `extern __shared__ unsigned char tile[];`, and `shared = "..."` in the [[launch]].'
        )


def _constant(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if _CONSTANT.search(message):
        yield (
            "All `__constant__` tables together hold at most 64 KiB: declare a larger one `__device__ const`, or "
            "compute it into a [[buffer]]."
        )


def _recursive(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if "excessive recursion at instantiation" in message:
        yield "A template needs itself too often, or without end: give it a last case, or write a loop."


def _memory(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if "catastrophic error: out of memory" in message:
        yield "Instantiate fewer templates, and let macros and `#pragma unroll` write out less."


def _foreign(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    """Characters beyond ASCII that the compiler does not read: quotes and dashes of a word processor, Greek names."""
    lines = kernel_file.text.split("\n")
    for number in dict.fromkeys(int(found) for found in _UNREAD.findall(message)):
        code = lines[number - 1].partition("//")[0] if number <= len(lines) else ""
        for character in dict.fromkeys(item for item in code if ord(item) > 127):
            yield f"Line {number} holds {shown(character)}: write code in ASCII."


def _header(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    for match in _MISSING_HEADER.finditer(message):
        yield f"`{match.group(1) or match.group(2)}` is not available: remove the `#include`."


def _function(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if "host functions are not allowed" in message:
        yield (
            "Write `__device__` before a helper. Host code is not part of a kernel file: delete a launcher and "
            "describe its launch as a [[launch]] in the head block."
        )
    if "which instance of overloaded function" in message:
        yield "Kernels are found by name: give each its own."


def _triton(message: str, task: Task, kernel_file: KernelFile) -> Iterable[str]:
    if "arange" in message and "power of 2" in message:
        yield (
            'Round the range up, as in `constexpr = { BLOCK = "pow2ceil(N)" }`, and mask what lies beyond: '
            "`tl.load(..., mask=offsets < N)`."
        )


_EXPLAINERS: tuple[Callable[[str, Task, KernelFile], Iterable[str]], ...] = (
    _undefined,
    _redeclared,
    _not_constant,
    _linkage,
    _narrow,
    _shared,
    _constant,
    _recursive,
    _memory,
    _foreign,
    _header,
    _function,
    _triton,
)
