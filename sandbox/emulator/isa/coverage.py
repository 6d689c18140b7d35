"""Writes `docs/emulator-coverage.md`: what the instruction table holds, opcode by opcode.

`python -m warpsmith.sandbox.emulator.isa.coverage` rewrites the file; a test holds it equal to the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .absent import ABSENT
from .row import LaneRow, Row
from .table import all_rows

TARGET = Path(__file__).resolve().parents[3] / "docs" / "emulator-coverage.md"
HEADER = """# Instructions the emulator runs

Generated from the instruction table by `python -m warpsmith.sandbox.emulator.isa.coverage`. A *row* is one instruction
with its types: its meaning in the readable executor, its handler in the VM, and where it computes lane by lane the C++
text both are tested with. `inexact` rows are those whose last bits PTX leaves open. What has no row is `Unsupported`,
named with its source line before anything runs.

{count} rows under {opcodes} opcodes.

| opcode | rows | pipe | modifiers and types | |
|---|---|---|---|---|
"""
FOOTER = """
## Instructions it does not run

Each example is refused by name before anything runs; the outcome is `Unsupported`, which is nobody's fault.

| instructions | from | for example | because |
|---|---|---|---|
"""


def text() -> str:
    """The page, whole."""
    groups: dict[str, list[Row]] = {}
    for row in all_rows():
        groups.setdefault(row.name.split(".")[0], []).append(row)
    header = HEADER.format(count=len(all_rows()), opcodes=len(groups))
    return header + "".join(_line(opcode, groups[opcode]) for opcode in sorted(groups)) + _absent()


def _absent() -> str:
    lines = (
        f"| `{item.names.replace(', ', '`, `')}` | {item.needs} | `{item.example}` | {item.why} |" for item in ABSENT
    )
    return FOOTER + "\n".join(lines) + "\n"


def _line(opcode: str, rows: Sequence[Row]) -> str:
    words = dict.fromkeys(word for row in rows for word in row.name.split(".")[1:])
    pipes = dict.fromkeys(row.pipe.value for row in rows)
    inexact = any(isinstance(row, LaneRow) and not row.exact for row in rows)
    note = "inexact" if inexact else ""
    return f"| `{opcode}` | {len(rows)} | {' '.join(pipes)} | {' '.join(words)} | {note} |\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
