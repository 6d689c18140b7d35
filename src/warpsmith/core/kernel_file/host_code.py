"""Host code in a CUDA kernel file, found in its tokens.

What the preprocessor may be asked is the sandbox's business; here only what no kernel file can mean is told early,
at its line.
"""

from __future__ import annotations

import re

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.lexer import CppSource, CppToken

_HEADER = re.compile(r"<(torch|ATen|c10|pybind11|thrust)/.*|<(iostream|vector|chrono|thread|Python\.h)>")
_NAME = re.compile(
    r"PYBIND11_\w+|TORCH_\w+|AT_DISPATCH\w*|AT_CHECK|C10_CUDA_\w+|CUDA_CHECK|"
    r"cuda(Malloc|Free|Memcpy|Memset|Stream|Event|Device[SGR]|Get[A-Z]|Set[A-Z]|Launch[A-Z]|Func[A-Z]|GraphL|Success"
    r"|Error_t|Peek|Occupancy|Host)\w*|cu(Launch|Mem[A-Z]|Module|Ctx|Stream|Init|TensorMapEncode)\w*"
)
_NAMESPACES = frozenset({"torch", "at", "c10", "pybind11", "thrust"})
_SCRATCH = "Scratch is a `[[buffer]]` of the head block, allocated by the launcher."
_DEVICE_CALLS = {
    "printf": "Remove it: a kernel's results are its output tensors.",
    "malloc": _SCRATCH,
    "free": _SCRATCH,
}
_LAUNCHER = (
    "Delete it: a kernel file has device code only, and a [[launch]] in the head block says what the launcher runs."
)


def refuse_host_code(source: CppSource, *, printing: bool = False) -> None:
    """Raise KernelFileError at the first launcher, binding, `main` or heap call; at `printf` unless `printing`."""
    for directive in source.directives:
        header = "".join(token.text for token in directive[2:])
        if len(directive) > 1 and directive[1].text == "include" and _HEADER.match(header.replace('"', "<")):
            raise _refuse(directive[0], f"#include {header}")
    texts = ["", *(token.text for token in source.tokens), ""]
    for at, token in enumerate(source.tokens):
        if not (printing and token.text == "printf"):
            _check(token, before=texts[at], after=texts[at + 2])


def _check(token: CppToken, before: str, after: str) -> None:
    text = token.text
    if text == "<<<":
        raise _refuse(token, "<<<...>>>")
    if token.kind != "identifier" or before in (".", "->"):
        return
    if _NAME.fullmatch(text):
        raise _refuse(token, text)
    if text == "main" and before == "int":
        raise _refuse(token, "int main")
    if text in _NAMESPACES and after == "::" and before != "::":
        raise _refuse(token, f"{text}::")
    if text in _DEVICE_CALLS and after == "(" and before != "::":
        message = f"`{text}` cannot be called in a kernel."
        raise KernelFileError(message, remedy=_DEVICE_CALLS[text], line=token.line, column=token.column)


def _refuse(token: CppToken, shown: str) -> KernelFileError:
    message = f"`{shown}`: host code is not part of a kernel file."
    return KernelFileError(message, remedy=_LAUNCHER, line=token.line, column=token.column)
