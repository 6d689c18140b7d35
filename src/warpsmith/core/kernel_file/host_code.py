"""What a CUDA kernel file may not contain, found in its tokens: host code, foreign headers, build-dependent macros."""

from __future__ import annotations

import re
from collections.abc import Sequence

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.lexer import CppSource, CppToken
from warpsmith.core.nearest import did_you_mean

HEADERS = (
    "cuda_fp16.h",
    "cuda_bf16.h",
    "cuda_fp8.h",
    "cuda_fp6.h",
    "cuda_fp4.h",
    "mma.h",
    "cuda_pipeline.h",
    "cuda_pipeline_primitives.h",
    "cooperative_groups.h",
    "cuda_awbarrier.h",
    "cuda_awbarrier_primitives.h",
    "math_constants.h",
    "vector_types.h",
    "cuda.h",
    "cuda_runtime.h",
    "stdint.h",
    "cstdint",
    "stddef.h",
    "cstddef",
    "math.h",
    "cmath",
    "float.h",
    "cfloat",
    "limits.h",
    "climits",
)
"""Headers a kernel file may include. The compiler shims the standard ones and the two CUDA host headers."""
HEADER_FOLDERS = ("cooperative_groups/", "cub/", "cuda/")

_HOST_HEADER = re.compile(
    r"^(torch|ATen|c10|pybind11|thrust|cutlass|cute)/|^(iostream|vector|string|cstdio|stdio\.h|cstdlib|stdlib\.h|"
    r"cassert|assert\.h|algorithm|memory|chrono|thread|Python\.h|cublas\w*\.h|cudnn\.h|device_launch_parameters\.h)$"
)
_HOST_NAME = re.compile(
    r"^(PYBIND11_\w+|TORCH_\w+|AT_DISPATCH\w*|C10_CUDA_\w+|CUDA_CHECK|main|"
    r"cuda(Malloc|Free|Memcpy|Memset|Stream[A-Z]|Event|Device[SGR]|Get[A-Z]|Set[A-Z]|Launch[A-Z]|Func[A-Z]|Graph[A-Z]|Success"
    r"|Error_t|Peek|Occupancy|Host)\w*|cu(Launch|Mem|Module|Ctx|Stream|Init|Tensor\w*Encode)\w*)$"
)
_HOST_NAMESPACES = frozenset({"torch", "at", "c10", "pybind11", "py", "thrust"})
_DEVICE_HEAP = {
    "printf": "Remove it: a kernel's results are its output tensors.",
    "malloc": "Scratch is a `[[buffer]]` of the head block, allocated by the launcher.",
    "free": "Scratch is a `[[buffer]]` of the head block, allocated by the launcher.",
    "assert": "Remove it; state what the kernel needs as `requires` in the head block.",
}
_MACROS = frozenset(
    {"__TIME__", "__DATE__", "__TIMESTAMP__", "__FILE__", "_Pragma", "__pragma"}
    | {"__has_include", "__has_include_next", "__has_embed"}
)
_PRAGMAS = frozenset({"unroll", "nounroll", "once", "nv_diag_suppress", "nv_diag_default", "diag_suppress"})
_DIRECTIVES = frozenset(
    {"include", "define", "undef", "error", "warning", "pragma"}
    | {"if", "ifdef", "ifndef", "elif", "elifdef", "elifndef", "else", "endif"}
)
_LAUNCHER = (
    "Delete it: a kernel file has device code only, and a [[launch]] in the head block says what the launcher runs."
)


def _refuse(token: CppToken, what: str, remedy: str) -> KernelFileError:
    return KernelFileError(what, remedy=remedy, line=token.line, column=token.column)


def _host(token: CppToken, shown: str) -> KernelFileError:
    return _refuse(token, f"`{shown}`: host code is not part of a kernel file.", _LAUNCHER)


def screen_tokens(tokens: Sequence[CppToken]) -> None:
    """Refuse host code and device heap calls, at their line."""
    for before, token, after in _with_neighbours(tokens):
        text = token.text
        if text == "<<<":
            raise _refuse(token, "`<<<...>>>`: host code is not part of a kernel file.", _LAUNCHER)
        if token.kind == "identifier":
            if text in _MACROS:
                message = f"`{text}` makes a build depend on more than the file."
                raise _refuse(token, message, "Remove it.")
            member = before in (".", "->")
            if not member and (_HOST_NAME.match(text) and (text != "main" or before == "int")):
                raise _host(token, "int main" if text == "main" else text)
            if text in _HOST_NAMESPACES and after == "::" and before != "::":
                raise _host(token, f"{text}::")
            if text in _DEVICE_HEAP and after == "(" and not member and before != "::":
                raise _refuse(token, f"`{text}` cannot be called in a kernel.", _DEVICE_HEAP[text])


def _with_neighbours(tokens: Sequence[CppToken]) -> list[tuple[str, CppToken, str]]:
    texts = ["", *(token.text for token in tokens), ""]
    return [(texts[at], token, texts[at + 2]) for at, token in enumerate(tokens)]


def screen_directives(source: CppSource) -> tuple[str, ...]:
    """Check every `#` line and give the headers included, each once, in order."""
    headers: list[str] = []
    for directive in source.directives:
        if directive[0].text == "%:":
            raise _refuse(directive[0], "`%:` is not accepted.", "Write `#`.")
        if len(directive) == 1:
            continue
        screen_tokens(directive[1:])
        name = directive[1].text
        if name == "include":
            header = _included(directive)
            if header not in headers:
                headers.append(header)
        elif name == "pragma" and (len(directive) < 3 or directive[2].text not in _PRAGMAS):
            shown = " ".join(token.text for token in directive[2:5])
            raise _refuse(directive[1], f"`#pragma {shown}` is not accepted.", "`#pragma unroll` is.")
        elif name not in _DIRECTIVES:
            raise _refuse(directive[1], f"`#{name}` is not accepted.", "Remove it.")
    return tuple(headers)


def _included(directive: tuple[CppToken, ...]) -> str:
    at, name = directive[1], "".join(token.text for token in directive[2:])
    if name.startswith('"'):
        remedy = f"Write `#include <{name.strip(chr(34))}>`." if allowed_header(name.strip('"')) else _INLINE
        raise _refuse(at, f"`#include {name}`: a kernel file is one text and has no headers of its own.", remedy)
    if not (name.startswith("<") and name.endswith(">")):
        raise _refuse(at, "A computed `#include` is not accepted.", "Name the header: `#include <mma.h>`.")
    header = name[1:-1]
    if allowed_header(header):
        return header
    if _HOST_HEADER.match(header):
        raise _refuse(at, f"`#include <{header}>`: host code is not part of a kernel file.", f"Remove it. {_KNOWN}")
    raise _refuse(at, f"`#include <{header}>` is not available.", did_you_mean(header, HEADERS, listed=0) or _KNOWN)


_INLINE = "Put the code into the file itself."
_KNOWN = (
    "Headers for fp16, bf16, fp8 and fixed-width integers are there already; `<mma.h>`, `<cuda_pipeline.h>`, "
    "`<cooperative_groups.h>`, `<cub/...>` and `<cuda/...>` may be included."
)


def allowed_header(header: str) -> bool:
    """Whether a kernel file may `#include <header>`."""
    folder = header.startswith(HEADER_FOLDERS) and ".." not in header
    return header in HEADERS or (folder and re.fullmatch(r"[A-Za-z0-9_/.]+", header) is not None)
