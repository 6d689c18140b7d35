"""One PTX text out of several that Triton made, one for each specialisation of a kernel.

Standard library alone: the compiler's child process runs it by path.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SOURCE = "candidate.py"
_ENTRY = re.compile(r"^(\s*(?:\.visible\s+)?\.entry\s+)([\w$]+)", re.MULTILINE)
_HEAD = re.compile(r"^\s*\.(?:version|target|address_size)\b.*$", re.MULTILINE)
_SHARED = re.compile(r"^\s*\.extern\s+\.shared\s+\.align\s+(\d+)\s+\.b8\s+global_smem\[\];.*$", re.MULTILINE)
_VARIABLE = re.compile(
    r"^\s*\.(?:visible\s+|weak\s+)?\.?(?:global|const)\b[^;={\[]*?([\w$]+)\s*(?=[\[=;])", re.MULTILINE
)
_SECTION = re.compile(r"^\s*\.section\s+\.debug_\w+\s*\{[^}]*\}", re.MULTILINE)
_FILE = re.compile(r'^\s*\.file\s+(\d+)\s+"([^"]*)".*$\n?', re.MULTILINE)
_LOC = re.compile(r"^(\s*\.loc\s+)(\d+)\s+(\d+)\s+(\d+)[^\n/]*(?://([^\n]*))?$", re.MULTILINE)
_INLINED = re.compile(re.escape(SOURCE) + r":(\d+):(\d+)")
_COMMENT = re.compile(r"\s*//.*$", re.MULTILINE)


def merge(texts: Sequence[str], names: Sequence[str]) -> str:
    """Join modules of one entry each; entry i gets `names[i]`.

    Line numbers are those of the candidate alone: a location inside Triton's own library becomes the candidate's
    line that it was inlined into. Debug sections and comments go.

    Raises:
        ValueError: a text is not one module with one entry.
    """
    heads = ["\n".join(_HEAD.findall(text)) for text in texts]
    if len({*heads}) != 1:
        raise ValueError("the modules differ in version or target")
    align = max((int(size) for text in texts for size in _SHARED.findall(text)), default=0)
    shared = f".extern .shared .align {align} .b8 global_smem[];\n" if align else ""
    bodies = [_body(text, name, index) for index, (text, name) in enumerate(zip(texts, names, strict=True))]
    lines = "\n".join(line.strip() for line in heads[0].splitlines())
    return f"{lines}\n{shared}" + "\n".join(bodies) + f'\n.file 1 "{SOURCE}"\n'


def _body(text: str, name: str, index: int) -> str:
    """A module without what all modules share, its names its own."""
    text = _located(text)
    for pattern in (_HEAD, _SHARED, _SECTION, _FILE):
        text = pattern.sub("", text)
    text = _COMMENT.sub("", text)
    if len(_ENTRY.findall(text)) != 1:
        raise ValueError("a module has not exactly one entry")
    start = _ENTRY.search(text)
    before = text[: start.start()] if start else ""
    for variable in dict.fromkeys(_VARIABLE.findall(before)):
        text = re.sub(rf"(?<![\w$.%]){re.escape(variable)}(?![\w$])", f"{variable}_{index}", text)
    text = _ENTRY.sub(lambda found: f"{found.group(1)}{name}", text)
    return "\n".join(line for line in text.splitlines() if line.strip()) + "\n"


def _located(text: str) -> str:
    own = {number for number, path in _FILE.findall(text) if path.replace("\\", "/").rpartition("/")[2] == SOURCE}

    def place(found: re.Match[str]) -> str:
        if found[2] in own:
            return f"{found[1]}1 {found[3]} {found[4]}"
        inlined = _INLINED.search(found[5] or "")
        return f"{found[1]}1 {inlined[1]} {inlined[2]}" if inlined else ""

    return _LOC.sub(place, text)
