"""CUDA sources inside Python: the strings that `torch.utils.cpp_extension.load_inline` is given."""

from __future__ import annotations

import ast

from warpsmith.core.errors import KernelFileError


def cuda_of(text: str) -> str | None:
    """The CUDA source a Python file holds, its lines where they stand in the file; None where it holds none.

    Raises:
        KernelFileError: the file is no Python.
    """
    strings = [node for node in ast.walk(parse_python(text)) if isinstance(node, ast.Constant)]
    found = [(it.lineno, it.value) for it in strings if isinstance(it.value, str) and _is_cuda(it.value)]
    if not any("__global__" in source for _, source in found):
        return None
    lines: list[str] = []
    for line, source in sorted(found):
        lines += [""] * max(0, line - 1 - len(lines))
        lines += source.split("\n")
    return "\n".join(lines)


def _is_cuda(text: str) -> bool:
    return "__global__" in text or "<<<" in text


def parse_python(text: str) -> ast.Module:
    """Python's syntax tree.

    Raises:
        KernelFileError: it does not parse.
    """
    try:
        return ast.parse(text)
    except SyntaxError as error:
        message = f"The Python does not parse: {error.msg}."
        raise KernelFileError(message, line=error.lineno or 1, column=error.offset or 0) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise KernelFileError(f"The Python does not parse: {error}.", line=1) from None
