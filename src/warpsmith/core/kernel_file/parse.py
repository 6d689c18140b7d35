"""From the text of a kernel file to a `KernelFile`: everything that can be said without a task."""

from __future__ import annotations

import math
import re
from typing import Any

from warpsmith.core.dtype import DType
from warpsmith.core.errors import KernelFileError
from warpsmith.core.expression import Expression
from warpsmith.core.expression_tree import ARITIES, KEYWORDS
from warpsmith.core.kernel_file.cpp_signatures import cpp_signatures
from warpsmith.core.kernel_file.head import Head, find_head
from warpsmith.core.kernel_file.host_code import refuse_host_code
from warpsmith.core.kernel_file.launches import parse_prepares, parse_steps
from warpsmith.core.kernel_file.lexer import lex
from warpsmith.core.kernel_file.model import TRITON_OPTIONS, Buffer, KernelFile, Signature
from warpsmith.core.kernel_file.reader import Table
from warpsmith.core.kernel_file.triton_source import triton_signatures
from warpsmith.core.nearest import did_you_mean, shown

_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that command a terminal, or let a text read otherwise than it runs: it is quoted, and people review it."""
LARGEST_TEXT = 256 * 1024
"""Bytes a kernel file may have."""
MOST_ASSIGNMENTS = 256
"""Knob assignments left after `where`."""
MOST_TABLES = 64
"""`[[launch]]` blocks, and `[[buffer]]` blocks, in one file."""
MOST_COMBINATIONS = 65536
"""Knob assignments before `where`."""

_TOP = ("task", "requires", "constants", "tags")
_TABLES = ("tune", "let", "buffer", "launch", "prepare")
_LATER = {"tensormap": "1.1", "cluster": "1.1", "read": "2", "stream": "2", "after": "2"}
RESERVED = frozenset({"i", "SMS", "RESIDENT", "SHARED_MAX", "size", *ARITIES, *KEYWORDS})
"""Names that mean something in every expression."""
_KNOB = re.compile(r"[A-Z][A-Z0-9_]+")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MACRO = re.compile(
    r"U?INT(_?\w+)?_(MAX|MIN)|FLT_\w+|DBL_\w+|CHAR_BIT|INFINITY|NAN|NULL|EOF|HUGE_VAL\w*|M_\w+|CUDA\w*|NV_\w+"
)

TAKEN_TYPES = frozenset(
    {f"{sign}int{width}{bits}_t" for sign in ("", "u") for width in ("", "_fast", "_least") for bits in (8, 16, 32, 64)}
    | {"size_t", "ssize_t", "ptrdiff_t", "intptr_t", "uintptr_t", "intmax_t", "uintmax_t", "wchar_t", "nullptr_t"}
    | {"char8_t", "char16_t", "char32_t", "max_align_t", "clock_t", "time_t", "float_t", "double_t", "div_t", "ldiv_t"}
)
"""Types that a `<tensor>_t` alias would collide with."""

_DTYPES = {
    "half": "float16",
    "fp16": "float16",
    "f16": "float16",
    "__half": "float16",
    "bf16": "bfloat16",
    "__nv_bfloat16": "bfloat16",
    "float": "float32",
    "fp32": "float32",
    "f32": "float32",
    "double": "float64",
    "fp64": "float64",
    "int": "int32",
    "long": "int64",
    "long long": "int64",
    "char": "int8",
    "uint32": "int32",
    "uint64": "int64",
    "uint16": "int16",
    "fp8": "float8_e4m3fn",
    "float8_e4m3": "float8_e4m3fn",
}


def parse_kernel_file(text: str, *, file: str = "", printing: bool = False) -> KernelFile:
    """Parse and check a kernel file as far as it stands alone.

    Raises KernelFileError with line, column and remedy; `file` is the name it shows. `printing` admits `printf`.
    """
    try:
        return _parse(text, file, printing=printing)
    except KernelFileError as error:
        if error.file or not file:
            raise
        raise KernelFileError(
            error.message, remedy=error.remedy, line=error.line, column=error.column, file=file
        ) from None


def _parse(text: str, file: str, *, printing: bool) -> KernelFile:
    _check_text(text)
    head = find_head(text, file)
    values = head.table()
    top = Table(head, "", 0, values)
    _refuse_misplaced(top)
    _check_top(top)
    signatures = _read_source(text, head.language, printing=printing)
    knobs, where = _tune(head, values.get("tune", {}), head.language)
    kernel_file = KernelFile(
        text=text,
        file=file,
        language=head.language,
        task=top.text("task", '"w4a16_gemm"'),
        requires=top.expression("requires"),
        constants=top.names("constants", '["G"]'),
        tags=top.names("tags", '["split_k"]'),
        knobs=knobs,
        where=where,
        let=_let(head, values.get("let", {})),
        buffers=tuple(_buffer(table) for table in tables(top, "buffer")),
        steps=parse_steps(tables(top, "launch"), signatures, head.language),
        prepares=parse_prepares(tables(top, "prepare"), signatures, head.language),
        signatures=signatures,
        head=head,
    )
    _check_names(kernel_file)
    _check_assignments(kernel_file)
    return kernel_file


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise KernelFileError("The text is not valid Unicode.", remedy="Save it as UTF-8.") from None
    if size > LARGEST_TEXT:
        raise KernelFileError(f"The file has {size} bytes; at most {LARGEST_TEXT} are allowed.", remedy="Shorten it.")
    found = _UNSEEN.search(text)
    if found is not None:
        line = text.count("\n", 0, found.start()) + 1
        message = f"The text holds {shown(found.group())}, which nobody sees."
        raise KernelFileError(message, remedy="Remove it.", line=line)


def _check_top(top: Table) -> None:
    for key in top.values:
        if key in _LATER:
            message = f"`{key}` is not in version 1 of the format yet (version {_LATER[key]})."
            raise KernelFileError(message, remedy="Remove it.", line=top.head.place(key).line)
    remedies = dict.fromkeys(("kernel", "grid", "block"), "It belongs into a [[launch]]: put it under `kernel = ...`.")
    remedies["language"] = "Remove it: a head block behind `//` is CUDA, one behind `#` is Triton."
    top.only((*_TOP, *_TABLES), remedies, {"knobs": "tune", "launches": "launch", "buffers": "buffer", "name": "task"})
    if not top.values.get("launch"):
        raise top.fail(
            "There is no [[launch]].", 'Add one: `[[launch]]`, `kernel = "..."`, `grid = ...`, `block = ...`.'
        )


def tables(top: Table, name: str) -> list[Table]:
    """The `[[name]]` blocks, in order."""
    value = top.values.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        place = top.head.place(name)
        message = f"`{name}` must be a list of tables."
        raise KernelFileError(message, remedy=f"Write `[[{name}]]` with two brackets.", line=place.line)
    if len(value) > MOST_TABLES:
        place = top.head.place(name, MOST_TABLES)
        message = f"There are {len(value)} [[{name}]]; at most {MOST_TABLES} are allowed."
        raise KernelFileError(message, remedy="Use `repeat`, or loop in a kernel.", line=place.line)
    return [Table(top.head, name, index, item) for index, item in enumerate(value)]


def _read_source(text: str, language: str, *, printing: bool) -> dict[str, Signature]:
    if language == "triton":
        return triton_signatures(text)
    source = lex(text)
    refuse_host_code(source, printing=printing)
    return cpp_signatures(source.tokens)


def _single(head: Head, name: str, values: object) -> Table:
    if not isinstance(values, dict):
        place = head.place(name)
        raise KernelFileError(f"`{name}` must be one table.", remedy=f"Write `[{name}]`.", line=place.line)
    return Table(head, name, 0, values)


def _refuse_misplaced(top: Table) -> None:
    """A top-level key below a table's header, which TOML makes part of that table."""
    for name in _TABLES:
        value = top.values.get(name)
        for index, items in enumerate(value if isinstance(value, list) else [value]):
            for key in items if isinstance(items, dict) else ():
                if key in _TOP:
                    table = Table(top.head, name, index, items)
                    what = {"tune": "a knob", "let": "a named expression"}.get(name, "a part of it")
                    message = f"`{key}` stands below {table.shown}, where TOML makes it {what}."
                    raise table.fail(message, "Move it above the first [table], next to `task`.", key)


def _tune(head: Head, values: object, language: str) -> tuple[dict[str, tuple[int, ...]], Expression | None]:
    table = _single(head, "tune", values)
    knobs: dict[str, tuple[int, ...]] = {}
    for key, value in table.values.items():
        if key == "where":
            continue
        option = language == "triton" and key in TRITON_OPTIONS
        if not option and (not _KNOB.fullmatch(key) or key in RESERVED or _MACRO.fullmatch(key)):
            message = f"`{key}` cannot be the name of a knob."
            raise table.fail(message, "Knobs have two or more capitals, digits and underscores: `BM`, `TILE_N`.", key)
        knobs[key] = _knob_values(table, key, value)
    where = table.expression("where")
    if where is not None:
        for name in sorted(where.names - set(knobs)):
            raise where.fail(f"`{name}` is not a knob.", did_you_mean(name, knobs))
        if where.sized:
            raise where.fail("`size` depends on the task; `where` may use knobs only.", "Write the bytes as a number.")
    return knobs, where


def _knob_values(table: Table, key: str, value: Any) -> tuple[int, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, int) and not isinstance(item, bool) for item in values):
        message = f"Knob `{key}` must have a list of integers."
        raise table.fail(message, f"Write `{key} = [64, 128]`; for a switch `{key} = [0, 1]`.", key)
    if len(set(values)) != len(values):
        raise table.fail(f"Knob `{key}` lists a value twice.", "List each once; the first is the default.", key)
    for item in values:
        if not -(2**31) <= item < 2**31:
            raise table.fail(
                f"Knob `{key}` lists {item}, which is no 32-bit integer.", "Knobs are `constexpr int`.", key
            )
    return tuple(values)


def _let(head: Head, values: object) -> dict[str, Expression]:
    table = _single(head, "let", values)
    let: dict[str, Expression] = {}
    for key, value in table.values.items():
        if not _IDENTIFIER.fullmatch(key) or key in RESERVED or _MACRO.fullmatch(key):
            raise table.fail(f"`{key}` cannot name an expression.", "Choose an identifier of your own.", key)
        let[key] = table.parse(value, key)
    return let


def _buffer(table: Table) -> Buffer:
    renamed = {"size": "shape", "type": "dtype", "zero": "init", "value": "init"}
    table.only(("name", "shape", "dtype", "init", "prepared"), {}, renamed)
    name = table.text("name", '"partial"')
    if not _IDENTIFIER.fullmatch(name) or name in RESERVED or f"{name}_t" in TAKEN_TYPES:
        raise table.fail(f"`{name}` cannot be the name of a buffer.", "Choose another identifier.", "name")
    dtype = table.text("dtype", '"float32"')
    if dtype not in set(DType) and not dtype.endswith("_t"):
        meant = _DTYPES.get(dtype)
        remedy = f'Write `dtype = "{meant}"`.' if meant else did_you_mean(dtype, [item.value for item in DType])
        raise table.fail(f"`{dtype}` is not an element type.", remedy, "dtype", dtype)
    init = table.values.get("init")
    if init is not None and (isinstance(init, bool) or init not in (0, -1)):
        raise table.fail(
            "`init` must be 0 or -1.", "Every byte becomes 0x00 or 0xFF; other values need a kernel.", "init"
        )
    shape = table.extents("shape", 8, '["M", "N"]')
    return Buffer(name, shape, dtype, table.line, init, table.flag("prepared"))


def _check_names(kernel_file: KernelFile) -> None:
    """Knobs, named expressions, constants and buffers share one name space."""
    owners: dict[str, str] = {}
    groups: list[tuple[str, str, list[tuple[str, int]]]] = [
        ("tune", "knob", [(name, 0) for name in kernel_file.knobs]),
        ("", "constant", [(name, 0) for name in kernel_file.constants]),
        ("let", "named expression", [(name, 0) for name in kernel_file.let]),
        ("buffer", "buffer", [(buffer.name, index) for index, buffer in enumerate(kernel_file.buffers)]),
    ]
    for table, what, names in groups:
        for name, index in names:
            if name in owners:
                key = {"": "constants", "buffer": "name"}.get(table, name)
                message = f"The {what} `{name}` has the name of a {owners[name]}."
                raise kernel_file.fail(message, "Rename one of them.", table=table, index=index, key=key)
            owners[name] = what


def _check_assignments(kernel_file: KernelFile) -> None:
    combinations = math.prod(len(values) for values in kernel_file.knobs.values())
    if combinations > MOST_COMBINATIONS:
        message = f"[tune] has {combinations} combinations."
        raise kernel_file.fail(message, f"At most {MOST_COMBINATIONS} before `where`: drop values.", table="tune")
    assignments = kernel_file.assignments()
    if len(assignments) > MOST_ASSIGNMENTS:
        message = f"[tune] allows {len(assignments)} combinations; at most {MOST_ASSIGNMENTS} are tried."
        raise kernel_file.fail(message, 'Drop values, or add `where = "BM * BN <= 4096"`.', table="tune")
    if kernel_file.where is not None and (not assignments or assignments[0] != kernel_file.default_knobs()):
        message = "`where` excludes the default, the first value of every knob."
        raise kernel_file.where.fail(message, "Reorder the values so that the first of each fit together.")
