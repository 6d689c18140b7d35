"""Finding a kernel file's head block, reading its TOML, and mapping both back to the file's lines and columns."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from warpsmith.core.errors import KernelFileError
from warpsmith.core.nearest import shown

MOST_LINES, MOST_CHARACTERS = 1000, 65536
MOST_DOTS = 64
"""In a line."""
"""Lines and characters a head block may have."""
MARKERS = {"//": "cuda", "#": "triton"}
_OPENING = re.compile(r"^(//|#) /// kernel\s*$")
_CLOSING = re.compile(r"^(//|#) ///\s*$")
_ALMOST = re.compile(r"^\s*(//|#|/\*)?\s*///\s*(kernels?|script)\b", re.IGNORECASE)
_TABLE = re.compile(r"^\s*\[\[?\s*([A-Za-z0-9_.-]+)\s*\]\]?")
_KEY = re.compile(r"^\s*([A-Za-z0-9_-]+)\s*=")
_WHERE = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$")

_PYTHON = re.compile(r"^(import|from)\s+\w|^@triton\.|^#!|^def \w", re.MULTILINE)
_SMALLEST = ("/// kernel", 'task = "..."', "", "[[launch]]", 'kernel = "..."', 'grid = "cdiv(N, 256)"')


def _smallest(marker: str) -> str:
    last = "block = 256" if marker == "//" else "num_warps = 4"
    lines = (f"{marker} {line}".rstrip() for line in (*_SMALLEST, last, "///"))
    other = "`#` instead of `//` in a Triton file" if marker == "//" else "`//` instead of `#` in a CUDA file"
    return "\n".join(("Start the file with:", *lines, f"({other})."))


def _marker(text: str, file: str) -> str:
    """How comments begin in a text that has no head block to tell."""
    return "#" if file.endswith(".py") or (not file.endswith(".cu") and _PYTHON.search(text)) else "//"


@dataclass(frozen=True, slots=True)
class Place:
    """A line and column of the file, from 1; column 0 where unknown."""

    line: int
    column: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The head block: its TOML, and where each line of it stands."""

    language: str
    """`cuda` for `//` comments, `triton` for `#`."""
    first_line: int
    """File line of the first TOML line."""
    lines: tuple[str, ...]
    indents: tuple[int, ...]
    """Characters of comment marker before each line's TOML."""

    def place(self, table: str = "", index: int = 0, key: str = "", literal: str | None = None) -> Place:
        """Find a key, or a quoted text after it; the table's own line where there is none such.

        `index` counts the `[[table]]` blocks of one name from 0. `literal` finds the first character inside quotes.
        """
        row = self._table_row(table, index)
        if key:
            for at in range(row, len(self.lines)):
                if _TABLE.match(self.lines[at]):
                    break
                if (match := _KEY.match(self.lines[at])) and match.group(1) == key:
                    return self._literal(at, match.end(), literal) or self._at(at, match.start(1))
        return self._at(max(row - 1, 0), 0) if table else Place(self.first_line)

    def _table_row(self, table: str, index: int) -> int:
        """Row after the table's header; 0 for the top level."""
        if not table:
            return 0
        seen = 0
        for at, line in enumerate(self.lines):
            if (match := _TABLE.match(line)) and match.group(1) == table:
                if seen == index:
                    return at + 1
                seen += 1
        return 0

    def _literal(self, row: int, column: int, literal: str | None) -> Place | None:
        if literal is None:
            return None
        for at in range(row, len(self.lines)):
            start = column if at == row else 0
            if at > row and _KEY.match(self.lines[at]):
                return None
            for quote in ('"', "'"):
                found = self.lines[at].find(f"{quote}{literal}{quote}", start)
                if found >= 0:
                    return self._at(at, found + 1)
        return None

    def _at(self, row: int, column: int) -> Place:
        return Place(self.first_line + row, self.indents[row] + column + 1)

    def table(self) -> dict[str, Any]:
        """Parse the TOML; a KernelFileError stands at the file's own line and column."""
        for row, line in enumerate(self.lines):
            # Reading a key takes time as the square of its parts, and keys of ours have one.
            if line.count(".") > MOST_DOTS:
                raise KernelFileError("The head block nests too deeply.", line=self.first_line + row)
        try:
            return tomllib.loads("\n".join(self.lines) + "\n")
        except RecursionError:
            raise KernelFileError("The head block nests too deeply.", line=self.first_line) from None
        except ValueError as error:
            raise self._toml_error(str(error)) from None

    def _toml_error(self, message: str) -> KernelFileError:
        match = _WHERE.search(message)
        text = message[: match.start()] if match else message
        if match is None or match.group(1) is None:
            return KernelFileError(f"The head block is not TOML: {text}.", line=self.first_line + len(self.lines) - 1)
        row, column = int(match.group(1)) - 1, int(match.group(2)) - 1
        row = min(row, len(self.lines) - 1)
        place = self._at(row, column)
        return KernelFileError(
            f"The head block is not TOML: {text}.",
            remedy=_toml_remedy(text, self.lines[row]),
            line=place.line,
            column=place.column,
        )


def _toml_remedy(message: str, line: str) -> str:
    if "overwrite" in message or "twice" in message:
        return "The key or table stands there already: merge the two."
    foreign = next((item for item in re.sub(r"\"[^\"]*\"|#.*", "", line) if ord(item) > 127), "")
    if foreign:
        return f"The line holds {shown(foreign)}: write keys and blanks in ASCII."
    _, equals, value = line.partition("=")
    value = value.strip()
    if equals and value in ("True", "False"):
        return f"TOML writes `{value.lower()}`."
    if equals and re.match(r"[\[\s]*[A-Za-z_(\d]", value) and not value.startswith(("true", "false")):
        return 'Put expressions and names in quotes: `grid = "cdiv(N, 256)"`, `grid = ["cdiv(N, BN)", "M"]`.'
    return ""


def find_head(text: str, file: str = "") -> Head:
    """Locate the one head block, which stands at the top: behind blank and comment lines only."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    openings = [at for at, line in enumerate(lines) if _OPENING.match(line)]
    if not openings:
        for at, line in enumerate(lines[:200]):
            if _ALMOST.match(line):
                message = f"`{line.strip()[:60]}` does not open a head block."
                raise KernelFileError(
                    message, remedy="Write exactly `// /// kernel` (CUDA) or `# /// kernel` (Triton).", line=at + 1
                )
        raise KernelFileError("There is no head block.", remedy=_smallest(_marker(text, file)), line=1)
    if len(openings) > 1:
        message = f"A second head block opens here; the first is at line {openings[0] + 1}."
        raise KernelFileError(message, remedy="Keep exactly one.", line=openings[1] + 1)
    start = openings[0]
    marker = lines[start].split(" ", 1)[0]
    for at, line in enumerate(lines[:start]):
        if line.strip() and not line.startswith(marker):
            message = f"The head block at line {start + 1} must stand at the top of the file."
            raise KernelFileError(message, remedy="Move it above this line.", line=at + 1)
    return _read(lines, start, marker)


def _read(lines: list[str], start: int, marker: str) -> Head:
    toml: list[str] = []
    indents: list[int] = []
    for at in range(start + 1, len(lines)):
        line = lines[at]
        if (closing := _CLOSING.match(line)) and closing.group(1) == marker:
            if not toml:
                raise KernelFileError("The head block is empty.", remedy=_smallest(marker), line=start + 1)
            if len(toml) > MOST_LINES or sum(map(len, toml)) > MOST_CHARACTERS:
                message = f"The head block has more than {MOST_LINES} lines or {MOST_CHARACTERS} characters."
                raise KernelFileError(message, remedy="Say it shorter.", line=start + 1)
            return Head(MARKERS[marker], start + 2, tuple(toml), tuple(indents))
        if not line.startswith(marker):
            break
        indent = len(marker) + (1 if line[len(marker) :].startswith(" ") else 0)
        toml.append(line[indent:])
        indents.append(indent)
    message = f"The head block opened at line {start + 1} is not closed."
    last = start + 1 + len(toml)
    raise KernelFileError(
        message, remedy=f"End it with `{marker} ///` before this line.", line=min(last + 1, len(lines))
    )
